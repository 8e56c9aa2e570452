"""Both ends of a measured call, each a process of its own, as users have them.

``python -m benchmarks.ends serve``: a null peer, a gRPC server of proglog's options that does nothing: a sink, a source and
an echo. Its port is its first line. ``python -m benchmarks.ends WORK ADDR``: a client that does one piece of work and prints
its rate: against the null peer (``null-sink``, ``null-source``, ``null-echo``), or against an agent with proglog's own
client (``produce``, ``consume``, ``unary``, ``awaited``).
"""

import argparse
import asyncio
import contextlib
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import grpc.aio
import uvloop

import proglog.client
from proglog.api.v1 import log_pb2, log_pb2_grpc
from proglog.client.channel import open_channel
from proglog.security.tls import TLSFiles
from proglog.server.server import OPTIONS

SINK, SOURCE, ECHO = "/Null/Sink", "/Null/Source", "/Null/Echo"
RECORD_BYTES = 100
BATCH_BYTES = 256 * 1024
"""Of a message: what producers and consumers use by default."""
RECORDS = BATCH_BYTES // (RECORD_BYTES + 8)
"""In one batch."""
IN_FLIGHT = 16
"""Messages without an answer in a stream up: the producer's default."""


@dataclass(frozen=True, slots=True)
class Work:
    """What a client has to do."""

    addr: str
    tls: TLSFiles | None
    count: int
    """Messages, or calls."""
    at_once: int
    """Calls under way at a time."""


async def serve(tls: TLSFiles | None) -> None:
    """Serve the null peer until killed."""

    async def sink(requests: AsyncIterator[bytes], context: object) -> AsyncIterator[bytes]:
        del context
        async for _ in requests:
            yield b""

    async def source(request: bytes, context: object) -> AsyncIterator[bytes]:
        del context
        payload = bytes(BATCH_BYTES)
        for _ in range(int(request)):
            yield payload

    async def echo(request: log_pb2.ProduceRequest, context: object) -> log_pb2.ProduceResponse:
        del request, context
        return log_pb2.ProduceResponse(offset=1)

    handlers: dict[str, Any] = {
        "Sink": grpc.stream_stream_rpc_method_handler(sink),
        "Source": grpc.unary_stream_rpc_method_handler(source),
        "Echo": grpc.unary_unary_rpc_method_handler(
            echo, log_pb2.ProduceRequest.FromString, log_pb2.ProduceResponse.SerializeToString
        ),
    }
    server = grpc.aio.server(options=OPTIONS)
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler("Null", handlers),))
    if tls is None:
        port = server.add_insecure_port("127.0.0.1:0")
    else:
        pair = (tls.key_file.read_bytes(), tls.cert_file.read_bytes())
        credentials = grpc.ssl_server_credentials([pair], tls.ca_file.read_bytes(), require_client_auth=True)
        port = server.add_secure_port("127.0.0.1:0", credentials)
    print(port, flush=True)
    await server.start()
    await server.wait_for_termination()


async def null_sink(work: Work) -> float:
    """Return MB/s of a stream up with a window of ``IN_FLIGHT`` messages."""
    payload, room = bytes(BATCH_BYTES), asyncio.Semaphore(IN_FLIGHT)

    async def requests() -> AsyncIterator[bytes]:
        for _ in range(work.count):
            await room.acquire()
            yield payload

    async with open_channel(work.addr, work.tls) as channel:
        await channel.channel_ready()
        call: Any = channel.stream_stream(SINK)
        started = time.monotonic()
        async for _ in call(requests()):
            room.release()
        return work.count * BATCH_BYTES / (time.monotonic() - started) / 1e6


async def null_source(work: Work) -> float:
    """Return MB/s of a stream down."""
    async with open_channel(work.addr, work.tls) as channel:
        await channel.channel_ready()
        call: Any = channel.unary_stream(SOURCE)
        started = time.monotonic()
        async for _ in call(b"%d" % work.count):
            pass
        return work.count * BATCH_BYTES / (time.monotonic() - started) / 1e6


async def calls_per_second(work: Work, call: Callable[[log_pb2.ProduceRequest], Awaitable[object]]) -> float:
    """Return calls/s, ``at_once`` under way at a time."""
    request = log_pb2.ProduceRequest(record=log_pb2.Record(value=bytes(RECORD_BYTES)))
    left = iter(range(work.count))

    async def caller() -> None:
        for _ in left:
            await call(request)

    started = time.monotonic()
    async with asyncio.TaskGroup() as group:
        for _ in range(work.at_once):
            group.create_task(caller())
    return work.count / (time.monotonic() - started)


async def null_echo(work: Work) -> float:
    """Return calls/s to the null peer, of the book's messages."""
    async with open_channel(work.addr, work.tls) as channel:
        await channel.channel_ready()
        call: Any = channel.unary_unary(
            ECHO, log_pb2.ProduceRequest.SerializeToString, log_pb2.ProduceResponse.FromString
        )
        return await calls_per_second(work, call)


async def unary(work: Work) -> float:
    """Return calls/s of the book's Produce to an agent."""
    async with open_channel(work.addr, work.tls) as channel:
        await channel.channel_ready()
        return await calls_per_second(work, log_pb2_grpc.LogStub(channel).Produce)


async def awaited(work: Work) -> float:
    """Return records/s of callers that share a producer, each waiting for its own record, as a web service's do."""
    async with proglog.client.connect(work.addr, tls=work.tls) as client, client.producer() as producer:
        await producer.send_and_wait(proglog.client.Record(value=b"first contact"))

        async def call(request: log_pb2.ProduceRequest) -> None:
            await producer.send_and_wait(proglog.client.Record(value=request.record.value))

        return await calls_per_second(work, call)


async def produce(work: Work) -> float:
    """Return MB/s of full batches through a producer, each durable."""
    values = [b"%099d " % number for number in range(RECORDS)]
    async with proglog.client.connect(work.addr, tls=work.tls) as client, client.producer() as producer:
        await producer.send_values([b"first contact"])
        await producer.flush()
        started = time.monotonic()
        for _ in range(work.count):
            await producer.send_values(values)
        await producer.flush()
        return work.count * BATCH_BYTES / (time.monotonic() - started) / 1e6


async def consume(work: Work) -> float:
    """Return MB/s of all batches of a log, their values looked at."""
    async with proglog.client.connect(work.addr, tls=work.tls) as client:
        await client.status()
        started, seen = time.monotonic(), 0
        async for fetched in client.consume():
            seen += len(fetched.values())
        elapsed = time.monotonic() - started
    assert seen >= work.count * RECORDS, "a record is missing"
    return seen * BATCH_BYTES / RECORDS / elapsed / 1e6


WORKS: dict[str, Callable[[Work], Awaitable[float]]] = {
    "null-sink": null_sink,
    "null-source": null_source,
    "null-echo": null_echo,
    "produce": produce,
    "consume": consume,
    "unary": unary,
    "awaited": awaited,
}


def rate(work: str, addr: str, *, certs: Path | None, count: int, at_once: int = 1) -> float:
    """Run a client in a process of its own; return its rate.

    Raises:
        CalledProcessError: It failed.
    """
    command = [*_command(work, certs), "--addr", addr, "--count", str(count), "--at-once", str(at_once)]
    done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=600)
    return float(done.stdout)


@contextlib.contextmanager
def null_peer(certs: Path | None) -> Iterator[str]:
    """Run a null peer in a process of its own; yield its address."""
    with subprocess.Popen(_command("serve", certs), stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None  # a pipe, as asked for
            yield f"127.0.0.1:{int(process.stdout.readline())}"
        finally:
            process.kill()


def _command(work: str, certs: Path | None) -> list[str]:
    return [sys.executable, "-m", "benchmarks.ends", work, *(["--certs", str(certs)] if certs else [])]


def _files(certs: Path, who: str) -> TLSFiles:
    return TLSFiles(cert_file=certs / f"{who}.pem", key_file=certs / f"{who}-key.pem", ca_file=certs / "ca.pem")


def main() -> None:
    """Serve, or do one piece of work and print its rate."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.ends")
    parser.add_argument("work", choices=["serve", *WORKS])
    parser.add_argument("--addr", default="")
    parser.add_argument("--certs", type=Path)
    parser.add_argument("--count", type=int, default=1)
    parser.add_argument("--at-once", type=int, default=1)
    given = parser.parse_args()
    if given.work == "serve":
        uvloop.run(serve(_files(given.certs, "server") if given.certs else None))
        return
    tls = _files(given.certs, "client-root") if given.certs else None
    doing: Any = WORKS[given.work](Work(given.addr, tls, given.count, given.at_once))
    print(uvloop.run(doing))


if __name__ == "__main__":
    main()
