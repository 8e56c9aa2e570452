"""One segment: a store of batches under its base offset, and the index into it.

The store, ``%020d.log``, is batches back to back and nothing else; the index, ``%020d.index``, is a hint.

A :class:`Segment` is a value: its readable state at one moment. A read returns bytes exactly as stored, each checked
once: bytes that this process wrote or scanned are known to be whole, and a sealed store is checked as it is read. Bytes
that do not check out and are not known to be damaged raise :class:`Suspect`; :meth:`Segment.looked_at` then returns the
segment with the damage as a :class:`~proglog.log.losses.Loss`: reading its range raises :class:`DataLossError`, while
everything before and after it is served. Its extent is found by reading from the index entry before it to the first
whole batch after it, no matter how large the segment.
"""

from bisect import bisect_right
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace
from errno import EIO
from struct import Struct
from typing import NamedTuple, cast

from proglog.errors import DataLossError, MalformedBatchError, StorageError
from proglog.log import files as disk
from proglog.log.files import File, read_all
from proglog.log.index import Entries, SegmentIndex
from proglog.log.losses import Loss, in_order, reconciled, with_found
from proglog.log.model import SegmentInfo
from proglog.log.scan import Placed, ScannedStore, scan_store, walk_store
from proglog.log.store import Stores, index_name, store_name
from proglog.record.batch import (
    FIRST_VERSION,
    HEADER_BYTES,
    MAX_STORED_BATCH_BYTES,
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
    """How far a segment may be read."""

    size: FilePosition
    """Bytes of the store that are durable."""
    end_offset: Offset
    """One past the last record in them."""


class Suspect(Exception):  # noqa: N818 - not an error: a request to recheck
    """A stretch of a segment does not check out, or its index file; ``start`` is where a batch begins, or began."""

    def __init__(self, segment: "Segment", start: FilePosition, end: FilePosition, *, index: bool = False) -> None:
        """Of ``segment`` as it was read."""
        super().__init__(store_name(segment.base_offset), start, end)
        self.segment = segment
        self.start = start
        self.end = end
        self.index = index


@dataclass(slots=True)
class Checked:
    """The range in which every byte is known to be whole: written by this process, scanned, or read before.

    A cache of readers, only to save work: every entry is true.
    """

    between: tuple[int, int] = (0, 0)

    def add(self, start: int, end: int) -> None:
        """Take in one more stretch, if it touches what is known or goes further."""
        first, last = self.between
        if end > last:
            self.between = (first if first <= start <= last else start, end)


@dataclass(frozen=True, slots=True)
class Segment:
    """A segment at one moment. The disk thread makes the next value and publishes it."""

    stores: Stores
    base_offset: Offset
    index: SegmentIndex
    """Grows with the active segment: entries behind ``extent`` are not looked for."""
    extent: Extent
    file: File | None = None
    """The store open for writing, while the segment is active."""
    losses: tuple[Loss, ...] = ()
    """What is known to be damaged, in order; the last one may be behind the end of the store."""
    checked: Checked = field(default_factory=Checked)
    places: Places = field(default=cast("Places", None))
    """The marks of the store; made, if not given."""

    def __post_init__(self) -> None:
        """Know the marks."""
        if cast("Places | None", self.places) is None:
            object.__setattr__(self, "places", self.stores.places(self.base_offset))

    def with_extent(self, extent: Extent) -> "Segment":
        """Return the segment after an append. Each one comes here: it costs a fifth of ``replace``."""
        return Segment(
            self.stores, self.base_offset, self.index, extent, self.file, self.losses, self.checked, self.places
        )

    def with_losses(self, losses: Iterable[Loss]) -> "Segment":
        """Return the segment with another list of what is damaged."""
        return replace(self, losses=in_order(losses))

    @property
    def info(self) -> SegmentInfo:
        """The segment in numbers, as others see it."""
        index = self.index
        return SegmentInfo(
            base_offset=self.base_offset,
            end_offset=self.end_offset,
            bytes=self.size,
            record_count=index.record_count,
            batch_count=index.batch_count,
            first_timestamp_ms=index.first_timestamp_ms,
            max_timestamp_ms=index.max_timestamp_ms,
            active=self.active,
            index=index.file_state,
            index_bytes=index.memory_bytes,
        )

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
            Suspect: It seems to be.
            StorageError: The disk could not be read.
        """
        limit = self._readable_until(position)
        data = self._pread(min(max(max_bytes, HEADER_BYTES), limit - position), position)
        whole = self._whole_batches(data, position)
        if not whole and len(data) >= HEADER_BYTES:
            batch_bytes, _ = _LENGTH.unpack_from(data)
            data = self._pread(min(batch_bytes, MAX_STORED_BATCH_BYTES, limit - position), position)
            whole = self._whole_batches(data, position)
        if not whole:
            raise Suspect(self, position, FilePosition(min(limit, position + max(max_bytes, HEADER_BYTES))))
        return data[:whole] if whole < len(data) else data

    def read_cached(self, position: FilePosition, max_bytes: int) -> bytes:
        """Do as :meth:`read`, but only for checked bytes in memory: return nothing elsewhere, and at damage."""
        start, end = self.checked.between
        if not start <= position < end:
            return b""
        try:
            limit = min(end, self._readable_until(position))
        except DataLossError:
            return b""
        data = self.store.pread_cached(min(max(max_bytes, HEADER_BYTES), limit - position), position)
        whole = self._whole_batches(data, position) if data else 0
        return data[:whole] if data else b""

    def walk(self, position: FilePosition) -> Iterator[tuple[FilePosition, BatchHeader]]:
        """Yield (position, header) of the batches from ``position`` on, damage left out, up to the durable end.

        Raises:
            Suspect: What comes next does not check out.
            StorageError: The disk could not be read.
        """
        while position < self.size:
            loss = self.loss_at(position)
            if loss is not None:
                position = loss.end_position
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
                raise Suspect(self, position, FilePosition(min(limit, position + _WALK_BYTES)))

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

    def verified(self, position: FilePosition, data: bytes) -> VerifiedBatch:
        """Return the first batch of ``data``, read at ``position``, after checking all of it.

        Raises:
            Suspect: It rotted since it was written or checked.
        """
        try:
            return self._batch(data, 0, position)
        except MalformedBatchError:
            raise Suspect(self, position, FilePosition(position + len(data))) from None

    def find_offset(self, offset: Offset) -> FilePosition:
        """Return the position of the batch that holds ``offset``.

        Raises:
            DataLossError: It is damaged.
            Suspect: Something on the way does not check out.
        """
        loss = self.loss_in(offset, Offset(offset + 1))
        if loss is None:
            for position, header in self.walk(self.entries().before_offset(offset)):
                if header.base_offset <= offset < header.end_offset:
                    return position
                if header.base_offset > offset:
                    break
        raise loss.error() if loss else DataLossError(offset, offset + 1, store_name(self.base_offset))

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
        """Return the index entries: from memory, or from the file.

        Raises:
            Suspect: The file is no good.
        """
        entries = self.index.entries
        if entries is not None:
            return entries
        try:
            path = self.stores.directory / index_name(self.base_offset)
            return self.index.attach(read_all(self.stores.files, path, MAX_INDEX_BYTES, self.index.entries_at))
        except (OSError, MalformedBatchError):
            raise Suspect(self, FilePosition(0), self.size, index=True) from None

    def forget_entries(self) -> None:
        """Let go of the entries where the file has them."""
        if not self.active and not self.losses and self.index.file_state != "missing":
            self.index.entries = None

    def looked_at(self, suspect: Suspect) -> "Segment":
        """Return the segment after a recheck of suspect bytes; itself, if they are whole now.

        Raises:
            StorageError: The disk could not be read.
        """
        if suspect.index:
            scanned = self._scan()
            self.checked.add(0, self.size)
            scanned.index.file_state = "rebuilt"
            return replace(self, index=scanned.index, losses=reconciled(self.losses, scanned.losses))
        found = self.losses_between(suspect.start, suspect.end)
        if not any(loss.end_position > suspect.start for loss in found):
            return self
        return replace(self, losses=with_found(self.losses, found))

    def check_end(self) -> None:
        """Read the last batches: those behind the last entry of the index.

        Raises:
            UnknownFormatError: A later version wrote one.
            StorageError: The store could not be read.
        """
        at, offset = self._place_before(FilePosition(max(0, self.size - 1)))
        for _ in self.placed(at, self.size, offset):
            pass

    def placed(self, start: FilePosition, end: FilePosition, offset: Offset) -> Iterator[Placed]:
        """Yield the whole batches between two positions, from the one of ``offset`` on, up to the first damage.

        Raises:
            StorageError: The store could not be read.
        """
        try:
            for item in walk_store(self.store, self.places, start, offset, length=end, end_offset=offset):
                if isinstance(item, Loss):
                    return
                yield item
        except OSError as exc:
            raise self._unreadable(start, exc) from exc

    def save_index(self) -> None:
        """Write the index file. It is a hint: the log is whole without it, so housekeeping tries again if it fails."""
        try:
            self.write_index()
        except OSError:
            self.index.file_state = "missing"

    def write_index(self) -> None:
        """As :meth:`save_index`.

        Raises:
            OSError: It could not be written.
        """
        if any(not loss.is_behind for loss in self.losses) or self.index.entries is None:
            return  # a store with damage in it is scanned at every start: what can be read again is taken back so
        path = self.stores.directory / index_name(self.base_offset)
        disk.replace(self.stores.files, path, self.index.encode(self.stores.index_key))
        self.index.file_state = "ok" if self.index.file_state == "missing" else self.index.file_state

    def loss_at(self, position: FilePosition) -> Loss | None:
        """Return the loss that ``position`` is in."""
        losses = self.losses
        number = bisect_right(losses, position, key=_start) - 1
        return losses[number] if number >= 0 and position < losses[number].end_position else None

    def loss_in(self, start: Offset, end: Offset) -> Loss | None:
        """Return the first loss in the store with any of the offsets from ``start`` up to ``end``, that one excluded."""
        within = (loss for loss in self.losses if not loss.is_behind)
        return next((loss for loss in within if loss.start_offset < end and start < loss.end_offset), None)

    @property
    def loss_behind(self) -> Loss | None:
        """What was lost from the end of the segment, or is unused there."""
        return self.losses[-1] if self.losses and self.losses[-1].is_behind else None

    def losses_between(self, start: FilePosition, end: FilePosition) -> list[Loss]:
        """Read a stretch again, what was known to be whole included; return the damage in it and right before it.

        Raises:
            Suspect: The index file is no good.
            StorageError: The disk could not be read.
        """
        at, offset = self._place_before(start)
        try:
            found = list(self._walk_losses(at, offset, end))
            if found and found[0].start_position == at != start:
                # The index is older or newer than the store: the bytes before its entry show where batches begin.
                found = list(self._walk_losses(FilePosition(0), self.base_offset, end))
        except OSError as exc:
            raise self._unreadable(start, exc) from exc
        return found

    def _place_before(self, start: FilePosition) -> tuple[FilePosition, Offset]:
        """Return a place at or before ``start`` where a batch begins, and that batch's base offset."""
        at, offset = self.entries().place_before(start, self.base_offset)
        losses = self.losses
        number = bisect_right(losses, start, key=_start)
        loss = losses[number - 1] if number else None
        if loss is not None and at < loss.end_position <= start:
            return loss.end_position, loss.end_offset
        if loss is not None and loss.start_position <= at < loss.end_position:
            return loss.start_position, loss.start_offset
        return at, offset

    def _walk_losses(self, at: FilePosition, offset: Offset, end: FilePosition) -> Iterator[Loss]:
        """Yield the damage from ``at``, where the batch of ``offset`` begins, to the first whole batch behind ``end``."""
        size, end_offset = self.extent
        for item in walk_store(self.store, self.places, at, offset, length=size, end_offset=end_offset):
            if isinstance(item, Loss):
                yield item
            elif item.position >= end:
                return

    def _readable_until(self, position: FilePosition) -> FilePosition:
        """Return where the damage behind ``position`` begins, or the durable end.

        Raises:
            DataLossError: ``position`` is in it.
        """
        losses = self.losses
        number = bisect_right(losses, position, key=_start)
        if number and position < losses[number - 1].end_position:
            raise losses[number - 1].error()
        return min(self.size, losses[number].start_position) if number < len(losses) else self.size

    def _whole_batches(self, data: bytes, position: FilePosition) -> int:
        """Return how many bytes of ``data`` are whole batches, each checked now or before; 0 at damage."""
        start, end = self.checked.between
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
        if at:
            self.checked.add(position, position + at)
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


def _start(loss: Loss) -> FilePosition:
    return loss.start_position


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
