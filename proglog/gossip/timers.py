"""The clock of one node, and timers on a heap: one deadline for the driver.

The clock counts the time that the process *ran*. Every entry into the core first calls :meth:`Timers.advance`: if a
deadline was missed by more than the tolerance, the process was suspended, and its clock is set to that deadline. So a
stall never shortens a peer's time to answer, whichever input comes first, and timers started while the sockets are
drained get their full duration.
"""

import heapq
from collections.abc import Callable
from itertools import count


class Timer:
    """A callback due at a time. Cancelling only marks it; it stays in the heap until due."""

    __slots__ = ("callback", "cancelled", "deadline")

    def __init__(self, deadline: float, callback: Callable[[], None]) -> None:
        """Due at ``deadline``."""
        self.deadline = deadline
        self.callback = callback
        self.cancelled = False

    def cancel(self) -> None:
        """Never run it."""
        self.cancelled = True


class Timers:
    """All timers of one node, run in order of their deadlines; equal deadlines in order of creation."""

    def __init__(self, now: float, tolerance: float) -> None:
        """Start without any, at ``now``.

        Args:
            now: Seconds on the driver's monotonic clock.
            tolerance: Seconds by which a busy process may be late without counting as suspended.
        """
        self.now = now
        """Seconds that this node ran, on a clock of its own. Durations are differences of it."""
        self.outside = now
        """The driver's clock at the last entry, for display."""
        self._stood_still = 0.0
        self._tolerance = tolerance
        self._heap: list[tuple[float, int, Timer]] = []
        self._order = count()

    def advance(self, now: float) -> None:
        """Advance to ``now`` on the driver's clock; time never goes back."""
        self.outside = max(self.outside, now)
        due = self.next_deadline()
        running = now - self._stood_still
        if due is not None and now >= due:
            if now - due > self._tolerance:
                self._stood_still += now - due
            # The driver wakes at the deadline it was given: rounding must not make that wake-up useless.
            running = max(now - self._stood_still, self._heap[0][0])
        self.now = max(self.now, running)

    def after(self, delay: float, callback: Callable[[], None]) -> Timer:
        """Run ``callback`` in ``delay`` seconds."""
        return self.at(self.now + delay, callback)

    def repeat(self, interval: float, callback: Callable[[], None], *, first: float) -> None:
        """Run ``callback`` in ``first`` seconds, and every ``interval`` from then on."""

        def tick() -> None:
            callback()  # first: what it begins for one interval ends before the next tick
            self.after(interval, tick)

        self.after(first, tick)

    def at(self, deadline: float, callback: Callable[[], None]) -> Timer:
        """Run ``callback`` at ``deadline`` on this node's clock."""
        timer = Timer(deadline, callback)
        heapq.heappush(self._heap, (deadline, next(self._order), timer))
        return timer

    def next_deadline(self) -> float | None:
        """Return when the next timer is due on the driver's clock; ``None`` without any."""
        while self._heap and self._heap[0][2].cancelled:
            heapq.heappop(self._heap)
        return self._heap[0][0] + self._stood_still if self._heap else None

    def run_due(self) -> None:
        """Run what is due now, each timer once: what it begins with no delay waits for the next call."""
        heap, last = self._heap, (self.now, next(self._order))
        while heap and heap[0][:2] <= last:
            timer = heapq.heappop(heap)[2]
            if not timer.cancelled:
                timer.callback()
