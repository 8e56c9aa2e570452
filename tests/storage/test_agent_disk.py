"""A real agent on a disk that fails, is full, or is slow."""

import asyncio
import shutil
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from pathlib import Path

import grpc
import pytest

from kit.checker import check
from kit.patience import patience
from proglog.api.v1 import log_pb2
from proglog.testing.processes import AgentProcess
from tests.storage.agents import (
    NOT_SERVING,
    SERVING,
    BookClient,
    injected,
    resident_bytes,
    small_file_system,
)

Eventually = Callable[..., Awaitable[None]]
MIB = 1 << 20

needs_strace = pytest.mark.skipif(shutil.which("strace") is None, reason="strace is not installed: `make tools`")


@pytest.fixture
def agent(tmp_path: Path) -> Iterator[AgentProcess]:
    started = AgentProcess("a", tmp_path)
    started.start()
    yield started
    started.kill()


@pytest.fixture
async def client(agent: AgentProcess) -> AsyncIterator[BookClient]:
    opened = BookClient(agent.rpc_addr)
    yield opened
    await opened.close()


@needs_strace
@pytest.mark.parametrize("fault", ["fdatasync:error=EIO", "pwritev2:error=EIO", "fdatasync:error=EIO:when=4"])
async def test_an_io_error_stops_all_acknowledgements_health_says_so_and_a_restart_recovers(
    agent: AgentProcess, client: BookClient, fault: str, eventually: Eventually
) -> None:
    for number in range(20):
        assert await client.produce(b"before %d" % number) is grpc.StatusCode.OK
    assert await client.status() == SERVING

    with injected(agent, fault):
        failed = 0.0
        for number in range(20):
            if await client.produce(b"during %d" % number) is not grpc.StatusCode.OK:
                failed = time.monotonic()
                break
        assert failed

        async def unhealthy() -> bool:
            return await client.status() == NOT_SERVING

        await eventually(unhealthy, timeout=1, what="NOT_SERVING")
    for number in range(5):  # the disk is well again, and what is on it is unknown
        assert await client.produce(b"after %d" % number) is not grpc.StatusCode.OK
    durable = (await client.reading()).end
    assert durable >= 20

    await asyncio.to_thread(agent.kill)
    await asyncio.to_thread(agent.start)
    again = BookClient(agent.rpc_addr)
    again.attempts = client.attempts
    assert await again.status() == SERVING
    assert check(again.attempts, [await again.reading()]) == []
    assert await again.produce(b"recovered") is grpc.StatusCode.OK
    await again.close()


@pytest.mark.parametrize("kind", ["tmpfs", "ext4"])
async def test_a_full_disk_refuses_at_once_reads_continue_and_it_resumes_by_itself(
    tmp_path: Path, kind: str, eventually: Eventually
) -> None:
    with small_file_system(tmp_path, kind, 16) as disk:
        agent = AgentProcess("a", tmp_path, flags={"segment-bytes": "1048576", "data-dir": str(disk / "data")})
        agent.start()
        client = BookClient(agent.rpc_addr)
        hog = disk / "hog"
        hog.write_bytes(bytes(4 * MIB))
        try:
            number, code = 0, grpc.StatusCode.OK
            while code is grpc.StatusCode.OK:
                started = time.monotonic()
                code = await client.produce(b"%d " % number * 20_000)
                number += 1
            assert code is grpc.StatusCode.RESOURCE_EXHAUSTED
            assert time.monotonic() - started < patience(1)
            assert await client.produce(b"still full" * 10_000) is grpc.StatusCode.RESOURCE_EXHAUSTED
            assert check(client.attempts, [await client.reading()]) == []

            hog.unlink()
            freed = time.monotonic()

            async def resumed() -> bool:
                return await client.produce(b"room again %d" % len(client.attempts)) is grpc.StatusCode.OK

            await eventually(resumed, timeout=5, what="room")
            assert time.monotonic() - freed < patience(5)
            assert check(client.attempts, [await client.reading()]) == []
            await asyncio.to_thread(agent.kill)
            await asyncio.to_thread(agent.start)
            again = BookClient(agent.rpc_addr)
            assert check(client.attempts, [await again.reading()]) == []
            await again.close()
        finally:
            await client.close()
            await asyncio.to_thread(agent.kill)


@needs_strace
@pytest.mark.parametrize("seconds", [0.3, 5.0])
async def test_a_slow_sync_holds_producers_back_and_nobody_else(
    agent: AgentProcess, client: BookClient, seconds: float
) -> None:
    slowest, _ = await _load_a_slow_disk(agent, client, seconds)
    assert slowest < 1


@needs_strace
async def test_a_slow_sync_costs_little_memory(agent: AgentProcess, client: BookClient) -> None:
    _, grown = await _load_a_slow_disk(agent, client, 0.3)
    assert grown < 64 * MIB


async def _load_a_slow_disk(agent: AgentProcess, client: BookClient, seconds: float) -> tuple[float, int]:
    """Send more than it takes over eight streams; return the slowest other call, and how much memory it took."""
    assert await client.produce(b"first") is grpc.StatusCode.OK
    before = resident_bytes(agent)
    value, sent = bytes(256 * 1024), 0

    async def endless() -> AsyncIterator[log_pb2.ProduceRequest]:
        nonlocal sent
        while sent < 2000:
            sent += 1
            yield log_pb2.ProduceRequest(record=log_pb2.Record(value=b"%08d" % sent + value))

    with injected(agent, f"fdatasync:delay_enter={int(seconds * 1e6)}"):
        streams = [client.log.ProduceStream(endless()) for _ in range(8)]
        waiting = [asyncio.create_task(_drain(stream)) for stream in streams]
        deadline = time.monotonic() + max(3.0, seconds * 0.9)
        slowest, grown = 0.0, 0
        while time.monotonic() < deadline:
            started = time.monotonic()
            assert await client.status() == SERVING
            assert (await client.log.Consume(log_pb2.ConsumeRequest(offset=0), timeout=5)).record.value == b"first"
            slowest = max(slowest, time.monotonic() - started)
            grown = max(grown, resident_bytes(agent) - before)
            await asyncio.sleep(0.05)
        for stream in streams:
            stream.cancel()
        await asyncio.gather(*waiting, return_exceptions=True)
    print(f"slowest other call {slowest * 1000:.0f} ms, {grown / MIB:.0f} MiB more memory, {sent} records sent")
    assert sent < 2000  # they were held back
    return slowest, grown


async def _drain(stream: AsyncIterator[log_pb2.ProduceResponse]) -> None:
    async for _ in stream:
        pass
