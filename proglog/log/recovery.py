"""Opening the segments of a directory, whatever the last life left, and saying what that was.

After an orderly end nothing is scanned: the index of every segment is taken as the hint it is. After any other end the
last segment is read from end to end; sealed ones were synced before the next was begun.

A disk that takes no writes now, because it is full or read-only, is read all the same: :meth:`Recovery.finish` writes
later what it refused.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from itertools import pairwise
from pathlib import Path
from typing import Any

from proglog.errors import StorageError
from proglog.log import checkpoint
from proglog.log.checkpoint import DurableMark, LostEnd, Retired, known_start
from proglog.log.files import REFUSED, File, FileSystem, Unwritable, suppress_refusal
from proglog.log.identity import is_tied
from proglog.log.index import SegmentIndex
from proglog.log.scan import Hole, ScannedStore, scan_store
from proglog.log.segment import Extent, Segment, load_index
from proglog.log.store import Stores, base_offsets, index_name, store_name
from proglog.types import FilePosition, LogId, Offset


@dataclass(slots=True)
class RecoveryReport:
    """What opening a log found and did."""

    clean: bool = True
    """The log had been closed in order: nothing was scanned but the end."""
    scanned_bytes: int = 0
    walked_bytes: int = 0
    """Of stores, read for what is derived from them: what its snapshot did not cover."""
    torn_bytes: int = 0
    """Cut from the end: never synced, so never acknowledged."""
    torn_at: str = ""
    rebuilt_indexes: int = 0
    holes: list[Hole] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    """Small files that were damaged, and what that led to."""
    end_lost: bool = False
    """Something that had been synced is gone from the end of the log."""
    new_origin_reason: str = ""
    """Why the directory got a new origin; empty when it kept its own."""

    def describe(self) -> str:
        """Return what was repaired, in words; empty when there was nothing to."""
        parts = []
        if self.torn_bytes:
            parts.append(f"cut {self.torn_bytes:,} bytes of an unfinished write at {self.torn_at}")
        parts += [hole.describe() for hole in self.holes]
        if self.rebuilt_indexes:
            parts.append(f"rebuilt {self.rebuilt_indexes} index{'es' if self.rebuilt_indexes > 1 else ''}")
        if self.end_lost:
            parts.append("synced data is missing from the end of the log")
        return "; ".join([*parts, *self.notes])


class Recovery:
    """One opening of the log in ``directory``. Nothing is written but what has to be repaired."""

    def __init__(self, files: FileSystem, directory: Path, log_id: LogId, interval_bytes: int) -> None:
        """Look at ``directory``, which this process has locked."""
        self.files = files
        self.directory = directory
        self.interval_bytes = interval_bytes
        self.stores = Stores(files, directory, log_id)
        self._gone: list[Offset] = []
        self._lost_saved = True
        self.report = RecoveryReport()
        mark = self._load("durable")
        self.mark = DurableMark.from_json(mark) if mark else DurableMark()
        retired = self._load("retired")
        self.retired = Retired.from_json(retired) if retired else Retired()
        lost = self._load("lost")
        self.lost_ends = [LostEnd.from_json(each) for each in lost["ends"]] if lost else []

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

    def _with_missing(self, bases: list[Offset]) -> list[Offset]:
        """Return the base offsets with those of segments whose files are missing: an empty store stands for each.

        The first one is known from what retention has left, and one behind a lost end from the record of that.
        """
        start, end = known_start(self.mark, self.retired), self.mark.end_offset
        missing = {lost.end_offset for lost in self.lost_ends if lost.base_offset in bases}
        if start is not None and start < (bases[0] if bases else end):
            missing.add(start)
        for base_offset in sorted(missing.difference(bases)):
            with suppress_refusal():
                create_segment(self.stores, base_offset, self.interval_bytes)
                bases = sorted([*bases, base_offset])
        return bases

    def finish(self, last: Segment) -> None:
        """Write what the disk refused while the log was opened: nothing may be appended to ``last`` before.

        Raises:
            OSError: It refuses still.
        """
        if self._gone:
            self._remove_retired()
        if not self._lost_saved:
            self._save_lost()
        if isinstance(last.file, Unwritable):
            file = self.files.open(self.directory / store_name(last.base_offset), write=True, create=True)
            file.truncate(last.size)
            file.sync()
            self.files.sync_dir(self.directory)
            last.file = file

    @property
    def knows_retired(self) -> bool:
        """Whether the file ``retired`` says all that retention has removed: what it does not name is whole from its start."""
        return known_start(self.mark, self.retired) == self.retired.start_offset

    def _close_off(self, segments: list[Segment], base_offset: Offset) -> None:
        """Append to a new segment from now on: what is missing before it keeps its offsets, and nothing hides behind it."""
        if segments:
            last = segments[-1]
            holes = last.holes
            if holes and holes[-1].end_position == last.size:
                # What is left there is no whole batch: the segment ends before it.
                last.extent, last.holes = Extent(holes[-1].start_position, holes[-1].start_offset), holes[:-1]
                last.index.end_offset, last.index.store_bytes = last.end_offset, last.size
            lost = LostEnd(
                base_offset=last.base_offset,
                store_bytes=last.size,
                start_offset=last.end_offset,
                end_offset=base_offset,
                origins=self.mark.origins if base_offset == self.mark.end_offset else (),
            )
            self.lost_ends.append(lost)
            self._lost_saved = False
            with suppress_refusal():
                self._save_lost()
            seal(last)
        segments.append(self._begin_segment(base_offset))

    def _save_lost(self) -> None:
        checkpoint.save_lost_ends(self.files, self.directory, self.stores.log_id, self.lost_ends)
        self._lost_saved = True

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

    def _load(self, name: str) -> dict[str, Any] | None:
        try:
            content = checkpoint.load(self.files, self.directory / name)
        except StorageError:
            self.report.notes.append(f"the file {name!r} was damaged and is made anew from the log")
            return None
        if content is not None and not is_tied(content, self.stores.log_id):
            self.report.notes.append(f"the file {name!r} is of another log: it is not believed")
            return None
        return content

    def _finish_retention(self, bases: list[Offset]) -> list[Offset]:
        """Remove what retention had already recorded as removed when the process ended."""
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
        store = self.stores.get(base_offset)
        size, end_offset = readable(self.lost_ends, base_offset, store.size(), following)
        index = load_index(self.stores, base_offset, interval_bytes=self.interval_bytes, store_bytes=None)
        if index is not None and index.end_offset == end_offset and index.store_bytes >= size:
            if index.store_bytes == size:
                return Segment(self.stores, base_offset, index, Extent(size, end_offset))
            # The store was cut: the index still knows what was in it, and how much.
            size = FilePosition(index.store_bytes)
            found = self._scan(store, base_offset, size, (size, end_offset)).holes
            holes = [replace(hole, counted=True) for hole in found]
            return Segment(self.stores, base_offset, index, Extent(size, end_offset), holes=tuple(holes))
        scanned = self._scan(store, base_offset, size, (size, end_offset))
        extent = Extent(size, scanned.index.end_offset)
        segment = Segment(self.stores, base_offset, scanned.index, extent, holes=tuple(scanned.holes))
        segment.checked, segment.index_state = (0, size), "rebuilt"
        self.report.rebuilt_indexes += 1
        segment.save_index()
        return segment

    def _open_last(self, base_offset: Offset) -> Segment:
        store = self._open_to_write(base_offset)
        size = FilePosition(store.size())
        mark = self.mark
        durable = (mark.store_bytes, mark.end_offset) if mark.base_offset == base_offset else (0, base_offset)
        if mark.clean and durable[0] == size:
            index = load_index(self.stores, base_offset, interval_bytes=self.interval_bytes, store_bytes=size)
            if index is not None:
                segment = Segment(self.stores, base_offset, index, Extent(size, index.end_offset), file=store)
                segment.entries()
                return segment
            self.report.rebuilt_indexes += 1
        else:
            self.report.clean = False
        scanned = self._scan(store, base_offset, size, durable)
        if scanned.size < size:
            self.report.torn_bytes = size - scanned.size
            self.report.torn_at = f"{store_name(base_offset)}, byte {scanned.size}"
        last_hole = scanned.holes[-1] if scanned.holes else None
        ends_in_hole = last_hole is not None and last_hole.end_position == scanned.size
        self.report.end_lost = ends_in_hole or scanned.size < durable[0]
        if not isinstance(store, Unwritable):
            if scanned.size < size:
                store.truncate(scanned.size)
            store.sync()  # a killed process leaves whole batches that were never synced: they count from now on
        extent = Extent(scanned.size, scanned.index.end_offset)
        segment = Segment(self.stores, base_offset, scanned.index, extent, file=store, holes=tuple(scanned.holes))
        segment.checked = (0, scanned.size)
        return segment

    def _scan(self, store: File, base_offset: Offset, length: int, durable: tuple[int, Offset]) -> ScannedStore:
        places = self.stores.places(base_offset)
        scanned = scan_store(store, places, base_offset, self.interval_bytes, length=length, durable=durable)
        self.report.scanned_bytes += length
        self.report.holes.extend(scanned.holes)
        return scanned


def readable(lost_ends: Sequence[LostEnd], base_offset: Offset, size: int, following: Offset) -> Extent:
    """Return how much of a sealed store is to be read: what is left behind a lost end is no whole batch."""
    for lost in lost_ends:
        if (lost.base_offset, lost.end_offset) == (base_offset, following):
            return Extent(FilePosition(lost.store_bytes), lost.start_offset)
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


def seal(segment: Segment) -> None:
    """Take no more appends into ``segment``. Its store stays open for whoever reads it."""
    segment.file = None
    segment.save_index()


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
