"""Housekeeping, every few seconds: retention, probing a full or read-only disk, the durable mark.

The tasks are independent: one that fails is a problem of the log, with its start, until it succeeds.
"""

from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import replace
from datetime import timedelta

from proglog.errors import LogFullError, ProglogError, StorageError
from proglog.log import retention
from proglog.log.appending import Appender
from proglog.log.checkpoint import Retired
from proglog.log.files import FULL, NO_DESCRIPTORS, READ_ONLY, Lock, error_words
from proglog.log.model import LocalAppend
from proglog.log.named_positions import MAX_NAMES
from proglog.log.opening import Opening
from proglog.log.origins import lowered, retired_with
from proglog.log.recovery import remove_files
from proglog.log.segment import Segment
from proglog.log.small_files import BALLAST, SmallFiles
from proglog.log.snapshot import Snapshot
from proglog.log.state import LogState
from proglog.log.store import STORE_SUFFIX, index_name, store_name
from proglog.record import control
from proglog.record.batch import verify
from proglog.record.control import MAX_VECTOR_ORIGINS
from proglog.types import Offset


class Housekeeper:
    """See the module. Runs on the thread that appends."""

    def __init__(
        self,
        state: LogState,
        small_files: SmallFiles,
        appender: Appender,
        snapshot: Snapshot,
        opening: Opening,
        lock: Lock,
    ) -> None:
        """Store the collaborators."""
        self._state = state
        self._small_files = small_files
        self._appender = appender
        self._snapshot = snapshot
        self._opening = opening
        self._lock = lock
        self._stores: dict[str, int] = {}
        """Names of the stores that were in the directory at the last look, and their inodes."""
        self._removed: list[Segment] = []
        """Segments removed from the log, but not yet from the disk."""
        self._clock = retention.ClockWatch(state.config.retention_age or 0.0)

    def open(self) -> None:
        """Do what must precede the first append, as far as the disk allows.

        Raises:
            OSError: It fails for another reason than a full or read-only disk.
            StorageError: As above.
        """
        self._look_at_the_disk()
        self._look_at_the_limit()
        with suppress(OSError):  # the next look reports it
            self._gone_segment()
        self._try("draft", "drafts of small files cannot be removed", self._small_files.sweep)
        self._try(BALLAST, "no room can be held back for a full disk", self._small_files.refill_ballast)
        self._opening.finish()

    def retain(self) -> int:
        """See :meth:`proglog.log.log.Log.retain`."""
        state, small_files = self._state, self._small_files
        self.check_place()
        if not state.working:
            return 0
        self._try("disk", "the disk does not answer as it should", self._lock.try_disk)
        if state.condition == "read-only":
            self._look_whether_writes_are_taken()
        if state.condition == "read-only":
            return 0
        self._look_at_the_limit()
        self._look_at_the_clock()
        self._look_at_positions()
        before = len(state.segments)
        self._try("retention", "old segments cannot be removed", self._retain)
        if state.condition == "full":
            self._look_for_room()
        if state.condition == "ok":
            self._try(BALLAST, "no room can be held back for a full disk", small_files.refill_ballast)
        if state.opened and not self._appender.unsynced and state.condition == "ok":
            self._try("mark", "how far the log is durable cannot be recorded", self._mark)
            self._try("lost", "what is lost cannot be written down", small_files.save_losses)
            self._try("index", "an index cannot be written", self._save_indexes)
            if self._snapshot.failed:
                self._snapshot.save()
        return before - len(state.segments)

    def check_place(self) -> None:
        """See :meth:`proglog.log.log.Log.check_place`."""
        state = self._state
        if not state.working:
            return
        self._look_at_the_disk()
        store = store_name(state.active.base_offset)
        file = state.active.file
        assert file is not None  # the last segment is the active one
        try:
            gone = "" if file.is_at(state.data_dir / store) else f"the active segment {store}"
            gone = gone if self._lock.is_in_place() else f"the data directory {state.data_dir}, or its file LOCK"
            gone = gone or self._gone_segment()
        except OSError as exc:
            state.problems.report("place", f"the data directory cannot be looked at: {error_words(exc)}")
            return
        state.problems.clear("place")
        if gone:
            state.poison(f"{gone}, was removed or replaced while the agent ran")

    def _gone_segment(self) -> str:
        """Return the name of a sealed segment whose file was seen and is no longer there, or is another one."""
        try:
            names = self._lock.changed_names()
        except OSError as exc:
            if exc.errno not in NO_DESCRIPTORS:
                raise
            return ""
        if names is None:
            return ""
        stores = {name: number for name, number in names.items() if name.endswith(STORE_SUFFIX)}
        changed = {name for name, number in self._stores.items() if stores.get(name) != number}
        self._stores = stores
        held = {store_name(segment.base_offset) for segment in self._state.segments} if changed else set()
        return f"the segment {min(changed & held)}" if changed & held else ""

    def _look_at_the_disk(self) -> None:
        if self._state.disk_usage().read_only and self._state.condition != "read-only":
            self._state.refuse(OSError(READ_ONLY[0], ""))

    def _look_at_the_clock(self) -> None:
        state = self._state
        last_ms, now_ms = max(segment.index.last_append_ms for segment in state.segments), state.now_ms()
        if last_ms > now_ms + retention.TOLERANCE_MS:
            what = (
                f"records were appended {timedelta(seconds=(last_ms - now_ms) // 1000)} ahead of this machine's clock,"
                " so it is or was wrong: their age is judged by the segments around them"
            )
            state.problems.report("clock", what)
        else:
            state.problems.clear("clock")

    def _look_at_positions(self) -> None:
        """Report that names are running out before one is refused, and which ones were evicted."""
        problems, positions = self._state.problems, self._state.derived.positions
        if len(positions) > MAX_NAMES * 0.9:
            what = (
                f"{len(positions):,} of {MAX_NAMES:,} names of positions are in use: beyond that, new ones are refused"
            )
            problems.report("positions", what)
        else:
            problems.clear("positions")
        largest, origins = positions.largest()
        origins = max(origins, len(self._state.origins))
        if origins > MAX_VECTOR_ORIGINS * 0.8:
            what = (
                f"{origins:,} origins are known, and a cursor names at most {MAX_VECTOR_ORIGINS:,}: beyond that,"
                f" consumers cannot read this log{f', and {largest!r} is read again in part' if largest else ''}"
            )
            problems.report("origins", what)
        else:
            problems.clear("origins")
        if positions.forgotten:
            what = f"{len(positions.forgotten):,} named positions were forgotten to make room, the last {positions.forgotten[-1]!r}"
            problems.report("positions-forgotten", what)

    def _look_at_the_limit(self) -> None:
        state = self._state
        limit = state.max_segment_bytes
        if limit < state.config.segment_bytes:
            whose = "RLIMIT_FSIZE" if state.files.max_file_bytes() == limit else "the file system"
            what = f"{whose} allows files of {limit:,} bytes: segments are rolled there, larger batches are refused"
            state.problems.report("file-limit", what)
        else:
            state.problems.clear("file-limit")

    def _look_whether_writes_are_taken(self) -> None:
        if not self._state.disk_usage().read_only:
            self._resume_with_room_for(1)

    def _look_for_room(self) -> None:
        """Probe whether a full disk accepts the refused write now."""
        usage = self._state.disk_usage()
        if not usage.total_bytes or usage.free_bytes > self._state.refused_bytes:
            self._resume_with_room_for(self._state.refused_bytes)

    def _resume_with_room_for(self, size: int) -> None:
        """Resume appends if the disk takes ``size`` bytes."""
        state = self._state
        try:
            self._small_files.find_room(size)
            self._opening.finish()
        except OSError as exc:
            state.detail = state.reason(exc)
        else:
            if state.opened:
                state.resume()

    def _try(self, key: str, what: str, task: Callable[[], None]) -> None:
        """Run ``task``. It risks nothing acknowledged: a failure is retried the next time."""
        state = self._state
        try:
            task()
        except StorageError as exc:
            state.problems.report(key, f"{what}: {exc}")
        except OSError as exc:
            if exc.errno in READ_ONLY:
                state.refuse(exc)  # the condition says it all
                return
            state.problems.report(key, f"{what}: {state.reason(exc)}")
        else:
            state.problems.clear(key)

    def _mark(self) -> None:
        self._small_files.mark_durable(clean=False)

    def _save_indexes(self) -> None:
        """Write indexes that could not be written when their segment was sealed.

        Raises:
            OSError: They still cannot.
        """
        for segment in self._state.segments:
            if segment.index.file_state == "missing":
                segment.write_index()

    def _retain(self) -> None:
        self._unlink_removed()
        count = self._expired()
        if not count:
            return
        try:
            self._remove(count)
        except (OSError, LogFullError) as exc:
            if isinstance(exc, OSError) and exc.errno not in FULL:
                raise
            self._give_up_indexes(self._state.segments[:count])
            self._opening.finish()
            self._remove(count)
        self._unlink_removed()

    def _give_up_indexes(self, going: Sequence[Segment]) -> None:
        """Free the space needed to record a removal on a full disk, by dropping indexes: they are hints."""
        state = self._state
        for segment in going:
            with suppress(FileNotFoundError):
                state.files.unlink(state.data_dir / index_name(segment.base_offset))
        state.files.sync_dir(state.data_dir)

    def _expired(self) -> int:
        segments, config = self._state.segments, self._state.config
        count = 0
        if config.retention_bytes is not None:
            count = retention.too_many([segment.size for segment in segments], config.retention_bytes)
        if config.retention_age is not None:
            now_ms = self._state.now_ms()
            if self._clock.agrees(now_ms, self._state.monotonic()):
                times = [segment.index.last_append_ms for segment in segments]
                count = max(count, retention.too_old(times, now_ms, config.retention_age))
        return count

    def _remove(self, count: int) -> None:
        """Remove the oldest segments from the log; delete their files once their content is recorded."""
        state = self._state
        going, staying = state.segments[:count], state.segments[count:]
        self._commit_positions_again(staying[0].base_offset, sum(segment.size for segment in going))
        staying = state.segments[count:]  # that may have rolled
        retired = Retired(
            start_offset=staying[0].base_offset, origins=retired_with(state.retired, state.origins, going)
        )
        self._small_files.save("retired", retired.to_json(state.origin))
        with state.mutex:
            state.retired = retired
            state.publish(
                replace(state.view.without_first(count), origins=state.origins.moved(lowered(state.origins, going)))
            )
            state.derived.producers.forget_before(state.start_offset)
            state.forget_removed_gaps(going)
        state.indexes.forget(going)
        self._removed += going

    def _unlink_removed(self) -> None:
        state = self._state
        while self._removed:
            segment = self._removed[0]
            remove_files(state.files, state.data_dir, segment.base_offset)
            segment.stores.forget(segment.base_offset)  # after it: a reader could open it again before
            state.files.sync_dir(state.data_dir)
            del self._removed[0]

    def _commit_positions_again(self, start: Offset, going_bytes: int) -> None:
        """Append again the named positions committed in removed segments; on a full disk the ballast makes room.

        Raises:
            StorageError: The disk refused, or it would free too little: nothing may be removed.
        """
        state = self._state
        resting = state.derived.positions.resting_before(start)
        commits = [
            LocalAppend(verify(commit))
            for name, each in resting.items()
            for commit in control.position_commits(name, each.epoch, each.vector, now_ms=each.at_ms, owner=each.owner)
        ]
        segment = state.active.base_offset
        commit_bytes = sum(commit.batch.header.batch_bytes for commit in commits)
        if commit_bytes * 2 > going_bytes:
            # Otherwise each run would write them once more, for a limit that they exceed by themselves.
            raise StorageError(f"{len(commits):,} named positions take {commit_bytes:,} of their {going_bytes:,} bytes")
        outcomes = self._appender.append(commits) if commits else []
        if any(isinstance(outcome, LogFullError) for outcome in outcomes) and self._small_files.has_ballast:
            self._small_files.drop_ballast()
            outcomes = self._appender.append(commits)
        for outcome in outcomes:
            if isinstance(outcome, ProglogError):
                raise outcome
        if commits:
            self._appender.sync()
            with state.mutex:
                state.derived.positions.rest_on(resting, segment)
