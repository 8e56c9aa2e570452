"""A consumer's pass through a log by position vector: which batches it gets, and which sequences are gone.

One walk in log order serves all origins, since a log holds each origin's batches in sequence. It starts at the earliest
place that any origin needs. ::

    batch met    before the vector          ->  skipped
                 at it, or across it        ->  sent whole; the receiver cuts what it already has
                 after it                   ->  the sequences between are gone: an error, or reported and skipped
                 a gap                      ->  reported: no node could supply these
                 another without records    ->  sent to clients that request control batches; else reported as passed
    retention    removed what is wanted     ->  gone, reported before the first batch
    damage       with records in it         ->  an error; or skipped, and its records are gone
    the end      of the log                 ->  the end of an origin that was lost to damage is gone as well

In a log with damage, a jump that no lost records explain is a lost control batch: no consumer misses it, but the sequences
are reported all the same. In a log without any, a jump is a defect, and nothing is reported: the client refuses what comes
behind it. Checksums are verified again before bytes leave, so that the first
read finds data that decayed under a running agent.

No sockets, no waiting: those are in :mod:`proglog.server.batch_service`.
"""

from collections.abc import Mapping
from enum import Enum
from typing import NamedTuple

from proglog.errors import DataLossError, NotFoundError, PositionGoneError
from proglog.log.log import Log
from proglog.log.model import LogPosition, LogRead
from proglog.record.batch import BatchHeader
from proglog.replication.progress import FIRST_SEQUENCE
from proglog.replication.ranges import NO_RANGES, within, without
from proglog.types import FilePosition, Offset, OriginId, SequenceNumber

NO_END = Offset((1 << 63) - 1)
MAX_TAKEN = 400
"""Most batches examined in one step: about 5 ms of the loop, however small they are."""


class GoneCause(Enum):
    """Why a log cannot give a consumer a range, in words."""

    RETENTION = "retention removed it"
    GAP = "no node could give it"
    DAMAGE = "it is damaged on this node; another one may have it"
    NO_RECORDS = "it held no records"


class GoneRange(NamedTuple):
    """Sequences in ``[start, end)`` that this log cannot give a consumer."""

    origin: OriginId
    start: SequenceNumber
    end: SequenceNumber
    reason: GoneCause


class VectorPass:
    """Where to read, and which batches of it are wanted. Read at ``at``, pass the result to :meth:`take`."""

    def __init__(
        self,
        log: Log,
        positions: Mapping[OriginId, SequenceNumber],
        *,
        skip_gone: bool,
        at: LogPosition | None = None,
        behind_damage: bool = False,
        control: bool = True,
    ) -> None:
        """Start at ``at``, with ``positions`` as the vector before it; without ``at``, find the place to start.

        ``behind_damage``: records before ``at`` are damaged, and wanted unless the vector is past them.
        ``control``: batches without records are wanted as well; otherwise they are :meth:`passed`.

        Raises:
            PositionGoneError: Retention has removed what is wanted, and ``skip_gone`` is not set.
        """
        self.positions = dict(positions)
        """The next wanted sequence, by origin."""
        self.offset = Offset(0)
        """One past the last examined record."""
        self.records = 0
        """Number of records in the wanted batches."""
        self.suspect: tuple[LogPosition, int] | None = None
        """Place and size of bytes that did not check out: call :meth:`recheck` before reading on."""
        self._log = log
        self._skip_gone = skip_gone
        self._control = control
        self._gone: list[GoneRange] = []
        self._passed: list[GoneRange] = []
        self._has_losses = log.has_losses
        """Whether the log had any when it was read."""
        self._damages = int(behind_damage)
        self._damages_before: dict[OriginId, int] = {}
        self._seen = 0
        """The version of the log's progress as of the last time the pass reached the end."""
        self.at = self._start() if at is None else at
        """Where to read next."""

    def take(self, read: LogRead, end: Offset = NO_END) -> bytes:
        """Return the wanted batches of the data read at ``at``, up to the offset ``end``: unchanged in the common case.

        Raises:
            PositionGoneError: Wanted sequences are missing before a batch, and ``skip_gone`` is not set.
            OffsetOutOfRangeError: Retention removed the segment meanwhile.
        """
        self._has_losses = self._has_losses or self._log.has_losses
        data, runs, sound, looked_at = read.data, list[tuple[int, int]](), 0, 0
        for position, header in self._log.sound_batches(read.start, data):
            if position != sound or looked_at == MAX_TAKEN:
                break
            looked_at += 1
            sound = position + header.batch_bytes
            if header.base_offset >= end:
                self.offset = end
                break
            self.offset = header.end_offset
            if not self._wants(header):
                continue
            self.records += header.record_count
            if runs and runs[-1][1] == position:
                runs[-1] = (runs[-1][0], sound)
            else:
                runs.append((position, sound))
        self.at = read.next
        if sound < len(data) and self.offset < end:
            self.at = LogPosition(read.next.segment, FilePosition(read.start.position + sound))
            if looked_at < MAX_TAKEN:
                self.suspect = self.at, len(data) - sound
        if runs == [(0, len(data))]:
            return data
        return b"".join(data[start:end] for start, end in runs)

    def recheck(self, log: Log) -> None:
        """Have the log recheck the :attr:`suspect` bytes; reads the log.

        Raises:
            OffsetOutOfRangeError: Retention removed the segment meanwhile.
            StorageError: The disk could not be read.
        """
        suspect, self.suspect = self.suspect, None
        if suspect is not None:
            log.recheck(*suspect)

    def pass_damage(self) -> None:
        """Continue after the damage at ``at``, which held records.

        Raises:
            OffsetOutOfRangeError: Retention removed the segment meanwhile.
        """
        self.at = self._log.after_damage(self.at)
        self._damages += 1

    def finish(self) -> Offset | None:
        """At the log's end, return its offset, after reporting ends of origins lost to damage; else ``None``.

        Raises:
            PositionGoneError: There are such losses, and ``skip_gone`` is not set.
        """
        change = self._log.moved_since(self._seen)
        if self.at != change.end:
            return None
        self._seen = change.version  # origins that have not moved since cannot have lost anything since
        for state in change.positions:
            origin = state.origin
            wanted = self.positions.get(origin, FIRST_SEQUENCE)
            if wanted < state.next_sequence:
                self._jump(origin, wanted, state.next_sequence)
                self.positions[origin] = state.next_sequence
        return change.end_offset

    def gone(self) -> list[GoneRange]:
        """Return and clear the gone ranges to report."""
        gone, self._gone = self._gone, []
        return gone

    def passed(self) -> list[GoneRange]:
        """Return and clear the ranges without records that are not sent: control batches, and damage that held none."""
        passed, self._passed = self._passed, []
        return passed

    @property
    def has_gone(self) -> bool:
        """Whether there are gone ranges to report."""
        return bool(self._gone)

    def _wants(self, header: BatchHeader) -> bool:
        origin, expected = header.origin, self.positions.get(header.origin, FIRST_SEQUENCE)
        if header.next_sequence <= expected:
            return False
        if header.base_sequence > expected:
            self._jump(origin, expected, header.base_sequence)
        if header.is_gap:
            self._gone.append(
                GoneRange(origin, max(expected, header.base_sequence), header.next_sequence, GoneCause.GAP)
            )
        self.positions[origin] = header.next_sequence
        self._damages_before[origin] = self._damages
        if header.is_control and not self._control:
            if not header.is_gap:  # which is reported as gone
                self._pass_over(
                    GoneRange(origin, max(expected, header.base_sequence), header.next_sequence, GoneCause.NO_RECORDS)
                )
            return False
        return True

    def _pass_over(self, passed: GoneRange) -> None:
        last = self._passed[-1] if self._passed else None
        if last is not None and (last.origin, last.end) == (passed.origin, passed.start):
            self._passed[-1] = last._replace(end=passed.end)
        else:
            self._passed.append(passed)

    def _jump(self, origin: OriginId, expected: SequenceNumber, found: SequenceNumber) -> None:
        """Record missing sequences: lost records, if the pass skipped damage with records since the origin's last batch.

        What retention had removed everywhere when its origin continued here is reported as well, and is no error.
        """
        held = self._log.progress(origin)
        gaps = within(held.gaps, expected, found) if held is not None else NO_RANGES
        self._gone += [
            GoneRange(origin, SequenceNumber(start), SequenceNumber(end), GoneCause.GAP) for start, end in gaps
        ]
        for start, end in without(expected, found, gaps):
            self._lose(origin, SequenceNumber(start), SequenceNumber(end))

    def _lose(self, origin: OriginId, expected: SequenceNumber, found: SequenceNumber) -> None:
        if self._damages > self._damages_before.get(origin, 0):
            self._miss(GoneRange(origin, expected, found, GoneCause.DAMAGE))
        elif self._has_losses:
            self._pass_over(GoneRange(origin, expected, found, GoneCause.NO_RECORDS))

    def _start(self) -> LogPosition:
        _, at, _, states = self._log.moved_since(0)
        for state in states:
            origin = state.origin
            wanted = self.positions.get(origin, FIRST_SEQUENCE)
            if wanted < state.floor_sequence:
                self._miss(GoneRange(origin, wanted, state.floor_sequence, GoneCause.RETENTION))
                wanted = self.positions[origin] = state.floor_sequence
            if wanted < state.next_sequence:
                at = min(at, _place_of(self._log, origin, wanted))
        return at

    def _miss(self, gone: GoneRange) -> None:
        if not self._skip_gone:
            raise PositionGoneError(gone.origin, gone.start, gone.end, gone.reason.value)
        self._gone.append(gone)


def pass_from(log: Log, offset: Offset, *, skip_gone: bool, control: bool = True) -> VectorPass:
    """Return the pass of a consumer that has consumed everything before ``offset``.

    Raises:
        OffsetOutOfRangeError: The offset is not in the log.
        DataLossError: It is damaged, and ``skip_gone`` is not set.
    """
    healed = False
    while True:
        try:
            at = log.seek(offset)
            return VectorPass(log, positions_at(log, offset, at), skip_gone=skip_gone, at=at, control=control)
        except DataLossError:
            if not skip_gone or healed:
                raise
        damage = log.seek_damage(offset)
        healed = damage is None
        if damage is not None:
            positions, at = log.positions_at(damage), log.after_damage(damage)
            return VectorPass(log, positions, skip_gone=True, at=at, behind_damage=True, control=control)


def positions_at(log: Log, offset: Offset, at: LogPosition | None = None) -> dict[OriginId, SequenceNumber]:
    """Return the vector of a consumer that has consumed everything before ``offset``: exact even within a batch.

    ``at`` is the place of ``offset``, if it is known.

    Raises:
        OffsetOutOfRangeError: The offset is not in the log.
        DataLossError: It is damaged.
    """
    at = log.seek(offset) if at is None else at
    change = log.moved_since(0)
    if at < change.end:
        positions = log.positions_at(at)
    else:
        positions = {state.origin: state.next_sequence for state in change.positions}
    batch = log.batch_at(at)
    if batch is not None and batch.header.base_offset < offset:
        header = batch.header
        positions[header.origin] = SequenceNumber(header.base_sequence + offset - header.base_offset)
    return positions


def offset_at(log: Log, at: LogPosition) -> Offset:
    """Return the offset of the next record at or after ``at``; the end of the log if there is none.

    Raises:
        DataLossError: The data there is damaged.
    """
    batch = log.batch_at(at)
    return log.end_offset if batch is None else batch.header.base_offset


def _place_of(log: Log, origin: OriginId, sequence: SequenceNumber) -> LogPosition:
    try:
        return log.seek_sequence(origin, sequence)
    except NotFoundError:
        return log.seek_before(origin, sequence)  # in a damaged range: the pass meets that
