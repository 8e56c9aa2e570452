"""A record: what a producer writes and a consumer reads. Frozen, hashable, and checked when it is made.

The constructors are written out: a generated one of a frozen class takes twice as long, and records are made by the
million.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, TypeAlias

from proglog.errors import InvalidRequestError
from proglog.types import Offset, OriginId, SequenceNumber

Header: TypeAlias = tuple[str, bytes]
BytesLike: TypeAlias = bytes | bytearray | memoryview
Headers: TypeAlias = Sequence[tuple[str, BytesLike]] | Mapping[str, BytesLike]

_MIN_INT64, _END_INT64 = -(1 << 63), 1 << 63
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MILLISECOND = timedelta(milliseconds=1)


def _setter(kind: type, field: str) -> Any:
    """Return what fills the slot of a field, past the lock on a frozen class: at half the price of going round it."""
    return getattr(kind, field).__set__


@dataclass(frozen=True, slots=True, init=False)
class Record:
    """A value with an optional key, headers and a timestamp."""

    value: bytes
    """The record itself: any bytes, of any length that fits into one batch."""

    key: bytes | None
    """The record's key; ``None`` is no key, ``b""`` an empty one."""

    timestamp_ms: int | None
    """Milliseconds since 1970, as the producer says; ``None``: the moment at which the producer takes it."""

    headers: tuple[Header, ...]
    """Names and values beside the record, in order; names may repeat."""

    def __init__(
        self,
        *,
        value: BytesLike,
        key: BytesLike | None = None,
        timestamp_ms: int | datetime | None = None,
        headers: Headers = (),
    ) -> None:
        """Copy what is not ``bytes`` yet.

        Args:
            value: Any bytes.
            key: Any bytes, or none.
            timestamp_ms: Milliseconds since 1970, or a datetime with a time zone; left out: when it is sent.
            headers: Pairs of a name and a value, or a mapping.

        Raises:
            InvalidRequestError: A field has another type, or a timestamp does not fit into 64 bits.
        """
        _set_value(self, value if type(value) is bytes else _bytes("value", value))
        _set_key(self, key if key is None or type(key) is bytes else _bytes("key", key))
        _set_timestamp_ms(self, timestamp_ms if timestamp_ms is None else _milliseconds(timestamp_ms))
        _set_headers(self, _pairs(headers) if headers else ())

    @property
    def timestamp(self) -> datetime | None:
        """The timestamp as a datetime in UTC.

        Raises:
            InvalidRequestError: No datetime is as far from 1970.
        """
        if self.timestamp_ms is None:
            return None
        try:
            return _EPOCH + self.timestamp_ms * _MILLISECOND
        except OverflowError:
            raise InvalidRequestError(f"timestamp {self.timestamp_ms} ms is beyond what a datetime can say") from None


_set_value = _setter(Record, "value")
_set_key = _setter(Record, "key")
_set_timestamp_ms = _setter(Record, "timestamp_ms")
_set_headers = _setter(Record, "headers")


@dataclass(frozen=True, slots=True, init=False)
class StoredRecord(Record):
    """A record with its places: in the log it was read from, and in the cluster."""

    timestamp_ms: int
    """Milliseconds since 1970."""

    offset: Offset
    """Ordinal in the log of the node that served it; it differs from node to node."""

    origin: OriginId
    """The origin that created it."""

    sequence: SequenceNumber
    """Its ordinal within the origin: with it, the record's identity in the cluster."""

    def __init__(
        self,
        *,
        value: bytes,
        key: bytes | None = None,
        timestamp_ms: int = 0,
        headers: tuple[Header, ...] = (),
        offset: Offset,
        origin: OriginId,
        sequence: SequenceNumber,
    ) -> None:
        """Take the fields as they are: they come from a batch that was checked."""
        _set_value(self, value)
        _set_key(self, key)
        _set_stored_timestamp_ms(self, timestamp_ms)
        _set_headers(self, headers)
        _set_offset(self, offset)
        _set_origin(self, origin)
        _set_sequence(self, sequence)


_set_stored_timestamp_ms = _setter(StoredRecord, "timestamp_ms")
_set_offset = _setter(StoredRecord, "offset")
_set_origin = _setter(StoredRecord, "origin")
_set_sequence = _setter(StoredRecord, "sequence")


def _bytes(field: str, value: object) -> bytes:
    if isinstance(value, bytes | bytearray | memoryview):
        return bytes(value)
    hint = "; encode the text first" if isinstance(value, str) else ""
    raise InvalidRequestError(f"a record's {field} is bytes, not {type(value).__name__}{hint}")


def _milliseconds(moment: object) -> int:
    if isinstance(moment, datetime):
        if moment.tzinfo is None:
            raise InvalidRequestError(f"the timestamp {moment} has no time zone: say which, for example UTC")
        return (moment - _EPOCH) // _MILLISECOND
    if not isinstance(moment, int) or isinstance(moment, bool):
        raise InvalidRequestError(
            f"a record's timestamp is milliseconds since 1970 or a datetime, not {type(moment).__name__}"
        )
    if not _MIN_INT64 <= moment < _END_INT64:
        raise InvalidRequestError(f"timestamp {moment} ms does not fit into 64 bits")
    return moment


def _pairs(headers: object) -> tuple[Header, ...]:
    given = headers.items() if isinstance(headers, Mapping) else headers
    try:
        pairs = [(name, value) for name, value in given]  # type: ignore[attr-defined]
    except (TypeError, ValueError):
        raise InvalidRequestError("a record's headers are pairs of a name and a value, or a mapping") from None
    return tuple((_name(name), _bytes(f"header {name!r:.60}", value)) for name, value in pairs)


def _name(name: object) -> str:
    if not isinstance(name, str):
        raise InvalidRequestError(f"a header's name is text, not {type(name).__name__}")
    try:
        name.encode()
    except UnicodeEncodeError as exc:
        raise InvalidRequestError(f"a header's name must be UTF-8 text: {exc}") from exc
    return name
