"""One UDP datagram: wrappers around messages, peeled from the outside.

::

    [encrypted: version, nonce, ciphertext, tag]      all or nothing, by the keyring
      [12 | crc32 (4) | ...]                          from senders that know the receiver
        [7 | count (1) | length (2) each | messages]  several in one
          [9 | map {Algo, Buf}]                       LZW
            type (1) | map

Sent: compound, CRC, encryption; never compression, which every receiver does without.

Source: memberlist ``net.go``, ``util.go``.
"""

import struct
import zlib
from dataclasses import dataclass

from proglog.gossip.codec import decode_map
from proglog.gossip.errors import MalformedMessageError
from proglog.gossip.keyring import Keyring
from proglog.gossip.lzw import decompress
from proglog.gossip.messages import Compressed, Kind

MAX_DATAGRAM_BYTES = 65_536
MAX_UNPACKED_BYTES = 1 << 20
"""What all compressed parts of one datagram may come to."""
MAX_DEPTH = 4
MAX_PARTS = 255
COMPOUND_HEADER_BYTES = 2
COMPOUND_PART_BYTES = 2
CRC_BYTES = 5


@dataclass(slots=True)
class _Peeling:
    messages: list[bytes]
    budget: int


def decode_packet(data: bytes, keyring: Keyring | None) -> list[bytes]:
    """Return the messages in a datagram, each with its type byte.

    Raises:
        MalformedMessageError: Not sealed with one of our keys, a wrong checksum, or not such a packet.
    """
    if keyring is not None:
        data = keyring.open(data)
    if len(data) >= CRC_BYTES and data[0] == Kind.HAS_CRC:
        if zlib.crc32(data[CRC_BYTES:]) != int.from_bytes(data[1:CRC_BYTES], "big"):
            raise MalformedMessageError("packet: the checksum does not agree")
        data = data[CRC_BYTES:]
    peeling = _Peeling([], MAX_UNPACKED_BYTES)
    _peel(data, peeling, 0)
    return peeling.messages


def encode_packet(messages: list[bytes], *, crc: bool, keyring: Keyring | None, nonce: bytes) -> bytes:
    """Return one datagram with 1 to 255 ``messages``."""
    assert 1 <= len(messages) <= MAX_PARTS, "a compound counts its parts in one byte"
    assert all(messages), "an empty part makes older agents exit"
    packet = messages[0] if len(messages) == 1 else _compound(messages)
    if crc:
        packet = struct.pack(">BI", Kind.HAS_CRC, zlib.crc32(packet)) + packet
    return packet if keyring is None else keyring.seal(packet, nonce=nonce)


def inflate(message: Compressed, max_bytes: int) -> bytes:
    """Return what ``message`` holds.

    Raises:
        MalformedMessageError: An unknown algorithm, not LZW, or more than ``max_bytes``.
    """
    if message.algorithm != 0:
        raise MalformedMessageError(f"compression algorithm {message.algorithm} is unknown")
    return decompress(message.buffer, max_bytes)


def _compound(messages: list[bytes]) -> bytes:
    lengths = [len(message) for message in messages]
    return struct.pack(f">BB{len(lengths)}H", Kind.COMPOUND, len(lengths), *lengths) + b"".join(messages)


def _peel(data: bytes, peeling: _Peeling, depth: int) -> None:
    if not data or depth > MAX_DEPTH:
        raise MalformedMessageError("packet: an empty message" if not data else "packet: wrapped too often")
    if data[0] == Kind.COMPOUND:
        for part in _parts(data):
            _peel(part, peeling, depth + 1)
    elif data[0] == Kind.COMPRESSED:
        unpacked = inflate(decode_map(Compressed, data[1:]), peeling.budget)
        peeling.budget -= len(unpacked)
        _peel(unpacked, peeling, depth + 1)
    elif len(peeling.messages) < MAX_PARTS:
        peeling.messages.append(data)


def _parts(data: bytes) -> list[bytes]:
    """Return the whole, non-empty parts of a compound; a tail that was cut off is left out."""
    count = data[1] if len(data) > 1 else 0
    start = COMPOUND_HEADER_BYTES + COMPOUND_PART_BYTES * count
    if len(data) < start:
        raise MalformedMessageError("packet: a compound shorter than its table of lengths")
    parts: list[bytes] = []
    for (length,) in struct.iter_unpack(">H", data[COMPOUND_HEADER_BYTES:start]):
        if start + length > len(data):
            break
        if length:
            parts.append(data[start : start + length])
        start += length
    return parts
