"""What is under way, since when and waiting for what: an operation that never ends emits no event, so it must be polled."""

import contextlib
import time
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import count

BOUND = 1.0
"""Seconds that an operation may take, unless it has a bound of its own."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Work:
    """One operation that has begun and not ended."""

    what: str
    began: float
    """Monotonic seconds; for what repeats, when it last got anywhere."""
    waits_for: str = ""
    """Whom; empty: this node's disk."""
    bound: float = BOUND
    """Seconds that it may take."""


class Underway:
    """The operations that have begun and not ended. All on the event loop's thread."""

    def __init__(self) -> None:
        """Start with none."""
        self._begun: dict[int, Work] = {}
        self._numbers = count()

    @contextlib.contextmanager
    def during(self, what: str, *, waits_for: str = "", bound: float = BOUND) -> Iterator[None]:
        """``what`` is under way for as long as this lasts; arguments as the fields of :class:`Work`."""
        number = next(self._numbers)
        self._begun[number] = Work(what=what, began=time.monotonic(), waits_for=waits_for, bound=bound)
        try:
            yield
        finally:
            del self._begun[number]

    def operations(self) -> list[Work]:
        """Return what is under way: of several that are called the same and wait for the same, the oldest."""
        oldest = dict[tuple[str, str], Work]()
        for work in self._begun.values():
            oldest.setdefault((work.what, work.waits_for), work)
        return list(oldest.values())
