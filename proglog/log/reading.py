"""Reads a log and finds positions in it: by offset, by sequence of an origin, by time. Any thread, durable batches only.

Each function uses one view. It reports bytes that do not check out, and retries with the next view.
"""

from bisect import bisect_right
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from functools import wraps
from typing import Concatenate, ParamSpec, TypeVar

from proglog.errors import (
    LogClosedError,
    NotFoundError,
    OffsetOutOfRangeError,
    StorageError,
)
from proglog.log.model import LogPosition, LogRead
from proglog.log.segment import Segment, Suspect
from proglog.log.state import LogState
from proglog.record import columns
from proglog.record.batch import BatchHeader, VerifiedBatch
from proglog.types import FilePosition, Offset, OriginId, SequenceNumber, half_open

Result = TypeVar("Result")
Given = ParamSpec("Given")


def looking_again(
    function: Callable[Concatenate[LogState, Given], Result],
) -> Callable[Concatenate[LogState, Given], Result]:
    """Retry a look-up that met bytes which do not check out, once their damage is published."""

    @wraps(function)
    def look(state: LogState, /, *args: Given.args, **kwargs: Given.kwargs) -> Result:
        while True:
            try:
                return function(state, *args, **kwargs)
            except Suspect as exc:
                with unless_removed(state, exc.segment):
                    state.look_again(exc)

    return look


def walk(state: LogState, base_offset: Offset, position: FilePosition) -> Iterator[tuple[FilePosition, BatchHeader]]:
    """Yield (position, header) of a segment's batches from ``position`` on, damage left out, up to the durable end.

    Raises:
        OffsetOutOfRangeError: Retention removed the segment.
        StorageError: The disk could not be read.
    """
    while True:
        try:
            for found, header in state.view.segment_at(base_offset).walk(position):
                yield found, header
                position = FilePosition(found + header.batch_bytes)
        except Suspect as exc:
            state.look_again(exc)
        else:
            return


@looking_again
def with_entries(state: LogState, base_offset: Offset) -> Segment:
    """Return the segment of that name with the entries of its index in memory."""
    segment = state.view.segment_at(base_offset)
    segment.entries()
    return segment


@looking_again
def read(state: LogState, at: LogPosition, max_bytes: int) -> LogRead:
    """See :meth:`proglog.log.log.Log.read`."""
    if state.condition == "closed":
        raise LogClosedError
    view = state.view
    _, end = view.end
    while True:
        segment = view.segment_at(at.segment)
        loss = segment.loss_at(at.position)
        if loss is not None and loss.start_offset == loss.end_offset:
            # A control batch was here: readers of records don't miss it.
            at = LogPosition(at.segment, loss.end_position)
        elif at.position < segment.size:
            with unless_removed(state, segment):
                data = segment.read(at.position, max_bytes)
            return LogRead(data, LogPosition(at.segment, FilePosition(at.position + len(data))))
        else:
            following = view.segment_after(at.segment)
            if following is None or at.segment == end.segment:
                return LogRead(b"", at)
            behind = segment.loss_behind
            if behind is not None and not behind.void:
                raise behind.error()
            at = LogPosition(following.base_offset, FilePosition(0))


def read_cached(state: LogState, at: LogPosition, max_bytes: int) -> LogRead | None:
    """See :meth:`proglog.log.log.Log.read_cached`."""
    if state.condition == "closed":
        raise LogClosedError
    view = state.view
    _, end = view.end
    if at.segment != end.segment:
        return None
    if at.position == end.position:
        return LogRead(b"", at)
    data = view.active.read_cached(at.position, max_bytes)
    return LogRead(data, LogPosition(at.segment, FilePosition(at.position + len(data)))) if data else None


@looking_again
def recheck(state: LogState, at: LogPosition, size: int) -> None:
    """See :meth:`proglog.log.log.Log.recheck`."""
    segment = state.view.segment_at(at.segment)
    with unless_removed(state, segment):
        state.report(Suspect(segment, at.position, FilePosition(at.position + size)))


@contextmanager
def unless_removed(state: LogState, segment: Segment) -> Iterator[None]:
    """Turn a read error into out-of-range if retention removed the segment meanwhile."""
    try:
        yield
    except StorageError:
        if state.view.find(segment.base_offset) is not None:
            raise
        raise OffsetOutOfRangeError(segment.base_offset, state.start_offset, state.end[0]) from None


def after_damage(state: LogState, at: LogPosition) -> LogPosition:
    """See :meth:`proglog.log.log.Log.after_damage`."""
    view = state.view
    while True:
        segment = view.segment_at(at.segment)
        loss = segment.loss_at(at.position)
        if loss is not None:
            at = LogPosition(at.segment, loss.end_position)
            continue
        following = view.segment_after(at.segment)
        if at.position < segment.size or following is None:
            return at
        at = LogPosition(following.base_offset, FilePosition(0))


def seek_damage(state: LogState, offset: Offset) -> LogPosition | None:
    """See :meth:`proglog.log.log.Log.seek_damage`."""
    view = state.view
    segment = view.segments[bisect_right(view.bases, offset) - 1]
    loss = segment.loss_in(offset, Offset(offset + 1))
    if loss is None and offset >= segment.end_offset:
        loss = segment.loss_behind
    return None if loss is None or loss.void else LogPosition(segment.base_offset, loss.start_position)


@looking_again
def seek(state: LogState, offset: Offset) -> LogPosition:
    """See :meth:`proglog.log.log.Log.seek`."""
    view = state.view
    end_offset, end_position = view.end
    if not view.start_offset <= offset <= end_offset:
        raise OffsetOutOfRangeError(offset, view.start_offset, end_offset)
    if offset == end_offset:
        return end_position
    number = bisect_right(view.bases, offset) - 1
    segment = view.segments[number]
    if offset >= segment.end_offset:
        behind = segment.loss_behind
        if behind is not None and not behind.void:
            raise behind.error()
        return LogPosition(view.bases[number + 1], FilePosition(0))  # what was there came back further on
    state.indexes.use(segment)
    with unless_removed(state, segment):
        return LogPosition(segment.base_offset, segment.find_offset(offset))


def holds(state: LogState, start: Offset, end: Offset) -> bool:
    """See :meth:`proglog.log.log.Log.holds`."""
    view = state.view
    if start < view.start_offset:
        return False
    segment = view.segments[bisect_right(view.bases, start) - 1]
    return end <= segment.end_offset and segment.loss_in(start, end) is None


@looking_again
def seek_sequence(state: LogState, origin: OriginId, sequence: SequenceNumber) -> LogPosition:
    """See :meth:`proglog.log.log.Log.seek_sequence`."""
    view = state.view
    held = view.origins.get(origin)
    if held is None:
        raise NotFoundError(f"origin {origin.hex()[:8]} is not known here")
    if not held.floor_sequence <= sequence < held.next_sequence:
        kept = f"sequences {half_open(held.floor_sequence, held.next_sequence)}"
        raise NotFoundError(f"origin {origin.hex()[:8]}: {kept} are here, not {sequence}")
    for segment in view.segments:
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


@looking_again
def find_sequence(
    state: LogState, base_offset: Offset, origin: OriginId, sequence: SequenceNumber
) -> FilePosition | None:
    """Return the position of the batch of ``origin`` with ``sequence`` in a segment; ``None`` if it is damaged."""
    return state.view.segment_at(base_offset).find_sequence(origin, sequence)


def seek_before(state: LogState, origin: OriginId, sequence: SequenceNumber) -> LogPosition:
    """See :meth:`proglog.log.log.Log.seek_before`."""
    segments = state.segments
    for segment in reversed(segments):
        span = segment.index.origins.get(origin)
        if span is not None and span.first_sequence < sequence:
            return LogPosition(segment.base_offset, FilePosition(0))
    return LogPosition(segments[0].base_offset, FilePosition(0))


@looking_again
def batch_at(state: LogState, at: LogPosition) -> VerifiedBatch | None:
    """See :meth:`proglog.log.log.Log.batch_at`."""
    found = read(state, at, 1)
    if not found.data:
        return None
    return state.view.segment_at(found.start.segment).verified(found.start.position, found.data)


@looking_again
def seek_time(state: LogState, time_ms: int) -> Offset:
    """See :meth:`proglog.log.log.Log.seek_time`."""
    lost: Offset | None = None
    """Where damage begins that no earlier record follows: it may have held the one that is looked for."""
    for segment in state.segments:
        earlier = segment.index.record_count > 0
        if earlier and segment.index.max_timestamp_ms >= time_ms:
            state.indexes.use(segment)
            earlier = False
            with suppress(OffsetOutOfRangeError), unless_removed(state, segment):
                reached = segment.entries().before_time(time_ms)
                for position, header in segment.walk(reached):
                    if lost is None and (damage := segment.loss_at(reached)) is not None:
                        lost = damage.start_offset
                    if header.record_count and header.max_timestamp_ms >= time_ms:
                        if lost is not None:
                            return lost
                        batch = segment.verified(position, segment.read(position, header.batch_bytes))
                        return Offset(header.base_offset + _first_since(batch, time_ms))
                    if header.record_count:
                        earlier, lost = True, None
                    reached = FilePosition(position + header.batch_bytes)
        if earlier or lost is None:
            lost = _lost_end(segment)
    return state.end[0] if lost is None else lost


def _lost_end(segment: Segment) -> Offset | None:
    """Return where the damage at a segment's end begins."""
    at, lost = segment.size, None
    for loss in reversed(segment.losses):
        if loss.end_position != at:
            break
        if not loss.void and loss.gap is None:
            at, lost = loss.start_position, loss.start_offset
    return lost


def _first_since(batch: VerifiedBatch, time_ms: int) -> int:
    """Return the index of the batch's first record with a timestamp of ``time_ms`` or later."""
    header = batch.header
    if header.first_timestamp_ms >= time_ms:
        return 0
    rows = columns.rows(batch.payload, header.record_count, header.first_timestamp_ms)
    return next((index for index, (_, _, timestamp_ms, _) in enumerate(rows) if timestamp_ms >= time_ms), 0)
