"""Which failed batches each flush of a producer has to report. Pure."""

from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from proglog.client.accumulator import Batch

MAX_UNREPORTED = 1024
"""Failed batches that are kept for the next flush to report."""


@dataclass(slots=True, eq=False)
class Flush:
    """A caller that waits for everything taken so far."""

    upto: int
    """One past the number of the last record."""
    failed: list[Batch]


class Flushes:
    """The flushes under way, and what the next one has to report."""

    def __init__(self) -> None:
        """Start with none."""
        self._unreported: deque[Batch] = deque(maxlen=MAX_UNREPORTED)
        """Failed batches that no flush has reported."""
        self._waiting: list[Flush] = []

    @contextmanager
    def waiting(self, upto: int) -> Iterator[Flush]:
        """Collect what fails of the records before ``upto``, and what failed and was raised to nobody."""
        flush = Flush(upto, [each for each in self._unreported if len(each.told) < each.count])
        self._waiting.append(flush)
        try:
            yield flush
        finally:
            self._waiting.remove(flush)

    def failed(self, batch: Batch) -> None:
        """Note a failed batch: every flush that covers it reports it, or the next one does."""
        self._unreported.append(batch)
        for flush in self._waiting:
            if batch.number < flush.upto:
                flush.failed.append(batch)

    def reported(self, flush: Flush) -> None:
        """Forget what a flush is about to raise: later ones do not raise it again, but what was taken after its call."""
        for batch in flush.failed:
            batch.told.update(range(min(batch.count, flush.upto - batch.number)))
        left = [each for each in self._unreported if len(each.told) < each.count]
        self._unreported.clear()
        self._unreported.extend(left)

    def forget(self) -> None:
        """Begin anew."""
        self._unreported.clear()
