"""Copies batches into a log that has no origin of its own: a backup, or what is restored from one.

Batches arrive from an agent or a directory, each origin's in order. What the log has already is passed over, so an
interrupted copy resumes by itself, and the next one takes only what is new::

    next expected sequence          appended
    before it                       passed over; in a hole of the log: restored there
    after it                        appended behind a gap that reserves the offsets of what the source lacks
    another history                 ForkedOriginError: nothing more is copied
"""

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from proglog.errors import ProglogError, StorageError
from proglog.log import checkpoint
from proglog.log.checkpoint import DurableMark, Retired
from proglog.log.files import FileSystem, OsFiles
from proglog.log.log import Log
from proglog.log.losses import Loss
from proglog.log.model import ImportAppend, MissingRange
from proglog.log.verify import VerifyProgress, VerifyReport, verify_directory
from proglog.record.batch import VerifiedBatch
from proglog.replication.holes import Over
from proglog.replication.progress import FIRST_SEQUENCE
from proglog.types import NO_ORIGIN, OriginId, SequenceNumber

_FLUSH_BYTES = 4 * 1024 * 1024
"""Bytes of batches that wait to be appended together."""
LACKED = Over("the source of the copy lacks them")
REMOVED = Over("retention removed them before they were copied", removed=True)


class Copier:
    """Appends batches to one log. One thread at a time."""

    def __init__(self, log: Log) -> None:
        """Continue where ``log`` ends."""
        self.log = log
        self.records = 0
        """Appended or restored by this copier."""
        self.bytes = 0
        """Of their batches."""
        self._holes = log.missing()
        self._expected: dict[OriginId, SequenceNumber] = {}
        self._queue: list[ImportAppend] = []
        self._refills: list[VerifiedBatch] = []
        self._queued_bytes = 0

    def next_of(self, origin: OriginId) -> SequenceNumber:
        """Return the next sequence of ``origin`` that is not here, whatever earlier ones are missing."""
        held = self.log.progress(origin)
        return self._expected.get(origin) or (held.next_sequence if held else FIRST_SEQUENCE)

    def take(self, batch: VerifiedBatch, over: Over = LACKED) -> None:
        """Copy ``batch`` if it is new; ``over``: why sequences before it are missing, should that be so.

        Raises:
            ForkedOriginError: The log holds another history of its origin.
            StorageError: The disk refused.
        """
        header = batch.header
        expected = self.next_of(header.origin)
        if header.next_sequence <= expected:
            if any(
                hole.origin == header.origin and hole.start < header.next_sequence and header.base_sequence < hole.end
                for hole in self._holes
            ):
                self._refills.append(_kept(batch))
                self._queued_bytes += header.batch_bytes
        else:
            self._queue.append(ImportAppend(_kept(batch), over if header.base_sequence > expected else None))
            self._expected[header.origin] = header.next_sequence
            self._queued_bytes += header.batch_bytes
        if self._queued_bytes >= _FLUSH_BYTES:
            self.flush()

    def flush(self) -> None:
        """Append what waits. Errors as :meth:`take`."""
        queue, refills = self._queue, self._refills
        self._queue, self._refills, self._queued_bytes = [], [], 0
        for copy, outcome in zip(queue, self.log.append(queue), strict=True):
            if isinstance(outcome, ProglogError):
                raise outcome
            self.records += copy.batch.header.record_count
            self.bytes += copy.batch.header.batch_bytes
        if refills:
            self.log.refill(refills)
            before, self._holes = count(self._holes), self.log.missing()
            self.records += before - count(self._holes)

    @property
    def holes(self) -> Sequence[MissingRange]:
        """What earlier copies had to leave out, retention's removals included: the source may have it by now."""
        return self._holes


def count(holes: Sequence[MissingRange]) -> int:
    """Return how many sequences are missing."""
    return sum(end - start for _, start, end in holes)


def _kept(batch: VerifiedBatch) -> VerifiedBatch:
    return replace(batch, data=memoryview(bytes(batch.data)))


def copy_directory(
    source: Path, copier: Copier, *, on_progress: Callable[[VerifyProgress], None] | None = None
) -> VerifyReport:
    """Copy the whole batches of a stopped agent's directory, or a backup's; return what was found wrong with it.

    Raises:
        NotFoundError: There is no data directory.
        ForkedOriginError: The log holds another history of an origin.
        StorageError: It cannot be read, an agent has it open, or the log's disk refused.
    """
    seen: set[OriginId] = set()

    def take(batch: VerifiedBatch, losses: Sequence[Loss]) -> None:
        header = batch.header
        over = LACKED
        if header.base_sequence > copier.next_of(header.origin):
            gap = next((each for each in losses if each.gap and _ends_before(each, batch)), None)
            removed = header.origin not in seen if gap is None else gap.void
            over = REMOVED if removed else LACKED
        seen.add(header.origin)
        copier.take(batch, over)

    report = verify_directory(source, on_progress=on_progress, visit=take)
    copier.flush()
    return report


def _ends_before(loss: Loss, batch: VerifiedBatch) -> bool:
    gap = loss.gap
    return gap is not None and (gap.origin, gap.end) == (batch.header.origin, batch.header.base_sequence)


def reach_of(directory: Path, files: FileSystem | None = None) -> dict[OriginId, SequenceNumber]:
    """Return the next sequence of each origin that the small files of a data directory name: a lower bound; 1: unknown.

    Raises:
        OSError: The disk could not be read.
    """
    files, reach = files or OsFiles(), dict[OriginId, SequenceNumber]()
    readers: dict[str, Callable[[dict[str, Any]], dict[OriginId, SequenceNumber]]] = {
        "origin": _own,
        "retired": lambda content: {
            origin: each.next_sequence for origin, each in Retired.from_json(content).origins.items()
        },
        "durable": lambda content: dict(DurableMark.from_json(content).origins),
    }
    for name, read in readers.items():
        try:
            content = checkpoint.load(files, directory / name)
            reach |= {} if content is None else checkpoint.parsed(directory / name, read, content)
        except StorageError:
            continue  # verification names what is damaged
    reach.pop(NO_ORIGIN, None)
    return reach


def _own(content: dict[str, Any]) -> dict[OriginId, SequenceNumber]:
    origin, former, _ = checkpoint.read_origins(content)
    return dict.fromkeys((origin, *former), FIRST_SEQUENCE)
