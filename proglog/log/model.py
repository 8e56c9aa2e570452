"""The log's data types: appends and their outcomes, positions, states, counts."""

from dataclasses import dataclass
from typing import NamedTuple

from proglog.errors import ProglogError
from proglog.log.losses import Acceptance
from proglog.record.batch import VerifiedBatch
from proglog.replication.holes import Over
from proglog.replication.progress import Progress
from proglog.types import FilePosition, Offset, OriginId, SequenceNumber


class LogPosition(NamedTuple):
    """A position in one log, between two batches. Opaque: :meth:`Log.seek` makes one, :meth:`Log.read` advances it."""

    segment: Offset
    position: FilePosition


class LogRead(NamedTuple):
    """Whole batches, and the position after them."""

    data: bytes
    next: LogPosition

    @property
    def start(self) -> LogPosition:
        """The position of the batches: a read at the end of a segment continues in the next one."""
        return LogPosition(self.next.segment, FilePosition(self.next.position - len(self.data)))


@dataclass(frozen=True, slots=True)
class LocalAppend:
    """A producer's batch, to append as this origin's next."""

    batch: VerifiedBatch


@dataclass(frozen=True, slots=True)
class ImportAppend:
    """Another origin's batch, to append unchanged."""

    batch: VerifiedBatch
    over: Over | None = None
    """Why it is appended although sequences before it are missing; ``None``: it must be the next one."""


class Appended(NamedTuple):
    """Where a batch was appended. A tuple: there is one per batch, and a frozen dataclass costs three times as much."""

    base_offset: Offset
    end_offset: Offset
    origin: OriginId
    base_sequence: SequenceNumber
    next_sequence: SequenceNumber
    batch_bytes: int
    duplicate: bool = False
    """Whether the producer had sent it before: nothing was appended, and this is the earlier append."""


@dataclass(frozen=True, slots=True)
class Duplicate:
    """A producer's batch that had been appended before: nothing was appended."""

    appended: Appended
    """The earlier append."""


@dataclass(frozen=True, slots=True)
class AlreadyHeld:
    """A copy of a batch that the log already has: nothing was appended."""

    origin: OriginId
    next_sequence: SequenceNumber
    """The origin's next sequence here."""


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
    """The operator's acceptance that it is lost for good, if any."""
    gap: bool = False
    """Whether the records were never here: no node that could be asked had them."""


class MissingRange(NamedTuple):
    """Sequences in ``[start, end)`` of one origin that were in damaged ranges, and are nowhere else in this log."""

    origin: OriginId
    start: SequenceNumber
    end: SequenceNumber


class Moved(NamedTuple):
    """The origins of a log that moved, as of one moment."""

    end_offset: Offset
    """One past the last durable record."""
    end: LogPosition
    """The position after the last durable batch."""
    version: int
    """The version of this answer: pass it to the next call."""
    positions: list[Progress]
    """The origins that moved, the latest last."""


Append = LocalAppend | ImportAppend
Outcome = Appended | Duplicate | AlreadyHeld | ProglogError


def appended_of(outcome: Outcome) -> Appended:
    """Return where a producer's batch is, now or from the first time that it was sent.

    Raises:
        ProglogError: It was refused.
    """
    if isinstance(outcome, ProglogError):
        raise outcome
    if isinstance(outcome, Duplicate):
        return outcome.appended._replace(duplicate=True)
    assert isinstance(outcome, Appended), "only a copy can be held already"
    return outcome
