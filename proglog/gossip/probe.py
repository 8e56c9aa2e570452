"""The failure detector's round: probes one node a tick, first directly, then through helpers and over TCP.

::

    tick ---- ping ----> target          0                 ack: alive, health - 1
      |
      +-- no ack after probe_timeout:    0.5 s             indirect pings through others, ping over TCP
      |                                                    ack: alive; only TCP: alive, but UDP is broken
      +-- still none after               1 s * (health+1)  suspect; health + missing nacks

A nack from a helper says: I am here, the target did not answer *me*. Missing nacks mean that this node is unhealthy.

Source: SWIM, section 3.1; Lifeguard, section 4.1; memberlist ``state.go`` (``probeNode``).
"""

from collections.abc import Callable
from dataclasses import dataclass, field

from proglog.gossip import messages
from proglog.gossip.awareness import Awareness
from proglog.gossip.beliefs import Beliefs
from proglog.gossip.config import GossipConfig
from proglog.gossip.counters import Counters
from proglog.gossip.delegate import Delegate
from proglog.gossip.errors import MalformedMessageError
from proglog.gossip.framing import StreamMessage
from proglog.gossip.member import Address, Node, State, address_of
from proglog.gossip.messages import Sender
from proglog.gossip.nodes import Nodes
from proglog.gossip.outbox import Outbox
from proglog.gossip.timers import Timer, Timers
from proglog.gossip.wire import Fields, Type

MAX_FORWARDED = 256
"""Pings sent for others and not answered yet."""
_MIN_TCP_TIMEOUT = 0.1
_NACK_AFTER = 0.8
"""Fraction of the probe timeout: at all of it, a nack would come as the asker's round ends, and not count."""


@dataclass(slots=True, eq=False)
class _Round:
    sequence: int
    node: Node
    incarnation: int
    """The node's incarnation when it was pinged: the accusation is about that one, not a later one."""
    started: float
    ends: float
    asked_others: bool = False
    tcp_answered: bool = False
    nacks_expected: int = 0
    nacks: dict[Address, None] = field(default_factory=dict)
    timer: Timer | None = None
    """Of its next step; an answer cancels it, so that a healthy round wakes the process once."""


class Prober:
    """Probes the nodes along their ring, one at a time."""

    def __init__(
        self,
        sender: Sender,
        nodes: Nodes,
        beliefs: Beliefs,
        outbox: Outbox,
        awareness: Awareness,
        config: GossipConfig,
        timers: Timers,
        delegate: Delegate,
        counters: Counters,
    ) -> None:
        """Start idle; the first :meth:`tick` begins a round."""
        self._sender = sender
        self._nodes = nodes
        self._beliefs = beliefs
        self._outbox = outbox
        self._awareness = awareness
        self._config = config
        self._timers = timers
        self._delegate = delegate
        self._counters = counters
        self._round: _Round | None = None

    def tick(self) -> None:
        """Begin a round, unless one is under way: a sick node's takes longer than a tick."""
        if self._round is not None and self._round.ends <= self._timers.now:
            self._conclude(self._round)  # its own timer is due now as well, after this one
        node = None if self._round is not None or self._beliefs.leaving else self._nodes.next_to_probe()
        if node is None:
            return
        budget, now = self._awareness.scale(self._config.probe_interval), self._timers.now
        round_ = self._round = _Round(self._outbox.next_sequence(), node, node.incarnation, now, now + budget)
        ping = [self._sender.ping(round_.sequence, node.name), *self._beliefs.refutation()]
        if node.state is State.SUSPECT:
            # The suspect gets the accusation with the ping, and can refute at once.
            self._outbox.send([*ping, self._sender.suspect(node)], node)
        else:
            self._outbox.send_with_gossip(ping, node.address)
        round_.timer = self._timers.after(self._config.probe_timeout, lambda: self._ask_others(round_))

    def take_ack(self, sequence: int, payload: bytes) -> None:
        """Take an ack as the answer to the round under way, if it is one."""
        round_ = self._round
        if round_ is None or round_.sequence != sequence:
            return
        self._round = None
        if round_.timer is not None:
            round_.timer.cancel()
        self._beliefs.heard_from(round_.node)
        if round_.asked_others:
            self._counters.probes_relayed += 1
        else:
            self._counters.probes_direct += 1
            round_.node.udp_missed = 0
            self._awareness.apply(-1)
            round_.node.rtt = self._timers.now - round_.started
            self._delegate.measured(round_.node, round_.node.rtt, payload)

    def take_nack(self, sequence: int, source: Address) -> None:
        """Count a responsive helper, once."""
        if self._round is not None and self._round.sequence == sequence:
            self._round.nacks[source] = None

    def _ask_others(self, round_: _Round) -> None:
        if self._round is not round_:
            return
        node, checks = round_.node, self._config.indirect_checks
        round_.asked_others = True
        round_.timer = self._timers.at(round_.ends, lambda: self._conclude(round_))
        helpers = self._nodes.pick(checks, lambda other: other.state is State.ALIVE and other is not node)
        for helper in helpers:
            nack = helper.speaks(4)
            round_.nacks_expected += nack
            request = self._sender.indirect_ping(round_.sequence, node, nack=nack)
            self._outbox.send_with_gossip([request], helper.address)
        if node.speaks(3):
            self._ping_over_tcp(round_)

    def _ping_over_tcp(self, round_: _Round) -> None:
        def replied(message: StreamMessage | None, _error: str) -> None:
            if message is not None and message.kind == Type.ACK:
                round_.tcp_answered = message.fields.uint("SeqNo") == round_.sequence

        ping = self._sender.ping(round_.sequence, round_.node.name)
        seconds = max(_MIN_TCP_TIMEOUT, round_.ends - self._timers.now)
        self._outbox.open_stream(round_.node.address, ping, seconds, replied)

    def _conclude(self, round_: _Round) -> None:
        if self._round is not round_:
            return
        self._round = None
        node = round_.node
        if round_.tcp_answered:
            self._beliefs.heard_from(node)
            self._counters.probes_tcp += 1
            node.udp_missed += 1
            self._delegate.ignored(f"{node.name!r} answers over TCP but not over UDP", node.address)
            return
        self._counters.probes_missed += 1
        missing = max(0, round_.nacks_expected - len(round_.nacks))
        self._awareness.apply(missing if round_.nacks_expected else 1)
        self._beliefs.accuse(node.name, round_.incarnation, self._sender.name)


class Helper:
    """Pings nodes on behalf of others, and relays the answers."""

    def __init__(self, sender: Sender, nodes: Nodes, outbox: Outbox, config: GossipConfig, timers: Timers) -> None:
        """Start without open requests."""
        self._sender = sender
        self._nodes = nodes
        self._outbox = outbox
        self._config = config
        self._timers = timers
        self._forwarded: dict[int, Callable[[], None]] = {}

    def take_request(self, request: Fields, source: Address) -> None:
        """Ping the member that the request names.

        Raises:
            MalformedMessageError: It is malformed, or asks to ping an address without a member.
        """
        asked, (reply_to, _) = request.uint("SeqNo"), messages.reply_to(request, source, self._nodes)
        target = address_of(request.raw("Target", 16), request.uint("Port", 16) or self._sender.port)
        node = self._nodes.member_at(target)
        if node is None:
            if self._nodes.was_at(target):
                return  # the asker may still believe it alive
            raise MalformedMessageError("an indirect ping of an address at which no member is known")
        if len(self._forwarded) >= MAX_FORWARDED:
            return
        sequence = self._outbox.next_sequence()

        def answered() -> None:
            silence.cancel()
            self._outbox.send_with_gossip([messages.ack(asked)], reply_to)

        def silent() -> None:
            if self._forwarded.pop(sequence, None) is not None and request.flag("Nack"):
                self._outbox.send_with_gossip([messages.nack(asked)], reply_to)

        self._forwarded[sequence] = answered
        silence = self._timers.after(self._config.probe_timeout * _NACK_AFTER, silent)
        ping = self._sender.ping(sequence, request.text("Node"))
        if node.state is State.SUSPECT:
            self._outbox.send([ping, self._sender.suspect(node)], node)
        else:
            self._outbox.send_plain(ping, target)

    def take_ack(self, sequence: int) -> bool:
        """Relay an ack; return whether it answers a ping on another node's behalf."""
        answered = self._forwarded.pop(sequence, None)
        if answered is not None:
            answered()
        return answered is not None
