"""Changes of the log since the last check that are reported to operators as events.

The hot path looks too, so a look at an unchanged log compares five values. Damage is looked for apart, more seldom:
that asks every segment.
"""

from typing import NamedTuple

from proglog.log.log import Log
from proglog.log.model import DamagedRange, SegmentInfo
from proglog.log.problems import Problem
from proglog.telemetry import events
from proglog.telemetry.emit import EventKind
from proglog.types import half_open

_STATES = {
    "full": events.LOG_FULL,
    "read-only": events.LOG_READ_ONLY,
    "poisoned": events.LOG_POISONED,
    "ok": events.LOG_RESUMED,
}


class LogChange(NamedTuple):
    """One thing that happened."""

    event: EventKind
    detail: str
    """In words."""


class LogWatch:
    """Compares a log with what it was at the last look."""

    def __init__(self, log: Log) -> None:
        """Take the log as it is now for known, but for what opening it found."""
        self._log = log
        self._state = "ok"  # one that opens otherwise is news
        self._problems: dict[str, Problem] = {}
        self._active = log.end_position.segment
        self._start = log.start_offset
        self._damaged: set[DamagedRange] = set()

    def opened(self) -> list[LogChange]:
        """Return what opening the log found and did."""
        recovery, changes = self._log.recovery, []
        repaired = recovery.describe()
        if repaired:
            changes.append(LogChange(events.LOG_RECOVERED, repaired))
        if recovery.new_origin_reason:
            changes.append(LogChange(events.ORIGIN_STARTED, recovery.new_origin_reason))
        return changes + self.look()

    def look(self) -> list[LogChange]:
        """Return what happened to state, start and active segment since the last look; a log that closes is no news."""
        log = self._log
        state, active, start = log.state, log.end_position.segment, log.start_offset
        changes = []
        if state not in (self._state, "closed"):
            changes.append(LogChange(_STATES[state], log.state_detail))
        changes += self._look_at_problems()
        if active != self._active:
            rolled = (segment for segment in log.segments() if self._active <= segment.base_offset < active)
            changes += [LogChange(events.SEGMENT_ROLLED, _sealed(segment)) for segment in rolled]
        if start != self._start:
            detail = f"offsets before {start} are gone: {start - self._start:,} records"
            changes.append(LogChange(events.SEGMENTS_REMOVED, detail))
        self._state, self._active, self._start = state, active, start
        return changes

    def _look_at_problems(self) -> list[LogChange]:
        before, self._problems = self._problems, {problem.key: problem for problem in self._log.problems()}
        begun = [problem for key, problem in self._problems.items() if key not in before]
        passed = [problem for key, problem in before.items() if key not in self._problems]
        return [
            *(LogChange(events.LOG_PROBLEM, problem.detail) for problem in begun),
            *(LogChange(events.LOG_PROBLEM_PASSED, problem.detail) for problem in passed),
        ]

    def look_for_damage(self) -> list[LogChange]:
        """Return the ranges that were found to be damaged since the last look."""
        damaged = {each for each in self._log.damaged() if each.accepted is None}
        found, self._damaged = sorted(damaged - self._damaged, key=lambda lost: lost.start), damaged
        return [LogChange(events.LOG_DAMAGED, _lost(each)) for each in found]


def _sealed(segment: SegmentInfo) -> str:
    return f"offsets {half_open(segment.base_offset, segment.end_offset)} are sealed: {segment.bytes:,} bytes"


def _lost(lost: DamagedRange) -> str:
    what = "a control batch" if lost.start == lost.end else f"offsets {half_open(lost.start, lost.end)}"
    return f"{what} cannot be read: {lost.detail}"
