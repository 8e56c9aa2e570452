"""A clock, and timers as values on a heap: one deadline for the driver, and no time passes while the process is stopped."""

import heapq
from collections.abc import Callable
from itertools import count


class Timer:
    """A callback due at a time. Cancelling it is enough; nobody has to find it in the heap."""

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

    def __init__(self, now: float) -> None:
        """Start without any, at ``now``: seconds on any monotonic clock."""
        self.now = now
        self._heap: list[tuple[float, int, Timer]] = []
        self._order = count()

    def advance(self, now: float) -> None:
        """It is ``now``, or later: time does not go back."""
        self.now = max(self.now, now)

    def after(self, delay: float, callback: Callable[[], None]) -> Timer:
        """Run ``callback`` in ``delay`` seconds."""
        return self.at(self.now + delay, callback)

    def repeat(self, interval: float, callback: Callable[[], None], *, first: float) -> None:
        """Run ``callback`` in ``first`` seconds, and every ``interval`` from then on."""

        def tick() -> None:
            self.after(interval, tick)
            callback()

        self.after(first, tick)

    def at(self, deadline: float, callback: Callable[[], None]) -> Timer:
        """Run ``callback`` at ``deadline``."""
        timer = Timer(deadline, callback)
        heapq.heappush(self._heap, (deadline, next(self._order), timer))
        return timer

    def next_deadline(self) -> float | None:
        """Return when the next timer is due; ``None`` without any."""
        while self._heap and self._heap[0][2].cancelled:
            heapq.heappop(self._heap)
        return self._heap[0][0] if self._heap else None

    def run_due(self) -> None:
        """Run what is due now, including what becomes due meanwhile at an earlier time."""
        while (deadline := self.next_deadline()) is not None and deadline <= self.now:
            heapq.heappop(self._heap)[2].callback()

    def postpone(self, seconds: float) -> None:
        """Move every deadline: this node was not running for that long, so nobody could have answered it."""
        for _, _, timer in self._heap:
            timer.deadline += seconds
        self._heap = [(deadline + seconds, order, timer) for deadline, order, timer in self._heap]
        heapq.heapify(self._heap)
