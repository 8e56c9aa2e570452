"""The shapes of records, and of groups of them, as ``consume`` writes them."""

from dataclasses import dataclass

from proglog.cli.shapes import Shape


@dataclass(frozen=True, slots=True, kw_only=True)
class Base64Shape:
    """Bytes that are not UTF-8."""

    base64: str


@dataclass(frozen=True, slots=True, kw_only=True)
class RecordShape:
    """A record. `produce --format jsonl` reads the lines of -o jsonl back."""

    value: str | Base64Shape
    key: str | Base64Shape | None
    """null: no key."""
    headers: tuple[tuple[str | Base64Shape, ...], ...]
    """Pairs of a name and a value, in order; names may repeat."""
    timestamp_at: str | int
    """An instant; beyond the calendar, milliseconds since 1970."""
    offset: int
    """In the log of the node that was read."""
    origin: bytes
    sequence: int
    """With the origin, the record's identity in the cluster."""


@dataclass(frozen=True, slots=True, kw_only=True)
class GroupShape:
    """Records with one value of --group-by."""

    group: str | None
    """null: the records that have none."""
    records: int
    value_bytes: int
    """Of all their values."""
    first_offset: int
    last_offset: int
    first_timestamp_ms: int
    last_timestamp_ms: int


RECORD = Shape("record", RecordShape, identity=("origin", "sequence"))
GROUPS = Shape("groups", GroupShape, identity=("group",))
