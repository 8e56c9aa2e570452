"""The full exchange: all that one node knows, checked before any of it is believed.

The version check is memberlist's: over the alive nodes of both sides, the ranges that all understand; then every node of
both sides, dead ones included, must speak within them. A single bad vector would stop the exchanges of a whole cluster,
so what a node says of itself is fixed (:data:`proglog.gossip.member.VERSIONS`), and a list that fails is refused whole.

Source: memberlist ``state.go`` (``pushPullNode``, ``mergeState``), ``memberlist.go`` (``verifyProtocol``).
"""

from collections.abc import Callable, Sequence
from random import Random
from typing import Any

from proglog.gossip.beliefs import AliveClaim, Beliefs
from proglog.gossip.config import GossipConfig, push_pull_period
from proglog.gossip.delegate import Delegate
from proglog.gossip.errors import MalformedMessageError
from proglog.gossip.framing import StreamMessage, push_pull
from proglog.gossip.member import Address, Node, State
from proglog.gossip.nodes import Nodes
from proglog.gossip.outbox import Outbox
from proglog.gossip.timers import Timers
from proglog.gossip.wire import MAX_META_BYTES, Fields, Type

_VERSIONS_BYTES = 6


class RemoteNode:
    """A node in somebody's state."""

    def __init__(self, fields: Fields) -> None:
        """Read it.

        Raises:
            MalformedMessageError: A field is missing its type, or out of bounds.
        """
        self.name = fields.text("Name")
        self.ip = fields.raw("Addr", 16)
        self.port = fields.uint("Port", 16)
        self.meta = fields.raw("Meta", MAX_META_BYTES)
        self.incarnation = fields.uint("Incarnation")
        self.state = fields.uint("State")
        self.versions = fields.raw("Vsn", _VERSIONS_BYTES)

    def claim(self, default_port: int) -> AliveClaim:
        """Return what is said of it if it lives."""
        return AliveClaim(
            name=self.name,
            ip=self.ip,
            port=self.port or default_port,
            meta=self.meta,
            versions=self.versions,
            incarnation=self.incarnation,
        )


class Exchange:
    """Exchanges full states: with a random member from time to time, and with whoever is joined."""

    def __init__(
        self,
        nodes: Nodes,
        beliefs: Beliefs,
        outbox: Outbox,
        config: GossipConfig,
        timers: Timers,
        delegate: Delegate,
        *,
        default_port: int,
    ) -> None:
        """``default_port`` is that of nodes that tell none: this node's."""
        self._nodes = nodes
        self._beliefs = beliefs
        self._outbox = outbox
        self._config = config
        self._timers = timers
        self._delegate = delegate
        self._default_port = default_port

    def start(self, random: Random) -> None:
        """Exchange with somebody from time to time; the first time at a random moment, as not all nodes at once."""
        self._timers.after(random.uniform(0, self._config.push_pull_interval), self._tick)

    def join(self, address: Address, finished: Callable[[str], None]) -> None:
        """Exchange with the node at ``address``; ``finished`` gets an error, or nothing."""

        def replied(message: StreamMessage | None, error: str) -> None:
            if message is not None and message.kind == Type.PUSH_PULL:
                self._merge(message)
                finished("")
            else:
                finished(error or "it did not answer with its state")

        self._outbox.open_stream(address, self.local_state(join=True), self._config.tcp_timeout, replied)

    def answer(self, request: StreamMessage) -> bytes:
        """Merge what a peer sent, and return this node's state.

        The peer gets it even if its own is refused, as from a stock agent.
        """
        reply = self.local_state(join=request.fields.flag("Join"))
        try:
            self._merge(request)
        except MalformedMessageError as exc:
            self._delegate.ignored(f"full exchange refused: {exc}", None)
        return reply

    def local_state(self, *, join: bool) -> bytes:
        """Return all that this node knows, as it goes over a stream."""
        return push_pull(join=join, nodes=[record_of(node) for node in self._nodes], state=self._delegate.local_state())

    def _tick(self) -> None:
        self._timers.after(push_pull_period(self._config.push_pull_interval, len(self._nodes)), self._tick)
        for node in self._nodes.pick(1, lambda node: node.state is State.ALIVE and not self._beliefs.leaving):
            self._exchange_with(node)

    def _exchange_with(self, node: Node) -> None:
        def replied(message: StreamMessage | None, error: str) -> None:
            if message is not None and message.kind == Type.PUSH_PULL:
                self._merge(message)
            elif error:
                self._delegate.ignored(f"full exchange with {node.name!r}: {error}", node.address)

        self._outbox.open_stream(node.address, self.local_state(join=False), self._config.tcp_timeout, replied)

    def _merge(self, message: StreamMessage) -> None:
        remote = [RemoteNode(fields) for fields in message.nodes]
        check_versions([*self._nodes, *remote])
        for node in remote:
            try:
                self._merge_node(node)
            except MalformedMessageError as exc:
                self._delegate.ignored(str(exc), None)
        if message.state:
            self._delegate.merge_state(message.state, join=message.fields.flag("Join"))

    def _merge_node(self, node: RemoteNode) -> None:
        match node.state:
            case State.ALIVE:
                self._beliefs.take_alive(node.claim(self._default_port))
            case State.LEFT:
                self._beliefs.take_dead(node.name, node.incarnation, node.name)
            case State.DEAD | State.SUSPECT:
                # A third party's word is never taken at once: the node may be back, and refutes.
                self._beliefs.accuse(node.name, node.incarnation, self._nodes.own_name)


def record_of(node: Node) -> dict[str, Any]:
    """Return what a full exchange says of ``node``."""
    return {
        "Name": node.name,
        "Addr": node.ip,
        "Port": node.port,
        "Meta": node.meta,
        "Incarnation": node.incarnation,
        "State": int(node.state),
        "Vsn": node.versions,
    }


def check_versions(nodes: Sequence[Node | RemoteNode]) -> None:
    """Check all nodes of both sides against what the alive ones understand.

    Raises:
        MalformedMessageError: Some node speaks a version that an alive one does not understand.
    """
    known = [node for node in nodes if len(node.versions) == _VERSIONS_BYTES]
    alive = [node.versions for node in known if node.state == State.ALIVE]
    if not alive:
        return
    for what, (low, high, current) in (("protocol", (0, 1, 2)), ("delegate protocol", (3, 4, 5))):
        lowest, highest = max(versions[low] for versions in alive), min(versions[high] for versions in alive)
        for node in known:
            if not lowest <= node.versions[current] <= highest:
                raise MalformedMessageError(
                    f"node {node.name!r}: {what} version {node.versions[current]} is outside [{lowest}, {highest}]"
                )
