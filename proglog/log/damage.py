"""What is damaged, and which batches stood there: found by the jumps that damage leaves in the sequences of origins.

::

    segment ... | a:1-3 | b:1-1 | ####### | a:7-9 | ###### | c:2-2 | ...      a lacks 4-6: all of it in the first range
                                 range 0           range 1                    c lacks 1: in range 0 or 1, unknown which

A jump runs from the origin's last batch before a range, or from what retention removed, to its next batch after it, in
whatever segment that is. What an origin ended with is no jump, unless an index remembers it: it is imported anew, at the end of
the log. A range that held such an end beside other batches stays damaged, for those alone do not fill it.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from typing import NamedTuple

from proglog.log.model import MissingRange
from proglog.log.segment import Segment
from proglog.log.state import LogState
from proglog.record.batch import chain_start
from proglog.types import FilePosition, Offset, OriginId, SequenceNumber


@dataclass(frozen=True, slots=True)
class Damage:
    """A damaged range, and what is known of what stood there."""

    segment: Segment
    start_position: FilePosition
    end_position: FilePosition | None
    """``None``: at the end of a sealed store, which may have been longer."""
    start_offset: Offset
    end_offset: Offset
    append_time_ms: int
    """Of the batch in front of it."""

    @property
    def stored_end(self) -> FilePosition:
        """Where it ends in the store as it is."""
        return self.segment.size if self.end_position is None else self.end_position


@dataclass(frozen=True, slots=True)
class Lack:
    """Sequences of one origin that stood in damaged ranges."""

    missing: MissingRange
    chain_before: int
    """Chain checksum of the origin before them."""
    first: int
    """Number of the first range that they can have stood in."""
    end: int
    """One past the number of the last one."""


@dataclass(slots=True)
class Survey:
    """The damage of a log, in order, and what it took."""

    damages: list[Damage] = field(default_factory=list)
    lacks: list[Lack] = field(default_factory=list)
    by_origin: dict[OriginId, list[Lack]] = field(default_factory=dict)


class _Run(NamedTuple):
    """Consecutive sequences of an origin, undamaged as far as known."""

    origin: OriginId
    start: SequenceNumber
    end: SequenceNumber
    chain_crc: int


class _Seen(NamedTuple):
    """Where an origin is while the log is walked."""

    next_sequence: SequenceNumber
    chain_crc: int
    damages: int
    """Damaged ranges that came before its last batch."""


def signature(state: LogState) -> tuple[tuple[int, ...], ...]:
    """Return what changes whenever a survey would: every damaged range."""
    return tuple((segment.base_offset, *numbers) for segment, *numbers in _ranges(state))


def survey(state: LogState) -> Survey:
    """Walk the headers of the damaged segments; of the others, what their indexes say is enough.

    Raises:
        StorageError: The disk could not be read.
    """
    held_before = dict(state.origins)  # before the walk: what is appended meanwhile is met by it, not missing
    found, seen = Survey(), _before_the_log(state)
    append_time_ms = 0
    for segment in state.segments:
        for item in _walk(state, segment):
            if isinstance(item, _Run):
                _compare(found, seen, item)
            elif isinstance(item, Damage):
                found.damages.append(replace(item, append_time_ms=append_time_ms))
            else:
                if not append_time_ms:
                    # What comes back at the start has the time of what follows it, not one that makes it look old.
                    found.damages = [replace(each, append_time_ms=item) for each in found.damages]
                append_time_ms = max(append_time_ms, item)
    for origin, held in held_before.items():
        # An index that was whole when the log was opened knows batches that are damaged now, at an origin's end, too.
        _compare(found, seen, _Run(origin, held.next_sequence, held.next_sequence, held.chain_crc))
    return found


def _before_the_log(state: LogState) -> dict[OriginId, _Seen]:
    return {origin: _Seen(gone.next_sequence, gone.chain_crc, 0) for origin, gone in state.retired.origins.items()}


def _compare(found: Survey, seen: dict[OriginId, _Seen], run: _Run) -> None:
    before = seen.get(run.origin) or _Seen(SequenceNumber(1), chain_start(run.origin), 0)
    count = len(found.damages)
    if run.start > before.next_sequence and count > before.damages:
        missing = MissingRange(run.origin, before.next_sequence, run.start)
        lack = Lack(missing, before.chain_crc, before.damages, count)
        found.lacks.append(lack)
        found.by_origin.setdefault(run.origin, []).append(lack)
    seen[run.origin] = _Seen(run.end, run.chain_crc, count)


def _walk(state: LogState, segment: Segment) -> Iterator[_Run | Damage | int]:
    """Yield what stands in a segment in order, damage included, and append times."""
    following = state.segment_after(segment.base_offset)
    if not segment.holes:
        for origin, span in list(segment.index.origins.items()):
            yield _Run(origin, span.first_sequence, span.next_sequence, span.chain_crc)
        yield segment.index.last_append_ms
    else:
        # Holes that the walk itself finds are not in this list: the next survey has them.
        ahead = [_damage(segment, hole_range) for hole_range in _holes(segment)]
        for position, header in segment.walk(FilePosition(0)):
            while ahead and ahead[0].start_position < position:
                yield ahead.pop(0)
            yield _Run(header.origin, header.base_sequence, header.next_sequence, header.chain_crc)
            yield header.append_time_ms
        yield from ahead
    cut = state.cut_between(segment, following) if following is not None else None
    if cut is not None:
        yield Damage(segment, segment.size, None, Offset(cut.start), Offset(cut.end), 0)


def _damage(segment: Segment, hole: tuple[int, int, int, int]) -> Damage:
    start, end, start_offset, end_offset = hole
    open_ended = not segment.active and end == segment.size
    return Damage(
        segment,
        FilePosition(start),
        None if open_ended else FilePosition(end),
        Offset(start_offset),
        Offset(end_offset),
        0,
    )


def _holes(segment: Segment) -> list[tuple[int, int, int, int]]:
    return [
        (hole.start_position, hole.end_position, hole.start_offset, hole.end_offset)
        for hole in sorted(segment.holes, key=lambda hole: hole.start_position)
    ]


def _ranges(state: LogState) -> Iterator[tuple[Segment, int, int, int, int]]:
    segments = state.segments
    for number, segment in enumerate(segments):
        for hole in _holes(segment):
            yield segment, *hole
        following = segments[number + 1] if number + 1 < len(segments) else None
        cut = state.cut_between(segment, following) if following is not None else None
        if cut is not None:
            yield segment, segment.size, segment.size, cut.start, cut.end
