"""Messages of memberlist and Serf as msgpack maps, in the old dialect that every version reads: raw strings only.

Input is untrusted: a field that is missing or nil is zero, unknown fields are ignored, and a value of the wrong type or
out of its bounds is an error. Strings are bytes on the wire; names keep theirs by ``surrogateescape``.

Source: the captured traffic of stock agents; memberlist ``net.go``, serf ``messages.go``.
"""

from collections.abc import Iterable, Mapping
from enum import IntEnum
from typing import Any

import msgpack

from proglog.gossip.errors import MalformedMessageError

MAX_NAME_BYTES = 512
MAX_META_BYTES = 512
MAX_ITEMS = 65_536
"""Most entries of one map."""
MAX_LIST = 8192
"""Most items of one list. The decoder allocates a whole list before it reads it: this bounds hostile lengths."""


class Type(IntEnum):
    """First byte of a memberlist message."""

    PING = 0
    INDIRECT_PING = 1
    ACK = 2
    SUSPECT = 3
    ALIVE = 4
    DEAD = 5
    PUSH_PULL = 6
    COMPOUND = 7
    USER = 8
    COMPRESS = 9
    ENCRYPT = 10
    NACK = 11
    HAS_CRC = 12
    ERROR = 13


class SerfType(IntEnum):
    """First byte of a Serf message inside a memberlist ``USER`` message."""

    LEAVE = 0
    JOIN = 1
    PUSH_PULL = 2
    USER_EVENT = 3
    QUERY = 4
    QUERY_RESPONSE = 5
    CONFLICT_RESPONSE = 6
    KEY_REQUEST = 7
    KEY_RESPONSE = 8
    RELAY = 9


class Fields:
    """The fields of one received map."""

    __slots__ = ("content",)

    def __init__(self, content: Mapping[Any, Any]) -> None:
        """Take the fields as received."""
        self.content = content

    def uint(self, name: str, bits: int = 32) -> int:
        """Return an unsigned integer of at most ``bits``; 0 when missing."""
        return _uint(name, self.content.get(name.encode()), bits)

    def ltime(self, name: str) -> int:
        """Return a Lamport time; 0 when missing. The name may be a member's."""
        return _uint(name, self.content.get(name.encode("utf-8", "surrogateescape")), 63)

    def flag(self, name: str) -> bool:
        """Return a boolean; a number is true unless it is 0."""
        return bool(self.content.get(name.encode()))

    def raw(self, name: str, limit: int = 1 << 20) -> bytes:
        """Return bytes; empty when missing or nil."""
        value = self.content.get(name.encode())
        if value is None:
            return b""
        if not isinstance(value, bytes) or len(value) > limit:
            raise MalformedMessageError(f"{name} is no string of at most {limit} bytes")
        return value

    def text(self, name: str, limit: int = MAX_NAME_BYTES) -> str:
        """Return a string; empty when missing."""
        return self.raw(name, limit).decode("utf-8", "surrogateescape")

    def each(self, name: str) -> list[Any]:
        """Return a list; empty when missing or nil."""
        value = self.content.get(name.encode())
        if value is None:
            return []
        if not isinstance(value, list):
            raise MalformedMessageError(f"{name} is no list")
        return value

    def map(self, name: str) -> dict[Any, Any]:
        """Return a map; empty when missing or nil."""
        value = self.content.get(name.encode())
        if value is None:
            return {}
        if not isinstance(value, dict):
            raise MalformedMessageError(f"{name} is no map")
        return value


def _uint(name: str, value: object, bits: int) -> int:
    if value is None:
        return 0
    if not isinstance(value, int) or value < 0 or value >> bits:
        raise MalformedMessageError(f"{name} is no unsigned integer of {bits} bits")
    return int(value)


def encode(kind: int, fields: Mapping[str, Any]) -> bytes:
    """Return a type byte and a map, its keys sorted as Go sorts them."""
    return bytes((kind,)) + encode_map(fields)


def encode_ordered(kind: int, fields: Mapping[str, Any]) -> bytes:
    """As :func:`encode`, for names that are in order: for what is sent all the time."""
    return bytes((kind,)) + _pack(fields)


def encode_map(fields: Mapping[str, Any]) -> bytes:
    """Return a map, its keys sorted as Go sorts them."""
    return _pack({name: fields[name] for name in sorted(fields)})


def encode_list(values: Iterable[str]) -> bytes:
    """Return a list of strings."""
    return _pack(list(values))


_PACKER = msgpack.Packer(
    use_bin_type=False, unicode_errors="surrogateescape"
)  # one: making it costs more than using it


def _pack(value: object) -> bytes:
    packed: bytes = _PACKER.pack(value)
    return packed


def decode(data: bytes) -> Fields:
    """Return the map in ``data``.

    Raises:
        MalformedMessageError: It is not one map.
    """
    return Fields(decode_map(data))


def decode_map(data: bytes) -> dict[Any, Any]:
    """Decode one map; the untyped form of :func:`decode`."""
    try:
        if len(data) <= MAX_LIST:  # the decoder's own bounds are lower
            value = msgpack.unpackb(data, raw=True, max_ext_len=0)
        else:
            limit = min(len(data), MAX_ITEMS)
            value = msgpack.unpackb(data, raw=True, max_array_len=MAX_LIST, max_map_len=limit, max_ext_len=0)
    except msgpack.ExtraData as exc:
        value = exc.unpacked
    except (ValueError, TypeError, RecursionError, OverflowError, msgpack.UnpackException) as exc:
        cut = str(exc).endswith("incomplete input")
        raise MalformedMessageError("a message is cut short" if cut else f"no msgpack: {exc}") from exc
    if not isinstance(value, dict):
        raise MalformedMessageError("expected a map")
    return value


def reader(limit: int) -> "msgpack.Unpacker":
    """Return an incremental reader of maps that together have at most ``limit`` bytes."""
    return msgpack.Unpacker(
        raw=True,
        max_buffer_size=max(limit, 1),
        max_array_len=min(limit, MAX_LIST),
        max_map_len=min(limit, MAX_ITEMS),
        max_ext_len=0,
    )


def next_map(unpacker: "msgpack.Unpacker", *, whole: bool = False) -> dict[Any, Any] | None:
    """Return the next map; ``None`` if more bytes are needed, or an error if the input has ended."""
    try:
        value = _next(unpacker)
    except msgpack.OutOfData:
        if whole:
            raise MalformedMessageError("a message is cut short") from None
        return None
    if not isinstance(value, dict):
        raise MalformedMessageError("expected a map")
    return value


def decode_list(data: bytes) -> list[Any]:
    """Return the list in ``data``.

    Raises:
        MalformedMessageError: It is not one list.
    """
    unpacker = reader(len(data))
    unpacker.feed(data)
    try:
        value = _next(unpacker)
    except msgpack.OutOfData:
        raise MalformedMessageError("a list is cut short") from None
    if not isinstance(value, list):
        raise MalformedMessageError("expected a list")
    return value


def decode_with_long_lists(data: bytes, names: Iterable[str]) -> Fields:
    """As :func:`decode`, but the fields ``names`` may be lists of any length: they are read item by item.

    Raises:
        MalformedMessageError: It is not one map.
    """
    unpacker = reader(len(data))
    unpacker.feed(data)
    long = {name.encode() for name in names}
    content: dict[Any, Any] = {}
    try:
        for _ in range(unpacker.read_map_header()):
            key = _next(unpacker)
            start = unpacker.tell()
            if key in long and start < len(data) and _begins_a_list(data[start]):
                content[key] = [_next(unpacker) for _ in range(unpacker.read_array_header())]
            elif isinstance(key, bytes):
                content[key] = _next(unpacker)
            else:
                raise MalformedMessageError("a field's name is no string")
    except msgpack.OutOfData:
        raise MalformedMessageError("a message is cut short") from None
    except (ValueError, TypeError, msgpack.UnpackException) as exc:
        raise MalformedMessageError(f"no msgpack: {exc}") from exc
    return Fields(content)


def _begins_a_list(byte: int) -> bool:
    return byte >> 4 == 0x9 or byte in (0xDC, 0xDD)


def _next(unpacker: "msgpack.Unpacker") -> object:
    try:
        return unpacker.unpack()
    except msgpack.OutOfData:
        raise
    except (ValueError, TypeError, RecursionError, OverflowError, msgpack.UnpackException) as exc:
        raise MalformedMessageError(f"no msgpack: {exc}") from exc


def split_map(data: bytes) -> tuple[Fields, bytes]:
    """Return the map at the start of ``data``, and the bytes after it.

    Raises:
        MalformedMessageError: It does not start with a map.
    """
    unpacker = reader(len(data))
    unpacker.feed(data)
    return Fields(next_map(unpacker, whole=True) or {}), data[unpacker.tell() :]


def printable(name: str) -> str:
    """Return a name that any UTF-8 surface can carry: bytes that are not text are shown as escapes."""
    return name.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")


def encode_tags(tags: Mapping[str, str]) -> bytes:
    """Return tags encoded as a node's meta: byte 255 and a map.

    Raises:
        MalformedMessageError: More than 512 bytes.
    """
    meta = b"\xff" + encode_map(dict(tags))
    if len(meta) > MAX_META_BYTES:
        raise MalformedMessageError(f"tags need {len(meta)} bytes; there is room for {MAX_META_BYTES}")
    return meta


def decode_tags(meta: bytes) -> dict[str, str]:
    """Return the tags in a node's meta: an old agent's role; empty for anything else."""
    if not meta.startswith(b"\xff"):
        return {"role": meta.decode("utf-8", "surrogateescape")} if meta else {}
    try:
        content = decode_map(meta[1:])
    except MalformedMessageError:
        return {}
    return {
        _text(key): _text(value)
        for key, value in content.items()
        if isinstance(key, bytes) and isinstance(value, bytes)
    }


def names_in(values: Iterable[Any]) -> list[str]:
    """Return the strings in a list; skip everything else in it."""
    return [_text(value) for value in values if isinstance(value, bytes) and len(value) <= MAX_NAME_BYTES]


def _text(data: bytes) -> str:
    return data.decode("utf-8", "surrogateescape")
