"""Consumers and an agent that leaves records out: they notice, and read on where nothing is left out."""

from collections.abc import AsyncGenerator, AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

import grpc.aio
import pytest

from proglog.agent.writer import LogWriter
from proglog.api.v1 import batches_pb2, batches_pb2_grpc
from proglog.client import Gone, PositionGoneError, ProglogError, SequenceGapError, connect
from proglog.log.config import LogConfig
from proglog.log.log import Log
from proglog.record import batch, columns, scan
from proglog.server.acks import Acks
from proglog.server.batch_service import BatchService
from proglog.server.context import Context
from proglog.server.followers import Followers
from proglog.types import NodeName

Answer = batches_pb2.ConsumeBatchesResponse
Change = Callable[[Answer], None]
COUNT = 9


class Changed(BatchService):
    """Serves a log, and changes its answers on the way."""

    def __init__(self, writer: LogWriter, change: Change) -> None:
        super().__init__(writer, Acks(Followers(), lambda: 1, writer.log.holds))
        self._change = change

    async def Consume(  # noqa: N802 - gRPC's name
        self, request: batches_pb2.ConsumeBatchesRequest, context: Context
    ) -> AsyncIterator[Answer]:
        async for answer in super().Consume(request, context):
            self._change(answer)
            yield answer


@pytest.fixture
async def writer(tmp_path: Path) -> AsyncGenerator[LogWriter]:
    """The log of one batch for each value."""
    log = Log.open(tmp_path, LogConfig(), node_name=NodeName("a"))
    async with LogWriter(log) as writer:
        for number in range(COUNT):
            payload = columns.from_values([b"%d" % number])
            await writer.append(batch.verify(batch.encode(payload, count=1, first_timestamp_ms=1, max_timestamp_ms=1)))
        yield writer
    log.close()


@asynccontextmanager
async def serving(writer: LogWriter, *changes: Change) -> AsyncIterator[list[str]]:
    """An agent for each change, over one log; their addresses."""
    async with AsyncExitStack() as stack:
        addrs = []
        for change in changes:
            server = grpc.aio.server()
            batches_pb2_grpc.add_BatchesServicer_to_server(Changed(writer, change), server)
            addrs.append(f"127.0.0.1:{server.add_insecure_port('127.0.0.1:0')}")
            await server.start()
            stack.push_async_callback(server.stop, 0)
        yield addrs


def as_it_is(answer: Answer) -> None:
    """Change nothing."""


def without(*values: bytes) -> Change:
    """Leave the batches of these values out."""

    def change(answer: Answer) -> None:
        kept = [each for each in scan.batches(answer.batches) if not set(values) & set(scan.values(each))]
        answer.batches = b"".join(bytes(each.data) for each in kept)

    return change


def as_gone(writer: LogWriter, number: int, reason: str) -> Change:
    """Leave one record out, and say so."""
    leave_out, start = without(b"%d" % number), number + 2  # sequence 1 opened the origin

    def change(answer: Answer) -> None:
        if any(value == b"%d" % number for each in scan.batches(answer.batches) for value in scan.values(each)):
            answer.gone.add(origin=writer.origin, start_sequence=start, end_sequence=start + 1, reason=reason)
        leave_out(answer)

    return change


async def test_a_hole_that_no_agent_explains_is_an_error_after_everything_before_it(writer: LogWriter) -> None:
    got: list[bytes] = []
    async with serving(writer, without(b"4", b"5")) as addrs, connect(addrs) as client:
        with pytest.raises(SequenceGapError) as caught:
            async for fetched in client.consume(
                skip_gone=True
            ):  # which is no leave to skip what is not said to be gone
                got += fetched.values()

    assert got == [b"0", b"1", b"2", b"3"]
    assert (caught.value.origin, caught.value.expected, caught.value.found) == (writer.origin, 6, 8)


async def test_a_hole_of_one_agent_is_read_from_another(writer: LogWriter) -> None:
    moves: list[ProglogError] = []
    async with serving(writer, without(b"4"), as_it_is) as addrs, connect(addrs) as client:
        consumer = client.consume(on_move=lambda addr, cause: moves.append(cause))
        got = [value async for fetched in consumer for value in fetched.values()]

    assert got == [b"%d" % number for number in range(COUNT)]
    assert [type(each) for each in moves] == [SequenceGapError]


async def test_a_stream_that_begins_behind_the_cursor_without_a_word_is_refused(writer: LogWriter) -> None:
    def begins_later(answer: Answer) -> None:
        for each in answer.cursor.positions:
            each.next_sequence += 3

    async with serving(writer, as_it_is, begins_later) as (honest, later):
        async with connect(honest) as client, client.consume() as consumer:
            first = await consumer.get()
            assert first is not None
            cursor = first.cursor_after(next(first.records()))
        async with connect(later) as client, client.consume(cursor) as consumer:
            with pytest.raises(SequenceGapError):
                await consumer.get()


async def test_what_is_gone_is_met_where_it_was(writer: LogWriter) -> None:
    met: list[bytes | Gone] = []
    async with serving(writer, as_gone(writer, 4, "nobody has it")) as addrs, connect(addrs) as client:
        async for fetched in client.consume(on_gone=met.append):
            met += fetched.values()

    assert met[3:6] == [b"3", Gone(writer.origin, 6, 7, "nobody has it"), b"5"]


async def test_a_named_consumer_stops_before_a_gap_in_the_middle_of_an_answer(writer: LogWriter) -> None:
    got: list[bytes] = []
    async with serving(writer, as_gone(writer, 4, "nobody has it")) as addrs, connect(addrs) as client:
        consumer = client._consumer(
            None, None, stop_at_gap=True, follow=False, limit=None, skip_gone=False,
            on_gone=None, on_move=None, max_bytes=0, first_contact=None,
        )  # fmt: skip
        for _ in range(2):  # it stays before the gap, however often it is asked
            with pytest.raises(PositionGoneError):
                async for fetched in consumer:
                    got += fetched.values()

    assert got == [b"0", b"1", b"2", b"3"]
    assert consumer.cursor is not None
    assert consumer.cursor.positions[writer.origin] == 6


async def test_a_cursor_passes_what_held_no_records(writer: LogWriter) -> None:
    def tell_passed(answer: Answer) -> None:
        kept = []
        for each in scan.batches(answer.batches):
            header = each.header
            if header.is_control:
                answer.passed.add(
                    origin=header.origin, start_sequence=header.base_sequence, end_sequence=header.next_sequence
                )
            else:
                kept.append(bytes(each.data))
        answer.batches = b"".join(kept)

    async with serving(writer, tell_passed) as addrs, connect(addrs) as client, client.consume() as consumer:
        got = [value async for fetched in consumer for value in fetched.values()]

        assert got == [b"%d" % number for number in range(COUNT)]
        assert consumer.cursor is not None
        assert consumer.cursor.positions[writer.origin] == COUNT + 2


async def test_a_range_that_is_none_is_refused(writer: LogWriter) -> None:
    def lie(answer: Answer) -> None:
        answer.gone.add(origin=writer.origin, start_sequence=7, end_sequence=(1 << 64) - 1)

    async with serving(writer, lie) as addrs, connect(addrs) as client, client.consume(skip_gone=True) as consumer:
        with pytest.raises(ProglogError, match="no range"):
            await consumer.get()
