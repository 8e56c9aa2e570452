"""Reading a log, and finding places in it: by offset, by sequence of an origin, by time. Any thread, durable batches only."""

from bisect import bisect_right
from collections.abc import Iterator
from contextlib import contextmanager, suppress

from proglog.errors import DataLossError, LogClosedError, NotFoundError, OffsetOutOfRangeError, StorageError
from proglog.log.model import LogPosition, LogRead
from proglog.log.segment import Segment
from proglog.log.state import LogState
from proglog.record import columns
from proglog.record.batch import VerifiedBatch, verify_checksums
from proglog.types import FilePosition, Offset, OriginId, SequenceNumber


def read(state: LogState, at: LogPosition, max_bytes: int) -> LogRead:
    """See :meth:`proglog.log.log.Log.read`."""
    while True:
        if state.condition == "closed":
            raise LogClosedError
        _, end = state.end
        segment = state.segment_at(at.segment)
        limit = end.position if at.segment == end.segment else segment.size
        hole = segment.hole_at(at.position)
        if hole is not None and hole.start_offset == hole.end_offset:
            # A control batch was here: nobody who reads records misses it.
            at = LogPosition(at.segment, hole.end_position)
        elif at.position < limit:
            try:
                with unless_removed(state, segment):
                    data = segment.read(at.position, max_bytes)
            except DataLossError as exc:
                if exc.start < exc.end:
                    raise
                continue  # found just now
            return LogRead(data, LogPosition(at.segment, FilePosition(at.position + len(data))))
        else:
            following = state.segment_after(at.segment)
            if following is None or at.segment == end.segment:
                return LogRead(b"", at)
            cut = state.cut_between(segment, following)
            if cut is not None:
                raise cut
            at = LogPosition(following.base_offset, FilePosition(0))


def read_cached(state: LogState, at: LogPosition, max_bytes: int) -> LogRead | None:
    """See :meth:`proglog.log.log.Log.read_cached`."""
    if state.condition == "closed":
        raise LogClosedError
    _, end = state.end
    if at.segment != end.segment:
        return None
    if at.position == end.position:
        return LogRead(b"", at)
    data = state.segment_at(at.segment).read_cached(at.position, max_bytes)
    return LogRead(data, LogPosition(at.segment, FilePosition(at.position + len(data)))) if data else None


def recheck(state: LogState, at: LogPosition, size: int) -> None:
    """See :meth:`proglog.log.log.Log.recheck`."""
    segment = state.segment_at(at.segment)
    with unless_removed(state, segment):
        segment.recheck(at.position, FilePosition(at.position + size))


@contextmanager
def unless_removed(state: LogState, segment: Segment) -> Iterator[None]:
    """Say that a segment is out of range where it cannot be read because retention was faster than its reader."""
    try:
        yield
    except StorageError:
        if segment.base_offset in state.bases:
            raise
        raise OffsetOutOfRangeError(segment.base_offset, state.start_offset, state.end[0]) from None


def after_damage(state: LogState, at: LogPosition) -> LogPosition:
    """See :meth:`proglog.log.log.Log.after_damage`."""
    while True:
        _, end = state.end
        segment = state.segment_at(at.segment)
        hole = segment.hole_at(at.position)
        if hole is not None:
            at = LogPosition(at.segment, hole.end_position)
            continue
        following = state.segment_after(at.segment)
        if at.position < segment.size or following is None or at.segment == end.segment:
            return at
        at = LogPosition(following.base_offset, FilePosition(0))


def seek_readable(state: LogState, offset: Offset) -> LogPosition:
    """See :meth:`proglog.log.log.Log.seek_readable`."""
    while True:
        try:
            return seek(state, offset)
        except DataLossError:
            segment = state.segments[bisect_right(state.bases, offset) - 1]
            hole = segment.hole_in(offset, Offset(offset + 1))
            if hole is not None or offset >= segment.end_offset:
                position = hole.start_position if hole is not None else segment.size
                return after_damage(state, LogPosition(segment.base_offset, position))
            offset = Offset(offset + 1)  # an index that knows more than the store: the next one may be there


def seek(state: LogState, offset: Offset) -> LogPosition:
    """See :meth:`proglog.log.log.Log.seek`."""
    end_offset, end_position = state.end
    segments, bases = state.segments, state.bases
    if not bases[0] <= offset <= end_offset:
        raise OffsetOutOfRangeError(offset, bases[0], end_offset)
    if offset == end_offset:
        return end_position
    number = bisect_right(bases, offset) - 1
    segment = segments[number]
    if offset >= segment.end_offset:
        following = segments[number + 1]
        cut = state.cut_between(segment, following)
        if cut is not None:
            raise cut
        return LogPosition(following.base_offset, FilePosition(0))  # what was there came back further on
    state.indexes.use(segment)
    with unless_removed(state, segment):
        return LogPosition(segment.base_offset, segment.find_offset(offset))


def holds(state: LogState, start: Offset, end: Offset) -> bool:
    """See :meth:`proglog.log.log.Log.holds`."""
    segments, bases = state.segments, state.bases
    if start < bases[0]:
        return False
    segment = segments[bisect_right(bases, start) - 1]
    return end <= segment.end_offset and segment.hole_in(start, end) is None


def seek_sequence(state: LogState, origin: OriginId, sequence: SequenceNumber) -> LogPosition:
    """See :meth:`proglog.log.log.Log.seek_sequence`."""
    held = state.origins.get(origin)
    if held is None:
        raise NotFoundError(f"origin {origin.hex()[:8]} is not known here")
    if not held.floor_sequence <= sequence < held.next_sequence:
        kept = f"sequences {held.floor_sequence} to {held.next_sequence - 1}"
        raise NotFoundError(f"origin {origin.hex()[:8]}: {kept} are here, not {sequence}")
    for segment in state.segments:
        span = segment.index.origins.get(origin)
        if span is None or sequence >= span.next_sequence:
            continue
        state.indexes.use(segment)
        with unless_removed(state, segment):
            position = segment.find_sequence(origin, sequence)
        if position is None:
            break
        return LogPosition(segment.base_offset, position)
    raise NotFoundError(f"origin {origin.hex()[:8]}: sequence {sequence} is in a damaged range")


def seek_before(state: LogState, origin: OriginId, sequence: SequenceNumber) -> LogPosition:
    """See :meth:`proglog.log.log.Log.seek_before`."""
    segments = state.segments
    for segment in reversed(segments):
        span = segment.index.origins.get(origin)
        if span is not None and span.first_sequence < sequence:
            return LogPosition(segment.base_offset, FilePosition(0))
    return LogPosition(segments[0].base_offset, FilePosition(0))


def seek_time(state: LogState, time_ms: int) -> Offset:
    """See :meth:`proglog.log.log.Log.seek_time`."""
    for segment in state.segments:
        if not segment.index.record_count or segment.index.max_timestamp_ms < time_ms:
            continue
        state.indexes.use(segment)
        with suppress(OffsetOutOfRangeError), unless_removed(state, segment):
            for position, header in segment.walk(segment.entries().before_time(time_ms)):
                if header.record_count and header.max_timestamp_ms >= time_ms:
                    batch = verify_checksums(segment.read(position, header.batch_bytes))
                    return Offset(header.base_offset + _first_since(batch, time_ms))
    return state.end[0]


def _first_since(batch: VerifiedBatch, time_ms: int) -> int:
    """Return the index of the batch's first record with a timestamp of ``time_ms`` or later."""
    header = batch.header
    if header.first_timestamp_ms >= time_ms:
        return 0
    records = columns.records(batch.payload, header.record_count, header.first_timestamp_ms)
    return next((index for index, record in enumerate(records) if record.timestamp_ms >= time_ms), 0)
