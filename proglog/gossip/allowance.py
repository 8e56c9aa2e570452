"""A rate limit on work whose size others choose: units per second, saved up for at most one second."""

from proglog.gossip.errors import MalformedMessageError
from proglog.gossip.timers import Timers


class Allowance:
    """A token bucket."""

    def __init__(self, what: str, per_second: int, timers: Timers) -> None:
        """Start full.

        Args:
            what: For the diagnostic.
            per_second: Units that flow in, and that it holds.
            timers: The clock.
        """
        self._what = what
        self._per_second = per_second
        self._timers = timers
        self._left = float(per_second)
        self._at = timers.now

    def spend(self, units: int) -> None:
        """Take ``units`` out.

        Raises:
            MalformedMessageError: There are not so many.
        """
        passed, self._at = self._timers.now - self._at, self._timers.now
        self._left = min(self._per_second, self._left + passed * self._per_second)
        if units > self._left:
            raise MalformedMessageError(f"more than {self._per_second:,} {self._what} a second")
        self._left -= units
