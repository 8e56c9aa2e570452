"""The commit log: segments in order, the last one active. One thread appends; any thread reads what is durable.

::

    data directory
      LOCK                          flock; holds the owner's process id
      origin                        who writes here: 16 random bytes, made with the directory
      clean                         written last when closing in order, removed when opening
      00000000000000000000.log      batches back to back
      00000000000000000000.index    a hint

An append stamps its batches, writes them with one call, syncs once, and only then lets readers see them. A group that
does not fit into the active segment is split at the roll.
"""

import os
import threading
import time
from bisect import bisect_right
from collections.abc import Callable, Sequence
from errno import EDQUOT, EFBIG, ENOSPC
from pathlib import Path

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
from proglog.log import checkpoint
from proglog.log.config import FsyncPolicy, LogConfig
from proglog.log.files import FileSystem, Lock, OsFiles, read_all, write_all
from proglog.log.group import Group
from proglog.log.index import SegmentIndex
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
from proglog.log.recovery import RecoveryReport, scan_store
from proglog.log.segment import STORE_SUFFIX, Segment, load_index, store_name
from proglog.record import columns, control
from proglog.record.batch import VerifiedBatch, verify, verify_checksums
from proglog.types import NO_ORIGIN, ORIGIN_BYTES, NodeName, Offset, OriginId, Position
from proglog.types import Sequence as SequenceNumber

_FULL = (ENOSPC, EDQUOT, EFBIG)


class Log:
    """A log in a directory that this process owns. Open it with :meth:`open`."""

    def __init__(self, data_dir: Path, config: LogConfig, files: FileSystem, now_ms: Callable[[], int]) -> None:
        """Use :meth:`open`."""
        self.data_dir = data_dir
        self.config = config
        self.recovery = RecoveryReport()
        self.origin = NO_ORIGIN
        self.state = "ok"
        """``ok``, ``full``, ``poisoned`` or ``closed``."""
        self._files = files
        self._now_ms = now_ms
        self._lock: Lock
        self._segments: list[Segment] = []
        self._bases: list[Offset] = []
        self._origins: dict[OriginId, OriginState] = {}
        self._end = (Offset(0), LogCursor(Offset(0), Position(0)))
        self._last_append_ms = 0
        self._unsynced = False
        self._mutex = threading.Lock()

    @classmethod
    def open(
        cls,
        data_dir: Path,
        config: LogConfig | None = None,
        *,
        node_name: NodeName,
        files: FileSystem | None = None,
        now_ms: Callable[[], int] = lambda: time.time_ns() // 1_000_000,
        new_origin: Callable[[], bytes] = lambda: os.urandom(ORIGIN_BYTES),
    ) -> "Log":
        """Open the log in ``data_dir``, made if missing, and repair what a crash left; ``recovery`` says what that was.

        Raises:
            DataDirLockedError: Another process owns the directory.
            StorageError: It cannot be read or written.
        """
        log = cls(data_dir, config or LogConfig(), files or OsFiles(), now_ms)
        try:
            log._files.make_dir(data_dir)
            log._take_lock()
            try:
                log._recover(node_name, new_origin)
            except BaseException:
                log._lock.release()
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
        """Return the ranges that cannot be read."""
        holes = [hole for segment in self._segments for hole in segment.holes]
        return [DamagedRange(hole.start_offset, hole.end_offset, hole.detail) for hole in holes]

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
            StorageError: The disk could not be read.
        """
        while True:
            end = self.end_cursor
            segment = self._segment_at(cursor.segment)
            limit = end.position if cursor.segment == end.segment else segment.size
            if cursor.position < limit:
                data = segment.read(cursor.position, max_bytes)
                return LogRead(data, LogCursor(cursor.segment, Position(cursor.position + len(data))))
            following = self._segment_after(cursor.segment)
            if following is None or cursor.segment == end.segment:
                return LogRead(b"", cursor)
            cursor = LogCursor(following.base_offset, Position(0))

    def seek(self, offset: Offset) -> LogCursor:
        """Return the place of the batch that holds ``offset``; the end for ``end_offset``.

        Raises:
            OffsetOutOfRangeError: ``offset`` is not in ``[start_offset, end_offset]``.
            DataLossError: It is damaged.
        """
        end_offset, end_cursor = self._end
        if not self.start_offset <= offset <= end_offset:
            raise OffsetOutOfRangeError(offset, self.start_offset, end_offset)
        if offset == end_offset:
            return end_cursor
        with self._mutex:
            segment = self._segments[bisect_right(self._bases, offset) - 1]
            start = segment.index.before_offset(offset)
        hole = segment.hole_with(offset)
        if hole is not None:
            raise DataLossError(hole.start_offset, hole.end_offset, hole.detail)
        for position, header in segment.walk(start):
            if header.base_offset <= offset < header.end_offset:
                return LogCursor(segment.base_offset, position)
        raise OffsetOutOfRangeError(offset, self.start_offset, self.end_offset)

    def seek_sequence(self, origin: OriginId, sequence: SequenceNumber) -> LogCursor:
        """Return the place of the batch of ``origin`` that holds ``sequence``.

        Raises:
            NotFoundError: The origin is not known here, or does not reach to that sequence, or no longer.
        """
        state = self.origins().get(origin)
        if state is None:
            raise NotFoundError(f"origin {origin.hex()[:8]} is not known here")
        if not state.floor_sequence <= sequence < state.next_sequence:
            kept = f"sequences {state.floor_sequence} to {state.next_sequence - 1}"
            raise NotFoundError(f"origin {origin.hex()[:8]}: {kept} are here, not {sequence}")
        for segment in self._segments:
            span = segment.index.origins.get(origin)
            if span is None or sequence >= span.next_sequence:
                continue
            with self._mutex:
                start = segment.index.before_sequence(origin, sequence)
            for position, header in segment.walk(start):
                if header.origin == origin and header.base_sequence <= sequence < header.next_sequence:
                    return LogCursor(segment.base_offset, position)
        raise NotFoundError(f"origin {origin.hex()[:8]}: sequence {sequence} is in a damaged range")

    def seek_time(self, time_ms: int) -> Offset:
        """Return the offset of the first record with a timestamp of ``time_ms`` or later; the end if there is none."""
        for segment in list(self._segments):
            if not segment.index.record_count or segment.index.max_timestamp_ms < time_ms:
                continue
            with self._mutex:
                start = segment.index.before_time(time_ms)
            for position, header in segment.walk(start):
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
                self._segments[-1].store.sync()
            except OSError:
                self._poison()
            else:
                self._unsynced = False

    def close(self) -> None:
        """Sync, write the index of the active segment and the mark of an orderly end, and let go. Idempotent."""
        if self.state == "closed":
            return
        self.sync()
        orderly = self.state in ("ok", "full")
        self.state = "closed"
        try:
            if orderly:
                active = self._segments[-1]
                active.save_index()
                checkpoint.save(
                    self._files,
                    self.data_dir / "clean",
                    {"base_offset": active.base_offset, "store_bytes": active.size},
                )
        except OSError:
            # The mark is a hint: without it the next start scans the active segment.
            self.recovery.clean = False
        finally:
            for segment in self._segments:
                segment.close()
            self._lock.release()

    # Inside

    def _take_lock(self) -> None:
        path = self.data_dir / "LOCK"
        try:
            self._lock = self._files.lock(path)
        except BlockingIOError as exc:
            owner = read_all(self._files, path, 32).strip().decode("ascii", "replace")
            raise DataDirLockedError(str(self.data_dir), f"process {owner}" if owner.isdigit() else "") from exc

    def _recover(self, node_name: NodeName, new_origin: Callable[[], bytes]) -> None:
        mark = self._take_clean_mark()
        names = [name for name in self._files.names(self.data_dir) if _is_store(name)]
        bases = [Offset(int(name.removesuffix(STORE_SUFFIX))) for name in names]
        for base_offset in bases:
            self._add_segment(self._open_segment(base_offset, last=base_offset == bases[-1], mark=mark))
        if not self._segments:
            self._add_segment(self._create_segment(Offset(0)))
        self._collect_origins()
        active = self._segments[-1]
        self._publish(active)
        self._claim_origin(node_name, new_origin, clean=mark is not None)

    def _take_clean_mark(self) -> tuple[int, int] | None:
        """Return (base offset, store bytes) of the active segment if the log was closed in order."""
        path = self.data_dir / "clean"
        try:
            content = checkpoint.load(self._files, path)
        except StorageError:
            content = None
        else:
            if content is None:
                return None
        self._files.unlink(path)
        self._files.sync_dir(self.data_dir)
        return None if content is None else (content["base_offset"], content["store_bytes"])

    def _open_segment(self, base_offset: Offset, *, last: bool, mark: tuple[int, int] | None) -> Segment:
        store = self._files.open(self.data_dir / store_name(base_offset), write=last)
        size = Position(store.size())
        interval = self.config.index_interval_bytes
        trusted = not last or mark == (base_offset, size)
        index = None
        if trusted:
            index = load_index(self._files, self.data_dir, base_offset, interval_bytes=interval, store_bytes=size)
        if index is not None:
            return Segment(self._files, self.data_dir, base_offset, store, index, size, active=last)
        self.recovery.clean = self.recovery.clean and not last
        scanned = scan_store(store, base_offset, interval, last=last)
        self.recovery.scanned_bytes += size
        self.recovery.holes.extend(scanned.holes)
        if scanned.size < size:
            self.recovery.torn_bytes = size - scanned.size
            self.recovery.torn_at = f"{store_name(base_offset)}, byte {scanned.size}"
            store.truncate(scanned.size)
            store.sync()
        segment = Segment(self._files, self.data_dir, base_offset, store, scanned.index, scanned.size, active=last)
        segment.holes = scanned.holes
        if trusted:
            self.recovery.rebuilt_indexes += 1
            segment.index_state = "rebuilt"
        if not last:
            segment.save_index()
        return segment

    def _create_segment(self, base_offset: Offset) -> Segment:
        path = self.data_dir / store_name(base_offset)
        store = self._files.open(path, write=True, create=True)
        store.truncate(0)  # a file of this name can only be left from a roll that failed
        self._files.sync_dir(self.data_dir)
        index = SegmentIndex(base_offset, self.config.index_interval_bytes)
        return Segment(self._files, self.data_dir, base_offset, store, index, Position(0))

    def _add_segment(self, segment: Segment) -> None:
        with self._mutex:
            self._segments = [*self._segments, segment]
            self._bases = [*self._bases, segment.base_offset]

    def _collect_origins(self) -> None:
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

    def _claim_origin(self, node_name: NodeName, new_origin: Callable[[], bytes], *, clean: bool) -> None:
        """Go on as the directory's origin, or begin a new one where its sequence could have been used before."""
        path = self.data_dir / "origin"
        content = checkpoint.load(self._files, path)
        held = None if content is None else OriginId(bytes.fromhex(content["origin"]))
        reason = ""
        if held is None:
            reason = "new data directory"
        elif not clean and content is not None and content.get("fsync") != FsyncPolicy.ALWAYS.value:
            reason = f"unclean stop under --fsync {content.get('fsync')}: acknowledged records may be missing"
        self.origin = OriginId(new_origin()) if reason else held or NO_ORIGIN
        if reason or content is None or content.get("fsync") != self.config.fsync.value:
            checkpoint.save(
                self._files,
                path,
                {"origin": self.origin.hex(), "node_name": node_name, "fsync": self.config.fsync.value},
            )
        if self.origin not in self._origins:
            self._start_origin(node_name, held, reason or "first batch was lost before it was acknowledged")
        if held is not None:
            self.recovery.new_origin_reason = reason

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
        try:
            if self._unsynced:
                active.store.sync()
                self._unsynced = False
            segment = self._create_segment(active.end_offset)
        except OSError as exc:
            # Without room for a new segment the active one grows on: its own write will say that the disk is full.
            if exc.errno not in _FULL:
                self._poison()
            return
        active.active = False
        self._add_segment(segment)
        self._publish(segment)
        try:
            active.save_index()
        except OSError:
            active.index_state = "missing"  # a hint: the next start rebuilds it

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
        with self._mutex:
            for each in group.stamped:
                segment.index.add(each.header, segment.size, each.node_name)
                segment.size = Position(segment.size + each.header.batch_bytes)
            self._origins.update(group.origins)
        self._last_append_ms = group.append_time_ms
        self._publish(segment)

    def _write(self, segment: Segment, group: Group) -> StorageError | None:
        try:
            write_all(segment.store, [part for each in group.stamped for part in each.parts], segment.size)
            if self.config.fsync is FsyncPolicy.ALWAYS:
                segment.store.sync()
            else:
                self._unsynced = True
        except OSError as exc:
            return self._take_back(segment, exc)
        self.state = "ok"
        return None

    def _take_back(self, segment: Segment, cause: OSError) -> StorageError:
        """After a failed write or sync: a full disk leaves the file as it was; anything else poisons the log."""
        try:
            segment.store.truncate(segment.size)
        except OSError:
            return self._poison()
        if cause.errno not in _FULL:
            # Linux marks pages clean after a failed sync: a second one would lie.
            return self._poison()
        self.state = "full"
        free, _ = self.disk_usage()
        return LogFullError(
            f"no space left in {self.data_dir} ({free:,} bytes free): appends resume when there is some"
        )

    def _poison(self) -> StorageError:
        self.state = "poisoned"
        return LogPoisonedError("a write or sync failed: nothing is acknowledged until the agent is restarted")

    def _publish(self, segment: Segment) -> None:
        self._end = (segment.end_offset, LogCursor(segment.base_offset, segment.size))

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


def _is_store(name: str) -> bool:
    stem = name.removesuffix(STORE_SUFFIX)
    return name.endswith(STORE_SUFFIX) and len(stem) == 20 and stem.isascii() and stem.isdigit()


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
