"""The verifications that were asked for from the dashboard: how far each is, what it found."""

from collections.abc import Callable
from dataclasses import dataclass

from proglog.client.model import Verified


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


class Checks:
    """By the base offset of the segment."""

    def __init__(self, begin: Callable[[int], None]) -> None:
        """Prepares none.

        Args:
            begin: Begins the verification of the segment at a base offset.
        """
        self._begin = begin
        self._of: dict[int, Check] = {}

    @property
    def running(self) -> int | None:
        """The segment that is being verified."""
        return next((base for base, check in self._of.items() if check.running), None)

    def of(self, base_offset: int) -> Check | None:
        """Returns the last verification of a segment."""
        return self._of.get(base_offset)

    def tell(self, base_offset: int, check: Check) -> None:
        """Takes news."""
        self._of[base_offset] = check

    def begin(self, base_offset: int) -> bool:
        """Begins one, unless one runs; returns whether it did."""
        if self.running is not None:
            return False
        self._begin(base_offset)
        return True
