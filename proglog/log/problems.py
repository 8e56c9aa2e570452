"""Current problems of an open log: each once, with its start, and removed when it is over."""

import threading
from collections.abc import Callable
from typing import NamedTuple


class Problem(NamedTuple):
    """A condition to report to the operator. Appends may continue: the log's state says whether they do."""

    key: str
    """Identifies the problem for as long as it lasts."""
    detail: str
    """In words."""
    since: float
    """When it began, by the log's monotonic clock."""


class Problems:
    """The current problems: reported by the appending thread, read by any."""

    def __init__(self, monotonic: Callable[[], float]) -> None:
        """Start with none."""
        self._monotonic = monotonic
        self._mutex = threading.Lock()
        self._held: dict[str, Problem] = {}

    def report(self, key: str, detail: str) -> None:
        """Add a problem, or update its detail."""
        with self._mutex:
            held = self._held.get(key)
            self._held[key] = Problem(key, detail, held.since if held else self._monotonic())

    def clear(self, key: str) -> None:
        """Remove a problem, if present."""
        with self._mutex:
            self._held.pop(key, None)

    def values(self) -> tuple[Problem, ...]:
        """Return the current problems, the oldest first."""
        with self._mutex:
            return tuple(self._held.values())
