"""Lifeguard's local health: a node that misses answers suspects itself first, and is slower to accuse others.

A score that reached ``UNWELL`` is worth reporting until it is 0 again: in between, it moves with every lost packet.

Source: Dadgar, Phillips, Currey 2018, "Lifeguard: Local Health Awareness for More Accurate Failure Detection", 4.1.
"""

from collections.abc import Callable

UNWELL = 4


class Awareness:
    """A score from 0, healthy, to ``limit - 1``."""

    def __init__(self, limit: int, changed: Callable[[bool], None] = lambda _unwell: None) -> None:
        """Start healthy; ``changed`` is called when the node becomes unwell, and when it is well again."""
        self._limit = limit
        self._score = 0
        self._changed = changed
        self.unwell = False
        """Whether the score reached ``UNWELL`` and has not been 0 since."""

    @property
    def score(self) -> int:
        """The health score; higher is worse."""
        return self._score

    def apply(self, delta: int) -> None:
        """Move the score by ``delta``, within its bounds."""
        self._score = max(0, min(self._limit - 1, self._score + delta))
        unwell = self._score >= UNWELL or (self.unwell and self._score > 0)
        if unwell is not self.unwell:
            self.unwell = unwell
            self._changed(unwell)

    def scale(self, duration: float) -> float:
        """Return ``duration`` stretched by the score."""
        return duration * (self._score + 1)
