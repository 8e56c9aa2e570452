"""The commit log: segments in order, the last one active. One thread appends; any thread reads what is durable.

::

    data directory
      LOCK                          flock; holds the owner's process id
      identity  origin              small files, see checkpoint.py
      durable  retired
      lost  lost.copy             what cannot be read, see losses.py
      derived                       a hint, see derived_state.py
      ballast                       room to work in when the disk is full
      00000000000000000000.log      batches back to back
      00000000000000000000.index    a hint

What readers see is one immutable value, :class:`~proglog.log.view.View`. This is the face; the parts, on one shared
:class:`~proglog.log.state.LogState`::

    Log --+-- recovery  local_origin   opening: what the last life left; whose log it is
          +-- appending                stamp, write, sync, show; roll
          +-- reading                  read, and find places
          +-- refill damage interleave what damage took, and putting it back
          +-- snapshot derived_state   producers' last batches, named positions
          +-- opening                  what has to be written before the first append
          +-- housekeeping             retention, the full disk, the durable mark

Source: Alagappan et al. 2018 (Protocol-Aware Recovery) for what opening does.
"""

import os
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from proglog import clock
from proglog.errors import DataDirLockedError, NotFoundError, StorageError
from proglog.log import reading, vector
from proglog.log.appending import Appender
from proglog.log.config import LogConfig
from proglog.log.files import FileSystem, Lock, OsFiles, error_words, read_all
from proglog.log.housekeeping import Housekeeper
from proglog.log.identity import identify
from proglog.log.local_origin import LocalOrigin
from proglog.log.losses import Acceptance
from proglog.log.model import (
    Append,
    Appended,
    DamagedRange,
    LogPosition,
    LogRead,
    MissingRange,
    Moved,
    Outcome,
    SegmentInfo,
)
from proglog.log.named_positions import CommittedPosition
from proglog.log.opening import Opening
from proglog.log.problems import Problem
from proglog.log.recovery import Recovery, RecoveryReport
from proglog.log.refill import Refiller
from proglog.log.small_files import SmallFiles
from proglog.log.snapshot import Snapshot
from proglog.log.state import LogState, Submit, described
from proglog.record.batch import BatchHeader, VerifiedBatch
from proglog.replication.positions import Positions
from proglog.replication.progress import Progress
from proglog.replication.ranges import NO_RANGES, Ranges, joined
from proglog.types import LOG_ID_BYTES, ORIGIN_BYTES, NodeName, Offset, OriginId, SequenceNumber


class Log:
    """A log in a directory that this process owns. Open it with :meth:`open`."""

    def __init__(
        self, state: LogState, lock: Lock, recovery: Recovery, node_name: NodeName, new_origin: Callable[[], bytes]
    ) -> None:
        """Use :meth:`open`."""
        self._state = state
        self._lock = lock
        self._small_files = SmallFiles(state, recovery.mark)
        self._snapshot = Snapshot(state)
        self._appender = Appender(state, self._snapshot)
        self._refiller = Refiller(state, self._snapshot, self._small_files)
        self._local_origin = LocalOrigin(state, self._small_files, self._appender, node_name, new_origin)
        opening = Opening(state, recovery, self._small_files, self._local_origin)
        self._housekeeper = Housekeeper(state, self._small_files, self._appender, self._snapshot, opening, lock)

    @classmethod
    def open(
        cls,
        data_dir: Path,
        config: LogConfig | None = None,
        *,
        node_name: NodeName,
        files: FileSystem | None = None,
        now_ms: Callable[[], int] = clock.now_ms,
        monotonic: Callable[[], float] = time.monotonic,
        new_origin: Callable[[], bytes] = lambda: os.urandom(ORIGIN_BYTES),
        new_log_id: Callable[[], bytes] = lambda: os.urandom(LOG_ID_BYTES),
    ) -> "Log":
        """Open the log in ``data_dir``, made if missing, and repair what a crash left; ``recovery`` says what that was.

        Raises:
            DataDirLockedError: Another process owns the directory.
            StorageError: It cannot be read or written.
        """
        state = LogState(data_dir, config or LogConfig(), files or OsFiles(), now_ms, monotonic)
        try:
            state.files.make_dir(data_dir)
            lock = _take_lock(state)
            try:
                identified = identify(state.files, data_dir, new_log_id)
                state.log_id = identified.log_id
                return cls._recover(state, lock, node_name, new_origin, identified.bound_stores)
            except BaseException:
                state.let_go()
                lock.release()
                raise
        except OSError as exc:
            raise StorageError(f"data directory {data_dir}: {error_words(exc)}") from exc

    @classmethod
    def _recover(
        cls, state: LogState, lock: Lock, node_name: NodeName, new_origin: Callable[[], bytes], bound_stores: int
    ) -> "Log":
        recovery = Recovery(state.files, state.data_dir, state.log_id, state.config.index_interval_bytes)
        state.recovery, state.retired = recovery.report, recovery.retired
        if bound_stores:
            state.recovery.notes.append(f"{bound_stores} segments of an earlier release were carried over to format 2")
        state.open_view(recovery.open_segments(), recovery.listed)
        state.losses_number = recovery.losses_number
        state.collect_origins(is_complete=recovery.knows_retired)
        log = cls(state, lock, recovery, node_name, new_origin)
        log._housekeeper.open()
        log._snapshot.load()
        return log

    # What is there

    @property
    def data_dir(self) -> Path:
        """Where it is."""
        return self._state.data_dir

    @property
    def config(self) -> LogConfig:
        """How it stores."""
        return self._state.config

    @property
    def recovery(self) -> RecoveryReport:
        """What opening it found and did."""
        return self._state.recovery

    @property
    def origin(self) -> OriginId:
        """Who writes here."""
        return self._state.origin

    @property
    def state(self) -> str:
        """``ok``, ``full``, ``read-only``, ``poisoned`` or ``closed``."""
        return self._state.condition

    @property
    def state_detail(self) -> str:
        """Why the log is not ``ok``, in words; empty while it is."""
        return self._state.detail

    def problems(self) -> tuple[Problem, ...]:
        """Return what is wrong besides the state, and since when, by the log's monotonic clock."""
        return self._state.problems.values()

    @property
    def start_offset(self) -> Offset:
        """Offset of the oldest record kept."""
        return self._state.start_offset

    @property
    def end_offset(self) -> Offset:
        """One past the last durable record."""
        return self._state.end[0]

    @property
    def end_position(self) -> LogPosition:
        """The place after the last durable batch."""
        return self._state.end[1]

    @property
    def stored_bytes(self) -> int:
        """Of all stores."""
        return sum(segment.size for segment in self._state.segments)

    @property
    def segment_count(self) -> int:
        """Segments, the active one included."""
        return len(self._state.segments)

    def progress(self, origin: OriginId) -> Progress | None:
        """Return what the log durably has of ``origin``; ``None`` if nothing."""
        return self._state.origins.get(origin)

    def origins(self) -> Positions:
        """Return what the log durably has of each origin, at this moment."""
        return self._state.view.origins

    def moved_since(self, version: int) -> Moved:
        """Return what has moved since an earlier answer of that version, and the durable end as of just then; 0: all.

        Costs what has moved, however many origins there are.
        """
        view = self._state.view
        return Moved(*view.end, view.origins.version, view.origins.since(version))

    def segments(self) -> list[SegmentInfo]:
        """Return the segments in order."""
        return [segment.info for segment in self._state.segments]

    def holds(self, appended: Appended) -> bool:
        """Return whether a batch is here still: neither removed by retention nor known to be damaged. Reads nothing."""
        return reading.holds(self._state, appended.base_offset, appended.end_offset)

    def damaged(self) -> list[DamagedRange]:
        """Return the ranges that cannot be read, in order."""
        return self._state.damaged()

    def missing(self) -> list[MissingRange]:
        """Return what stood in damaged ranges and is nowhere else in this log, its own origin's included.

        Found once for each change of the damage, by walking the headers of damaged segments.

        Raises:
            StorageError: The disk could not be read.
        """
        return self._refiller.missing()

    @property
    def may_lack(self) -> bool:
        """Whether :meth:`missing` may have something to say, or :meth:`hide` to take back."""
        return bool(self._state.hidden or self._state.damaged())

    def hides(self, missing: Sequence[MissingRange]) -> bool:
        """Return whether :meth:`origins` says already what is ``missing``."""
        return self._state.hidden == _by_origin(missing)

    def named_positions(self) -> dict[str, CommittedPosition]:
        """Return how far named consumers are, as far as commits have come here."""
        with self._state.mutex:
            return self._state.derived.positions.values()

    def takes_position(self, name: str, at_ms: int) -> bool:
        """Return whether a commit of ``name`` at that time, milliseconds since 1970, finds room among those in use."""
        with self._state.mutex:
            return self._state.derived.positions.takes(name, at_ms)

    def disk_usage(self) -> tuple[int, int]:
        """Return (free, total) bytes of the disk; zeros if it does not say."""
        usage = self._state.disk_usage()
        return usage.free_bytes, usage.total_bytes

    # Reading

    def read_cached(self, at: LogPosition, max_bytes: int) -> LogRead | None:
        """As :meth:`read`, but only in the active segment and only what is in memory: never waits for the disk.

        Returns:
            ``None`` where :meth:`read` has to be asked.

        Raises:
            StorageError: The log is closed.
        """
        return reading.read_cached(self._state, at, max_bytes)

    def read(self, at: LogPosition, max_bytes: int) -> LogRead:
        """Return whole batches from ``at`` on, unchanged, as they stand in the store.

        Args:
            at: From this log.
            max_bytes: Soft limit: the first batch is returned even when it is larger.

        Returns:
            Batches of one segment, and the place after them; nothing, and the same place, at the durable end.

        Raises:
            DataLossError: The batch there is damaged; its ``end`` can be sought.
            OffsetOutOfRangeError: Retention removed the segment.
            StorageError: The disk could not be read, or the log is closed.
        """
        return reading.read(self._state, at, max_bytes)

    def sound_batches(self, start: LogPosition, data: bytes) -> Iterator[tuple[int, BatchHeader]]:
        """Yield (index, header) of the batches of ``data`` that are whole and stand where they belong.

        Args:
            start: Where ``data`` was read.
            data: As :meth:`read` gave it.

        Raises:
            OffsetOutOfRangeError: Retention removed the segment.
        """
        return self._state.view.segment_at(start.segment).sound_batches(start.position, data)

    def recheck(self, at: LogPosition, size: int) -> None:
        """Look again at ``size`` bytes from ``at`` on, which were read and did not check out.

        A read trusts what this process wrote or checked before. Disks rot all the same: who checks what it reads says so
        here, and :meth:`damaged` knows it from then on.

        Raises:
            OffsetOutOfRangeError: Retention removed the segment.
            StorageError: The disk could not be read.
        """
        reading.recheck(self._state, at, size)

    def seek(self, offset: Offset) -> LogPosition:
        """Return the place of the batch that holds ``offset``; the end for ``end_offset``.

        Raises:
            OffsetOutOfRangeError: ``offset`` is not in ``[start_offset, end_offset]``.
            DataLossError: It is damaged.
        """
        return reading.seek(self._state, offset)

    def seek_readable(self, offset: Offset) -> LogPosition:
        """Return the place of the batch that holds ``offset``, or of what follows the damage that it is in.

        Raises:
            OffsetOutOfRangeError: ``offset`` is not in ``[start_offset, end_offset]``.
        """
        return reading.seek_readable(self._state, offset)

    def after_damage(self, at: LogPosition) -> LogPosition:
        """Return the first place at or after ``at`` that no damage is known of: right behind all that touches.

        Raises:
            OffsetOutOfRangeError: Retention removed the segment.
        """
        return reading.after_damage(self._state, at)

    def seek_sequence(self, origin: OriginId, sequence: SequenceNumber) -> LogPosition:
        """Return the place of the batch of ``origin`` that holds ``sequence``.

        Raises:
            NotFoundError: The origin is not known here, or does not reach to that sequence, or no longer, or the
                batch is damaged.
        """
        return reading.seek_sequence(self._state, origin, sequence)

    def seek_before(self, origin: OriginId, sequence: SequenceNumber) -> LogPosition:
        """Return a place before all that the log has of ``origin`` from ``sequence`` on, and before damage in front of it.

        It is the start of the last segment with something earlier, or of the log: what is damaged is looked for there.
        """
        return reading.seek_before(self._state, origin, sequence)

    def seek_time(self, time_ms: int) -> Offset:
        """Return the offset of the first record with a timestamp of ``time_ms`` or later; the end if there is none."""
        return reading.seek_time(self._state, time_ms)

    def positions_at(self, at: LogPosition) -> dict[OriginId, SequenceNumber]:
        """Return the next sequence of every origin as of a place: what somebody who stands there has consumed.

        Origins that begin after the place are not in it. What damage hides right before the place does not count.

        Args:
            at: From this log.

        Raises:
            OffsetOutOfRangeError: Retention removed the segment.
            StorageError: The disk could not be read.
        """
        return vector.positions_at(self._state, at)

    # Writing: one thread

    def append(self, appends: Sequence[Append]) -> list[Outcome]:
        """Append a group: stamp, write, sync once (under ``FsyncPolicy.ALWAYS``), then show it to readers.

        Returns:
            An outcome for each, in order. A copy that does not fit is refused without hindering the others:
            ``SequenceGapError``, ``ForkedOriginError``. A batch that its producer sent before is answered with a
            ``Duplicate``, one that does not follow its last one with a ``ProducerSequenceError``. A ``StorageError`` stands for each batch that was not made
            durable: after ``LogFullError`` nothing of it is in the log; after ``LogPoisonedError`` that is unknown.
        """
        return self._appender.append(appends)

    def begin_origin(self, reason: str) -> OriginId:
        """Write under a new origin from now on: its first batch, durable on return, names the old one.

        What others copied of the old origin can be imported here from then on. A crash at any moment leaves the old
        origin or the new one; where the first batch cannot be written, the old one goes on.

        Args:
            reason: In words, for operators: "a peer knows more of this origin than this log".

        Returns:
            The new origin.

        Raises:
            StorageError: The disk refused, or the log is closed.
        """
        try:
            return self._local_origin.begin(reason)
        except OSError as exc:
            raise StorageError(f"the file 'origin' could not be written: {exc.strerror or exc}") from exc

    def hide(self, missing: Sequence[MissingRange]) -> None:
        """Have :meth:`origins` say what is ``missing``, and nothing else."""
        self._state.hide(_by_origin(missing))

    def refill(self, batches: Sequence[VerifiedBatch]) -> list[DamagedRange]:
        """Put back what damage took: candidates are kept until a damaged range can be filled to the byte.

        Every batch written is proved by the chains of its origin, before the damage and after it. Batches of no missing
        range are ignored. At most 64 MiB of candidates are kept, those of other ranges go first; a range that lacks batches
        of one origin only is written as they come, and is a hole until it is whole.

        Args:
            batches: What :meth:`missing` asked for, from any node, in any order and any number of calls.

        Returns:
            The ranges that can be read again.

        Raises:
            ForkedOriginError: A candidate belongs to another history of its origin; nothing of it is kept.
            LogFullError: There is no room to lengthen a store that was cut; try again.
            StorageError: The disk refused, or the log is closed.
        """
        refusal = self._state.refusal()
        if refusal is not None:
            raise refusal
        try:
            return self._refiller.refill(batches)
        except OSError as exc:
            raise StorageError(f"data directory {self.data_dir}: {error_words(exc)}") from exc

    def accept(self, start: Offset, end: Offset, *, by: str, reason: str) -> list[DamagedRange]:
        """Write down that what is damaged between two offsets is lost for good, as far as anybody knows.

        It is read as before, and healed all the same should a peer turn up that has it.

        Args:
            start: Damaged ranges that begin here or later...
            end: ...and end here or before are meant.
            by: Who says so.
            reason: In words, for operators.

        Returns:
            The ranges that are accepted now.

        Raises:
            NotFoundError: There is no damaged range that is not accepted yet.
            StorageError: It could not be written down.
        """
        accepted = self._state.accept(start, end, Acceptance(by, self._state.now_ms(), reason))
        if not accepted:
            raise NotFoundError(f"no damaged range that is not accepted yet lies within offsets {start} to {end}")
        try:
            self._small_files.save_losses()
        except OSError as exc:
            raise StorageError(f"the file 'lost' could not be written: {error_words(exc)}") from exc
        return [described(loss) for loss in accepted]

    def sync(self) -> None:
        """Make everything appended durable: what ``FsyncPolicy.INTERVAL`` calls by its timer."""
        self._appender.sync()

    def retain(self) -> int:
        """Keep house: see whether the disk takes writes again, record how far the log is durable, apply retention.

        Call it every few seconds from the thread that appends. What fails is a problem until it succeeds.

        Returns:
            How many segments were removed.
        """
        return self._housekeeper.retain()

    def publish_on(self, submit: Submit | None, disk_thread: int = 0) -> None:
        """Have what readers find to be damaged published by one thread, the one that appends.

        Args:
            submit: Has something done there; ``None``: from now on one thread at a time uses the log.
            disk_thread: What ``threading.get_ident`` says there.
        """
        self._state.submit, self._state.disk_thread = submit, disk_thread

    def poison(self) -> None:
        """Take nothing more: a bug has left the writer's work half done. A restart finds out what is on disk."""
        if self._state.working:
            self._state.poison("a bug has left a write half done")

    def check_place(self) -> None:
        """See whether directory and active segment are still where they were opened; poison the log if they are not.

        Cheap: call it several times a second, from the thread that appends. What is written to a file without a name is
        lost at the end of the process, and must not be acknowledged.
        """
        self._housekeeper.check_place()

    def close(self) -> None:
        """Sync, write the index of the active segment and the mark of an orderly end, and let go. Idempotent."""
        state = self._state
        if state.condition == "closed":
            return
        self.sync()
        orderly = state.opened and state.condition in ("ok", "full")
        state.condition = "closed"
        try:
            if orderly:
                self._small_files.save_losses()
                state.active.save_index()
                self._snapshot.save()
                self._small_files.mark_durable(clean=True)
                self._small_files.refill_ballast()  # it may have made room for the mark, and the next start needs it
        except OSError:
            state.recovery.clean = False  # a hint: without it the next start scans the active segment
        finally:
            state.let_go()
            self._lock.release()


def _by_origin(missing: Sequence[MissingRange]) -> dict[OriginId, Ranges]:
    ranges: dict[OriginId, Ranges] = {}
    for origin, start, end in missing:
        ranges[origin] = joined((*ranges.get(origin, NO_RANGES), (start, end)))
    return ranges


def _take_lock(state: LogState) -> Lock:
    path = state.data_dir / "LOCK"
    try:
        return state.files.lock(path)
    except BlockingIOError as exc:
        owner = read_all(state.files, path, 32).strip().decode("ascii", "replace")
        raise DataDirLockedError(str(state.data_dir), f"process {owner}" if owner.isdigit() else "") from exc
