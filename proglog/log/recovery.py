"""Opens the segments of a directory after any kind of stop, and reports what it found and repaired.

After a clean stop nothing is scanned: every segment is opened by its index, as a hint. After any other stop the
last segment is read from end to end; sealed ones were synced before the next one began.

A full or read-only disk is read all the same: :meth:`Recovery.finish` completes the refused writes later.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from itertools import pairwise
from operator import itemgetter
from pathlib import Path
from typing import Any, TypeVar

from proglog.errors import StorageError, UnknownFormatError
from proglog.log import checkpoint, losses
from proglog.log.checkpoint import DurableMark, Retired, known_start
from proglog.log.files import REFUSED, File, FileSystem, Unwritable, suppress_refusal
from proglog.log.identity import is_tied
from proglog.log.index import SegmentIndex
from proglog.log.losses import Loss
from proglog.log.scan import ScannedStore, scan_store
from proglog.log.segment import Extent, Segment, Suspect, load_index
from proglog.log.store import Stores, base_offsets, index_name, store_name
from proglog.types import FilePosition, LogId, Offset

_T = TypeVar("_T")


@dataclass(slots=True)
class RecoveryReport:
    """The findings and repairs of opening a log."""

    clean: bool = True
    """Whether the log had been closed cleanly, so that only its end was scanned."""
    scanned_bytes: int = 0
    walked_bytes: int = 0
    """Bytes of stores read for derived state that its snapshot did not cover."""
    torn_bytes: int = 0
    """Bytes cut from the end: never synced, so never acknowledged."""
    torn_at: str = ""
    rebuilt_indexes: int = 0
    losses: list[Loss] = field(default_factory=list)
    """Number of batches found by scanning unsynced or unindexed bytes of the last run."""
    notes: list[str] = field(default_factory=list)
    """Damaged small files, and the consequences."""
    end_lost: bool = False
    """Whether synced data is gone from the end of the log."""
    new_origin_reason: str = ""
    """Why the directory got a new origin; empty when it kept its own."""

    def describe(self) -> str:
        """Describe the repairs in words; empty if there were none."""
        parts = []
        if self.torn_bytes:
            parts.append(f"cut {self.torn_bytes:,} bytes of an unfinished write at {self.torn_at}")
        parts += [loss.describe() for loss in self.losses]
        if self.rebuilt_indexes:
            parts.append(f"rebuilt {self.rebuilt_indexes} index{'es' if self.rebuilt_indexes > 1 else ''}")
        if self.end_lost:
            parts.append("synced data is missing from the end of the log")
        return "; ".join([*parts, *self.notes])


class Recovery:
    """One opening of the log in ``directory``. It writes only necessary repairs."""

    def __init__(self, files: FileSystem, directory: Path, log_id: LogId, interval_bytes: int) -> None:
        """Recover ``directory``, which this process has locked."""
        self.files = files
        self.directory = directory
        self.interval_bytes = interval_bytes
        self.stores = Stores(files, directory, log_id)
        self._gone: list[Offset] = []
        self._losses_saved = True
        self._to_save: list[Loss] = []
        self.report = RecoveryReport()
        self.mark = self._load("durable", DurableMark.from_json) or DurableMark()
        self.retired = self._load("retired", Retired.from_json) or Retired()
        self.listed, self.losses_number = self._load_losses()
        """The recorded losses, and their number."""

    def open_segments(self) -> list[Segment]:
        """Return the segments in order, the last one active.

        Raises:
            OSError: The disk could not be read or written.
        """
        bases = self._with_missing(self._finish_retention(base_offsets(self.files.names(self.directory))))
        segments = [self._open_sealed(base_offset, following) for base_offset, following in pairwise(bases)]
        if bases:
            segments.append(self._open_last(bases[-1]))
        expected = max(self.mark.end_offset, self.retired.start_offset)
        if not segments or segments[-1].end_offset < expected:
            self.report.end_lost = expected > self.retired.start_offset
            self._close_off(segments, expected)
        elif self.report.end_lost and segments[-1].end_offset > segments[-1].base_offset:
            self._close_off(segments, segments[-1].end_offset)
        return segments

    def _load_losses(self) -> tuple[list[Loss], int]:
        files = (self._load(name, losses.numbered) for name in losses.FILES)
        number, listed = max((each for each in files if each is not None), key=itemgetter(0), default=(0, []))
        return listed, number

    def _listed_of(self, base_offset: Offset, following: Offset | None) -> list[Loss]:
        """Return the recorded losses of a segment; past its end, only one that reaches exactly to the next segment.

        A gap may also reach past it: then that segment restored a part of the gap, unrecorded.
        """
        listed = []
        for loss in self.listed:
            if loss.segment != base_offset:
                continue
            if not loss.is_behind or loss.end_offset == following:
                listed.append(loss)
            elif loss.gap and following is not None and loss.start_offset <= following < loss.end_offset:
                before = loss.before(following)
                listed += [before] if before else []
        return listed

    def _with_missing(self, bases: list[Offset]) -> list[Offset]:
        """Return the base offsets, including those of segments with missing files, as empty stores.

        Retention's record gives the first one; the record of a lost end gives the one after it.
        """
        start, end = known_start(self.mark, self.retired), self.mark.end_offset
        missing = {loss.end_offset for loss in self.listed if loss.is_behind and loss.segment in bases[:-1]}
        if start is not None and start < (bases[0] if bases else end):
            missing.add(start)
        for base_offset in sorted(missing.difference(bases)):
            with suppress_refusal():
                create_segment(self.stores, base_offset, self.interval_bytes)
                bases = sorted([*bases, base_offset])
        return bases

    def finish(self, last: Segment) -> Segment:
        """Complete the writes that the disk refused during opening; return the last segment, now open for appends.

        Raises:
            OSError: The disk still refuses.
        """
        if self._gone:
            self._remove_retired()
        if not self._losses_saved:
            self._save_losses()
        if isinstance(last.file, Unwritable):
            file = self.files.open(self.directory / store_name(last.base_offset), write=True, create=True)
            file.truncate(last.size)
            file.sync()
            self.files.sync_dir(self.directory)
            return replace(last, file=file)
        return last

    @property
    def knows_retired(self) -> bool:
        """Whether the file ``retired`` is complete: retention removed nothing of the origins that it does not name."""
        return known_start(self.mark, self.retired) == self.retired.start_offset

    def _close_off(self, segments: list[Segment], base_offset: Offset) -> None:
        """Switch to a new segment: missing records before it keep their offsets, and no batch hides behind them."""
        if segments:
            last = segments[-1]
            if last.losses and last.losses[-1].end_position == last.size:
                # The remaining bytes are no whole batch: the segment ends before them.
                extent = Extent(last.losses[-1].start_position, last.losses[-1].start_offset)
                last = replace(last, extent=extent, losses=last.losses[:-1])
                last.index.store_bytes, last.index.end_offset = extent
            origins = self.mark.origins if base_offset == self.mark.end_offset else ()
            lost = losses.behind(last.base_offset, last.size, last.end_offset, base_offset, origins)
            lost = replace(lost, void=lost.start_offset == lost.end_offset)
            last = last.with_losses([*last.losses, lost])
            self._to_save = [loss for segment in [*segments[:-1], last] for loss in segment.losses]
            self._losses_saved = False
            with suppress_refusal():
                self._save_losses()
            segments[-1] = sealed(last)
        segments.append(self._begin_segment(base_offset))

    def _save_losses(self) -> None:
        self.losses_number += 1
        checkpoint.save_losses(self.files, self.directory, self.stores.log_id, self._to_save, self.losses_number)
        self._losses_saved, self.listed = True, self._to_save

    def _begin_segment(self, base_offset: Offset) -> Segment:
        try:
            return create_segment(self.stores, base_offset, self.interval_bytes)
        except OSError as exc:
            if exc.errno not in REFUSED:
                raise
            return _empty_segment(self.stores, base_offset, self.interval_bytes, Unwritable(None, exc))

    def _open_to_write(self, base_offset: Offset) -> File:
        path = self.directory / store_name(base_offset)
        try:
            return self.files.open(path, write=True)
        except OSError as exc:
            if exc.errno not in REFUSED:
                raise
            return Unwritable(self.files.open(path), exc)

    def _load(self, name: str, parse: Callable[[dict[str, Any]], _T]) -> _T | None:
        path = self.directory / name
        try:
            content = checkpoint.load(self.files, path)
            if content is None or is_tied(content, self.stores.log_id):
                return None if content is None else checkpoint.parsed(path, parse, content)
        except UnknownFormatError:
            raise
        except StorageError:
            self.report.notes.append(f"the file {name!r} was damaged and is made anew from the log")
            return None
        self.report.notes.append(f"the file {name!r} is of another log: it is not believed")
        return None

    def _finish_retention(self, bases: list[Offset]) -> list[Offset]:
        """Finish removing segments that retention had recorded as removed when the process ended."""
        self._gone = [base for base, following in pairwise(bases) if following <= self.retired.start_offset]
        staying = bases[len(self._gone) :]
        with suppress_refusal():
            self._remove_retired()
        return staying

    def _remove_retired(self) -> None:
        for base_offset in self._gone:
            remove_files(self.files, self.directory, base_offset)
        if self._gone:
            self.files.sync_dir(self.directory)
        self._gone = []

    def _open_sealed(self, base_offset: Offset, following: Offset) -> Segment:
        segment = self._open_indexed(base_offset, following) or self._open_scanned(base_offset, following)
        if segment.loss_behind is None and segment.end_offset != following:
            lost = self._left_of_gap(segment, following) or losses.behind(
                base_offset, segment.size, segment.end_offset, following
            )
            segment = segment.with_losses([*segment.losses, lost])
        return segment

    def _left_of_gap(self, segment: Segment, following: Offset) -> Loss | None:
        """Return what a segment that restored a part of a gap, unrecorded, left of it up to the next segment."""
        for loss in self.listed:
            if loss.gap and loss.segment < segment.base_offset and loss.start_offset <= segment.base_offset:
                if following > loss.end_offset:
                    continue
                cut = loss if following == loss.end_offset else loss.before(following)
                span = segment.index.origins.get(loss.gap.origin)
                reached = (span.next_sequence, span.chain_crc) if span else None
                return cut and cut.after(segment.base_offset, segment.extent, reached)
        return None

    def _open_indexed(self, base_offset: Offset, following: Offset) -> Segment | None:
        """Return a sealed segment by its index file, if that matches the store; recheck recorded damage."""
        store, listed = self.stores.get(base_offset), self._listed_of(base_offset, following)
        size, end_offset = readable(listed, store.size(), following)
        index = load_index(self.stores, base_offset, interval_bytes=self.interval_bytes, store_bytes=None)
        if index is None or index.end_offset != end_offset or index.store_bytes < size:
            return None
        if index.store_bytes > size:
            # The store was cut: the index still knows its former batches and size.
            size = FilePosition(index.store_bytes)
            listed = [*listed, *self._scan(store, base_offset, size, (size, end_offset)).losses]
        return _with_listed(Segment(self.stores, base_offset, index, Extent(size, end_offset)), listed)

    def _open_scanned(self, base_offset: Offset, following: Offset) -> Segment:
        store, listed = self.stores.get(base_offset), self._listed_of(base_offset, following)
        size, end_offset = readable(listed, store.size(), following)
        scanned = self._scan(store, base_offset, size, (size, end_offset))
        scanned.index.file_state = "rebuilt"
        extent = Extent(size, scanned.index.end_offset)
        segment = Segment(self.stores, base_offset, scanned.index, extent)
        segment = segment.with_losses(losses.reconciled(listed, scanned.losses))
        segment.checked.add(0, size)
        self.report.rebuilt_indexes += 1
        segment.save_index()
        return segment

    def _open_last(self, base_offset: Offset) -> Segment:
        store = self._open_to_write(base_offset)
        size = FilePosition(store.size())
        mark = self.mark
        durable = Extent(FilePosition(0), base_offset)
        if mark.base_offset == base_offset:
            durable = Extent(FilePosition(mark.store_bytes), mark.end_offset)
        listed = self._listed_of(base_offset, None)
        if mark.clean and durable.size == size:
            index = load_index(self.stores, base_offset, interval_bytes=self.interval_bytes, store_bytes=size)
            extent = Extent(size, index.end_offset if index else base_offset)
            opened = index and _with_listed(Segment(self.stores, base_offset, index, extent, file=store), listed)
            if opened:
                opened.check_end()
                return opened
            self.report.rebuilt_indexes += 1
        else:
            self.report.clean = False
        for loss in listed:  # what was known to be damaged had been synced
            durable = max(durable, Extent(min(size, loss.end_position), loss.end_offset))
        scanned = self._scan(store, base_offset, size, durable)
        if scanned.size < size:
            self.report.torn_bytes = size - scanned.size
            self.report.torn_at = f"{store_name(base_offset)}, byte {scanned.size}"
        ends_in_loss = bool(scanned.losses) and scanned.losses[-1].end_position == scanned.size
        self.report.end_lost = ends_in_loss or scanned.size < durable.size
        if not isinstance(store, Unwritable):
            if scanned.size < size:
                store.truncate(scanned.size)
            store.sync()  # a killed process leaves whole batches that were never synced: they count from now on
        extent = Extent(scanned.size, scanned.index.end_offset)
        segment = Segment(self.stores, base_offset, scanned.index, extent, file=store)
        segment.checked.add(0, scanned.size)
        return segment.with_losses(losses.reconciled(listed, scanned.losses))

    def _scan(self, store: File, base_offset: Offset, length: int, durable: tuple[int, Offset]) -> ScannedStore:
        places = self.stores.places(base_offset)
        scanned = scan_store(store, places, base_offset, self.interval_bytes, length=length, durable=durable)
        self.report.scanned_bytes += length
        self.report.losses.extend(scanned.losses)
        return scanned


def _with_listed(segment: Segment, listed: Sequence[Loss]) -> Segment | None:
    """Return a segment opened by its index, with the recorded damage that persists.

    ``None`` if the entries of the index are unusable.
    """
    found: dict[Loss, None] = {}
    try:
        if segment.active or listed:
            segment.entries()
        for loss in listed:
            between = segment.losses_between(loss.start_position, loss.end_position) if not loss.is_behind else ()
            found |= {replace(each, counted=True): None for each in between}
    except Suspect:
        return None
    return segment.with_losses(losses.reconciled(listed, found))


def readable(listed: Sequence[Loss], size: int, following: Offset) -> Extent:
    """Return how much of a sealed store to read: bytes past a lost end are no whole batch."""
    for loss in listed:
        if loss.is_behind:
            return Extent(loss.start_position, loss.start_offset)
    return Extent(FilePosition(size), following)


def create_segment(stores: Stores, base_offset: Offset, interval_bytes: int) -> Segment:
    """Return a new, empty, active segment.

    Raises:
        OSError: The file could not be made.
    """
    file = stores.files.open(stores.directory / store_name(base_offset), write=True, create=True)
    file.truncate(0)  # a file of this name can only be left from a roll that failed
    stores.files.sync_dir(stores.directory)
    return _empty_segment(stores, base_offset, interval_bytes, file)


def _empty_segment(stores: Stores, base_offset: Offset, interval_bytes: int, file: File) -> Segment:
    index, extent = SegmentIndex(base_offset, interval_bytes), Extent(FilePosition(0), base_offset)
    return Segment(stores, base_offset, index, extent, file=file)


def sealed(segment: Segment) -> Segment:
    """Seal ``segment`` and save its index. Its store stays open for readers."""
    segment = replace(segment, file=None)
    segment.save_index()
    return segment


def remove_files(files: FileSystem, directory: Path, base_offset: Offset) -> None:
    """Remove a segment's files; the index, a hint, may be missing.

    Raises:
        OSError: One could not be removed.
    """
    for name in (index_name(base_offset), store_name(base_offset)):
        try:
            files.unlink(directory / name)
        except FileNotFoundError:
            continue
