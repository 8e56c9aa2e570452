"""One segment: a store of batches under its base offset, and the index into it.

The store, ``%020d.log``, is batches back to back and nothing else; the index, ``%020d.index``, is a hint.

A read answers with bytes as they stand in the store, each checked once: what this process wrote or scanned is known to
be whole, and a sealed store is checked as far as it is read. What does not check out becomes a *hole*: a range that
answers :class:`DataLossError` while everything before and after it is served.
"""

from collections.abc import Collection, Iterator
from dataclasses import dataclass, field
from struct import Struct

from proglog.errors import DataLossError, MalformedBatchError, ProglogError, StorageError
from proglog.log.files import File, read_all, replace
from proglog.log.index import Entries, SegmentIndex
from proglog.log.scan import Hole, ScannedStore, scan_store
from proglog.log.store import Stores, index_name, store_name
from proglog.record.batch import HEADER_BYTES, MAGIC, MAX_BATCH_BYTES, BatchHeader, parse_header, verify_checksums
from proglog.types import FilePosition, Offset, OriginId, SequenceNumber

_WALK_BYTES = 64 * 1024
_SUMMARY_BYTES = 16 * 1024
MAX_INDEX_BYTES = 1 << 30
_LENGTH = Struct("<4s20xI")  # magic, then batch_bytes at byte 24


@dataclass(slots=True)
class Segment:
    """Written by one thread, read by any."""

    stores: Stores
    base_offset: Offset
    index: SegmentIndex
    size: FilePosition
    """Bytes of the store that are durable and may be served."""
    file: File | None = None
    """The store open for writing, while the segment is active."""
    index_state: str = "ok"
    """``ok``, ``rebuilt`` or ``missing``."""
    holes: list[Hole] = field(default_factory=list)
    checked: tuple[int, int] = (0, 0)
    """The positions between which every byte is known to be whole: written by this process, scanned, or read before."""

    @property
    def active(self) -> bool:
        """Whether it takes appends."""
        return self.file is not None

    @property
    def end_offset(self) -> Offset:
        """One past the last record."""
        return self.index.end_offset

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
        if not whole:
            data = self._pread(min(self._first_batch_bytes(data), limit - position), position)
            whole = self._whole_batches(data, position)
        if not whole:
            error = self._damaged(position)
            if error is not None:
                raise error
            return self.read(position, max_bytes)
        return data[:whole] if whole < len(data) else data

    def walk(self, position: FilePosition) -> Iterator[tuple[FilePosition, BatchHeader]]:
        """Yield (position, header) of the batches from ``position`` on, holes left out, up to the durable end.

        Raises:
            StorageError: The disk could not be read.
        """
        expected = self._offset_at(position)
        led_astray: Hole | None = None
        while position < self.size:
            hole = self.hole_at(position)
            if hole is not None:
                position, expected = hole.end_position, hole.end_offset
                continue
            data = self._pread(min(_WALK_BYTES, self.size - position), position)
            at = 0
            while len(data) - at >= HEADER_BYTES and self.hole_at(FilePosition(position + at)) is None:
                try:
                    header = parse_header(data, at)
                except MalformedBatchError:
                    break
                if expected not in (None, header.base_offset):
                    break  # whole, but not the one that belongs here
                expected = header.end_offset
                yield FilePosition(position + at), header
                at += header.batch_bytes
            position = FilePosition(position + at)
            if position < self.size and (not at or at + HEADER_BYTES <= len(data)) and self.hole_at(position) is None:
                error = self._damaged(position)
                if error is not None and self.hole_at(position) is None:
                    # Damage further back led here, to the middle of a batch that is whole: go on after that damage.
                    before = [hole for hole in self.holes if hole.start_position < position]
                    if not before or before[-1] == led_astray:
                        raise error
                    led_astray = before[-1]
                    position, expected = led_astray.end_position, led_astray.end_offset
                    continue
                expected = self._offset_at(position)

    def find_offset(self, offset: Offset) -> FilePosition:
        """Return the position of the batch that holds ``offset``.

        Raises:
            DataLossError: It is damaged.
        """
        if self.hole_in(offset, Offset(offset + 1)) is None:
            # An index that is older than the rot can lead past a batch that landed elsewhere: then from the start.
            for start in (self.entries().before_offset(offset), FilePosition(0)):
                for position, header in self.walk(start):
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
        self.index, self.holes, self.index_state = scanned.index, scanned.holes, "rebuilt"
        self.checked = (0, self.size)
        entries = scanned.index.entries
        assert entries is not None  # a scan makes them
        self.save_index()
        return entries

    def take_back(self, size: FilePosition, end_offset: Offset, healed: Collection[FilePosition]) -> bool:
        """Serve what was written in the place of damage, if it reads back whole.

        Args:
            size: Of the store, now.
            end_offset: After what is in it, now.
            healed: Where damage began that should be gone.

        Returns:
            Whether it is; if not, everything is as before.

        Raises:
            StorageError: The store could not be read.
        """
        scanned = self._scan(size, end_offset)
        if scanned.index.end_offset != end_offset or any(hole.start_position in healed for hole in scanned.holes):
            return False
        # The hole goes last: until then readers keep away from what is behind it.
        self.index, self.checked, self.size = scanned.index, (0, size), size
        self.holes = scanned.holes
        if not self.active:
            self.index_state = "rebuilt"
            self.save_index()
        return True

    def save_index(self) -> None:
        """Write the index file. It is a hint: the log is whole without it, so a failure is only noted."""
        if self.holes or self.index.entries is None:
            return  # a segment with holes is scanned at every start, so that they are found again
        directory = self.stores.directory
        try:
            replace(self.stores.files, directory / index_name(self.base_offset), self.index.encode())
        except OSError:
            self.index_state = "missing"
        else:
            self.index_state = "ok" if self.index_state == "missing" else self.index_state

    def hole_at(self, position: int) -> Hole | None:
        """Return the hole that ``position`` is in."""
        for hole in self.holes:
            if hole.start_position <= position < hole.end_position:
                return hole
        return None

    def hole_in(self, start: Offset, end: Offset) -> Hole | None:
        """Return the first hole with any of the offsets from ``start`` up to ``end``, that one excluded."""
        return next((hole for hole in self.holes if hole.start_offset < end and start < hole.end_offset), None)

    def let_go(self) -> None:
        """Let go of the store: it is closed when the last reader is done."""
        self.file = None
        self.stores.clear()

    def _readable_until(self, position: FilePosition) -> FilePosition:
        limit = self.size
        for hole in self.holes:
            if hole.start_position <= position < hole.end_position:
                raise hole.error()
            if position < hole.start_position < limit:
                limit = hole.start_position
        return limit

    def _whole_batches(self, data: bytes, position: FilePosition) -> int:
        """Return how many bytes of ``data`` are whole batches, each checked now or before; 0 at damage."""
        start, end = self.checked
        at = 0
        expected: Offset | None = None
        while len(data) - at >= HEADER_BYTES:
            magic, batch_bytes = _LENGTH.unpack_from(data, at)
            if magic != MAGIC or not HEADER_BYTES <= batch_bytes <= len(data) - at:
                break
            if not start <= position + at < end:
                if expected is None:
                    expected = self._offset_at(FilePosition(position + at))
                following = _offset_after(data, at, expected, position + at)
                if following is None:
                    break
                expected = following
            at += batch_bytes
        if at and position + at > end:
            self.checked = (start if start <= position <= end else position, position + at)
        return at

    def _offset_at(self, position: FilePosition) -> Offset | None:
        """Return the base offset of the batch that belongs at ``position``, told by those before; ``None``: none does."""
        at, expected = FilePosition(0), self.base_offset
        if position:
            at, expected = self.entries().place_before(position, self.base_offset)
        while at < position:
            hole = self.hole_at(at)
            if hole is not None:
                at, expected = hole.end_position, hole.end_offset
                continue
            header = _header_in(self._pread(HEADER_BYTES, at))
            if header is not None and header.base_offset == expected:
                at, expected = FilePosition(at + header.batch_bytes), header.end_offset
                continue
            if self._damaged(at) is not None and self.hole_at(at) is None:
                return None
        return expected if at == position else None

    def _first_batch_bytes(self, data: bytes) -> int:
        magic, batch_bytes = _LENGTH.unpack_from(data) if len(data) >= HEADER_BYTES else (b"", 0)
        return int(batch_bytes) if magic == MAGIC and batch_bytes <= MAX_BATCH_BYTES else 0

    def recheck(self) -> None:
        """Read the store again, what was known to be whole included, and remember what is not.

        Raises:
            StorageError: The disk could not be read.
        """
        self.holes = self._scan().holes

    def _damaged(self, position: FilePosition) -> ProglogError | None:
        """Find out how far the damage at ``position`` goes and remember it: what is not damaged stays readable.

        Returns:
            What to tell the reader. ``None`` where the store alone makes sense, but in another way than the index knew,
            as when batches reached each other's place: the index is made anew, and the reader may try again.
        """
        scanned = self._scan()
        self.holes = scanned.holes
        hole = self.hole_at(position)
        if hole is not None:
            return hole.error()
        if not self.active and scanned.index.summary != self.index.summary:
            self.index, self.index_state = scanned.index, "rebuilt"
            return None
        where = f"{store_name(self.base_offset)} at byte {position}"
        return StorageError(f"reading {where} gave damaged bytes once, and whole ones when read again: try again")

    def _scan(self, size: FilePosition | None = None, end_offset: Offset | None = None) -> ScannedStore:
        length = self.size if size is None else size
        durable = (length, self.end_offset if end_offset is None else end_offset)
        try:
            return scan_store(self.store, self.base_offset, self.index.interval_bytes, length=length, durable=durable)
        except OSError as exc:
            raise self._unreadable(FilePosition(0), exc) from exc

    def _pread(self, size: int, position: FilePosition) -> bytes:
        """Return up to ``size`` bytes; fewer where the store was cut, which its reader takes for damage."""
        try:
            return self.store.pread(size, position)
        except OSError as exc:
            raise self._unreadable(position, exc) from exc

    def _unreadable(self, position: FilePosition, cause: OSError) -> StorageError:
        return StorageError(f"reading {store_name(self.base_offset)} at byte {position}: {cause.strerror or cause}")


def _header_in(data: bytes) -> BatchHeader | None:
    try:
        return parse_header(data)
    except MalformedBatchError:
        return None


def _offset_after(data: bytes, at: int, expected: Offset | None, position: int) -> Offset | None:
    """Return the offset after the batch in ``data``, if it is whole and the one that belongs at ``position``."""
    try:
        header = verify_checksums(data, at).header
    except MalformedBatchError:
        return None
    return header.end_offset if header.base_offset == expected and header.group_at <= position else None


def load_index(
    stores: Stores, base_offset: Offset, *, interval_bytes: int, store_bytes: int | None
) -> SegmentIndex | None:
    """Return the index from its file, or ``None`` if that is missing, damaged, stale or another's.

    Without ``store_bytes`` it may be that of a store of another length.
    """
    path = stores.directory / index_name(base_offset)
    for limit in (_SUMMARY_BYTES, MAX_INDEX_BYTES):
        try:
            return SegmentIndex.decode(read_all(stores.files, path, limit), base_offset, interval_bytes, store_bytes)
        except OSError:
            return None
        except MalformedBatchError:
            continue  # thousands of origins do not fit into the first, short read
    return None
