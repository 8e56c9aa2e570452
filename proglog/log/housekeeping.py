"""Keeping house, every few seconds: retention, a full disk that may have room again, the durable mark."""

from dataclasses import replace

from proglog.errors import LogFullError, ProglogError, StorageError
from proglog.log import retention
from proglog.log.appending import Appender
from proglog.log.checkpoint import Retired, RetiredOrigin
from proglog.log.model import LocalAppend
from proglog.log.recovery import remove_files
from proglog.log.segment import Segment
from proglog.log.small_files import SmallFiles
from proglog.log.state import FULL, LogState
from proglog.record import control
from proglog.record.batch import verify
from proglog.types import Offset, OriginId


class Housekeeper:
    """See the module. Runs on the thread that appends."""

    def __init__(self, state: LogState, small_files: SmallFiles, appender: Appender) -> None:
        """Keep what is needed."""
        self._state = state
        self._small_files = small_files
        self._appender = appender
        self._clock = retention.ClockWatch(state.config.retention_age or 0.0)

    def retain(self) -> int:
        """See :meth:`proglog.log.log.Log.retain`."""
        state, small_files = self._state, self._small_files
        if not state.working:
            return 0
        count = self._expired()
        try:
            if count:
                self._remove(count)
            if not small_files.has_ballast:
                small_files.refill_ballast()
            if state.condition == "full":
                self._look_for_room()
            elif not self._appender.unsynced:
                small_files.mark_durable(clean=False)
        except StorageError:
            return 0  # the state of the log says so
        except OSError as exc:
            # Nothing acknowledged is at stake: what was not removed or marked is, the next time.
            if exc.errno not in FULL:
                state.recovery.notes.append(f"housekeeping: {exc.strerror or exc}")
            return 0
        return count

    def _look_for_room(self) -> None:
        free, total = self._state.disk_usage()
        if self._small_files.has_ballast and (not total or free > self._state.refused_bytes):
            self._state.condition = "ok"

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
        """Remove the oldest segments: first the record of what they held, then the files."""
        state = self._state
        self._commit_positions_again(state.segments[count].base_offset)
        going, staying = state.segments[:count], state.segments[count:]
        retired = Retired(start_offset=staying[0].base_offset, origins=self._retire(going))
        self._small_files.save("retired", retired.to_json(state.origin))
        with state.mutex:
            state.retired = retired
            state.segments, state.bases = staying, [segment.base_offset for segment in staying]
            for segment in going:
                self._lower(segment)
            state.derived.producers.forget_before(state.start_offset)
        state.indexes.forget(going)
        for segment in going:
            remove_files(state.files, state.data_dir, segment.base_offset)
            segment.stores.forget(segment.base_offset)  # after it: a reader could open it again before
        state.files.sync_dir(state.data_dir)

    def _commit_positions_again(self, start: Offset) -> None:
        """Append the named positions that rest on what goes; the ballast makes room for that on a full disk.

        Raises:
            StorageError: The disk refused: nothing may be removed.
        """
        state = self._state
        resting = state.derived.positions.resting_before(start)
        commits = [
            LocalAppend(verify(control.position_commit(name, each.epoch, each.vector, now_ms=each.at_ms)))
            for name, each in resting.items()
        ]
        outcomes = self._appender.append(commits) if commits else []
        if any(isinstance(outcome, LogFullError) for outcome in outcomes) and self._small_files.has_ballast:
            self._small_files.drop_ballast()
            outcomes = self._appender.append(commits)
        for outcome in outcomes:
            if isinstance(outcome, ProglogError):
                raise outcome
        if commits:
            self._appender.sync()

    def _retire(self, going: list[Segment]) -> dict[OriginId, RetiredOrigin]:
        origins = dict(self._state.retired.origins)
        for segment in going:
            for origin, span in segment.index.origins.items():
                origins[origin] = RetiredOrigin(
                    next_sequence=span.next_sequence,
                    chain_crc=span.chain_crc,
                    last_append_ms=span.last_append_ms,
                    node_name=span.node_name or self._state.origins[origin].node_name,
                )
        return origins

    def _lower(self, segment: Segment) -> None:
        origins = self._state.origins
        for origin, span in segment.index.origins.items():
            held = origins[origin]
            origins[origin] = replace(
                held,
                floor_sequence=max(held.floor_sequence, span.next_sequence),
                bytes=held.bytes - span.stored_bytes,
            )
