"""The sparse index of one segment: where to start looking for an offset, a sequence or a time.

Packed columns: an entry is 36 bytes, 40 in memory, and an origin's batch gets one when it is at least
``index_interval_bytes`` past that origin's previous entry. On disk it is a hint: if the file is unusable in any way, it is
rebuilt from the store with identical answers.

Memory, for one origin with batches smaller than the interval: an entry for every 4 KiB, 262,144 for a GiB of
store, **9 MiB for a GiB**, 10 MiB in memory. Larger batches need less: an entry each. Several interleaved origins need
that much each, but never more than an entry a batch. All sealed segments of a log together keep at most 32 MiB of entries
in memory (``MAX_INDEX_MEMORY`` in :mod:`proglog.log.index_cache`); those of the active one add 1.1 MiB of 128 MiB.

::

    +-------+---------+-----+-------------+------------+-------------+-------------+--------------+
    | magic | version | crc | base_offset | end_offset | store_bytes | batch_count | record_count |
    +-------+---------+-----+-------------+------------+-------------+-------------+--------------+
    | first_timestamp_ms | max_timestamp_ms | last_append_ms | origin_count | entry_count | entries_crc |
    +--------------------+------------------+----------------+--------------+-------------+-------------+
    | origins: id, first and next sequence, chain, bytes, last_append_ms, length of name, name           |
    +----------------------------------------------------------------------------------------------------+
    | columns of the entries: base_offset, position, max_timestamp_ms, base_sequence, origin number      |
    +----------------------------------------------------------------------------------------------------+

``crc`` covers the rest of the first two rows and the origins, and starts from a hash of the log's id: the summary stays in
memory; the entries of a sealed segment are read when a look-up needs them, and released again.
"""

import struct
from array import array
from bisect import bisect_left, bisect_right
from copy import copy
from dataclasses import dataclass, replace
from struct import Struct
from typing import NamedTuple

from proglog.errors import MalformedBatchError
from proglog.record.batch import BatchHeader
from proglog.record.crc import crc
from proglog.types import FilePosition, Offset, OriginId, SequenceNumber

MAGIC = b"\xa7PLX"
VERSION = 1
_HEAD = Struct("<4sI I QQQQQ qqQ III")
_ORIGIN = Struct("<16sQQIQQB")
_CRC_AT, _CHECKED_FROM = 8, 12
_COLUMNS = "QQqQI"
_NO_TIME = -(1 << 63)
ENTRY_BYTES = sum(array(code).itemsize for code in _COLUMNS)
"""In the file."""
ENTRY_MEMORY_BYTES = ENTRY_BYTES + array("I").itemsize
"""In memory: there, each entry knows which one came before of the same origin."""


@dataclass(slots=True)
class OriginSpan:
    """What one segment holds of one origin."""

    first_sequence: SequenceNumber
    next_sequence: SequenceNumber
    chain_crc: int
    stored_bytes: int = 0
    last_append_ms: int = 0
    node_name: str = ""
    """From the origin's first batch, if it is in this segment."""


class Summary(NamedTuple):
    """A segment in numbers: what stays in memory when its entries do not."""

    base_offset: Offset
    end_offset: Offset
    store_bytes: int
    batch_count: int
    record_count: int
    first_timestamp_ms: int
    max_timestamp_ms: int
    last_append_ms: int


class Entries:
    """The sparse part: columns, ascending in offset, position and time."""

    def __init__(self) -> None:
        """Start empty."""
        self.offsets = array("Q")
        self.positions = array("Q")
        self.timestamps = array("q")
        self.sequences = array("Q")
        self.origin_numbers = array("I")
        self._before = array("I")
        """Of each entry, one past the number of the entry before it of the same origin; 0: there is none."""
        self._last: dict[int, int] = {}
        """Of each origin, one past the number of its last entry."""

    def __len__(self) -> int:
        return len(self.offsets)

    def add(self, offset: int, position: int, newest_ms: int, sequence: int, origin_number: int) -> None:
        """Append one; ``offsets`` last, so that a reader never finds half an entry."""
        self.positions.append(position)
        self.timestamps.append(newest_ms)
        self.sequences.append(sequence)
        self.origin_numbers.append(origin_number)
        self._link(origin_number)
        self.offsets.append(offset)

    def _link(self, origin_number: int) -> None:
        self._before.append(self._last.get(origin_number, 0))
        self._last[origin_number] = len(self._before)

    def before_offset(self, offset: Offset) -> FilePosition:
        """Return a position from which a walk forwards meets the batch that holds ``offset``."""
        found = bisect_right(self.offsets, offset) - 1
        return FilePosition(self.positions[found]) if found >= 0 else FilePosition(0)

    def place_before(self, position: FilePosition, base_offset: Offset) -> tuple[FilePosition, Offset]:
        """Return the last place at or before ``position`` whose offset is known, and that offset."""
        found = bisect_right(self.positions, position, hi=len(self.offsets)) - 1
        return (
            (FilePosition(self.positions[found]), Offset(self.offsets[found]))
            if found >= 0
            else (FilePosition(0), base_offset)
        )

    def before_sequence(self, origin_number: int, sequence: SequenceNumber) -> FilePosition:
        """Return a position from which a walk forwards meets the batch of that origin that holds ``sequence``.

        It examines only the origin's own entries, from the last one back.
        """
        entry = self._last.get(origin_number, 0)
        if len(self._last) == 1:
            entry = bisect_right(self.sequences, sequence, hi=entry)
        while entry and self.sequences[entry - 1] > sequence:
            entry = self._before[entry - 1]
        return FilePosition(self.positions[entry - 1]) if entry else FilePosition(0)

    def last_before(self, position: FilePosition) -> dict[int, FilePosition]:
        """Return the place of each origin's last entry before ``position``, by what entries call the origin."""
        end = bisect_left(self.positions, position, hi=len(self.offsets))
        return {self.origin_numbers[at]: FilePosition(self.positions[at]) for at in range(end)}

    def before_time(self, time_ms: int) -> FilePosition:
        """Return a position from which a walk forwards meets the first batch with a timestamp >= ``time_ms``."""
        found = bisect_left(self.timestamps, time_ms) - 1
        return FilePosition(self.positions[found]) if found >= 0 else FilePosition(0)

    def put_back(
        self, part: "Entries", start: FilePosition, end: FilePosition, numbers: list[int], newest_ms: int
    ) -> "Entries":
        """Return the entries with those of ``part`` in the place of what was between two positions.

        Times only have to ascend, and to be no earlier than those of the batches before: a search begins too early then.
        """
        first, last = bisect_left(self.positions, start), bisect_left(self.positions, end)
        made = Entries()
        newest_ms = max(newest_ms, self.timestamps[first - 1] if first else _NO_TIME)
        if last < len(self):
            newest_ms = max(newest_ms, self.timestamps[last])
        for column, old, new in zip(made._columns(), self._columns(), part._columns(), strict=True):
            column.extend(old[:first])
            column.extend(new)
            column.extend(old[last:])
        for at in range(first, first + len(part)):
            made.timestamps[at] = newest_ms
            made.origin_numbers[at] = numbers[made.origin_numbers[at]]
        for number in made.origin_numbers:
            made._link(number)
        for at in range(first + len(part), len(made)):
            if made.timestamps[at] >= newest_ms:
                break
            made.timestamps[at] = newest_ms
        return made

    def encode(self) -> bytes:
        """Return the columns, one after the other."""
        return b"".join(column.tobytes() for column in self._columns())

    @classmethod
    def decode(cls, data: memoryview | bytes, count: int) -> "Entries":
        """Return ``count`` entries from what :meth:`encode` returned; the caller has checked the length."""
        entries, start = cls(), 0
        for column in entries._columns():
            end = start + count * column.itemsize
            column.frombytes(data[start:end])
            start = end
        for number in entries.origin_numbers:
            entries._link(number)
        return entries

    def _columns(self) -> "tuple[array[int], ...]":
        return self.offsets, self.positions, self.timestamps, self.sequences, self.origin_numbers


class SegmentIndex:
    """Built by adding every batch of the segment in order, or read from its file."""

    def __init__(self, base_offset: Offset, interval_bytes: int) -> None:
        """Start empty, for a segment that starts at ``base_offset``."""
        self.base_offset = base_offset
        self.interval_bytes = interval_bytes
        self.end_offset = base_offset
        self.store_bytes = 0
        self.batch_count = 0
        self.record_count = 0
        self.first_timestamp_ms = 0
        self.max_timestamp_ms = 0
        self.last_append_ms = 0
        self.origins: dict[OriginId, OriginSpan] = {}
        self.entries: Entries | None = Entries()
        """``None`` while they are only in the file."""
        self.entries_at = 0
        """Where they start in the file."""
        self.file_state = "ok"
        """Of its file: ``ok``, ``rebuilt`` or ``missing``."""
        self._entries_crc = 0
        self._entry_count = 0
        self._newest_ms = _NO_TIME
        self._numbers: dict[OriginId, int] = {}
        self._last_entry_at: dict[OriginId, int] = {}

    @property
    def entry_count(self) -> int:
        """How many entries there are, in memory or in the file."""
        return self._entry_count if self.entries is None else len(self.entries)

    @property
    def memory_bytes(self) -> int:
        """Memory of the entries."""
        return 0 if self.entries is None else len(self.entries) * ENTRY_MEMORY_BYTES

    @property
    def summary(self) -> Summary:
        """The segment in numbers."""
        return Summary(
            self.base_offset,
            self.end_offset,
            self.store_bytes,
            self.batch_count,
            self.record_count,
            self.first_timestamp_ms,
            self.max_timestamp_ms,
            self.last_append_ms,
        )

    def number_of(self, origin: OriginId) -> int | None:
        """Return what entries call ``origin``; ``None`` if the segment has nothing of it."""
        return self._numbers.get(origin)

    def add(self, header: BatchHeader, position: FilePosition, node_name: str = "") -> None:
        """Take in the batch at ``position``: the next one of the segment.

        ``node_name`` is given with an origin's first batch.
        """
        origin = header.origin
        span = self.origins.get(origin)
        if span is None:
            span = self.origins[origin] = OriginSpan(header.base_sequence, header.base_sequence, 0)
            self._numbers[origin] = len(self._numbers)
        if header.record_count:
            # Control batches have no records: their times would move the answers of a look-up by time.
            if not self.record_count:
                self.first_timestamp_ms = header.first_timestamp_ms
            self._newest_ms = max(self._newest_ms, header.max_timestamp_ms)
            self.max_timestamp_ms = self._newest_ms
        last = self._last_entry_at.get(origin)
        if last is None or position - last >= self.interval_bytes:
            assert self.entries is not None  # only an index in memory grows
            self._last_entry_at[origin] = position
            number = self._numbers[origin]
            self.entries.add(header.base_offset, position, self._newest_ms, header.base_sequence, number)
        span.next_sequence = header.next_sequence
        span.chain_crc = header.chain_crc
        span.stored_bytes += header.batch_bytes
        span.last_append_ms = header.append_time_ms
        span.node_name = span.node_name or node_name
        self.batch_count += 1
        self.record_count += header.record_count
        self.last_append_ms = max(self.last_append_ms, header.append_time_ms)
        self.end_offset = header.end_offset
        self.store_bytes = position + header.batch_bytes

    def put_back(
        self, part: "SegmentIndex", start: FilePosition, end: FilePosition, *, counted: bool
    ) -> "SegmentIndex":
        """Return the index with ``part``, of the batches that came back between two positions.

        Args:
            part: The index of only those batches, in a segment of the same name.
            start: Where they begin.
            end: Where what was there before ended.
            counted: Whether this index counts them already, from before they were damaged.
        """
        assert self.entries is not None  # the caller has looked into it
        assert part.entries is not None
        index = copy(self)
        index.origins = {origin: replace(span) for origin, span in self.origins.items()}
        index._numbers = dict(self._numbers)
        for origin, came in part.origins.items():
            index._numbers.setdefault(origin, len(index._numbers))
            span = index.origins.setdefault(origin, replace(came, stored_bytes=0, next_sequence=came.first_sequence))
            span.node_name = span.node_name or came.node_name
            if came.next_sequence > span.next_sequence:
                span.next_sequence, span.chain_crc = came.next_sequence, came.chain_crc
            span.first_sequence = min(span.first_sequence, came.first_sequence)
            span.last_append_ms = max(span.last_append_ms, came.last_append_ms)
            span.stored_bytes += 0 if counted else came.stored_bytes
        if not counted:
            index.batch_count += part.batch_count
            index.record_count += part.record_count
        if part.record_count and (not self.record_count or not start):
            index.first_timestamp_ms = part.first_timestamp_ms
        index._newest_ms = max(self._newest_ms, part._newest_ms)
        index.max_timestamp_ms = index._newest_ms if index.record_count else 0
        index.last_append_ms = max(self.last_append_ms, part.last_append_ms)
        index.end_offset = max(self.end_offset, part.end_offset)
        index.store_bytes = max(self.store_bytes, part.store_bytes)
        index.entries = self.entries.put_back(
            part.entries, start, end, [index._numbers[origin] for origin in part.origins], part._newest_ms
        )
        return index

    def encode(self, key: int) -> bytes:
        """Return the file, for the log that ``key`` is of; from then on the entries can be let go, if it is kept."""
        assert self.entries is not None  # what is only in the file need not be written
        entries = self.entries.encode()
        origins = b"".join(_encode_origin(origin, span) for origin, span in self.origins.items())
        head = _HEAD.pack(MAGIC, VERSION, 0, *self.summary, len(self.origins), len(self.entries), crc(entries))
        checked = head[_CHECKED_FROM:] + origins
        self.entries_at = _CHECKED_FROM + len(checked)
        self._entry_count, self._entries_crc = len(self.entries), crc(entries)
        return head[:_CRC_AT] + crc(checked, key).to_bytes(4, "little") + checked + entries

    @classmethod
    def decode(
        cls, data: bytes, base_offset: Offset, interval_bytes: int, store_bytes: int | None, key: int
    ) -> "SegmentIndex":
        """Return the index in a file, without its entries, if it is that of the store of ``store_bytes`` bytes.

        Args:
            data: The file, or enough of its beginning to hold every origin.
            base_offset: Of the store, from its name.
            interval_bytes: For what is added later.
            store_bytes: Of the store as it is now; ``None`` for any.
            key: Of the log.

        Raises:
            MalformedBatchError: It is damaged, cut short, of another version, or of another store or log.
        """
        try:
            return cls._decode(data, base_offset, interval_bytes, store_bytes, key)
        except (struct.error, ValueError, IndexError) as exc:
            raise MalformedBatchError(f"the index file is damaged: its {len(data):,} bytes make no index") from exc

    @classmethod
    def _decode(
        cls, data: bytes, base_offset: Offset, interval_bytes: int, store_bytes: int | None, key: int
    ) -> "SegmentIndex":
        magic, version, checksum, *numbers, origin_count, entry_count, entries_crc = _HEAD.unpack_from(data)
        if magic != MAGIC or version != VERSION:
            raise MalformedBatchError("this is no index file of a version known here")
        summary = Summary(*numbers)
        index = cls(base_offset, interval_bytes)
        at = _HEAD.size
        for number in range(origin_count):
            origin, first, following, chain, size, last_append_ms, length = _ORIGIN.unpack_from(data, at)
            at += _ORIGIN.size
            name = data[at : at + length].decode("utf-8", "replace")
            at += length
            index.origins[OriginId(origin)] = OriginSpan(first, following, chain, size, last_append_ms, name)
            index._numbers[OriginId(origin)] = number
        if at > len(data) or crc(memoryview(data)[_CHECKED_FROM:at], key) != checksum:
            raise MalformedBatchError("the index file's summary does not agree with its checksum")
        if summary.base_offset != base_offset or store_bytes not in (None, summary.store_bytes):
            raise MalformedBatchError("the index file belongs to another store, or to this one at another time")
        index.end_offset, index.store_bytes = summary.end_offset, summary.store_bytes
        index.batch_count, index.record_count = summary.batch_count, summary.record_count
        index.first_timestamp_ms, index.max_timestamp_ms = summary.first_timestamp_ms, summary.max_timestamp_ms
        index.last_append_ms = summary.last_append_ms
        index._newest_ms = summary.max_timestamp_ms if summary.record_count else _NO_TIME
        index.entries, index.entries_at = None, at
        index._entry_count, index._entries_crc = entry_count, entries_crc
        return index

    def attach(self, data: bytes) -> Entries:
        """Take the entries back into memory, and return them.

        Args:
            data: The file from ``entries_at`` on.

        Raises:
            MalformedBatchError: They are damaged.
        """
        if len(data) != self._entry_count * ENTRY_BYTES or crc(data) != self._entries_crc:
            raise MalformedBatchError("the index file's entries do not agree with their checksum")
        entries = Entries.decode(data, self._entry_count)
        names = list(self.origins)
        for number, position in zip(entries.origin_numbers, entries.positions, strict=True):
            self._last_entry_at[names[number]] = position
        self.entries = entries
        return entries


def _encode_origin(origin: OriginId, span: OriginSpan) -> bytes:
    name = span.node_name.encode()
    numbers = (span.first_sequence, span.next_sequence, span.chain_crc, span.stored_bytes, span.last_append_ms)
    return _ORIGIN.pack(origin, *numbers, len(name)) + name
