"""What this node sends: datagrams with piggybacked gossip, gossip rounds when broadcasts wait, streams.

An idle node does not tick: a round is due only while a broadcast has transmits left and a member to go to.

Source: SWIM, section 4.1; memberlist ``state.go`` (``gossip``), ``net.go`` (``encodeAndSendMsg``).
"""

from collections.abc import Callable
from dataclasses import dataclass
from random import Random

from proglog.gossip import label
from proglog.gossip.broadcasts import BroadcastQueue
from proglog.gossip.config import GossipConfig
from proglog.gossip.delegate import Delegate
from proglog.gossip.errors import MalformedMessageError
from proglog.gossip.framing import StreamMessage, frame, pack
from proglog.gossip.keyring import NONCE_BYTES, OVERHEAD_BYTES, Keyring
from proglog.gossip.member import Address, Node, State
from proglog.gossip.nodes import Nodes
from proglog.gossip.timers import Timer, Timers
from proglog.gossip.wire import Type, printable

MAX_SEQUENCE = (1 << 32) - 1
MAX_ERROR_BYTES = 64 * 1024
MAX_ERROR_CHARS = 300
"""Most characters of a peer's error message; the rest is cut off."""
REFUSED = "refused: "
"""Prefix of the reason when a peer refuses what it got."""
_MAX_PARTS = 254
_PART_OVERHEAD = 2
_COMPOUND_OVERHEAD = 2
_CRC_BYTES = 5
_USER_OVERHEAD = _PART_OVERHEAD + 1

Replied = Callable[[StreamMessage | None, str], None]
"""Gets the reply on a stream, or the reason for none."""


@dataclass(frozen=True, slots=True)
class StreamToOpen:
    """A stream for the driver to open: send the bytes, feed what comes back until a message is whole."""

    id: int
    address: Address
    data: bytes
    timeout: float


class Outbox:
    """Collects what the driver sends."""

    def __init__(
        self,
        nodes: Nodes,
        config: GossipConfig,
        keyring: Keyring | None,
        own_label: bytes,
        random: Random,
        timers: Timers,
        delegate: Delegate,
    ) -> None:
        """Start empty. ``random`` makes nonces: the system's in production."""
        self._nodes = nodes
        self._config = config
        self._keyring = keyring
        self._label = own_label
        self._overhead = (
            _COMPOUND_OVERHEAD + _CRC_BYTES + (OVERHEAD_BYTES if keyring else 0) + label.overhead(own_label)
        )
        self.broadcasts = BroadcastQueue(self.arm_gossip, self._room([]) - _PART_OVERHEAD, nodes.__len__)
        """Broadcasts about nodes; the layer above keeps its own queues."""
        self._random = random
        self._timers = timers
        self._delegate = delegate
        self._sequence = 0
        self._gossip_timer: Timer | None = None
        self._may_have_gossip = False
        self._datagrams: list[tuple[bytes, Address]] = []
        self._streams: list[StreamToOpen] = []
        self._stream_id = 0
        self._replies: dict[int, Replied] = {}

    def next_sequence(self) -> int:
        """Return a number for a ping, 1 to ``MAX_SEQUENCE``."""
        self._sequence = self._sequence % MAX_SEQUENCE + 1
        return self._sequence

    def user_queue(self) -> BroadcastQueue:
        """Return a queue for messages of the layer above: no longer than a packet holds."""
        return BroadcastQueue(self.arm_gossip, self._room([]) - _USER_OVERHEAD, self._nodes.__len__)

    # Datagrams

    def send(self, messages: list[bytes], node: Node) -> None:
        """Send to a known node, without piggybacked gossip."""
        self._pack(messages, node.address, crc=node.speaks(5))

    def send_with_gossip(self, messages: list[bytes], address: Address) -> None:
        """Send, and fill the rest of the packet with broadcasts if a member is at ``address``.

        A stranger gets no gossip: its pings would use up the transmits meant for members.
        """
        if self._has_gossip() and self._nodes.member_at(address):
            messages = messages + self._take_gossip(self._room(messages))
        self._pack(messages, address, crc=False)

    def send_plain(self, message: bytes, address: Address) -> None:
        """Send one message to an address without a known node."""
        self._pack([message], address, crc=False)

    def send_user(self, data: bytes, address: Address) -> None:
        """Send a message of the layer above straight to ``address``."""
        self.send_plain(bytes((Type.USER,)) + data, address)

    def take_datagrams(self) -> list[tuple[bytes, Address]]:
        """Return and forget the datagrams to send."""
        if not self._datagrams:
            return []
        out, self._datagrams = self._datagrams, []
        return out

    # Gossip

    def arm_gossip(self) -> None:
        """Schedule a gossip round: a broadcast waits."""
        self._may_have_gossip = True
        if self._gossip_timer is None:
            self._gossip_timer = self._timers.after(self._random.uniform(0, self._config.gossip_interval), self._gossip)

    def _gossip(self) -> None:
        self._gossip_timer = None
        peers = self._nodes.pick(
            self._config.gossip_nodes, lambda node: node.state is not State.LEFT and not self._nodes.is_long_gone(node)
        )
        for node in peers:
            messages = self._take_gossip(self._room([]))
            if messages:
                self.send(messages, node)
        if peers and self._has_gossip():
            self._gossip_timer = self._timers.after(self._config.gossip_interval, self._gossip)

    def _has_gossip(self) -> bool:
        if self._may_have_gossip:
            self._may_have_gossip = bool(self.broadcasts) or self._delegate.has_broadcasts()
        return self._may_have_gossip

    def _take_gossip(self, room: int) -> list[bytes]:
        limit = self._nodes.transmit_limit
        messages = self.broadcasts.take(room, _PART_OVERHEAD, limit)
        room -= sum(len(message) + _PART_OVERHEAD for message in messages)
        user = self._delegate.take_broadcasts(room, _USER_OVERHEAD, limit)
        return (messages + [bytes((Type.USER,)) + message for message in user])[:_MAX_PARTS]

    def _room(self, messages: list[bytes]) -> int:
        used = sum(len(message) + _PART_OVERHEAD for message in messages)
        return self._config.packet_bytes - self._overhead - used

    def _pack(self, messages: list[bytes], address: Address, *, crc: bool) -> None:
        data = pack(messages, crc=crc, keyring=self._keyring, nonce=self._nonce(), label=self._label)
        self._datagrams.append((data, address))

    def _nonce(self) -> bytes:
        return self._random.randbytes(NONCE_BYTES) if self._keyring is not None else b""

    # Streams

    def open_stream(self, address: Address, message: bytes, timeout: float, replied: Replied) -> None:
        """Send ``message`` over a stream of its own; ``replied`` is called once, with the reply or the reason for none."""
        self._stream_id += 1
        self._replies[self._stream_id] = replied
        data = label.labelled(self.framed(message), self._label)
        self._streams.append(StreamToOpen(self._stream_id, address, data, timeout))

    def framed(self, message: bytes) -> bytes:
        """Return a message as it goes over a stream, but for the label before a request."""
        return frame(message, self._keyring, self._nonce(), self._label)

    def take_streams(self) -> list[StreamToOpen]:
        """Return and forget the streams to open."""
        if not self._streams:
            return []
        out, self._streams = self._streams, []
        return out

    def stream_answered(self, stream_id: int, message: StreamMessage) -> None:
        """Hand the reply to the requester."""
        reply = self._replies.pop(stream_id, None)
        if reply is None:
            return
        try:
            error = message.fields.text("Error", MAX_ERROR_BYTES)[:MAX_ERROR_CHARS]
            if message.kind == Type.ERROR:
                reply(None, f"{REFUSED}{printable(error)}")
            else:
                reply(message, "")
        except MalformedMessageError as exc:
            reply(None, f"the reply is malformed: {exc}")

    def stream_failed(self, stream_id: int, reason: str) -> None:
        """Report to the requester that the stream failed."""
        reply = self._replies.pop(stream_id, None)
        if reply is not None:
            reply(None, reason)
