"""What this node believes about every other, and how claims change that.

::

    claim      accepted if                                     then
    -----      -----------                                     ----
    alive      its incarnation is higher; a new name's is > 0  alive, forwarded
    suspect    its incarnation is not lower, and it is alive   suspect until it refutes, or the suspicion ends: dead
    dead       its incarnation is not lower, and it is not     dead; left, if the claim is its own; forwarded

A node refutes false claims about itself: it announces itself alive under a higher incarnation, which only the node
itself raises. One implausibly far above the known was not reached by counting, and is rejected.

A name has one address. A node that is gone may return at another one at once, as a container does. While the old
address is believed alive, a second one is a conflict; the claimant gets the name when the old one is found dead.

Source: SWIM, section 4.2; memberlist ``state.go`` (``aliveNode``, ``suspectNode``, ``deadNode``, ``refute``).
"""

from collections.abc import Callable
from dataclasses import dataclass

from proglog.gossip import messages
from proglog.gossip.awareness import Awareness
from proglog.gossip.config import GossipConfig
from proglog.gossip.counters import Counters
from proglog.gossip.delegate import Delegate
from proglog.gossip.errors import MalformedMessageError
from proglog.gossip.member import VERSIONS, Former, Node, State, address_of
from proglog.gossip.member_rules import MemberRules
from proglog.gossip.messages import AliveClaim
from proglog.gossip.nodes import Nodes
from proglog.gossip.outbox import Outbox
from proglog.gossip.suspicion import Suspicion
from proglog.gossip.timers import Timer, Timers
from proglog.gossip.wire import Type

MAX_INCARNATION = (1 << 32) - 1
MAX_INCARNATION_STEP = 1 << 20
"""A node that refutes once a second takes twelve days to get this far."""
MAX_CLAIMANTS = 1024
CLAIM_SECONDS = 120.0
"""How long a claim to a live member's name is remembered: longer than any suspicion in a cluster of 1,000."""
_NEVER = 0.0


@dataclass(slots=True)
class _Suspect:
    suspicion: Suspicion
    timer: Timer
    heard_from: bool = False
    """Whether it has answered this node or pinged it since: SWIM's own sign of life, beside a refutation."""


class Beliefs:
    """Judges claims, keeps the states in the table of nodes, forwards what is news."""

    def __init__(
        self,
        nodes: Nodes,
        outbox: Outbox,
        awareness: Awareness,
        rules: MemberRules,
        config: GossipConfig,
        timers: Timers,
        delegate: Delegate,
        counters: Counters,
    ) -> None:
        """Believe nothing yet."""
        self.leaving = False
        """Whether this node is leaving and no longer refutes claims about itself."""
        self._nodes = nodes
        self._outbox = outbox
        self._awareness = awareness
        self._rules = rules
        self._config = config
        self._timers = timers
        self._delegate = delegate
        self._counters = counters
        self._suspects: dict[str, _Suspect] = {}
        self._claimants: dict[str, tuple[AliveClaim, float]] = {}
        self._contested_until = self._refuted_to_accuser_at = _NEVER

    # Of this node

    def announce(self, ip: bytes, port: int, meta: bytes) -> None:
        """Announce this node for the first time."""
        name = self._nodes.own_name
        self._believe(AliveClaim(name=name, ip=ip, port=port, meta=meta, versions=VERSIONS, incarnation=1), None)

    def update_meta(self, meta: bytes) -> None:
        """Broadcast this node's new meta."""
        own = self._nodes.own
        own.meta, own.incarnation = meta, min(own.incarnation + 1, MAX_INCARNATION)
        self._tell_alive(own)
        self._delegate.node_updated(own)

    def leave(self, finished: Callable[[], None]) -> None:
        """Broadcast that this node leaves; call ``finished`` once the message was sent often enough."""
        self.leaving = True
        own = self._nodes.own
        own.state, own.changed_at = State.LEFT, self._timers.now
        message = messages.accusation(Type.DEAD, own.incarnation, own.name, own.name)
        if not self._nodes.others_alive():
            finished()
            return
        for node in self._nodes.told_in_person():
            self._outbox.send([message], node)
        self._outbox.broadcasts.add(message, key=own.name, finished=finished)

    def refutation(self) -> list[bytes]:
        """Return this node's announcement while somebody may still suspect it, to go with each ping and answer.

        Gossip sends a refutation a few times only: under loss a member may miss it, and hold the suspicion to its end.
        """
        return [] if self.leaving or self._timers.now >= self._contested_until else [messages.alive(self._nodes.own)]

    def _refute(self, incarnation: int, accuser: str = "") -> None:
        own, by = self._nodes.own, self._nodes.get(accuser)
        own.incarnation = min(max(own.incarnation, incarnation) + 1, MAX_INCARNATION)
        self._contested_until = self._timers.now + Suspicion(self._config, nodes=len(self._nodes), accuser="").longest
        self._awareness.apply(1)
        self._counters.refutations += 1
        self._delegate.refuted(own.incarnation)
        self._tell_alive(own)
        if by is None or by is own or by.gone or self._timers.now < self._refuted_to_accuser_at:
            return
        self._refuted_to_accuser_at = self._timers.now + self._config.gossip_interval  # forged accusers are no flood
        self._outbox.send([messages.alive(own)], by)

    # Of any node

    def take_alive(self, claim: AliveClaim) -> None:
        """Handle a claim that a node is alive.

        Raises:
            MalformedMessageError: Its address is none or not allowed, its name invalid, or its incarnation implausible.
        """
        address = address_of(claim.ip, claim.port)
        self._rules.check(claim.name, address[0])
        is_own = claim.name == self._nodes.own_name
        if self.leaving and is_own:
            return
        node = self._nodes.get(claim.name)
        if node is None or not self._nodes.is_in_ring(node):
            if self._may_be_new(claim, node):
                self._believe(claim, node)
            return
        _check_step(claim.name, node.incarnation, claim.incarnation)
        moved = (node.ip, node.port) != (claim.ip, claim.port)
        if moved and self._is_old_news(node.former, claim):
            return
        if moved and not node.gone:
            self._counters.conflicts += 1
            self._delegate.node_conflict(claim.name, address)
            if not is_own and (claim.name in self._claimants or len(self._claimants) < MAX_CLAIMANTS):
                self._claimants[claim.name] = claim, self._timers.now
        elif is_own:
            self._take_alive_of_own(node, claim)
        elif moved or claim.incarnation > node.incarnation:
            self._believe(claim, node)

    def _is_old_news(self, former: Former | None, claim: AliveClaim) -> bool:
        """Return whether ``claim`` dates from before the node moved."""
        if former is None or self._timers.now > former.until or claim.incarnation > former.incarnation:
            return False
        return (claim.ip, claim.port) == (former.ip, former.port)

    def _may_be_new(self, claim: AliveClaim, known: Node | None) -> bool:
        if not claim.incarnation:
            return False  # no node announces itself with less than 1
        _check_step(claim.name, 0, claim.incarnation)
        if known is None and not self._nodes.has_room():
            limit = self._config.max_nodes
            self._delegate.ignored(
                f"{claim.name!r} is one node too many: the limit is {limit:,}", address_of(claim.ip, claim.port)
            )
            return False
        return True

    def _take_alive_of_own(self, own: Node, claim: AliveClaim) -> None:
        same = claim.incarnation == own.incarnation and claim.meta == own.meta and claim.versions == own.versions
        if claim.incarnation >= own.incarnation and not same:
            self._refute(claim.incarnation)  # from an earlier run of this node

    def _believe(self, claim: AliveClaim, known: Node | None) -> None:
        node = known or Node(
            name=claim.name,
            ip=claim.ip,
            port=claim.port,
            meta=b"",
            versions=claim.versions,
            incarnation=0,
            state=State.DEAD,
            changed_at=_NEVER,
        )
        self._nodes.add(node)
        self._unsuspect(node.name)
        self._claimants.pop(node.name, None)
        was_gone, old_meta = node.gone, node.meta
        if (node.ip, node.port) != (claim.ip, claim.port):
            self._nodes.move(node, claim.ip, claim.port)
        node.meta, node.versions, node.incarnation = claim.meta, claim.versions, claim.incarnation
        if node.state is not State.ALIVE:
            node.state, node.changed_at = State.ALIVE, self._timers.now
        self._tell_alive(node)
        if was_gone:
            self._delegate.node_joined(node)
        elif old_meta != node.meta:
            self._delegate.node_updated(node)

    def accuse(self, name: str, incarnation: int, accuser: str) -> None:
        """Handle a suspicion, this node's own or another's.

        Raises:
            MalformedMessageError: The incarnation is implausible.
        """
        node = self._nodes.get(name)
        if node is None or incarnation < node.incarnation:
            return
        suspect = self._suspects.get(name)
        if suspect is None and node.state is not State.ALIVE:
            return
        _check_step(name, node.incarnation, incarnation)
        if suspect is not None:
            self._confirm(suspect, name, incarnation, accuser)
            return
        if name == self._nodes.own_name:
            if not self.leaving:
                self._refute(incarnation, accuser)
            return
        self._counters.suspicions += 1
        self._tell(Type.SUSPECT, incarnation, name, accuser)
        node.incarnation, node.state, node.changed_at = incarnation, State.SUSPECT, self._timers.now
        self._delegate.node_suspected(node, accuser)
        suspicion = Suspicion(self._config, nodes=len(self._nodes), accuser=accuser)
        self._suspects[name] = _Suspect(suspicion, self._timers.after(suspicion.timeout, lambda: self._condemn(name)))

    def _confirm(self, suspect: _Suspect, name: str, incarnation: int, accuser: str) -> None:
        before = suspect.suspicion.timeout
        if not suspect.suspicion.confirm(accuser):
            return
        self._tell(Type.SUSPECT, incarnation, name, accuser)
        suspect.timer.cancel()
        deadline = suspect.timer.deadline - (before - suspect.suspicion.timeout)
        suspect.timer = self._timers.at(max(self._timers.now, deadline), lambda: self._condemn(name))

    def heard_from(self, node: Node) -> None:
        """Handle a ping or an answer of ``node``: this node will not declare it dead before another suspicion's time."""
        suspect = self._suspects.get(node.name)
        if suspect is not None:
            suspect.heard_from = True

    def _condemn(self, name: str) -> None:
        suspect, node = self._suspects.get(name), self._nodes.get(name)
        if suspect is None or node is None:
            return
        if suspect.heard_from:
            suspect.heard_from = False
            suspect.timer = self._timers.after(suspect.suspicion.timeout, lambda: self._condemn(name))
        else:
            self.take_dead(name, node.incarnation, self._nodes.own_name)

    def take_dead(self, name: str, incarnation: int, accuser: str) -> None:
        """Handle a claim that a node is dead, or that it left if the claim is its own.

        Raises:
            MalformedMessageError: The incarnation is implausible.
        """
        node = self._nodes.get(name)
        says_so_itself = name == accuser
        if node is None or incarnation < node.incarnation or not self._nodes.is_in_ring(node):
            return
        if node.state is State.LEFT or (node.state is State.DEAD and not says_so_itself):
            return
        _check_step(name, node.incarnation, incarnation)
        if name == self._nodes.own_name:
            if not self.leaving:
                self._refute(incarnation, accuser)
            return
        self._unsuspect(name)
        self._tell(Type.DEAD, incarnation, name, accuser)
        node.incarnation = incarnation
        node.state = State.LEFT if says_so_itself else State.DEAD
        node.changed_at = self._timers.now
        self._delegate.node_left(node)
        claim, at = self._claimants.pop(name, (None, _NEVER))
        if claim is not None and self._timers.now - at <= CLAIM_SECONDS:
            self._believe(claim, node)

    def _unsuspect(self, name: str) -> None:
        suspect = self._suspects.pop(name, None)
        if suspect is not None:
            suspect.timer.cancel()

    # Forwarding

    def _tell_alive(self, node: Node) -> None:
        self._outbox.broadcasts.add(messages.alive(node), key=node.name)

    def _tell(self, kind: Type, incarnation: int, name: str, accuser: str) -> None:
        self._outbox.broadcasts.add(messages.accusation(kind, incarnation, name, accuser), key=name)


def _check_step(name: str, known: int, said: int) -> None:
    if said > known + MAX_INCARNATION_STEP:
        raise MalformedMessageError(f"the incarnation {said} of {name!r} is implausibly far above {known}")
