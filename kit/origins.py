"""A log with very many origins, built in seconds: one batch each, as copies of that many nodes' first records."""

from collections.abc import Iterator

from proglog.log.log import Log
from proglog.log.model import ImportAppend
from proglog.record import batch, columns
from proglog.record.batch import VerifiedBatch, chain_start, stamp_local, verify
from proglog.types import Offset, OriginId, SequenceNumber

GROUP = 4096


def origins(count: int) -> Iterator[OriginId]:
    """Yield ``count`` origins."""
    for number in range(count):
        yield OriginId((number + 1).to_bytes(16, "big"))


def first_batch(origin: OriginId) -> VerifiedBatch:
    """Return the first batch of ``origin``: one record, whose value is the origin's first eight digits."""
    value = origin[-4:].hex().encode()
    data = batch.encode(columns.from_values([value]), count=1, first_timestamp_ms=1, max_timestamp_ms=1)
    unstamped = verify(data)
    stamped = stamp_local(
        unstamped,
        origin=origin,
        base_sequence=SequenceNumber(1),
        previous_chain=chain_start(origin),
        base_offset=Offset(0),
        append_time_ms=1,
    )
    return verify(stamped + bytes(unstamped.payload))


def fill(log: Log, count: int) -> None:
    """Append a batch of each of ``count`` origins to ``log``."""
    group: list[ImportAppend] = []
    for origin in origins(count):
        group.append(ImportAppend(first_batch(origin)))
        if len(group) == GROUP:
            log.append(group)
            group = []
    if group:
        log.append(group)
