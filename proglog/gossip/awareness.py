"""Lifeguard's local health: a node that misses answers suspects itself first, and is slower to accuse others.

Source: Dadgar, Phillips, Currey 2018, "Lifeguard: Local Health Awareness for More Accurate Failure Detection", 4.1.
"""


class Awareness:
    """A score from 0, healthy, to ``limit - 1``."""

    def __init__(self, limit: int) -> None:
        """Start healthy."""
        self._limit = limit
        self._score = 0

    @property
    def score(self) -> int:
        """The health score; higher is worse."""
        return self._score

    def apply(self, delta: int) -> None:
        """Move the score by ``delta``, within its bounds."""
        self._score = max(0, min(self._limit - 1, self._score + delta))

    def scale(self, duration: float) -> float:
        """Return ``duration`` stretched by the score."""
        return duration * (self._score + 1)
