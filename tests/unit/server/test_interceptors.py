"""How a call ends is reported as what it is."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import grpc
import grpc.aio
import pytest

from proglog.security.authorizer import AllowAll
from proglog.server.context import Context
from proglog.server.interceptors import Gate
from proglog.telemetry import events
from proglog.telemetry.emit import EventKind


async def says_something(requests: AsyncIterator[bytes], context: Context) -> None:
    del requests
    await context.send_initial_metadata(())


async def asks_for_something(requests: AsyncIterator[bytes], context: Context) -> None:
    del context
    await anext(aiter(requests))


@pytest.mark.parametrize("tries", [says_something, asks_for_something])
async def test_a_call_that_the_servers_end_has_overtaken_was_cut(
    tries: Callable[[AsyncIterator[bytes], Context], Awaitable[None]],
) -> None:
    reported: list[tuple[EventKind, object]] = []
    begun, stopped, over = asyncio.Event(), asyncio.Event(), asyncio.Event()

    def report(kind: EventKind, *_: object, **keys: object) -> None:
        reported.append((kind, keys["code"]))
        over.set()

    async def handle(requests: AsyncIterator[bytes], context: Context) -> AsyncIterator[bytes]:
        begun.set()
        try:
            await stopped.wait()
        except asyncio.CancelledError:
            await stopped.wait()  # as one that had not begun yet
        await tries(requests, context)
        yield b""

    handlers: Any = {"Produce": grpc.stream_stream_rpc_method_handler(handle)}
    server = grpc.aio.server(interceptors=[Gate(AllowAll(), report)])
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler("proglog.v1.Batches", handlers),))
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    async with grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel, asyncio.timeout(10):
        call = channel.stream_stream("/proglog.v1.Batches/Produce")()
        await begun.wait()
        await server.stop(0)
        stopped.set()
        await over.wait()
        call.cancel()

    assert reported == [(events.STREAM_FINISHED, "CANCELLED")]
