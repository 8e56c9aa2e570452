"""Restores what belongs into gaps: sequences that no reachable node had when their origin continued after them.

A gap reserved the offsets of its sequences (:mod:`proglog.log.losses`). Batches that turn up later are written into a
segment of their own, whose name is their place; what is still missing before and after them remains a gap::

    segment 0     | reserved: 5-14 .................. | segment 10     7-9 turn up
    segment 0     | 5-6 | segment 2: 7-9 | 10-14 .... | segment 10

A run of batches is written once a chain checksum proves that it belongs there: it continues the batch before the gap, or
leads to the batch after it. A run in the middle waits for its neighbours, in memory and bounded; it is written when it
comes a second time without any, since nobody may have them. Runs on the disk thread.

A crash leaves a segment that the file ``lost`` does not know of: opening the log computes what it left of the gap.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import NamedTuple

from proglog.errors import ForkedOriginError, StorageError
from proglog.log.checkpoint import save_losses
from proglog.log.files import FULL, NO_DESCRIPTORS, READ_ONLY, error_words, write_all
from proglog.log.group import control_data, node_name_in
from proglog.log.losses import Loss
from proglog.log.model import DamagedRange, MissingRange
from proglog.log.recovery import create_segment, remove_files, sealed
from proglog.log.segment import Extent, Segment
from proglog.log.snapshot import Snapshot
from proglog.log.state import LogState, described
from proglog.record.batch import (
    NO_PRODUCER,
    VerifiedBatch,
    chain_agrees,
    chain_before,
    read_back,
    stamp_import,
    verify_checksums,
)
from proglog.types import FilePosition, Offset, OriginId, SequenceNumber

MAX_WAITING_BYTES = 64 * 1024 * 1024
"""Most bytes of runs that wait for proof; beyond it, the one that waited longest is dropped."""


class _Run(NamedTuple):
    """Batches of one origin in sequence."""

    origin: OriginId
    batches: list[VerifiedBatch]

    @property
    def start(self) -> SequenceNumber:
        return self.batches[0].header.base_sequence

    @property
    def end(self) -> SequenceNumber:
        return self.batches[-1].header.next_sequence

    @property
    def chain_crc(self) -> int:
        return self.batches[-1].header.chain_crc

    @property
    def bytes(self) -> int:
        return sum(batch.header.batch_bytes for batch in self.batches)


class GapFiller:
    """See the module."""

    def __init__(self, state: LogState, snapshot: Snapshot) -> None:
        """Fill the gaps of one log; restored batches update its derived state."""
        self._state = state
        self._snapshot = snapshot
        self._waiting: dict[OriginId, _Run] = {}

    def missing(self) -> list[MissingRange]:
        """Return the sequences of all gaps."""
        return [MissingRange(*loss.gap[:3]) for loss in self._state.view.gaps() if loss.gap]

    def fill(self, batches: Sequence[VerifiedBatch]) -> list[DamagedRange]:
        """Take batches of gaps, in any order; return the parts of gaps that they filled.

        Raises:
            ForkedOriginError: A batch belongs to another history of its origin.
            StorageError: The disk refused.
            OSError: The snapshot of derived state could not be removed; nothing was written.
        """
        gaps = self._by_origin()
        if not gaps:
            return []
        filled = []
        for run in self._runs(batches, gaps):
            loss = _around(self._by_origin().get(run.origin, ()), run.start)
            if loss is None:
                continue
            ready = run if self._is_proved(loss, run) else self._again(run)
            if ready is None:
                self._wait(run)
                continue
            self._waiting.pop(run.origin, None)
            filled.append(self._put(loss, ready))
        if filled:
            self._state.recount_origins()
            self._snapshot.save()
        return filled

    def _by_origin(self) -> dict[OriginId, list[Loss]]:
        found: dict[OriginId, list[Loss]] = {}
        for loss in self._state.view.gaps():
            if loss.gap is not None:
                found.setdefault(loss.gap.origin, []).append(loss)
        return found

    def _runs(self, batches: Sequence[VerifiedBatch], gaps: Mapping[OriginId, Sequence[Loss]]) -> list[_Run]:
        """Return the batches of gaps as runs, with those that waited for them."""
        runs: list[_Run] = []
        for batch in batches:
            header = batch.header
            held = gaps.get(header.origin)
            if held is None or header.is_gap or _around(held, header.base_sequence) is None:
                continue
            last = runs[-1] if runs and runs[-1].origin == header.origin else self._waiting.get(header.origin)
            if last is not None and last.end == header.base_sequence and chain_agrees(batch, last.chain_crc):
                last.batches.append(batch)
                if not runs or runs[-1] is not last:
                    runs.append(last)
            else:
                runs.append(_Run(header.origin, [batch]))
        return runs

    def _is_proved(self, loss: Loss, run: _Run) -> bool:
        """Return whether a run touches a side of its gap.

        Raises:
            ForkedOriginError: It does not fit there.
        """
        gap = loss.gap
        assert gap is not None
        if run.end > gap.end:
            raise ForkedOriginError(gap.origin, run.start)
        at_start, at_end = run.start == gap.start, run.end == gap.end
        if at_start and gap.chain_before and not chain_agrees(run.batches[0], gap.chain_before):
            raise ForkedOriginError(gap.origin, run.start)
        if at_end and gap.chain_after and run.chain_crc != gap.chain_after:
            raise ForkedOriginError(gap.origin, run.end)
        return at_start or at_end

    def _again(self, run: _Run) -> _Run | None:
        """Return the waiting run that came again; ``None``: this one is new."""
        before = self._waiting.get(run.origin)
        came_again = before is not None and before is not run and before.start == run.start and run.end <= before.end
        return before if came_again else None

    def _wait(self, run: _Run) -> None:
        self._waiting.pop(run.origin, None)
        self._waiting[run.origin] = _Run(run.origin, [_alone(each) for each in run.batches])
        while sum(each.bytes for each in self._waiting.values()) > MAX_WAITING_BYTES:
            del self._waiting[next(iter(self._waiting))]

    def _put(self, loss: Loss, run: _Run) -> DamagedRange:
        """Write a run into a segment of its own, record what is left of the gap, and publish both."""
        state, gap = self._state, loss.gap
        assert gap is not None
        base_offset = Offset(loss.end_offset - (gap.end - run.start))
        self._snapshot.drop()  # it would not cover the restored batches
        segment = self._written(base_offset, loss, run.batches)
        before = loss.before(base_offset, chain_before(run.batches[0]))
        after = loss.after(base_offset, segment.extent, (run.end, run.chain_crc))
        segment = segment.with_losses([after] if after else [])
        front = state.view.segment_at(loss.segment)
        kept = [each for each in front.losses if each is not loss]
        view = state.view.inserted(front.with_losses([*kept, before] if before else kept), segment)
        try:
            state.losses_number += 1
            save_losses(state.files, state.data_dir, state.log_id, view.losses, state.losses_number)
        except OSError as exc:
            remove_files(state.files, state.data_dir, base_offset)
            raise StorageError(f"what is left of a gap cannot be written down: {state.reason(exc)}") from exc
        with state.mutex:
            state.publish(view)
            state.losses_saved = True
        self._derive(segment)
        return described(replace(loss, start_offset=base_offset, end_offset=segment.end_offset))

    def _written(self, base_offset: Offset, loss: Loss, batches: Sequence[VerifiedBatch]) -> Segment:
        """Return the new segment, durable and sealed.

        Raises:
            StorageError: The disk refused, and nothing has changed; or it failed, and the log is poisoned.
        """
        state = self._state
        front, following = state.view.segment_at(loss.segment), state.view.segment_after(loss.segment)
        assert following is not None  # a gap is between two segments
        append_time_ms = front.index.last_append_ms or following.index.last_append_ms
        try:
            segment = create_segment(front.stores, base_offset, state.config.index_interval_bytes)
            file, parts = segment.file, list[bytes | memoryview]()
            assert file is not None
            position, offset = FilePosition(0), base_offset
            for batch in batches:
                mark = segment.places.mark(position)
                stamped = stamp_import(batch, base_offset=offset, append_time_ms=append_time_ms, mark=mark)
                parts += [stamped, batch.payload]
                segment.index.add(read_back(stamped), position, node_name_in(batch))
                position = FilePosition(position + batch.header.batch_bytes)
                offset = Offset(offset + batch.header.record_count)
            write_all(file, parts, FilePosition(0))
            file.sync()
        except OSError as exc:
            if exc.errno in (*FULL, *NO_DESCRIPTORS, *READ_ONLY):
                remove_files(state.files, state.data_dir, base_offset)
                raise StorageError(f"a gap cannot be filled: {state.reason(exc)}") from exc
            raise state.poison(f"filling a gap failed ({error_words(exc)})") from exc
        segment.checked.add(0, position)
        return sealed(replace(segment, extent=Extent(position, offset)))

    def _derive(self, segment: Segment) -> None:
        state, own = self._state, self._state.own_origins()
        for _, batch in segment.placed(FilePosition(0), segment.size, segment.base_offset):
            if batch.header.is_control or batch.header.producer_id != NO_PRODUCER:
                with state.mutex:
                    is_own = batch.header.origin in own
                    state.derived.observe(batch.header, control_data(batch), segment.base_offset, own=is_own)


def _alone(batch: VerifiedBatch) -> VerifiedBatch:
    """Return the batch in memory of its own: what it came in may be much larger."""
    return batch if len(memoryview(batch.data.obj)) == len(batch.data) else verify_checksums(bytes(batch.data))


def _around(gaps: Iterable[Loss], sequence: SequenceNumber) -> Loss | None:
    """Return the gap that holds a sequence; the gaps are of one origin."""
    return next((loss for loss in gaps if loss.gap and loss.gap.start <= sequence < loss.gap.end), None)
