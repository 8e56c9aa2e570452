"""Framing of messages: compound, compression, CRC and encryption in datagrams, and lengths in streams.

::

    datagram   [ label [ encryption [ crc [ compress [ compound [ message ... ] ] ] ] ] ]      any of the brackets may be missing
    stream     [ label [ 10, length, encryption [ compress [ message ] ] ] ]           without encryption there is no length

Source: memberlist ``net.go``, ``util.go``; a stock agent's traffic.
"""

import struct
import zlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from proglog.gossip import lzw
from proglog.gossip.errors import MalformedMessageError
from proglog.gossip.keyring import Keyring
from proglog.gossip.label import HAS_LABEL, labelled, unlabelled
from proglog.gossip.wire import Fields, Type, decode, encode_map, next_map, reader

MAX_PACKET_OUTPUT = 64 * 1024
"""Most decompressed bytes of one datagram: no plain datagram is longer."""
MAX_PACKET_COMPRESSED = 16 * 1024
"""A compressed part of a datagram: agents fill them up to 1,400 bytes, and single messages have some 10,000."""
MAX_PACKET_MESSAGES = 1024
MAX_STREAM_BYTES = 20 * 1024 * 1024
MAX_PLAIN_STREAM_BYTES = 4 * 1024 * 1024
MAX_NODES_IN_STREAM = 100_000
_DEPTH = 4
_LABELLED = bytes((HAS_LABEL,))
_WRAPPERS = (Type.COMPOUND, Type.COMPRESS)
_FRAME = struct.Struct(">BI")


def unpack(
    data: bytes, keyring: Keyring | None, spend: Callable[[int], None] = lambda _bytes: None, *, label: bytes = b""
) -> list[bytes]:
    """Return the messages of a datagram, each with its type byte.

    Args:
        data: The datagram.
        keyring: Opens it; ``None``: it is plain.
        spend: Called with the number of bytes about to be decompressed; raises to refuse them.
        label: The cluster's.

    Raises:
        MalformedMessageError: Not of the protocol, of another label, or not sealed with a key of ours.
    """
    inner = unlabelled(data, label) if label or data[:1] == _LABELLED else data
    if inner is None:
        raise MalformedMessageError("a label is cut short")
    data = inner if keyring is None else _opened(inner, keyring, label)
    if len(data) >= 5 and data[0] == Type.HAS_CRC:
        if zlib.crc32(data[5:]) != int.from_bytes(data[1:5], "big"):
            raise MalformedMessageError("the datagram's CRC does not agree with it")
        data = data[5:]
    if data and data[0] not in _WRAPPERS:
        return [data]
    peeled = _Peeled(spend)
    peeled.take(data, _DEPTH)
    return peeled.messages


def pack(messages: Sequence[bytes], *, crc: bool, keyring: Keyring | None, nonce: bytes, label: bytes = b"") -> bytes:
    """Return the datagram of one or more messages."""
    assert messages, "a datagram holds at least one message"
    assert all(messages), "an empty part makes older agents exit"
    data = messages[0] if len(messages) == 1 else _compound(messages)
    if crc:
        data = bytes((Type.HAS_CRC,)) + zlib.crc32(data).to_bytes(4, "big") + data
    if keyring is not None and keyring.seals:
        data = keyring.seal(data, nonce=nonce, header=label)
    return labelled(data, label)


def frame(message: bytes, keyring: Keyring | None, nonce: bytes, label: bytes = b"") -> bytes:
    """Return a stream's message as it is sent, but for the label before a request."""
    if keyring is None or not keyring.seals:
        return message
    header = _FRAME.pack(Type.ENCRYPT, len(message) + 29)
    return header + keyring.seal(message, nonce=nonce, header=header + label)


@dataclass(slots=True)
class StreamMessage:
    """A whole message from a stream."""

    kind: int
    fields: Fields
    nodes: list[Fields] = field(default_factory=list)
    """The node records of a push/pull."""
    state: bytes = b""
    """Serf's part of a push/pull; the whole of a user message."""


class StreamReader:
    """Collects bytes until a message is whole: the end of a message isn't the end of the stream."""

    def __init__(self, keyring: Keyring | None, label: bytes = b"", *, is_reply: bool = False) -> None:
        """Read a request, or a reply, which has no header of the cluster's ``label``."""
        self._keyring = keyring
        self._label = label
        self._labelled = not is_reply
        self._buffer = bytearray()
        self._plain: _PlainReader | None = None

    def feed(self, data: bytes) -> StreamMessage | None:
        """Return the message once it is whole.

        Raises:
            MalformedMessageError: Not of the protocol, of another label, too long, or not sealed with a key of ours.
        """
        if self._plain is not None:
            return self._plain.feed(data)
        self._buffer += data
        if not self._buffer:
            return None
        foreign = spoken(self._buffer)
        if foreign:
            raise MalformedMessageError(f"the other side speaks {foreign}, not gossip")
        if self._labelled:
            inner = unlabelled(bytes(self._buffer), self._label)
            if inner is None:
                return None
            self._labelled, self._buffer = False, bytearray(inner)
            if not self._buffer:
                return None
        encrypted = self._buffer[0] == Type.ENCRYPT
        if encrypted and self._keyring is None:
            raise MalformedMessageError("Remote state is encrypted and encryption is not configured")
        if not encrypted and self._keyring is not None and self._keyring.requires:
            raise MalformedMessageError("Encryption is configured but remote state is not encrypted")
        if not encrypted or self._keyring is None:
            self._plain = _PlainReader(MAX_PLAIN_STREAM_BYTES)
            return self._plain.feed(bytes(self._buffer))
        if len(self._buffer) < _FRAME.size:
            return None
        _, length = _FRAME.unpack_from(self._buffer)
        if length > MAX_STREAM_BYTES:
            raise MalformedMessageError(f"a stream of {length:,} bytes; the limit is {MAX_STREAM_BYTES:,}")
        if len(self._buffer) < _FRAME.size + length:
            return None
        header, sealed = bytes(self._buffer[: _FRAME.size]), bytes(self._buffer[_FRAME.size : _FRAME.size + length])
        return _whole(self._keyring.open(sealed, header=header + self._label))


class _PlainReader:
    """A message without a length: its maps say where it ends."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._data = bytearray()
        self._unpacker = reader(limit)
        self._head: dict[Any, Any] | None = None
        self._nodes: list[Fields] = []

    def feed(self, data: bytes) -> StreamMessage | None:
        fresh = data if self._data else data[1:]
        self._data += data
        if len(self._data) > self._limit:
            raise MalformedMessageError(f"a stream of more than {self._limit:,} bytes")
        if not self._data:
            return None
        self._unpacker.feed(fresh)
        kind = self._data[0]
        if self._head is None:
            self._head = next_map(self._unpacker)
            if self._head is None:
                return None
        head = Fields(self._head)
        if kind == Type.COMPRESS:
            return _whole(_decompress(head, MAX_STREAM_BYTES))
        if kind == Type.PUSH_PULL:
            count = head.uint("Nodes")
            if count > MAX_NODES_IN_STREAM:
                raise MalformedMessageError(f"a state of {count} nodes; the limit is {MAX_NODES_IN_STREAM}")
            while len(self._nodes) < count:
                node = next_map(self._unpacker)
                if node is None:
                    return None
                self._nodes.append(Fields(node))
            return self._with_rest(kind, head, head.uint("UserStateLen"))
        if kind == Type.USER:
            return self._with_rest(kind, head, head.uint("UserMsgLen"))
        return StreamMessage(kind, head)

    def _with_rest(self, kind: int, head: Fields, length: int) -> StreamMessage | None:
        start = 1 + self._unpacker.tell()
        if len(self._data) < start + length:
            if length > self._limit:
                raise MalformedMessageError(f"a stream of more than {self._limit:,} bytes")
            return None
        return StreamMessage(kind, head, self._nodes, bytes(self._data[start : start + length]))


def spoken(data: bytes | bytearray) -> str:
    """Return the other protocol that begins like ``data``; empty for gossip and for anything unknown."""
    if data.startswith(b"PRI * HTTP/2") or (len(data) >= 5 and data[:2] == b"\0\0" and data[3:5] == b"\x04\0"):
        return "HTTP/2 (gRPC)"  # a client's preface; a server's settings: no message of ours begins with two zeros
    if data[:2] in (b"\x16\x03", b"\x15\x03"):
        return "TLS"
    if data.startswith((b"GET ", b"POST ", b"HEAD ", b"HTTP/1")):
        return "HTTP"
    return "SSH" if data.startswith(b"SSH-") else ""


def push_pull(*, join: bool, nodes: Sequence[bytes], state: bytes) -> bytes:
    """Return a push/pull message of records that are encoded already."""
    head = encode_map({"Join": join, "Nodes": len(nodes), "UserStateLen": len(state)})
    return bytes((Type.PUSH_PULL,)) + head + b"".join(nodes) + state


def _whole(data: bytes) -> StreamMessage:
    message = _PlainReader(MAX_STREAM_BYTES).feed(data)
    if message is None:
        raise MalformedMessageError("a stream's message is cut short")
    return message


def _opened(data: bytes, keyring: Keyring, label: bytes) -> bytes:
    """Return the decrypted contents of a datagram; a plain datagram unchanged, if those are accepted."""
    try:
        return keyring.open(data, header=label)
    except MalformedMessageError:
        if keyring.requires:
            raise
        return data


class _Peeled:
    """The messages of one datagram, and what decompressing the rest of it may still cost."""

    def __init__(self, spend: Callable[[int], None]) -> None:
        self.messages: list[bytes] = []
        self._budget = MAX_PACKET_OUTPUT
        self._spend = spend

    def take(self, data: bytes, depth: int) -> None:
        if not data or not depth:
            raise MalformedMessageError("messages nested too deep" if data else "an empty message")
        if data[0] == Type.COMPRESS:
            if len(data) > MAX_PACKET_COMPRESSED:
                raise MalformedMessageError(f"a compressed message of {len(data):,} bytes in a datagram")
            self._spend(len(data))
            plain = _decompress(decode(data[1:]), self._budget)
            self._budget -= len(plain)
            self.take(plain, depth - 1)
        elif data[0] == Type.COMPOUND:
            for part in _parts(data):
                self.take(part, depth - 1)
        elif len(self.messages) < MAX_PACKET_MESSAGES:
            self.messages.append(data)


def _parts(data: bytes) -> list[bytes]:
    """Return the parts of a compound message; empty ones, and a tail that was cut off, are left out."""
    count = data[1] if len(data) > 1 else 0
    start = 2 + 2 * count
    if not count or len(data) < start:
        raise MalformedMessageError("a compound message is cut short")
    parts: list[bytes] = []
    for length in struct.unpack_from(f">{count}H", data, 2):
        part = data[start : start + length]
        if length and len(part) == length:
            parts.append(part)
        start += length
    return parts


def _decompress(fields: Fields, limit: int) -> bytes:
    if fields.uint("Algo") != 0:
        raise MalformedMessageError("compressed by an unknown algorithm")
    return lzw.decompress(fields.raw("Buf", MAX_STREAM_BYTES), limit)


def _compound(messages: Sequence[bytes]) -> bytes:
    assert len(messages) < 256, "a compound message counts its parts in one byte"
    lengths = struct.pack(f">{len(messages)}H", *map(len, messages))
    return bytes((Type.COMPOUND, len(messages))) + lengths + b"".join(messages)
