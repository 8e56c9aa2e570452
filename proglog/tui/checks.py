"""The verifications that were asked for from the dashboard: how far each is, what it found."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

from proglog.wire.model import Verified


@dataclass(frozen=True, slots=True, kw_only=True)
class Check:
    """The last verification of one segment."""

    at: float
    """When this was told, seconds since 1970."""
    done: Verified | None = None
    """How far it is; ``None``: nothing was told yet."""
    error: str = ""
    """Why it ended early. Foreign text."""

    @property
    def running(self) -> bool:
        """Whether it goes on."""
        return not self.error and not (self.done and self.done.finished)


class SegmentId(NamedTuple):
    """A segment of a cluster: those of different nodes begin at the same offsets."""

    node_name: str
    base_offset: int


class Checks:
    """By segment."""

    def __init__(self, begin: Callable[[SegmentId], None]) -> None:
        """Prepares none.

        Args:
            begin: Begins the verification of a segment.
        """
        self._begin = begin
        self._of: dict[SegmentId, Check] = {}

    @property
    def running(self) -> SegmentId | None:
        """The segment that is being verified."""
        return next((segment for segment, check in self._of.items() if check.running), None)

    def of(self, segment: SegmentId) -> Check | None:
        """Returns the last verification of a segment."""
        return self._of.get(segment)

    def tell(self, segment: SegmentId, check: Check) -> None:
        """Takes news."""
        self._of[segment] = check

    def begin(self, segment: SegmentId) -> bool:
        """Begins one, unless one runs; returns whether it did."""
        if self.running is not None:
            return False
        self._begin(segment)
        return True
