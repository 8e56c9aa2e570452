"""When an origin continues after a hole: a gap is a last resort, and a want that stays. Pure.

A hole opens once every reachable peer that is ahead has refused to continue::

    the missing records        absent members that may hold them         the origin continues after a gap
    -------------------        ---------------------------------         --------------------------------
    removed by retention       none or some: these are named             after stall_timeout, without an alarm
    lost to damage             none                                      after gap_timeout, with an alarm
    lost to damage             some                                      never: the wait is a finding that names them

The log reserves the offsets of a gap, and records that turn up later are restored in place: no gap is for good.

A member is absent from when its stream breaks until gossip forgets it: a member that failed or left still counts, until
it is reaped or an operator removes it. Its last known position counts as well: a member that had none of the missing
records is not waited for. A stream that opened later than the hole gets as much time to report what it has.
"""

from collections.abc import Callable, Mapping
from typing import NamedTuple

from proglog.replication.sources import Sources
from proglog.types import OriginId, SequenceNumber, counted, half_open

Others = Callable[[], Mapping[str, str]]
"""All other members known to gossip that serve a log, in any state: name to state in words."""


class Over(NamedTuple):
    """Why an origin continues after missing sequences, for which the log reserves their offsets."""

    reason: str
    """In words, for operators."""
    removed: bool = False
    """Whether retention removed them: then readers pass them without an error."""


class Wait(NamedTuple):
    """A hole kept open for an absent member that may hold the missing records."""

    member: str
    """The first of them, by name. Foreign text."""
    detail: str
    """For operators; without the origin."""


class Holes:
    """The open holes, one an origin. Time is seconds on any monotonic clock."""

    def __init__(self, sources: Sources, others: Others, *, stall_timeout: float, gap_timeout: float | None) -> None:
        """Start with none.

        Args:
            sources: The peers with open streams, and those remembered from closed ones.
            others: The other members.
            stall_timeout: See :class:`proglog.replication.plan.Patience`.
            gap_timeout: As above; ``None``: never skip a hole.
        """
        self._sources = sources
        self._others = others
        self._stall_timeout = stall_timeout
        self._gap_timeout = gap_timeout
        self.since: dict[OriginId, float] = {}
        """Since when each is open."""
        self._waits: dict[OriginId, Wait] = {}

    def open(self, origin: OriginId, now: float) -> None:
        """Open a hole: ``origin`` cannot continue. It may be open already."""
        self.since.setdefault(origin, now)

    def close(self, origin: OriginId) -> Wait | None:
        """Close the hole: ``origin`` continues. Return the wait that this ends, unless another hole waits for that member."""
        self.since.pop(origin, None)
        return self._end_wait(origin)

    def may_pass_at(self, origin: OriginId, start: SequenceNumber, end: SequenceNumber) -> float:
        """Return when the open hole of sequences ``[start, end)`` may be skipped; infinity: unknown."""
        if self._gap_timeout is None:
            return float("inf")
        trimmed = self._sources.is_trimmed(origin, start, end)
        if not trimmed and self.away(origin, start, end):
            return float("inf")
        patience = self._stall_timeout if trimmed else self._gap_timeout
        return max(self.since[origin], self._sources.opened_last_without(origin)) + patience

    def away(self, origin: OriginId, start: SequenceNumber, end: SequenceNumber) -> dict[str, str]:
        """Return the absent members that may hold sequences in ``[start, end)``: name to state in words, sorted."""
        others = self._others()
        self._sources.forget_all_but(others)
        return {
            name: state
            for name, state in sorted(others.items())
            if name not in self._sources.peers and self._sources.may_hold(name, origin, start, end)
        }

    def over(self, origin: OriginId, start: SequenceNumber, end: SequenceNumber) -> Over:
        """Return why the origin continues after a gap of the sequences ``[start, end)``."""
        away = self.away(origin, start, end)
        others = f"; not asked: {', '.join(f'{name} ({state})' for name, state in away.items())}" if away else ""
        span = f"sequences {half_open(start, end)}"
        if self._sources.is_trimmed(origin, start, end):
            return Over(f"retention removed {span} wherever this node could ask{others}", removed=True)
        return Over(f"no node that could be asked has {span}{others}")

    def look(self, origin: OriginId, start: SequenceNumber, end: SequenceNumber) -> tuple[Wait | None, Wait | None]:
        """Return the wait that is over, and the wait that began, since the last look at the open hole."""
        away = {} if self._sources.is_trimmed(origin, start, end) else self.away(origin, start, end)
        before = self._waits.get(origin)
        if not away:
            return self._end_wait(origin), None
        who = ", ".join(f"{name} ({state})" for name, state in away.items())
        count = end - start
        records = f"{counted(count, 'record')}, sequences {half_open(start, end)}"
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
