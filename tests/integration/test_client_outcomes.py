"""Every record that a producer takes gets one outcome, whatever callers and agents do: real agents, real faults."""

import asyncio
import logging
import os
import signal
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path

import pytest
from grpc.aio._call import StreamStreamCall

from proglog.client import (
    ClosedError,
    DeadlineError,
    Delivery,
    InvalidRequestError,
    NotWrittenError,
    ProduceError,
    Producer,
    ProglogError,
    Record,
    RecordTooLargeError,
    UnavailableError,
    UnknownOutcomeError,
    UsageError,
    connect,
)
from proglog.testing import AgentProcess
from proglog.testing.ports import free_port

NOBODY = "127.0.0.1:1"


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[AgentProcess]:
    """An agent that nothing happens to."""
    with AgentProcess("shared", tmp_path_factory.mktemp("shared")) as agent:
        yield agent


@pytest.fixture
def agent(tmp_path: Path) -> Iterator[AgentProcess]:
    """An agent to be killed."""
    with AgentProcess("a", tmp_path) as started:
        yield started


@asynccontextmanager
async def producing(addr: str, timeout: float = 10.0, **arguments: object) -> AsyncIterator[Producer]:
    async with connect(addr, timeout=timeout) as client, client.producer(**arguments) as producer:  # type: ignore[arg-type]
        yield producer


async def values_at(addr: str) -> list[bytes]:
    async with connect(addr) as client:
        return [value async for batch in client.consume() for value in batch.values()]


# What a caller does is that caller's alone


async def test_headers_count_when_a_batch_is_closed(agent: AgentProcess) -> None:
    record = Record(value=b"0123456789", headers=(("traceparent", b"t" * 55), ("baggage", b"b" * 260)))
    async with producing(agent.rpc_addr) as producer:
        for _ in range(40_000):
            await producer.send(record)
        await producer.flush()

        assert producer.acknowledged == 40_000


@pytest.mark.parametrize("size", [4_100_000, 5 << 20])
async def test_a_large_record_takes_no_other_along(shared: AgentProcess, size: int) -> None:
    async with producing(shared.rpc_addr) as producer:
        good = await producer.send(Record(value=bytes(200_000)))
        large = await sent_or_error(producer, Record(value=bytes(size)))

        assert (await good).copies == 1
        if isinstance(large, Delivery):
            assert (await large).copies == 1
        else:
            assert isinstance(large, RecordTooLargeError)


async def sent_or_error(producer: Producer, record: Record) -> Delivery | ProglogError:
    try:
        return await producer.send(record)
    except ProglogError as exc:
        return exc


@pytest.mark.parametrize("wrong", [b"bytes", "text", None, 5, object()])
async def test_what_is_no_record_is_refused_before_it_joins_others(shared: AgentProcess, wrong: object) -> None:
    async with producing(shared.rpc_addr) as producer:
        good = await producer.send(Record(value=b"good"))
        with pytest.raises(InvalidRequestError, match="Record"):
            await producer.send(wrong)  # type: ignore[arg-type]
        with pytest.raises(InvalidRequestError):
            await producer.send_values([b"good", wrong if wrong != b"bytes" else "text"])  # type: ignore[list-item]

        assert (await good).offset >= 0
        assert producer.counts.taken == 1


async def test_values_that_are_uneven_are_cut_where_the_next_one_would_not_fit(agent: AgentProcess) -> None:
    values = [b"s"] * 40_000 + [bytes(60_000)] * 100
    async with producing(agent.rpc_addr) as producer:
        acknowledged = await (await producer.send_values(values))

        assert sum(each.end_offset - each.base_offset for each in acknowledged) == len(values)


async def test_a_cancelled_caller_loses_no_other_record(shared: AgentProcess) -> None:
    async with producing(shared.rpc_addr, batch_bytes=1000, max_buffered_bytes=7000) as producer:
        os.kill(shared.pid, signal.SIGSTOP)
        try:
            taken = [await producer.send(Record(value=bytes(1000))) for _ in range(5)]
            taken.append(await producer.send(Record(value=b"another task's")))
            waiting = asyncio.create_task(producer.send(Record(value=bytes(1000))))
            flushing = asyncio.create_task(producer.flush())
            await asyncio.sleep(0)
            await asyncio.sleep(0)
            waiting.cancel()
            flushing.cancel()
            await asyncio.gather(waiting, flushing, return_exceptions=True)
        finally:
            os.kill(shared.pid, signal.SIGCONT)

        assert len(await asyncio.gather(*taken)) == 6
        await producer.flush(timeout=5)
        assert producer.counts.taken == producer.acknowledged >= 6


async def test_a_cancelled_wait_for_an_outcome_disturbs_nobody(shared: AgentProcess) -> None:
    async with producing(shared.rpc_addr, linger=0.2) as producer:
        sent = await producer.send(Record(value=b"x"))
        waits = [asyncio.ensure_future(sent.written()) for _ in range(3)]
        await asyncio.sleep(0)
        waits[0].cancel()

        outcomes = await asyncio.gather(*waits, return_exceptions=True)

        assert isinstance(outcomes[0], asyncio.CancelledError)
        assert outcomes[1] == outcomes[2] == await sent


async def test_a_record_that_is_sent_again_is_as_it_was(shared: AgentProcess) -> None:
    record = Record(value=b"the same")
    async with producing(shared.rpc_addr) as producer:
        written = await asyncio.gather(*[await producer.send(record) for _ in range(3)])

        assert len({each.offset for each in written}) == 3
        assert record.timestamp_ms is None


async def test_flush_covers_what_was_taken_before_it_while_others_keep_sending(shared: AgentProcess) -> None:
    async with producing(shared.rpc_addr) as producer:

        async def send_on() -> None:
            while True:
                await producer.send(Record(value=b"more"))
                await asyncio.sleep(0)

        senders = [asyncio.create_task(send_on()) for _ in range(4)]
        try:
            await asyncio.sleep(0)
            await producer.flush(timeout=10)
        finally:
            for sender in senders:
                sender.cancel()
            await asyncio.gather(*senders, return_exceptions=True)


async def test_a_hook_that_raises_loses_no_record(shared: AgentProcess, caplog: pytest.LogCaptureFixture) -> None:
    def fail(_: object) -> None:
        raise ValueError("the user's")

    async with producing(shared.rpc_addr, on_ack=fail) as producer:
        await producer.send_and_wait(Record(value=b"x"))

    assert "a hook of the producer raised" in caplog.text


# Errors reach everybody


async def test_every_flush_that_covers_a_failure_raises() -> None:
    async with producing(NOBODY, timeout=0.4) as producer:

        async def send_and_flush() -> str:
            await producer.send(Record(value=b"x"))
            try:
                await producer.flush()
            except ProduceError as exc:
                return type(exc.cause).__name__
            return "ok"

        assert await asyncio.gather(*(send_and_flush() for _ in range(4))) == ["UnavailableError"] * 4


async def test_sends_and_leaving_continue_after_a_failure() -> None:
    raised = 0
    async with producing(NOBODY, timeout=0.3) as producer:
        for _ in range(2):
            await producer.send(Record(value=b"x"))
            try:
                await producer.flush()
            except ProduceError as exc:
                raised += 1
                assert (exc.unknown, exc.unsent) == (0, raised)

    assert raised == 2


async def test_leaving_raises_what_no_flush_has_said() -> None:
    with pytest.raises(ProduceError, match="cannot reach"):
        async with producing(NOBODY, timeout=0.3) as producer:
            await producer.send(Record(value=b"x"))


async def test_each_of_thousands_of_callers_of_a_dead_agent_gets_its_error() -> None:
    async with producing(NOBODY, timeout=0.5, batch_bytes=10) as producer:
        outcomes = await asyncio.gather(
            *(producer.send_and_wait(Record(value=b"%d" % number)) for number in range(1500)), return_exceptions=True
        )

        assert {type(each) for each in outcomes} <= {NotWrittenError, DeadlineError}, "refused, or no room in time"
        assert all(isinstance(each, ProglogError) and each.retriable for each in outcomes)


async def test_a_producer_that_stopped_says_so_at_once_and_can_be_opened_again(agent: AgentProcess) -> None:
    async with producing(agent.rpc_addr, timeout=0.5, stop_on_failure=True) as producer:
        await producer.send_and_wait(Record(value=b"before"))
        await asyncio.to_thread(agent.kill)
        lost = [await producer.send(Record(value=b"lost %d" % number)) for number in range(3)]
        outcomes = await asyncio.gather(*lost, return_exceptions=True)
        assert producer.state == "failed"
        with pytest.raises(ProduceError) as caught:
            await producer.send(Record(value=b"refused"))
        assert caught.value.acknowledged == 1
        assert caught.value.unknown + caught.value.unsent == 3
        await asyncio.to_thread(agent.start)

        await producer.open()
        await producer.send_and_wait(Record(value=b"after"))

    values = await values_at(agent.rpc_addr)
    assert [value for value in values if not value.startswith(b"lost")] == [b"before", b"after"]
    assert len(values) == len(set(values))
    assert all(isinstance(each, UnknownOutcomeError | NotWrittenError) for each in outcomes)
    assert (producer.counts.taken, producer.acknowledged) == (5, 2)


async def test_a_producer_that_is_not_open_says_what_to_do(shared: AgentProcess) -> None:
    async with connect(shared.rpc_addr) as client:
        producer = client.producer()
        for call in (producer.send(Record(value=b"x")), producer.flush()):
            with pytest.raises(ClosedError, match="not open yet: open it with"):
                await call
        async with producer:
            with pytest.raises(UsageError, match="open already"):
                await producer.open()
        with pytest.raises(ClosedError, match="closed"):
            await producer.send(Record(value=b"x"))
        assert producer.state == "closed"


async def test_a_client_that_closes_first_ends_its_producers(shared: AgentProcess) -> None:
    client = connect(shared.rpc_addr)
    producer = client.producer(linger=60.0)
    await producer.open()
    sent = await producer.send(Record(value=b"x"))
    await client.close()

    with pytest.raises(ProduceError, match="the client was closed"):
        await sent
    with pytest.raises(ProduceError, match="the client was closed"):
        await producer.send(Record(value=b"x"))
    await producer.close()


@pytest.mark.parametrize(
    "arguments",
    [
        {"acks": -1},
        {"acks": "any"},
        {"acks": 1 << 32},
        {"ack_timeout": 5_000_000},
        {"ack_timeout": float("nan")},
        {"in_flight": 0},
        {"linger": -1},
        {"batch_bytes": 0},
        {"delivery_timeout": 0},
        {"delivery_timeout": float("inf")},
        {"max_buffered_bytes": 0},
        {"max_buffered_bytes": "1MiB"},
    ],
)
def test_an_argument_that_cannot_be_is_refused_with_what_was_expected(arguments: dict[str, object]) -> None:
    client = connect(NOBODY)
    with pytest.raises(InvalidRequestError, match=f"{next(iter(arguments))}=.*expected"):
        client.producer(**arguments)  # type: ignore[arg-type]


# Outages


async def test_the_first_contact_is_retried_like_any_other(tmp_path: Path) -> None:
    late = AgentProcess("late", tmp_path, rpc_addr=f"127.0.0.1:{free_port()}")
    with killed(late):
        async with producing(late.rpc_addr, timeout=30) as producer:
            sent = await producer.send(Record(value=b"early"))
            await until_state(producer, "retrying")
            await asyncio.to_thread(late.start)

            assert (await sent).offset == 0
            assert producer.state == "open"


@contextmanager
def killed(agent: AgentProcess) -> Iterator[None]:
    """Kill it at the end, if it was started at all."""
    try:
        yield
    finally:
        agent.kill()


async def until_state(producer: Producer, state: str) -> None:
    async with asyncio.timeout(20):
        while producer.state != state:
            await asyncio.sleep(0.01)


async def test_an_idle_producer_outlives_outages_longer_than_its_timeout(agent: AgentProcess) -> None:
    async with producing(agent.rpc_addr, delivery_timeout=20, timeout=0.5) as producer:
        await producer.send_and_wait(Record(value=b"before"))
        for number in range(2):
            await asyncio.to_thread(agent.kill)
            await until_state(producer, "retrying")
            await asyncio.sleep(0.7)
            await asyncio.to_thread(agent.start)
            await producer.send_and_wait(Record(value=b"after %d" % number))

    assert await values_at(agent.rpc_addr) == [b"before", b"after 0", b"after 1"]


async def test_a_record_ends_within_its_delivery_timeout_at_a_stopped_agent(agent: AgentProcess) -> None:
    async with producing(agent.rpc_addr, delivery_timeout=1.0) as producer:
        await producer.send_and_wait(Record(value=b"before"))
        os.kill(agent.pid, signal.SIGSTOP)
        try:
            started = time.monotonic()
            with pytest.raises(UnknownOutcomeError):
                await producer.send_and_wait(Record(value=b"x"))
            assert 0.9 < time.monotonic() - started < 2.5
        finally:
            os.kill(agent.pid, signal.SIGCONT)
        await producer.send_and_wait(Record(value=b"after"))

    values = await values_at(agent.rpc_addr)
    assert values in ([b"before", b"x", b"after"], [b"before", b"after"])


async def test_an_answer_that_comes_with_the_deadline_is_taken_for_no_other_batch(
    shared: AgentProcess, monkeypatch: pytest.MonkeyPatch
) -> None:
    read, come, handed_over = StreamStreamCall.read, asyncio.Event(), asyncio.Event()

    async def read_late(call: StreamStreamCall) -> object:
        """Hand an answer over a little after it has come, as a busy loop does."""
        response = await read(call)
        come.set()
        await handed_over.wait()
        return response

    monkeypatch.setattr(StreamStreamCall, "read", read_late)
    async with producing(shared.rpc_addr, delivery_timeout=1.0, linger=0) as producer:
        first = await producer.send(Record(value=b"given up"))
        await come.wait()
        with pytest.raises(UnknownOutcomeError):
            await first
        second = await producer.send(Record(value=b"the next"))
        for _ in range(10):  # turns of the loop in which it would be sent
            await asyncio.sleep(0)
        handed_over.set()
        written = await second

    assert (await values_at(shared.rpc_addr))[written.offset] == b"the next"


async def test_waiting_callers_and_lingering_records_are_bounded_in_bytes(agent: AgentProcess) -> None:
    async with producing(agent.rpc_addr, timeout=1.0, max_buffered_bytes=600_000) as producer:
        await producer.send_and_wait(Record(value=b"x"))
        os.kill(agent.pid, signal.SIGSTOP)
        try:
            sends = [asyncio.create_task(sent_or_error(producer, Record(value=bytes(60_000)))) for _ in range(100)]
            done, _ = await asyncio.wait(sends, timeout=0.2)
            assert producer.buffered_bytes <= 600_000
            assert len(done) > 80, "all but those that are held or may wait are turned away"
            outcomes = await asyncio.gather(*sends)
        finally:
            os.kill(agent.pid, signal.SIGCONT)
        names = [type(each).__name__ for each in outcomes]
        assert set(names) <= {"Delivery", "OverloadedError", "DeadlineError"}
        taken = [each for each in outcomes if isinstance(each, Delivery)]
        await asyncio.gather(*taken, return_exceptions=True)
        assert producer.counts.waiting == 0


@pytest.mark.parametrize("error", [ValueError("the program's"), asyncio.CancelledError()])
async def test_leaving_by_an_error_gives_the_counts(
    shared: AgentProcess, error: BaseException, caplog: pytest.LogCaptureFixture
) -> None:
    with pytest.raises(type(error)) as caught:
        async with producing(shared.rpc_addr, linger=60.0) as producer:
            for _ in range(1000):
                await producer.send(Record(value=b"x"))
            raise error

    assert caught.value.__notes__ == [
        "the producer was left with 1,000 records on their way: 0 acknowledged, 0 of unknown outcome, 1,000 not written"
    ]
    assert "closed with records on their way" in caplog.text
    assert producer.counts.refused == 1000


async def test_closing_drains_for_as_long_as_it_is_asked_to(shared: AgentProcess) -> None:
    async with connect(shared.rpc_addr) as client:
        for drain, written in ((None, 10), (5.0, 10), (0.0, 0)):
            producer = client.producer(linger=60.0)
            await producer.open()
            for _ in range(10):
                await producer.send(Record(value=b"x"))

            counts = await producer.close(drain=drain)

            assert (counts.acknowledged, counts.refused) == (written, 10 - written)
            assert producer.state == "closed"


# Several addresses


async def test_a_producer_fails_over_without_a_double(tmp_path: Path) -> None:
    with AgentProcess("a", tmp_path) as a, AgentProcess("b", tmp_path) as b:
        async with producing(f"{a.rpc_addr},{b.rpc_addr}", timeout=30) as producer:
            await producer.send_and_wait(Record(value=b"first"))
            await asyncio.to_thread(a.kill)
            async with asyncio.timeout(20):
                while producer.addr != b.rpc_addr:
                    await asyncio.sleep(0.01)

            written = await producer.send_and_wait(Record(value=b"second"))

            assert written.offset == 0
            assert await values_at(b.rpc_addr) == [b"second"]
            assert producer.acknowledged == 2


async def test_what_a_dead_agent_left_unanswered_is_unknown_and_the_rest_goes_to_the_next(tmp_path: Path) -> None:
    with AgentProcess("a", tmp_path) as a, AgentProcess("b", tmp_path) as b:
        async with producing(f"{a.rpc_addr},{b.rpc_addr}", timeout=30) as producer:
            await producer.send_and_wait(Record(value=b"first"))
            os.kill(a.pid, signal.SIGSTOP)
            unanswered = asyncio.create_task(producer.send_and_wait(Record(value=b"unanswered")))
            await asyncio.sleep(0.1)
            await asyncio.to_thread(a.kill)
            rest = await producer.send(Record(value=b"rest"))

            with pytest.raises(UnknownOutcomeError, match="another log"):
                await unanswered
            assert (await rest).copies == 1
            assert await values_at(b.rpc_addr) == [b"rest"]


# A single call


async def test_a_single_produce_is_sent_again_without_a_double(agent: AgentProcess) -> None:
    async with connect(agent.rpc_addr, timeout=30) as client:
        await client.produce_value(b"first")
        calls = [asyncio.create_task(client.produce_value(b"%d" % number)) for number in range(60)]
        await asyncio.to_thread(agent.kill)
        await asyncio.to_thread(agent.start)
        offsets = await asyncio.gather(*calls)

    values = await values_at(agent.rpc_addr)
    assert sorted(offsets) == list(range(1, 61))
    assert sorted(values) == sorted([b"first", *(b"%d" % number for number in range(60))])


async def test_a_single_produce_that_was_never_sent_raises_why() -> None:
    async with connect(NOBODY, timeout=0.3) as client:
        with pytest.raises(UnavailableError, match="cannot reach"):
            await client.produce_value(b"x")
        with pytest.raises(RecordTooLargeError):
            await client.produce_value(bytes(5 << 20))


async def test_the_log_says_when_a_producer_tries_again(agent: AgentProcess, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.WARNING, logger="proglog.client")
    async with producing(agent.rpc_addr, timeout=30) as producer:
        await producer.send_and_wait(Record(value=b"x"))
        await asyncio.to_thread(agent.kill)
        await until_state(producer, "retrying")
        sent = await producer.send(Record(value=b"y"))
        await asyncio.sleep(2.5)  # many more tries
        await asyncio.to_thread(agent.start)
        await sent

    said = [record.getMessage() for record in caplog.records]
    assert 1 <= len(said) <= 3, "one line a cause, not one a try"
    assert all(line.count(agent.rpc_addr) == 1 and line.endswith("; trying again") for line in said)
