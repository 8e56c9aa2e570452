"""Batch consume without a network: what happens to a pass that the log changes under."""

from collections.abc import AsyncGenerator, AsyncIterator
from pathlib import Path
from typing import cast

import pytest

from proglog.agent.writer import LogWriter
from proglog.api.v1 import batches_pb2
from proglog.errors import OffsetOutOfRangeError, PositionGoneError
from proglog.log.config import LogConfig
from proglog.log.log import Log
from proglog.record import batch, columns
from proglog.record.batch import verify
from proglog.record.scan import headers
from proglog.server.acks import Acks
from proglog.server.batch_service import BatchService
from proglog.server.context import Context
from proglog.server.followers import Followers
from proglog.server.vector import VectorPass
from proglog.types import NodeName, Offset

NOBODY = cast("Context", None)


@pytest.fixture
async def writer(tmp_path: Path) -> AsyncGenerator[LogWriter]:
    log = Log.open(tmp_path, LogConfig(segment_bytes=4096, retention_bytes=12_000), node_name=NodeName("a"))
    async with LogWriter(log) as started:
        yield started
    log.close()


async def produce(writer: LogWriter, count: int) -> None:
    for _ in range(count):
        payload = columns.from_values([bytes(200)])
        await writer.append(verify(batch.encode(payload, count=1, first_timestamp_ms=1, max_timestamp_ms=1)))


def consume(writer: LogWriter, *, skip_gone: bool) -> AsyncIterator[batches_pb2.ConsumeBatchesResponse]:
    request = batches_pb2.ConsumeBatchesRequest(
        cursor=batches_pb2.Cursor(), follow=True, max_bytes=1000, skip_gone=skip_gone
    )
    return BatchService(writer, Acks(Followers(), lambda: 1, writer.log.holds)).Consume(request, NOBODY)


async def overtake(writer: LogWriter, stream: AsyncIterator[batches_pb2.ConsumeBatchesResponse]) -> int:
    """Let retention remove what the stream has not sent yet; return the sequence that it wants next."""
    await produce(writer, 20)
    await anext(stream)
    first = await anext(stream)
    *_, (_, last) = headers(first.batches)
    await produce(writer, 200)
    assert writer.log.retain() > 0
    assert writer.log.start_offset > 20
    return last.next_sequence


async def test_a_pass_that_retention_overtakes_ends_with_what_is_gone(writer: LogWriter) -> None:
    stream = consume(writer, skip_gone=False)
    wanted = await overtake(writer, stream)

    with pytest.raises(PositionGoneError) as caught:
        while True:
            await anext(stream)

    assert caught.value.start >= wanted
    assert caught.value.end == writer.log.origins()[writer.log.origin].floor_sequence


async def test_a_pass_that_retention_overtakes_continues_with_the_gap_told_where_it_may(writer: LogWriter) -> None:
    stream = consume(writer, skip_gone=True)
    await overtake(writer, stream)
    gone: list[batches_pb2.Gone] = []
    sequences: list[int] = []
    end = writer.log.origins()[writer.log.origin].next_sequence
    while not sequences or sequences[-1] < end:
        answer = await anext(stream)
        gone += answer.gone
        sequences += [header.next_sequence for _, header in headers(answer.batches)]

    (missing,) = gone
    floor = writer.log.origins()[writer.log.origin].floor_sequence
    assert missing.end_sequence == floor
    assert sequences[-1] == end
    assert all(not missing.start_sequence < each <= missing.end_sequence for each in sequences)


async def test_what_a_pass_found_before_retention_ended_it_is_reported_with_what_it_read(
    writer: LogWriter, monkeypatch: pytest.MonkeyPatch
) -> None:
    def removed(self: VectorPass, log: Log) -> None:
        raise OffsetOutOfRangeError(Offset(2), Offset(3), log.end_offset)

    monkeypatch.setattr(VectorPass, "recheck", removed)
    await produce(writer, 3)
    at = writer.log.seek(Offset(2))
    with (writer.log.data_dir / f"{at.segment:020d}.log").open("r+b") as file:
        file.seek(at.position + batch.HEADER_BYTES + 5)
        file.write(b"rot")
    stream = consume(writer, skip_gone=True)
    await anext(stream)

    answer = await anext(stream)

    assert len(list(headers(answer.batches))) == 2
    assert [(each.start_sequence, each.end_sequence) for each in answer.passed] == [(1, 2)]  # the origin's first batch
