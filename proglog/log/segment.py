"""One segment: a store of batches under its base offset, and the index into it.

The store, ``%020d.log``, is batches back to back and nothing else; the index, ``%020d.index``, is a hint.

A read answers with bytes as they stand in the store, each checked once: what this process wrote or scanned is known to
be whole, and a sealed store is checked as far as it is read. What does not check out becomes a *hole*: a range that
answers :class:`DataLossError` while everything before and after it is served. How far it goes is found by reading from
the index entry before it to the first whole batch after it, however large the segment.
"""

import threading
from bisect import bisect_right
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace
from errno import EIO
from struct import Struct
from typing import NamedTuple

from proglog.errors import DataLossError, MalformedBatchError, StorageError
from proglog.log import files as disk
from proglog.log.files import File, read_all
from proglog.log.group import node_name_in
from proglog.log.index import Entries, SegmentIndex
from proglog.log.scan import Hole, Placed, ScannedStore, scan_store, walk_store
from proglog.log.store import Stores, index_name, store_name
from proglog.record.batch import (
    FIRST_VERSION,
    HEADER_BYTES,
    MAX_BATCH_BYTES,
    VERSION,
    BatchHeader,
    VerifiedBatch,
    parse_header,
    verify_checksums,
)
from proglog.record.place import MARK_BYTES, Places
from proglog.types import FilePosition, Offset, OriginId, SequenceNumber

_WALK_BYTES = 64 * 1024
_SUMMARY_BYTES = 16 * 1024
MAX_INDEX_BYTES = 1 << 30
_LENGTH = Struct("<24xI8xB")  # batch_bytes, version


class Extent(NamedTuple):
    """How far a segment may be read. Published with one assignment: no reader sees one without the other."""

    size: FilePosition
    """Bytes of the store that are durable."""
    end_offset: Offset
    """One past the last record in them."""


@dataclass(slots=True)
class Segment:
    """Written by one thread, read by any."""

    stores: Stores
    base_offset: Offset
    index: SegmentIndex
    extent: Extent
    file: File | None = None
    """The store open for writing, while the segment is active."""
    index_state: str = "ok"
    """``ok``, ``rebuilt`` or ``missing``."""
    holes: tuple[Hole, ...] = ()
    """What is known to be damaged, in order; replaced, never changed."""
    checked: tuple[int, int] = (0, 0)
    """The positions between which every byte is known to be whole: written by this process, scanned, or read before."""
    places: Places = field(init=False)
    _mutex: threading.Lock = field(init=False, default_factory=threading.Lock)

    def __post_init__(self) -> None:
        """Know the marks of the store."""
        self.places = self.stores.places(self.base_offset)

    @property
    def active(self) -> bool:
        """Whether it takes appends."""
        return self.file is not None

    @property
    def size(self) -> FilePosition:
        """Bytes of the store that are durable and may be served."""
        return self.extent.size

    @property
    def end_offset(self) -> Offset:
        """One past the last record."""
        return self.extent.end_offset

    @property
    def store(self) -> File:
        """The store, open."""
        return self.file or self.stores.get(self.base_offset)

    def read(self, position: FilePosition, max_bytes: int) -> bytes:
        """Return whole batches from ``position`` on, the first even if larger than ``max_bytes``.

        Raises:
            DataLossError: The batch there is damaged.
            StorageError: The disk could not be read.
        """
        limit = self._readable_until(position)
        data = self._pread(min(max(max_bytes, HEADER_BYTES), limit - position), position)
        whole = self._whole_batches(data, position)
        if not whole and len(data) >= HEADER_BYTES:
            batch_bytes, _ = _LENGTH.unpack_from(data)
            data = self._pread(min(batch_bytes, MAX_BATCH_BYTES, limit - position), position)
            whole = self._whole_batches(data, position)
        if not whole:
            self._find_damage(position, FilePosition(min(limit, position + max(max_bytes, HEADER_BYTES))))
            return self.read(position, max_bytes)
        return data[:whole] if whole < len(data) else data

    def read_cached(self, position: FilePosition, max_bytes: int) -> bytes:
        """As :meth:`read`, but without waiting for the disk: empty where that needs it, or where there is damage."""
        try:
            limit = self._readable_until(position)
        except DataLossError:
            return b""
        data = self.store.pread_cached(min(max(max_bytes, HEADER_BYTES), limit - position), position)
        whole = self._whole_batches(data, position) if data else 0
        return data[:whole] if data else b""

    def walk(self, position: FilePosition) -> Iterator[tuple[FilePosition, BatchHeader]]:
        """Yield (position, header) of the batches from ``position`` on, holes left out, up to the durable end.

        Raises:
            StorageError: The disk could not be read.
        """
        while position < self.size:
            hole = self.hole_at(position)
            if hole is not None:
                position = hole.end_position
                continue
            limit = self._readable_until(position)
            data = self._pread(min(_WALK_BYTES, limit - position), position)
            at = 0
            while len(data) - at >= HEADER_BYTES:
                try:
                    header = self._header(data, at, position + at)
                except MalformedBatchError:
                    break
                yield FilePosition(position + at), header
                at += header.batch_bytes
            position = FilePosition(position + at)
            if position < limit and (not at or at + HEADER_BYTES <= len(data)):
                self._find_damage(position, FilePosition(position + 1))

    def sound_batches(self, start: FilePosition, data: bytes) -> Iterator[tuple[int, BatchHeader]]:
        """Yield (index, header) of the batches of ``data``, read at ``start``, that are whole and belong there."""
        at = 0
        while at < len(data):
            try:
                header = self._batch(data, at, start + at).header
            except MalformedBatchError:
                batch_bytes, _ = _LENGTH.unpack_from(data, at)  # ``data`` was cut by it: it can be followed
                at += max(batch_bytes, HEADER_BYTES)
            else:
                yield at, header
                at += header.batch_bytes

    def find_offset(self, offset: Offset) -> FilePosition:
        """Return the position of the batch that holds ``offset``.

        Raises:
            DataLossError: It is damaged.
        """
        if self.hole_in(offset, Offset(offset + 1)) is None:
            for position, header in self.walk(self.entries().before_offset(offset)):
                if header.base_offset <= offset < header.end_offset:
                    return position
                if header.base_offset > offset:
                    break
        hole = self.hole_in(offset, Offset(offset + 1))
        raise hole.error() if hole else DataLossError(offset, offset + 1, store_name(self.base_offset))

    def find_sequence(self, origin: OriginId, sequence: SequenceNumber) -> FilePosition | None:
        """Return the position of the batch of ``origin`` that holds ``sequence``; ``None`` if it is damaged."""
        number = self.index.number_of(origin)
        if number is None:
            return None
        for position, header in self.walk(self.entries().before_sequence(number, sequence)):
            if header.origin == origin and sequence < header.next_sequence:
                return position if header.base_sequence <= sequence else None
        return None

    def entries(self) -> Entries:
        """Return the index entries: from memory, from the file, or from the store when the file is no good.

        Raises:
            StorageError: The store cannot be read.
        """
        entries = self.index.entries
        if entries is not None:
            return entries
        try:
            path = self.stores.directory / index_name(self.base_offset)
            return self.index.attach(read_all(self.stores.files, path, MAX_INDEX_BYTES, self.index.entries_at))
        except (OSError, MalformedBatchError):
            return self.rebuild_index()

    def forget_entries(self) -> None:
        """Let go of the entries where the file has them."""
        if not self.active and not self.holes and self.index_state != "missing":
            self.index.entries = None

    def rebuild_index(self) -> Entries:
        """Make the index of a sealed segment again from its store; return its entries.

        Raises:
            StorageError: The store cannot be read.
        """
        scanned = self._scan()
        self.index, self.holes, self.index_state = scanned.index, tuple(scanned.holes), "rebuilt"
        self.checked = (0, self.size)
        entries = scanned.index.entries
        assert entries is not None  # a scan makes them
        self.save_index()
        return entries

    def take_back(self, start: FilePosition, end: FilePosition, start_offset: Offset, end_offset: Offset) -> bool:
        """Serve what was written in the place of damage, if it reads back whole.

        Args:
            start: Where the damage began.
            end: Where what was written ends.
            start_offset: Of the first record that was damaged.
            end_offset: One past the last one.

        Returns:
            Whether it is; if not, everything is as before.

        Raises:
            StorageError: The store could not be read.
        """
        hole = self.hole_at(start)
        part = SegmentIndex(self.base_offset, self.index.interval_bytes)
        part.end_offset, part.store_bytes = start_offset, start
        for position, batch in self.placed(start, end, start_offset):
            part.add(batch.header, position, node_name_in(batch))
        if (part.end_offset, part.store_bytes) != (end_offset, end):
            return False
        self.entries()
        before, left = end if hole is None else hole.end_position, None
        if hole is not None and end < hole.end_position:
            left = replace(hole, start_position=end, start_offset=end_offset)
        self.index = self.index.put_back(part, start, before, counted=hole is not None and hole.counted)
        size, last = self.extent
        if left is None and hole is not None and hole.end_position == size and not self.active:
            size, last = end, end_offset  # what is left of a range at the end of the store is behind that now
        self.extent = Extent(max(size, end), max(last, end_offset))
        self.index.store_bytes, self.index.end_offset = self.extent
        # The hole goes last: until then readers keep away from what is behind it.
        with self._mutex:
            kept = [each for each in self.holes if each.start_position != start]
            self.holes = tuple(sorted([*kept, left] if left is not None else kept, key=_start))
        if not self.active:
            self.index_state = "rebuilt"
            self.save_index()
        return True

    def placed(self, start: FilePosition, end: FilePosition, offset: Offset) -> Iterator[Placed]:
        """Yield the whole batches between two positions, from the one of ``offset`` on, up to the first damage.

        Raises:
            StorageError: The store could not be read.
        """
        try:
            for item in walk_store(self.store, self.places, start, offset, length=end, end_offset=offset):
                if isinstance(item, Hole):
                    return
                yield item
        except OSError as exc:
            raise self._unreadable(start, exc) from exc

    def save_index(self) -> None:
        """Write the index file. It is a hint: the log is whole without it, so housekeeping tries again if it fails."""
        try:
            self.write_index()
        except OSError:
            self.index_state = "missing"

    def write_index(self) -> None:
        """As :meth:`save_index`.

        Raises:
            OSError: It could not be written.
        """
        if self.holes or self.index.entries is None:
            return  # a segment with holes is scanned at every start, so that they are found again
        path = self.stores.directory / index_name(self.base_offset)
        disk.replace(self.stores.files, path, self.index.encode(self.stores.index_key))
        self.index_state = "ok" if self.index_state == "missing" else self.index_state

    def hole_at(self, position: FilePosition) -> Hole | None:
        """Return the hole that ``position`` is in."""
        holes = self.holes
        number = bisect_right(holes, position, key=_start) - 1
        return holes[number] if number >= 0 and position < holes[number].end_position else None

    def hole_in(self, start: Offset, end: Offset) -> Hole | None:
        """Return the first hole with any of the offsets from ``start`` up to ``end``, that one excluded."""
        return next((hole for hole in self.holes if hole.start_offset < end and start < hole.end_offset), None)

    def let_go(self) -> None:
        """Let go of the store: it is closed when the last reader is done."""
        self.file = None
        self.stores.clear()

    def recheck(self, start: FilePosition, end: FilePosition) -> bool:
        """Read a stretch again, what was known to be whole included; return whether anything in it is damaged.

        Args:
            start: Where a batch begins, or began.
            end: How far to look.

        Raises:
            StorageError: The disk could not be read.
        """
        extent = self.extent
        at, offset = self._place_before(start)
        try:
            found = list(self._holes_between(at, offset, end, extent))
            if found and found[0].start_position == at != start:
                # The index is of another time than the store: what lies before its entry tells where batches begin.
                found = list(self._holes_between(FilePosition(0), self.base_offset, end, extent))
        except OSError as exc:
            raise self._unreadable(start, exc) from exc
        self._add_holes(found)
        return any(hole.end_position > start for hole in found)

    def _place_before(self, start: FilePosition) -> tuple[FilePosition, Offset]:
        """Return a place at or before ``start`` where a batch begins, and that batch's base offset."""
        at, offset = self.entries().place_before(start, self.base_offset)
        holes = self.holes
        number = bisect_right(holes, start, key=_start)
        hole = holes[number - 1] if number else None
        if hole is not None and at < hole.end_position <= start:
            return hole.end_position, hole.end_offset
        if hole is not None and hole.start_position <= at < hole.end_position:
            return hole.start_position, hole.start_offset
        return at, offset

    def _holes_between(self, at: FilePosition, offset: Offset, end: FilePosition, extent: Extent) -> Iterator[Hole]:
        """Yield the damage from ``at``, where the batch of ``offset`` begins, to the first whole batch behind ``end``."""
        size, end_offset = extent
        for item in walk_store(self.store, self.places, at, offset, length=size, end_offset=end_offset):
            if isinstance(item, Hole):
                yield item
            elif item.position >= end:
                return

    def _find_damage(self, position: FilePosition, end: FilePosition) -> None:
        """Remember what is damaged between two positions, where something did not check out.

        Raises:
            StorageError: Read again, it is whole; or the disk could not be read.
        """
        if not self.recheck(position, end):
            where = f"{store_name(self.base_offset)} at byte {position}"
            raise StorageError(f"reading {where} gave damaged bytes once, and whole ones when read again: try again")

    def _add_holes(self, found: Iterable[Hole]) -> None:
        """Take in damage; of two that overlap, what was found now counts."""
        with self._mutex:
            for hole in found:
                start, end = hole.start_position, hole.end_position
                kept = [each for each in self.holes if each.end_position <= start or end <= each.start_position]
                counted = all(each.counted for each in self.holes if each not in kept)
                self.holes = tuple(sorted([*kept, replace(hole, counted=counted)], key=_start))

    def _readable_until(self, position: FilePosition) -> FilePosition:
        """Return where the damage behind ``position`` begins, or the durable end.

        Raises:
            DataLossError: ``position`` is in it.
        """
        holes = self.holes
        number = bisect_right(holes, position, key=_start)
        if number and position < holes[number - 1].end_position:
            raise holes[number - 1].error()
        return min(self.size, holes[number].start_position) if number < len(holes) else self.size

    def _whole_batches(self, data: bytes, position: FilePosition) -> int:
        """Return how many bytes of ``data`` are whole batches, each checked now or before; 0 at damage."""
        start, end = self.checked
        at = 0
        while len(data) - at >= HEADER_BYTES:
            batch_bytes, version = _LENGTH.unpack_from(data, at)
            if not HEADER_BYTES <= batch_bytes <= len(data) - at or not FIRST_VERSION <= version <= VERSION:
                break
            if not start <= position + at < end:
                try:
                    self._batch(data, at, position + at)
                except MalformedBatchError:
                    break
            at += batch_bytes
        if at and position + at > end:
            self.checked = (start if start <= position <= end else position, position + at)
        return at

    def _header(self, data: bytes, at: int, position: int) -> BatchHeader:
        """Return the header at ``at``, which was read at ``position``.

        Raises:
            MalformedBatchError: It is damaged, or does not belong there.
        """
        if data[at : at + MARK_BYTES] != self.places.mark(position):
            raise MalformedBatchError("this batch was not written here")
        return parse_header(data, at)

    def _batch(self, data: bytes, at: int, position: int) -> VerifiedBatch:
        """Return the batch at ``at``, which was read at ``position``, after checking all of it.

        Raises:
            MalformedBatchError: It is damaged, or does not belong there.
        """
        if data[at : at + MARK_BYTES] != self.places.mark(position):
            raise MalformedBatchError("this batch was not written here")
        return verify_checksums(data, at)

    def _scan(self) -> ScannedStore:
        length, end_offset = self.extent
        durable = (length, end_offset)
        interval = self.index.interval_bytes
        try:
            return scan_store(self.store, self.places, self.base_offset, interval, length=length, durable=durable)
        except OSError as exc:
            raise self._unreadable(FilePosition(0), exc) from exc

    def _pread(self, size: int, position: FilePosition) -> bytes:
        """Return up to ``size`` bytes; fewer where the store was cut or cannot be read, which readers take for damage."""
        try:
            return self.store.pread(size, position)
        except OSError as exc:
            if exc.errno == EIO:
                return b""
            raise self._unreadable(position, exc) from exc

    def _unreadable(self, position: FilePosition, cause: OSError) -> StorageError:
        return StorageError(f"reading {store_name(self.base_offset)} at byte {position}: {cause.strerror or cause}")


def _start(hole: Hole) -> FilePosition:
    return hole.start_position


def load_index(
    stores: Stores, base_offset: Offset, *, interval_bytes: int, store_bytes: int | None
) -> SegmentIndex | None:
    """Return the index from its file, or ``None`` if that is missing, damaged, stale or another's.

    Without ``store_bytes`` it may be that of a store of another length.
    """
    path = stores.directory / index_name(base_offset)
    for limit in (_SUMMARY_BYTES, MAX_INDEX_BYTES):
        try:
            data = read_all(stores.files, path, limit)
            return SegmentIndex.decode(data, base_offset, interval_bytes, store_bytes, stores.index_key)
        except OSError:
            return None
        except MalformedBatchError:
            continue  # thousands of origins do not fit into the first, short read
    return None
