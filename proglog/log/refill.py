"""Putting back what damage took, from copies that others have. The writer's thread.

::

    offered batch --> in a missing range? --> continues the chain? --> kept, in memory, bounded
                       no: ignored             no: refused               |
                                                                         v   all of a damaged range there?
       holes dropped, index saved <-- read back whole <-- synced <-- written in place

Portable part and payload of a batch are the same on every node, so a range is filled to the byte. All that is written
is proved by two chains: it continues the batch before the damage, and leads to the batch after it. A range is a hole
for readers until it is whole again; a crash in the middle leaves bytes that are as damaged as before, or whole batches.

A range whose batches can have stood in one of several ranges is healed together with those.
"""

import threading
from collections import OrderedDict
from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field

from proglog.errors import DataLossError, ForkedOriginError, LogFullError, NotFoundError, StorageError
from proglog.log import reading
from proglog.log.damage import Damage, Lack, Stretch, Stretches, Survey, join, signature, survey
from proglog.log.files import FULL, Buffer, File, error_words, write_all
from proglog.log.group import control_data
from proglog.log.interleave import Missing, Room, interleave
from proglog.log.model import DamagedRange, MissingRange
from proglog.log.scan import read_around
from proglog.log.segment import Segment
from proglog.log.snapshot import Snapshot
from proglog.log.state import LogState
from proglog.log.store import index_name, store_name
from proglog.record.batch import NO_PRODUCER, VerifiedBatch, chain_agrees, stamp_import, verify_checksums
from proglog.types import FilePosition, Offset, SequenceNumber

_WIPE_BYTES = 1024 * 1024
MAX_REFILL_BYTES = 64 * 1024 * 1024
"""Most bytes of batches kept until their range is complete. More are written as they come where their place is known."""


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
    """Where those end that were written already: the range has no others, so there is no question of their order."""

    @property
    def complete(self) -> bool:
        return self.next_sequence == self.missing.end


@dataclass(slots=True)
class _Filling:
    """What goes into one damaged range."""

    damage: Damage
    batches: Sequence[VerifiedBatch]
    start: tuple[FilePosition, Offset]
    """Where they go: the start of the range, or behind what was written of it before."""
    end: tuple[FilePosition, Offset] = (FilePosition(0), Offset(0))
    """Where they end, once they are written."""
    is_all: bool = True
    """Whether nothing follows them: what is left of the range is wiped, or a block that can be read again would bring
    back what was imported anew meanwhile."""


class Refiller:
    """See the module."""

    def __init__(self, state: LogState, snapshot: Snapshot) -> None:
        """Look after the damage of one log; what is derived from it learns of what comes back."""
        self._state = state
        self._snapshot = snapshot
        self._surveyed: tuple[object, Survey] = ((), Survey())
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
            OSError: The snapshot of what is derived could not be removed; nothing was written.
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
        marks = signature(self._state)
        if not marks:
            return Survey()
        with self._mutex:  # a reader's thread asks what is missing, the writer's puts it back
            while self._surveyed[0] != marks:
                self._surveyed = (marks, survey(self._state, self._stretches))
                marks = signature(self._state)  # the survey itself may come upon more
            return self._surveyed[1]

    # Taking candidates

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
            at = reading.seek_sequence(state, missing.origin, missing.end)
            following = verify_checksums(reading.read(state, at, 1).data)
        except (NotFoundError, DataLossError):
            return None  # damaged by now, too: the next survey has that
        return following.header.is_gap or chain_agrees(following, chain_crc)

    def _keep_within_bounds(self, found: Survey) -> None:
        """Let go of the candidates that were looked at least recently while there are too many."""
        limit = MAX_REFILL_BYTES
        if all(damage.end_position is not None for damage in found.damages):
            limit = min(limit, sum(damage.stored_end - damage.start_position for damage in found.damages))
        while sum(each.bytes for each in self._candidates.values()) > limit:
            self._candidates.popitem(last=False)

    # Healing

    def _heal(self, found: Survey) -> list[DamagedRange]:
        """Put back all that is complete; return what is whole now."""
        fillings = [filling for group in _together(found.lacks) for filling in self._fill(found, *group)]
        if not fillings:
            return []
        self._prepare([filling.damage.segment for filling in fillings])
        for filling in fillings:
            self._write(filling)
        healed = [filling.damage for filling in fillings if self._take_back(filling)]
        self._state.recount_origins()
        self._snapshot.save()
        return [_described(damage) for damage in healed]

    def _prepare(self, segments: Iterable[Segment]) -> None:
        """Remove what would not cover what comes back, durably, before it is written."""
        self._snapshot.drop()
        self._drop_indexes(segments)

    def _write_ahead(self, damage: Damage, held: _Candidates) -> None:
        """Write what a range holds so far, to keep its bytes no longer. It is a hole until all of it is proved."""
        start = held.written or (damage.start_position, damage.start_offset)
        if not _has_room(damage, held.batches, start):
            raise ForkedOriginError(held.missing.origin, held.missing.start)
        if held.written is None:
            self._prepare([damage.segment])
        filling = _Filling(damage, held.batches, start, is_all=False)
        self._write(filling)
        held.written, held.batches = filling.end, []
        held.bytes = sum(batch.header.batch_bytes for batch in held.waiting.values())

    def _drop_indexes(self, segments: Iterable[Segment]) -> None:
        """Remove the index files, durably: batches may come back in another order than they say."""
        files, directory = self._state.files, self._state.data_dir
        for segment in {segment.base_offset: segment for segment in segments}.values():
            if not segment.active:
                segment.entries()  # into memory first
            with suppress(FileNotFoundError):
                files.unlink(directory / index_name(segment.base_offset))
                files.sync_dir(directory)

    def _fill(self, found: Survey, first: int, end: int) -> list[_Filling]:
        """Return what goes into the damaged ranges ``[first, end)``; nothing if that is not all there, or does not fit."""
        lacks = [lack for lack in found.lacks if first <= lack.first < end]
        held = [self._candidates.get(lack.missing) for lack in lacks]
        if not all(each is not None and each.complete for each in held):
            return []
        complete = [self._candidates.pop(lack.missing) for lack in lacks]
        damages = found.damages[first:end]
        if len(complete) == len(damages) == 1:
            (damage,), (only,) = damages, complete
            start = only.written or (damage.start_position, damage.start_offset)
            return [_Filling(damage, only.batches, start)] if _has_room(damage, only.batches, start) else []
        fitting = interleave(
            [_room(damage) for damage in damages],
            [
                Missing(each.batches, lack.first - first, lack.end - first)
                for lack, each in zip(lacks, complete, strict=True)
            ],
        )
        if fitting is None and len(damages) == 1:
            # Ends of other origins were there, too: they are imported anew. What is missing is put in front.
            batches, start = (
                [batch for each in complete for batch in each.batches],
                (
                    damages[0].start_position,
                    damages[0].start_offset,
                ),
            )
            return [_Filling(damages[0], batches, start)] if _has_room(damages[0], batches, start) else []
        if fitting is None:
            return []
        return [
            _Filling(damage, put, (damage.start_position, damage.start_offset))
            for damage, put in zip(damages, fitting, strict=True)
        ]

    def _take_back(self, filling: _Filling) -> bool:
        """Have the segment serve what was written, and derive from it what follows; return whether it reads back."""
        state, damage, segment = self._state, filling.damage, filling.damage.segment
        start, (end, end_offset) = damage.start_position, filling.end
        if not segment.take_back(start, end, damage.start_offset, end_offset):
            state.recovery.notes.append(f"{store_name(segment.base_offset)}: a refill did not read back")
            return False
        state.indexes.use(segment)
        own, came = state.own_origins(), Stretch(start)
        for position, batch in segment.placed(start, end, damage.start_offset):
            came.add(batch.header, FilePosition(position + batch.header.batch_bytes))
            if batch.header.is_control or batch.header.producer_id != NO_PRODUCER:
                with state.mutex:
                    is_own = batch.header.origin in own
                    state.derived.observe(batch.header, control_data(batch), segment.base_offset, own=is_own)
        with self._mutex:
            whole = end_offset == damage.end_offset and end >= damage.stored_end
            join(self._stretches, segment, start, damage.stored_end if whole else end, came)
        return True

    def _write(self, filling: _Filling) -> None:
        """Write batches over the damage, durably."""
        state, damage, segment = self._state, filling.damage, filling.damage.segment
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
                while filling.is_all and position < damage.stored_end:
                    position = FilePosition(
                        write_all(file, [bytes(min(_WIPE_BYTES, damage.stored_end - position))], position)
                    )
                file.sync()
            finally:
                self._close(file, segment.file)
        except OSError as exc:
            if exc.errno in FULL:  # only where a store that was cut grows again: as damaged as before
                raise LogFullError(f"batches cannot be put back: {state.reason(exc)}") from exc
            raise state.poison(f"putting back batches failed ({error_words(exc)})") from exc

    def _close(self, file: File, active: File | None) -> None:
        if file is not active:
            file.close()


def _is_alone(found: Survey, lack: Lack) -> bool:
    """Return whether a lack is of one range, and the only one there."""
    return lack.end - lack.first == 1 and all(
        each is lack or each.end <= lack.first or lack.end <= each.first for each in found.lacks
    )


def _ends_at(batches: Sequence[VerifiedBatch], start: tuple[FilePosition, Offset]) -> tuple[int, int]:
    size = sum(batch.header.batch_bytes for batch in batches)
    return start[0] + size, start[1] + sum(batch.header.record_count for batch in batches)


def _has_room(damage: Damage, batches: Sequence[VerifiedBatch], start: tuple[FilePosition, Offset]) -> bool:
    """Return whether batches fill a range from ``start`` on, or the first part of it."""
    end, offset = _ends_at(batches, start)
    if damage.end_position is not None and (end > damage.end_position or offset > damage.end_offset):
        return False
    return offset == damage.end_offset or (offset < damage.end_offset and end != damage.end_position)


def _together(lacks: Sequence[Lack]) -> list[tuple[int, int]]:
    """Return the ranges of damage numbers that have to be filled together: whose lacks overlap."""
    groups: list[tuple[int, int]] = []
    for first, end in sorted((lack.first, lack.end) for lack in lacks):
        if groups and first < groups[-1][1]:
            groups[-1] = (groups[-1][0], max(groups[-1][1], end))
        else:
            groups.append((first, end))
    return groups


def _room(damage: Damage) -> Room:
    start, stored_end = damage.start_position, damage.stored_end
    try:
        standing, _ = read_around(damage.segment.store, stored_end - start, start)
    except OSError as exc:
        raise StorageError(f"reading {store_name(damage.segment.base_offset)}: {exc.strerror or exc}") from exc
    size = None if damage.end_position is None else stored_end - start
    return Room(size, damage.end_offset - damage.start_offset, standing)


def _described(damage: Damage) -> DamagedRange:
    where = f"{store_name(damage.segment.base_offset)}, byte {damage.start_position}"
    return DamagedRange(damage.start_offset, damage.end_offset, where)
