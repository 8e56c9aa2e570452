"""Opening a store after whatever happened: cut what was never synced, keep what was, name what is damaged.

A batch that does not check out is one of two things, and batches say which by ``group_at``, the start of the write
group that they were in. Groups are synced one after the other::

    ...whole | ##### | whole     the whole one began its group after the damage: the damage had been synced: CORRUPT.
                                 Never cut: the range is a hole, and what follows is served.
    ...whole | ##### | whole     the whole one is of the damage's own group, or there is none: it was never synced, so
                                 never acknowledged: TORN. Cut to the last whole batch before.

Source: Protocol-Aware Recovery (FAST '18), which separates the two; the group mark is our way to tell.
"""

from dataclasses import dataclass, field

from proglog.errors import MalformedBatchError
from proglog.log.files import File
from proglog.log.group import node_name_in
from proglog.log.index import SegmentIndex
from proglog.log.segment import Hole, store_name
from proglog.record.batch import MAGIC, MAX_BATCH_BYTES, BatchHeader, VerifiedBatch, verify_checksums
from proglog.types import Offset, Position

_SCAN_BYTES = 8 * 1024 * 1024
assert _SCAN_BYTES >= 2 * MAX_BATCH_BYTES  # a window holds a whole batch wherever that starts


@dataclass(slots=True)
class RecoveryReport:
    """What opening a log found and did."""

    clean: bool = True
    """The log had been closed in order: nothing was scanned but the end."""
    scanned_bytes: int = 0
    torn_bytes: int = 0
    """Cut from the end: never synced, so never acknowledged."""
    torn_at: str = ""
    rebuilt_indexes: int = 0
    holes: list[Hole] = field(default_factory=list)
    new_origin_reason: str = ""
    """Why the directory got a new origin; empty when it kept its own."""

    def describe(self) -> str:
        """Return what was repaired, in words; empty when there was nothing to."""
        parts = []
        if self.torn_bytes:
            parts.append(f"cut {self.torn_bytes:,} bytes of an unfinished write at {self.torn_at}")
        parts += [
            f"offsets {hole.start_offset} to {hole.end_offset - 1} are damaged ({hole.detail})" for hole in self.holes
        ]
        if self.rebuilt_indexes:
            parts.append(f"rebuilt {self.rebuilt_indexes} index{'es' if self.rebuilt_indexes > 1 else ''}")
        return "; ".join(parts)


@dataclass(slots=True)
class ScannedStore:
    """A store, read from end to end."""

    index: SegmentIndex
    size: Position
    """Bytes to keep: the rest is torn."""
    holes: list[Hole]


def scan_store(file: File, base_offset: Offset, interval_bytes: int, *, last: bool) -> ScannedStore:
    """Check every batch of a store and build its index.

    Args:
        file: The store.
        base_offset: From its name.
        interval_bytes: Of the index.
        last: The log's last segment: only there can a tail be torn. Damage elsewhere had been synced at the roll.
    """
    index = SegmentIndex(base_offset, interval_bytes)
    holes: list[Hole] = []
    length = file.size()
    position = Position(0)
    window = _Window(file, length)
    while position < length:
        batch = window.batch_at(position)
        if batch is not None and _continues(index, batch.header, position):
            index.add(batch.header, position, node_name_in(batch))
            position = Position(position + batch.header.batch_bytes)
            continue
        following = _next_batch(window, position, index.end_offset)
        if last and (following is None or not _synced_before(window, position, following)):
            return ScannedStore(index, position, holes)
        end = Position(length) if following is None else following[0]
        end_offset = index.end_offset if following is None else following[1].base_offset
        name = store_name(base_offset)
        holes.append(Hole(position, end, index.end_offset, end_offset, f"{name}, bytes {position} to {end - 1}"))
        index.end_offset = end_offset
        index.store_bytes = end
        position = end
    return ScannedStore(index, Position(length), holes)


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
            self._data = self._file.pread(_SCAN_BYTES, position)
        return self._data, position - self._start

    def find_magic(self, position: int) -> int | None:
        """Return the next position at or after ``position`` where the magic stands."""
        while position < self.length:
            data, at = self.bytes_at(position, len(MAGIC))
            found = data.find(MAGIC, at)
            if found >= 0:
                return position + found - at
            position += max(1, len(data) - at - len(MAGIC) + 1)
        return None


def _continues(index: SegmentIndex, header: BatchHeader, position: Position) -> bool:
    """Return whether a whole batch belongs here: a stale or misdirected one is damage, too."""
    return header.base_offset == index.end_offset and header.group_at <= position


def _next_batch(window: _Window, damaged: Position, end_offset: Offset) -> tuple[Position, BatchHeader] | None:
    position: int | None = damaged + 1
    while position is not None:
        position = window.find_magic(position)
        if position is None:
            return None
        batch = window.batch_at(position)
        if batch is not None and batch.header.base_offset >= end_offset and batch.header.group_at <= position:
            return Position(position), batch.header
        position += 1
    return None


def _synced_before(window: _Window, damaged: Position, following: tuple[Position, BatchHeader]) -> bool:
    """Return whether any whole batch after ``damaged`` began its group after it: then it had been synced."""
    position, header = following
    end_offset = header.base_offset
    while True:
        if position - header.group_at > damaged:
            return True
        end_offset = header.end_offset
        ahead = _next_batch(window, Position(position + header.batch_bytes - 1), end_offset)
        if ahead is None:
            return False
        position, header = ahead
