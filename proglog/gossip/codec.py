"""memberlist's msgpack dialect: maps with Go's field names, and every string raw.

Old msgpack: text and bytes are ``fixraw``, ``raw16`` or ``raw32``, never ``str8`` or ``bin``. ``nil`` may stand for any
zero value, unknown keys are ignored, missing ones are zero. Messages declare their fields with the functions below, and
:func:`encode_map` and :func:`decode_map` do the rest. The only module that knows the msgpack library.

Names are bytes on the wire; here they are text with surrogate escapes, which survives the way there and back.
"""

import dataclasses
import math
from collections.abc import Callable, Mapping
from typing import Any, TypeVar

import msgpack

from proglog.gossip.errors import MalformedMessageError

T = TypeVar("T")

MAX_NAME_BYTES = 512
MAX_LIST = 8192
"""The decoder reserves room for a list before it reads it: a bound on what a few hostile bytes can reserve."""
MAX_MAP = 65_536

Loader = Callable[[object], object]
Dumper = Callable[[Any], object]


@dataclasses.dataclass(frozen=True, slots=True)
class _Wire:
    key: bytes
    load: Loader
    dump: Dumper
    omit_empty: bool


def uint(key: str, bits: int, *, omit_empty: bool = False) -> Any:
    """Declare an unsigned integer of ``bits``."""

    def load(value: object) -> int:
        if value is None:
            return 0
        if not isinstance(value, int) or not 0 <= value < 1 << bits:
            raise MalformedMessageError(f"{key} is not an unsigned integer of {bits} bits")
        return int(value)

    return _declare(key, 0, load, int, omit_empty=omit_empty)


def flag(key: str) -> Any:
    """Declare a boolean; numbers count as in Go's decoder."""

    def load(value: object) -> bool:
        if value is not None and not isinstance(value, int):
            raise MalformedMessageError(f"{key} is not a boolean")
        return bool(value)

    return _declare(key, False, load, bool)


def number(key: str) -> Any:
    """Declare a finite float."""

    def load(value: object) -> float:
        return _finite(value, key)

    return _declare(key, 0.0, load, float)


def numbers(key: str) -> Any:
    """Declare a tuple of finite floats."""

    def load(value: object) -> tuple[float, ...]:
        return tuple(_finite(item, key) for item in _list(value, key))

    return _declare(key, (), load, list)


def raw(key: str, *, omit_empty: bool = False, nil: bool = False) -> Any:
    """Declare bytes; ``nil`` sends empty ones as nil, as Go does with slices that were never made."""

    def load(value: object) -> bytes:
        return _raw(value, key)

    def dump(value: bytes) -> bytes | None:
        return None if nil and not value else bytes(value)

    return _declare(key, b"", load, dump, omit_empty=omit_empty)


def text(key: str, *, omit_empty: bool = False, max_bytes: int = MAX_NAME_BYTES) -> Any:
    """Declare a string of at most ``max_bytes``."""

    def load(value: object) -> str:
        data = _raw(value, key)
        if len(data) > max_bytes:
            raise MalformedMessageError(f"{key} has {len(data):,} bytes; the limit is {max_bytes:,}")
        return to_text(data)

    return _declare(key, "", load, to_raw, omit_empty=omit_empty)


def texts(key: str) -> Any:
    """Declare a tuple of strings."""

    def load(value: object) -> tuple[str, ...]:
        return tuple(to_text(_raw(item, key)) for item in _list(value, key))

    return _declare(key, (), load, lambda value: [to_raw(item) for item in value])


def raws(key: str) -> Any:
    """Declare a tuple of byte strings; sent as nil when empty."""

    def load(value: object) -> tuple[bytes, ...]:
        return tuple(_raw(item, key) for item in _list(value, key))

    return _declare(key, (), load, lambda value: list(value) or None)


def text_map(key: str) -> Any:
    """Declare a map from strings to strings."""

    def load(value: object) -> dict[str, str]:
        return {to_text(name): to_text(_raw(item, key)) for name, item in _map(value, key).items()}

    return _declare(key, None, load, _dump_text_map)


def ltime_map(key: str) -> Any:
    """Declare a map from strings to Lamport times."""

    def load(value: object) -> dict[str, int]:
        times: dict[str, int] = {}
        for name, time in _map(value, key).items():
            if not isinstance(time, int) or not 0 <= time < 1 << 63:
                raise MalformedMessageError(f"{key} holds something that is not a Lamport time")
            times[to_text(name)] = int(time)
        return times

    return _declare(key, None, load, lambda value: {to_raw(name): time for name, time in (value or {}).items()})


def nested(key: str, cls: type[Any]) -> Any:
    """Declare a message within the message."""

    def load(value: object) -> object:
        return from_map(cls, _map(value, key))

    return _declare(key, None, load, lambda value: None if value is None else to_map(value))


def nested_list(key: str, cls: type[Any]) -> Any:
    """Declare a tuple of messages; nil slots are skipped."""

    def load(value: object) -> tuple[object, ...]:
        return tuple(from_map(cls, _map(item, key)) for item in _list(value, key) if item is not None)

    return _declare(key, (), load, lambda value: [to_map(item) for item in value])


def to_map(message: object) -> dict[bytes, object]:
    """Return the wire's map of a declared message, keys sorted as Go sorts them."""
    mapping: dict[bytes, object] = {}
    for attribute, wire in _fields(type(message)):
        value = getattr(message, attribute)
        if value or not wire.omit_empty:
            mapping[wire.key] = wire.dump(value)
    return mapping


def from_map(cls: type[T], mapping: dict[bytes, object]) -> T:
    """Return the declared message that ``mapping`` holds.

    Raises:
        MalformedMessageError: A field of the wrong type, or out of its bounds.
    """
    return cls(**{attribute: wire.load(mapping.get(wire.key)) for attribute, wire in _fields(cls)})


def encode_map(message: object) -> bytes:
    """Return ``message`` as the wire has it."""
    return pack(to_map(message))


def decode_map(cls: type[T], data: bytes) -> T:
    """Return the ``cls`` in ``data``; bytes after the map are ignored, as Go does.

    Raises:
        MalformedMessageError: Not such a map.
    """
    return split_map(cls, data)[0]


def split_map(cls: type[T], data: bytes) -> tuple[T, bytes]:
    """Return the ``cls`` at the start of ``data``, and the rest.

    Raises:
        MalformedMessageError: ``data`` does not start with such a map.
    """
    value, rest = unpack(data)
    return from_map(cls, _map(value, cls.__name__)), rest


def pack(value: object) -> bytes:
    """Return ``value`` in the old msgpack dialect."""
    packed: bytes = msgpack.packb(value, use_bin_type=False)
    return packed


def unpack(data: bytes) -> tuple[object, bytes]:
    """Return the first value in ``data``, and the rest.

    Raises:
        MalformedMessageError: No whole value.
    """
    limit = len(data)
    try:
        value = msgpack.unpackb(
            data, raw=True, max_array_len=min(limit, MAX_LIST), max_map_len=min(limit, MAX_MAP), max_str_len=limit
        )
    except msgpack.ExtraData as exc:
        return exc.unpacked, exc.extra
    except (ValueError, TypeError, OverflowError, msgpack.UnpackException) as exc:
        raise MalformedMessageError(f"not msgpack: {exc}") from exc
    return value, b""


class MapReader:
    """Maps out of bytes that arrive piece by piece."""

    def __init__(self, max_bytes: int) -> None:
        """Hold at most ``max_bytes`` that nobody took yet."""
        self._unpacker = msgpack.Unpacker(
            raw=True,
            read_size=min(max_bytes, 65_536),
            max_buffer_size=max_bytes,
            max_array_len=MAX_LIST,
            max_map_len=MAX_MAP,
        )

    def feed(self, data: bytes) -> None:
        """Add what arrived.

        Raises:
            MalformedMessageError: More than the limit.
        """
        try:
            self._unpacker.feed(data)
        except msgpack.BufferFull as exc:
            raise MalformedMessageError("stream: more bytes than a message may have") from exc

    def next_map(self, cls: type[T]) -> T | None:
        """Return the next map as a ``cls``; ``None`` while it is not whole.

        Raises:
            MalformedMessageError: It is something else.
        """
        try:
            value = self._unpacker.unpack()
        except msgpack.OutOfData:
            return None
        except (ValueError, TypeError, OverflowError, msgpack.UnpackException) as exc:
            raise MalformedMessageError(f"stream: not msgpack: {exc}") from exc
        return from_map(cls, _map(value, cls.__name__))

    def take(self, size: int) -> bytes:
        """Return up to ``size`` bytes as they are."""
        taken: bytes = self._unpacker.read_bytes(size)
        return taken


def to_text(data: bytes) -> str:
    """Return a name's bytes as text that leads back to the same bytes."""
    return data.decode("utf-8", "surrogateescape")


def to_raw(name: str) -> bytes:
    """Return the bytes of a name."""
    return name.encode("utf-8", "surrogateescape")


def _declare(key: str, default: object, load: Loader, dump: Dumper, *, omit_empty: bool = False) -> Any:
    return dataclasses.field(default=default, metadata={"wire": _Wire(key.encode(), load, dump, omit_empty)})


_FIELDS: dict[type[Any], list[tuple[str, _Wire]]] = {}


def _fields(cls: type[Any]) -> list[tuple[str, _Wire]]:
    if cls not in _FIELDS:
        declared: list[tuple[str, _Wire]] = [(field.name, field.metadata["wire"]) for field in dataclasses.fields(cls)]
        _FIELDS[cls] = sorted(declared, key=lambda field: field[1].key)
    return _FIELDS[cls]


def _raw(value: object, key: str) -> bytes:
    if value is None:
        return b""
    if not isinstance(value, bytes):
        raise MalformedMessageError(f"{key} is not a string of bytes")
    return value


def _list(value: object, key: str) -> list[object]:
    if value is None:
        return []
    if not isinstance(value, list):
        raise MalformedMessageError(f"{key} is not a list")
    return value


def _map(value: object, key: str) -> dict[bytes, object]:
    if value is None:
        return {}
    if not isinstance(value, dict) or not all(isinstance(name, bytes) for name in value):
        raise MalformedMessageError(f"{key} is not a map with text keys")
    return value


def _finite(value: object, key: str) -> float:
    if value is None:
        return 0.0
    if not isinstance(value, int | float) or abs(value) > 1e300 or not math.isfinite(value):
        raise MalformedMessageError(f"{key} is not a finite number")
    return float(value)


def _dump_text_map(value: Mapping[str, str] | None) -> dict[bytes, bytes]:
    return {to_raw(name): to_raw(item) for name, item in (value or {}).items()}
