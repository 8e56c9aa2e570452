"""One message over TCP: a parser that takes bytes as they come and never waits for the end.

The peer keeps the connection open for our reply, and plain messages have no length, so only the content says where a
message ends::

    [10 | length (4, big-endian) | version, nonce, ciphertext, tag]    the 5 bytes are authenticated too
      [9 | map {Algo, Buf}]
        6 | header map | node maps | Serf state      full exchange
        0 | map                                      ping; answered with 2 | map
        8 | header map | message                     user message
       13 | map                                      error

Source: memberlist ``net.go``.
"""

import struct
from dataclasses import dataclass
from typing import Any

from proglog.gossip.codec import MapReader, encode_map
from proglog.gossip.errors import MalformedMessageError
from proglog.gossip.keyring import OVERHEAD_BYTES, Keyring
from proglog.gossip.messages import (
    KINDS,
    Compressed,
    ErrorReply,
    Kind,
    NodeState,
    PushPullHeader,
    UserHeader,
    encode,
)
from proglog.gossip.packet import inflate

MAX_STREAM_BYTES = 20 << 20
MAX_INFLATED_BYTES = 40 << 20
MAX_STREAM_NODES = 65_536
_FRAME_HEADER_BYTES = 5


@dataclass(frozen=True, slots=True, kw_only=True)
class PushPull:
    """Everything a node knows."""

    join: bool
    """Whether the sender is joining."""
    nodes: tuple[NodeState, ...]
    """All nodes it knows, itself included."""
    user_state: bytes
    """Serf's part, with Serf's type byte; may be empty."""


@dataclass(frozen=True, slots=True, kw_only=True)
class UserMessage:
    """A Serf message that came over a stream."""

    data: bytes
    """With Serf's type byte."""


class StreamReader:
    """Takes bytes, returns the one message they make."""

    def __init__(self, keyring: Keyring | None) -> None:
        """Expect an encrypted frame with a ``keyring``, a plain one without."""
        self._keyring = keyring
        self._frame = bytearray()
        self._plain = _PlainReader(MAX_STREAM_BYTES, compressed=True)
        self._received = 0
        self._encrypted: bool | None = None

    def feed(self, data: bytes) -> Any:
        """Add ``data``; return the message once it is whole, ``None`` before.

        Raises:
            MalformedMessageError: Not a message, over a limit, or encryption is on at one side only.
        """
        self._received += len(data)
        if self._received > MAX_STREAM_BYTES:
            raise MalformedMessageError(f"stream: more than {MAX_STREAM_BYTES:,} bytes")
        if self._encrypted is None and data:
            self._encrypted = data[0] == Kind.ENCRYPTED
            if self._encrypted != (self._keyring is not None):
                raise MalformedMessageError(
                    "Remote state is encrypted and encryption is not configured"
                    if self._encrypted
                    else "Encryption is configured but remote state is not encrypted"
                )
        return self._feed_frame(data) if self._encrypted else self._plain.feed(data)

    def _feed_frame(self, data: bytes) -> Any:
        self._frame += data
        if len(self._frame) < _FRAME_HEADER_BYTES:
            return None
        size = int.from_bytes(self._frame[1:_FRAME_HEADER_BYTES], "big")
        if size > MAX_STREAM_BYTES - _FRAME_HEADER_BYTES:
            raise MalformedMessageError(f"stream: a frame of {size:,} bytes; the limit is {MAX_STREAM_BYTES:,}")
        if len(self._frame) < _FRAME_HEADER_BYTES + size:
            return None
        assert self._keyring is not None, "checked at the first byte"
        header = bytes(self._frame[:_FRAME_HEADER_BYTES])
        sealed = bytes(self._frame[_FRAME_HEADER_BYTES : _FRAME_HEADER_BYTES + size])
        return _whole(self._plain, self._keyring.open(sealed, header=header))


class _PlainReader:
    """The same without encryption. A phase is a method that returns whether it got what it needs."""

    def __init__(self, max_bytes: int, *, compressed: bool) -> None:
        self._maps = MapReader(max_bytes)
        self._may_be_compressed = compressed
        self._kind: int | None = None
        self._header: PushPullHeader | UserHeader | None = None
        self._nodes: list[NodeState] = []
        self._tail = bytearray()

    def feed(self, data: bytes) -> Any:
        self._maps.feed(data)
        if self._kind is None:
            first = self._maps.take(1)
            if not first:
                return None
            self._kind = first[0]
        if self._kind == Kind.PUSH_PULL:
            return self._push_pull()
        if self._kind == Kind.USER:
            return self._user_message()
        if self._kind == Kind.COMPRESSED and self._may_be_compressed:
            compressed = self._maps.next_map(Compressed)
            if compressed is None:
                return None
            return _whole(_PlainReader(MAX_INFLATED_BYTES, compressed=False), inflate(compressed, MAX_INFLATED_BYTES))
        if self._kind not in (Kind.PING, Kind.ACK, Kind.ERROR):
            raise MalformedMessageError(f"stream: message of unexpected type {self._kind}")
        return self._maps.next_map(KINDS[self._kind])

    def _push_pull(self) -> PushPull | None:
        header = self._header = self._header or self._maps.next_map(PushPullHeader)
        if not isinstance(header, PushPullHeader):
            return None
        if header.nodes > MAX_STREAM_NODES or header.user_state_bytes > MAX_INFLATED_BYTES:
            raise MalformedMessageError(f"stream: {header.nodes:,} nodes, {header.user_state_bytes:,} bytes of state")
        while len(self._nodes) < header.nodes:
            node = self._maps.next_map(NodeState)
            if node is None:
                return None
            self._nodes.append(node)
        if not self._take_tail(header.user_state_bytes):
            return None
        return PushPull(join=header.join, nodes=tuple(self._nodes), user_state=bytes(self._tail))

    def _user_message(self) -> UserMessage | None:
        header = self._header = self._header or self._maps.next_map(UserHeader)
        if not isinstance(header, UserHeader) or not self._take_tail(header.bytes):
            return None
        return UserMessage(data=bytes(self._tail))

    def _take_tail(self, size: int) -> bool:
        self._tail += self._maps.take(size - len(self._tail))
        return len(self._tail) == size


def _whole(reader: _PlainReader, data: bytes) -> Any:
    message = reader.feed(data)
    if message is None:
        raise MalformedMessageError("stream: the message in the frame is cut short")
    return message


def encode_push_pull(state: PushPull) -> bytes:
    """Return a full exchange's message."""
    header = PushPullHeader(join=state.join, nodes=len(state.nodes), user_state_bytes=len(state.user_state))
    records = b"".join(encode_map(node) for node in state.nodes)
    return bytes((Kind.PUSH_PULL,)) + encode_map(header) + records + state.user_state


def encode_stream(message: bytes, *, keyring: Keyring | None, nonce: bytes) -> bytes:
    """Return what to send for ``message`` on a stream."""
    if keyring is None:
        return message
    header = struct.pack(">BI", Kind.ENCRYPTED, len(message) + OVERHEAD_BYTES)
    return header + keyring.seal(message, nonce=nonce, header=header)


def encode_error(reason: str) -> bytes:
    """Return the message that refuses a stream."""
    return encode(ErrorReply(error=reason))
