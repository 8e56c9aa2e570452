"""Restores batches lost to damage from other nodes' copies. On the writer's thread.

::

    offered batch --> in a missing range? --> continues the chain? --> kept, in memory, bounded
                       no: ignored             no: refused               |
                                                                         v   all of a damaged range there?
       holes dropped, index saved <-- read back whole <-- synced <-- written in place

Portable part and payload of a batch are the same on every node, so a range is filled to the byte. Two chains prove
everything written: it continues the batch before the damage, and leads to the batch after it. A range is a hole for
readers until it is complete; a crash in the middle leaves bytes as damaged as before, or whole batches.

Ranges that may hold each other's batches are healed together.
"""

import threading
from collections import OrderedDict
from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace

from proglog.errors import DataLossError, ForkedOriginError, LogFullError, NotFoundError, StorageError
from proglog.log import reading
from proglog.log.damage import Damage, Lack, Stretch, Stretches, Survey, join, survey
from proglog.log.files import FULL, Buffer, File, error_words, write_all
from proglog.log.group import control_data, node_name_in
from proglog.log.index import SegmentIndex
from proglog.log.interleave import Missing, Room, interleave
from proglog.log.losses import Loss, in_order
from proglog.log.model import DamagedRange, MissingRange
from proglog.log.reading import with_entries
from proglog.log.scan import read_around
from proglog.log.segment import Extent, Segment
from proglog.log.small_files import SmallFiles
from proglog.log.snapshot import Snapshot
from proglog.log.state import LogState, described
from proglog.log.store import index_name, store_name
from proglog.record.batch import NO_PRODUCER, VerifiedBatch, chain_agrees, stamp_import, verify_checksums
from proglog.types import FilePosition, Offset, SequenceNumber

_WIPE_BYTES = 1024 * 1024
MAX_REFILL_BYTES = 64 * 1024 * 1024
"""Most bytes of candidates kept until their range is complete. Beyond it, batches with a known place are written at once."""


@dataclass(slots=True)
class _Candidates:
    """Batches of one missing range: those that continue the chain from its start, and those that wait for one before."""

    missing: MissingRange
    next_sequence: SequenceNumber
    chain_crc: int
    batches: list[VerifiedBatch] = field(default_factory=list)
    waiting: dict[SequenceNumber, VerifiedBatch] = field(default_factory=dict)
    bytes: int = 0
    written: tuple[FilePosition, Offset] | None = None
    """End of the batches already written: the range has no other origins, so their order is certain."""

    @property
    def complete(self) -> bool:
        return self.next_sequence == self.missing.end


@dataclass(slots=True)
class _Filling:
    """The batches for one damaged range."""

    damage: Damage
    batches: Sequence[VerifiedBatch]
    start: tuple[FilePosition, Offset]
    """Where they are written: at the start of the range, or after its earlier writes."""
    end: tuple[FilePosition, Offset] = (FilePosition(0), Offset(0))
    """Where they end."""
    is_all: bool = True
    """Whether nothing follows them: then the rest of the range is wiped, or a block that becomes readable would bring
    back batches imported again meanwhile."""


class Refiller:
    """See the module."""

    def __init__(self, state: LogState, snapshot: Snapshot, small_files: SmallFiles) -> None:
        """Heal the damage of one log; restored batches update its derived state."""
        self._small_files = small_files
        self._state = state
        self._snapshot = snapshot
        self._surveyed = Survey()
        self._stretches: Stretches = {}
        self._mutex = threading.Lock()
        self._candidates: OrderedDict[MissingRange, _Candidates] = OrderedDict()

    def missing(self) -> list[MissingRange]:
        """See :meth:`proglog.log.log.Log.missing`."""
        return [lack.missing for lack in self._survey().lacks]

    def refill(self, batches: Sequence[VerifiedBatch]) -> list[DamagedRange]:
        """Take candidates; return the ranges that are whole now.

        Raises:
            ForkedOriginError: A candidate does not continue the history that is here.
            StorageError: The disk refused.
            OSError: The snapshot of derived state could not be removed; nothing was written.
        """
        found = self._survey()
        current = {lack.missing for lack in found.lacks}
        for missing in [each for each in self._candidates if each not in current]:
            del self._candidates[missing]
        refused: ForkedOriginError | None = None
        for batch in batches:
            try:
                self._take(found, batch)
            except ForkedOriginError as exc:
                refused = refused or exc
        if refused is not None:
            raise refused
        return self._heal(found)

    def _survey(self) -> Survey:
        with self._mutex:  # a reader's thread asks what is missing, the writer's puts it back
            while self._surveyed.losses is not self._state.view.losses:
                self._surveyed = survey(self._state, self._stretches)  # the survey may find more
            return self._surveyed

    # Accepting candidates

    def _take(self, found: Survey, batch: VerifiedBatch) -> None:
        header = batch.header
        for lack in found.by_origin.get(header.origin, ()):
            origin, start, end = lack.missing
            if start < header.next_sequence and header.base_sequence < end:
                break
        else:
            return  # whole here already, or not here yet: an import
        if header.base_sequence < start or header.next_sequence > end:
            raise ForkedOriginError(origin, header.base_sequence)
        held = self._candidates.get(lack.missing)
        if held is None:
            held = self._candidates[lack.missing] = _Candidates(lack.missing, start, lack.chain_before)
        self._candidates.move_to_end(lack.missing)
        if header.base_sequence < held.next_sequence or header.base_sequence in held.waiting:
            return
        # A copy: what it came in may be much larger.
        held.waiting[header.base_sequence] = verify_checksums(bytes(batch.data))
        held.bytes += header.batch_bytes
        self._advance(held)
        if held.bytes > MAX_REFILL_BYTES and held.batches and _is_alone(found, lack):
            self._write_ahead(found.damages[lack.first], held)
        self._keep_within_bounds(found)

    def _advance(self, held: _Candidates) -> None:
        """Move batches from the waiting ones as far as the chain is proved."""
        missing = held.missing
        while (batch := held.waiting.pop(held.next_sequence, None)) is not None:
            # 0: what was before is gone, with the file that recorded it; then the batch after the range proves it.
            if held.chain_crc and not batch.header.is_gap and not chain_agrees(batch, held.chain_crc):
                held.bytes -= batch.header.batch_bytes
                raise ForkedOriginError(missing.origin, held.next_sequence)
            held.batches.append(batch)
            held.next_sequence, held.chain_crc = batch.header.next_sequence, batch.header.chain_crc
        if not held.complete:
            return
        leads_on = self._leads_on(missing, held.chain_crc)
        if not leads_on:
            self._candidates.pop(missing, None)
        if leads_on is False:
            raise ForkedOriginError(missing.origin, missing.end)

    def _leads_on(self, missing: MissingRange, chain_crc: int) -> bool | None:
        """Return whether the origin's history after the damage continues ``chain_crc``; ``None``: not known now."""
        state = self._state
        held = state.origins[missing.origin]
        if held.next_sequence == missing.end:
            return held.chain_crc == chain_crc
        try:
            following = reading.batch_at(state, reading.seek_sequence(state, missing.origin, missing.end))
            assert following is not None  # it was found
        except (NotFoundError, DataLossError):
            return None  # damaged by now as well: the next survey includes it
        return following.header.is_gap or chain_agrees(following, chain_crc)

    def _keep_within_bounds(self, found: Survey) -> None:
        """Evict the least recently used candidates while there are too many."""
        limit = MAX_REFILL_BYTES
        if not any(damage.is_open_ended for damage in found.damages):
            limit = min(limit, sum(each.loss.end_position - each.loss.start_position for each in found.damages))
        while sum(each.bytes for each in self._candidates.values()) > limit:
            self._candidates.popitem(last=False)

    # Healing

    def _heal(self, found: Survey) -> list[DamagedRange]:
        """Restore all complete ranges; return those that are whole now."""
        fillings = [filling for group in _together(found.lacks) for filling in self._fill(found, *group)]
        if not fillings:
            return []
        self._prepare({filling.damage.loss.segment for filling in fillings})
        for filling in fillings:
            self._write(filling)
        healed = [filling.damage.loss for filling in fillings if self._take_back(filling)]
        self._state.recount_origins()
        self._small_files.save_losses()
        for base_offset in {loss.segment for loss in healed}:
            self._state.view.segment_at(base_offset).save_index()
        self._snapshot.save()
        return [described(loss) for loss in healed]

    def _prepare(self, bases: Iterable[Offset]) -> None:
        """Remove the snapshot durably before the write, since it would not cover the restored batches."""
        self._snapshot.drop()
        self._drop_indexes(bases)

    def _write_ahead(self, damage: Damage, held: _Candidates) -> None:
        """Write the candidates of a range so far, to free their memory. It is a hole until all of it is proved."""
        start = held.written or _start_of(damage)
        if not _has_room(damage, held.batches, start):
            raise ForkedOriginError(held.missing.origin, held.missing.start)
        if held.written is None:
            self._prepare([damage.loss.segment])
        filling = _Filling(damage, held.batches, start, is_all=False)
        self._write(filling)
        held.written, held.batches = filling.end, []
        held.bytes = sum(batch.header.batch_bytes for batch in held.waiting.values())

    def _drop_indexes(self, bases: Iterable[Offset]) -> None:
        """Remove the index files, durably: restored batches may be in another order."""
        state = self._state
        for base_offset in bases:
            if state.active.base_offset != base_offset:
                with_entries(state, base_offset)  # into memory first
            with suppress(FileNotFoundError):
                state.files.unlink(state.data_dir / index_name(base_offset))
                state.files.sync_dir(state.data_dir)

    def _fill(self, found: Survey, first: int, end: int) -> list[_Filling]:
        """Return the fills of the damaged ranges ``[first, end)``; none if batches are missing or do not fit."""
        lacks = [lack for lack in found.lacks if first <= lack.first < end]
        held = [self._candidates.get(lack.missing) for lack in lacks]
        if not all(each is not None and each.complete for each in held):
            return []
        complete = [self._candidates.pop(lack.missing) for lack in lacks]
        damages = found.damages[first:end]
        if len(complete) == len(damages) == 1:
            (damage,), (only,) = damages, complete
            start = only.written or _start_of(damage)
            return [_Filling(damage, only.batches, start)] if _has_room(damage, only.batches, start) else []
        fitting = interleave(
            [self._room(damage) for damage in damages],
            [
                Missing(each.batches, lack.first - first, lack.end - first)
                for lack, each in zip(lacks, complete, strict=True)
            ],
        )
        if fitting is None and len(damages) == 1:
            # The range also held ends of other origins: they are imported again. The missing batches go in front.
            batches, start = [batch for each in complete for batch in each.batches], _start_of(damages[0])
            return [_Filling(damages[0], batches, start)] if _has_room(damages[0], batches, start) else []
        if fitting is None:
            return []
        return [_Filling(damage, put, _start_of(damage)) for damage, put in zip(damages, fitting, strict=True)]

    def _take_back(self, filling: _Filling) -> bool:
        """Publish the refilled segment and update derived state; return whether the refill reads back."""
        state, loss = self._state, filling.damage.loss
        start, (end, end_offset) = loss.start_position, filling.end
        segment = with_entries(state, loss.segment)
        taken = _taken_back(segment, loss, end, end_offset) if loss in segment.losses else None
        if taken is None:
            state.recovery.notes.append(f"{store_name(loss.segment)}: a refill did not read back")
            return False
        with state.mutex:
            state.put(taken)
        state.indexes.use(taken)
        own, came = state.own_origins(), Stretch(start)
        for position, batch in taken.placed(start, end, loss.start_offset):
            came.add(batch.header, FilePosition(position + batch.header.batch_bytes))
            if batch.header.is_control or batch.header.producer_id != NO_PRODUCER:
                with state.mutex:
                    is_own = batch.header.origin in own
                    state.derived.observe(batch.header, control_data(batch), loss.segment, own=is_own)
        with self._mutex:
            whole = end_offset == loss.end_offset and end >= loss.end_position
            join(self._stretches, loss.segment, start, loss.end_position if whole else end, came)
        return True

    def _write(self, filling: _Filling) -> None:
        """Write batches over the damage, durably."""
        state, damage = self._state, filling.damage
        loss, segment = damage.loss, state.view.segment_at(damage.loss.segment)
        parts: list[Buffer] = []
        position, offset = filling.start
        for batch in filling.batches:
            mark = segment.places.mark(position)
            parts += [
                stamp_import(batch, base_offset=offset, append_time_ms=damage.append_time_ms, mark=mark),
                batch.payload,
            ]
            offset = Offset(offset + batch.header.record_count)
            position = FilePosition(position + batch.header.batch_bytes)
        filling.end = position, offset
        # Not to be able to open a file, for want of descriptors say, leaves it as it was.
        file = segment.file or state.files.open(state.data_dir / store_name(segment.base_offset), write=True)
        try:
            try:
                write_all(file, parts, filling.start[0])
                while filling.is_all and position < loss.end_position:
                    position = FilePosition(
                        write_all(file, [bytes(min(_WIPE_BYTES, loss.end_position - position))], position)
                    )
                file.sync()
            finally:
                self._close(file, segment.file)
        except OSError as exc:
            if exc.errno in FULL:  # only where a store that was cut grows again: as damaged as before
                raise LogFullError(f"batches cannot be put back: {state.reason(exc)}") from exc
            raise state.poison(f"putting back batches failed ({error_words(exc)})") from exc

    def _room(self, damage: Damage) -> Room:
        loss = damage.loss
        size = loss.end_position - loss.start_position
        try:
            standing, _ = read_around(self._state.view.segment_at(loss.segment).store, size, loss.start_position)
        except OSError as exc:
            raise StorageError(f"reading {store_name(loss.segment)}: {exc.strerror or exc}") from exc
        return Room(None if damage.is_open_ended else size, loss.end_offset - loss.start_offset, standing)

    def _close(self, file: File, active: File | None) -> None:
        if file is not active:
            file.close()


def _taken_back(segment: Segment, loss: Loss, end: FilePosition, end_offset: Offset) -> Segment | None:
    """Return the segment that serves the refill of a loss; ``None`` if it does not read back.

    Args:
        segment: As it was, with the entries of its index in memory.
        loss: One of its losses.
        end: Where what was written ends.
        end_offset: One past the last record of it.

    Raises:
        StorageError: The store could not be read.
    """
    start = loss.start_position
    part = SegmentIndex(segment.base_offset, segment.index.interval_bytes)
    part.end_offset, part.store_bytes = loss.start_offset, start
    for position, batch in segment.placed(start, end, loss.start_offset):
        part.add(batch.header, position, node_name_in(batch))
    if (part.end_offset, part.store_bytes) != (end_offset, end):
        return None
    size, last = segment.extent
    kept = [each for each in segment.losses if each != loss]
    if end < loss.end_position:
        kept.append(replace(loss, start_position=end, start_offset=end_offset))
    elif end_offset < loss.end_offset:  # at the end of the store: what is left is behind it
        kept.append(replace(loss, start_position=end, end_position=end, start_offset=end_offset))
        size, last = end, end_offset
    index = segment.index.put_back(part, start, loss.end_position, counted=loss.counted)
    extent = Extent(max(size, end), max(last, end_offset))
    index.store_bytes, index.end_offset = extent
    if not segment.active:
        index.file_state = "rebuilt"
    return replace(segment, index=index, extent=extent, losses=in_order(kept))


def _is_alone(found: Survey, lack: Lack) -> bool:
    """Return whether a lack is of one range, and the only one there."""
    return lack.end - lack.first == 1 and all(
        each is lack or each.end <= lack.first or lack.end <= each.first for each in found.lacks
    )


def _ends_at(batches: Sequence[VerifiedBatch], start: tuple[FilePosition, Offset]) -> tuple[int, int]:
    size = sum(batch.header.batch_bytes for batch in batches)
    return start[0] + size, start[1] + sum(batch.header.record_count for batch in batches)


def _start_of(damage: Damage) -> tuple[FilePosition, Offset]:
    return damage.loss.start_position, damage.loss.start_offset


def _has_room(damage: Damage, batches: Sequence[VerifiedBatch], start: tuple[FilePosition, Offset]) -> bool:
    """Return whether batches fill a range from ``start`` on, or the first part of it."""
    end, offset = _ends_at(batches, start)
    loss = damage.loss
    if not damage.is_open_ended and (end > loss.end_position or offset > loss.end_offset):
        return False
    return offset == loss.end_offset or (
        offset < loss.end_offset and (damage.is_open_ended or end != loss.end_position)
    )


def _together(lacks: Sequence[Lack]) -> list[tuple[int, int]]:
    """Return the ranges of damage numbers that have to be filled together: whose lacks overlap."""
    groups: list[tuple[int, int]] = []
    for first, end in sorted((lack.first, lack.end) for lack in lacks):
        if groups and first < groups[-1][1]:
            groups[-1] = (groups[-1][0], max(groups[-1][1], end))
        else:
            groups.append((first, end))
    return groups
