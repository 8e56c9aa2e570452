"""How long things took lately: counts in buckets a fifth wide, over the last ten seconds. Pure.

::

    10 us * 2^(n/4)      bucket n: a quantile is at most a fifth too high, whatever was recorded
"""

import math
from dataclasses import dataclass, field
from itertools import accumulate
from typing import NamedTuple

WINDOW_SECONDS = 10
_LEAST, _PER_OCTAVE, _BUCKETS = 1e-5, 4, 100


class Quantiles(NamedTuple):
    """Of what ended in the last seconds; durations in seconds."""

    taken: int
    median: float
    p99: float
    highest: float


class LatencyHistogram(NamedTuple):
    """As Prometheus counts: how many took at most so long."""

    buckets: tuple[tuple[float, int], ...]
    """Upper bounds in seconds, ascending to infinity, and counts that include all lower ones."""
    seconds: float
    """All of them together."""


@dataclass(slots=True)
class _Slot:
    second: int
    counts: list[int] = field(default_factory=lambda: [0] * _BUCKETS)
    highest: float = 0.0


class LatencyWindow:
    """Takes durations; answers for the last ten seconds. Some kilobytes, however much is recorded."""

    def __init__(self) -> None:
        """Start without any."""
        self._slots: list[_Slot] = []
        self._totals = [0] * _BUCKETS
        self._seconds = 0.0

    def add(self, seconds: float, now: float) -> None:
        """Count what took ``seconds``, at the monotonic time ``now``."""
        if not self._slots or self._slots[-1].second != int(now):
            self._slots = [*self._recent(now), _Slot(int(now))]
        slot, bucket = self._slots[-1], _bucket(seconds)
        slot.counts[bucket] += 1
        slot.highest = max(slot.highest, seconds)
        self._totals[bucket] += 1
        self._seconds += seconds

    def histogram(self) -> "LatencyHistogram":
        """Return everything since the start, in buckets that are twice as wide each."""
        bounds = [_LEAST * 2**octave for octave in range(_BUCKETS // _PER_OCTAVE)]
        counts = list(accumulate(self._totals))
        buckets = [(bound, counts[octave * _PER_OCTAVE]) for octave, bound in enumerate(bounds)]
        return LatencyHistogram((*buckets, (math.inf, counts[-1])), self._seconds)

    def quantiles(self, now: float) -> Quantiles:
        """Return what is known at ``now``; 0 ``taken`` says that nothing ended."""
        recent = self._recent(now)
        counts = [sum(column) for column in zip(*(slot.counts for slot in recent), strict=True)]
        total, highest = sum(counts), max((slot.highest for slot in recent), default=0.0)
        return Quantiles(
            total, _quantile(counts, total, 0.5, highest), _quantile(counts, total, 0.99, highest), highest
        )

    def _recent(self, now: float) -> list[_Slot]:
        return [slot for slot in self._slots if slot.second > int(now) - WINDOW_SECONDS]


def _bucket(seconds: float) -> int:
    if seconds <= _LEAST:
        return 0
    return min(math.ceil(math.log2(seconds / _LEAST) * _PER_OCTAVE), _BUCKETS - 1)


def _quantile(counts: list[int], total: int, share: float, highest: float) -> float:
    seen = 0
    for bucket, count in enumerate(counts):
        seen += count
        if count and seen >= share * total:
            return min(_LEAST * math.exp2(bucket / _PER_OCTAVE), highest)
    return 0.0
