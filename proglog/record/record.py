"""A record: what a producer writes and a consumer reads."""

from dataclasses import dataclass

from proglog.types import Offset, OriginId, SequenceNumber

Header = tuple[str, bytes]


@dataclass(slots=True, kw_only=True)
class Record:
    """A value with an optional key, headers and a timestamp. Not frozen: freezing doubles the cost of making one."""

    value: bytes
    """The record itself: any bytes, of any length that fits into one batch."""

    key: bytes | None = None
    """What the record is about; ``None`` is no key, ``b""`` an empty one."""

    timestamp_ms: int = 0
    """Milliseconds since 1970, as the producer says."""

    headers: tuple[Header, ...] = ()
    """Names and values beside the record, in order; a name may return."""


@dataclass(slots=True, kw_only=True)
class StoredRecord(Record):
    """A record with its places: in the log it was read from, and in the cluster."""

    offset: Offset
    """Ordinal in the log of the node that served it; another node has it elsewhere."""

    origin: OriginId
    """Who created it."""

    sequence: SequenceNumber
    """Its ordinal within the origin: with it, the record's identity in the cluster."""
