"""Ranges of sequences: half-open, ascending, apart from each other. Pure.

A log reports the records that it lacks within its reach in a bounded number of ranges. Beyond the bound, neighbours are
merged, including the records held between them: a node may claim less than it holds, never more.
"""

from bisect import bisect_right
from collections.abc import Iterable, Sequence
from itertools import pairwise

Ranges = tuple[tuple[int, int], ...]
NO_RANGES: Ranges = ()
MAX_RANGES = 64
"""Most ranges of one kind that a node reports for one origin."""


def joined(ranges: Iterable[tuple[int, int]]) -> Ranges:
    """Normalize ranges given in any order, overlapping or not."""
    made: list[tuple[int, int]] = []
    for start, end in sorted(ranges):
        if start >= end:
            continue
        if made and start <= made[-1][1]:
            made[-1] = made[-1][0], max(made[-1][1], end)
        else:
            made.append((start, end))
    return tuple(made)


def within(ranges: Ranges, start: int, end: int) -> Ranges:
    """Return the parts of ``ranges`` within ``[start, end)``."""
    if not ranges or (ranges[0][0] >= start and ranges[-1][1] <= end):
        return ranges
    clipped = ((max(first, start), min(last, end)) for first, last in ranges)
    return tuple(each for each in clipped if each[0] < each[1])


def covers(ranges: Ranges, sequence: int) -> bool:
    """Return whether ``sequence`` is in one of them."""
    found = bisect_right(ranges, (sequence, 1 << 64)) - 1
    return found >= 0 and sequence < ranges[found][1]


def without(start: int, end: int, ranges: Iterable[tuple[int, int]]) -> Ranges:
    """Return the parts of ``[start, end)`` that are in none of the ranges."""
    left: list[tuple[int, int]] = []
    for first, last in joined(ranges):
        if start < min(first, end):
            left.append((start, min(first, end)))
        start = max(start, last)
    return joined((*left, (start, end)))


def size(ranges: Iterable[tuple[int, int]]) -> int:
    """Return the number of sequences in the ranges."""
    return sum(end - start for start, end in ranges)


def coarsened(ranges: Ranges, most: int = MAX_RANGES) -> Ranges:
    """Return at most ``most`` ranges that cover ``ranges``, merging those nearest to each other."""
    if len(ranges) <= most:
        return ranges
    between = sorted(range(len(ranges) - 1), key=lambda at: ranges[at + 1][0] - ranges[at][1])
    closed = set(between[: len(ranges) - most])
    made = [ranges[0]]
    for at, (_, after) in enumerate(pairwise(ranges)):
        if at in closed:
            made[-1] = made[-1][0], after[1]
        else:
            made.append(after)
    return tuple(made)


def flat(ranges: Ranges) -> list[int]:
    """Return the starts and ends in one flat list, as they are stored."""
    return [bound for each in ranges for bound in each]


def from_flat(bounds: Sequence[int], most: int = MAX_RANGES) -> Ranges:
    """Return what :func:`flat` returned, from anywhere: at most ``most``, as they are kept; an odd bound is ignored."""
    bounds = bounds[: 2 * most]
    return joined(zip(bounds[::2], bounds[1::2], strict=False))
