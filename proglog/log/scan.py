"""Reading a store from end to end after whatever happened: what is whole, what is torn, what is damaged.

A batch that does not check out is one of two things, and batches say which by ``group_at``, the start of the write
group that they were in. Groups are synced one after the other::

    ...whole | ##### | whole     the whole one began its group after the damage: the damage had been synced: CORRUPT.
                                 Never cut: the range is a hole, and what follows is served.
    ...whole | ##### | whole     the whole one is of the damage's own group, or there is none: it was never synced, so
                                 never acknowledged: TORN. Cut to the last whole batch before.

Below the durable mark (a sealed segment is all below it) damage is always corruption.

Source: Protocol-Aware Recovery (FAST '18), which separates the two; the group mark is our way to tell.
"""

from bisect import bisect_right
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass

from proglog.errors import DataLossError, MalformedBatchError, StorageError
from proglog.log.files import File
from proglog.log.group import node_name_in
from proglog.log.index import SegmentIndex
from proglog.log.store import store_name
from proglog.record.batch import (
    HEADER_BYTES,
    MAGIC,
    MAX_BATCH_BYTES,
    BatchHeader,
    VerifiedBatch,
    parse_header,
    unknown_format,
    verify_checksums,
)
from proglog.types import FilePosition, Offset

_SCAN_BYTES = 8 * 1024 * 1024
assert _SCAN_BYTES >= 2 * MAX_BATCH_BYTES  # a window holds a whole batch wherever that starts


@dataclass(frozen=True, slots=True)
class Hole:
    """A damaged range of one store, and the offsets that were in it."""

    start_position: FilePosition
    end_position: FilePosition
    start_offset: Offset
    end_offset: Offset
    detail: str

    def describe(self) -> str:
        """Return what is damaged, in words."""
        if self.start_offset == self.end_offset:
            return f"a control batch is damaged ({self.detail})"
        return f"offsets {self.start_offset} to {self.end_offset - 1} are damaged ({self.detail})"

    def error(self) -> DataLossError:
        """Return what a reader of it is told."""
        return DataLossError(self.start_offset, self.end_offset, self.detail)


@dataclass(slots=True)
class ScannedStore:
    """A store, read from end to end."""

    index: SegmentIndex
    size: FilePosition
    """Bytes to keep: the rest is torn."""
    holes: list[Hole]
    length: int
    """Bytes that were read."""


def scan_store(
    file: File,
    base_offset: Offset,
    interval_bytes: int,
    *,
    length: int,
    durable: tuple[int, Offset],
    visit: Callable[[VerifiedBatch], None] | None = None,
) -> ScannedStore:
    """Check every batch of a store and build its index.

    Args:
        file: The store.
        base_offset: From its name.
        interval_bytes: Of the index.
        length: Bytes that the store should have; what it lacks of them is damage.
        durable: The position before which everything is known to have been synced, and the end offset there.
        visit: Called with every whole batch in order; what it is given is valid during the call only.

    Raises:
        OSError: The store could not be read.
        StorageError: A later version wrote it: nothing in it may be called damaged, let alone cut.
    """
    index = SegmentIndex(base_offset, interval_bytes)
    holes: list[Hole] = []
    position = FilePosition(0)
    window = _Window(file, min(length, file.size()))
    ahead: deque[tuple[FilePosition, Offset]] | None = None
    while position < length:
        batch = window.batch_at(position)
        if batch is not None and _continues(index, batch.header, position):
            index.add(batch.header, position, node_name_in(batch))
            if visit is not None:
                visit(batch)
            position = FilePosition(position + batch.header.batch_bytes)
            continue
        unknown = unknown_format(*window.bytes_at(position, HEADER_BYTES))
        if unknown:
            where = f"{store_name(base_offset)}, byte {position}"
            raise StorageError(f"{where}: {unknown} is not known here; a later version wrote this log: use that")
        after = _after_damage(window, index, position)
        if ahead is None:
            ahead = _in_their_place(window, after, index.end_offset)
        while ahead and (ahead[0][0] < after or ahead[0][1] < index.end_offset):
            ahead.popleft()
        following = _next_batch(window, ahead[0][0], index.end_offset) if ahead else None
        if position >= durable[0] and (following is None or not _synced_before(window, position, following)):
            return ScannedStore(index, position, holes, length)
        if following is None:
            end, end_offset = FilePosition(min(length, durable[0])), max(index.end_offset, durable[1])
        else:
            end, end_offset = following[0], following[1].base_offset
        detail = f"{store_name(base_offset)}, bytes {position} to {end - 1}"
        holes.append(Hole(position, end, index.end_offset, end_offset, detail))
        index.end_offset = end_offset
        index.store_bytes = end
        position = end
    return ScannedStore(index, FilePosition(length), holes, length)


class _Window:
    """A store through one moving buffer: each byte is read about once."""

    def __init__(self, file: File, length: int) -> None:
        self.length = length
        self._file = file
        self._start = 0
        self._data = b""

    def batch_at(self, position: int) -> VerifiedBatch | None:
        """Return the batch at ``position`` if there is a whole, undamaged one."""
        data, at = self.bytes_at(position, MAX_BATCH_BYTES)
        try:
            return verify_checksums(data, at)
        except MalformedBatchError:
            return None

    def bytes_at(self, position: int, size: int) -> tuple[bytes, int]:
        """Return a buffer and the index in it from which ``size`` bytes follow, or all up to the end."""
        wanted = min(position + size, self.length)
        if not self._start <= position or wanted > self._start + len(self._data):
            self._start = position
            self._data = self._file.pread(min(_SCAN_BYTES, self.length - position), position)
        return self._data, position - self._start

    def find_magic(self, position: int) -> int | None:
        """Return the next position at or after ``position`` where the magic stands."""
        while position + len(MAGIC) <= self.length:
            data, at = self.bytes_at(position, len(MAGIC))
            found = data.find(MAGIC, at)
            if found >= 0:
                return position + found - at
            position += max(1, len(data) - at - len(MAGIC) + 1)
        return None


def _continues(index: SegmentIndex, header: BatchHeader, position: FilePosition) -> bool:
    """Return whether a whole batch belongs here: a stale or misdirected one is damage, too."""
    return header.base_offset == index.end_offset and header.group_at <= position


def _after_damage(window: _Window, index: SegmentIndex, damaged: FilePosition) -> int:
    """Return where to look for what follows: a header that is whole says how long its payload is.

    Payloads are any bytes, whole batches among them: they are not searched where that can be helped.
    """
    try:
        header = parse_header(*window.bytes_at(damaged, HEADER_BYTES))
    except MalformedBatchError:
        return damaged + 1
    return damaged + (header.batch_bytes if _continues(index, header, damaged) else 1)


def _next_batch(window: _Window, start: int, end_offset: Offset) -> tuple[FilePosition, BatchHeader] | None:
    position: int | None = start
    while position is not None:
        position = window.find_magic(position)
        if position is None:
            return None
        batch = window.batch_at(position)
        if batch is not None and batch.header.base_offset >= end_offset and batch.header.group_at <= position:
            return FilePosition(position), batch.header
        position += 1
    return None


def _in_their_place(window: _Window, start: int, end_offset: Offset) -> deque[tuple[FilePosition, Offset]]:
    """Return (position, base offset) of the whole batches from ``start`` on that are in their own place.

    Sectors that reached each other's place hold whole batches, too. In their place are those of the longest run whose
    offsets ascend: a batch of further ahead would have all behind it out of order.
    """
    found: list[tuple[FilePosition, Offset, int]] = []  # and the number of the one before it in the longest run so far
    run_ends: list[Offset] = []  # the lowest end offset of a run of each length
    last: list[int] = []  # and which batch that is the end of
    ahead = _next_batch(window, start, end_offset)
    while ahead is not None:
        position, header = ahead
        length = bisect_right(run_ends, header.base_offset)
        found.append((position, header.base_offset, last[length - 1] if length else -1))
        if length == len(run_ends) or header.end_offset < run_ends[length]:
            run_ends[length : length + 1] = [header.end_offset]
            last[length : length + 1] = [len(found) - 1]
        ahead = _next_batch(window, position + header.batch_bytes, end_offset)
    run: deque[tuple[FilePosition, Offset]] = deque()
    number = last[-1] if last else -1
    while number >= 0:
        position, base_offset, number = found[number]
        run.appendleft((position, base_offset))
    return run


def _synced_before(window: _Window, damaged: FilePosition, following: tuple[FilePosition, BatchHeader]) -> bool:
    """Return whether any whole batch after ``damaged`` began its group after it: then it had been synced."""
    ahead: tuple[FilePosition, BatchHeader] | None = following
    while ahead is not None:
        position, header = ahead
        if position - header.group_at > damaged:
            return True
        ahead = _next_batch(window, position + header.batch_bytes, header.end_offset)
    return False
