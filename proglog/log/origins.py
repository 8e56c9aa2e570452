"""A log's progress in each origin, from its segments and from what retention removed. Pure.

::

    removed by retention | segment | segment | gap .......... | segment |
               floor ----^                       not held               ^---- next sequence, chain checksum
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import takewhile

from proglog.log.checkpoint import Retired, RetiredOrigin
from proglog.log.segment import Segment
from proglog.log.view import View
from proglog.replication.progress import FIRST_SEQUENCE, Progress
from proglog.replication.ranges import NO_RANGES, Ranges, coarsened, joined, within
from proglog.types import OriginId


def count(retired: Retired, segments: Iterable[Segment], *, all_retired_known: bool) -> dict[OriginId, Progress]:
    """Return the progress in each origin.

    Args:
        retired: What retention removed.
        segments: In order.
        all_retired_known: Whether ``retired`` is complete; otherwise an origin begins where its first batch is.
    """
    origins = {
        origin: Progress(
            origin=origin,
            next_sequence=gone.next_sequence,
            chain_crc=gone.chain_crc,
            floor_sequence=gone.next_sequence,
            last_append_ms=gone.last_append_ms,
            node_name=gone.node_name,
        )
        for origin, gone in retired.origins.items()
    }
    for segment in segments:
        for origin, span in segment.index.origins.items():
            floor = FIRST_SEQUENCE if all_retired_known else span.first_sequence
            before = origins.get(origin) or Progress(origin, span.first_sequence, floor_sequence=floor)
            origins[origin] = replace(
                before,
                next_sequence=span.next_sequence,
                chain_crc=span.chain_crc,
                last_append_ms=span.last_append_ms,
                bytes=span.stored_bytes + before.bytes,
                node_name=span.node_name or before.node_name,
            )
        for gap in (loss.gap for loss in segment.losses if loss.gap):  # the origin continues after it
            before = origins.get(gap.origin) or Progress(gap.origin, gap.start)
            if before.next_sequence < gap.end:
                origins[gap.origin] = replace(before, next_sequence=gap.end, chain_crc=gap.chain_after)
    return origins


def presumed(retired: Retired, segments: Sequence[Segment]) -> Retired:
    """Return what retention must have removed by where ``segments`` start: its own record is damaged or gone.

    The first batch after damage does not count: earlier ones may have been in the damage.
    """
    origins, begun = dict(retired.origins), set(retired.origins)
    for segment in takewhile(lambda each: not each.losses, segments):
        for origin, span in segment.index.origins.items():
            if origin not in begun and span.first_sequence > FIRST_SEQUENCE:
                origins[origin] = RetiredOrigin(
                    next_sequence=span.first_sequence, chain_crc=0, last_append_ms=0, node_name=span.node_name
                )
            begun.add(origin)
    return Retired(start_offset=segments[0].base_offset, origins=origins, origin=retired.origin)


def lowered(origins: Mapping[OriginId, Progress], going: Sequence[Segment]) -> Iterator[Progress]:
    """Yield the progress in each origin of which the ``going`` segments, the oldest ones, hold something."""
    changed: dict[OriginId, Progress] = {}
    for segment in going:
        for origin, span in segment.index.origins.items():
            before = changed.get(origin) or origins[origin]
            floor = max(before.floor_sequence, span.next_sequence)
            changed[origin] = replace(before, floor_sequence=floor, bytes=before.bytes - span.stored_bytes)
        for gap in (loss.gap for loss in segment.losses if loss.gap):
            before = changed.get(gap.origin) or origins[gap.origin]
            changed[gap.origin] = replace(before, floor_sequence=max(before.floor_sequence, gap.end))
    yield from changed.values()


def retired_with(
    retired: Retired, origins: Mapping[OriginId, Progress], going: Sequence[Segment]
) -> dict[OriginId, RetiredOrigin]:
    """Return what is removed of each origin once the ``going`` segments are."""
    gone = dict(retired.origins)
    for segment in going:
        for origin, span in segment.index.origins.items():
            gone[origin] = RetiredOrigin(
                next_sequence=span.next_sequence,
                chain_crc=span.chain_crc,
                last_append_ms=span.last_append_ms,
                node_name=span.node_name or origins[origin].node_name,
            )
        for gap in (loss.gap for loss in segment.losses if loss.gap):
            gone[gap.origin] = RetiredOrigin(
                next_sequence=gap.end,
                chain_crc=gap.chain_after,
                last_append_ms=origins[gap.origin].last_append_ms,
                node_name=origins[gap.origin].node_name,
            )
    return gone


def with_holes(
    view: View, origins: Iterable[OriginId], gaps: Mapping[OriginId, Ranges], hidden: Mapping[OriginId, Ranges]
) -> list[Progress]:
    """Return the progress in ``origins`` that says what ``view`` reaches over and does not hold, where that changes it.

    Args:
        view: The log.
        origins: Those to look at.
        gaps: Sequences that gap batches stand for.
        hidden: Sequences in damage.
    """
    placed, wanted = list[Progress](), dict.fromkeys(origins)
    passed, reserved = dict[OriginId, list[tuple[int, int]]](), dict[OriginId, list[tuple[int, int]]]()
    for loss in view.gaps():
        if loss.gap is not None and loss.gap.origin in wanted:
            ranges = passed if loss.void else reserved
            ranges.setdefault(loss.gap.origin, []).append((loss.gap.start, loss.gap.end))
    for origin in wanted:
        held = view.origins.get(origin)
        if held is None:
            continue
        skipped = joined((*gaps.get(origin, NO_RANGES), *passed.get(origin, ())))
        lost = joined((*hidden.get(origin, NO_RANGES), *reserved.get(origin, ())))
        now = (coarsened(within(each, held.floor_sequence, held.next_sequence)) for each in (skipped, lost))
        if (found := tuple(now)) != (held.gaps, held.damaged):
            placed.append(replace(held, gaps=found[0], damaged=found[1]))
    return placed
