"""From a place in one log to a position that is valid on every node: what somebody who stands there has consumed."""

from bisect import bisect_left

from proglog.log.index import Entries
from proglog.log.model import LogPosition
from proglog.log.reading import looking_again, unless_removed
from proglog.log.segment import Segment
from proglog.log.state import LogState
from proglog.types import FilePosition, OriginId, SequenceNumber

_UNINDEXED_BYTES = 64 * 1024
"""Most bytes in which an origin's batches may stand without an index entry, whatever interval an index was made with."""


@looking_again
def positions_at(state: LogState, at: LogPosition) -> dict[OriginId, SequenceNumber]:
    """See :meth:`proglog.log.log.Log.positions_at`."""
    view = state.view
    here = view.segment_at(at.segment)
    found = {origin: gone.next_sequence for origin, gone in state.retired.origins.items()}
    for segment in view.segments:
        if segment.base_offset < at.segment:
            found |= {origin: span.next_sequence for origin, span in list(segment.index.origins.items())}
    if at.position >= here.size:
        return found | {origin: span.next_sequence for origin, span in list(here.index.origins.items())}
    state.indexes.use(here)
    with unless_removed(state, here):
        entries = here.entries()
        for origin in list(here.index.origins):
            following = _next_sequence(here, entries, origin, at.position)
            if following is not None:
                found[origin] = following
    return found


def _next_sequence(segment: Segment, entries: Entries, origin: OriginId, end: FilePosition) -> SequenceNumber | None:
    """Return what follows the origin's last batch before ``end``; ``None`` if the segment has none there.

    An origin's batches without an entry stand close behind its last one that has one: only that much is walked.
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
