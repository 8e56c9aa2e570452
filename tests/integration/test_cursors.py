"""Cursors: a consumer continues at another node, in another log, after a crash, and misses and repeats nothing."""

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

import grpc
import pytest

import proglog.client
from proglog.agent.writer import LogWriter
from proglog.api.v1 import batches_pb2, batches_pb2_grpc
from proglog.client import Client, Gone
from proglog.client.cursor import Cursor
from proglog.client.offset_spec import OffsetSpec
from proglog.errors import OtherLogError, PositionGoneError, ProglogError, UnavailableError
from proglog.log.config import LogConfig
from proglog.log.log import Log
from proglog.log.model import LogPosition
from proglog.record import scan
from proglog.security.authorizer import AllowAll
from proglog.server.server import Server
from proglog.testing.processes import AgentProcess
from proglog.types import FilePosition, NodeName, Offset

Eventually = Callable[..., Awaitable[None]]


@asynccontextmanager
async def served(data_dir: Path, port: int = 0) -> AsyncGenerator[tuple[Client, LogWriter]]:
    log = Log.open(data_dir, LogConfig(segment_bytes=4096, retention_bytes=20_000), node_name=NodeName("a"))
    async with LogWriter(log) as writer:
        server = Server(commit_log=writer, authorizer=AllowAll())
        bound = await server.start(f"127.0.0.1:{port}")
        async with proglog.client.connect(f"127.0.0.1:{bound}") as client:
            yield client, writer
        await server.stop(0.2)
    log.close()


def numbered(count: int, start: int = 0) -> list[bytes]:
    return [b"%06d" % number for number in range(start, start + count)]


async def produce(client: Client, values: list[bytes], batch_bytes: int = 200) -> None:
    async with client.producer(batch_bytes=batch_bytes) as producer:
        await producer.send_values(values)


async def take(
    client: Client, start: OffsetSpec | Cursor | None, limit: int | None, end: OffsetSpec | None = None
) -> tuple[list[bytes], Cursor]:
    stream = client.consume(start, end, limit=limit)
    values = [value async for fetched in stream for value in fetched.values()]
    return values, stream.cursor


@pytest.mark.parametrize("step", [1, 7, 13, 50])
async def test_a_log_read_in_steps_by_cursor_is_read_once(tmp_path: Path, step: int) -> None:
    async with served(tmp_path) as (client, _):
        await produce(client, numbered(100))
        found: list[bytes] = []
        place: OffsetSpec | Cursor | None = None
        while True:
            values, place = await take(client, place, step)
            found += values
            if not values:
                break

        assert found == numbered(100)


async def test_every_range_ends_in_a_cursor_that_continues_there(tmp_path: Path) -> None:
    async with served(tmp_path) as (client, _):
        await produce(client, numbered(100))
        ranges = [
            (OffsetSpec.offset(7), OffsetSpec.offset(7), 7),
            (OffsetSpec.offset(5), OffsetSpec.offset(10), 10),
            (OffsetSpec.before_end(3), OffsetSpec.before_end(1), 99),
            (OffsetSpec.before_end(0), None, 100),
            (None, None, 100),
        ]
        for start, end, after in ranges:
            _, cursor = await take(client, start, None, end)

            assert (await take(client, cursor, None))[0] == numbered(100 - after, after)


async def test_a_limit_is_kept_within_a_batch_and_nothing_of_none_is_read(tmp_path: Path) -> None:
    async with served(tmp_path) as (client, _):
        await produce(client, numbered(100), batch_bytes=10_000)

        assert (await take(client, None, 3))[0] == numbered(3)
        assert (await take(client, OffsetSpec.offset(98), 30))[0] == numbered(2, 98)
        assert (await take(client, None, 0))[0] == []


async def test_following_by_cursor_waits_and_then_gets_what_comes(tmp_path: Path) -> None:
    async with served(tmp_path) as (client, _):
        await produce(client, numbered(3))
        _, cursor = await take(client, None, None)
        waiting = asyncio.ensure_future(anext(aiter(client.consume(cursor, follow=True))))

        await client.produce_value(b"news")

        assert list((await asyncio.wait_for(waiting, 5)).values()) == [b"news"]


async def test_a_position_that_retention_has_outrun_is_reported_or_skipped_and_told(tmp_path: Path) -> None:
    async with served(tmp_path) as (client, writer):
        await produce(client, numbered(10))
        _, cursor = await take(client, None, 5)
        while writer.log.start_offset < 100:
            await produce(client, [bytes(1000)] * 20, batch_bytes=1000)
            await asyncio.to_thread(writer.log.retain)

        with pytest.raises(PositionGoneError) as caught:
            await take(client, cursor, None)
        gone: list[Gone] = []
        stream = client.consume(cursor, skip_gone=True, on_gone=gone.append)
        offsets = [offset async for each in stream for offset in range(each.start_offset, each.end_offset)]

        assert caught.value.start == 7  # five records, and the batch that opened the origin
        assert [(each.start, each.end) for each in gone] == [(caught.value.start, caught.value.end)]
        assert offsets == list(range(writer.log.start_offset, writer.log.end_offset))
        assert (await take(client, stream.cursor, None))[0] == []


async def test_what_is_gone_at_one_node_is_read_at_another(tmp_path: Path) -> None:
    async with served(tmp_path / "a") as (client, writer), served(tmp_path / "b") as (other, copies):
        await produce(client, numbered(10))
        _, cursor = await take(client, None, 5)
        everything = writer.log.read(LogPosition(Offset(0), FilePosition(0)), 1 << 20).data
        await copies.append_copies(list(scan.batches(everything)))
        while writer.log.start_offset < 100:
            await produce(client, [bytes(1000)] * 20, batch_bytes=1000)
            await asyncio.to_thread(writer.log.retain)

        async with proglog.client.connect([client.addr, other.addr]) as both:
            found = [value async for fetched in both.consume(cursor) for value in fetched.values()]

        assert found == numbered(5, 5)


async def test_a_start_and_a_cursor_together_are_refused(tmp_path: Path) -> None:
    request = batches_pb2.ConsumeBatchesRequest(start=batches_pb2.OffsetSpec(offset=0), cursor=batches_pb2.Cursor())
    async with served(tmp_path) as (client, _), grpc.aio.insecure_channel(client.addr) as channel:
        with pytest.raises(grpc.aio.AioRpcError, match="not both") as caught:
            await anext(aiter(batches_pb2_grpc.BatchesStub(channel).Consume(request)))

    assert caught.value.code() is grpc.StatusCode.INVALID_ARGUMENT


async def test_an_offset_is_refused_by_another_log_at_the_same_address(
    tmp_path: Path, free_port: Callable[[], int]
) -> None:
    port = free_port()
    async with proglog.client.connect(f"127.0.0.1:{port}") as client:
        async with served(tmp_path / "a", port):
            await produce(client, numbered(10))
            _, cursor = await take(client, None, 5)
            stream = client.consume(limit=1)
            await stream.get()
            fifth = OffsetSpec.offset(5, stream.log)
            await stream.close()
        async with served(tmp_path / "a", port):
            assert (await take(client, fifth, None))[0] == numbered(5, 5)
        async with served(tmp_path / "b", port) as (direct, _):
            await produce(direct, numbered(10, 500))

            with pytest.raises(OtherLogError, match="cursor"):
                await take(client, fifth, None)
            assert (await take(client, cursor, None))[0] == numbered(10, 500)  # of an origin that it did not know


async def test_an_offset_stays_good_when_the_log_continues_under_a_new_origin(tmp_path: Path) -> None:
    async with served(tmp_path) as (client, writer):
        await produce(client, numbered(10))
        await take(client, None, None)
        await writer.begin_origin("a peer knows more")
        await produce(client, numbered(10, 10))

        assert (await take(client, OffsetSpec.offset(5), None))[0] == numbered(15, 5)
        assert (await take(client, OffsetSpec.offset(15), None))[0] == numbered(5, 15)


@pytest.fixture
def agents(tmp_path: Path) -> Iterator[list[AgentProcess]]:
    """Three that know each other."""
    started: list[AgentProcess] = []
    try:
        for name in "abc":
            started.append(AgentProcess(name, tmp_path, tuple(each.gossip_addr for each in started[:1])))
            started[-1].start()
        yield started
    finally:
        for each in started:
            each.kill()


async def test_a_consumer_whose_node_is_killed_under_load_misses_nothing_and_repeats_nothing(
    agents: list[AgentProcess], eventually: Eventually
) -> None:
    count = 3000
    async with AsyncExitStack() as stack:
        clients = [
            await stack.enter_async_context(proglog.client.connect(agent.rpc_addr, timeout=10)) for agent in agents
        ]

        async def copied() -> bool:
            try:
                async with clients[1].producer(acks=3, ack_timeout=1) as producer:
                    await producer.send_values([b"ready"])
            except ProglogError:
                return False
            return True

        await eventually(copied, timeout=20, what="a cluster of three")

        async def load(client: Client, name: bytes) -> None:
            async with client.producer(batch_bytes=500) as producer:
                for number in range(count):
                    await producer.send_values([b"%s %d" % (name, number)])

        moved: list[str] = []
        both = await stack.enter_async_context(proglog.client.connect([agent.rpc_addr for agent in agents]))
        consumer = both.consume(follow=True, on_move=lambda addr, _: moved.append(addr))
        found: list[bytes] = []
        loads = asyncio.gather(load(clients[1], b"b"), load(clients[2], b"c"))
        async with asyncio.timeout(40):
            async for fetched in consumer:
                found += [value for value in fetched.values() if value != b"ready"]
                if len(found) > count // 2 and not moved and agents[0].process is not None:
                    await asyncio.to_thread(agents[0].kill)
                if len(found) >= 2 * count:
                    break
        await loads

        assert moved
        assert moved[0] == agents[1].rpc_addr
        for name in (b"b", b"c"):
            mine = [value for value in found if value.startswith(name)]
            assert mine == [b"%s %d" % (name, number) for number in range(count)]
        assert consumer.cursor is not None
        rest, _ = await take(clients[2], consumer.cursor, None)
        assert rest == []


async def test_a_consumer_says_why_when_nobody_is_left(free_port: Callable[[], int]) -> None:
    addrs = [f"127.0.0.1:{free_port()}", f"127.0.0.1:{free_port()}"]
    async with proglog.client.connect(addrs, timeout=0.5) as client:
        with pytest.raises(UnavailableError, match="cannot reach"):
            await asyncio.wait_for(anext(aiter(client.consume())), 10)
