"""Consumers and calls, whatever agents and callers do: they continue where that is possible, and say why where it is not."""

import asyncio
import math
import subprocess
import sys
import time
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from kit.proxy import Proxy
from proglog.agent.writer import LogWriter
from proglog.client import (
    Acknowledged,
    Client,
    ClosedError,
    Consumer,
    Cursor,
    DeadlineError,
    Gone,
    InternalError,
    InvalidRequestError,
    OffsetSpec,
    OtherLogError,
    PositionGoneError,
    PreconditionError,
    ProglogError,
    Record,
    UnavailableError,
    UsageError,
    connect,
)
from proglog.log.config import LogConfig
from proglog.log.log import Log
from proglog.log.model import LogPosition
from proglog.record import scan
from proglog.security.authorizer import AllowAll
from proglog.security.devcerts import create_dev_certs
from proglog.security.tls import TLSFiles
from proglog.server.server import Server
from proglog.testing.files import FaultyFiles
from proglog.types import FilePosition, NodeName, Offset

Eventually = Callable[..., Awaitable[None]]
NOBODY = "127.0.0.1:1"
SMALL = LogConfig(segment_bytes=4096, retention_bytes=20_000, ballast_bytes=0)


class Served:
    """A log, and a server that can be stopped and started again."""

    def __init__(self, writer: LogWriter, tls: TLSFiles | None = None, age: float = 3600.0) -> None:
        self.writer = writer
        self._tls, self._age = tls, age
        self._server: Server | None = None
        self.addr = "127.0.0.1:0"

    async def start(self) -> None:
        self._server = Server(commit_log=self.writer, authorizer=AllowAll(), tls=self._tls, connection_age=self._age)
        self.addr = f"127.0.0.1:{await self._server.start(self.addr)}"

    async def stop(self) -> None:
        server, self._server = self._server, None
        if server is not None:
            await server.stop(0)

    async def trim(self, beyond: int) -> None:
        """Write until retention has removed everything before an offset."""
        async with connect(self.addr) as client, client.producer(batch_bytes=1000) as producer:
            while self.writer.log.start_offset < beyond:
                await (await producer.send_values([bytes(1000)] * 20))
                await asyncio.to_thread(self.writer.log.retain)

    async def copy_to(self, other: "Served") -> None:
        at = LogPosition(Offset(0), FilePosition(0))
        while (read := self.writer.log.read(at, 1 << 22)).data:
            await other.writer.append_copies(list(scan.batches(read.data)))
            at = read.next


@asynccontextmanager
async def serving(
    data_dir: Path,
    config: LogConfig = SMALL,
    files: FaultyFiles | None = None,
    tls: TLSFiles | None = None,
    age: float = 3600.0,
) -> AsyncGenerator[Served]:
    log = Log.open(data_dir, config, files=files, node_name=NodeName(data_dir.name))
    async with LogWriter(log) as writer:
        served = Served(writer, tls, age)
        await served.start()
        yield served
        await served.stop()
    log.close()


def numbered(count: int, start: int = 0) -> list[bytes]:
    return [b"%06d" % number for number in range(start, start + count)]


async def produce(addr: str, values: list[bytes]) -> None:
    async with connect(addr) as client, client.producer(batch_bytes=200) as producer:
        await producer.send_values(values)


async def cursor_after(addr: str, count: int) -> Cursor:
    async with connect(addr) as client, client.consume(limit=count) as consumer:
        async for _ in consumer:
            pass
        assert consumer.cursor is not None
        return consumer.cursor


async def within(limit: float, call: Awaitable[object]) -> BaseException | object:
    """Return what the call returns or raises, at most half a second later than it may."""
    started = time.monotonic()
    (outcome,) = await asyncio.gather(call, return_exceptions=True)
    assert time.monotonic() - started < limit + 0.5
    return outcome


# A caller never ends a consumer by accident


async def test_a_timeout_a_cancellation_and_a_break_leave_a_consumer_where_it_was(tmp_path: Path) -> None:
    async with serving(tmp_path) as agent, connect(agent.addr) as client, client.consume(follow=True) as consumer:
        assert await consumer.get(timeout=0.05) is None
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(anext(consumer), 0.05)
        waiting = asyncio.create_task(consumer.get())
        await asyncio.sleep(0.01)
        waiting.cancel()
        await asyncio.gather(waiting, return_exceptions=True)

        await produce(agent.addr, numbered(60))

        got: list[bytes] = []
        async for fetched in consumer:
            got += fetched.values()
            break
        while len(got) < 60:
            got += (await asyncio.wait_for(anext(consumer), 10)).values()
        assert got == numbered(60)


@pytest.mark.parametrize("close", ["client", "consumer"])
async def test_closing_is_no_cancellation_of_its_reader(tmp_path: Path, close: str) -> None:
    async with serving(tmp_path) as agent, connect(agent.addr) as client:
        consumer = client.consume(follow=True)

        async def iterate() -> None:
            async for _ in consumer:
                pass

        iterating = asyncio.create_task(iterate())
        await consumer.resolved()
        await (client.close() if close == "client" else consumer.close())

        with pytest.raises(ClosedError):
            await iterating
        assert not iterating.cancelled()


# One address or several: outages


async def test_one_address_survives_restarts_as_several_do(tmp_path: Path) -> None:
    async with serving(tmp_path) as agent, connect(agent.addr) as client, client.consume(follow=True) as consumer:
        got: list[bytes] = []
        for round_ in range(3):
            await produce(agent.addr, numbered(10, 10 * round_))
            while len(got) < 10 * (round_ + 1):
                got += (await asyncio.wait_for(anext(consumer), 10)).values()
            await agent.stop()
            await agent.start()
        assert got == numbered(30)


async def test_an_idle_consumer_outlives_restarts_that_together_are_longer_than_its_timeout(
    tmp_path: Path, eventually: Eventually
) -> None:
    async with serving(tmp_path) as agent, Proxy(agent.addr) as proxy:
        addrs = [proxy.addr, NOBODY]
        async with connect(addrs, timeout=3.0) as client, client.consume(follow=True) as consumer:
            await consumer.resolved()
            waiting = asyncio.create_task(consumer.get())
            for _ in range(3):
                proxy.target = NOBODY
                proxy.cut()
                forwarded = proxy.forwarded
                await asyncio.sleep(1.2)
                proxy.target = agent.addr
                await eventually(partial(_has_more, proxy, forwarded), what="a new connection")
                await eventually(partial(_is_in_contact, consumer), what="an answer")
            await produce(agent.addr, [b"news"])

            fetched = await asyncio.wait_for(waiting, 10)
            assert fetched is not None
            assert list(fetched.values()) == [b"news"]


def _has_more(proxy: Proxy, connections: int) -> bool:
    return proxy.forwarded > connections


def _is_in_contact(consumer: Consumer) -> bool:
    failover = consumer._fetcher._failover
    return failover is not None and all(row.cause is None for row in failover.rows)


async def test_what_one_agent_lacks_is_waited_for_while_another_is_away(tmp_path: Path) -> None:
    async with serving(tmp_path / "a") as trimmed, serving(tmp_path / "b") as whole:
        await produce(trimmed.addr, numbered(10))
        cursor = await cursor_after(trimmed.addr, 5)
        await trimmed.copy_to(whole)
        await trimmed.trim(100)
        await whole.stop()
        async with connect([trimmed.addr, whole.addr], timeout=20) as client, client.consume(cursor) as consumer:
            reading = asyncio.create_task(consumer.get())
            await asyncio.sleep(0.5)
            assert not reading.done()
            await whole.start()

            got = await reading
            assert got is not None
            values = list(got.values())
            async for fetched in consumer:
                values += fetched.values()
            assert values == numbered(5, 5)


async def test_nothing_is_skipped_that_another_agent_has(tmp_path: Path) -> None:
    gone: list[Gone] = []
    async with serving(tmp_path / "a") as trimmed, serving(tmp_path / "b") as whole:
        await produce(trimmed.addr, numbered(10))
        cursor = await cursor_after(trimmed.addr, 5)
        await trimmed.copy_to(whole)
        await trimmed.trim(100)
        async with connect([trimmed.addr, whole.addr]) as client:
            both = client.consume(cursor, skip_gone=True, on_gone=gone.append)
            assert [value async for fetched in both for value in fetched.values()] == numbered(5, 5)
            assert gone == []
        async with connect(trimmed.addr) as client:
            alone = client.consume(cursor, skip_gone=True, on_gone=gone.append)
            async for fetched in alone:
                assert fetched.start_offset >= trimmed.writer.log.start_offset
            assert [each.start for each in gone] == [7]


async def test_a_consumer_that_began_at_a_place_fails_over_when_retention_overtakes_it(tmp_path: Path) -> None:
    async with (
        serving(
            tmp_path / "a", LogConfig(segment_bytes=1 << 20, retention_bytes=4 << 20, ballast_bytes=0)
        ) as overtaken,
        serving(tmp_path / "b", LogConfig(ballast_bytes=0)) as whole,
    ):
        value = bytes(10_000)
        async with connect(overtaken.addr) as client:
            async with client.producer() as producer:
                await producer.send_values([value] * 1500)
            await overtaken.copy_to(whole)
            last = whole.writer.log.end_offset - 1
        moves: list[ProglogError] = []
        async with connect([overtaken.addr, whole.addr]) as client:
            consumer = client.consume(
                OffsetSpec.after_start(0), follow=True, max_bytes=1, on_move=lambda _, cause: moves.append(cause)
            )
            async with consumer:
                first = await consumer.get()
                assert first is not None
                await asyncio.to_thread(overtaken.writer.log.retain)
                assert overtaken.writer.log.start_offset > 0
                sequences = [record.sequence for record in first.records()]
                while sequences[-1] < last + 2:
                    sequences += [record.sequence for record in (await asyncio.wait_for(anext(consumer), 10)).records()]
        assert sequences == list(range(2, last + 3))
        assert [type(each) for each in moves] == [PositionGoneError]


# Timeouts, arguments, endings


async def test_timeouts_are_kept_at_an_agent_that_says_nothing(tmp_path: Path) -> None:
    async with serving(tmp_path) as agent, Proxy(agent.addr) as proxy, connect(proxy.addr, timeout=1.0) as client:
        producer = client.producer(delivery_timeout=30)
        await producer.open()
        await producer.send_and_wait(Record(value=b"before"))
        proxy.hold_answers()
        await producer.send(Record(value=b"x"))
        calls: dict[str, tuple[float, Awaitable[object]]] = {
            "flush": (0.5, producer.flush(timeout=0.5)),
            "positions": (1.0, client.positions()),
            "consume": (1.0, client.consume().get()),
            "position": (1.0, client.find_position("x")),
            "get": (0.3, client.consume().get(timeout=0.3)),
        }
        outcomes = await asyncio.gather(*(within(limit, call) for limit, call in calls.values()))
        await producer.close(drain=0)
    assert [type(each) for each in outcomes] == [DeadlineError] * 4 + [type(None)], dict(
        zip(calls, outcomes, strict=True)
    )


@pytest.mark.parametrize("timeout", [-1, 0, math.nan, math.inf, 1e12, "10", None])
def test_a_timeout_that_cannot_be_is_refused(timeout: object) -> None:
    with pytest.raises(InvalidRequestError, match=r"timeout=.*expected seconds"):
        connect(NOBODY, timeout=timeout)  # type: ignore[arg-type]


async def test_every_mistake_is_an_error_of_the_tree(tmp_path: Path) -> None:
    async with serving(tmp_path) as agent:
        closed = connect(agent.addr)
        await closed.positions()
        await closed.close()
        async with connect(agent.addr) as client, client.producer() as producer:
            wrong: list[Callable[[], object]] = [
                closed.positions,
                lambda: closed.consume().get(),
                closed.__aenter__,
                lambda: producer.send(b"x"),  # type: ignore[arg-type]
                producer.open,
                lambda: client.consume(5),  # type: ignore[arg-type]
                lambda: client.consume(limit=-1),
                lambda: connect([]),
                lambda: connect([5]),  # type: ignore[list-item]
                lambda: connect(""),
                lambda: connect("nowhere"),
                lambda: client.named(""),
                lambda: Cursor.parse("nonsense"),
            ]
            for call in wrong:
                with pytest.raises(ProglogError):
                    made = call()
                    assert isinstance(made, Awaitable)
                    await made


def test_another_loop_is_named_and_a_loop_that_is_over_is_none(tmp_path: Path) -> None:
    client = connect(NOBODY, timeout=0.2)  # outside of a loop

    async def ask() -> None:
        with pytest.raises(UnavailableError):
            await client.positions()

    async def ask_from_another() -> None:
        await ask()
        with pytest.raises(UsageError, match="another event loop: connect once in each loop"):
            await asyncio.to_thread(asyncio.run, client.positions())
        await client.close()

    asyncio.run(ask())
    asyncio.run(ask_from_another())


FORKS = """
import asyncio, os, sys
from proglog.client import Record, UsageError, connect

async def main():
    client = connect("127.0.0.1:1")
    producer, consumer = client.producer(), client.consume(follow=True)
    await producer.open()  # from here on the client belongs to this loop and process
    assert len(os.listdir("/proc/self/task")) == 1, "a fork beside threads of gRPC may crash the child"
    child = os.fork()
    if child == 0:
        named = 0
        for call in (
            client.positions(), client.consume().get(), consumer.get(1.0), producer.send(Record(value=b"x")),
            producer.flush(), client.produce_value(b"x"),
        ):
            try:
                await call
            except UsageError as exc:
                named += "before the process was forked: connect in the child" in str(exc)
        os._exit(0 if named == 6 else 100 + named)
    _, status = os.waitpid(child, 0)
    await producer.close(drain=0)
    await client.close()
    sys.exit(os.waitstatus_to_exitcode(status))

asyncio.run(main())
"""


def test_a_forked_child_is_asked_to_connect_itself() -> None:
    ended = subprocess.run([sys.executable, "-c", FORKS], capture_output=True, timeout=60, check=False)

    assert ended.returncode == 0, ended.stderr


async def test_over_tls_a_killed_agent_is_of_the_same_class_as_without(tmp_path: Path) -> None:
    certs = create_dev_certs(tmp_path / "certs")
    kinds = []
    for name, tls in (("plain", None), ("tls", certs)):
        async with serving(tmp_path / name, tls=tls and tls.server) as agent:
            async with connect(agent.addr, tls=tls and tls.peer, timeout=1) as client:
                await client.produce_value(b"x")
                await agent.stop()
                with pytest.raises(ProglogError) as caught:
                    await client.positions()
                kinds.append((type(caught.value), caught.value.retriable))
    assert kinds == [(UnavailableError, True)] * 2


async def test_records_that_are_awaited_by_a_hundred_tasks_share_batches(tmp_path: Path) -> None:
    batches: list[Acknowledged] = []
    async with (
        serving(tmp_path) as agent,
        connect(agent.addr) as client,
        client.producer(on_ack=batches.append) as producer,
    ):

        async def handle(number: int) -> None:
            for part in range(10):
                await producer.send_and_wait(Record(value=b"%d-%d" % (number, part)))

        await asyncio.gather(*map(handle, range(100)))
        assert producer.acknowledged == 1000
    assert len(batches) < 100


# Guards, certificates


async def test_the_guard_of_an_offset_is_that_of_its_stream(tmp_path: Path) -> None:
    async with serving(tmp_path / "a") as first, serving(tmp_path / "b") as second, Proxy(first.addr) as proxy:
        await produce(first.addr, numbered(10))
        await produce(second.addr, numbered(10, 500))
        async with connect(proxy.addr) as client:
            async with client.consume(limit=1) as consumer:
                await consumer.get()
                fifth = OffsetSpec.offset(5, consumer.log)
            proxy.target = second.addr
            proxy.cut()
            async with client.consume() as other:  # what this one reads is no leave for the next
                assert await other.get() is not None
            with pytest.raises(OtherLogError):
                await client.consume(fifth).get()
            async with client.consume(OffsetSpec.offset(5)) as bare:  # without a log, nothing is refused
                fetched = await bare.get()
                assert fetched is not None
                assert fetched.values()[0] == b"000505"


async def test_a_renewed_certificate_is_shown_at_the_next_connection(tmp_path: Path) -> None:
    old, new = create_dev_certs(tmp_path / "old"), create_dev_certs(tmp_path / "new")
    trusted = tmp_path / "trusted.pem"
    trusted.write_bytes(old.server.ca_file.read_bytes() + new.server.ca_file.read_bytes())
    age = 0.3
    async with serving(tmp_path / "data", tls=replace(old.server, ca_file=trusted), age=age) as agent:
        async with connect(agent.addr, tls=old.peer, timeout=2) as client, client.producer() as producer:
            await producer.send_and_wait(Record(value=b"old"))
            old.peer.cert_file.write_bytes(new.peer.cert_file.read_bytes())
            old.peer.key_file.write_bytes(new.peer.key_file.read_bytes())
            trusted.write_bytes(new.server.ca_file.read_bytes())  # the old one is no longer good
            for number in range(6):
                await asyncio.sleep(age / 2)
                await client.positions()
                await producer.send_and_wait(Record(value=b"%d" % number))


# Named consumers


@asynccontextmanager
async def watched_commits(client: Client, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[list[object]]:
    """The copies that each commit asks for."""
    commit, asked = client.commit_position, list[object]()

    async def note(name: str, cursor: Cursor, *, epoch: int = 0, acks: Any = 2, ack_timeout: float = 1.0) -> int:
        asked.append(acks)
        return await commit(name, cursor, epoch=epoch, acks=acks, ack_timeout=ack_timeout)

    monkeypatch.setattr(client, "commit_position", note)
    yield asked


async def test_a_commit_goes_to_the_next_agent_when_the_disk_of_the_first_is_full(tmp_path: Path) -> None:
    files = FaultyFiles()
    async with serving(tmp_path / "a", files=files) as full, serving(tmp_path / "b") as other:
        await produce(full.addr, numbered(3))
        files.capacity_bytes = files.used_bytes()
        async with connect([full.addr, other.addr]) as client:
            async with client.named("job") as job:
                assert await job.get() is not None
                assert await job.get(timeout=0.1) is None
        assert [*other.writer.named_positions()] == ["job"]
        assert [*full.writer.named_positions()] == []


async def test_the_last_commit_of_a_run_asks_every_server_though_a_tick_came_before(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, eventually: Eventually
) -> None:
    async with serving(tmp_path) as agent, connect(agent.addr) as client:
        await produce(agent.addr, numbered(3))
        async with watched_commits(client, monkeypatch) as asked, client.named("job", interval=0.01) as job:
            async for _ in job:
                pass
            await eventually(lambda: bool(asked), what="a tick's commit")
        assert "all" not in asked[:-1]
        assert asked[-1] == "all"


async def test_a_mistake_in_the_ticker_is_raised_by_the_next_call(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, eventually: Eventually
) -> None:
    async with serving(tmp_path) as agent, connect(agent.addr) as client:
        await produce(agent.addr, numbered(3))
        failed = asyncio.Event()

        async def fail(*args: object, **kwargs: object) -> int:
            failed.set()
            raise ValueError("a mistake")

        monkeypatch.setattr(client, "commit_position", fail)
        async with client.named("job", interval=0.01, follow=True) as job:
            await job.get()
            await job.get(timeout=0.1)
            await asyncio.wait_for(failed.wait(), 10)
            with pytest.raises(InternalError, match="a mistake"):
                async with asyncio.timeout(10):
                    while True:
                        await job.get(timeout=0.01)


async def test_a_name_that_was_started_over_elsewhere_ends_its_consumer(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    problems: list[ProglogError] = []
    async with serving(tmp_path) as agent, connect(agent.addr) as client, connect(agent.addr) as elsewhere:
        await produce(agent.addr, numbered(3))
        async with client.named("job") as first:
            async for _ in first:
                pass
        job = client.named("job", follow=True, interval=0.05, on_problem=problems.append)
        await job.enter()
        async with elsewhere.named("job", reset=True) as other:
            async for _ in other:
                pass
        await produce(agent.addr, numbered(3, 3))
        with pytest.raises(PreconditionError):
            async with asyncio.timeout(10):
                while True:
                    await job.get(timeout=0.05)
        with pytest.raises(PreconditionError):
            await job.get()
        await job.close()
    (problem,) = problems
    assert isinstance(problem, PreconditionError)
    assert "tried again" not in caplog.text
