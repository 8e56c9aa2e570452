"""Any number of calls in flight on one connection: all are answered, within the server's own bounds."""

import asyncio
from collections import Counter
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

import grpc
import grpc.aio
import pytest

import proglog.client
from proglog.agent.writer import LogWriter
from proglog.api.v1 import log_pb2, log_pb2_grpc
from proglog.client import ProduceError
from proglog.client.client import Client
from proglog.errors import UnavailableError
from proglog.log.config import LogConfig
from proglog.log.log import Log
from proglog.security.authorizer import AllowAll
from proglog.server import admission
from proglog.server.admission import Admission
from proglog.server.server import Server
from proglog.testing.processes import AgentProcess
from proglog.types import NodeName

Eventually = Callable[..., Awaitable[None]]

LONG = pytest.mark.skipif("os.environ.get('PROGLOG_LONG') != '1'", reason="a long variant: PROGLOG_LONG=1")
MAX_RSS_MIB = 150


@pytest.fixture
def agent(tmp_path: Path) -> Iterator[AgentProcess]:
    started = AgentProcess("a", tmp_path)
    started.start()
    yield started
    started.kill()


@asynccontextmanager
async def served(data_dir: Path, bounds: Admission) -> AsyncGenerator[str]:
    log = Log.open(data_dir, LogConfig(), node_name=NodeName("a"))
    async with LogWriter(log) as writer:
        server = Server(commit_log=writer, authorizer=AllowAll(), admission=bounds)
        yield f"127.0.0.1:{await server.start('127.0.0.1:0')}"
        await server.stop(0.2)
    log.close()


def rss_mib(agent: AgentProcess) -> float:
    assert agent.process is not None
    status = Path(f"/proc/{agent.process.pid}/status").read_text()
    return next(int(line.split()[1]) / 1024 for line in status.splitlines() if line.startswith("VmRSS"))


class Crowd:
    """Calls that are all under way at once, and how each went."""

    def __init__(self, addr: str, client: Client) -> None:
        self.outcomes: Counter[str] = Counter()
        self._client = client
        self._channel = grpc.aio.insecure_channel(addr)
        self._log = log_pb2_grpc.LogStub(self._channel)
        self._end = asyncio.Event()
        self._holding: list[asyncio.Task[None]] = []
        self._ready = 0

    async def produce(self, count: int) -> None:
        """So many ``Produce`` by grpcio at once."""
        await asyncio.gather(*(self._produce_one() for _ in range(count)))

    async def produce_values(self, count: int) -> None:
        """So many by our client at once."""
        await asyncio.gather(*(self._client.produce_value(b"v" * 100) for _ in range(count)))
        self.outcomes["produce_value"] += count

    async def hold_producers(self, count: int, eventually: Eventually) -> None:
        """So many producers that each have a batch acknowledged, and stay."""
        await self._hold(self._produce_stream, count, eventually)

    async def hold_consumers(self, count: int, offset: int, eventually: Eventually) -> None:
        """So many ``ConsumeStream`` by grpcio that each have a record, and stay."""
        await self._hold(lambda: self._consume(offset), count, eventually)

    async def leave(self) -> None:
        self._end.set()
        await asyncio.gather(*self._holding)
        await self._channel.close()

    async def _hold(self, one: Callable[[], Awaitable[None]], count: int, eventually: Eventually) -> None:
        async def hold() -> None:
            await one()

        wanted = self._ready + count
        self._holding += [asyncio.create_task(hold()) for _ in range(count)]  # type: ignore[misc]
        await eventually(lambda: self._ready == wanted, timeout=60, what=f"{count} streams")

    async def _produce_one(self) -> None:
        try:
            await self._log.Produce(log_pb2.ProduceRequest(record=log_pb2.Record(value=b"v" * 100)), timeout=60)
        except grpc.aio.AioRpcError as exc:
            self.outcomes[f"{exc.code().name} {exc.details()}"] += 1
        else:
            self.outcomes["Produce"] += 1

    async def _produce_stream(self) -> None:
        try:
            async with self._client.producer() as producer:
                await producer.send_values([b"v" * 100] * 3)
                await producer.flush()
                self.outcomes["Producer"] += 1
                self._ready += 1
                await self._end.wait()
        except ProduceError as exc:
            self.outcomes[str(exc)] += 1
            self._ready += 1

    async def _consume(self, offset: int) -> None:
        call = self._log.ConsumeStream(log_pb2.ConsumeRequest(offset=offset))
        try:
            await call.read()
        except grpc.aio.AioRpcError as exc:
            self.outcomes[f"{exc.code().name} {exc.details()}"] += 1
        else:
            self.outcomes["ConsumeStream"] += 1
        self._ready += 1
        await self._end.wait()
        call.cancel()


@pytest.mark.parametrize("thousands", [0.3, pytest.param(1.0, marks=LONG)])
async def test_every_one_of_thousands_of_calls_on_one_connection_is_answered(
    agent: AgentProcess, eventually: Eventually, thousands: float
) -> None:
    streams, calls = int(1000 * thousands), int(2000 * thousands)
    async with proglog.client.connect(agent.rpc_addr, timeout=60) as client:
        crowd = Crowd(agent.rpc_addr, client)
        await crowd.hold_producers(streams, eventually)
        await crowd.produce(calls)
        await crowd.produce_values(streams)
        end = (await client.status()).log.end_offset
        await crowd.hold_consumers(streams, end - 1, eventually)
        held = rss_mib(agent)
        await crowd.leave()

    assert crowd.outcomes == {
        "Producer": streams, "Produce": calls, "produce_value": streams, "ConsumeStream": streams
    }  # fmt: skip
    assert end == streams * 3 + calls + streams
    assert held < MAX_RSS_MIB


async def test_a_call_beyond_the_bound_is_refused_with_a_sentence(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(admission, "MAX_WAITING", 0)
    async with (
        served(tmp_path, Admission(max_calls_of_connection=1)) as addr,
        grpc.aio.insecure_channel(addr) as channel,
    ):
        log = log_pb2_grpc.LogStub(channel)
        await log.Produce(log_pb2.ProduceRequest(record=log_pb2.Record(value=b"v")))
        reading = log.ConsumeStream(log_pb2.ConsumeRequest())
        await reading.read()

        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await log.Consume(log_pb2.ConsumeRequest())

        assert caught.value.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
        assert caught.value.details() == (
            "the server has 1 consume calls under way on this connection: try again in a moment"
        )
        await log.Produce(log_pb2.ProduceRequest(record=log_pb2.Record(value=b"v")))  # another kind
        reading.cancel()


async def test_our_client_waits_and_tries_again_until_there_is_room(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, eventually: Eventually
) -> None:
    monkeypatch.setattr(admission, "MAX_WAITING", 0)
    bounds = Admission(max_calls=1)
    async with served(tmp_path, bounds) as addr, proglog.client.connect(addr) as client:
        async with client.producer(idempotent=False) as first:
            await first.send_values([b"first"])
            await first.flush()
            value = asyncio.create_task(_produce_value(addr, b"value"))
            second = asyncio.create_task(_produce(client, b"second"))
            await eventually(lambda: bounds.calls("produce").refused >= 4, what="both being refused")
            assert not value.done()
            assert not second.done()
        await asyncio.gather(value, second)

        stream = client.consume(follow=True)
        await stream.resolved()
        values = asyncio.create_task(_values(client))
        await eventually(lambda: bounds.calls("consume").refused >= 2, what="the consumer being refused")
        assert not values.done()
        await stream.close()
        assert sorted(await values) == [b"first", b"second", b"value"]


async def _produce(client: Client, value: bytes) -> None:
    async with client.producer(idempotent=False) as producer:
        await producer.send_values([value])


async def _produce_value(addr: str, value: bytes) -> None:
    async with proglog.client.connect(addr) as client:
        await client.produce_value(value)


async def _values(client: Client) -> list[bytes]:
    return [value async for fetched in client.consume() for value in fetched.values()]


async def test_large_requests_take_turns_in_memory(tmp_path: Path, eventually: Eventually) -> None:
    bounds = Admission(max_request_bytes=2 * 1024 * 1024, max_request_bytes_of_connection=1024 * 1024)
    most = 0

    async def watch() -> None:
        nonlocal most
        while True:
            most = max(most, bounds.requests.held)
            await asyncio.sleep(0)

    async with served(tmp_path, bounds) as addr, proglog.client.connect(addr) as client:
        watching = asyncio.create_task(watch())
        await asyncio.gather(*(client.produce_value(bytes(1024 * 1024)) for _ in range(24)), _produce_large(client, 24))
        watching.cancel()

        assert len(await _values(client)) == 48
        # A unary call, a stream's batch that was under way when the room ran out, and the one that exceeds the bound.
        assert most <= 4 * 1024 * 1024
        await eventually(lambda: bounds.requests.held == 0, what="the end of all calls")


async def _produce_large(client: Client, count: int) -> None:
    async with client.producer() as producer:
        for _ in range(count):
            await producer.send_values([bytes(1024 * 1024)])


async def test_a_request_that_is_no_message_is_refused_without_a_bug(agent: AgentProcess) -> None:
    async with grpc.aio.insecure_channel(agent.rpc_addr) as channel:
        for method in ("/log.v1.Log/Produce", "/log.v1.Log/ConsumeStream"):
            call = channel.unary_stream(method, request_serializer=bytes, response_deserializer=bytes)(b"\xff\xff")
            with pytest.raises(grpc.aio.AioRpcError, match="what was sent is no message of this call") as caught:
                await call.read()
            assert caught.value.code() is grpc.StatusCode.INVALID_ARGUMENT
    assert "rpc_failed" not in agent.telemetry.read_text()


@pytest.mark.parametrize(("producers", "kills"), [(40, 2), pytest.param(200, 20, marks=LONG)])
async def test_producers_in_one_process_survive_every_kill_of_their_agent(
    agent: AgentProcess, producers: int, kills: int, eventually: Callable[..., Awaitable[None]]
) -> None:
    done = asyncio.Event()
    sent: list[bytes] = []
    async with proglog.client.connect(agent.rpc_addr, timeout=60) as shared:
        await eventually(lambda: _is_reached(shared), what="the agent")
        tasks = [
            asyncio.create_task(_produce_until(done, agent.rpc_addr, number, sent, shared if number % 2 else None))
            for number in range(producers)
        ]
        for _ in range(kills):
            goal = len(sent) + producers * 3
            # Every life of the agent sees work, and the first one every producer: a first contact is not tried again.
            while len(sent) < goal or len({value.partition(b"-")[0] for value in sent}) < producers:
                for task in tasks:
                    if task.done():
                        task.result()  # says why the producer gave up
                await asyncio.sleep(0.02)
            await asyncio.to_thread(agent.kill)
            await asyncio.to_thread(agent.start)
        done.set()
        await asyncio.gather(*tasks)

        stored = Counter(await _values(shared))
    assert stored == Counter(sent)
    assert set(stored.values()) == {1}


async def _is_reached(client: Client) -> bool:
    """Whether the agent answers: gRPC shares what it knows of an address in a process, and waits after a failure."""
    try:
        await client.status()
    except UnavailableError:
        return False
    return True


async def _produce_until(done: asyncio.Event, addr: str, number: int, sent: list[bytes], shared: Client | None) -> None:
    client = shared or proglog.client.connect(addr, timeout=60)
    try:
        async with client.producer() as producer:
            for count in range(1_000_000):
                if done.is_set():
                    break
                value = b"%d-%d" % (number, count)
                await producer.send_values([value])
                await producer.flush()
                sent.append(value)
    finally:
        if client is not shared:
            await client.close()
