"""A consumer's pass through a log by position vector: what of it is wanted, and what is gone.

One walk in the log's own order serves all origins, since within a log each origin's batches stand in sequence. It
starts at the earliest place that any origin needs. ::

    batch met    before the vector          ->  passed over
                 at it, or across it        ->  sent whole; who receives it cuts what it has already
                 after it                   ->  what lies between is gone here: an error, or told and gone on
                 a gap batch                ->  told: no node could give these
    retention    removed what is wanted     ->  gone, told before the first batch

No sockets, no waiting: :mod:`proglog.server.batch_service` brings those.
"""

from collections.abc import Mapping
from typing import NamedTuple

from proglog.errors import DataLossError, NotFoundError, PositionGoneError
from proglog.log.log import Log
from proglog.log.model import LogCursor
from proglog.record.batch import parse_header
from proglog.record.scan import headers
from proglog.replication.progress import FIRST_SEQUENCE
from proglog.types import FilePosition, Offset, OriginId, SequenceNumber

REMOVED = "retention removed it"
NOWHERE = "no node could give it"
DAMAGED = "it is damaged on this node; another one may have it"


class GoneRange(NamedTuple):
    """Sequences in ``[start, end)`` that a consumer does not get here."""

    origin: OriginId
    start: SequenceNumber
    end: SequenceNumber
    reason: str


class VectorPass:
    """Where to read, and which batches of what was read are wanted."""

    def __init__(self, log: Log, positions: Mapping[OriginId, SequenceNumber], *, skip_gone: bool) -> None:
        """Find the place to start.

        Raises:
            PositionGoneError: Retention has removed what is wanted, and ``skip_gone`` is not set.
        """
        self.positions = dict(positions)
        """The next sequence that is wanted, by origin."""
        self._skip_gone = skip_gone
        self._gone: list[GoneRange] = []
        self.cursor = self._start(log)

    def take(self, data: bytes) -> bytes:
        """Return the wanted batches of ``data``, which follows what was given before: unchanged in the common case.

        Raises:
            PositionGoneError: Wanted sequences are missing before a batch, and ``skip_gone`` is not set.
        """
        runs: list[tuple[int, int]] = []
        for position, header in headers(data):
            expected = self.positions.get(header.origin, FIRST_SEQUENCE)
            if header.next_sequence <= expected:
                continue
            if header.base_sequence > expected:
                self._miss(GoneRange(header.origin, expected, header.base_sequence, DAMAGED))
            if header.is_gap:
                begin = max(expected, header.base_sequence)
                self._gone.append(GoneRange(header.origin, begin, header.next_sequence, NOWHERE))
            self.positions[header.origin] = header.next_sequence
            end = position + header.batch_bytes
            if runs and runs[-1][1] == position:
                runs[-1] = (runs[-1][0], end)
            else:
                runs.append((position, end))
        if runs == [(0, len(data))]:
            return data
        return b"".join(data[start:end] for start, end in runs)

    def gone(self) -> list[GoneRange]:
        """Return what has to be told, and forget it."""
        gone, self._gone = self._gone, []
        return gone

    def _start(self, log: Log) -> LogCursor:
        cursor = log.end_cursor  # before the states: what comes in between is met by the pass
        for origin, state in log.origins().items():
            wanted = self.positions.get(origin, FIRST_SEQUENCE)
            if wanted < state.floor_sequence:
                self._miss(GoneRange(origin, wanted, state.floor_sequence, REMOVED))
                wanted = self.positions[origin] = state.floor_sequence
            if wanted < state.next_sequence:
                cursor = min(cursor, _place_of(log, origin, wanted))
        return cursor

    def _miss(self, gone: GoneRange) -> None:
        if not self._skip_gone:
            raise PositionGoneError(gone.origin, gone.start, gone.end, gone.reason)
        self._gone.append(gone)


def positions_at(log: Log, offset: Offset) -> dict[OriginId, SequenceNumber]:
    """Return the vector of a consumer that has consumed everything before ``offset``: exact within a batch, too.

    Raises:
        OffsetOutOfRangeError: The offset is not in the log.
        DataLossError: It is damaged.
    """
    end = log.end_cursor
    cursor = log.seek(offset)
    positions = log.positions_at(cursor) if cursor < end else _positions_before(log, cursor)
    data = log.read(cursor, 1).data
    if data:
        header = parse_header(data)
        if header.base_offset < offset:
            positions[header.origin] = SequenceNumber(header.base_sequence + offset - header.base_offset)
    return positions


def offset_at(log: Log, cursor: LogCursor) -> Offset:
    """Return the offset of the next record at or after ``cursor``; the end of the log if there is none.

    Raises:
        DataLossError: What stands there is damaged.
    """
    data = log.read(cursor, 1).data
    return parse_header(data).base_offset if data else log.end_offset


def _positions_before(log: Log, cursor: LogCursor) -> dict[OriginId, SequenceNumber]:
    """Return the next sequence of every origin as of the end of the log.

    Found by search for each origin, not by what the log knows of it now: while it is asked, the log may grow, and a
    record that comes in after the place must not count as consumed.
    """
    positions = {}
    for origin, state in log.origins().items():
        low, high = state.floor_sequence, state.next_sequence
        if low < high and _is_before(log, origin, SequenceNumber(high - 1), cursor):
            low = high  # the common case: a place at the end
        while low < high:
            middle = SequenceNumber((low + high) // 2)
            if _is_before(log, origin, middle, cursor):
                low = SequenceNumber(middle + 1)
            else:
                high = middle
        if low > FIRST_SEQUENCE:
            positions[origin] = low
    return positions


def _is_before(log: Log, origin: OriginId, sequence: SequenceNumber, cursor: LogCursor) -> bool:
    try:
        return log.seek_sequence(origin, sequence) < cursor
    except NotFoundError:
        return False  # damaged: wanted again, rather than missed


def _place_of(log: Log, origin: OriginId, sequence: SequenceNumber) -> LogCursor:
    try:
        return log.seek_sequence(origin, sequence)
    except NotFoundError:
        # It stands in a damaged range: the pass meets that, or what follows it.
        return LogCursor(log.start_offset, FilePosition(0))


def after_damage(log: Log, damage: DataLossError) -> tuple[LogCursor, Offset]:
    """Return the place after a damaged range, and its offset; the end of the log where there is none."""
    try:
        return log.seek(Offset(damage.end)), Offset(damage.end)
    except (DataLossError, NotFoundError):
        return log.end_cursor, log.end_offset
