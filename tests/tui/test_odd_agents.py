"""Agents that do not behave: one that talks rubbish, one that never stops, one that says nothing, one that says no."""

import asyncio
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import grpc.aio
import pytest

from kit.terminal import Terminal
from proglog.api.v1 import cluster_pb2
from proglog.errors import PermissionDeniedError, UnavailableError
from proglog.tui import failover, watcher
from proglog.tui.source import LiveSource
from proglog.tui.state import ConnectionLost, DashState, SnapshotArrived, reduce
from proglog.wire.convert import to_message

Said = Callable[[], AsyncIterator[bytes]]
Stop = Callable[[float | None], Awaitable[None]]


@asynccontextmanager
async def _agent(said: Said) -> AsyncIterator[tuple[str, Stop]]:
    """Serves one stream of raw bytes as the watch call; yields its address, and what stops it with so much grace."""

    async def watch(request: bytes, context: object) -> AsyncIterator[bytes]:
        async for each in said():
            yield each

    server = grpc.aio.server()
    handlers = {"Watch": grpc.unary_stream_rpc_method_handler(watch)}
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler("proglog.v1.Cluster", handlers),))
    addr = f"127.0.0.1:{server.add_insecure_port('127.0.0.1:0')}"
    await server.start()
    yield addr, server.stop
    await server.stop(0)


async def _events(addr: str, count: int) -> tuple[DashState, float]:
    """Returns the state after ``count`` events, and the longest time for which the loop was held up."""
    source, held_up = LiveSource(addr), 0.0

    async def notice() -> None:
        nonlocal held_up
        while True:
            before = time.monotonic()
            await asyncio.sleep(0.01)
            held_up = max(held_up, time.monotonic() - before - 0.01)

    noticing = asyncio.create_task(notice())
    state = DashState(target=addr, now=time.time())
    async with asyncio.timeout(20):
        stream = source.changes()
        for _ in range(count):
            state = reduce(state, await anext(stream))
        assert source._watcher is not None
        assert source._watcher._queue.qsize() <= watcher._WAITING
        await stream.aclose()
    noticing.cancel()
    return state, held_up


@pytest.mark.parametrize("data", [b"\xff\xff\xff", b"\x0a\x04\x0a\x02\xff\xfe", b"\x0a\xff\xff\xff\xff\x0f"])
async def test_an_agent_that_talks_rubbish_is_lost_not_the_dashboard(data: bytes) -> None:
    async def rubbish() -> AsyncIterator[bytes]:
        yield data
        await asyncio.Event().wait()

    async with _agent(rubbish) as (addr, _):
        state, _ = await _events(addr, 3)
        assert (state.attempt, state.latest) == (3, None)
        assert "speaks another protocol" in state.error


async def test_an_agent_that_never_stops_talking_holds_nobody_up(world) -> None:
    data = to_message(world.snapshot()).SerializeToString()

    async def flood() -> AsyncIterator[bytes]:
        while True:
            for _ in range(10):
                yield data
            await asyncio.sleep(0.001)

    async with _agent(flood) as (addr, _):
        state, held_up = await _events(addr, 2_000)
        assert state.latest is not None
        assert len(state.frames) < 30
        assert held_up < 0.5


async def test_a_connection_that_breaks_leaves_no_words_on_the_screen(world) -> None:
    data = to_message(world.snapshot()).SerializeToString()

    async def once() -> AsyncIterator[bytes]:
        yield data
        await asyncio.Event().wait()

    def watch(addr: str, stop: Callable[[], object]) -> str:
        with Terminal([sys.executable, "-m", "proglog", "dash", "--addr", addr], columns=120, lines=30) as terminal:
            terminal.until(lambda text: "● live" in text and "Quit" in text)
            stop()
            terminal.until(lambda text: "reconnecting" in text)
            terminal.send("q")
            assert terminal.ended() == 0
            return terminal.text

    async with _agent(once) as (addr, stop):
        loop = asyncio.get_running_loop()
        text = await asyncio.to_thread(watch, addr, lambda: asyncio.run_coroutine_threadsafe(stop(0), loop).result(10))
        assert "goaway" not in text.lower()
        assert "chttp2" not in text


async def test_an_empty_status_is_shown_as_one() -> None:
    async def empty() -> AsyncIterator[bytes]:
        yield cluster_pb2.Status().SerializeToString()
        await asyncio.Event().wait()

    async with _agent(empty) as (addr, _):
        state, _ = await _events(addr, 1)
        assert state.shown.node.name == ""
        assert state.alerts == ()


async def test_an_agent_that_says_nothing_at_all_is_waited_for() -> None:
    async def silence() -> AsyncIterator[bytes]:
        await asyncio.Event().wait()
        yield b""

    async with _agent(silence) as (addr, _):
        stream = LiveSource(addr).changes()
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.5):
                await anext(stream)
        await stream.aclose()


async def test_nothing_runs_on_when_the_reader_leaves(world) -> None:
    data = to_message(world.snapshot()).SerializeToString()

    async def once() -> AsyncIterator[bytes]:
        yield data
        await asyncio.Event().wait()

    async with _agent(once) as (addr, _):
        before = {task for task in asyncio.all_tasks() if "Watcher" in repr(task.get_coro())}
        stream = LiveSource(addr).changes()
        assert isinstance(await anext(stream), SnapshotArrived)
        assert {task for task in asyncio.all_tasks() if "Watcher" in repr(task.get_coro())} - before
        await stream.aclose()
        assert {task for task in asyncio.all_tasks() if "Watcher" in repr(task.get_coro())} == before


def test_one_that_says_no_is_asked_less_and_less() -> None:
    no, gone = PermissionDeniedError("mallory", "watch", "*"), UnavailableError("refused")
    assert [failover.retry_after(no, attempt) for attempt in (1, 2, 3, 4, 99)] == [0.5, 1.0, 2.0, 5.0, 5.0]
    assert max(failover.retry_after(gone, attempt) for attempt in range(1, 100)) < 0.5


async def test_a_lost_agent_costs_no_memory_however_long() -> None:
    state = DashState(target="x", now=0.0)
    for second in range(5_000):
        lost = ConnectionLost(at=float(second), attempt=second + 1, retry_in=0.3, error="refused " * 100)
        state = reduce(state, lost)
    assert (state.frames, state.others) == ((), {})
