"""The full exchange: everything that one node knows, record by record.

A record beyond a limit, or of a node with unsupported versions, is skipped: one bad record at one stock agent must not
break a cluster's exchanges. Large states are merged a few records at a time, so that ten thousand of them do not block
this process.

Source: memberlist ``state.go`` (``pushPullNode``, ``mergeState``).
"""

from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import lru_cache
from random import Random

from proglog.gossip.beliefs import Beliefs
from proglog.gossip.config import GossipConfig, push_pull_period
from proglog.gossip.counters import Counters
from proglog.gossip.delegate import Delegate
from proglog.gossip.errors import MalformedMessageError
from proglog.gossip.framing import StreamMessage, push_pull
from proglog.gossip.member import Address, Node, State
from proglog.gossip.messages import AliveClaim
from proglog.gossip.nodes import Nodes
from proglog.gossip.outbox import Outbox
from proglog.gossip.timers import Timers
from proglog.gossip.wire import Fields, Type, encode_map

MERGED_AT_ONCE = 256
"""Records merged before other work gets a turn: about 5 ms."""
MAX_WAITING = 16
"""Most states that wait to be merged; further ones are refused."""


@dataclass(slots=True)
class _Merge:
    records: Iterator[Fields]
    message: StreamMessage
    called: bool
    finished: Callable[[], None]


class Exchange:
    """Exchanges full states: periodically with a random member, and on each call."""

    def __init__(
        self,
        nodes: Nodes,
        beliefs: Beliefs,
        outbox: Outbox,
        config: GossipConfig,
        timers: Timers,
        delegate: Delegate,
        counters: Counters,
        *,
        default_port: int,
    ) -> None:
        """``default_port`` applies to nodes that give none: this node's."""
        self._nodes = nodes
        self._beliefs = beliefs
        self._outbox = outbox
        self._config = config
        self._timers = timers
        self._delegate = delegate
        self._counters = counters
        self._default_port = default_port
        self._waiting: deque[_Merge] = deque()

    def start(self, random: Random) -> None:
        """Start periodic exchanges, the first after a random part of the interval."""
        period = push_pull_period(self._config.push_pull_interval, 1)
        self._timers.after(random.uniform(0, period), self._tick)

    def join(self, address: Address, finished: Callable[[str], None]) -> None:
        """Exchange with the node at ``address``; ``finished`` gets an error, or nothing once its state is merged."""

        def replied(message: StreamMessage | None, error: str) -> None:
            if message is not None and message.kind == Type.PUSH_PULL:
                self._counters.exchanges += 1
                self._merge(message, lambda: finished(""), called=True)
            else:
                self._counters.exchanges_failed += 1
                finished(error or "it did not answer with its state")

        self._outbox.open_stream(address, self.local_state(join=True), self._config.tcp_timeout, replied)

    def answer(self, request: StreamMessage) -> bytes:
        """Merge what a peer sent, and return this node's state."""
        reply = self.local_state(join=request.fields.flag("Join"))
        self._counters.exchanges += 1
        self._merge(request, lambda: None)
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
            node.exchanging_since = None
            if message is not None and message.kind == Type.PUSH_PULL:
                self._counters.exchanges += 1
                node.exchanges_failed, node.exchange_error = 0, ""
                self._merge(message, lambda: None)
            elif error:
                self._counters.exchanges_failed += 1
                node.exchanges_failed, node.exchange_error = node.exchanges_failed + 1, error
                self._delegate.ignored(f"full exchange with {node.name!r}: {error}", node.address)

        if node.exchanging_since is None:
            node.exchanging_since = self._timers.now
        self._outbox.open_stream(node.address, self.local_state(join=False), self._config.tcp_timeout, replied)

    def _merge(self, message: StreamMessage, finished: Callable[[], None], *, called: bool = False) -> None:
        if len(self._waiting) >= MAX_WAITING:
            self._delegate.ignored(f"a full exchange: {MAX_WAITING} others are being merged", None)
            finished()
            return
        self._waiting.append(_Merge(iter(message.nodes), message, called, finished))
        if len(self._waiting) == 1:
            self._go_on()

    def _go_on(self) -> None:
        merge = self._waiting[0]
        for _ in range(MERGED_AT_ONCE):
            record = next(merge.records, None)
            if record is None:
                self._waiting.popleft()
                self._tried(lambda: self._merge_state(merge))
                if self._waiting:
                    self._timers.after(0, self._go_on)
                merge.finished()
                return
            if not self._is_known(record):
                self._tried(lambda record=record: self._merge_record(record))  # type: ignore[misc]
        self._timers.after(0, self._go_on)

    def _tried(self, merge: Callable[[], None]) -> None:
        try:
            merge()
        except MalformedMessageError as exc:
            self._delegate.malformed(f"in a full exchange: {exc}", None)

    def _merge_state(self, merge: _Merge) -> None:
        if merge.message.state:
            self._delegate.merge_state(merge.message.state, called=merge.called)

    def _merge_record(self, record: Fields) -> None:
        state = record.uint("State")
        claim = AliveClaim.read(record, name="Name", default_port=self._default_port)
        match state:
            case State.ALIVE:
                self._beliefs.take_alive(claim)
            case State.LEFT:
                self._beliefs.take_dead(claim.name, claim.incarnation, claim.name)
            case State.DEAD | State.SUSPECT:
                # A third party's claim is never final: the node may be back, and refutes.
                self._beliefs.accuse(claim.name, claim.incarnation, self._nodes.own_name)
            case _:
                raise MalformedMessageError(f"node {claim.name!r}: unknown state {state}")

    def _is_known(self, record: Fields) -> bool:
        """Return whether a record says just what this node believes of a live one: so do nearly all."""
        name = record.content.get(b"Name")
        node = self._nodes.get(name.decode("utf-8", "surrogateescape")) if isinstance(name, bytes) else None
        return (
            node is not None
            and node.state is State.ALIVE
            and record.content
            == {
                b"Name": name,
                b"Addr": node.ip,
                b"Port": node.port,
                b"Meta": node.meta,
                b"Incarnation": node.incarnation,
                b"State": 0,
                b"Vsn": node.versions,
            }
        )


def record_of(node: Node) -> bytes:
    """Return the record of ``node`` for a full exchange."""
    return _record(node.name, node.ip, node.port, node.meta, node.incarnation, int(node.state), node.versions)


@lru_cache(maxsize=16_384)
def _record(name: str, ip: bytes, port: int, meta: bytes, incarnation: int, state: int, versions: bytes) -> bytes:
    """Return a record, cached: of ten thousand nodes few change between two exchanges."""
    return encode_map(
        {
            "Name": name,
            "Addr": ip,
            "Port": port,
            "Meta": meta,
            "Incarnation": incarnation,
            "State": state,
            "Vsn": versions,
        }
    )
