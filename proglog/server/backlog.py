"""What a named consumer has not had yet: how many records of this log, and since when the oldest of them waits."""

from typing import NamedTuple

from proglog.errors import DataLossError, OffsetOutOfRangeError
from proglog.log.log import Log
from proglog.log.named_positions import CommittedPosition
from proglog.record.scan import headers
from proglog.replication.progress import FIRST_SEQUENCE
from proglog.server.position_service import records_behind
from proglog.server.vector import VectorPass

_READ_BYTES = 16 * 1024
_MOST_READS = 64
"""Looking for the oldest record reads a mebibyte at most: batches without records, and those consumed, precede it."""


class Backlog(NamedTuple):
    """Of one name."""

    records: int
    """Far from the end, at most that many."""
    oldest_ms: int | None
    """When the oldest of them was appended here, milliseconds since 1970; ``None``: there is none, or it was not found."""


def backlog(log: Log, held: CommittedPosition) -> Backlog:
    """Look at the log; takes milliseconds, so not for the event loop."""
    records = records_behind(log, held)
    return Backlog(records, _oldest_ms(log, held) if records else None)


def _oldest_ms(log: Log, held: CommittedPosition) -> int | None:
    try:
        walk = VectorPass(log, held.vector, skip_gone=True)
        for _ in range(_MOST_READS):
            read = log.read(walk.at, _READ_BYTES)
            if not read.data:
                return None
            for _, header in headers(walk.take(read)):
                if not header.is_control and header.next_sequence > held.vector.get(header.origin, FIRST_SEQUENCE):
                    return header.append_time_ms
            walk.recheck(log)
    except (DataLossError, OffsetOutOfRangeError):
        return None  # damage, or retention, is in the way
    return None
