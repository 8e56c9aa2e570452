"""What is wrong with an open log for the time being: each once, with since when, and gone when it has passed."""

import threading
from collections.abc import Callable
from typing import NamedTuple


class Problem(NamedTuple):
    """Something that an operator should know of. Appends may go on: the log's state says whether they do."""

    key: str
    """What kind: the same problem has the same key for as long as it lasts."""
    detail: str
    """In words."""
    since: float
    """When it began, by the log's monotonic clock."""


class Problems:
    """Reported by the thread that appends, read by any."""

    def __init__(self, monotonic: Callable[[], float]) -> None:
        """Start with none."""
        self._monotonic = monotonic
        self._mutex = threading.Lock()
        self._held: dict[str, Problem] = {}

    def report(self, key: str, detail: str) -> None:
        """Take in that something is wrong, or still is."""
        with self._mutex:
            held = self._held.get(key)
            self._held[key] = Problem(key, detail, held.since if held else self._monotonic())

    def clear(self, key: str) -> None:
        """Take in that it is not wrong, or no longer."""
        with self._mutex:
            self._held.pop(key, None)

    def values(self) -> tuple[Problem, ...]:
        """Return what is wrong now, the oldest first."""
        with self._mutex:
            return tuple(self._held.values())
