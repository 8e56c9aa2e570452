"""The progress that two nodes exchange: how far each log reaches."""

from dataclasses import dataclass, replace
from enum import Enum
from typing import TYPE_CHECKING

from proglog.replication.ranges import NO_RANGES, Ranges, covers, without
from proglog.types import OriginId, SequenceNumber

if TYPE_CHECKING:
    from proglog.record.batch import BatchHeader

FIRST_SEQUENCE = SequenceNumber(1)


@dataclass(frozen=True, slots=True)
class Progress:
    """How far one log durably reaches in one origin."""

    origin: OriginId
    next_sequence: SequenceNumber
    """One past the last durable sequence; 1 for nothing."""
    chain_crc: int = 0
    """The origin's chain checksum there."""
    floor_sequence: SequenceNumber = FIRST_SEQUENCE
    """The lowest sequence still kept."""
    last_append_ms: int = 0
    """When the last batch was appended there, milliseconds since 1970 on that node's clock."""
    bytes: int = 0
    """Size of the origin's batches kept there."""
    node_name: str = ""
    """The node that wrote the origin, as its first batch says."""
    gaps: Ranges = NO_RANGES
    """Ranges within its reach that it never had: retention had removed them wherever it could ask."""
    damaged: Ranges = NO_RANGES
    """Ranges within its reach that it lost, or that no node it could reach had."""

    def after(self, header: "BatchHeader") -> "Progress":
        """Return the progress of a log that this batch was appended to."""
        return replace(
            self,
            next_sequence=header.next_sequence,
            chain_crc=header.chain_crc,
            last_append_ms=header.append_time_ms,
            bytes=self.bytes + header.batch_bytes,
        )

    def holds(self, sequence: int) -> bool:
        """Return whether this log can serve ``sequence``."""
        reached = self.floor_sequence <= sequence < self.next_sequence
        return reached and not covers(self.gaps, sequence) and not covers(self.damaged, sequence)

    def kept(self, start: int, end: int) -> Ranges:
        """Return the parts of ``[start, end)`` that this log can serve."""
        start, end = max(start, self.floor_sequence), min(end, self.next_sequence)
        return without(start, end, (*self.gaps, *self.damaged)) if start < end else NO_RANGES


class RefusalKind(Enum):
    """Why a source cannot continue an origin; the names are the wire's."""

    BELOW_FLOOR = "retention removed that"
    FORKED = "its history is another"
    DAMAGED = "that is damaged there"


@dataclass(frozen=True, slots=True)
class Refusal:
    """A source cannot continue an origin."""

    origin: OriginId
    kind: RefusalKind
    sequence: SequenceNumber
    """The first available sequence after the missing ones; for ``FORKED``: where the histories were compared."""
