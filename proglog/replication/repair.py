"""Choosing which peer to fetch damaged ranges from: a pure function of the missing ranges and peers' positions.

A damaged range of a store is restored whole or not at all, so all of its sequences have to be fetched, each part from any
peer that keeps it; a gap is restored in parts. ::

    missing range --> peers that keep any of it and are not backing off --> fewest failures, then most of it, then by name
                                                                              |
                    range gone from the list  <---- refilled <---- fetched <--+--> failed: that peer backs off for that
                                                                                   range, 1 s, 2 s, 4 s ... 60 s
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import NamedTuple

from proglog.replication.progress import Progress
from proglog.replication.ranges import NO_RANGES
from proglog.types import OriginId, SequenceNumber

MIN_RETRY, MAX_RETRY = 1.0, 60.0
"""Backoff before retrying a peer for the same range, in seconds; doubles with each failure."""


class SequenceRange(NamedTuple):
    """Sequences in ``[start, end)`` of one origin."""

    origin: OriginId
    start: SequenceNumber
    end: SequenceNumber


@dataclass(frozen=True, slots=True)
class Attempt:
    """Ask ``peer`` for ``part`` of ``missing``."""

    peer: str
    missing: SequenceRange
    part: SequenceRange


@dataclass(slots=True)
class _Failures:
    count: int = 0
    until: float = 0.0


class RepairPlan:
    """Past attempts and the next one. Time is seconds on any monotonic clock."""

    def __init__(self) -> None:
        """Start without attempts."""
        self._failures: dict[tuple[str, SequenceRange], _Failures] = {}

    def next_attempt(
        self, missing: Iterable[SequenceRange], peers: Mapping[str, Mapping[OriginId, Progress]], now: float
    ) -> Attempt | None:
        """Return what to try now; ``None`` if no peer can help, or all are backing off.

        Args:
            missing: All that the log lacks now; failures for other ranges are forgotten.
            peers: How far each reachable peer's log goes, by name and origin.
            now: Seconds.
        """
        ranges = list(missing)
        still = set(ranges)
        self._failures = {key: failures for key, failures in self._failures.items() if key[1] in still}
        attempts = [
            Attempt(peer, lost, part)
            for lost in ranges
            for peer, positions in peers.items()
            if (part := _kept(positions.get(lost.origin), lost)) and self._failures_of(peer, lost).until <= now
        ]
        return min(attempts, key=self._preference, default=None)

    def _preference(self, attempt: Attempt) -> tuple[int, int, str]:
        part = attempt.part
        return self._failures_of(attempt.peer, attempt.missing).count, part.start - part.end, attempt.peer

    def failed(self, attempt: Attempt, now: float) -> None:
        """Back off: ``attempt`` did not restore the range. Other peers come first now."""
        failures = self._failures.setdefault((attempt.peer, attempt.missing), _Failures())
        failures.until = now + min(MIN_RETRY * 2**failures.count, MAX_RETRY)
        failures.count += 1

    def _failures_of(self, peer: str, lost: SequenceRange) -> _Failures:
        return self._failures.get((peer, lost)) or _Failures()


def _kept(position: Progress | None, lost: SequenceRange) -> SequenceRange | None:
    """Return the longest part of ``lost`` that a log at ``position`` keeps."""
    parts = position.kept(lost.start, lost.end) if position is not None else NO_RANGES
    if not parts:
        return None
    start, end = max(parts, key=lambda part: part[1] - part[0])
    return SequenceRange(lost.origin, SequenceNumber(start), SequenceNumber(end))
