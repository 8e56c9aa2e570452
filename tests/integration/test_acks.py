"""``acks``: three agents as processes, one of them stopped, and what a producer learns."""

import asyncio
import os
import signal
import subprocess
import sys
import time
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager
from typing import Literal

import pytest

import proglog.client
from kit.patience import patience
from proglog.client import Acknowledged, Client, ProduceError, UnconfirmedError
from proglog.errors import ProglogError, TooFewServersError
from proglog.testing.processes import AgentProcess

Eventually = Callable[..., Awaitable[None]]


@pytest.fixture(scope="module")
def agents(tmp_path_factory: pytest.TempPathFactory) -> Iterator[list[AgentProcess]]:
    """Three that know each other."""
    directory = tmp_path_factory.mktemp("acks")
    started: list[AgentProcess] = []
    try:
        for name in "abc":
            started.append(AgentProcess(name, directory, tuple(each.gossip_addr for each in started[:1])))
            started[-1].start()
        yield started
    finally:
        for each in started:
            each.kill()


@asynccontextmanager
async def client_of(agent: AgentProcess) -> AsyncGenerator[Client]:
    async with proglog.client.connect(agent.rpc_addr, timeout=5) as client:
        yield client


@pytest.fixture
async def together(agents: list[AgentProcess], eventually: Eventually) -> list[AgentProcess]:
    """The three once each sees the others alive and a record reaches all."""

    async def ready() -> bool:
        try:
            for agent in agents:
                async with client_of(agent) as client, client.producer(acks=3, ack_timeout=1) as producer:
                    await producer.send_values([b"ready"])
        except ProglogError:
            return False
        return True

    await eventually(ready, timeout=20, what="a cluster of three")
    return agents


async def values_of(agent: AgentProcess) -> list[bytes]:
    async with client_of(agent) as client:
        return [value async for fetched in client.consume() for value in fetched.values()]


@asynccontextmanager
async def stopped(agent: AgentProcess) -> AsyncGenerator[None]:
    agent.signal(signal.SIGSTOP)
    try:
        yield
    finally:
        agent.signal(signal.SIGCONT)


@pytest.mark.parametrize("acks", [2, 3, "all"])
async def test_an_acknowledged_record_is_on_as_many_nodes_as_asked(
    together: list[AgentProcess], acks: int | Literal["all"]
) -> None:
    acknowledged: list[Acknowledged] = []
    value = f"on {acks}".encode()
    nodes = 3 if acks == "all" else acks
    async with client_of(together[0]) as client:
        async with client.producer(acks=acks, on_ack=acknowledged.append) as producer:
            await producer.send_values([value])
        held = [await values_of(agent) for agent in together]

    assert acknowledged[0].copies == nodes
    assert sum(value in values for values in held) >= nodes


async def test_more_nodes_than_there_are_is_refused_with_both_numbers(together: list[AgentProcess]) -> None:
    async with client_of(together[0]) as client:
        with pytest.raises(ProduceError) as caught:
            async with client.producer(acks=4) as producer:
                await producer.send_values([b"too many"])

    assert isinstance(caught.value.cause, TooFewServersError)
    assert (caught.value.cause.wanted, caught.value.cause.servers) == (4, 3)
    assert b"too many" not in await values_of(together[0])


async def test_a_stopped_copy_leaves_the_outcome_unknown_in_time_and_gets_the_record_once_later(
    together: list[AgentProcess], eventually: Eventually
) -> None:
    first, _, last = together
    async with client_of(first) as client:
        async with stopped(last):
            started = time.monotonic()
            async with client.producer(acks=3, ack_timeout=0.5) as producer:
                await producer.send_values([b"late"])
                with pytest.raises(UnconfirmedError) as caught:
                    await producer.flush()
            elapsed = time.monotonic() - started

            assert 0.5 <= elapsed < patience(2)
            assert (caught.value.acknowledged, caught.value.unknown) == (0, 1)
            assert (producer.acknowledged, producer.unconfirmed) == (0, 1)
            assert "unknown, not failed" in str(caught.value)

            async with client.producer(acks=2, ack_timeout=2) as producer:
                await producer.send_values([b"two of three"])
            assert producer.acknowledged == 1

        async def caught_up() -> bool:
            return b"two of three" in await values_of(last)

        await eventually(caught_up, what="the copy on the node that was stopped")
        assert [(await values_of(agent)).count(b"late") for agent in together] == [1, 1, 1]


async def test_a_slow_copy_holds_up_answers_but_not_the_appends_behind_it(
    together: list[AgentProcess], eventually: Eventually
) -> None:
    first, _, last = together
    async with client_of(first) as client, stopped(last):
        async with client.producer(batch_bytes=64, acks=3, ack_timeout=1.5) as producer:
            for number in range(5):
                await producer.send_values([b"behind %d" % number])

            async def all_appended() -> bool:
                return b"behind 4" in await values_of(first)

            await eventually(all_appended, timeout=1.0, what="the appends, before any answer")
            assert producer.acknowledged == producer.unconfirmed == 0
            with pytest.raises(UnconfirmedError):
                await producer.flush()


def test_the_command_says_in_words_what_is_unknown_and_exits_with_4(together: list[AgentProcess]) -> None:
    first, _, last = together
    environment = {key: value for key, value in os.environ.items() if not key.startswith("PROGLOG_")}
    command = [sys.executable, "-m", "proglog", "produce", "--addr", first.rpc_addr, "--acks", "3"]

    async def run() -> "subprocess.CompletedProcess[bytes]":
        async with stopped(last):
            return await asyncio.to_thread(
                lambda: subprocess.run(
                    [*command, "--ack-timeout", "0.5"],
                    input=b"one\ntwo\n",
                    capture_output=True,
                    env=environment,
                    timeout=30,
                )
            )

    done = asyncio.run(run())

    assert done.returncode == 4
    assert b"2 records" in done.stderr
    assert b"unknown" in done.stderr
    assert done.stdout == b""
    assert b"Traceback" not in done.stderr
