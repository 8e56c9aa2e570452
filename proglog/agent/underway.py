"""Current operations of threads, and their start: an operation that never ends emits no event, so it must be polled."""

import contextlib
import time
from collections.abc import Iterator
from itertools import count


class Underway:
    """The operations that have begun and not ended. All on the event loop's thread."""

    def __init__(self) -> None:
        """Start with none."""
        self._begun: dict[int, tuple[str, float]] = {}
        self._numbers = count()

    @contextlib.contextmanager
    def during(self, what: str) -> Iterator[None]:
        """``what`` is under way for as long as this lasts."""
        number = next(self._numbers)
        self._begun[number] = what, time.monotonic()
        try:
            yield
        finally:
            del self._begun[number]

    def operations(self) -> list[tuple[str, float]]:
        """Return what is under way, and its age in seconds: of several that are called the same, the oldest."""
        now, oldest = time.monotonic(), dict[str, float]()
        for what, began in self._begun.values():
            oldest.setdefault(what, now - began)
        return list(oldest.items())
