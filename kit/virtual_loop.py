"""An event loop in virtual time: what waits for a moment has it at once, in order, and a run repeats to the step.

For programs without sockets, threads and processes: nothing from outside can wake it. An hour of waiting costs what it
does in the hour. When nothing is left to wait for, it says so rather than hang.
"""

import asyncio
import selectors
from collections.abc import Coroutine
from typing import Any, TypeVar

Result = TypeVar("Result")


class StuckError(AssertionError):
    """Everything waits, and for nothing that will come."""


class _Clock(selectors.SelectSelector):
    """Instead of waiting for sockets, it advances the time."""

    def __init__(self) -> None:
        super().__init__()
        self.now = 1000.0

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        """Advance by ``timeout``; nothing ever comes."""
        if timeout is None:
            raise StuckError("every task waits, and no timer is set")
        self.now += max(0.0, timeout)
        return []


class VirtualLoop(asyncio.SelectorEventLoop):
    """See the module."""

    def __init__(self) -> None:
        """Begin at second 1,000."""
        self._virtual = _Clock()
        super().__init__(self._virtual)

    def time(self) -> float:
        """Return the virtual time in seconds."""
        return self._virtual.now


def run(work: Coroutine[Any, Any, Result]) -> Result:
    """Run ``work`` on a loop of its own, and close that."""
    with asyncio.Runner(loop_factory=VirtualLoop) as runner:
        return runner.run(work)
