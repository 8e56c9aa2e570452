"""Converts a position in one log to a position vector, valid on every node, of a consumer that has read up to there."""

from bisect import bisect_left
from collections.abc import Iterable, Iterator

from proglog.log.index import Entries
from proglog.log.model import LogPosition
from proglog.log.reading import looking_again, unless_removed
from proglog.log.segment import Segment
from proglog.log.state import LogState
from proglog.types import FilePosition, OriginId, SequenceNumber

_UNINDEXED_BYTES = 64 * 1024
"""Longest stretch in bytes that may hold an origin's batches without an index entry, whatever the index's interval."""


@looking_again
def positions_at(state: LogState, at: LogPosition) -> dict[OriginId, SequenceNumber]:
    """See :meth:`proglog.log.log.Log.positions_at`."""
    view = state.view
    here = view.segment_at(at.segment)
    found = {origin: gone.next_sequence for origin, gone in state.retired.origins.items()}
    for segment in view.segments:
        if segment.base_offset < at.segment:
            found |= {origin: span.next_sequence for origin, span in list(segment.index.origins.items())}
            found |= {loss.gap.origin: loss.gap.end for loss in segment.losses if loss.gap}
    if at.position >= here.size:
        return found | {origin: span.next_sequence for origin, span in list(here.index.origins.items())}
    state.indexes.use(here)
    with unless_removed(state, here):
        return found | _positions_within(here, at.position)


def _positions_within(segment: Segment, end: FilePosition) -> dict[OriginId, SequenceNumber]:
    """Return one past the last sequence before ``end`` of each origin with batches there.

    An origin's unindexed batches closely follow its last indexed one: only these stretches are walked, each once, no matter
    how many origins share it.
    """
    last = segment.entries().last_before(end)
    width = max(segment.index.interval_bytes, _UNINDEXED_BYTES)
    found: dict[OriginId, SequenceNumber] = {}
    for start, stop in _stretches(sorted(last.values()), width):
        for position, header in segment.walk(start):
            if position >= min(stop, end):
                break
            found[header.origin] = header.next_sequence
    for origin in list(segment.index.origins):
        number = segment.index.number_of(origin)
        if origin not in found and number in last:  # damage hides what followed its last entry
            following = _next_sequence(segment, segment.entries(), origin, end)
            found |= {} if following is None else {origin: following}
    return found


def _stretches(starts: Iterable[FilePosition], width: int) -> Iterator[tuple[FilePosition, FilePosition]]:
    """Yield the stretches of ``width`` bytes from each of ``starts``, merged where they touch."""
    begun: FilePosition | None = None
    stop = FilePosition(0)
    for start in starts:
        if begun is None or start > stop:
            if begun is not None:
                yield begun, stop
            begun = start
        stop = FilePosition(start + width)
    if begun is not None:
        yield begun, stop


def _next_sequence(segment: Segment, entries: Entries, origin: OriginId, end: FilePosition) -> SequenceNumber | None:
    """Return one past the origin's last sequence before ``end``; ``None`` if the segment has none there.

    An origin's unindexed batches closely follow its last indexed one: only that stretch is walked.
    """
    number = segment.index.number_of(origin)
    for at in range(bisect_left(entries.positions, end, hi=len(entries)) - 1, -1, -1):
        if entries.origin_numbers[at] != number:
            continue
        found = _last_in(segment, origin, FilePosition(entries.positions[at]), end)
        if found is not None:
            return found
    return None


def _last_in(segment: Segment, origin: OriginId, start: FilePosition, end: FilePosition) -> SequenceNumber | None:
    stop = min(end, start + max(segment.index.interval_bytes, _UNINDEXED_BYTES))
    found: SequenceNumber | None = None
    for position, header in segment.walk(start):
        if position >= stop:
            break
        if header.origin == origin:
            found = header.next_sequence
    return found
