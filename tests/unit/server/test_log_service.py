"""The book's produce stream: what it takes in before it has appended what came before."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from proglog.agent.writer import LogWriter
from proglog.api.v1 import log_pb2
from proglog.errors import DataLossError
from proglog.log.config import LogConfig
from proglog.log.log import Log
from proglog.record import control
from proglog.record.batch import HEADER_BYTES, MAX_BATCH_BYTES, verify
from proglog.server.log_service import MAX_GATHERED_BYTES, LogService
from proglog.types import NodeName, Offset, OriginId, SequenceNumber


class Held(LogWriter):
    """A writer that lets nothing through until it may."""

    def __init__(self, log: Log) -> None:
        super().__init__(log)
        self.may = asyncio.Event()

    async def append(self, batch):  # type: ignore[no-untyped-def]
        await self.may.wait()
        return await super().append(batch)


@pytest.fixture
async def held(tmp_path: Path) -> AsyncIterator[Held]:
    log = Log.open(tmp_path, LogConfig(ballast_bytes=0), node_name=NodeName("a"))
    async with Held(log) as writer:
        yield writer
    log.close()


async def test_a_stream_is_read_no_further_than_one_batch_while_the_disk_is_busy(held: Held) -> None:
    taken = 0

    async def requests() -> AsyncIterator[log_pb2.ProduceRequest]:
        nonlocal taken
        for _ in range(100):
            taken += 1
            yield log_pb2.ProduceRequest(record=log_pb2.Record(value=bytes(MAX_GATHERED_BYTES // 4)))

    answers = LogService(held).ProduceStream(requests(), None)  # type: ignore[arg-type]  # the context is not used
    first = asyncio.ensure_future(anext(aiter(answers)))
    for _ in range(200):
        await asyncio.sleep(0)
    assert taken <= 10  # one batch is being appended, one waits, one record stands at the door
    held.may.set()
    assert (await first).offset == 0
    assert [answer.offset async for answer in answers] == list(range(1, 100))


async def test_a_small_record_and_the_largest_are_two_batches(held: Held) -> None:
    sizes = [100, MAX_BATCH_BYTES - 200, 100, 100, MAX_BATCH_BYTES - 200]

    async def requests() -> AsyncIterator[log_pb2.ProduceRequest]:
        for size in sizes:
            yield log_pb2.ProduceRequest(record=log_pb2.Record(value=bytes(size)))

    held.may.set()
    answers = LogService(held).ProduceStream(requests(), None)  # type: ignore[arg-type]  # the context is not used
    assert [answer.offset async for answer in answers] == list(range(5))


async def test_an_offset_that_no_record_has_is_answered_with_the_next_record(tmp_path: Path) -> None:
    """Segments are named by their first offset, so one of control batches alone costs an offset to leave."""
    log = Log.open(tmp_path, LogConfig(segment_bytes=4096, ballast_bytes=0), node_name=NodeName("a"))
    async with LogWriter(log) as writer:
        service = LogService(writer)
        number = 0
        while log.segment_count < 3:
            number += 1
            commit = control.position_commit("job", 1, {OriginId(b"o" * 16): SequenceNumber(number)}, now_ms=1)
            await writer.append(verify(commit))
        request = log_pb2.ProduceRequest(record=log_pb2.Record(value=b"x"))
        offset = (await service.Produce(request, None)).offset  # type: ignore[arg-type]
        assert offset == 2
        for asked in range(3):
            answer = await service.Consume(log_pb2.ConsumeRequest(offset=asked), None)  # type: ignore[arg-type]
            assert (answer.record.value, answer.record.offset) == (b"x", 2)
        stream = service.ConsumeStream(log_pb2.ConsumeRequest(offset=0), None)  # type: ignore[arg-type]
        assert (await anext(aiter(stream))).record.offset == 2
    log.close()


@pytest.mark.parametrize("first_read", [True, False], ids=["read before", "not read before"])
@pytest.mark.parametrize("how", ["unary", "stream"])
async def test_rot_under_a_running_agent_is_data_loss_and_known_to_the_log(
    how: str, first_read: bool, tmp_path: Path
) -> None:
    log = Log.open(tmp_path, LogConfig(segment_bytes=4096, ballast_bytes=0), node_name=NodeName("a"))
    async with LogWriter(log) as writer:
        service = LogService(writer)
        for number in range(60):
            request = log_pb2.ProduceRequest(record=log_pb2.Record(value=b"%02d" % number * 60))
            await service.Produce(request, None)  # type: ignore[arg-type]  # the context is not used
        if first_read:
            assert await values(service, how) == [b"%02d" % number * 60 for number in range(60)]
        at = log.seek(Offset(20))
        with (tmp_path / f"{at.segment:020d}.log").open("r+b") as store:
            store.seek(at.position + HEADER_BYTES + 10)
            store.write(b"?")
        found: list[bytes] = []
        with pytest.raises(DataLossError) as lost:
            await values(service, how, found)
        assert found == [b"%02d" % number * 60 for number in range(20)]
        assert (lost.value.start, lost.value.end) == (20, 21)
        assert [(each.start, each.end) for each in writer.damaged()] == [(20, 21)]
        assert (await values(service, how, [], lost.value.end))[0] == b"21" * 60
    log.close()


async def values(service: LogService, how: str, found: list[bytes] | None = None, start: int = 0) -> list[bytes]:
    """Read on from an offset to the end, call by call or as a stream; what was read before an error is in ``found``."""
    found = [] if found is None else found
    end = service._commit_log.end_offset
    if how == "stream":
        stream = aiter(service.ConsumeStream(log_pb2.ConsumeRequest(offset=start), None))  # type: ignore[arg-type]
        while start + len(found) < end:
            found.append((await anext(stream)).record.value)
    while start + len(found) < end:
        request = log_pb2.ConsumeRequest(offset=start + len(found))
        found.append((await service.Consume(request, None)).record.value)  # type: ignore[arg-type]
    return found
