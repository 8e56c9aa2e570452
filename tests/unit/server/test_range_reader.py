"""What a repair is answered with."""

from pathlib import Path

import pytest

from proglog.agent.writer import LogWriter
from proglog.errors import InvalidRequestError, NotFoundError
from proglog.log.config import LogConfig
from proglog.log.log import Log
from proglog.log.model import LocalAppend
from proglog.record import batch, columns, scan
from proglog.record.batch import verify
from proglog.server.range_reader import read_range
from proglog.types import NodeName, OriginId, SequenceNumber


def a_log(path: Path, *, retention_bytes: int | None = None) -> Log:
    """Sequences 2 to 401, ten a batch, in several segments."""
    config = LogConfig(segment_bytes=4096, retention_bytes=retention_bytes)
    log = Log.open(path, config, node_name=NodeName("a"))
    for start in range(2, 402, 10):
        values = [b"%040d" % (start + index) for index in range(10)]
        data = batch.encode(columns.from_values(values), count=10, first_timestamp_ms=1, max_timestamp_ms=1)
        log.append([LocalAppend(verify(data))])
    return log


async def sequences(log: Log, start: int, end: int, origin: OriginId | None = None) -> list[tuple[int, int]]:
    async with LogWriter(log) as writer:
        found = [
            part async for part in read_range(writer, origin or log.origin, SequenceNumber(start), SequenceNumber(end))
        ]
    return [(each.header.base_sequence, each.header.next_sequence) for part in found for each in scan.batches(part)]


async def test_whole_batches_that_hold_the_range_are_sent_and_no_others(tmp_path: Path) -> None:
    assert await sequences(a_log(tmp_path), 55, 73) == [(52, 62), (62, 72), (72, 82)]


async def test_a_range_across_segments_is_sent_in_sequence(tmp_path: Path) -> None:
    log = a_log(tmp_path)

    assert log.segment_count > 3
    assert await sequences(log, 2, 402) == [(start, start + 10) for start in range(2, 402, 10)]


async def test_what_is_beyond_the_end_is_left_out(tmp_path: Path) -> None:
    log = a_log(tmp_path)

    assert await sequences(log, 392, 9000) == [(392, 402)]
    assert await sequences(a_log(tmp_path / "b"), 402, 9000) == []


async def test_what_retention_removed_is_left_out(tmp_path: Path) -> None:
    log = a_log(tmp_path, retention_bytes=8192)
    log.retain()
    floor = log.origins()[log.origin].floor_sequence
    assert floor > 52

    assert await sequences(log, 2, floor + 10) == [(floor, floor + 10)]


async def test_what_is_damaged_here_too_is_left_out(tmp_path: Path) -> None:
    log = a_log(tmp_path)
    log.close()
    store = next(path for path in sorted(tmp_path.glob("*.log")) if b"%040d" % 105 in path.read_bytes())
    data = bytearray(store.read_bytes())
    data[data.index(b"%040d" % 105)] ^= 1
    store.write_bytes(data)

    again = Log.open(tmp_path, LogConfig(segment_bytes=4096), node_name=NodeName("a"))

    assert await sequences(again, 92, 132) == [(92, 102), (112, 122), (122, 132)]


async def test_nonsense_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InvalidRequestError, match="begins at 1"):
        await sequences(a_log(tmp_path / "a"), 0, 5)
    with pytest.raises(InvalidRequestError):
        await sequences(a_log(tmp_path / "b"), 5, 5)
    with pytest.raises(NotFoundError, match="not known here"):
        await sequences(a_log(tmp_path / "c"), 1, 5, OriginId(b"x" * 16))
