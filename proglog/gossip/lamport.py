"""Lamport's logical clock: orders what nodes say without asking what time it is.

Source: Lamport 1978, "Time, Clocks, and the Ordering of Events in a Distributed System"; serf ``lamport.go``.
"""

MAX_LTIME = 2**63 - 1
"""A clock stops here: a hostile time cannot make it overflow the wire's 64 bits."""


class LamportClock:
    """A counter that starts at 1 and is always above every time it has seen."""

    def __init__(self) -> None:
        """Start at 1."""
        self._time = 1

    @property
    def time(self) -> int:
        """The current time."""
        return self._time

    def increment(self) -> int:
        """Advance by one and return the new time."""
        self._time = min(self._time + 1, MAX_LTIME)
        return self._time

    def witness(self, other: int) -> None:
        """Be later than ``other``, the time of something received."""
        if other >= self._time:
            self._time = min(other + 1, MAX_LTIME)
