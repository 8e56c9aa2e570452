"""One segment: a store of batches under its base offset, and the index into it.

The store, ``%020d.log``, is batches back to back and nothing else; the index, ``%020d.index``, is a hint. Damaged
ranges are kept as *holes*: what stands before and after them is served.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from struct import Struct

from proglog.errors import DataLossError, MalformedBatchError, StorageError
from proglog.log.files import File, FileSystem, read_all, replace
from proglog.log.index import SegmentIndex
from proglog.record.batch import HEADER_BYTES, MAGIC, MAX_BATCH_BYTES, BatchHeader, parse_header
from proglog.types import Offset, Position

STORE_SUFFIX = ".log"
INDEX_SUFFIX = ".index"
MAX_INDEX_BYTES = 1 << 30
_WALK_BYTES = 64 * 1024
_LENGTH = Struct("<4s20xI")  # magic, then batch_bytes at byte 24


@dataclass(frozen=True, slots=True)
class Hole:
    """A damaged range of one store, and the offsets that were in it."""

    start_position: Position
    end_position: Position
    start_offset: Offset
    end_offset: Offset
    detail: str


@dataclass(slots=True)
class Segment:
    """Written by one thread, read by any."""

    files: FileSystem
    directory: Path
    base_offset: Offset
    store: File
    index: SegmentIndex
    size: Position
    """Bytes of the store that are durable and may be served."""
    active: bool = True
    index_state: str = "ok"
    """``ok``, ``rebuilt`` or ``missing``."""
    holes: list[Hole] = field(default_factory=list)

    @property
    def end_offset(self) -> Offset:
        """One past the last record."""
        return self.index.end_offset

    def read(self, position: Position, max_bytes: int) -> bytes:
        """Return whole batches from ``position`` on, the first even if larger than ``max_bytes``.

        Raises:
            DataLossError: The batch there is damaged.
            StorageError: The disk could not be read.
        """
        limit = self._readable_until(position)
        data = self._pread(min(max(max_bytes, HEADER_BYTES), limit - position), position)
        whole = self._whole_batches(data, position)
        if not whole and position < limit:
            wanted = self._batch_bytes_at(data, position, 0)
            data = self._pread(min(wanted, limit - position), position)
            whole = self._whole_batches(data, position)
        return data[:whole] if whole < len(data) else data

    def walk(self, position: Position) -> Iterator[tuple[Position, BatchHeader]]:
        """Yield (position, header) of the batches from ``position`` on, holes left out, up to the durable end."""
        while position < self.size:
            hole = self.hole_at(position)
            if hole is not None:
                position = hole.end_position
                continue
            data = self._pread(min(_WALK_BYTES, self.size - position), position)
            at = 0
            while len(data) - at >= HEADER_BYTES and self.hole_at(Position(position + at)) is None:
                header = self._header(data, position, at)
                yield Position(position + at), header
                at += header.batch_bytes
            position = Position(position + at)

    def hole_at(self, position: Position) -> Hole | None:
        """Return the hole that ``position`` is in."""
        for hole in self.holes:
            if hole.start_position <= position < hole.end_position:
                return hole
        return None

    def hole_with(self, offset: Offset) -> Hole | None:
        """Return the hole that ``offset`` was in."""
        for hole in self.holes:
            if hole.start_offset <= offset < hole.end_offset:
                return hole
        return None

    def save_index(self) -> None:
        """Write the index file. It is a hint: the log is whole without it."""
        if not self.holes:  # a segment with holes is scanned at every start, so that they are found again
            replace(self.files, self.directory / index_name(self.base_offset), self.index.encode())

    def close(self) -> None:
        """Let go of the store."""
        self.store.close()

    def _readable_until(self, position: Position) -> Position:
        limit = self.size
        for hole in self.holes:
            if hole.start_position <= position < hole.end_position:
                raise DataLossError(hole.start_offset, hole.end_offset, hole.detail)
            if position < hole.start_position < limit:
                limit = hole.start_position
        return limit

    def _whole_batches(self, data: bytes, position: Position) -> int:
        at = 0
        while len(data) - at >= HEADER_BYTES:
            following = at + self._batch_bytes_at(data, position, at)
            if following > len(data):
                break
            at = following
        return at

    def _batch_bytes_at(self, data: bytes, position: Position, at: int) -> int:
        magic, batch_bytes = _LENGTH.unpack_from(data, at)
        if magic != MAGIC or not HEADER_BYTES <= batch_bytes <= MAX_BATCH_BYTES:
            raise self._damaged(position + at, "no batch header where one should be")
        return int(batch_bytes)

    def _header(self, data: bytes, position: Position, at: int) -> BatchHeader:
        try:
            return parse_header(data, at)
        except MalformedBatchError as exc:
            raise self._damaged(position + at, str(exc)) from exc

    def _damaged(self, position: int, detail: str) -> DataLossError:
        where = f"{store_name(self.base_offset)} at byte {position}"
        return DataLossError(self.base_offset, self.end_offset, f"{where}: {detail}")

    def _pread(self, size: int, position: Position) -> bytes:
        try:
            return self.store.pread(size, position)
        except OSError as exc:
            raise StorageError(f"reading {store_name(self.base_offset)} at byte {position}: {exc.strerror}") from exc


def store_name(base_offset: int) -> str:
    """Return the name of a store file."""
    return f"{base_offset:020d}{STORE_SUFFIX}"


def index_name(base_offset: int) -> str:
    """Return the name of an index file."""
    return f"{base_offset:020d}{INDEX_SUFFIX}"


def load_index(
    files: FileSystem, directory: Path, base_offset: Offset, *, interval_bytes: int, store_bytes: int
) -> SegmentIndex | None:
    """Return the index from its file, or ``None`` if that is missing, damaged, stale or another's."""
    try:
        data = read_all(files, directory / index_name(base_offset), MAX_INDEX_BYTES)
        return SegmentIndex.decode(data, base_offset, interval_bytes, store_bytes)
    except (OSError, MalformedBatchError):
        return None
