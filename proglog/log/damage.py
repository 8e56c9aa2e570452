"""Surveys damage and the batches lost in it, from the jumps that damage leaves in the sequences of origins.

::

    segment ... | a:1-3 | b:1-1 | ####### | a:7-9 | ###### | c:2-2 | ...      a lacks 4-6: all of it in the first range
                                 range 0           range 1                    c lacks 1: in range 0 or 1, unknown which

Each stretch between two ranges is walked once and cached: only the first and last batch of each origin count there, since
nothing is missing in between. A heal joins two such stretches without walking them.

A known loss at the end of a segment held the ends of its origins: these are imported again, and no other origin jumps over
it.

A jump runs from the origin's last batch before a range, or from the end of what retention removed, to its next batch after
it, in any segment. The lost end of an origin is no jump, unless an index remembers it: it is imported again, at the end
of the log. A range that held such an end and other batches stays damaged, since the other batches don't fill it.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import NamedTuple

from proglog.log.losses import Loss
from proglog.log.model import MissingRange
from proglog.log.reading import walk
from proglog.log.segment import Segment
from proglog.log.state import LogState
from proglog.record.batch import BatchHeader, chain_start
from proglog.types import FilePosition, Offset, OriginId, SequenceNumber


class Damage(NamedTuple):
    """A damaged range, and its place among the intact batches."""

    loss: Loss
    is_open_ended: bool
    """Whether it is at the end of a sealed store, which may have been longer."""
    append_time_ms: int = 0
    """Append time of the batch before it."""


@dataclass(frozen=True, slots=True)
class Lack:
    """Sequences of one origin lost in damaged ranges."""

    missing: MissingRange
    chain_before: int
    """Chain checksum of the origin before them."""
    first: int
    """Number of the first range that can have held them."""
    end: int
    """One past the number of the last one."""


@dataclass(slots=True)
class Survey:
    """The damage of a log, in order, and the records lost in it."""

    losses: tuple[Loss, ...] = ()
    """The losses of the surveyed view: once they change, another survey is due."""
    damages: list[Damage] = field(default_factory=list)
    lacks: list[Lack] = field(default_factory=list)
    by_origin: dict[OriginId, list[Lack]] = field(default_factory=dict)


class Run(NamedTuple):
    """Consecutive sequences of an origin, undamaged as far as known."""

    origin: OriginId
    start: SequenceNumber
    end: SequenceNumber
    chain_crc: int


@dataclass(slots=True)
class Stretch:
    """The intact batches of a segment between two damaged ranges."""

    end: FilePosition
    """The position up to which it was walked."""
    runs: dict[OriginId, Run] = field(default_factory=dict)
    first_append_ms: int = 0
    last_append_ms: int = 0

    def add(self, header: BatchHeader, end: FilePosition) -> None:
        """Add the next batch, which ends at ``end``."""
        before = self.runs.get(header.origin)
        start = header.base_sequence if before is None else before.start
        self.runs[header.origin] = Run(header.origin, start, header.next_sequence, header.chain_crc)
        self.first_append_ms = self.first_append_ms or header.append_time_ms
        self.last_append_ms = max(self.last_append_ms, header.append_time_ms)
        self.end = end


Stretches = dict[tuple[Offset, FilePosition], Stretch]
"""By segment and where they start."""


class _Seen(NamedTuple):
    """An origin's progress while the log is walked."""

    next_sequence: SequenceNumber
    chain_crc: int
    damages: int
    """Damaged ranges that came before its last batch."""


def survey(state: LogState, stretches: Stretches) -> Survey:
    """Walk the headers of the damaged segments; the indexes of the others suffice.

    ``stretches`` caches earlier walks, and is updated.

    Raises:
        StorageError: The disk could not be read.
    """
    view = state.view
    found, seen = Survey(view.losses), _before_the_log(state)
    append_time_ms = 0
    for segment in view.segments:
        for item in _walk(state, segment, stretches):
            if isinstance(item, Run):
                _compare(found, seen, item)
            elif isinstance(item, Damage):
                found.damages.append(item._replace(append_time_ms=append_time_ms))
            else:
                if not append_time_ms:
                    # Batches restored at the start get the time of what follows them, or they would look old.
                    found.damages = [each._replace(append_time_ms=item) for each in found.damages]
                append_time_ms = max(append_time_ms, item)
    for origin, held in view.origins.items():
        # An index that was intact at opening also knows batches at an origin's end that are damaged now.
        _compare(found, seen, Run(origin, held.next_sequence, held.next_sequence, held.chain_crc))
    return found


def _before_the_log(state: LogState) -> dict[OriginId, _Seen]:
    return {origin: _Seen(gone.next_sequence, gone.chain_crc, 0) for origin, gone in state.retired.origins.items()}


def _compare(found: Survey, seen: dict[OriginId, _Seen], run: Run) -> None:
    before = seen.get(run.origin) or _Seen(SequenceNumber(1), chain_start(run.origin), 0)
    count = len(found.damages)
    if run.start > before.next_sequence and count > before.damages:
        missing = MissingRange(run.origin, before.next_sequence, run.start)
        lack = Lack(missing, before.chain_crc, before.damages, count)
        found.lacks.append(lack)
        found.by_origin.setdefault(run.origin, []).append(lack)
    seen[run.origin] = _Seen(run.end, run.chain_crc, count)


def _walk(state: LogState, segment: Segment, stretches: Stretches) -> Iterator[Run | Damage | int]:
    """Yield the runs of a segment in order, with its damage and append times."""
    if not any(not loss.is_behind for loss in segment.losses):
        for origin, span in list(segment.index.origins.items()):
            yield Run(origin, span.first_sequence, span.next_sequence, span.chain_crc)
        yield segment.index.last_append_ms
    position = FilePosition(0)
    for loss in segment.losses:
        if not loss.is_behind:
            yield from _stretch(state, segment, stretches, position, loss.start_position)
            yield Damage(loss, not segment.active and loss.end_position == segment.size)
            position = loss.end_position
    if position:
        yield from _stretch(state, segment, stretches, position, segment.size)
    behind = segment.loss_behind
    if behind is not None and behind.gap is not None:
        gap = behind.gap  # restored by itself: proglog.log.gaps
        yield Run(gap.origin, gap.start, gap.end, gap.chain_after)
    elif behind is not None and not behind.void and not behind.origins:
        yield Damage(behind, is_open_ended=True)


def _stretch(
    state: LogState, segment: Segment, stretches: Stretches, start: FilePosition, end: FilePosition
) -> Iterator[Run | int]:
    """Yield the runs between two damaged ranges: from the cache, as far as they were walked."""
    known = stretches.get((segment.base_offset, start))
    if known is None or known.end > end:
        known = stretches[segment.base_offset, start] = Stretch(start)
    if known.end < end:
        for position, header in walk(state, segment.base_offset, known.end):
            if position >= end:
                break
            # Damage found by this walk is not in the list yet: the next survey includes it, and walks again.
            known.add(header, FilePosition(position + header.batch_bytes))
    yield from known.runs.values()
    if known.runs:
        yield known.first_append_ms
        yield known.last_append_ms


def join(stretches: Stretches, segment: Offset, start: FilePosition, end: FilePosition, came: Stretch) -> None:
    """Join the stretches on both sides of healed damage with the batches restored between two positions."""
    before = next(
        (at for at, each in stretches.items() if at[0] == segment and each.end == start and at[1] < start),
        (segment, start),
    )
    joined = stretches.pop(before, None) or Stretch(start)
    for part in (came, stretches.pop((segment, end), None)):
        if part is None:
            continue
        for origin, run in part.runs.items():
            held = joined.runs.get(origin)
            joined.runs[origin] = run if held is None else run._replace(start=held.start)
        joined.first_append_ms = joined.first_append_ms or part.first_append_ms
        joined.last_append_ms = max(joined.last_append_ms, part.last_append_ms)
        joined.end = part.end
    stretches[before] = joined
