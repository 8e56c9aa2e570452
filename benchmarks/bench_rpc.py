"""Batch produce and consume against the ceiling: a gRPC echo of messages of the same size that does nothing."""

import statistics
import tempfile
import time
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import grpc.aio
import uvloop

import proglog.client
from proglog.agent.writer import LogWriter
from proglog.log.config import FsyncPolicy, LogConfig
from proglog.log.log import Log
from proglog.security.authorizer import AllowAll
from proglog.server.server import Server

MESSAGE_BYTES = 128 * 1024
RECORD_BYTES = 100
RUNS = 3


def run(*, full: bool) -> Iterator[str]:
    """Yield a line per measurement: one process, both ends on one event loop."""
    messages = 2000 if full else 40
    echo = statistics.median(uvloop.run(null_echo(messages)) for _ in range(RUNS))
    yield f"null echo: {messages * MESSAGE_BYTES / echo / 1e6:,.0f} MB/s"
    for policy in (FsyncPolicy.ALWAYS, FsyncPolicy.OS):
        times = [uvloop.run(through_a_log(messages, policy)) for _ in range(RUNS)]
        for what, column in (("produce", 0), ("consume", 1)):
            middle = statistics.median(each[column] for each in times)
            rate = messages * MESSAGE_BYTES / middle / 1e6
            yield f"{what}, fsync {policy}: {rate:,.0f} MB/s, {echo / middle:.2f} of the null echo"


async def null_echo(messages: int) -> float:
    """Return the seconds for so many messages up a stream, each answered by an empty one."""

    async def answer(requests: AsyncIterator[bytes], context: object) -> AsyncIterator[bytes]:
        del context
        async for _ in requests:
            yield b""

    server = grpc.aio.server()
    handlers = {"Run": grpc.stream_stream_rpc_method_handler(answer)}
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler("Echo", handlers),))
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    payload = bytes(MESSAGE_BYTES)
    async with grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel:

        async def requests() -> AsyncIterator[bytes]:
            for _ in range(messages):
                yield payload

        started = time.monotonic()
        async for _ in channel.stream_stream("/Echo/Run")(requests()):
            pass
        elapsed = time.monotonic() - started
    await server.stop(0)
    return elapsed


async def through_a_log(messages: int, policy: FsyncPolicy) -> tuple[float, float]:
    """Return the seconds to produce so many batches durably, and to consume them."""
    count = MESSAGE_BYTES // (RECORD_BYTES + 8)
    values = [bytes(RECORD_BYTES)] * count
    with tempfile.TemporaryDirectory(prefix="proglog-bench-") as scratch:
        log = Log.open(Path(scratch), LogConfig(fsync=policy), node_name="bench")
        async with LogWriter(log) as writer:
            server = Server(commit_log=writer, authorizer=AllowAll())
            port = await server.start("127.0.0.1:0")
            async with proglog.client.connect(f"127.0.0.1:{port}") as client:
                started = time.monotonic()
                async with client.producer() as producer:
                    for _ in range(messages):
                        await producer.send_values(values)
                produced = time.monotonic() - started
                started = time.monotonic()
                seen = 0
                async for fetched in client.consume():
                    seen += len(fetched.values())
                consumed = time.monotonic() - started
                assert seen == messages * count, "a record is missing"
            await server.stop(0)
        log.close()
    return produced, consumed
