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

Readers see one immutable value, :class:`~proglog.log.view.View`. This is the facade; the parts, on one shared
:class:`~proglog.log.state.LogState`::

    Log --+-- recovery  local_origin   opening: recover from the last run; decide the origin
          +-- appending                stamp, write, sync, publish; roll
          +-- reading                  read, and find positions
          +-- refill damage interleave find the batches lost to damage, and restore them
          +-- gaps                     restore the batches that an origin continued without
          +-- snapshot derived_state   producers' last batches, named positions
          +-- opening                  the writes that must precede the first append
          +-- housekeeping             retention, the full disk, the durable mark

Source: Alagappan et al. 2018 (Protocol-Aware Recovery) for opening.
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
from proglog.log.gaps import GapFiller
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
from proglog.record.seal import is_sealed, kinship
from proglog.replication.positions import Positions
from proglog.replication.progress import Progress
from proglog.replication.ranges import NO_RANGES, Ranges, joined
from proglog.types import LOG_ID_BYTES, ORIGIN_BYTES, NodeName, Offset, OriginId, SequenceNumber, half_open


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
        self._gaps = GapFiller(state, self._snapshot)
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
        """Open the log in ``data_dir``, created if missing, and repair after a crash; ``recovery`` reports the repairs.

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

    # State

    @property
    def data_dir(self) -> Path:
        """The data directory."""
        return self._state.data_dir

    @property
    def config(self) -> LogConfig:
        """The storage configuration."""
        return self._state.config

    @property
    def recovery(self) -> RecoveryReport:
        """The findings and repairs of opening."""
        return self._state.recovery

    @property
    def origin(self) -> OriginId:
        """The origin that this directory writes under."""
        return self._state.origin

    def sealed(self, batch: VerifiedBatch) -> bool:
        """Return whether this directory, or a copy of it, wrote ``batch`` under the origin of now."""
        return batch.header.origin == self._state.origin and is_sealed(batch, self._state.origin_key)

    def kinship(self, prover: bytes, verifier: bytes) -> bytes:
        """See :func:`proglog.record.seal.kinship`; the key is the origin's."""
        return kinship(self._state.origin_key, prover, verifier)

    @property
    def state(self) -> str:
        """``ok``, ``full``, ``read-only``, ``poisoned`` or ``closed``."""
        return self._state.condition

    @property
    def state_detail(self) -> str:
        """Why the log is not ``ok``, in words; empty if it is."""
        return self._state.detail

    @property
    def sync_seconds(self) -> float:
        """How long the last sync of a group took; 0 where groups are not synced."""
        return self._appender.sync_seconds

    def problems(self) -> tuple[Problem, ...]:
        """Return the problems besides the state, with their start by the log's monotonic clock."""
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
        """The position after the last durable batch."""
        return self._state.end[1]

    @property
    def stored_bytes(self) -> int:
        """Bytes in all stores."""
        return sum(segment.size for segment in self._state.segments)

    @property
    def segment_count(self) -> int:
        """Number of segments, the active one included."""
        return len(self._state.segments)

    def progress(self, origin: OriginId) -> Progress | None:
        """Return what the log durably has of ``origin``; ``None`` if nothing."""
        return self._state.origins.get(origin)

    def origins(self) -> Positions:
        """Return what the log durably has of each origin, at this moment."""
        return self._state.view.origins

    def moved_since(self, version: int) -> Moved:
        """Return the origins that moved since an answer of that version, and the durable end at that moment; 0: all.

        The cost depends on what moved, not on the number of origins.
        """
        view = self._state.view
        return Moved(*view.end, view.origins.version, view.origins.since(version))

    def segments(self) -> list[SegmentInfo]:
        """Return the segments in order."""
        return [segment.info for segment in self._state.segments]

    def holds(self, appended: Appended) -> bool:
        """Return whether the log still holds a batch: not removed by retention nor known to be damaged. Reads nothing."""
        return reading.holds(self._state, appended.base_offset, appended.end_offset)

    def damaged(self) -> list[DamagedRange]:
        """Return the ranges that cannot be read, in order."""
        return self._state.damaged()

    def missing(self) -> list[MissingRange]:
        """Return the sequences in damaged ranges and gaps that are nowhere else in this log, its own origin's included.

        Computed once for each change of the damage, by walking the headers of damaged segments.

        Raises:
            StorageError: The disk could not be read.
        """
        return [*self._refiller.missing(), *self._gaps.missing()]

    def gaps(self) -> list[MissingRange]:
        """Return the sequences of the gaps: no node that could be asked had them when their origin continued here."""
        return self._gaps.missing()

    @property
    def has_losses(self) -> bool:
        """Whether anything in its segments cannot be read, with records in it or without."""
        return bool(self._state.view.losses)

    @property
    def may_lack(self) -> bool:
        """Whether :meth:`missing` may have something to say, or :meth:`hide` to take back."""
        return bool(self._state.hidden or self._state.view.damaged() or self._state.view.gaps())

    def hides(self, missing: Sequence[MissingRange]) -> bool:
        """Return whether :meth:`origins` says already what is ``missing``."""
        return self._state.hidden == self._by_damage(missing)

    def _by_damage(self, missing: Sequence[MissingRange]) -> dict[OriginId, Ranges]:
        """Return the ranges hidden by damage, by origin; those of gaps are in the origins' progress from the start."""
        gaps = set(self._gaps.missing())
        return _by_origin([each for each in missing if each not in gaps])

    def named_positions(self) -> dict[str, CommittedPosition]:
        """Return the positions of named consumers, from the commits in this log."""
        with self._state.mutex:
            return self._state.derived.positions.values()

    def takes_position(self, name: str, origins: int, at_ms: int) -> bool:
        """Return whether a commit of ``name`` with so many origins has room at that time, milliseconds since 1970."""
        with self._state.mutex:
            return self._state.derived.positions.takes(name, origins, at_ms)

    def disk_usage(self) -> tuple[int, int]:
        """Return (free, total) bytes of the disk; zeros if unknown."""
        usage = self._state.disk_usage()
        return usage.free_bytes, usage.total_bytes

    # Reading

    def read_cached(self, at: LogPosition, max_bytes: int) -> LogRead | None:
        """Do as :meth:`read`, but only in the active segment and from memory: never wait for the disk.

        Returns:
            ``None`` where only :meth:`read` can answer.

        Raises:
            StorageError: The log is closed.
        """
        return reading.read_cached(self._state, at, max_bytes)

    def read(self, at: LogPosition, max_bytes: int) -> LogRead:
        """Return whole batches from ``at`` on, exactly as stored.

        Args:
            at: From this log.
            max_bytes: Soft limit: the first batch is returned even when it is larger.

        Returns:
            Batches of one segment, and the position after them; nothing, and the same position, at the durable end.

        Raises:
            DataLossError: The batch there is damaged; continue by seeking the error's ``end``.
            OffsetOutOfRangeError: Retention removed the segment.
            StorageError: The disk could not be read, or the log is closed.
        """
        return reading.read(self._state, at, max_bytes)

    def batch_at(self, at: LogPosition) -> VerifiedBatch | None:
        """Return the batch at ``at``, or the next one after an end of a segment, all of it checked now.

        Returns:
            ``None`` at the durable end.

        Raises:
            As :meth:`read`.
        """
        return reading.batch_at(self._state, at)

    def sound_batches(self, start: LogPosition, data: bytes) -> Iterator[tuple[int, BatchHeader]]:
        """Yield (index, header) of the batches of ``data`` that are intact and in their place.

        Args:
            start: Where ``data`` was read.
            data: As returned by :meth:`read`.

        Raises:
            OffsetOutOfRangeError: Retention removed the segment.
        """
        return self._state.view.segment_at(start.segment).sound_batches(start.position, data)

    def recheck(self, at: LogPosition, size: int) -> None:
        """Recheck ``size`` bytes from ``at`` on, which were read and did not check out.

        A read trusts bytes that this process wrote or checked before. Data can still decay on disk; callers that detect
        it report it here, and :meth:`damaged` includes it from then on.

        Raises:
            OffsetOutOfRangeError: Retention removed the segment.
            StorageError: The disk could not be read.
        """
        reading.recheck(self._state, at, size)

    def seek(self, offset: Offset) -> LogPosition:
        """Return the position of the batch that holds ``offset``; the end for ``end_offset``.

        Raises:
            OffsetOutOfRangeError: ``offset`` is not in ``[start_offset, end_offset]``.
            DataLossError: It is damaged.
        """
        return reading.seek(self._state, offset)

    def seek_damage(self, offset: Offset) -> LogPosition | None:
        """Return where the damage begins that is known to hold ``offset``; ``None`` if there is none."""
        return reading.seek_damage(self._state, offset)

    def after_damage(self, at: LogPosition) -> LogPosition:
        """Return the first position at or after ``at`` without known damage, past all adjoining ranges.

        Raises:
            OffsetOutOfRangeError: Retention removed the segment.
        """
        return reading.after_damage(self._state, at)

    def seek_sequence(self, origin: OriginId, sequence: SequenceNumber) -> LogPosition:
        """Return the position of the batch of ``origin`` that holds ``sequence``.

        Raises:
            NotFoundError: The origin is unknown, does not reach that sequence, no longer keeps it, or the batch is
                damaged.
        """
        return reading.seek_sequence(self._state, origin, sequence)

    def seek_before(self, origin: OriginId, sequence: SequenceNumber) -> LogPosition:
        """Return a position before everything of ``origin`` from ``sequence`` on, and before damage in front of it.

        It is the start of the last segment with an earlier sequence, or of the log, so that a pass meets the damage.
        """
        return reading.seek_before(self._state, origin, sequence)

    def seek_time(self, time_ms: int) -> Offset:
        """Return the offset of the first record with a timestamp of ``time_ms`` or later; the end if there is none.

        If damage may have held it, the offset is where that damage begins.
        """
        return reading.seek_time(self._state, time_ms)

    def positions_at(self, at: LogPosition) -> dict[OriginId, SequenceNumber]:
        """Return the position vector of a consumer that has read up to ``at``: the next sequence of every origin.

        It omits origins that begin later. Batches hidden by damage right before ``at`` do not count.

        Args:
            at: From this log.

        Raises:
            OffsetOutOfRangeError: Retention removed the segment.
            StorageError: The disk could not be read.
        """
        return vector.positions_at(self._state, at)

    # Writing: one thread

    def append(self, appends: Sequence[Append]) -> list[Outcome]:
        """Append a group: stamp, write, sync once (under ``FsyncPolicy.ALWAYS``), then publish it to readers.

        Returns:
            An outcome for each, in order. A copy that does not fit is refused without affecting the others:
            ``SequenceGapError``, ``ForkedOriginError``. A batch that its producer sent before yields a ``Duplicate``,
            one that does not follow its last one a ``ProducerSequenceError``. Each batch that was not made durable
            yields a ``StorageError``: after ``LogFullError`` nothing of it is in the log; after ``LogPoisonedError``
            that is unknown.
        """
        return self._appender.append(appends)

    def begin_origin(self, reason: str) -> OriginId:
        """Switch to a new origin: its first batch, durable on return, names the old one.

        From then on, others' copies of the old origin can be imported. A crash at any moment leaves the old origin or the
        new one; if the first batch cannot be written, the old one stays.

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
        self._state.hide(self._by_damage(missing))

    def refill(self, batches: Sequence[VerifiedBatch]) -> list[DamagedRange]:
        """Restore batches lost to damage, or missing in a gap: keep candidates until they fill a range to the byte.

        The origin's chains before and after the damage prove every batch written. Batches outside missing ranges are
        ignored. At most 64 MiB of candidates are kept, and those of other ranges are evicted first; a range that lacks
        batches of only one origin is written as they arrive, and stays a hole until it is complete. A part of a gap is
        restored as soon as it touches what is around the gap.

        Args:
            batches: Batches of :meth:`missing` ranges, from any node, in any order and any number of calls.

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
            return [*self._refiller.refill(batches), *self._gaps.fill(batches)]
        except OSError as exc:
            raise StorageError(f"data directory {self.data_dir}: {error_words(exc)}") from exc

    def accept(self, start: Offset, end: Offset, *, by: str, reason: str) -> list[DamagedRange]:
        """Record the damage between two offsets as accepted: lost for good, as far as the operator knows.

        Reads treat it as before, and it is still healed should a peer turn up that has it.

        Args:
            start: Selects damaged ranges that begin here or later...
            end: ...and end here or before.
            by: Name of the operator.
            reason: In words, for operators.

        Returns:
            The ranges that are accepted now.

        Raises:
            NotFoundError: There is no damaged range that is not accepted yet.
            StorageError: It could not be saved.
        """
        accepted = self._state.accept(start, end, Acceptance(by, self._state.now_ms(), reason))
        if not accepted:
            raise NotFoundError(
                f"no damaged range that is not accepted yet lies within offsets {half_open(start, end)}"
            )
        try:
            self._small_files.save_losses()
        except OSError as exc:
            raise StorageError(f"the file 'lost' could not be written: {error_words(exc)}") from exc
        return [described(loss) for loss in accepted]

    @property
    def step(self) -> str:
        """What the thread that appends is in the middle of: ``sync``, ``snapshot``; empty: something else, or nothing."""
        return self._state.step

    def sync(self) -> None:
        """Make everything appended durable: called by the timer of ``FsyncPolicy.INTERVAL``."""
        self._appender.sync()

    def retain(self) -> int:
        """Do the housekeeping: check whether the disk accepts writes again, record the durable end, apply retention.

        Call it every few seconds from the thread that appends. A task that fails is a problem until it succeeds.

        Returns:
            The number of segments removed.
        """
        return self._housekeeper.retain()

    def publish_on(self, submit: Submit | None, disk_thread: int = 0) -> None:
        """Publish damage found by readers on one thread, the one that appends.

        Args:
            submit: Runs a function there; ``None``: from now on one thread at a time uses the log.
            disk_thread: The result of ``threading.get_ident`` there.
        """
        self._state.submit, self._state.disk_thread = submit, disk_thread

    def poison(self) -> None:
        """Refuse everything from now on: a bug left a write half done. A restart recovers what is on disk."""
        if self._state.working:
            self._state.poison("a bug has left a write half done")

    def check_place(self) -> None:
        """Check that directory and active segment are still where they were opened; poison the log if they are not.

        Cheap: call it several times a second, from the thread that appends. Writes to a file without a name are lost
        when the process ends, and must not be acknowledged.
        """
        self._housekeeper.check_place()

    def close(self) -> None:
        """Sync, write the index of the active segment and the mark of a clean stop, and release the files. Idempotent."""
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
