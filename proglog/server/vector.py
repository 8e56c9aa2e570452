"""A consumer's pass through a log by position vector: what of it is wanted, and what is gone.

One walk in the log's own order serves all origins, since within a log each origin's batches stand in sequence. It
starts at the earliest place that any origin needs. ::

    batch met    before the vector          ->  passed over
                 at it, or across it        ->  sent whole; who receives it cuts what it has already
                 after it                   ->  what lies between is gone here: an error, or told and gone on
                 a gap batch                ->  told: no node could give these
    retention    removed what is wanted     ->  gone, told before the first batch
    damage       with records in it         ->  an error; or passed over, and what was in it is gone
    the end      of the log                 ->  what an origin ended with, and damage took, is gone, too

Where damage was passed that held no records, a jump is a lost control batch: nobody misses that, but the sequences are
told all the same, so that a consumer can tell such a jump from a defect. Checksums are looked at once more before bytes leave: what rots under a running agent is found by whoever reads it first.

No sockets, no waiting: :mod:`proglog.server.batch_service` brings those.
"""

from collections.abc import Mapping
from typing import NamedTuple

from proglog.errors import DataLossError, NotFoundError, PositionGoneError
from proglog.log.log import Log
from proglog.log.model import LogPosition, LogRead
from proglog.record.batch import BatchHeader, parse_header
from proglog.replication.progress import FIRST_SEQUENCE
from proglog.types import FilePosition, Offset, OriginId, SequenceNumber

NO_END = Offset((1 << 63) - 1)
MAX_TAKEN = 400
"""Batches that are looked at in one step, at most: about 5 ms of the loop, however small they are."""

REMOVED = "retention removed it"
NOWHERE = "no node could give it"
NO_RECORDS = "it held no records"
DAMAGED = "it is damaged on this node; another one may have it"


class GoneRange(NamedTuple):
    """Sequences in ``[start, end)`` that a consumer does not get here."""

    origin: OriginId
    start: SequenceNumber
    end: SequenceNumber
    reason: str


class VectorPass:
    """Where to read, and which batches of what was read are wanted. Read at ``at``, give that to :meth:`take`."""

    def __init__(
        self,
        log: Log,
        positions: Mapping[OriginId, SequenceNumber],
        *,
        skip_gone: bool,
        at: LogPosition | None = None,
        behind_damage: bool = False,
    ) -> None:
        """Start at ``at``, where ``positions`` is what came before; without it, find the place to start.

        ``behind_damage``: records before ``at`` are damaged, and wanted as far as the vector does not have them.

        Raises:
            PositionGoneError: Retention has removed what is wanted, and ``skip_gone`` is not set.
        """
        self.positions = dict(positions)
        """The next sequence that is wanted, by origin."""
        self.offset = Offset(0)
        """One past the last record that was passed."""
        self.records = 0
        """Records of the batches that were wanted."""
        self.suspect: tuple[LogPosition, int] | None = None
        """Place and size of bytes that did not check out: to be given to :meth:`recheck` before anything else is read."""
        self._log = log
        self._skip_gone = skip_gone
        self._gone: list[GoneRange] = []
        self._passed: list[GoneRange] = []
        self._damages = int(behind_damage)
        self._damages_before: dict[OriginId, int] = {}
        self._seen = 0
        """How much of what moves in the log was looked at when its end was reached."""
        self.at = self._start() if at is None else at
        """Where to read next."""

    def take(self, read: LogRead, end: Offset = NO_END) -> bytes:
        """Return the wanted batches of what was read at ``at``, up to the offset ``end``: unchanged in the common case.

        Raises:
            PositionGoneError: Wanted sequences are missing before a batch, and ``skip_gone`` is not set.
            OffsetOutOfRangeError: Retention removed the segment meanwhile.
        """
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
        """Have the log look again at what is :attr:`suspect`; reads the log.

        Raises:
            OffsetOutOfRangeError: Retention removed the segment meanwhile.
            StorageError: The disk could not be read.
        """
        suspect, self.suspect = self.suspect, None
        if suspect is not None:
            log.recheck(*suspect)

    def pass_damage(self) -> None:
        """Go on behind the damage at ``at``, which held records.

        Raises:
            OffsetOutOfRangeError: Retention removed the segment meanwhile.
        """
        self.at = self._log.after_damage(self.at)
        self._damages += 1

    def finish(self) -> Offset | None:
        """Take what an origin ended with for gone where damage was passed; return the end of the log if this is it.

        Raises:
            PositionGoneError: Something is, and ``skip_gone`` is not set.
        """
        change = self._log.moved_since(self._seen)
        if self.at != change.end:
            return None
        self._seen = change.version  # of what has not moved since, nothing was passed since
        for state in change.positions:
            origin = state.origin
            wanted = self.positions.get(origin, FIRST_SEQUENCE)
            if wanted < state.next_sequence:
                self._jump(origin, wanted, state.next_sequence)
                self.positions[origin] = state.next_sequence
        return change.end_offset

    def gone(self) -> list[GoneRange]:
        """Return what has to be told, and forget it."""
        gone, self._gone = self._gone, []
        return gone

    def passed(self) -> list[GoneRange]:
        """Return what was damaged and held no records, and forget it."""
        passed, self._passed = self._passed, []
        return passed

    @property
    def has_gone(self) -> bool:
        """Whether there is something to tell."""
        return bool(self._gone)

    def _wants(self, header: BatchHeader) -> bool:
        origin, expected = header.origin, self.positions.get(header.origin, FIRST_SEQUENCE)
        if header.next_sequence <= expected:
            return False
        if header.base_sequence > expected:
            self._jump(origin, expected, header.base_sequence)
        if header.is_gap:
            self._gone.append(GoneRange(origin, max(expected, header.base_sequence), header.next_sequence, NOWHERE))
        self.positions[origin] = header.next_sequence
        self._damages_before[origin] = self._damages
        return True

    def _jump(self, origin: OriginId, expected: SequenceNumber, found: SequenceNumber) -> None:
        """Sequences of an origin are missing: records, if damage that held any was passed since its last batch."""
        if self._damages > self._damages_before.get(origin, 0):
            self._miss(GoneRange(origin, expected, found, DAMAGED))
        else:
            self._passed.append(GoneRange(origin, expected, found, NO_RECORDS))

    def _start(self) -> LogPosition:
        _, at, _, states = self._log.moved_since(0)
        for state in states:
            origin = state.origin
            wanted = self.positions.get(origin, FIRST_SEQUENCE)
            if wanted < state.floor_sequence:
                self._miss(GoneRange(origin, wanted, state.floor_sequence, REMOVED))
                wanted = self.positions[origin] = state.floor_sequence
            if wanted < state.next_sequence:
                at = min(at, _place_of(self._log, origin, wanted))
        return at

    def _miss(self, gone: GoneRange) -> None:
        if not self._skip_gone:
            raise PositionGoneError(gone.origin, gone.start, gone.end, gone.reason)
        self._gone.append(gone)


def pass_from(log: Log, offset: Offset, *, skip_gone: bool) -> VectorPass:
    """Return the pass of a consumer that has consumed everything before ``offset``: from a place to a vector at once.

    Raises:
        OffsetOutOfRangeError: The offset is not in the log.
        DataLossError: It is damaged, and ``skip_gone`` is not set.
    """
    behind_damage = False
    try:
        at = log.seek(offset)
    except DataLossError:
        if not skip_gone:
            raise
        at, behind_damage = log.seek_readable(offset), True
    while True:
        try:
            positions = positions_at(log, offset, at)
        except DataLossError:
            if not skip_gone:
                raise
            at, behind_damage = log.after_damage(at), True
        else:
            return VectorPass(log, positions, skip_gone=skip_gone, at=at, behind_damage=behind_damage)


def positions_at(log: Log, offset: Offset, at: LogPosition | None = None) -> dict[OriginId, SequenceNumber]:
    """Return the vector of a consumer that has consumed everything before ``offset``: exact within a batch, too.

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
    data = log.read(at, 1).data
    if data:
        header = parse_header(data)
        if header.base_offset < offset:
            positions[header.origin] = SequenceNumber(header.base_sequence + offset - header.base_offset)
    return positions


def offset_at(log: Log, at: LogPosition) -> Offset:
    """Return the offset of the next record at or after ``at``; the end of the log if there is none.

    Raises:
        DataLossError: What stands there is damaged.
    """
    data = log.read(at, 1).data
    return parse_header(data).base_offset if data else log.end_offset


def _place_of(log: Log, origin: OriginId, sequence: SequenceNumber) -> LogPosition:
    try:
        return log.seek_sequence(origin, sequence)
    except NotFoundError:
        return log.seek_before(origin, sequence)  # it stands in a damaged range: the pass meets that
