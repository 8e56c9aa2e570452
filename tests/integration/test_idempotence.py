"""An idempotent producer whose connection breaks between append and answer: every record is in the log once."""

import asyncio
import gc
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path

import pytest

import proglog.client
from kit.proxy import Proxy
from proglog.agent.writer import LogWriter
from proglog.client import Client, ProduceError, Record, UnknownOutcomeError
from proglog.errors import LogFullError, OtherLogError, ProducerFencedError, ProglogError, UnavailableError
from proglog.log.config import LogConfig
from proglog.log.log import Log
from proglog.log.model import Outcome
from proglog.record.batch import VerifiedBatch
from proglog.security.authorizer import AllowAll
from proglog.server.commit_log import Fence
from proglog.server.server import Server
from proglog.testing.files import FaultyFiles
from proglog.testing.processes import AgentProcess
from proglog.types import NodeName

Eventually = Callable[..., Awaitable[None]]


@asynccontextmanager
async def served(data_dir: Path, files: FaultyFiles | None = None) -> AsyncGenerator[tuple[str, LogWriter]]:
    log = Log.open(data_dir, LogConfig(ballast_bytes=0), files=files, node_name=NodeName("a"))
    async with LogWriter(log) as writer:
        server = Server(commit_log=writer, authorizer=AllowAll())
        port = await server.start("127.0.0.1:0")
        yield f"127.0.0.1:{port}", writer
        await server.stop(0.2)
    log.close()


def numbered(count: int, start: int = 0) -> list[bytes]:
    return [b"%06d" % number for number in range(start, start + count)]


async def values_at(addr: str) -> list[bytes]:
    async with proglog.client.connect(addr) as client:
        return [value async for fetched in client.consume() for value in fetched.values()]


@asynccontextmanager
async def through(proxy: Proxy, timeout: float = 10) -> AsyncGenerator[Client]:
    async with proglog.client.connect(proxy.addr, timeout=timeout) as client:
        yield client


async def test_what_was_appended_and_not_answered_is_appended_once(tmp_path: Path, eventually: Eventually) -> None:
    async with served(tmp_path) as (addr, writer), Proxy(addr) as proxy, through(proxy) as client:
        broken: list[ProglogError] = []
        async with client.producer(batch_bytes=100, on_retry=broken.append) as producer:
            await producer.send_values(numbered(10))
            await producer.flush()
            for before in (10, 210, 410):
                proxy.hold_answers()
                sending = asyncio.create_task(producer.send_values(numbered(200, before)))
                await eventually(partial(_is_past, writer, before), what="appends")
                assert producer.acknowledged == before

                proxy.cut()

                await sending
                await producer.flush()
                assert producer.acknowledged == before + 200

        assert await values_at(addr) == numbered(610)
        assert len(broken) == 3


def _is_past(writer: LogWriter, offset: int) -> bool:
    return writer.log.end_offset > offset


async def test_without_idempotence_the_outcome_is_unknown_and_nothing_is_sent_again(
    tmp_path: Path, eventually: Eventually
) -> None:
    async with served(tmp_path) as (addr, writer), Proxy(addr) as proxy, through(proxy) as client:
        with pytest.raises(ProduceError) as caught:
            async with client.producer(idempotent=False) as producer:
                await producer.send_values(numbered(10))
                await producer.flush()
                proxy.hold_answers()
                await producer.send_values(numbered(10, 10))
                await eventually(lambda: writer.log.end_offset == 20, what="the append")
                proxy.cut()
                await producer.flush()

        assert (caught.value.acknowledged, caught.value.unknown, caught.value.unsent) == (10, 10, 0)
        assert await values_at(addr) == numbered(20)


async def test_a_copy_that_is_still_on_its_way_keeps_the_outcome_unknown(
    tmp_path: Path, eventually: Eventually
) -> None:
    """The connection breaks for the producer; what it sent arrives after the log, full at first, refused it again."""
    files = FaultyFiles()
    async with (
        served(tmp_path, files) as (addr, writer),
        Proxy(addr) as proxy,
        through(proxy) as client,
        client.producer(delivery_timeout=1.0, linger=0.0) as producer,
    ):
        await producer.send_and_wait(Record(value=b"before"))
        proxy.hold_requests()
        sent = await producer.send(Record(value=b"late"))
        await eventually(lambda: producer.unknown == 1, what="the first copy on its way")
        files.capacity_bytes = files.used_bytes()
        proxy.strand()
        with pytest.raises(UnknownOutcomeError) as caught:
            await sent
        assert isinstance(caught.value.cause, LogFullError)
        files.capacity_bytes = None
        await eventually(lambda: writer.log.state == "ok", what="room on the disk")

        proxy.deliver()

        await eventually(lambda: writer.log.end_offset == 2, what="the append of the first copy")
        assert await values_at(addr) == [b"before", b"late"]


async def test_a_copy_that_arrives_behind_a_later_record_is_refused(
    tmp_path: Path, eventually: Eventually, monkeypatch: pytest.MonkeyPatch
) -> None:
    refusals: list[ProducerFencedError] = []
    queue = LogWriter.queue

    async def watched(self: LogWriter, batch: VerifiedBatch, fence: Fence | None = None) -> asyncio.Future[Outcome]:
        coming = await queue(self, batch, fence)
        coming.add_done_callback(note)
        return coming

    def note(coming: asyncio.Future[Outcome]) -> None:
        if not coming.cancelled() and isinstance(outcome := coming.result(), ProducerFencedError):
            refusals.append(outcome)

    monkeypatch.setattr(LogWriter, "queue", watched)
    async with (
        served(tmp_path) as (addr, _),
        Proxy(addr) as proxy,
        through(proxy) as client,
        client.producer(delivery_timeout=1.0, linger=0.0) as producer,
    ):
        await producer.send_and_wait(Record(value=b"before"))
        proxy.hold_requests()
        sent = await producer.send(Record(value=b"late"))
        await eventually(lambda: producer.unknown == 1, what="the copy on its way")
        proxy.target = "127.0.0.1:1"
        proxy.strand()
        with pytest.raises(UnknownOutcomeError):
            await sent
        proxy.target = addr
        await producer.send_and_wait(Record(value=b"after"))

        proxy.deliver()

        await eventually(lambda: bool(refusals), what="the refusal of the late copy")
        assert await values_at(addr) == [b"before", b"after"]


async def test_an_agent_that_stays_away_leaves_only_what_was_sent_unknown(
    tmp_path: Path, eventually: Eventually
) -> None:
    broken: list[ProglogError] = []
    async with served(tmp_path) as (addr, writer), Proxy(addr) as proxy, through(proxy, timeout=1.5) as client:
        with pytest.raises(ProduceError) as caught:
            async with client.producer(on_retry=broken.append) as producer:
                await producer.send_values(numbered(10))
                await producer.flush()
                proxy.hold_answers()
                await producer.send_values(numbered(3, 10))
                await eventually(lambda: writer.log.end_offset == 13, what="the append")
                proxy.target = "127.0.0.1:1"
                proxy.cut()
                await eventually(lambda: bool(broken), what="the end of the stream")
                await producer.send_values(numbered(5, 13))
                await producer.flush()

        assert isinstance(caught.value.cause, UnavailableError)
        assert (caught.value.acknowledged, caught.value.unknown, caught.value.unsent) == (10, 3, 5)


async def test_what_may_be_in_one_log_is_not_sent_to_another(tmp_path: Path, eventually: Eventually) -> None:
    async with (
        served(tmp_path / "a") as (addr, writer),
        served(tmp_path / "b") as (other, _),
        Proxy(addr) as proxy,
        through(proxy) as client,
    ):
        broken: list[ProglogError] = []
        with pytest.raises(ProduceError) as caught:
            async with client.producer(on_retry=broken.append, stop_on_failure=True) as producer:
                await producer.send_values(numbered(10))
                await producer.flush()
                proxy.hold_answers()
                await producer.send_values(numbered(10, 10))
                await eventually(lambda: writer.log.end_offset == 20, what="the append")
                proxy.target = other
                proxy.cut()
                await eventually(lambda: bool(broken), what="the end of the stream")
                await producer.send_values(numbered(10, 20))
                await producer.flush()

        assert isinstance(caught.value.cause, OtherLogError)
        assert (caught.value.acknowledged, caught.value.unknown, caught.value.unsent) == (10, 10, 10)
        assert await values_at(other) == []


async def test_a_log_that_a_producer_returns_to_takes_what_comes(tmp_path: Path, eventually: Eventually) -> None:
    """The first log has not seen what the other one got meanwhile: to it, the next number would be a gap."""
    broken: list[ProglogError] = []
    async with (
        served(tmp_path / "a") as (addr, _),
        served(tmp_path / "b") as (other, _),
        Proxy(addr) as proxy,
        through(proxy) as client,
        client.producer(stop_on_failure=True, linger=0.0, on_retry=broken.append) as producer,
    ):
        for number, target in enumerate((other, addr, other, addr)):
            await producer.send_and_wait(Record(value=b"%d" % number))
            proxy.target = target
            proxy.cut()
            await eventually(lambda: len(broken) > number, what="the end of the stream")  # noqa: B023 - called at once

        assert (await values_at(addr), await values_at(other)) == ([b"0", b"2"], [b"1", b"3"])


@pytest.mark.parametrize("idempotent", [True, False])
async def test_what_a_full_disk_refuses_is_counted_as_not_sent(
    idempotent: bool, caplog: pytest.LogCaptureFixture
) -> None:
    for attempt in range(2):  # the refusal meets the producer at another moment each time
        log = Log.open(
            Path("/log"),
            LogConfig(ballast_bytes=0),
            files=FaultyFiles(capacity_bytes=300_000 + 1000 * attempt),
            node_name=NodeName("a"),
        )
        async with LogWriter(log) as writer:
            server = Server(commit_log=writer, authorizer=AllowAll())
            async with proglog.client.connect(f"127.0.0.1:{await server.start('127.0.0.1:0')}") as client:
                with pytest.raises(ProduceError, match="no space left") as caught:
                    async with client.producer(
                        batch_bytes=10_000, idempotent=idempotent, delivery_timeout=2.0, stop_on_failure=True
                    ) as producer:
                        for _ in range(100):
                            await producer.send_values([b"v" * 999] * 10)
                        await producer.flush()
                assert isinstance(caught.value.cause, LogFullError)
                # What is on its way, once more, at the very moment of giving up is honestly unknown.
                assert caught.value.unknown <= (50 if idempotent else 0)
                assert caught.value.acknowledged == log.end_offset
            await server.stop(0)
        log.close()
    del caught
    gc.collect()
    assert "never retrieved" not in caplog.text  # the batches behind the refused one


async def test_a_producer_whose_client_was_closed_says_so(tmp_path: Path) -> None:
    async with served(tmp_path) as (addr, _), proglog.client.connect(addr) as client:
        with pytest.raises(ProduceError, match="the client was closed"):
            async with client.producer() as producer:
                await producer.send_values([b"a"])
                await producer.flush()
                await client.close()
                await producer.send_values([b"b"])
                await producer.flush()


@pytest.fixture
def agent(tmp_path: Path) -> Iterator[AgentProcess]:
    started = AgentProcess("a", tmp_path)
    started.start()
    yield started
    started.kill()


async def test_a_killed_agent_remembers_after_its_restart_what_it_had_appended(
    agent: AgentProcess, eventually: Eventually
) -> None:
    async with Proxy(agent.rpc_addr) as proxy, through(proxy, timeout=30) as client:
        async with client.producer(batch_bytes=100) as producer:
            await producer.send_values(numbered(10))
            await producer.flush()
            proxy.hold_answers()
            sending = asyncio.create_task(producer.send_values(numbered(500, 10)))

            async def appended() -> bool:
                return len(await values_at(agent.rpc_addr)) > 10

            await eventually(appended, what="appends without an answer")
            await asyncio.to_thread(agent.kill)
            proxy.cut()
            await asyncio.to_thread(agent.start)
            await sending

        assert producer.acknowledged == 510
        assert await values_at(agent.rpc_addr) == numbered(510)
