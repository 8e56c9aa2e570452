"""What callers can make an agent hold at once is bounded: in all, not only on each call, stream or connection."""

import asyncio
import time
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

import grpc
import grpc.aio
import pytest

import proglog.client
from kit.patience import patience
from proglog.api.v1 import batches_pb2, batches_pb2_grpc, log_pb2, log_pb2_grpc
from proglog.client.channel import send
from proglog.record import batch, columns
from proglog.security.devcerts import DevCerts, create_dev_certs
from proglog.security.devrules import create_rules
from proglog.security.tls import TLSFiles
from proglog.testing.processes import AgentProcess

Eventually = Callable[..., Awaitable[None]]
MIB = 1 << 20
CALLS, STREAMS, CONNECTIONS = 240, 200, 20
VALUE = bytes(3_900_000)


class Guarded:
    """An agent with TLS and rules, and how much memory it has come to hold."""

    def __init__(self, agent: AgentProcess, certs: DevCerts) -> None:
        assert agent.process is not None
        self.agent, self.certs, self._process = agent, certs, Path(f"/proc/{agent.process.pid}")
        self._base = 0.0

    def measure(self) -> None:
        """Count from now."""
        (self._process / "clear_refs").write_text("5")
        self._base = self._mib("VmRSS")

    def grown_mib(self) -> float:
        """The most since then."""
        return self._mib("VmHWM") - self._base

    def calls_ended(self, method: str) -> int:
        """Calls that it has reported as ended."""
        lines = self.agent.telemetry.read_text().splitlines()
        return sum(method in line and ("rpc_refused" in line or "stream_finished" in line) for line in lines)

    def _mib(self, field: str) -> float:
        status = (self._process / "status").read_text()
        return next(int(line.split()[1]) / 1024 for line in status.splitlines() if line.startswith(field))

    @asynccontextmanager
    async def channels(self, name: str, count: int = CONNECTIONS) -> AsyncIterator[list[grpc.aio.Channel]]:
        """So many connections of one client."""
        files: TLSFiles = self.certs.clients[name]
        pem = (files.ca_file.read_bytes(), files.key_file.read_bytes(), files.cert_file.read_bytes())
        async with AsyncExitStack() as stack:
            yield [
                await stack.enter_async_context(
                    grpc.aio.secure_channel(
                        self.agent.rpc_addr,
                        grpc.ssl_channel_credentials(*pem),
                        options=[
                            ("grpc.use_local_subchannel_pool", 1),
                            ("grpc.max_send_message_length", -1),
                            ("grpc.max_receive_message_length", -1),
                            ("grpc.http2.bdp_probe", 0),
                        ],
                    )
                )
                for _ in range(count)
            ]


@pytest.fixture
def guarded(tmp_path: Path) -> Iterator[Guarded]:
    certs = create_dev_certs(tmp_path / "certs", clients=("root", "reader", "stranger"))
    model, policy, _ = create_rules(
        tmp_path / "rules", {"root": ("produce", "consume", "observe"), "reader": ("consume",)}
    )
    flags = {"acl-model-file": str(model), "acl-policy-file": str(policy), "fsync": "os"}
    for side, files in (("server", certs.server), ("peer", certs.peer)):
        for part, path in (("cert", files.cert_file), ("key", files.key_file), ("ca", files.ca_file)):
            flags[f"{side}-tls-{part}-file"] = str(path)
    with AgentProcess("a", tmp_path, flags=flags) as agent:
        yield Guarded(agent, certs)


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
    ("client", "most_mib", "expected"), [("stranger", 50, "PERMISSION_DENIED"), ("root", 300, "OK")]
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
    assert guarded.grown_mib() < most_mib


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
