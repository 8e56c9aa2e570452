"""Lamport's logical clock: orders messages without wall-clock time.

Source: Lamport 1978, "Time, Clocks, and the Ordering of Events in a Distributed System"; serf ``lamport.go``.
"""

from dataclasses import dataclass

from proglog.gossip.errors import MalformedMessageError

MAX_LTIME = 2**63 - 1
"""The highest time that every implementation supports."""
MAX_AHEAD = 2**32
"""A time this far above the own clock was not reached by counting: it is rejected."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ClockTimes:
    """A node's three clock values, from which its next run starts."""

    intents: int = 0
    """0: it never ran."""
    events: int = 0
    """All user events up to this time were delivered."""
    queries: int = 0


class LamportClock:
    """A counter that starts at 1 and is always above every time it has seen."""

    def __init__(self, seen: int = 0) -> None:
        """Start at 1, or after ``seen``, the last time of an earlier run."""
        self._time = seen + 1

    @property
    def time(self) -> int:
        """The current time."""
        return self._time

    def increment(self) -> int:
        """Advance by one and return the new time."""
        self._time += 1
        return self._time

    def believes(self, other: int) -> bool:
        """Return whether ``other`` can be a time of the same cluster."""
        return other <= min(self._time + MAX_AHEAD, MAX_LTIME - MAX_AHEAD)

    def witness(self, other: int) -> None:
        """Advance past ``other``, the time of a received message.

        Raises:
            MalformedMessageError: It is implausibly far ahead.
        """
        if not self.believes(other):
            raise MalformedMessageError(f"the Lamport time {other} is implausibly far ahead of {self._time}")
        self._time = max(self._time, other + 1)
