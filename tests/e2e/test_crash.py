"""Whole agents, killed under load: what was acknowledged is there, everywhere, once."""

import asyncio
import os
import time
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path

import pytest

import proglog.client
from kit.patience import patience
from proglog.client import ProduceError
from proglog.errors import UnavailableError
from proglog.testing.processes import AgentProcess
from proglog.wire.model import PeerState

ROUNDS = 30 if os.environ.get("PROGLOG_LONG") else 2
Eventually = Callable[..., Awaitable[None]]


@pytest.fixture
def agents(tmp_path: Path) -> Iterator[list[AgentProcess]]:
    """Three agents that see each other's address."""
    started: list[AgentProcess] = []
    try:
        for name in "abc":
            seeds = (started[0].gossip_addr,) if started else ()
            started.append(AgentProcess(name, tmp_path, seeds))
            started[-1].start()
        yield started
    finally:
        for agent in started:
            agent.kill()


async def end_offset(agent: AgentProcess) -> int:
    async with proglog.client.connect(agent.rpc_addr) as client:
        return (await client.status()).log.end_offset


async def values_of(agent: AgentProcess) -> list[bytes]:
    async with proglog.client.connect(agent.rpc_addr) as client:
        return [value async for fetched in client.consume() for value in fetched.values()]


async def reachable(agent: AgentProcess) -> bool:
    """Whether it can be called: gRPC shares what it knows of an address in a process, and waits after a failure."""
    async with proglog.client.connect(agent.rpc_addr) as client:
        try:
            await client.status()
        except UnavailableError:
            return False
    return True


async def streaming(agent: AgentProcess, peers: int) -> bool:
    async with proglog.client.connect(agent.rpc_addr) as client:
        return sum(peer.state is PeerState.STREAMING for peer in (await client.status()).peers) == peers


async def produce_until_it_dies(agent: AgentProcess, prefix: bytes, records: int) -> tuple[int, int]:
    """Kill ``agent`` once it has acknowledged ``records``; return how many it had at last, and how many were sent."""
    sent = 0
    async with proglog.client.connect(agent.rpc_addr) as client:
        producer = client.producer(batch_bytes=16 * 1024, stop_on_failure=True)
        killing: asyncio.Task[None] | None = None
        try:
            async with producer:
                while True:
                    if killing is None and producer.acknowledged >= records:
                        killing = asyncio.create_task(asyncio.to_thread(agent.kill))
                    await producer.send_values([b"%s-%08d" % (prefix, sent + index) for index in range(500)])
                    sent += 500
        except ProduceError as exc:
            assert exc.acknowledged == producer.acknowledged
            return producer.acknowledged, sent + 500
        finally:
            if killing is not None:
                await killing


@pytest.mark.timeout(600)
async def test_an_agent_killed_under_load_loses_nothing_acknowledged_and_nothing_is_there_twice(
    agents: list[AgentProcess], eventually: Eventually
) -> None:
    expected: set[bytes] = set()
    possible: set[bytes] = set()
    for round_ in range(ROUNDS):
        agent = agents[round_ % 2]
        prefix = b"%d" % round_
        acknowledged, sent = await produce_until_it_dies(agent, prefix, 5_000)
        assert acknowledged >= 5_000
        expected |= {b"%s-%08d" % (prefix, index) for index in range(acknowledged)}
        possible |= {b"%s-%08d" % (prefix, index) for index in range(sent)}
        agent.start()
        await eventually(lambda agent=agent: reachable(agent), what="the agent")

    async def agree() -> bool:
        ends = [await end_offset(agent) for agent in agents]
        return len(set(ends)) == 1 and ends[0] >= len(expected)

    await eventually(agree, timeout=30, what="one length everywhere")
    for agent in agents:
        values = await values_of(agent)
        assert len(values) == len(set(values)), f"{agent.name} has a record twice"
        assert expected <= set(values), f"{agent.name} lost acknowledged records"
        assert set(values) <= possible, f"{agent.name} has records that nobody sent"


async def test_sigterm_under_load_stops_within_five_seconds_and_keeps_what_was_acknowledged(
    agents: list[AgentProcess], eventually: Eventually
) -> None:
    agent = agents[0]
    sent = 0
    async with proglog.client.connect(agent.rpc_addr) as client:
        producer = client.producer(batch_bytes=16 * 1024, stop_on_failure=True)
        stopping: asyncio.Task[float] | None = None
        with pytest.raises(ProduceError):
            async with producer:
                while True:
                    await producer.send_values([b"%08d" % (sent + index) for index in range(500)])
                    sent += 500
                    if sent == 20_000:
                        stopping = asyncio.create_task(asyncio.to_thread(agent.stop))
        assert stopping is not None
        took = await stopping

    assert took < patience(5)
    agent.start()
    await eventually(lambda: reachable(agent), what="the agent")
    values = await values_of(agent)
    assert values[: producer.acknowledged] == [b"%08d" % index for index in range(producer.acknowledged)]
    assert len(values) == len(set(values))


async def test_an_idle_cluster_with_a_waiting_consumer_uses_next_to_no_processor(
    agents: list[AgentProcess], eventually: Eventually
) -> None:
    for agent in agents:
        await eventually(lambda agent=agent: streaming(agent, 2), what="streams between all")
    async with proglog.client.connect(agents[0].rpc_addr) as client:
        tails = [asyncio.create_task(anext(aiter(client.consume(follow=True)))) for _ in range(4)]
        await asyncio.sleep(1)
        before = [agent.cpu_seconds() for agent in agents]
        started = time.monotonic()

        await asyncio.sleep(5)  # what is measured is this time

        elapsed = time.monotonic() - started
        used = [(agent.cpu_seconds() - start) / elapsed for agent, start in zip(agents, before, strict=True)]
        for tail in tails:
            tail.cancel()
        # The original burns 95 % of a core each. Quiet machines show under 1 %; the bound leaves room for noise.
        assert max(used) < 0.06, used
