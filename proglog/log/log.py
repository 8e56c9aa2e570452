"""The commit log: segments in order, the last one active. One thread appends; any thread reads what is durable.

::

    data directory
      LOCK                          flock; holds the owner's process id
      origin  durable  retired      small files, see checkpoint.py
      ballast                       room to work in when the disk is full
      00000000000000000000.log      batches back to back
      00000000000000000000.index    a hint

An append stamps its batches, writes them with one call, syncs once, and only then lets readers see them. A group that
does not fit into the active segment is split at the roll. What the disk does then decides the state::

    +----+  no space left: taken back, refused    +------+
    | ok | -------------------------------------> | full |   reads go on; leaves by itself when there is room
    +----+ <------------------------------------- +------+
      |  any other failure of a write or sync        |
      +------------------->+----------+<-------------+
                           | poisoned |                      what is on disk is unknown: a restart finds out
                           +----------+

Sources: Rebello et al. 2020 ("Can applications recover from fsync failures?") for the poison; Alagappan et al. 2018
(Protocol-Aware Recovery) for what opening does.
"""

import os
import threading
import time
from bisect import bisect_right
from collections import OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import replace
from errno import EDQUOT, EFBIG, EMFILE, ENFILE, ENOSPC
from pathlib import Path
from typing import Any

from proglog.errors import (
    DataDirLockedError,
    DataLossError,
    LogClosedError,
    LogFullError,
    LogPoisonedError,
    NotFoundError,
    OffsetOutOfRangeError,
    ProglogError,
    StorageError,
)
from proglog.log import checkpoint, retention
from proglog.log.checkpoint import DurableMark, Retired, RetiredOrigin
from proglog.log.config import FsyncPolicy, LogConfig
from proglog.log.files import FileSystem, Lock, OsFiles, read_all, write_all
from proglog.log.group import Group
from proglog.log.model import (
    Append,
    DamagedRange,
    LocalAppend,
    LogCursor,
    LogRead,
    OriginState,
    Outcome,
    SegmentInfo,
)
from proglog.log.recovery import Recovery, RecoveryReport, create_segment, remove_files, seal
from proglog.log.segment import Segment
from proglog.log.store import store_name
from proglog.record import columns, control
from proglog.record.batch import VerifiedBatch, verify, verify_checksums
from proglog.types import NO_ORIGIN, ORIGIN_BYTES, NodeName, Offset, OriginId, Position
from proglog.types import Sequence as SequenceNumber

MAX_INDEX_MEMORY = 32 * 1024 * 1024
"""Bytes of index entries of sealed segments kept in memory; the least recently used go first."""

_FULL = (ENOSPC, EDQUOT, EFBIG)
_NO_DESCRIPTOR = (EMFILE, ENFILE)
_BALLAST = "ballast"
_CUT = "the store ends before them"


class Log:
    """A log in a directory that this process owns. Open it with :meth:`open`."""

    def __init__(
        self,
        data_dir: Path,
        config: LogConfig,
        files: FileSystem,
        now_ms: Callable[[], int],
        monotonic: Callable[[], float],
    ) -> None:
        """Use :meth:`open`."""
        self.data_dir = data_dir
        self.config = config
        self.recovery = RecoveryReport()
        self.origin = NO_ORIGIN
        self.state = "ok"
        """``ok``, ``full``, ``poisoned`` or ``closed``."""
        self._files = files
        self._now_ms = now_ms
        self._monotonic = monotonic
        self._clock = retention.ClockWatch(config.retention_age or 0.0)
        self._lock: Lock
        self._segments: list[Segment] = []
        self._bases: list[Offset] = []
        self._origins: dict[OriginId, OriginState] = {}
        self._retired = Retired()
        self._marked = DurableMark()
        self._end = (Offset(0), LogCursor(Offset(0), Position(0)))
        self._last_append_ms = 0
        self._unsynced = False
        self._refused_bytes = 0
        self._has_ballast = False
        self._mutex = threading.Lock()
        self._used_indexes: OrderedDict[Offset, Segment] = OrderedDict()

    @classmethod
    def open(
        cls,
        data_dir: Path,
        config: LogConfig | None = None,
        *,
        node_name: NodeName,
        files: FileSystem | None = None,
        now_ms: Callable[[], int] = lambda: time.time_ns() // 1_000_000,
        monotonic: Callable[[], float] = time.monotonic,
        new_origin: Callable[[], bytes] = lambda: os.urandom(ORIGIN_BYTES),
    ) -> "Log":
        """Open the log in ``data_dir``, made if missing, and repair what a crash left; ``recovery`` says what that was.

        Raises:
            DataDirLockedError: Another process owns the directory.
            StorageError: It cannot be read or written.
        """
        log = cls(data_dir, config or LogConfig(), files or OsFiles(), now_ms, monotonic)
        try:
            log._files.make_dir(data_dir)
            log._take_lock()
            try:
                log._recover(node_name, new_origin)
            except BaseException:
                log._let_go()
                raise
        except OSError as exc:
            raise StorageError(f"data directory {data_dir}: {exc.strerror or exc}") from exc
        return log

    # What is there

    @property
    def start_offset(self) -> Offset:
        """Offset of the oldest record kept."""
        return self._segments[0].base_offset

    @property
    def end_offset(self) -> Offset:
        """One past the last durable record."""
        return self._end[0]

    @property
    def end_cursor(self) -> LogCursor:
        """The place after the last durable batch."""
        return self._end[1]

    @property
    def stored_bytes(self) -> int:
        """Of all stores."""
        return sum(segment.size for segment in self._segments)

    @property
    def segment_count(self) -> int:
        """Segments, the active one included."""
        return len(self._segments)

    def origins(self) -> dict[OriginId, OriginState]:
        """Return what the log durably has of each origin."""
        with self._mutex:
            return dict(self._origins)

    def segments(self) -> list[SegmentInfo]:
        """Return the segments in order."""
        with self._mutex:
            return [_info(segment) for segment in self._segments]

    def damaged(self) -> list[DamagedRange]:
        """Return the ranges that cannot be read, in order."""
        ranges = []
        segments = self._segments
        for number, segment in enumerate(segments):
            ranges += [DamagedRange(hole.start_offset, hole.end_offset, hole.detail) for hole in segment.holes]
            gap = _gap(segment, segments[number + 1]) if number + 1 < len(segments) else None
            if gap is not None:
                ranges.append(DamagedRange(Offset(gap.start), Offset(gap.end), _CUT))
        return ranges

    def disk_usage(self) -> tuple[int, int]:
        """Return (free, total) bytes of the disk; zeros if it does not say."""
        try:
            return self._files.usage(self.data_dir)
        except OSError:
            return 0, 0

    # Reading

    def read(self, cursor: LogCursor, max_bytes: int) -> LogRead:
        """Return whole batches from ``cursor`` on, unchanged, as they stand in the store.

        Args:
            cursor: From this log.
            max_bytes: Soft limit: the first batch is returned even when it is larger.

        Returns:
            Batches of one segment, and the place after them; nothing, and the same place, at the durable end.

        Raises:
            DataLossError: The batch there is damaged; its ``end`` can be sought.
            OffsetOutOfRangeError: Retention removed the segment.
            StorageError: The disk could not be read, or the log is closed.
        """
        while True:
            if self.state == "closed":
                raise LogClosedError
            end = self.end_cursor
            segment = self._segment_at(cursor.segment)
            limit = end.position if cursor.segment == end.segment else segment.size
            hole = segment.hole_at(cursor.position)
            if hole is not None and hole.start_offset == hole.end_offset:
                # A control batch was here: nobody who reads records misses it.
                cursor = LogCursor(cursor.segment, hole.end_position)
            elif cursor.position < limit:
                data = segment.read(cursor.position, max_bytes)
                return LogRead(data, LogCursor(cursor.segment, Position(cursor.position + len(data))))
            else:
                following = self._segment_after(cursor.segment)
                if following is None or cursor.segment == end.segment:
                    return LogRead(b"", cursor)
                gap = _gap(segment, following)
                if gap is not None:
                    raise gap
                cursor = LogCursor(following.base_offset, Position(0))

    def seek(self, offset: Offset) -> LogCursor:
        """Return the place of the batch that holds ``offset``; the end for ``end_offset``.

        Raises:
            OffsetOutOfRangeError: ``offset`` is not in ``[start_offset, end_offset]``.
            DataLossError: It is damaged.
        """
        end_offset, end_cursor = self._end
        segments, bases = self._segments, self._bases
        if not bases[0] <= offset <= end_offset:
            raise OffsetOutOfRangeError(offset, bases[0], end_offset)
        if offset == end_offset:
            return end_cursor
        number = bisect_right(bases, offset) - 1
        segment = segments[number]
        if offset >= segment.end_offset:
            raise DataLossError(segment.end_offset, bases[number + 1], _CUT)
        self._use_index(segment)
        return LogCursor(segment.base_offset, segment.find_offset(offset))

    def seek_sequence(self, origin: OriginId, sequence: SequenceNumber) -> LogCursor:
        """Return the place of the batch of ``origin`` that holds ``sequence``.

        Raises:
            NotFoundError: The origin is not known here, or does not reach to that sequence, or no longer, or the
                batch is damaged.
        """
        state = self._origins.get(origin)
        if state is None:
            raise NotFoundError(f"origin {origin.hex()[:8]} is not known here")
        if not state.floor_sequence <= sequence < state.next_sequence:
            kept = f"sequences {state.floor_sequence} to {state.next_sequence - 1}"
            raise NotFoundError(f"origin {origin.hex()[:8]}: {kept} are here, not {sequence}")
        for segment in self._segments:
            span = segment.index.origins.get(origin)
            if span is None or sequence >= span.next_sequence:
                continue
            self._use_index(segment)
            position = segment.find_sequence(origin, sequence)
            if position is None:
                break
            return LogCursor(segment.base_offset, position)
        raise NotFoundError(f"origin {origin.hex()[:8]}: sequence {sequence} is in a damaged range")

    def seek_time(self, time_ms: int) -> Offset:
        """Return the offset of the first record with a timestamp of ``time_ms`` or later; the end if there is none."""
        for segment in self._segments:
            if not segment.index.record_count or segment.index.max_timestamp_ms < time_ms:
                continue
            self._use_index(segment)
            for position, header in segment.walk(segment.entries().before_time(time_ms)):
                if header.record_count and header.max_timestamp_ms >= time_ms:
                    batch = verify_checksums(segment.read(position, header.batch_bytes))
                    return Offset(header.base_offset + _first_since(batch, time_ms))
        return self.end_offset

    # Writing: one thread

    def append(self, appends: Sequence[Append]) -> list[Outcome]:
        """Append a group: stamp, write, sync once (under ``FsyncPolicy.ALWAYS``), then show it to readers.

        Returns:
            An outcome for each, in order. A copy that does not fit is refused without hindering the others:
            ``SequenceGapError``, ``ForkedOriginError``. A ``StorageError`` stands for each batch that was not made
            durable: after ``LogFullError`` nothing of it is in the log; after ``LogPoisonedError`` that is unknown.
        """
        outcomes: list[Outcome] = []
        group = self._begin_group()
        for append in appends:
            if not self._has_room(group, append.batch):
                self._commit(group, outcomes)
                self._roll()
                group = self._begin_group()
            outcomes.append(self._refusal() or group.add(append))
        self._commit(group, outcomes)
        return outcomes

    def sync(self) -> None:
        """Make everything appended durable: what ``FsyncPolicy.INTERVAL`` calls by its timer."""
        if self._unsynced and self.state in ("ok", "full"):
            try:
                active = self._segments[-1].file
                assert active is not None  # the last segment is the active one
                active.sync()
            except OSError:
                self._poison()
            else:
                self._unsynced = False

    def retain(self) -> int:
        """Keep house: see whether a full disk has room again, record how far the log is durable, apply retention.

        Call it every few seconds from the thread that appends.

        Returns:
            How many segments were removed.
        """
        if self.state not in ("ok", "full"):
            return 0
        count = self._expired()
        try:
            if count:
                self._remove(count)
            if not self._has_ballast:
                self._refill_ballast()
            if self.state == "full":
                self._look_for_room()
            elif not self._unsynced:
                self._mark_durable(clean=False)
        except OSError as exc:
            # Nothing acknowledged is at stake: what was not removed or marked is, the next time.
            if exc.errno not in _FULL:
                self.recovery.notes.append(f"housekeeping: {exc.strerror or exc}")
            return 0
        return count

    def close(self) -> None:
        """Sync, write the index of the active segment and the mark of an orderly end, and let go. Idempotent."""
        if self.state == "closed":
            return
        self.sync()
        orderly = self.state in ("ok", "full")
        self.state = "closed"
        try:
            if orderly:
                self._segments[-1].save_index()
                self._mark_durable(clean=True)
        except OSError:
            self.recovery.clean = False  # a hint: without it the next start scans the active segment
        finally:
            self._let_go()

    # Inside: opening

    def _take_lock(self) -> None:
        path = self.data_dir / "LOCK"
        try:
            self._lock = self._files.lock(path)
        except BlockingIOError as exc:
            owner = read_all(self._files, path, 32).strip().decode("ascii", "replace")
            raise DataDirLockedError(str(self.data_dir), f"process {owner}" if owner.isdigit() else "") from exc

    def _let_go(self) -> None:
        for segment in self._segments:
            segment.let_go()
        self._lock.release()

    def _recover(self, node_name: NodeName, new_origin: Callable[[], bytes]) -> None:
        recovery = Recovery(self._files, self.data_dir, self.config.index_interval_bytes)
        self.recovery = recovery.report
        self._retired, self._marked = recovery.retired, recovery.mark
        for segment in recovery.open_segments():
            self._add_segment(segment)
        self._collect_origins()
        active = self._segments[-1]
        self._publish(active)
        if self._marked.clean:
            self._mark_durable(clean=False)
        self._refill_ballast()
        self._claim_origin(node_name, new_origin)

    def _collect_origins(self) -> None:
        for origin, retired in self._retired.origins.items():
            self._origins[origin] = OriginState(
                next_sequence=retired.next_sequence,
                chain_crc=retired.chain_crc,
                floor_sequence=retired.next_sequence,
                last_append_ms=retired.last_append_ms,
                bytes=0,
                node_name=retired.node_name,
            )
        for segment in self._segments:
            self._last_append_ms = max(self._last_append_ms, segment.index.last_append_ms)
            for origin, span in segment.index.origins.items():
                before = self._origins.get(origin)
                self._origins[origin] = OriginState(
                    next_sequence=span.next_sequence,
                    chain_crc=span.chain_crc,
                    floor_sequence=before.floor_sequence if before else span.first_sequence,
                    last_append_ms=span.last_append_ms,
                    bytes=span.stored_bytes + (before.bytes if before else 0),
                    node_name=span.node_name or (before.node_name if before else ""),
                )

    def _add_segment(self, segment: Segment) -> None:
        with self._mutex:
            self._segments = [*self._segments, segment]
            self._bases = [*self._bases, segment.base_offset]

    def _claim_origin(self, node_name: NodeName, new_origin: Callable[[], bytes]) -> None:
        """Go on as the directory's origin, or begin a new one where its next sequence could have been used before."""
        path = self.data_dir / "origin"
        held: OriginId | None = None
        fresh = self.end_offset == 0 and not self._origins
        reason = "new data directory" if fresh else "the file 'origin' is missing"
        try:
            content = checkpoint.load(self._files, path)
        except StorageError:
            content, reason = None, "the file 'origin' was damaged"
        if content is not None:
            held = OriginId(bytes.fromhex(content["origin"]))
            reason = self._reason_to_leave(content.get("fsync"))
        self.origin = OriginId(new_origin()) if held is None or reason else held
        if reason or content is None or content.get("fsync") != self.config.fsync.value:
            self._save(
                "origin", {"origin": self.origin.hex(), "node_name": node_name, "fsync": self.config.fsync.value}
            )
        if self.origin not in self._origins:
            self._start_origin(node_name, held, reason or "its first batch was never acknowledged")
        self.recovery.new_origin_reason = "" if fresh and content is None else reason

    def _reason_to_leave(self, fsync: str | None) -> str:
        if self.recovery.end_lost:
            return "synced data is missing from the end of the log"
        if not self.recovery.clean and fsync != FsyncPolicy.ALWAYS.value:
            return f"unclean stop under --fsync {fsync}: acknowledged records may be missing"
        return ""

    def _start_origin(self, node_name: NodeName, held: OriginId | None, reason: str) -> None:
        previous = self._origins.get(held) if held is not None else None
        start = control.origin_start(
            node_name,
            now_ms=self._now_ms(),
            reason=reason,
            previous_origin=held or NO_ORIGIN,
            previous_next_sequence=previous.next_sequence if previous else SequenceNumber(0),
        )
        (outcome,) = self.append([LocalAppend(verify(start))])
        if isinstance(outcome, ProglogError):
            raise outcome

    def _refusal(self) -> StorageError | None:
        if self.state == "poisoned":
            return LogPoisonedError("an earlier write or sync failed: restart the agent, and look at the disk")
        return LogClosedError() if self.state == "closed" else None

    def _begin_group(self) -> Group:
        return Group(
            local_origin=self.origin,
            origins=self._origins,
            end_offset=self._segments[-1].end_offset,
            append_time_ms=max(self._now_ms(), self._last_append_ms),  # never goes back within a log
        )

    def _has_room(self, group: Group, batch: VerifiedBatch) -> bool:
        """Return whether the active segment takes one more batch. One without records takes any: see ``_roll``."""
        active = self._segments[-1]
        size = active.size + group.bytes
        started = active.index.record_count or any(each.header.record_count for each in group.stamped)
        return not started or size + batch.header.batch_bytes <= self.config.segment_bytes

    def _roll(self) -> None:
        """Seal the active segment and start the next one, whose name is the offset it starts at."""
        active = self._segments[-1]
        if self._refusal() is not None or not active.index.record_count:
            return
        self.sync()
        if self._refusal() is not None:
            return
        try:
            segment = create_segment(active.stores, active.end_offset, self.config.index_interval_bytes)
        except OSError as exc:
            # Without room for a new segment the active one grows on: its own write will say that the disk is full.
            # Nor does a process that has used up its descriptors lose anything by rolling later.
            if exc.errno in _NO_DESCRIPTOR and not self._is_there(active.end_offset):
                return
            if exc.errno not in _FULL or not self._undo_roll(active):
                self._poison()
            return
        self._add_segment(segment)
        self._publish(segment)
        seal(active)

    def _is_there(self, base_offset: Offset) -> bool:
        """Return whether a segment's store exists; a half-made one is removed by that. Needs no descriptor."""
        try:
            self._files.unlink(self.data_dir / store_name(base_offset))
        except FileNotFoundError:
            return False
        return True

    def _undo_roll(self, active: Segment) -> bool:
        """Return whether the half-made segment is gone: one that stayed would begin before the active one ends."""
        try:
            remove_files(self._files, self.data_dir, active.end_offset)
            self._files.sync_dir(self.data_dir)
        except OSError:
            return False
        return True

    def _commit(self, group: Group, outcomes: list[Outcome]) -> None:
        """Write and sync ``group`` and show it to readers; or put the failure in the place of its outcomes."""
        if not group.stamped:
            return
        segment = self._segments[-1]
        failure = self._write(segment, group)
        if failure is not None:
            hopes = {id(each.result) for each in group.stamped}
            outcomes[:] = [failure if id(outcome) in hopes else outcome for outcome in outcomes]
            return
        start, end = segment.checked
        with self._mutex:
            position = segment.size
            for each in group.stamped:
                segment.index.add(each.header, position, each.node_name)
                position = Position(position + each.header.batch_bytes)
            segment.checked = (start if end == segment.size else segment.size, position)
            segment.size = position
            self._origins.update(group.origins())
        self._last_append_ms = group.append_time_ms
        self._publish(segment)

    def _write(self, segment: Segment, group: Group) -> StorageError | None:
        file = segment.file
        assert file is not None  # the last segment is the active one
        try:
            write_all(file, [part for each in group.stamped for part in each.parts], segment.size)
            if self.config.fsync is FsyncPolicy.ALWAYS:
                file.sync()
            else:
                self._unsynced = True
        except OSError as exc:
            return self._take_back(segment, group.bytes, exc)
        self.state = "ok"
        return None

    def _take_back(self, segment: Segment, group_bytes: int, cause: OSError) -> StorageError:
        """After a failed write or sync: a full disk leaves the file as it was; anything else poisons the log."""
        file = segment.file
        assert file is not None  # the last segment is the active one
        try:
            file.truncate(segment.size)
            if cause.errno not in _FULL:
                # Linux marks pages clean after a failed sync: a second one would lie.
                return self._poison()
            file.sync()  # or a power cut could bring back what is refused here
        except OSError:
            return self._poison()
        self.state = "full"
        self._refused_bytes = group_bytes
        free, _ = self.disk_usage()
        return LogFullError(
            f"no space left in {self.data_dir} ({free:,} bytes free): appends resume when there is some"
        )

    def _poison(self) -> StorageError:
        self.state = "poisoned"
        return LogPoisonedError("a write or sync failed: nothing is acknowledged until the agent is restarted")

    def _publish(self, segment: Segment) -> None:
        self._end = (segment.end_offset, LogCursor(segment.base_offset, segment.size))

    # Inside: keeping house

    def _expired(self) -> int:
        segments, config = self._segments, self.config
        count = 0
        if config.retention_bytes is not None:
            count = retention.too_many([segment.size for segment in segments], config.retention_bytes)
        if config.retention_age is not None:
            now_ms = self._now_ms()
            if self._clock.agrees(now_ms, self._monotonic()):
                times = [segment.index.last_append_ms for segment in segments]
                count = max(count, retention.too_old(times, now_ms, config.retention_age))
        return count

    def _remove(self, count: int) -> None:
        """Remove the oldest segments: first the record of what they held, then the files."""
        going, staying = self._segments[:count], self._segments[count:]
        origins = dict(self._retired.origins)
        for segment in going:
            for origin, span in segment.index.origins.items():
                origins[origin] = RetiredOrigin(
                    next_sequence=span.next_sequence,
                    chain_crc=span.chain_crc,
                    last_append_ms=span.last_append_ms,
                    node_name=span.node_name or self._origins[origin].node_name,
                )
        retired = Retired(start_offset=staying[0].base_offset, origins=origins)
        self._save("retired", retired.to_json())
        self._retired = retired
        with self._mutex:
            self._segments, self._bases = staying, [segment.base_offset for segment in staying]
            for segment in going:
                self._used_indexes.pop(segment.base_offset, None)
                self._lower(segment)
        for segment in going:
            segment.stores.forget(segment.base_offset)
            remove_files(self._files, self.data_dir, segment.base_offset)
        self._files.sync_dir(self.data_dir)

    def _lower(self, segment: Segment) -> None:
        for origin, span in segment.index.origins.items():
            state = self._origins[origin]
            self._origins[origin] = replace(
                state,
                floor_sequence=max(state.floor_sequence, span.next_sequence),
                bytes=state.bytes - span.stored_bytes,
            )

    def _mark_durable(self, *, clean: bool) -> None:
        active = self._segments[-1]
        mark = DurableMark(
            base_offset=active.base_offset, store_bytes=active.size, end_offset=active.end_offset, clean=clean
        )
        if mark != self._marked:
            self._save("durable", mark.to_json())
            self._marked = mark

    def _save(self, name: str, content: dict[str, Any]) -> None:
        """Save a small file, in the room that the ballast takes if there is no other."""
        path = self.data_dir / name
        try:
            checkpoint.save(self._files, path, content)
        except OSError as exc:
            if exc.errno not in _FULL:
                raise
            self._drop_ballast()
            checkpoint.save(self._files, path, content)

    def _drop_ballast(self) -> None:
        self._has_ballast = False
        try:
            self._files.unlink(self.data_dir / _BALLAST)
        except FileNotFoundError:
            return

    def _refill_ballast(self) -> None:
        """Take the room to work in when the disk is full; do without if there is none."""
        path, size = self.data_dir / _BALLAST, self.config.ballast_bytes
        try:
            file = self._files.open(path, write=True, create=True)
            try:
                if file.size() < size:
                    write_all(file, [bytes(size)], 0)
            finally:
                file.close()
        except OSError:
            self._drop_ballast()
        else:
            self._has_ballast = True

    def _look_for_room(self) -> None:
        free, total = self.disk_usage()
        if self._has_ballast and (not total or free > self._refused_bytes):
            self.state = "ok"

    def _use_index(self, segment: Segment) -> None:
        """Note that the index is looked into; let go of others if there are too many."""
        if segment.active:
            return
        with self._mutex:
            used = self._used_indexes
            used[segment.base_offset] = segment
            used.move_to_end(segment.base_offset)
            memory_bytes = sum(each.index.memory_bytes for each in used.values())
            while memory_bytes > MAX_INDEX_MEMORY and len(used) > 1:
                _, oldest = used.popitem(last=False)
                memory_bytes -= oldest.index.memory_bytes
                oldest.forget_entries()

    def _segment_at(self, base_offset: Offset) -> Segment:
        bases, segments = self._bases, self._segments
        number = bisect_right(bases, base_offset) - 1
        if number < 0 or bases[number] != base_offset:
            raise OffsetOutOfRangeError(base_offset, self.start_offset, self.end_offset)
        return segments[number]

    def _segment_after(self, base_offset: Offset) -> Segment | None:
        bases, segments = self._bases, self._segments
        number = bisect_right(bases, base_offset)
        return segments[number] if number < len(segments) else None


def _first_since(batch: VerifiedBatch, time_ms: int) -> int:
    """Return the index of the batch's first record with a timestamp of ``time_ms`` or later."""
    header = batch.header
    if header.first_timestamp_ms >= time_ms:
        return 0
    records = columns.records(batch.payload, header.record_count, header.first_timestamp_ms)
    return next((index for index, record in enumerate(records) if record.timestamp_ms >= time_ms), 0)


def _gap(segment: Segment, following: Segment) -> DataLossError | None:
    """Return the error for what is missing between two segments, if there is anything."""
    if segment.end_offset == following.base_offset:
        return None
    return DataLossError(segment.end_offset, following.base_offset, _CUT)


def _info(segment: Segment) -> SegmentInfo:
    index = segment.index
    return SegmentInfo(
        base_offset=segment.base_offset,
        end_offset=segment.end_offset,
        bytes=segment.size,
        record_count=index.record_count,
        batch_count=index.batch_count,
        first_timestamp_ms=index.first_timestamp_ms,
        max_timestamp_ms=index.max_timestamp_ms,
        active=segment.active,
        index=segment.index_state,
        index_bytes=index.memory_bytes,
    )
