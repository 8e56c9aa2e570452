"""Scans a store from end to end and classifies its bytes: whole, torn, or damaged.

A batch counts only in its own place (:mod:`proglog.record.place`), so stale blocks, misdirected writes and pieces of a log
inside a record do not. So after damage every byte may be searched for the next batch.

Bytes that do not check out are torn or corrupt. The ``group_at`` of batches, the start of their write group, tells which,
since groups are synced one after the other::

    ...whole | ##### | whole     the whole one began its group after the damage, which had been synced: CORRUPT.
                                 Never cut: the range is a loss, and what follows is served.
    ...whole | ##### | whole     the whole one is of the damage's own group, or there is none: it was never synced, so
                                 never acknowledged: TORN. Cut to the last whole batch before.

Below the durable mark (a sealed segment is all below it) damage is always corruption. So is an unreadable block: its
content is unknown.

Source: Protocol-Aware Recovery (FAST '18), which separates the two; the group mark is our way to distinguish them.
"""

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from errno import EIO
from typing import NamedTuple

from proglog.errors import MalformedBatchError, UnknownFormatError
from proglog.log.files import File
from proglog.log.group import node_name_in
from proglog.log.index import SegmentIndex
from proglog.log.losses import Loss
from proglog.log.store import store_name
from proglog.record.batch import (
    FIRST_VERSION,
    HEADER_BYTES,
    MAX_STORED_BATCH_BYTES,
    VERSION,
    VerifiedBatch,
    unknown_format,
    verify_checksums,
)
from proglog.record.place import MARK_BYTES, Places
from proglog.types import FilePosition, Offset, half_open

_SCAN_BYTES = 8 * 1024 * 1024
assert _SCAN_BYTES >= 2 * MAX_STORED_BATCH_BYTES  # a window holds a whole batch wherever that starts
_BLOCK_BYTES = 4096
"""Bytes left out around a byte that the disk cannot read."""
_VERSION_AT = 36
_LIKE_A_VERSION = re.compile(b"[%c-%c]\\0[\\0\\1\\3]\\0" % (FIRST_VERSION, VERSION))
"""Version, codec and flags: what every header has alike, and where a search looks."""


class Placed(NamedTuple):
    """A whole batch in its place."""

    position: FilePosition
    batch: VerifiedBatch


@dataclass(slots=True)
class ScannedStore:
    """A store, read from end to end."""

    index: SegmentIndex
    size: FilePosition
    """Bytes to keep: the rest is torn."""
    losses: list[Loss]
    length: int
    """Bytes that were read."""


def scan_store(
    file: File,
    places: Places,
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
        places: Its marks.
        base_offset: From its name.
        interval_bytes: Of the index.
        length: Bytes that the store should have; what it lacks of them is damage.
        durable: The position before which everything is known to have been synced, and the end offset there.
        visit: Called with every whole batch in order; what it is given is valid during the call only.

    Raises:
        OSError: The store could not be read, for another reason than damage.
        StorageError: A later version wrote it: nothing in it may count as damaged, or be cut.
    """
    index = SegmentIndex(base_offset, interval_bytes)
    losses: list[Loss] = []
    synced = durable[0]
    for item in walk_store(file, places, FilePosition(0), base_offset, length=length, end_offset=durable[1]):
        if isinstance(item, Placed):
            header = item.batch.header
            index.add(header, item.position, node_name_in(item.batch) if header.flags else "")
            if visit is not None:
                visit(item.batch)
            continue
        loss = item
        if loss.start_position >= synced and not loss.unreadable:
            synced = _synced_until(file, places, loss, length)
            if loss.start_position >= synced:
                return ScannedStore(index, loss.start_position, losses, length)
        if loss.unreadable and loss.end_position == length > durable[0]:
            # The number of records in it is unknown: fewer than bytes, and no offset must be reused.
            unknown = length - max(loss.start_position, durable[0])
            loss = replace(loss, end_offset=Offset(loss.end_offset + unknown))
        losses.append(loss)
        index.end_offset, index.store_bytes = loss.end_offset, loss.end_position
    return ScannedStore(index, FilePosition(length), losses, length)


def walk_store(
    file: File, places: Places, position: FilePosition, offset: Offset, *, length: int, end_offset: Offset
) -> Iterator[Placed | Loss]:
    """Yield the content of a store from ``position`` on, in order: whole batches in their place, and damage between them.

    Args:
        file: The store.
        places: Its marks.
        position: Where a batch begins, or began.
        offset: That batch's base offset.
        length: Bytes that the store should have; what it lacks of them is damage.
        end_offset: At the end of them: how far damage that nothing follows goes.

    Raises:
        OSError: The store could not be read, for another reason than damage.
        StorageError: A later version wrote it.
    """
    window = ScanWindow(file, min(length, file.size()))
    while position < length:
        batch = _placed_at(window, places, position)
        if batch is not None and batch.header.base_offset == offset:
            yield Placed(position, batch)
            position, offset = FilePosition(position + batch.header.batch_bytes), batch.header.end_offset
            continue
        _refuse_later_version(window, places, position)
        following = _following(window, places, position + 1, offset)
        if following is None:
            end, after = FilePosition(length), max(offset, end_offset)
        else:
            end, after = following.position, following.batch.header.base_offset
        unreadable = window.lacks(position, end)
        detail = f"{store_name(places.base_offset)}, bytes {half_open(position, end)}"
        detail += ": the disk cannot read them" if unreadable else ""
        yield Loss(places.base_offset, position, end, offset, after, detail, unreadable)
        position, offset = end, after


def _synced_until(file: File, places: Places, loss: Loss, length: int) -> int:
    """Return the group start named by a whole batch after ``hole``, if the group starts after it as well; else 0."""
    for item in walk_store(file, places, loss.end_position, loss.end_offset, length=length, end_offset=loss.end_offset):
        if isinstance(item, Placed) and item.position - item.batch.header.group_at > loss.start_position:
            return item.position - item.batch.header.group_at
    return 0


class ScanWindow:
    """A store read through one moving buffer: each byte about once. Unreadable blocks are zeros."""

    def __init__(self, file: File, length: int) -> None:
        """Look at the first ``length`` bytes of ``file``."""
        self.length = length
        self._file = file
        self._start = 0
        self._data = b""
        self._unreadable: list[int] = []

    def batch_at(self, position: int) -> VerifiedBatch | None:
        """Return the batch at ``position`` if there is a whole one, whatever its mark."""
        data, at = self.bytes_at(position, MAX_STORED_BATCH_BYTES)
        try:
            return verify_checksums(data, at)
        except MalformedBatchError:
            return None

    def bytes_at(self, position: int, size: int) -> tuple[bytes, int]:
        """Return a buffer and the index in it from which ``size`` bytes follow, or all up to the end."""
        wanted = min(position + size, self.length)
        if not self._start <= position or wanted > self._start + len(self._data):
            self._start = position
            self._data = self._read(min(_SCAN_BYTES, self.length - position), position)
        return self._data, position - self._start

    def has(self, position: int, size: int) -> bool:
        """Return whether ``size`` bytes from ``position`` on are in memory, or all up to the end."""
        return min(position + size, self.length) <= self._start + len(self._data)

    def header_from(self, position: int) -> int | None:
        """Return the next position at or after ``position`` where a header could begin."""
        while position + HEADER_BYTES <= self.length:
            data, at = self.bytes_at(position, HEADER_BYTES)
            found = _LIKE_A_VERSION.search(data, at + _VERSION_AT)
            if found is not None:
                return position + found.start() - _VERSION_AT - at
            position += max(1, len(data) - at - HEADER_BYTES + 1)
        return None

    def lacks(self, start: int, end: int) -> bool:
        """Return whether some of the bytes examined were unreadable."""
        return any(start < block + _BLOCK_BYTES and block < end for block in self._unreadable)

    def _read(self, size: int, start: int) -> bytes:
        data, unreadable = read_around(self._file, size, start)
        self._unreadable += unreadable
        return data


def read_around(file: File, size: int, start: int) -> tuple[bytes, list[int]]:
    """Return ``size`` bytes from ``start`` on, with zeros for blocks that the disk cannot read, and where those are.

    Raises:
        OSError: The file could not be read, for another reason.
    """
    try:
        return file.pread(size, start), []
    except OSError as exc:
        if exc.errno != EIO:
            raise
    parts, unreadable, position = [], [], start
    while position < start + size:
        following = min(start + size, (position // _BLOCK_BYTES + 1) * _BLOCK_BYTES)
        try:
            parts.append(file.pread(following - position, position))
        except OSError as exc:
            if exc.errno != EIO:
                raise
            parts.append(bytes(following - position))
            unreadable.append(position // _BLOCK_BYTES * _BLOCK_BYTES)
        position = following
    return b"".join(parts), unreadable


def _placed_at(window: ScanWindow, places: Places, position: int) -> VerifiedBatch | None:
    """Return the batch at ``position`` if there is a whole one that belongs there."""
    data, at = window.bytes_at(position, HEADER_BYTES)
    if data[at : at + MARK_BYTES] != places.mark(position):
        return None
    try:
        return verify_checksums(data, at)
    except MalformedBatchError:
        if window.has(position, MAX_STORED_BATCH_BYTES):
            return None
    return window.batch_at(position)  # it continues past the window


def _following(window: ScanWindow, places: Places, start: int, offset: Offset) -> Placed | None:
    """Return the next whole batch from ``start`` on that belongs where it is, with ``offset`` or a later one."""
    position = window.header_from(start)
    while position is not None:
        batch = _placed_at(window, places, position)
        if batch is not None and batch.header.base_offset >= offset:
            return Placed(FilePosition(position), batch)
        position = window.header_from(position + 1)
    return None


def _refuse_later_version(window: ScanWindow, places: Places, position: int) -> None:
    """Raise ``StorageError`` if the batch at ``position`` has an unknown version."""
    data, at = window.bytes_at(position, HEADER_BYTES)
    unknown = unknown_format(data, at)
    if unknown and data[at : at + MARK_BYTES] == places.mark(position):
        where = f"{store_name(places.base_offset)}, byte {position}"
        raise UnknownFormatError(f"{where}: {unknown} is not known here; a later version wrote this log: use that")
