"""A virtual network and clock for gossip: many nodes in one thread, hours in seconds, every failure by its seed.

::

    network = VirtualNetwork(seed=7, loss=0.3)
    for name in ("a", "b", "c"):
        network.add(name)
    network.join_all()
    network.crash("b")
    network.run_until(lambda: network.status("a", "b") == "failed", timeout=30)

Real :class:`proglog.gossip.serf.Serf` instances exchange real bytes. Datagrams may be lost, late, twice or out of order;
streams are reliable, as TCP is, but fail when a side is unreachable. A paused node behaves as under SIGSTOP: packets wait
in its sockets, and its clock jumps when it resumes.
"""

import heapq
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from itertools import count
from random import Random

from proglog.gossip.address_book import KnownAddress
from proglog.gossip.config import GossipConfig
from proglog.gossip.errors import MalformedMessageError
from proglog.gossip.events import Event
from proglog.gossip.framing import StreamReader
from proglog.gossip.keyring import Keyring
from proglog.gossip.member import Address, Status
from proglog.gossip.outbox import StreamToOpen
from proglog.gossip.serf import Serf

PORT = 7946
MAX_STEPS = 50_000_000
"""Steps after which a run counts as endless."""
_NEVER = float("inf")
_SOCKET_DATAGRAMS = 4096
"""Capacity of a paused node's sockets."""


@dataclass(slots=True, eq=False)
class VirtualNode:
    """A node, its sockets and the events that it emitted."""

    serf: Serf
    """The real state machine."""
    address: Address
    """10.x.y.z, one per node."""
    keyring: Keyring | None
    """Its own copy of the keys."""
    label: bytes = b""
    """Its label."""
    events: list[tuple[float, Event]] = field(default_factory=list)
    """Its events with their times, in virtual seconds."""
    paused: bool = False
    """Whether it is paused."""
    crashed: bool = False
    """Whether it crashed."""
    armed: float | None = None
    """Time of its entry among the network's timers."""
    inbox: list[Callable[[], None]] = field(default_factory=list)
    """Packets that arrived while it was paused."""


class VirtualNetwork:
    """Nodes, the packets between them, and the time."""

    def __init__(
        self,
        *,
        seed: int,
        config: GossipConfig | None = None,
        loss: float = 0.0,
        duplication: float = 0.0,
        delay: tuple[float, float] = (0.0002, 0.002),
        keys: tuple[bytes, ...] = (),
    ) -> None:
        """Start at time 0 without nodes.

        Args:
            seed: Seeds all randomness, of the network and of the nodes.
            config: The configuration of all nodes; the LAN profile by default.
            loss: Share of the datagrams that are lost.
            duplication: Share of the datagrams that arrive twice.
            delay: Shortest and longest delay of a packet, seconds.
            keys: The keys of all nodes; without them, plain text.
        """
        self.random = Random(seed)
        self.config = config or GossipConfig.lan()
        self.loss = loss
        self.duplication = duplication
        self.delay = delay
        self.keys = keys
        self.now = 0.0
        self.nodes: dict[str, VirtualNode] = {}
        self.datagrams = 0
        self.streams = 0
        self._addresses: dict[Address, str] = {}
        self._aliases: dict[Address, None] = {}
        self._cut: dict[tuple[str, str], None] = {}
        self._heap: list[tuple[float, int, Callable[[], None]]] = []
        self._timers: list[tuple[float, int, VirtualNode]] = []
        self._order = count()

    # ---- nodes

    def add(
        self,
        name: str,
        tags: Mapping[str, str] | None = None,
        *,
        move: bool = False,
        known: Sequence[KnownAddress] = (),
        keyring: Keyring | None = None,
        label: bytes = b"",
    ) -> Serf:
        """Start a node, or restart the one of that name that crashed or left.

        Args:
            name: The node's name.
            tags: The tags that it announces.
            move: Start it at a new address, as a container would; otherwise it keeps its old one.
            known: Its seeds, and the members that it remembers.
            keyring: Its keys, if not the network's.
            label: Its cluster's label.
        """
        old = self.nodes.get(name)
        number = len(self._addresses) + 1
        address = old.address if old and not move else (f"10.0.{number >> 8}.{number & 255}", PORT)
        keyring = keyring or (Keyring(self.keys) if self.keys else None)
        serf = Serf(
            name=name,
            address=address,
            tags=tags or {},
            config=self.config,
            keyring=keyring,
            random=Random(self.random.getrandbits(64)),
            now=self.now,
            known=known,
            label=label,
        )
        node = VirtualNode(serf, address, keyring, label)
        self.nodes[name] = node
        self._addresses[address] = name
        serf.start(self.now)
        self._pump(node)
        return serf

    def seed(self, *names: str) -> tuple[KnownAddress, ...]:
        """Return the addresses of ``names`` as an operator gives them; the nodes need not exist yet."""
        return tuple(KnownAddress(host=self.nodes[n].address[0], port=PORT, given=True) for n in names)

    def alias(self, host: str, name: str) -> KnownAddress:
        """Make ``host`` lead to a node unaware of that address, as address translation does; return it as a seed."""
        self._addresses[host, PORT] = name
        self._aliases[host, PORT] = None
        return KnownAddress(host=host, port=PORT, given=True)

    def join(self, name: str, through: str) -> None:
        """Make ``name`` join through another node."""
        node = self.nodes[name]
        node.serf.join(self.nodes[through].address, self.now)
        self._pump(node)

    def join_all(self, timeout: float = 120.0) -> float:
        """Join all nodes through the first; return how long it took until each saw every other."""
        first, *others = self.nodes
        for name in others:
            self.join(name, first)
        return self.run_until(self.all_see_all, timeout)

    def leave(self, name: str) -> None:
        """Make ``name`` leave gracefully; crash it afterwards, as its process ends."""
        node = self.nodes[name]
        node.serf.leave(self.now)
        self._pump(node)

    def force_leave(self, observer: str, name: str, *, prune: bool = False) -> None:
        """Make ``observer`` force the failed ``name`` out for good."""
        node = self.nodes[observer]
        node.serf.force_leave(name, self.now, prune=prune)
        self._pump(node)

    def crash(self, name: str) -> None:
        """Crash ``name`` without a leave."""
        self.nodes[name].crashed = True

    def pause(self, name: str) -> None:
        """Pause ``name``, as SIGSTOP does."""
        self.nodes[name].paused = True

    def resume(self, name: str) -> None:
        """Resume ``name``: first its sockets, then its timers, as the driver does."""
        node = self.nodes[name]
        node.paused = False
        inbox, node.inbox = node.inbox, []
        for arrival in inbox:
            arrival()
        self._pump(node)

    # ---- the network

    def cut(self, sources: list[str], targets: list[str], *, one_way: bool = False) -> None:
        """Drop everything that ``sources`` send to ``targets``, and back unless ``one_way``."""
        for source in sources:
            for target in targets:
                self._cut[source, target] = None
                if not one_way:
                    self._cut[target, source] = None

    def heal(self) -> None:
        """Undo every :meth:`cut`."""
        self._cut.clear()

    # ---- time

    def run(self, seconds: float) -> None:
        """Advance time by ``seconds``."""
        end = self.now + seconds
        for _ in range(MAX_STEPS):
            if not self._step(end):
                self.now = end
                return
        raise AssertionError(f"{MAX_STEPS:,} steps were not enough for {seconds} s")

    def run_until(self, condition: Callable[[], bool], timeout: float) -> float:
        """Advance time until ``condition`` holds; return the seconds passed.

        Raises:
            AssertionError: It did not hold within ``timeout`` seconds.
        """
        start, end = self.now, self.now + timeout
        while not condition():
            if not self._step(end):
                raise AssertionError(f"did not hold within {timeout} virtual seconds: {self.table()}")
        return self.now - start

    # ---- the nodes' views

    def status(self, observer: str, name: str) -> str:
        """Return the status of ``name`` as ``observer`` sees it; empty if unknown."""
        return self.nodes[observer].serf.status_of(name)

    def running(self) -> list[str]:
        """Return the nodes that are neither crashed nor paused."""
        return [name for name, node in self.nodes.items() if not node.crashed and not node.paused]

    def all_see(self, name: str, status: str) -> bool:
        """Return whether every other running node sees ``name`` with ``status``."""
        return all(self.status(observer, name) == status for observer in self.running() if observer != name)

    def share_that_sees(self, name: str, status: str) -> float:
        """Return the share of the other running nodes that see ``name`` with ``status``."""
        others = [observer for observer in self.running() if observer != name]
        return sum(self.status(observer, name) == status for observer in others) / max(1, len(others))

    def all_see_all(self) -> bool:
        """Return whether every running node sees every running node alive."""
        running = frozenset(self.running())
        return all(running <= self._alive_at(observer) for observer in running)

    def _alive_at(self, observer: str) -> set[str]:
        return {member.name for member in self.nodes[observer].serf.members() if member.status is Status.ALIVE}

    def table(self) -> dict[str, dict[str, str]]:
        """Return each node's view of every other, as text."""
        return {
            name: {member.name: str(member.status) for member in node.serf.members()}
            for name, node in self.nodes.items()
            if not node.crashed
        }

    def transcript(self) -> list[str]:
        """Return all events of all nodes in order of time, one line each."""
        told = [(at, name, event) for name, node in self.nodes.items() for at, event in node.events]
        return [f"{at:.6f} {name} {event}" for at, name, event in sorted(told, key=lambda each: each[:2])]

    # ---- machinery

    def _step(self, end: float) -> bool:
        """Run the next due step before ``end``; return whether there was one."""
        node = self._next_timer()
        timer_at = self._timers[0][0] if node is not None else _NEVER
        packet_at = self._heap[0][0] if self._heap else _NEVER
        at = min(packet_at, timer_at)
        if at > end:
            return False
        self.now = max(self.now, at)
        if packet_at <= timer_at or node is None:
            heapq.heappop(self._heap)[2]()
        else:
            heapq.heappop(self._timers)
            node.armed = None
            node.serf.handle_timer(self.now)
            self._pump(node)
        return True

    def _next_timer(self) -> VirtualNode | None:
        """Return the node whose timer is due first; drop entries of outdated deadlines on the way."""
        while self._timers:
            deadline, _, node = self._timers[0]
            if deadline == node.armed and not node.paused and not node.crashed:
                return node
            heapq.heappop(self._timers)
            if deadline == node.armed:
                node.armed = None
        return None

    def _pump(self, node: VirtualNode) -> None:
        for data, address in node.serf.datagrams_to_send():
            self._send(node, data, address)
        for stream in node.serf.streams_to_open():
            self._open(node, stream)
        for event in node.serf.events():
            node.events.append((self.now, event))
        deadline = node.serf.next_deadline()
        if deadline is not None and deadline != node.armed:
            node.armed = deadline
            heapq.heappush(self._timers, (deadline, next(self._order), node))

    def _later(self, delay: float, action: Callable[[], None]) -> None:
        heapq.heappush(self._heap, (self.now + delay, next(self._order), action))

    def _way(self) -> float:
        return self.random.uniform(*self.delay)

    def _connected(self, source: VirtualNode, target: VirtualNode) -> bool:
        names = self._addresses[source.address], self._addresses[target.address]
        return names not in self._cut

    def _at(self, address: Address) -> VirtualNode | None:
        """Return the node that listens at ``address``; a moved node no longer listens at its old one."""
        node = self.nodes.get(self._addresses.get(address, ""))
        return node if node is not None and (node.address == address or address in self._aliases) else None

    def _send(self, source: VirtualNode, data: bytes, address: Address) -> None:
        self.datagrams += 1
        target = self._at(address)
        if target is None or self.random.random() < self.loss:
            return
        copies = 2 if self.random.random() < self.duplication else 1
        for _ in range(copies):
            self._later(self._way(), partial(self._arrive, source, target, data))

    def _arrive(self, source: VirtualNode, target: VirtualNode, data: bytes) -> None:
        if target.crashed or (self._cut and not self._connected(source, target)):
            return
        self._deliver(target, partial(self._receive, source, target, data))

    def _receive(self, source: VirtualNode, target: VirtualNode, data: bytes) -> None:
        target.serf.receive_datagram(data, source.address, self.now)
        self._pump(target)

    def _deliver(self, target: VirtualNode, arrival: Callable[[], None]) -> None:
        if not target.paused:
            arrival()
        elif len(target.inbox) < _SOCKET_DATAGRAMS:
            target.inbox.append(arrival)

    def _act(self, node: VirtualNode, action: Callable[[], None]) -> None:
        action()
        self._pump(node)

    def _open(self, source: VirtualNode, stream: StreamToOpen) -> None:
        self.streams += 1
        target = self._at(stream.address)
        ended = {"yet": False}

        def end(action: Callable[[], None]) -> None:
            if not ended["yet"] and not source.crashed:
                ended["yet"] = True
                self._deliver(source, lambda: self._act(source, action))

        def fail(reason: str) -> None:
            end(lambda: source.serf.stream_failed(stream.id, reason, self.now))

        self._later(stream.timeout, lambda: fail("timed out"))
        if target is None or target.crashed:
            self._later(self._way(), lambda: fail("connection refused"))
        elif self._connected(source, target) and self._connected(target, source):
            self._later(self._way(), lambda: self._request(target, stream.data, end, source, stream.id))

    def _request(
        self,
        target: VirtualNode,
        data: bytes,
        end: Callable[[Callable[[], None]], None],
        source: VirtualNode,
        stream_id: int,
    ) -> None:
        if target.crashed:
            return

        def answer() -> None:
            reply = self._answer(target, data)
            self._pump(target)
            if reply:
                self._later(self._way(), lambda: end(lambda: self._reply(source, stream_id, reply)))

        self._deliver(target, answer)

    def _answer(self, target: VirtualNode, data: bytes) -> bytes | None:
        try:
            message = StreamReader(target.keyring, target.label).feed(data)
            return None if message is None else target.serf.answer_stream(message, self.now)
        except MalformedMessageError as exc:
            return target.serf.refuse_stream(str(exc), None, self.now)

    def _reply(self, source: VirtualNode, stream_id: int, data: bytes) -> None:
        try:
            message = StreamReader(source.keyring, source.label, is_reply=True).feed(data)
        except MalformedMessageError as exc:
            source.serf.stream_failed(stream_id, str(exc), self.now)
            return
        if message is None:
            source.serf.stream_failed(stream_id, "cut short", self.now)
        else:
            source.serf.stream_answered(stream_id, message, self.now)
