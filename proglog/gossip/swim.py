"""SWIM with Lifeguard, on memberlist's wire: who is alive, by probing, suspicion and gossip.

A pure state machine: bytes and ``now`` in; datagrams, streams to open, and calls of its delegate out.

::

    probe    ping -- no ack in probe_timeout --> ask others to ping, and try TCP -- none by the end --> suspect
    suspect  tell everybody -- nobody refutes before the suspicion's deadline --> dead
    accused  a node that hears itself accused says that it is alive, under a higher incarnation

Sources: Das et al. 2002; Dadgar et al. 2018; memberlist ``state.go``.
"""

from collections.abc import Callable
from dataclasses import dataclass
from random import Random
from typing import Any, Protocol

from proglog.gossip.awareness import Awareness
from proglog.gossip.broadcasts import BroadcastQueue
from proglog.gossip.config import GossipConfig, push_pull_period, retransmit_limit
from proglog.gossip.errors import MalformedMessageError
from proglog.gossip.framing import StreamMessage, frame, pack, push_pull, unpack
from proglog.gossip.keyring import NONCE_BYTES, OVERHEAD_BYTES, Keyring
from proglog.gossip.member import VERSIONS, Address, Node, State, address_of, packed_ip
from proglog.gossip.probe import Prober
from proglog.gossip.suspicion import Suspicion
from proglog.gossip.sync import RemoteNode, check_versions, record_of
from proglog.gossip.timers import Timer, Timers
from proglog.gossip.wire import MAX_META_BYTES, Fields, Type, decode, encode

MAX_SEQUENCE = (1 << 32) - 1
MAX_COORDINATE_BYTES = 1024
MAX_TOLD_IN_PERSON = 64
MAX_FORWARDED = 256
"""Pings sent for others and not answered yet."""
_PART_OVERHEAD = 2
_COMPOUND_OVERHEAD = 2
_NEVER = 0.0


Replied = Callable[[StreamMessage | None, str], None]
"""Gets the reply on a stream, or why there is none."""


class Delegate(Protocol):
    """What stands above: Serf."""

    def node_joined(self, node: Node) -> None: ...
    def node_left(self, node: Node) -> None: ...
    def node_updated(self, node: Node) -> None: ...
    def node_conflict(self, name: str, address: Address) -> None: ...
    def user_message(self, data: bytes) -> None: ...
    def has_broadcasts(self) -> bool: ...
    def take_broadcasts(self, limit_bytes: int, overhead_bytes: int, transmit_limit: int) -> list[bytes]: ...
    def local_state(self) -> bytes: ...
    def merge_state(self, state: bytes, *, join: bool) -> None: ...
    def ack_payload(self) -> bytes: ...
    def measured(self, node: Node, seconds: float, payload: bytes) -> None: ...
    def ignored(self, reason: str, source: Address | None) -> None: ...


@dataclass(frozen=True, slots=True)
class StreamToOpen:
    """A stream that the driver is to open: send the bytes, feed what comes back until a message is whole."""

    id: int
    address: Address
    data: bytes
    timeout: float


@dataclass(slots=True)
class _Suspect:
    suspicion: Suspicion
    timer: Timer


class Swim:
    """One node's view of its cluster."""

    def __init__(
        self,
        *,
        name: str,
        address: Address,
        meta: bytes,
        config: GossipConfig,
        keyring: Keyring | None,
        random: Random,
        delegate: Delegate,
        now: float,
    ) -> None:
        self.name = name
        self.config = config
        self.keyring = keyring
        self.awareness = Awareness(config.awareness_max)
        self.nodes: dict[str, Node] = {}
        self.leaving = False
        self._address = address
        self.random = random
        self._delegate = delegate
        self._queue = BroadcastQueue(self.arm_gossip)
        self._gossip_timer: Timer | None = None
        self._timers = Timers()
        self._incarnation = 0
        self._sequence = 0
        self._prober = Prober(self)
        self._suspects: dict[str, _Suspect] = {}
        self._forwarded: dict[int, Callable[[], None]] = {}
        self._datagrams: list[tuple[bytes, Address]] = []
        self._streams: list[StreamToOpen] = []
        self._stream_id = 0
        self._replies: dict[int, Replied] = {}
        self.now = now
        self._meta = meta

    # Driving

    def start(self, now: float) -> None:
        """Announce this node and begin to probe and gossip."""
        self.now = now
        self._incarnation = 1
        self._take_alive(self.name, packed_ip(self._address[0]), self._address[1], self._meta, VERSIONS, 1, own=True)
        every = self.config
        self._repeat(every.probe_interval, self._prober.tick, self.random.uniform(0, every.probe_interval))
        self._timers.at(now + self.random.uniform(0, every.push_pull_interval), self._push_pull_tick)

    def next_deadline(self) -> float | None:
        """Return when :meth:`handle_timer` wants to be called."""
        return self._timers.next_deadline()

    def handle_timer(self, now: float) -> None:
        """Run what is due. The driver has read every datagram that had arrived before it calls."""
        deadline = self._timers.next_deadline()
        late = now - deadline if deadline is not None else 0.0
        if late > self.config.probe_timeout:
            self._timers.postpone(late)  # this process stood still: nobody can have answered it
        self.now = max(self.now, now)
        self._timers.run_due(now)

    def datagrams_to_send(self) -> list[tuple[bytes, Address]]:
        """Return what is to be sent, and forget it."""
        out, self._datagrams = self._datagrams, []
        return out

    def streams_to_open(self) -> list[StreamToOpen]:
        """Return the streams to open, and forget them."""
        out, self._streams = self._streams, []
        return out

    def after(self, delay: float, callback: Callable[[], None]) -> Timer:
        """Run ``callback`` in ``delay`` seconds: timers for the layer above."""
        return self._timers.at(self.now + delay, callback)

    # Receiving

    def receive_datagram(self, data: bytes, source: Address, now: float) -> None:
        """Take a datagram in; what is wrong with it is a diagnostic, never an error."""
        self.now = max(self.now, now)
        try:
            messages = unpack(data, self.keyring)
        except MalformedMessageError as exc:
            self.ignored(str(exc), source)
            return
        for message in messages:
            try:
                self._take_message(message, source)
            except MalformedMessageError as exc:
                self.ignored(str(exc), source)

    def answer_stream(self, message: StreamMessage, now: float) -> bytes | None:
        """Return the reply to a request that came on a stream; ``None``: there is none."""
        self.now = max(self.now, now)
        match message.kind:
            case Type.PUSH_PULL:
                reply = self._local_state(join=message.fields.flag("Join"))
                self._merge_contained(message)
                return self.framed(reply)
            case Type.PING:
                if message.fields.text("Node") not in ("", self.name):
                    return None
                ack = {"SeqNo": message.fields.uint("SeqNo"), "Payload": None}
                return self.framed(encode(Type.ACK, ack))
            case Type.USER:
                self._delegate.user_message(message.state)
        return None

    def stream_answered(self, stream_id: int, message: StreamMessage, now: float) -> None:
        """Take in the reply on a stream that this node opened."""
        self.now = max(self.now, now)
        reply = self._replies.pop(stream_id, None)
        if reply is None:
            return
        if message.kind == Type.ERROR:
            reply(None, message.fields.text("Error"))
            return
        try:
            reply(message, "")
        except MalformedMessageError as exc:
            reply(None, f"full exchange refused: {exc}")

    def stream_failed(self, stream_id: int, reason: str, now: float) -> None:
        """A stream that this node opened came to nothing."""
        self.now = max(self.now, now)
        reply = self._replies.pop(stream_id, None)
        if reply is not None:
            reply(None, reason)

    def framed(self, message: bytes) -> bytes:
        """Return a message as it goes over a stream."""
        return frame(message, self.keyring, self._nonce())

    # Acting

    def join(self, address: Address, finished: Callable[[str], None]) -> None:
        """Exchange full states with the node at ``address``; ``finished`` gets an error, or nothing."""

        def replied(message: StreamMessage | None, error: str) -> None:
            if message is not None and message.kind == Type.PUSH_PULL:
                self._merge(message)
                finished("")
            else:
                finished(error or "it did not answer with its state")

        self.open(address, self._local_state(join=True), self.config.tcp_timeout, replied)

    def update_meta(self, meta: bytes, finished: Callable[[], None] | None = None) -> None:
        """Tell everybody this node's new meta."""
        self._meta = meta
        self._incarnation = min(self._incarnation + 1, MAX_SEQUENCE)
        own = self.nodes[self.name]
        own.meta, own.incarnation = meta, self._incarnation
        self._queue.add(self._alive_message(own), key=self.name, finished=finished)
        self._delegate.node_updated(own)

    def leave(self, finished: Callable[[], None]) -> None:
        """Tell everybody that this node is gone on purpose; ``finished`` once it was said often enough."""
        self.leaving = True
        own = self.nodes[self.name]
        own.state, own.changed_at = State.LEFT, self.now
        message = encode(Type.DEAD, {"Incarnation": own.incarnation, "Node": self.name, "From": self.name})
        if not self.others_alive():
            finished()
            return
        for node in self.told_in_person():
            self.send([message], node)
        self._queue.add(message, key=self.name, finished=finished)

    def told_in_person(self) -> list[Node]:
        """Return the members that a leaving node tells itself: gossip alone may miss one, or come late."""
        return self.pick(MAX_TOLD_IN_PERSON, lambda node: not node.gone)

    def others_alive(self) -> list[Node]:
        """Return the nodes that are not this one, and not gone."""
        return [node for node in self.nodes.values() if node.name != self.name and not node.gone]

    def send_user(self, data: bytes, address: Address) -> None:
        """Send a Serf message straight to ``address``."""
        self._send([bytes((Type.USER,)) + data], address, crc=False)

    @property
    def transmit_limit(self) -> int:
        """How often a message is sent in a cluster of this size."""
        return retransmit_limit(self.config.retransmit_mult, len(self.nodes))

    # Messages

    def _take_message(self, message: bytes, source: Address) -> None:
        kind, body = message[0], message[1:]
        if kind == Type.USER:
            self._delegate.user_message(body)
            return
        fields = decode(body)
        match kind:
            case Type.PING:
                self._take_ping(fields, source)
            case Type.INDIRECT_PING:
                self._take_indirect_ping(fields, source)
            case Type.ACK:
                self._take_ack(fields)
            case Type.NACK:
                self._prober.take_nack(fields.uint("SeqNo"))
            case Type.SUSPECT:
                self.accuse(fields.text("Node"), fields.uint("Incarnation"), fields.text("From"))
            case Type.ALIVE:
                self._take_alive(
                    fields.text("Node"),
                    fields.raw("Addr", 16),
                    fields.uint("Port", 16) or self._address[1],
                    fields.raw("Meta", MAX_META_BYTES),
                    fields.raw("Vsn", 6),
                    fields.uint("Incarnation"),
                )
            case Type.DEAD:
                self._take_dead(fields.text("Node"), fields.uint("Incarnation"), fields.text("From"))
            case _:
                raise MalformedMessageError(f"message type {kind} is not known in a datagram")

    def _take_ping(self, fields: Fields, source: Address) -> None:
        if fields.text("Node") not in ("", self.name):
            self.ignored(f"a ping for {fields.text('Node')!r}: this is {self.name!r}", source)
            return
        ack = encode(Type.ACK, {"SeqNo": fields.uint("SeqNo"), "Payload": self._delegate.ack_payload()})
        self.send_with_gossip([ack], _reply_address(fields, source))

    def _take_indirect_ping(self, fields: Fields, source: Address) -> None:
        if len(self._forwarded) >= MAX_FORWARDED:
            return
        asked, reply_to = fields.uint("SeqNo"), _reply_address(fields, source)
        target = address_of(fields.raw("Target", 16), fields.uint("Port", 16) or self._address[1])
        sequence = self.next_sequence()

        def answered() -> None:
            silence.cancel()
            self.send_with_gossip([encode(Type.ACK, {"SeqNo": asked, "Payload": None})], reply_to)

        def silent() -> None:
            if self._forwarded.pop(sequence, None) is not None and fields.flag("Nack"):
                self.send_with_gossip([encode(Type.NACK, {"SeqNo": asked})], reply_to)

        self._forwarded[sequence] = answered
        silence = self.after(self.config.probe_timeout, silent)
        self._send([self.ping_message(sequence, fields.text("Node"))], target, crc=False)

    def _take_ack(self, fields: Fields) -> None:
        sequence = fields.uint("SeqNo")
        forwarded = self._forwarded.pop(sequence, None)
        if forwarded is not None:
            forwarded()
        else:
            self._prober.take_ack(sequence, fields.raw("Payload", MAX_COORDINATE_BYTES))

    def _take_alive(
        self, name: str, ip: bytes, port: int, meta: bytes, versions: bytes, incarnation: int, *, own: bool = False
    ) -> None:
        if not name or (self.leaving and name == self.name):
            return
        if len(versions) >= 3 and (not versions[0] or not versions[1] or versions[0] > versions[1]):
            return
        address = address_of(ip, port)
        node = self.nodes.get(name)
        replaced = False
        if node is None:
            if not incarnation:
                return  # nobody announces itself with less than 1
            if len(self.nodes) >= self.config.max_nodes:
                self.ignored(f"{name!r} is one node too many: the limit is {self.config.max_nodes}", address)
                return
            node = Node(
                name=name,
                ip=ip,
                port=port,
                meta=b"",
                versions=versions,
                incarnation=0,
                state=State.DEAD,
                changed_at=_NEVER,
            )
            self.nodes[name] = node
            self._prober.add(name)
        elif node.ip != ip or node.port != port:
            if node.state is not State.LEFT:
                self._delegate.node_conflict(name, address)
                return
            replaced = True
        if name != self.name and incarnation <= node.incarnation and not replaced:
            return
        if name == self.name and not own:
            if incarnation < node.incarnation:
                return
            if incarnation == node.incarnation and meta == node.meta and versions == node.versions:
                return
            self._refute(incarnation)
            return
        self._unsuspect(name)
        was_gone, old_meta = node.gone, node.meta
        node.ip, node.port, node.meta, node.versions, node.incarnation = ip, port, meta, versions, incarnation
        if node.state is not State.ALIVE:
            node.state, node.changed_at = State.ALIVE, self.now
        self._queue.add(self._alive_message(node), key=name)
        if was_gone:
            self._delegate.node_joined(node)
        elif old_meta != meta:
            self._delegate.node_updated(node)

    def accuse(self, name: str, incarnation: int, accuser: str) -> None:
        """Take a suspicion, this node's own or another's."""
        node = self.nodes.get(name)
        if node is None or incarnation < node.incarnation:
            return
        suspect = self._suspects.get(name)
        if suspect is not None:
            before = suspect.suspicion.timeout
            if suspect.suspicion.confirm(accuser):
                self._queue.add(_accusation(Type.SUSPECT, incarnation, name, accuser), key=name)
                suspect.timer.cancel()
                deadline = suspect.timer.deadline - (before - suspect.suspicion.timeout)
                suspect.timer = self._timers.at(max(self.now, deadline), lambda: self._condemn(name))
            return
        if node.state is not State.ALIVE:
            return
        if name == self.name:
            if not self.leaving:
                self._refute(incarnation)
            return
        self._queue.add(_accusation(Type.SUSPECT, incarnation, name, accuser), key=name)
        node.incarnation, node.state, node.changed_at = incarnation, State.SUSPECT, self.now
        suspicion = Suspicion(self.config, nodes=len(self.nodes), accuser=accuser)
        timer = self._timers.at(self.now + suspicion.timeout, lambda: self._condemn(name))
        self._suspects[name] = _Suspect(suspicion, timer)

    def _condemn(self, name: str) -> None:
        node = self.nodes.get(name)
        if node is not None and node.state is State.SUSPECT:
            self._take_dead(name, node.incarnation, self.name)

    def _take_dead(self, name: str, incarnation: int, accuser: str) -> None:
        node = self.nodes.get(name)
        if node is None or incarnation < node.incarnation:
            return
        if node.gone:
            return
        if name == self.name:
            if not self.leaving:
                self._refute(incarnation)
            return
        self._unsuspect(name)
        self._queue.add(_accusation(Type.DEAD, incarnation, name, accuser), key=name)
        node.incarnation = incarnation
        node.state = State.LEFT if name == accuser else State.DEAD
        node.changed_at = self.now
        self._delegate.node_left(node)

    def _refute(self, incarnation: int) -> None:
        self._incarnation = min(max(self._incarnation, incarnation) + 1, MAX_SEQUENCE)
        self.awareness.apply(1)
        own = self.nodes[self.name]
        own.incarnation = self._incarnation
        self._queue.add(self._alive_message(own), key=self.name)

    def _unsuspect(self, name: str) -> None:
        suspect = self._suspects.pop(name, None)
        if suspect is not None:
            suspect.timer.cancel()

    # Gossip

    def arm_gossip(self) -> None:
        """Gossip soon: something waits to be sent. An idle node does not tick."""
        if self._gossip_timer is None:
            self._gossip_timer = self.after(self.random.uniform(0, self.config.gossip_interval), self._gossip)

    def _gossip(self) -> None:
        self._gossip_timer = None
        peers = self.pick(
            self.config.gossip_nodes, lambda node: node.state is not State.LEFT and not self.is_long_gone(node)
        )
        for node in peers:
            messages = self._take_gossip(self._room([]))
            if messages:
                self.send(messages, node)
        if peers and (self._queue or self._delegate.has_broadcasts()):
            self._gossip_timer = self.after(self.config.gossip_interval, self._gossip)

    def _take_gossip(self, room: int) -> list[bytes]:
        limit = self.transmit_limit
        messages = self._queue.take(room, _PART_OVERHEAD, limit)
        room -= sum(len(message) + _PART_OVERHEAD for message in messages)
        user = self._delegate.take_broadcasts(room, _PART_OVERHEAD + 1, limit)
        return (messages + [bytes((Type.USER,)) + message for message in user])[:254]

    def send_with_gossip(self, messages: list[bytes], address: Address) -> None:
        self._send(messages + self._take_gossip(self._room(messages)), address, crc=False)

    def _room(self, messages: list[bytes]) -> int:
        used = sum(len(message) + _PART_OVERHEAD for message in messages)
        return self.config.packet_bytes - _COMPOUND_OVERHEAD - (OVERHEAD_BYTES if self.keyring else 0) - used

    def _send(self, messages: list[bytes], address: Address, *, crc: bool) -> None:
        self._datagrams.append((pack(messages, crc=crc, keyring=self.keyring, nonce=self._nonce()), address))

    def _nonce(self) -> bytes:
        return self.random.randbytes(NONCE_BYTES) if self.keyring is not None else b""

    # Full exchange

    def _push_pull_tick(self) -> None:
        self.after(push_pull_period(self.config.push_pull_interval, len(self.nodes)), self._push_pull_tick)
        for node in self.pick(1, lambda node: node.state is State.ALIVE and not self.leaving):
            self._exchange_with(node)

    def _exchange_with(self, node: Node) -> None:
        def replied(message: StreamMessage | None, error: str) -> None:
            if message is not None and message.kind == Type.PUSH_PULL:
                self._merge(message)
            elif error:
                self.ignored(f"full exchange with {node.name!r}: {error}", node.address)

        self.open(node.address, self._local_state(join=False), self.config.tcp_timeout, replied)

    def _local_state(self, *, join: bool) -> bytes:
        nodes = [record_of(node) for node in self.nodes.values()]
        return push_pull(join=join, nodes=nodes, state=self._delegate.local_state())

    def _merge_contained(self, message: StreamMessage) -> None:
        """Merge what a peer sent; it gets this node's state even if its own is refused, as from a stock agent."""
        try:
            self._merge(message)
        except MalformedMessageError as exc:
            self.ignored(f"full exchange refused: {exc}", None)

    def _merge(self, message: StreamMessage) -> None:
        remote = [RemoteNode(fields) for fields in message.nodes]
        check_versions([*self.nodes.values(), *remote])
        for node in remote:
            try:
                self._merge_node(node)
            except MalformedMessageError as exc:
                self.ignored(str(exc), None)
        if message.state:
            self._delegate.merge_state(message.state, join=message.fields.flag("Join"))

    def _merge_node(self, node: RemoteNode) -> None:
        match node.state:
            case State.ALIVE:
                port = node.port or self._address[1]
                self._take_alive(node.name, node.ip, port, node.meta, node.versions, node.incarnation)
            case State.LEFT:
                self._take_dead(node.name, node.incarnation, node.name)
            case State.DEAD | State.SUSPECT:
                # A third party's word is never taken at once: the node may be back, and refutes.
                self.accuse(node.name, node.incarnation, self.name)

    # What the prober and the layer above use

    def measured(self, node: Node, seconds: float, payload: bytes) -> None:
        """Keep what a direct round trip took; ``payload`` came with its ack."""
        node.rtt = seconds
        self._delegate.measured(node, seconds, payload)

    def ignored(self, reason: str, source: Address | None) -> None:
        """Report something strange."""
        self._delegate.ignored(reason, source)

    def accusation(self, node: Node) -> bytes:
        """Return the message that this node suspects ``node``."""
        return _accusation(Type.SUSPECT, node.incarnation, node.name, self.name)

    def pick(self, count: int, accept: Callable[[Node], bool]) -> list[Node]:
        """Return up to ``count`` random others that ``accept`` likes."""
        nodes = [node for node in self.nodes.values() if node.name != self.name and accept(node)]
        return self.random.sample(nodes, min(count, len(nodes)))

    def is_long_gone(self, node: Node) -> bool:
        """Return whether ``node`` is dead for so long that nobody has to tell it any more."""
        return node.gone and self.now - node.changed_at > self.config.gossip_to_the_dead

    def send(self, messages: list[bytes], node: Node) -> None:
        """Send to a known node."""
        self._send(messages, node.address, crc=node.speaks(5))

    def open(
        self,
        address: Address,
        message: bytes,
        timeout: float,
        replied: Replied,
    ) -> None:
        self._stream_id += 1
        self._replies[self._stream_id] = replied
        self._streams.append(StreamToOpen(self._stream_id, address, self.framed(message), timeout))

    def _repeat(self, interval: float, callback: Callable[[], None], first: float) -> None:
        def tick() -> None:
            self.after(interval, tick)
            callback()

        self.after(first, tick)

    def next_sequence(self) -> int:
        self._sequence = self._sequence % MAX_SEQUENCE + 1
        return self._sequence

    def ping_message(self, sequence: int, target: str) -> bytes:
        return encode(Type.PING, {"SeqNo": sequence, "Node": target} | self.source())

    def source(self) -> dict[str, Any]:
        return {"SourceAddr": packed_ip(self._address[0]), "SourcePort": self._address[1], "SourceNode": self.name}

    def _alive_message(self, node: Node) -> bytes:
        return encode(
            Type.ALIVE,
            {
                "Incarnation": node.incarnation,
                "Node": node.name,
                "Addr": node.ip,
                "Port": node.port,
                "Meta": node.meta,
                "Vsn": node.versions,
            },
        )


def _accusation(kind: Type, incarnation: int, name: str, accuser: str) -> bytes:
    return encode(kind, {"Incarnation": incarnation, "Node": name, "From": accuser})


def _reply_address(fields: Fields, source: Address) -> Address:
    ip = fields.raw("SourceAddr", 16)
    return address_of(ip, fields.uint("SourcePort", 16)) if ip else source
