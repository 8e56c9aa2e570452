"""The client against a real server and log: batches both ways, ranges, refusals, hostile bytes."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import grpc
import pytest

import proglog.client
from proglog.agent.writer import LogWriter
from proglog.api.v1 import batches_pb2, batches_pb2_grpc
from proglog.client import Acknowledged, Client, ProduceError
from proglog.client.offset_spec import OffsetSpec
from proglog.errors import (
    ClosedError,
    ConfigError,
    MalformedBatchError,
    OffsetOutOfRangeError,
    ProglogError,
    RecordTooLargeError,
    TooFewServersError,
    UnauthenticatedError,
    UnavailableError,
)
from proglog.log.config import LogConfig
from proglog.log.log import Log
from proglog.record import batch, columns, control
from proglog.record.record import Record
from proglog.security.authorizer import AllowAll
from proglog.security.devcerts import DevCerts, create_dev_certs
from proglog.server.server import Server

Eventually = Callable[..., Awaitable[None]]


@asynccontextmanager
async def served(data_dir: Path, certs: DevCerts | None = None) -> AsyncGenerator[tuple[Client, LogWriter]]:
    log = Log.open(data_dir, LogConfig(segment_bytes=128 * 1024), node_name="a")
    async with LogWriter(log) as writer:
        server = Server(commit_log=writer, authorizer=AllowAll(), tls=certs.server if certs else None)
        port = await server.start("127.0.0.1:0")
        async with proglog.client.connect(f"127.0.0.1:{port}", tls=certs.peer if certs else None) as client:
            yield client, writer
        await server.stop(0.2)
    log.close()


async def read(client: Client, start: OffsetSpec | None = None, end: OffsetSpec | None = None) -> list[bytes]:
    return [value async for fetched in client.consume(start, end) for value in fetched.values()]


def numbered(count: int) -> list[bytes]:
    return [b"%06d" % number for number in range(count)]


async def test_values_come_back_in_order_across_batches_and_segments(tmp_path: Path) -> None:
    async with served(tmp_path) as (client, writer):
        async with client.producer(batch_bytes=4096) as producer:
            await producer.send_values(numbered(50_000))

        assert producer.acknowledged == 50_000
        assert writer.log.segment_count > 2
        assert await read(client) == numbered(50_000)


async def test_a_record_keeps_its_key_headers_and_timestamp(tmp_path: Path) -> None:
    records = [
        Record(value=b"plain", timestamp_ms=5),
        Record(value=b"", key=b"", timestamp_ms=4),
        Record(value=b"\xff", key=b"k", headers=(("h", b"1"), ("h", b"\x00")), timestamp_ms=9),
    ]
    async with served(tmp_path) as (client, _):
        async with client.producer() as producer:
            for record in records:
                await producer.send(record)
        stored = [record async for fetched in client.consume() for record in fetched.records()]

    assert [(r.value, r.key, r.headers, r.timestamp_ms) for r in stored] == [
        (r.value, r.key, r.headers, r.timestamp_ms) for r in records
    ]
    assert [(r.offset, r.sequence) for r in stored] == [(0, 2), (1, 3), (2, 4)]  # sequence 1 opened the origin


async def test_ranges_are_half_open_and_resolved_by_the_server(tmp_path: Path) -> None:
    async with served(tmp_path) as (client, _):
        async with client.producer(batch_bytes=100) as producer:
            await producer.send_values(numbered(100))
        values = numbered(100)

        assert await read(client, OffsetSpec.offset(5), OffsetSpec.offset(10)) == values[5:10]
        assert await read(client, OffsetSpec.after_start(98)) == values[98:]
        assert await read(client, OffsetSpec.before_end(3)) == values[97:]
        assert await read(client, OffsetSpec.before_end(1000)) == values
        assert await read(client, OffsetSpec.before_end(3), OffsetSpec.before_end(1)) == values[97:99]
        assert await read(client, OffsetSpec.offset(100)) == []
        assert await read(client, OffsetSpec.offset(7), OffsetSpec.offset(7)) == []
        assert await read(client, OffsetSpec.at_time(0)) == values
        assert await read(client, OffsetSpec.at_time(1 << 60)) == []
        stream = client.consume(OffsetSpec.before_end(3))
        assert await stream.resolved() == (97, 100)
        await stream.close()
        with pytest.raises(OffsetOutOfRangeError) as caught:
            await read(client, OffsetSpec.offset(101))
        assert (caught.value.offset, caught.value.start, caught.value.end) == (101, 0, 100)


async def test_following_waits_and_then_gets_what_comes(tmp_path: Path) -> None:
    async with served(tmp_path) as (client, _):
        stream = client.consume(OffsetSpec.before_end(0), follow=True)
        waiting = asyncio.ensure_future(anext(stream))
        assert [value async for got in client.consume(OffsetSpec.before_end(0)) for value in got.values()] == []
        assert not waiting.done()

        await client.produce_value(b"news")

        assert list((await asyncio.wait_for(waiting, 30)).values()) == [b"news"]


async def test_a_lingering_record_is_sent_by_itself(tmp_path: Path, eventually: Eventually) -> None:
    acknowledged: list[Acknowledged] = []
    async with (
        served(tmp_path) as (client, _),
        client.producer(linger=0.01, on_ack=acknowledged.append) as producer,
    ):
        await producer.send(Record(value=b"alone"))

        await eventually(lambda: len(acknowledged) == 1)
        assert (acknowledged[0].base_offset, acknowledged[0].end_offset) == (0, 1)
        assert len(acknowledged[0].origin) == 16


async def test_flush_returns_when_everything_is_acknowledged(tmp_path: Path) -> None:
    async with served(tmp_path) as (client, _), client.producer() as producer:
        for value in numbered(10):
            await producer.send(Record(value=value))
        await producer.flush()

        assert producer.acknowledged == 10


async def test_a_record_over_the_limit_is_refused_before_it_is_sent(tmp_path: Path) -> None:
    async with served(tmp_path) as (client, writer):
        with pytest.raises(RecordTooLargeError):
            async with client.producer() as producer:
                await producer.send_values([bytes(5 << 20)])

        assert writer.log.end_offset == 0


async def test_a_broken_stream_says_what_is_known_and_what_is_not(tmp_path: Path) -> None:
    async with served(tmp_path) as (client, writer):
        with pytest.raises(ProduceError) as caught:
            async with client.producer(
                batch_bytes=100, in_flight=2, idempotent=False, delivery_timeout=1.0, stop_on_failure=True
            ) as producer:
                await producer.send_values(numbered(10))
                await producer.flush()
                await writer.close()
                await producer.send_values(numbered(1000))

        assert caught.value.acknowledged == 10
        assert caught.value.unknown <= 2 * 10  # the closed log refused all; the last try may have been under way
        assert caught.value.unsent > 0
        assert caught.value.unsent + caught.value.unknown == producer.counts.taken - 10
        assert writer.log.end_offset == 10


async def test_nobody_there_is_said_at_once_with_the_address(free_port: Callable[[], int]) -> None:
    addr = f"127.0.0.1:{free_port()}"
    async with proglog.client.connect(addr, timeout=0.5) as client:
        for call in (client.produce_value(b"x"), client.status(), read(client)):
            with pytest.raises(UnavailableError, match=addr):
                await asyncio.wait_for(call, 2)
        async with client.consume(first_contact=0) as consumer:
            with pytest.raises(UnavailableError, match=addr):
                await consumer.get()


async def test_tls_and_plain_text_do_not_meet_and_say_so(tmp_path: Path) -> None:
    certs = create_dev_certs(tmp_path / "certs")
    other = create_dev_certs(tmp_path / "other")
    async with served(tmp_path / "data", certs) as (client, _):
        assert await client.produce_value(b"x") == 0
        async with proglog.client.connect(client.addr, timeout=2) as plain:
            with pytest.raises(ProglogError, match="TLS"):
                await plain.produce_value(b"x")
        async with proglog.client.connect(client.addr, tls=other.peer, timeout=2) as stranger:
            with pytest.raises((UnauthenticatedError, UnavailableError)):
                await stranger.produce_value(b"x")
    async with served(tmp_path / "plain") as (client, _):
        async with proglog.client.connect(client.addr, tls=certs.peer, timeout=2) as wrong:
            with pytest.raises(ProglogError, match="TLS"):
                await wrong.produce_value(b"x")


async def test_a_certificate_that_is_not_there_is_a_config_error(tmp_path: Path) -> None:
    certs = create_dev_certs(tmp_path)
    certs.peer.key_file.unlink()

    with pytest.raises(ConfigError, match=str(certs.peer.key_file)):
        proglog.client.connect(tls=certs.peer)


def producers_batch(values: list[bytes], count: int | None = None) -> bytes:
    payload = columns.from_values(values)
    return batch.encode(payload, count=count or len(values), first_timestamp_ms=1, max_timestamp_ms=1)


GOOD = producers_batch([b"good"])
HOSTILE = {
    "nothing": b"",
    "noise": bytes(range(256)) * 2,
    "a flipped payload bit": GOOD[:-1] + bytes((GOOD[-1] ^ 1,)),
    "a flipped header bit": GOOD[:60] + bytes((GOOD[60] ^ 1,)) + GOOD[61:],
    "a batch cut short": GOOD[:-1],
    "a batch and more": GOOD + b"x",
    "two batches": GOOD + GOOD,
    "a wrong count": producers_batch([b"one"], count=2),
    "a control batch": control.origin_start("evil", now_ms=1, reason="x"),
    "a stamped batch": batch.stamp_local(
        batch.verify(GOOD), origin=b"o" * 16, base_sequence=1, previous_chain=0, base_offset=0, append_time_ms=0
    )
    + GOOD[batch.HEADER_BYTES :],
}


@pytest.mark.parametrize("name", HOSTILE)
async def test_hostile_batches_are_refused_and_those_before_them_stay(tmp_path: Path, name: str) -> None:
    async def requests() -> AsyncIterator[batches_pb2.ProduceBatchRequest]:
        yield batches_pb2.ProduceBatchRequest(batch=GOOD)
        yield batches_pb2.ProduceBatchRequest(batch=HOSTILE[name])

    async with served(tmp_path) as (client, writer), grpc.aio.insecure_channel(client.addr) as channel:
        answers = []
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            async for answer in batches_pb2_grpc.BatchesStub(channel).Produce(requests()):
                answers.append(answer.base_offset)

        assert caught.value.code() is grpc.StatusCode.INVALID_ARGUMENT
        assert answers == [0]
        assert writer.log.end_offset == 1


async def test_what_nobody_took_is_not_sent_rather_than_unknown(free_port: Callable[[], int]) -> None:
    async with proglog.client.connect(f"127.0.0.1:{free_port()}", timeout=0.5) as client:
        with pytest.raises(ProduceError) as caught:
            async with client.producer(batch_bytes=100) as producer:
                await producer.send_values(numbered(100))
                await producer.flush()

    assert isinstance(caught.value.cause, UnavailableError)
    assert (caught.value.acknowledged, caught.value.unknown, caught.value.unsent) == (0, 0, 100)


async def test_acks_that_are_not_to_be_had_are_refused_before_anything_is_appended(tmp_path: Path) -> None:
    async with served(tmp_path) as (client, writer):
        with pytest.raises(ProduceError, match="acks=3") as caught:
            async with client.producer(acks=3) as producer:
                await producer.send_values([b"x"])

        assert isinstance(caught.value.cause, TooFewServersError)
        assert (caught.value.cause.wanted, caught.value.cause.servers) == (3, 1)
        assert (caught.value.unknown, caught.value.unsent) == (0, 1)
        assert writer.log.end_offset == 0


async def test_a_server_that_lies_is_found_out(tmp_path: Path) -> None:
    class Liar(batches_pb2_grpc.BatchesServicer):
        async def Consume(  # noqa: N802 - gRPC's name
            self, request: object, context: object
        ) -> AsyncIterator[batches_pb2.ConsumeBatchesResponse]:
            yield batches_pb2.ConsumeBatchesResponse(start_offset=0, end_offset=10)
            yield batches_pb2.ConsumeBatchesResponse(batches=HOSTILE["a flipped payload bit"])

    server = grpc.aio.server()
    batches_pb2_grpc.add_BatchesServicer_to_server(Liar(), server)
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    async with proglog.client.connect(f"127.0.0.1:{port}") as client:
        with pytest.raises(MalformedBatchError):
            await read(client)
    await server.stop(0)


async def test_a_consumer_that_does_not_read_costs_bounded_memory_and_hinders_nobody(tmp_path: Path) -> None:
    async with served(tmp_path) as (client, writer):
        async with client.producer() as producer:
            await producer.send_values([bytes(1000)] * 40_000)
        stalled = aiter(client.consume())
        await anext(stalled)
        served_before = writer.records_served

        assert len(await read(client)) == 40_000

        # What the stalled stream has been sent is what fits into gRPC's windows, not the log.
        assert served_before < 20_000


async def test_cancelled_streams_leave_no_task_behind(tmp_path: Path, eventually: Eventually) -> None:
    async with served(tmp_path) as (client, _):
        await client.produce_value(b"x")
        before = len(asyncio.all_tasks())
        for _ in range(20):
            waiting = asyncio.ensure_future(anext(aiter(client.consume(OffsetSpec.before_end(0), follow=True))))
            await asyncio.sleep(0.01)
            waiting.cancel()
            await asyncio.gather(waiting, return_exceptions=True)
        del waiting  # its traceback knows the last consumer

        await eventually(lambda: len(asyncio.all_tasks()) <= before + 3, what="an end of the streams' tasks")


async def test_a_record_over_the_limit_is_refused_in_the_same_words_whatever_its_size(tmp_path: Path) -> None:
    async with served(tmp_path) as (client, writer):
        for size in (4_000_000, 5_000_000, 9_000_000):
            with pytest.raises(RecordTooLargeError, match="the limit is 4,000,000"):
                await client.produce_value(bytes(size))
        assert writer.log.end_offset == 0


async def test_a_large_record_among_small_ones_goes_in_a_batch_of_its_own(tmp_path: Path) -> None:
    large = bytes(4_000_000 - 1024)
    async with served(tmp_path) as (client, writer):
        async with client.producer() as producer:
            for value in (b"small", large, b"small"):
                await producer.send(Record(value=value, key=b"k"))
        assert producer.acknowledged_bytes == len(large) + 10 + 3
        assert writer.log.end_offset == 3


async def test_whatever_is_under_way_when_a_client_is_closed_says_so(tmp_path: Path, eventually: Eventually) -> None:
    async with served(tmp_path) as (client, _):
        stream = client.consume(follow=True)
        await stream.resolved()
        reading = asyncio.create_task(anext(aiter(stream)))
        await asyncio.sleep(0)

        await client.close()

        with pytest.raises(ClosedError, match="the consumer was closed"):
            await reading
        with pytest.raises(ClosedError, match="the client was closed"):
            await client.produce_value(b"x")


async def test_a_consumer_that_is_closed_says_so_to_its_reader(tmp_path: Path) -> None:
    async with served(tmp_path) as (client, _):
        stream = client.consume(follow=True)
        await stream.resolved()
        reading = asyncio.create_task(anext(aiter(stream), None))
        await asyncio.sleep(0)

        await stream.close()

        with pytest.raises(ClosedError, match="the consumer was closed"):
            await reading
