"""The ceiling of replication: a gRPC stream of messages that are bytes and nothing else, from a process of its own.

``python -m benchmarks.bare_stream MESSAGES BYTES`` serves one such stream after another; its port is its first line.
"""

import asyncio
import subprocess
import sys
import time
from collections.abc import AsyncIterator
from typing import Any

import grpc.aio
import uvloop

from proglog.client.channel import OPTIONS

METHOD = "/Bare/Run"


async def serve(messages: int, message_bytes: int) -> None:
    payload = bytes(message_bytes)

    async def answer(request: bytes, context: object) -> AsyncIterator[bytes]:
        del request, context
        for _ in range(messages):
            yield payload

    server = grpc.aio.server(options=OPTIONS)
    handlers: dict[str, Any] = {"Run": grpc.unary_stream_rpc_method_handler(answer)}
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler("Bare", handlers),))
    print(server.add_insecure_port("127.0.0.1:0"), flush=True)
    await server.start()
    await server.wait_for_termination()


async def seconds(messages: int, message_bytes: int) -> float:
    """Return how long one stream takes, its server in another process."""
    command = [sys.executable, "-m", "benchmarks.bare_stream", str(messages), str(message_bytes)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None  # a pipe, as asked for
            port = int(await asyncio.to_thread(process.stdout.readline))
            async with grpc.aio.insecure_channel(f"127.0.0.1:{port}", options=OPTIONS) as channel:
                call: Any = channel.unary_stream(METHOD)
                started = time.monotonic()
                async for _ in call(b""):
                    pass
                return time.monotonic() - started
        finally:
            process.kill()


if __name__ == "__main__":
    uvloop.run(serve(int(sys.argv[1]), int(sys.argv[2])))
