"""One origin's batches between two sequences, out of a log: what a repair is answered with.

Whole batches as they are stored, each checked on its way out. What retention removed or damage hides is left out without
a word: whoever asks checks every batch against what stands on both sides of its hole.
"""

import asyncio
from collections.abc import AsyncIterator
from functools import partial

from proglog.errors import DataLossError, InvalidRequestError, NotFoundError, OffsetOutOfRangeError
from proglog.log.log import Log
from proglog.log.model import LogPosition
from proglog.replication.progress import FIRST_SEQUENCE
from proglog.server.commit_log import CommitLog
from proglog.types import OriginId, SequenceNumber

READ_BYTES = 256 * 1024
"""Of the log at a time, and so the most of one message, unless one batch is larger."""


async def read_range(
    commit_log: CommitLog, origin: OriginId, start: SequenceNumber, end: SequenceNumber
) -> AsyncIterator[bytes]:
    """Yield the batches of ``origin`` that hold sequences in ``[start, end)``.

    Args:
        commit_log: Where from.
        origin: Any that the log has.
        start: The first sequence.
        end: One past the last.

    Raises:
        InvalidRequestError: The range is empty.
        NotFoundError: Nothing of the origin is here.
    """
    if not 1 <= start < end:
        raise InvalidRequestError(f"sequences {start} to {end - 1}: expected a range that begins at 1 or later")
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
                if not header.is_gap:  # what this log lacks itself
                    wanted.append(read.data[position : position + header.batch_bytes])
        if wanted:
            yield b"".join(wanted)
        else:
            await asyncio.sleep(0)  # what is passed over takes the loop's time, too
        at = read.next if read.data else None


def _end(commit_log: CommitLog, origin: OriginId) -> SequenceNumber:
    state = commit_log.progress(origin)
    return state.next_sequence if state else FIRST_SEQUENCE


def _first(origin: OriginId, start: SequenceNumber, log: Log) -> LogPosition | None:
    """Return a place at or before the first batch from ``start`` on that is there; ``None`` if there is none."""
    state = log.progress(origin)
    if state is None:
        raise NotFoundError(f"origin {origin.hex()[:8]} is not known here")
    start = max(start, state.floor_sequence)
    if start >= state.next_sequence:
        return None
    try:
        return log.seek_sequence(origin, start)
    except NotFoundError:
        return log.seek_before(origin, start)  # it stands in a damaged range: walk to what follows that
