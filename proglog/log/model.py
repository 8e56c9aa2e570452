"""What goes into a log and what comes out: appends and their outcomes, places, states, numbers."""

from dataclasses import dataclass
from typing import NamedTuple

from proglog.errors import ProglogError
from proglog.log.losses import Acceptance
from proglog.record.batch import VerifiedBatch
from proglog.replication.progress import Progress
from proglog.types import FilePosition, Offset, OriginId, SequenceNumber


class LogPosition(NamedTuple):
    """A place in one log, between two batches. Opaque: :meth:`Log.seek` makes them, :meth:`Log.read` moves them."""

    segment: Offset
    position: FilePosition


class LogRead(NamedTuple):
    """Whole batches, and the place after them."""

    data: bytes
    next: LogPosition

    @property
    def start(self) -> LogPosition:
        """Where the batches stand: a read at the end of a segment goes on in the next one."""
        return LogPosition(self.next.segment, FilePosition(self.next.position - len(self.data)))


@dataclass(frozen=True, slots=True)
class LocalAppend:
    """A producer's batch, to become this origin's next."""

    batch: VerifiedBatch


@dataclass(frozen=True, slots=True)
class ImportAppend:
    """Another origin's batch, to be kept as it is."""

    batch: VerifiedBatch


class Appended(NamedTuple):
    """Where a batch went. A tuple: there is one for every batch, and a frozen dataclass costs three times as much."""

    base_offset: Offset
    end_offset: Offset
    origin: OriginId
    base_sequence: SequenceNumber
    next_sequence: SequenceNumber
    batch_bytes: int
    duplicate: bool = False
    """The producer had sent it before: this is where it went then, and nothing was appended now."""


@dataclass(frozen=True, slots=True)
class Duplicate:
    """A producer's batch that was appended before: nothing was appended now."""

    appended: Appended
    """Where it went then."""


@dataclass(frozen=True, slots=True)
class AlreadyHeld:
    """A copy of what the log has: nothing was appended."""

    origin: OriginId
    next_sequence: SequenceNumber
    """The origin's next one here."""


@dataclass(frozen=True, slots=True)
class SegmentInfo:
    """A segment in numbers."""

    base_offset: Offset
    end_offset: Offset
    bytes: int
    record_count: int
    batch_count: int
    first_timestamp_ms: int
    max_timestamp_ms: int
    active: bool
    index: str
    index_bytes: int


@dataclass(frozen=True, slots=True)
class DamagedRange:
    """Offsets in ``[start, end)`` that cannot be read."""

    start: Offset
    end: Offset
    detail: str
    found_ms: int = 0
    """When it was found, milliseconds since 1970."""
    accepted: Acceptance | None = None
    """An operator's word that nobody can give it back."""


class MissingRange(NamedTuple):
    """Sequences in ``[start, end)`` of one origin that stood in damaged ranges, and are nowhere else in this log."""

    origin: OriginId
    start: SequenceNumber
    end: SequenceNumber


class Moved(NamedTuple):
    """What of a log has moved, as of one moment."""

    end_offset: Offset
    """One past the last durable record."""
    end: LogPosition
    """The place after the last durable batch."""
    version: int
    """Of this answer: what to ask with the next time."""
    positions: list[Progress]
    """The origins that moved, the latest last."""


Append = LocalAppend | ImportAppend
Outcome = Appended | Duplicate | AlreadyHeld | ProglogError
