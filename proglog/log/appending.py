"""The append path: stamp, write with one call, sync once, only then publish to readers; roll when a segment is full.

One thread. A group that does not fit into the active segment is split at the roll. A write that the disk refuses is
rolled back, or poisons the log: see :mod:`proglog.log.state`.
"""

from collections.abc import Sequence
from dataclasses import replace
from errno import EFBIG

from proglog.errors import LogFullError, StorageError
from proglog.log import losses
from proglog.log.checkpoint import save_losses
from proglog.log.config import FsyncPolicy
from proglog.log.derived_state import Anchor
from proglog.log.files import FULL, NO_DESCRIPTORS, READ_ONLY, error_words, write_all
from proglog.log.group import Group
from proglog.log.model import Append, Appended, Duplicate, ImportAppend, Outcome
from proglog.log.recovery import create_segment, remove_files, sealed
from proglog.log.retention import append_time
from proglog.log.segment import Extent, Segment
from proglog.log.snapshot import Snapshot
from proglog.log.state import LogState
from proglog.log.store import store_name
from proglog.record.batch import VerifiedBatch, chain_before, chain_start
from proglog.replication.holes import Over
from proglog.replication.progress import FIRST_SEQUENCE, Progress
from proglog.types import MAX_ORDINAL, FilePosition, Offset

MAX_RESERVED = 1 << 40
"""Most sequences of one gap: what a peer claims must not use up a log's offsets."""


class Appender:
    """Writes to the active segment of a log."""

    def __init__(self, state: LogState, snapshot: Snapshot) -> None:
        """Append at the end of ``state``; save the snapshot of derived state at each roll."""
        self.unsynced = False
        """Whether there are unsynced writes: only under the policies that allow them."""
        self.sync_seconds = 0.0
        """How long the last sync of a group took."""
        self._state = state
        self._snapshot = snapshot

    def append(self, appends: Sequence[Append]) -> list[Outcome]:
        """See :meth:`proglog.log.log.Log.append`."""
        outcomes: list[Outcome] = []
        group, most = self._begin_group(), self._state.max_segment_bytes
        for append in appends:
            if isinstance(append, ImportAppend) and append.over is not None:
                self._commit(group, outcomes)
                try:
                    self.reserve(append.batch, append.over)
                except StorageError as exc:
                    outcomes.append(exc)
                    group = self._begin_group()
                    continue
                group = self._begin_group()
            if not self._has_room(group, append.batch, most):
                self._commit(group, outcomes)
                group = self._begin_group()
                if not self._has_room(group, append.batch, most):  # after a refused group there may be room again
                    self._roll()
                    group, most = self._begin_group(), self._state.max_segment_bytes
            outcomes.append(self._state.refusal() or group.add(append))
        self._commit(group, outcomes)
        return outcomes

    def sync(self) -> None:
        """Make everything appended durable."""
        state = self._state
        if self.unsynced and state.working:
            try:
                file = state.active.file
                assert file is not None  # the last segment is the active one
                with state.in_step("sync"):
                    file.sync()
            except OSError as exc:
                state.poison(f"a sync failed ({error_words(exc)})")
            else:
                self.unsynced = False

    def _begin_group(self) -> Group:
        state = self._state
        return Group(
            local_origin=state.origin,
            key=state.origin_key,
            origins=state.origins,
            places=state.active.places,
            position=state.active.size,
            end_offset=state.active.end_offset,
            append_time_ms=append_time(state.now_ms(), state.last_append_ms),
            producers=state.derived.producers,
            hidden_until=state.hidden_until(),
        )

    def _has_room(self, group: Group, batch: VerifiedBatch, most: int) -> bool:
        """Return whether the active segment has room for the batch. One without records takes any while it is small."""
        active = self._state.active
        size = active.size + group.bytes
        if size + batch.header.batch_bytes <= most:
            return True
        return self._grows_on() and not any(each.header.record_count for each in group.stamped)

    def _grows_on(self) -> bool:
        """Return whether the active segment is too young to be sealed: without records, and small."""
        active = self._state.active
        return not active.index.record_count and active.size <= self._state.max_segment_bytes // 2

    def set_aside(self, count: int, origins: losses.Ends, why: str) -> losses.Loss:
        """Close the active segment, and leave offsets unused behind it, for records that may still come.

        Their loss is recorded durably before anything is appended behind it. A refill restores the records there by
        lengthening the store; if they arrive some other way, the loss is void once the log reaches ``origins``.

        Args:
            count: Number of offsets.
            origins: The next sequence of each origin after the missing records; empty if unknown.
            why: In words, for operators.

        Raises:
            StorageError: The disk refused; nothing has changed.
        """
        state, active = self._state, self._state.active
        end = Offset(active.end_offset + count)
        lost = losses.behind(active.base_offset, active.size, active.end_offset, end, origins)
        lost = replace(lost, detail=why, found_ms=state.now_ms())
        self._begin_segment(lost)
        if state.active.base_offset != end:
            raise state.refusal() or StorageError("a new segment cannot be begun")
        return lost

    def reserve(self, batch: VerifiedBatch, over: Over) -> None:
        """Reserve the offsets of the sequences missing before ``batch``, durably: the origin continues after a gap.

        Nothing happens if none are missing.

        Raises:
            StorageError: The disk refused, or there are more than a log has offsets for; nothing has changed.
        """
        state, active, header = self._state, self._state.active, batch.header
        held = state.origins.get(header.origin)
        start = held.next_sequence if held else FIRST_SEQUENCE
        count = header.base_sequence - start
        if count <= 0 or header.origin == state.origin:
            return
        if count > MAX_RESERVED or active.end_offset + count > MAX_ORDINAL // 2:
            raise StorageError(
                f"{count:,} sequences are missing before a batch: a log reserves at most {MAX_RESERVED:,}"
            )
        chain_crc = held.chain_crc if held else chain_start(header.origin)
        gap = losses.Gap(header.origin, start, header.base_sequence, chain_crc, chain_before(batch))
        # A segment without records would share its name with a part that is restored: it leaves one offset more.
        spare = int(active.end_offset == active.base_offset)
        end = Offset(active.end_offset + count + spare)
        lost = losses.behind(active.base_offset, active.size, active.end_offset, end)
        detail = f"origin {header.origin.hex()[:8]}: {over.reason}"
        lost = replace(lost, detail=detail, found_ms=state.now_ms(), gap=gap, void=over.removed)
        self._begin_segment(lost)
        if state.active.base_offset != end:
            raise state.refusal() or StorageError("a new segment cannot be begun")
        before = held or Progress(header.origin, start)
        reached = replace(before, next_sequence=gap.end, chain_crc=gap.chain_after)
        with state.mutex:
            state.publish(replace(state.view, origins=state.view.origins.moved([reached])))
            state.place_holes([header.origin])

    def _roll(self) -> None:
        """Seal the active segment and start the next one, named by its first offset.

        A segment without records would share its name with the next one, so that one starts an offset later.
        """
        active = self._state.active
        if self._grows_on():
            return
        end = active.end_offset
        if end != active.base_offset:
            self._begin_segment(None)
            return
        unused = losses.behind(active.base_offset, active.size, end, Offset(end + 1))
        self._begin_segment(replace(unused, void=True, found_ms=self._state.now_ms()))

    def _begin_segment(self, behind: losses.Loss | None) -> None:
        """Seal the active segment, with the loss recorded behind it, and start the next one."""
        state, active = self._state, self._state.active
        base_offset = behind.end_offset if behind else active.end_offset
        if state.refusal() is None:
            self.sync()
        if state.refusal() is not None:
            return
        try:
            if behind is not None:  # if the roll then fails, it has no effect
                active = active.with_losses([*active.losses, behind])
                state.losses_number += 1
                lost = [*state.view.losses, behind]
                save_losses(state.files, state.data_dir, state.log_id, lost, state.losses_number)
            segment = create_segment(active.stores, base_offset, state.config.index_interval_bytes)
        except OSError as exc:
            # Without room for a new segment the active one keeps growing: its own write will fail on the full disk.
            # A process without free descriptors loses nothing by rolling later either.
            refused = exc.errno in (*FULL, *NO_DESCRIPTORS, *READ_ONLY)
            if not refused or not self._undo_roll(base_offset):
                state.poison(f"a segment could not be begun ({error_words(exc)})")
            else:
                state.problems.report("roll", f"a new segment cannot be begun: {state.reason(exc)}")
            return
        state.problems.clear("roll")
        with state.mutex:
            state.publish(state.view.rolled(sealed(active), segment))
        self._snapshot.save()

    def _undo_roll(self, base_offset: Offset) -> bool:
        """Return whether the half-made segment is gone: otherwise it would begin before the active one ends."""
        state = self._state
        try:
            try:
                remove_files(state.files, state.data_dir, base_offset)
            except OSError:
                return store_name(base_offset) not in state.files.names(state.data_dir)
            state.files.sync_dir(state.data_dir)
        except OSError:
            return False
        return True

    def _commit(self, group: Group, outcomes: list[Outcome]) -> None:
        """Write and sync ``group`` and publish it to readers; on failure, replace its outcomes with the error."""
        if not group.stamped:
            return
        state, segment = self._state, self._state.active
        failure = self._write(segment, group)
        if failure is not None:
            hopes = {each.result for each in group.stamped}
            outcomes[:] = [failure if _append_behind(outcome) in hopes else outcome for outcome in outcomes]
            return
        start = position = segment.size
        for each in group.stamped:
            segment.index.add(each.header, position, each.node_name)
            position = FilePosition(position + each.header.batch_bytes)
        segment.checked.add(start, position)
        with state.mutex:
            self._derive(group, segment, position)
            extent = Extent(position, group.stamped[-1].header.end_offset)
            state.publish(state.view.appended(extent, group.origins().values()))
            gaps = {each.header.origin for each in group.informative if each.header.is_gap}
            if gaps:
                state.place_holes(gaps)
        state.last_append_ms = group.append_time_ms

    def _derive(self, group: Group, segment: Segment, end: FilePosition) -> None:
        state = self._state
        for each in group.informative:
            own = each.header.origin == state.origin or each.header.origin in state.former_origins
            state.derived.observe(each.header, each.data, segment.base_offset, own=own)
        last = group.stamped[-1].header
        state.derived.anchor = Anchor(segment.base_offset, FilePosition(end - last.batch_bytes), last.header_crc, end)

    def _write(self, segment: Segment, group: Group) -> StorageError | None:
        file = segment.file
        assert file is not None  # the last segment is the active one
        try:
            write_all(file, [part for each in group.stamped for part in each.parts], segment.size)
            if self._state.config.fsync is FsyncPolicy.ALWAYS:
                began = self._state.monotonic()
                with self._state.in_step("sync"):
                    file.sync()
                self.sync_seconds = self._state.monotonic() - began
            else:
                self.unsynced = True
        except OSError as exc:
            return self._take_back(segment, group.bytes, exc)
        self._state.resume()
        return None

    def _take_back(self, segment: Segment, group_bytes: int, cause: OSError) -> StorageError:
        """Roll back after a failed write or sync: a refusal restores the file; anything else poisons the log."""
        state, file = self._state, segment.file
        assert file is not None  # the last segment is the active one
        words = f"a write or sync of {store_name(segment.base_offset)} failed ({error_words(cause)})"
        try:
            if cause.errno in READ_ONLY and file.size() == segment.size:
                return state.refuse(cause)  # nothing had been written
            file.truncate(segment.size)
            if cause.errno not in FULL:
                # Linux marks pages clean after a failed sync: a second one would lie.
                return state.poison(words)
            file.sync()  # or a power cut could bring back what is refused here
        except OSError:
            return state.poison(words)
        if cause.errno == EFBIG:
            return self._too_large(segment, cause)
        state.refused_bytes = group_bytes
        return state.refuse(cause)

    def _too_large(self, segment: Segment, cause: OSError) -> LogFullError:
        """Refuse a group beyond the file size limit; smaller ones fit into this segment, or the next."""
        state = self._state
        if state.files.max_file_bytes() is None:
            state.file_limit = segment.size  # the file system's: known once hit
        return LogFullError(f"{state.reason(cause)}: send smaller batches, or raise the limit")


def _append_behind(outcome: Outcome) -> Appended | None:
    """Return the append behind an outcome."""
    if isinstance(outcome, Duplicate):
        return outcome.appended
    return outcome if isinstance(outcome, Appended) else None
