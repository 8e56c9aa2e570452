"""What callers can make an agent hold at once is bounded: in all, not only on each call, stream or connection."""

import asyncio
import os
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path

import grpc
import grpc.aio
import pytest

import proglog.client
from kit.guarded import CONNECTIONS, Guarded, guarded_agent
from kit.patience import patience
from proglog.api.v1 import batches_pb2, batches_pb2_grpc, log_pb2, log_pb2_grpc
from proglog.client.channel import send
from proglog.record import batch, columns

Eventually = Callable[..., Awaitable[None]]
MIB = 1 << 20
CALLS, STREAMS = 240, 200
VALUE = bytes(3_900_000)


@pytest.fixture
def guarded(tmp_path: Path) -> Iterator[Guarded]:
    with guarded_agent(tmp_path) as started:
        yield started


async def produce(channel: grpc.aio.Channel, outcomes: Counter[str], value: bytes = VALUE) -> None:
    try:
        await log_pb2_grpc.LogStub(channel).Produce(
            log_pb2.ProduceRequest(record=log_pb2.Record(value=value)), timeout=90
        )
        outcomes["OK"] += 1
    except grpc.aio.AioRpcError as exc:
        outcomes[exc.code().name] += 1


async def produce_batch(channel: grpc.aio.Channel, outcomes: Counter[str]) -> None:
    data = batch.encode(columns.from_values([VALUE]), count=1, first_timestamp_ms=1, max_timestamp_ms=1)
    stream = batches_pb2_grpc.BatchesStub(channel).Produce(timeout=90)
    await send(stream, batches_pb2.ProduceBatchRequest(batch=data).SerializeToString())
    try:
        assert await stream.read() is not grpc.aio.EOF
        outcomes["OK"] += 1
    except grpc.aio.AioRpcError as exc:
        outcomes[exc.code().name] += 1
    stream.cancel()


@pytest.mark.parametrize("call", [produce, produce_batch])
@pytest.mark.parametrize(
    ("client", "most_mib", "expected"),
    [("stranger", 50, "PERMISSION_DENIED"), ("root", 300, "OK")],
)
async def test_large_calls_at_once(
    guarded: Guarded, client: str, most_mib: int, expected: str, call: Callable[..., Awaitable[None]]
) -> None:
    outcomes = Counter[str]()
    async with guarded.channels(client) as channels:
        await asyncio.gather(*(produce(channel, Counter()) for channel in channels))
        guarded.measure()
        await asyncio.gather(*(call(channels[number % len(channels)], outcomes) for number in range(CALLS)))

    assert set(outcomes) <= {expected, "RESOURCE_EXHAUSTED"}
    assert outcomes[expected] >= CALLS / 2
    beside_others = "PYTEST_XDIST_WORKER" in os.environ  # a loop that has to wait reads later, and more lies in queues
    assert guarded.grown_mib() < (most_mib + 150 if beside_others else most_mib)


LONG = pytest.mark.skipif("os.environ.get('PROGLOG_LONG') != '1'", reason="a long variant: PROGLOG_LONG=1")


@pytest.mark.parametrize("connections", [pytest.param(1, marks=LONG), CONNECTIONS])
async def test_streams_that_nobody_reads_are_cut_and_another_subject_is_served_meanwhile(
    guarded: Guarded, connections: int, eventually: Eventually
) -> None:
    files = guarded.certs.clients["reader"]
    async with (
        guarded.channels("root", connections) as channels,
        proglog.client.connect(guarded.agent.rpc_addr, tls=files) as reader,
    ):
        for _ in range(3):
            await asyncio.gather(*(produce(channels[0], Counter(), bytes(100_000)) for _ in range(100)))
        guarded.measure()
        unread = [
            batches_pb2_grpc.BatchesStub(channels[number % connections]).Consume(
                batches_pb2.ConsumeBatchesRequest(follow=True, max_bytes=2 * MIB)
            )
            for number in range(STREAMS)
        ]
        started = time.monotonic()
        await asyncio.sleep(0.5)  # they come to be unread
        async with asyncio.timeout(10):
            assert sum([len(fetched.values()) async for fetched in reader.consume()]) == 300
        await eventually(lambda: guarded.calls_ended("Batches/Consume") > STREAMS, timeout=40, what="their end")
        assert time.monotonic() - started < patience(30)
        del unread
    assert guarded.grown_mib() < 100
