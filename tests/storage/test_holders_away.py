"""Real agents, killed and wiped, while the only holder of some records is away for longer than any timeout."""

import asyncio
import shutil
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from kit.patience import patience
from proglog.client import OffsetSpec, connect
from proglog.errors import ProglogError
from proglog.observe.health import Finding, findings
from proglog.replication.plan import Patience
from proglog.testing.processes import AgentProcess
from proglog.wire.model import ClusterSnapshot

VALUES = [b"%06d " % number * 12 for number in range(40_000)]
FLAGS = {"segment-bytes": str(1 << 20)}
GAP_TIMEOUT = Patience().gap_timeout or 0.0


@contextmanager
def agents(tmp_path: Path, *names: str) -> Iterator[list[AgentProcess]]:
    """Agents that are not started yet; those that run at the end are killed."""
    made = [AgentProcess(name, tmp_path, flags=dict(FLAGS)) for name in names]
    try:
        yield made
    finally:
        for each in made:
            each.kill()


async def status(agent: AgentProcess) -> ClusterSnapshot:
    async with connect(agent.rpc_addr) as client:
        return await client.status()


async def alarms(agent: AgentProcess) -> dict[str, Finding]:
    """What needs attention of the records, by rule."""
    found = {each.rule: each for each in findings(await status(agent))}
    return {rule: each for rule, each in found.items() if rule.startswith(("log-", "replication-", "copies-lost"))}


async def until(holds: Callable[[], Awaitable[bool]], what: str, timeout: float = 20.0) -> None:
    deadline = time.monotonic() + patience(timeout)
    while True:
        try:
            if await holds():
                return
        except ProglogError:
            pass  # it starts
        assert time.monotonic() < deadline, what
        await asyncio.sleep(0.1)


async def values_of(agent: AgentProcess) -> list[bytes]:
    """Everything that can be read, in the log's order."""
    async with connect(agent.rpc_addr) as client:
        consumer = client.consume(OffsetSpec.after_start(0), skip_gone=True)
        return [value async for batch in consumer for value in batch.values()]


async def holds_all(agent: AgentProcess) -> bool:
    return sorted(await values_of(agent)) == VALUES


async def produce(agent: AgentProcess, acks: int) -> None:
    async with (
        connect(agent.rpc_addr) as client,
        client.producer(batch_bytes=64 * 1024, acks=acks, ack_timeout=30) as producer,
    ):
        await producer.send_values(VALUES)


def wipe(agent: AgentProcess) -> None:
    agent.kill()
    shutil.rmtree(agent.directory / agent.name)


def rot(agent: AgentProcess) -> None:
    """Flip a bit in the middle of the first segment of an agent that is down."""
    store = min((agent.directory / agent.name).glob("*.log"))
    data = bytearray(store.read_bytes())
    data[len(data) // 2] ^= 1
    store.write_bytes(data)


async def begin(first: AgentProcess, second: AgentProcess) -> None:
    """Start two agents, and have both hold every value."""
    first.start()
    second.seeds = (first.gossip_addr,)
    second.start()
    await until(lambda: _alive(first, 2), "two members")
    await produce(first, acks=2)
    assert await holds_all(second)


async def _alive(agent: AgentProcess, count: int) -> bool:
    return sum(member.status == "alive" for member in (await status(agent)).members) >= count


@pytest.mark.timeout(180)
async def test_damage_heals_with_a_holder_that_was_away_longer_than_any_timeout(tmp_path: Path) -> None:
    with agents(tmp_path, "a", "b", "c") as (a, b, c):
        await begin(a, b)
        b.kill()
        a.kill()
        rot(a)
        a.start()  # it has forgotten b, and no member may hold what is damaged
        c.seeds = (a.gossip_addr,)
        c.start()

        async def has_begun() -> bool:
            return 0 < len(await values_of(c)) < len(VALUES)

        async def continued_after_a_gap() -> bool:
            return "log-damaged" in await alarms(c) and (await status(c)).log.end_offset == len(VALUES)

        await until(has_begun, "records before the damage")
        wipe(c)
        c.start()
        await until(continued_after_a_gap, "a gap", timeout=GAP_TIMEOUT + 20)
        a.kill()
        c.kill()
        c.start()
        assert await continued_after_a_gap(), "a restart forgets no gap"
        a.start()
        assert "log-damaged" in await alarms(a)

        b.start()
        for agent in (c, a, b):
            await until(lambda agent=agent: holds_all(agent), f"{agent.name} has every record", timeout=40)  # type: ignore[misc]
            await until(lambda agent=agent: _quiet(agent), f"{agent.name} reports nothing")  # type: ignore[misc]


async def _quiet(agent: AgentProcess) -> bool:
    return await alarms(agent) == {}


@pytest.mark.timeout(180)
async def test_what_only_an_archive_keeps_holds_up_no_joiner_and_comes_with_it(tmp_path: Path) -> None:
    with agents(tmp_path, "a", "archive", "c") as (a, archive, c):
        await begin(a, archive)
        archive.kill()
        a.kill()
        a.flags = {**FLAGS, "retention-bytes": str(2 << 20)}
        a.start()

        async def trimmed() -> bool:
            return (await status(a)).log.start_offset > 0

        await until(trimmed, "retention")
        kept = len(await values_of(a))
        assert 0 < kept < len(VALUES)
        c.seeds = (a.gossip_addr,)
        for _ in range(2):
            c.start()

            async def has_the_rest() -> bool:
                return len(await values_of(c)) >= kept

            await until(has_the_rest, "what is kept, long before the timeout for damage", timeout=GAP_TIMEOUT / 2)
            found = await alarms(c)
            assert found.keys() <= {"replication-trimmed"}
            c.kill()
            c.start()
            assert len(await values_of(c)) >= kept
            wipe(c)
        c.start()
        await until(has_the_rest, "what is kept", timeout=GAP_TIMEOUT / 2)

        archive.start()
        await until(lambda: holds_all(c), "every record", timeout=40)
        c.kill()
        c.start()
        assert await holds_all(c), "a restart forgets nothing"
