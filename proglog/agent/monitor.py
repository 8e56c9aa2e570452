"""Reports changes of the log, an expiring certificate and a clock that was set as events, as they happen."""

import asyncio
import time
from collections.abc import Callable
from datetime import UTC, datetime

from proglog import clock
from proglog.agent.log_watch import LogChange, LogWatch
from proglog.agent.timeline import Timeline
from proglog.log.log import Log
from proglog.observe.words import duration_words
from proglog.telemetry import events

LOOK_INTERVAL = 2.0
"""Seconds between two looks for damage."""
CLOCK_TOLERANCE_MS = 5_000
"""Wall-clock drift between two checks that is reported: time synchronization moves the clock by less."""
CERTIFICATE_WARNING_DAYS = 14
CERTIFICATE_INTERVAL = 86_400.0
"""Seconds between warnings about an expiring certificate."""


class Monitor:
    """Checks the log after every change; :meth:`run` checks for damage and expiry from time to time."""

    def __init__(
        self,
        log: Log,
        timeline: Timeline,
        *,
        certificate_expires_at_ms: Callable[[], int | None],
        now_ms: Callable[[], int],
        steady: Callable[[], float] = clock.steady,
        also: Callable[[], None] = lambda: None,
    ) -> None:
        """Report what opening the log found.

        Args:
            log: What is watched.
            timeline: Takes the events.
            certificate_expires_at_ms: When the server certificate ends, milliseconds since 1970; ``None`` without one.
            now_ms: This machine's clock, milliseconds since 1970.
            steady: Seconds that passed, by a clock that cannot be set.
            also: Called at each look.
        """
        self._timeline = timeline
        self._certificate_expires_at_ms = certificate_expires_at_ms
        self._now_ms = now_ms
        self._steady = steady
        self._also = also
        self._clock_ahead_ms = self._ahead_ms()
        self._watch = LogWatch(log)
        self._tell(self._watch.opened())

    def log_advanced(self) -> None:
        """Show what was appended; report what else changed in the log."""
        self._timeline.touch()
        self._tell(self._watch.look())

    async def run(self) -> None:
        """Check periodically for disk damage, an expiring certificate and a changed clock."""
        warned_at = float("-inf")
        while True:
            self._tell(self._watch.look_for_damage())
            if time.monotonic() >= warned_at + CERTIFICATE_INTERVAL:
                warned_at = time.monotonic()
                self._warn_of_expiry()
            self._look_at_clock()
            self._also()
            await asyncio.sleep(LOOK_INTERVAL)

    def _ahead_ms(self) -> int:
        """Return the wall clock less the steady one; the difference changes when the wall clock is set."""
        return self._now_ms() - round(self._steady() * 1000)

    def _look_at_clock(self) -> None:
        before, self._clock_ahead_ms = self._clock_ahead_ms, self._ahead_ms()
        moved_ms = self._clock_ahead_ms - before
        if abs(moved_ms) > CLOCK_TOLERANCE_MS:
            way = "on" if moved_ms > 0 else "back"
            self._timeline.emit(events.CLOCK_JUMPED, "", f"{way} by {duration_words(abs(moved_ms) / 1000)}")

    def _tell(self, changes: list[LogChange]) -> None:
        for change in changes:
            self._timeline.emit(change.event, "", change.detail)

    def _warn_of_expiry(self) -> None:
        expires_at_ms = self._certificate_expires_at_ms()
        if expires_at_ms is None:
            return
        days = (expires_at_ms - self._now_ms()) / 86_400_000
        if days > CERTIFICATE_WARNING_DAYS:
            return
        not_after = datetime.fromtimestamp(expires_at_ms / 1000, UTC).isoformat()
        self._timeline.emit(events.CERTIFICATE_EXPIRES, "", f"at {not_after}, in {days:.1f} days")
