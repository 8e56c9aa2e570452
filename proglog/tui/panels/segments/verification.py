"""Verifications of segments that the dashboard asks the agent for: one at a time, each followed to its end.

::

    begin --> running --> finished, whole
                  |------> finished, with damage --> repaired meanwhile? --> once more
                  '------> stopped, with an error
"""

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine
from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol

from proglog.errors import ProglogError
from proglog.tui.state import DashState
from proglog.wire.model import ClusterSnapshot, Segment, Verified

REPAIR_SECONDS = 2.0
"""Between two checks whether the damage that a verification found has been repaired."""
_REPAIR_CHECKS = 30


class SegmentId(NamedTuple):
    """A segment of a cluster: those of different nodes begin at the same offsets."""

    node_name: str
    base_offset: int

    def find(self, snapshot: ClusterSnapshot | None) -> Segment | None:
        """Return the segment; ``None``: it is gone, or the snapshot is of another node."""
        if snapshot is None or snapshot.node.name != self.node_name:
            return None
        return next((segment for segment in snapshot.segments if segment.base_offset == self.base_offset), None)


def has_damage(snapshot: ClusterSnapshot | None, segment: Segment) -> bool:
    """Return whether the agent lists damage in a segment."""
    damaged = snapshot.log.damaged if snapshot else ()
    return any(lost.start_offset < segment.end_offset and segment.base_offset < lost.end_offset for lost in damaged)


@dataclass(frozen=True, slots=True, kw_only=True)
class Verification:
    """The last verification of one segment."""

    at: float
    """When this was reported, seconds since 1970."""
    done: Verified | None = None
    """Its progress; ``None``: nothing was reported yet."""
    error: str = ""
    """Why it ended early. Foreign text."""

    @property
    def running(self) -> bool:
        """Whether it has not ended."""
        return not self.error and not (self.done and self.done.finished)


class _Source(Protocol):
    def verify(self, base_offset: int) -> AsyncIterator[Verified]: ...


class _Host(Protocol):
    """What the verifier needs of the application."""

    @property
    def state(self) -> DashState: ...
    @property
    def source(self) -> _Source: ...
    @property
    def clock(self) -> Callable[[], float]: ...
    def mark_dirty(self) -> None: ...


class Verifier:
    """Runs verifications and remembers the last one of each segment."""

    def __init__(self, host: _Host, run: Callable[[Coroutine[Any, Any, None]], object]) -> None:
        """Prepare none.

        Args:
            host: The application.
            run: Starts a coroutine that outlives every screen.
        """
        self._host = host
        self._run = run
        self._of: dict[SegmentId, Verification] = {}

    @property
    def running(self) -> SegmentId | None:
        """The segment that is being verified."""
        return next((segment for segment, each in self._of.items() if each.running), None)

    def of(self, segment: SegmentId) -> Verification | None:
        """Return the last verification of a segment."""
        return self._of.get(segment)

    def begin(self, segment: SegmentId) -> bool:
        """Verify a segment unless a verification runs; return whether it began."""
        if self.running is not None:
            return False
        self._begin(segment)
        return True

    def _begin(self, segment: SegmentId, *, again: bool = False) -> None:
        self._report(segment)
        self._run(self._follow(segment, again=again))

    def _report(self, segment: SegmentId, done: Verified | None = None, error: str = "") -> None:
        self._of[segment] = Verification(at=self._host.clock(), done=done, error=error)
        self._host.mark_dirty()

    async def _follow(self, segment: SegmentId, *, again: bool) -> None:
        done = None
        error = "the agent ended it"
        latest = self._host.state.latest
        if latest is None or latest.node.name != segment.node_name:
            self._report(segment, error="another node is watched now")
            return
        try:
            async for done in self._host.source.verify(segment.base_offset):
                self._report(segment, done)
        except ProglogError as problem:
            error = str(problem)
        if done is None or not done.finished:
            self._report(segment, done, error)
        elif done.problems and not again:
            await self._verify_repaired(segment)

    async def _verify_repaired(self, segment_id: SegmentId) -> None:
        """Verify a damaged segment once more when the agent lists no damage in it any more."""
        outdated = self.of(segment_id)
        for _ in range(_REPAIR_CHECKS):
            await asyncio.sleep(REPAIR_SECONDS)
            latest = self._host.state.latest
            segment = segment_id.find(latest)
            if segment is None or self.of(segment_id) is not outdated or self.running is not None:
                return
            if not has_damage(latest, segment):
                self._begin(segment_id, again=True)
                return
