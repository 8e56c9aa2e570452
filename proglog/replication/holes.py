"""When a hole in an origin may be passed over for good: a gap batch is a last resort. Pure.

A hole is open from the moment at which everybody who reaches farther, and can be asked, has said that it cannot go on::

    what stood there           members that are away and may hold it     passed over
    ----------------           -------------------------------------     -----------
    retention removed it       none                                      after stall_timeout, without an alarm
    retention removed it       some                                      after gap_timeout; they are named
    damage took it             none                                      after gap_timeout, with an alarm
    damage took it             some                                      never: the wait is a finding that names them

A member is away from when its stream breaks until gossip forgets it: a member that failed or left still counts, until it
is reaped or an operator removes it. What it said last of the origin counts, too: who had nothing there is not waited for. A stream that opened later than the
hole gets as much time to say what it has.
"""

from collections.abc import Callable, Mapping
from typing import NamedTuple

from proglog.replication.sources import Sources
from proglog.types import OriginId, SequenceNumber

Others = Callable[[], Mapping[str, str]]
"""Every other member that gossip knows of and that serves a log, whatever its state: its name, and its state in words."""


class Wait(NamedTuple):
    """A hole is kept open for who may hold what stood there."""

    member: str
    """The first of them, by name. Foreign text."""
    detail: str
    """For operators; without the origin."""


class Holes:
    """The open holes, one an origin. Time is seconds on any monotonic clock."""

    def __init__(self, sources: Sources, others: Others, *, stall_timeout: float, gap_timeout: float | None) -> None:
        """Start with none.

        Args:
            sources: Who can be asked, and who could be.
            others: Who there is.
            stall_timeout: See :class:`proglog.replication.planner.Patience`.
            gap_timeout: As above; ``None``: no hole is ever passed over.
        """
        self._sources = sources
        self._others = others
        self._stall_timeout = stall_timeout
        self._gap_timeout = gap_timeout
        self.since: dict[OriginId, float] = {}
        """Since when each is open."""
        self._waits: dict[OriginId, Wait] = {}

    def open(self, origin: OriginId, now: float) -> None:
        """``origin`` cannot go on; it may be open already."""
        self.since.setdefault(origin, now)

    def close(self, origin: OriginId) -> Wait | None:
        """``origin`` goes on; return the wait that is over with it, if nothing else waits for that member."""
        self.since.pop(origin, None)
        return self._end_wait(origin)

    def may_pass_at(self, origin: OriginId, start: SequenceNumber, end: SequenceNumber) -> float:
        """Return from when on the open hole of sequences ``[start, end)`` may be passed over; infinity: not yet known."""
        if self._gap_timeout is None:
            return float("inf")
        away, trimmed = self.away(origin, start, end), self._sources.is_trimmed(origin, end)
        if away and not trimmed:
            return float("inf")
        patience = self._stall_timeout if trimmed and not away else self._gap_timeout
        return max(self.since[origin], self._sources.opened_last_without(origin)) + patience

    def away(self, origin: OriginId, start: SequenceNumber, end: SequenceNumber) -> dict[str, str]:
        """Return who cannot be asked and may hold sequences in ``[start, end)``, by name, with their state in words."""
        others = self._others()
        self._sources.forget_all_but(others)
        return {
            name: state
            for name, state in sorted(others.items())
            if name not in self._sources.peers and self._sources.may_hold(name, origin, start, end)
        }

    def look(self, origin: OriginId, start: SequenceNumber, end: SequenceNumber) -> tuple[Wait | None, Wait | None]:
        """Return the wait that is over, and the wait that began, since the last look at the open hole."""
        away = {} if self._sources.is_trimmed(origin, end) else self.away(origin, start, end)
        before = self._waits.get(origin)
        if not away:
            return self._end_wait(origin), None
        who = ", ".join(f"{name} ({state})" for name, state in away.items())
        count = end - start
        records = f"{count:,} record{'s' if count > 1 else ''}, sequences {start} to {end - 1}"
        wait = Wait(next(iter(away)), f"{records}, that only {who} may hold")
        if before is not None and before.member == wait.member:
            return None, None
        over = self._end_wait(origin)
        self._waits[origin] = wait
        return over, wait

    def _end_wait(self, origin: OriginId) -> Wait | None:
        wait = self._waits.pop(origin, None)
        if wait is None or any(each.member == wait.member for each in self._waits.values()):
            return None
        return wait
