"""State derived from the batches of a log and kept in memory: producers' last batches, named positions, gaps.

Its snapshot is the small file ``derived``, a hint: written at each roll and on closing, tied to the last batch that it
covers by that batch's position and checksum::

    ... | batch | batch | batch || batch | batch      after a clean stop nothing follows the snapshot;
       covered by the snapshot    ^^  walked at open   after any other stop, at most what came since the last roll

If it is lost, damaged, outdated or another log's, the whole log is walked, headers and position commits, with the same
result.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from proglog.errors import DataLossError, MalformedBatchError, StorageError
from proglog.log.model import DamagedRange
from proglog.log.named_positions import NamedPositions
from proglog.log.producers import Producers
from proglog.log.segment import Segment, Suspect
from proglog.log.view import View
from proglog.record import control
from proglog.record.batch import HEADER_BYTES, NO_PRODUCER, BatchHeader, parse_header, verify_checksums
from proglog.record.columns_pb2 import PositionCommit
from proglog.replication.ranges import Ranges, coarsened, flat, from_flat, joined
from proglog.types import FilePosition, Offset, OriginId

VERSION = 2
MAX_GAPS = 1024
"""Most separate gaps remembered per origin."""
Walker = Callable[[Offset, FilePosition], Iterator[tuple[FilePosition, BatchHeader]]]


class Anchor(NamedTuple):
    """The last batch covered, which ties a snapshot to its log."""

    segment: Offset
    position: FilePosition
    header_crc: int
    end_position: FilePosition


@dataclass(slots=True)
class DerivedState:
    """The derived state, and up to where it covers the log."""

    producers: Producers = field(default_factory=Producers)
    positions: NamedPositions = field(default_factory=NamedPositions)
    gaps: dict[OriginId, Ranges] = field(default_factory=dict)
    """Sequences covered by gap batches."""
    anchor: Anchor | None = None
    around: tuple[DamagedRange, ...] = ()
    """Damage met by the walk: batches in it are not covered."""

    def observe(self, header: BatchHeader, data: control.ControlData, segment: Offset, *, own: bool) -> None:
        """Take in a batch of the segment of that base offset; ``own``: an origin of this directory wrote it."""
        if own and header.producer_id != NO_PRODUCER:
            self.producers.observe(header)
        if isinstance(data, PositionCommit):
            self.positions.observe(data, segment)
        if header.is_gap:
            gap = (int(header.base_sequence), int(header.next_sequence))
            self.gaps[header.origin] = coarsened(joined((*self.gaps.get(header.origin, ()), gap)), MAX_GAPS)

    def to_json(self, origin: OriginId) -> dict[str, Any]:
        """Return the file's content, of a log that ``origin`` writes."""
        return {
            "version": VERSION,
            "origin": origin.hex(),
            "tie": self.anchor,
            "producers": self.producers.to_json(),
            "positions": self.positions.to_json(),
            "gaps": {origin.hex(): flat(gaps) for origin, gaps in self.gaps.items()},
        }


class Walk(NamedTuple):
    """Statistics of the walk that derived the state."""

    derived: DerivedState
    walked_bytes: int
    unreadable: str
    """Why a part of the log could not be walked; empty if all was."""


def load(content: dict[str, Any] | None, view: Callable[[], View], own: frozenset[OriginId], walk: Walker) -> Walk:
    """Derive the state from the snapshot's content, if it is of this log, and from the batches after it.

    Unreadable data is left out: the log opens without it.

    Args:
        content: Of the file; ``None`` if there is none.
        view: The log; the walk may come upon damage in it.
        own: The origins of its directory.
        walk: Yields the batches of a segment from a position on.
    """
    segments = view().segments
    derived = _restored(content, segments, own) or DerivedState()
    derived.producers.forget_before(segments[0].base_offset)
    walked_bytes, unreadable = 0, ""
    for segment, start in _following(segments, derived.anchor):
        walked_bytes += segment.size - start
        try:
            for position, header in walk(segment.base_offset, start):
                data = _control_data(segment, position) if header.is_control and not header.is_gap else None
                derived.observe(header, data, segment.base_offset, own=header.origin in own)
                end = FilePosition(position + header.batch_bytes)
                derived.anchor = Anchor(segment.base_offset, position, header.header_crc, end)
        except StorageError as exc:
            unreadable = str(exc)
        damaged = next(
            (
                loss
                for loss in view().segment_at(segment.base_offset).losses
                if not loss.is_behind and loss.end_position > start
            ),
            None,
        )
        if damaged is not None:
            unreadable = damaged.describe()
    return Walk(derived, walked_bytes, unreadable)


def _following(segments: Sequence[Segment], anchor: Anchor | None) -> Iterator[tuple[Segment, FilePosition]]:
    for segment in segments:
        if anchor is None or segment.base_offset > anchor.segment:
            yield segment, FilePosition(0)
        elif segment.base_offset == anchor.segment and anchor.end_position < segment.size:
            yield segment, anchor.end_position


def _control_data(segment: Segment, position: FilePosition) -> control.ControlData:
    try:
        return control.parse(verify_checksums(segment.read(position, 1)).payload)
    except (DataLossError, MalformedBatchError, Suspect):
        return None  # damaged: it is walked again once it is whole


def _restored(
    content: dict[str, Any] | None, segments: Sequence[Segment], own: frozenset[OriginId]
) -> DerivedState | None:
    if content is None or content.get("version") != VERSION:
        return None
    try:
        base_offset, position, header_crc, end_position = content["tie"]
        derived = DerivedState(
            Producers.from_json(content["producers"]),
            NamedPositions.from_json(content["positions"]),
            {OriginId(bytes.fromhex(key)): from_flat(gaps, MAX_GAPS) for key, gaps in content["gaps"].items()},
        )
        origin = OriginId(bytes.fromhex(content["origin"]))
    except (KeyError, ValueError, TypeError, AttributeError):
        return None
    derived.anchor = Anchor(Offset(base_offset), FilePosition(position), header_crc, FilePosition(end_position))
    return derived if origin in own and _holds(derived.anchor, segments) else None


def _holds(anchor: Anchor, segments: Sequence[Segment]) -> bool:
    """Return whether the snapshot's last batch is at its recorded position."""
    segment = next((each for each in segments if each.base_offset == anchor.segment), None)
    if segment is None or anchor.end_position > segment.size or segment.loss_at(anchor.position) is not None:
        return False
    try:
        header = parse_header(segment.store.pread(HEADER_BYTES, anchor.position))
    except (OSError, MalformedBatchError):
        return False
    return (header.header_crc, anchor.position + header.batch_bytes) == (anchor.header_crc, anchor.end_position)
