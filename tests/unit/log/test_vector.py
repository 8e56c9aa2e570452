"""A place in one log as a position that is valid on every node."""

import pytest

from proglog.errors import OffsetOutOfRangeError
from proglog.log.config import LogConfig
from proglog.log.model import LogPosition
from proglog.record import scan
from proglog.testing.files import FaultyFiles
from proglog.types import FilePosition, Offset, OriginId, SequenceNumber
from tests.unit.log.kit import SMALL, append, open_log
from tests.unit.log.test_refill import sample

COARSE = LogConfig(segment_bytes=16_384, index_interval_bytes=3000, ballast_bytes=0)


@pytest.mark.parametrize("reopened", [False, True])
@pytest.mark.parametrize("config", [SMALL, COARSE, LogConfig(ballast_bytes=0)])
@pytest.mark.parametrize("seed", range(3))
def test_at_every_place_it_is_what_was_read_before_it(seed: int, config: LogConfig, reopened: bool) -> None:
    files, log = sample(seed, config)
    if reopened:
        log.close()
        files.kill()
        log = open_log(files=files, config=config, seed=9)
    read_so_far: dict[OriginId, SequenceNumber] = {}
    cursor = LogPosition(Offset(0), FilePosition(0))
    while True:
        assert log.positions_at(cursor) == read_so_far
        read = log.read(cursor, 1)
        if not read.data:
            break
        (batch,) = scan.batches(read.data)
        assert batch.header.base_sequence == read_so_far.get(batch.header.origin, 1)
        read_so_far[batch.header.origin] = batch.header.next_sequence
        cursor = read.next
    assert read_so_far == {origin: state.next_sequence for origin, state in log.origins().items()}


def test_what_retention_removed_counts_as_consumed() -> None:
    files = FaultyFiles()
    log = open_log(files=files, config=LogConfig(segment_bytes=4096, retention_bytes=6000, ballast_bytes=0))
    removed = log.end_position
    for _ in range(60):
        append(log, b"x" * 100)
    assert log.retain() > 0
    start = log.seek(log.start_offset)
    assert log.positions_at(start) == {log.origin: log.origins()[log.origin].floor_sequence}
    with pytest.raises(OffsetOutOfRangeError):
        log.positions_at(removed)
