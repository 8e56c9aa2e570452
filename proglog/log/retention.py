"""Which segments may go. Pure: sizes, times and clocks in, a number out.

Whole sealed segments, oldest first. Age is by append time, the clock of this node: a producer's timestamps could keep
a segment forever or remove it at once. A single clock jump removes nothing: see :class:`ClockWatch`.
"""

from collections.abc import Sequence

TOLERANCE_MS = 10_000
"""By which clocks may differ without one of them being taken for wrong."""
_MAX_PROBATION = 600.0


class ClockWatch:
    """Trusts the wall clock when it has kept pace with the monotonic one for a while."""

    def __init__(self, retention_age: float) -> None:
        """Ask for a tenth of ``retention_age`` seconds in step, at most ten minutes."""
        self._probation = min(retention_age / 10, _MAX_PROBATION)
        self._started: float | None = None
        self._last: tuple[int, float] | None = None

    def agrees(self, wall_ms: int, monotonic: float) -> bool:
        """Take one sample of both clocks; return whether the wall clock may decide over data."""
        before, self._last = self._last, (wall_ms, monotonic)
        in_step = before is not None and abs((wall_ms - before[0]) - (monotonic - before[1]) * 1000) <= TOLERANCE_MS
        if not in_step or self._started is None:
            self._started = monotonic
        return monotonic - self._started >= self._probation


def too_many(segment_bytes: Sequence[int], retention_bytes: int) -> int:
    """Return how many segments go, from the oldest, so that at most ``retention_bytes`` are left. Never the last."""
    total, count = sum(segment_bytes), 0
    while count < len(segment_bytes) - 1 and total > retention_bytes:
        total -= segment_bytes[count]
        count += 1
    return count


def too_old(last_append_ms: Sequence[int], now_ms: int, retention_age: float) -> int:
    """Return how many segments go because their newest batch is older than ``retention_age`` seconds. Never the last.

    Segments are appended to in order, so a time that goes back was a slow clock's, and the one before it holds. A time
    that is not known, or ahead of the clock, decides nothing: the segment is at least as old as the one after it.
    """
    latest, times = 0, []
    for appended_ms in last_append_ms:
        known = 0 < appended_ms <= now_ms + TOLERANCE_MS
        latest = max(latest, appended_ms if known else 0)
        times.append(latest if known else None)
    following: int | None = None
    for number in range(len(times) - 1, -1, -1):
        following = times[number] = following if times[number] is None else times[number]
    oldest_kept_ms = now_ms - retention_age * 1000
    count = 0
    for time_ms in times[:-1]:
        if time_ms is None or time_ms >= oldest_kept_ms:
            break
        count += 1
    return count


def append_time(now_ms: int, last_append_ms: int) -> int:
    """Return the time to stamp: never a little before the last one, but the clock's when that was corrected."""
    return last_append_ms if now_ms < last_append_ms <= now_ms + TOLERANCE_MS else now_ms
