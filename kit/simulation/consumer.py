"""A consumer with a position vector that moves between nodes (invariant I12)."""

from kit.simulation.invariants import Truth, records_in
from kit.simulation.rules import Violation
from proglog.log.log import Log
from proglog.types import OriginId


class Consumer:
    """Continues from its position, at any node."""

    def __init__(self, truth: Truth, *, retention: bool) -> None:
        """Start from the beginning; with ``retention``, records may be gone before they are read."""
        self.consumed: list[tuple[OriginId, int]] = []
        self._truth = truth
        self._retention = retention
        self._next: dict[OriginId, int] = {}
        self._passed_over: dict[OriginId, int] = {}

    def read(self, log: Log) -> None:
        """Read new records."""
        for origin, sequence in records_in(log):
            expected = self._next.get(origin, 1)
            if sequence > expected and (self._retention or origin in self._truth.damaged):
                self._passed_over[origin] = sequence  # by retention, by damage, or by a gap that they led to
            if sequence >= expected:
                self._next[origin] = sequence + 1
                self.consumed.append((origin, sequence))

    def check(self, log: Log) -> None:
        """Compare what was read with a complete log.

        Raises:
            Violation: A record came twice, or not at all.
        """
        held = {
            record
            for record in records_in(log)
            if record[1] >= self._passed_over.get(record[0], 1) and record[0] not in self._truth.tampered
        }
        if len(set(self.consumed)) != len(self.consumed):
            raise Violation("I12 a consumer got a record twice")
        if held - set(self.consumed):
            raise Violation("I12 a consumer missed a record")
