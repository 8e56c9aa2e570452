"""Reads one origin's batches between two sequences out of a log, to answer a peer's repair.

Yields whole batches as they are stored, each checked on the way out. Batches removed by retention or hidden by damage are
omitted silently: the requester checks every batch against the chain on both sides of its hole.
"""

import asyncio
from collections.abc import AsyncIterator
from functools import partial

from proglog.errors import DataLossError, InvalidRequestError, NotFoundError, OffsetOutOfRangeError
from proglog.log.log import Log
from proglog.log.model import LogPosition
from proglog.replication.progress import FIRST_SEQUENCE
from proglog.server.commit_log import CommitLog
from proglog.types import OriginId, SequenceNumber, half_open

READ_BYTES = 512 * 1024
"""Bytes read at a time, and so the largest message, unless one batch is larger."""


async def read_range(
    commit_log: CommitLog, origin: OriginId, start: SequenceNumber, end: SequenceNumber
) -> AsyncIterator[bytes]:
    """Yield the batches of ``origin`` that hold sequences in ``[start, end)``.

    Args:
        commit_log: The log to read.
        origin: Any origin in the log.
        start: The first sequence.
        end: One past the last.

    Raises:
        InvalidRequestError: The range is empty.
        NotFoundError: The log has nothing of the origin.
    """
    if not 1 <= start < end:
        raise InvalidRequestError(f"sequences {half_open(start, end)}: expected a range that begins at 1 or later")
    at = await commit_log.query(partial(_first, origin, start))
    reached = start
    while at is not None and reached < min(end, _end(commit_log, origin)):
        try:
            read = await commit_log.read(at, READ_BYTES)
            batches = commit_log.sound_batches(read.start, read.data)
        except DataLossError:
            at = commit_log.after_damage(at)
            continue
        except OffsetOutOfRangeError:
            at = await commit_log.query(partial(_first, origin, reached))  # retention was faster
            continue
        wanted = []
        for position, header in batches:
            if header.origin == origin and header.next_sequence > reached and header.base_sequence < end:
                reached = header.next_sequence
                if not header.is_gap:  # this log lacks those records itself
                    wanted.append(read.data[position : position + header.batch_bytes])
        if wanted:
            yield b"".join(wanted)
        else:
            await asyncio.sleep(0)  # skipping takes the loop's time as well
        at = read.next if read.data else None


def _end(commit_log: CommitLog, origin: OriginId) -> SequenceNumber:
    state = commit_log.progress(origin)
    return state.next_sequence if state else FIRST_SEQUENCE


def _first(origin: OriginId, start: SequenceNumber, log: Log) -> LogPosition | None:
    """Return a place at or before the first available batch from ``start`` on; ``None`` if there is none."""
    state = log.progress(origin)
    if state is None:
        raise NotFoundError(f"origin {origin.hex()[:8]} is not known here")
    start = max(start, state.floor_sequence)
    if start >= state.next_sequence:
        return None
    try:
        return log.seek_sequence(origin, start)
    except NotFoundError:
        return log.seek_before(origin, start)  # in a damaged range: walk to what follows it
