"""What stays flat: an agent's processor time a batch with 10,000 origins and with 128 consumers, and its memory.

Default durability, no TLS. The processor time of the agent decides, since other work on the machine hardly moves it: rates
are batches, or megabytes, by the agent's seconds. Half of the 128 consumers pause after each message.
"""

import asyncio
import re
import tempfile
from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import uvloop

import proglog.client
from benchmarks.ends import RECORDS
from benchmarks.measure import ROUNDS, Comparison, compare
from kit.origins import fill
from proglog.log.log import Log
from proglog.testing.processes import AgentProcess
from proglog.types import NodeName

CONSUMERS = 128
PAUSE = 0.05
VALUES = [b"%099d " % number for number in range(RECORDS)]


def run(*, full: bool) -> Iterator[Comparison | str]:
    """Yield a comparison, or a line, per measurement."""
    origins, batches, consumers, rounds = (10_000, 400, CONSUMERS, ROUNDS) if full else (50, 5, 4, 1)
    with tempfile.TemporaryDirectory(prefix="proglog-bench-") as scratch:
        directory = Path(scratch)
        with with_origins(directory, "one", 1) as one, with_origins(directory, "many", origins) as many:
            yield compare(
                f"batches a second of the agent's time, {origins:,} origins",
                "batches/s",
                "one origin",
                subject=lambda: batches / spent(many, lambda: produce(many, batches)),
                yardstick=lambda: batches / spent(one, lambda: produce(one, batches)),
                rounds=rounds,
            )
        with AgentProcess("read", directory) as agent:
            idle = memory(agent, "VmRSS")
            uvloop.run(produce(agent, batches))
            loaded = memory(agent, "VmHWM")
            yield compare(
                f"bytes a second of the agent's time, {consumers} consumers",
                "MB/s",
                "one consumer",
                subject=lambda: (
                    megabytes(batches) * 2 / spent(agent, lambda: consume(agent, consumers, 2 * batches // consumers))
                ),
                yardstick=lambda: megabytes(batches) * 2 / spent(agent, lambda: consume(agent, 1, 2 * batches)),
                rounds=rounds,
            )
            yield (
                f"memory of an agent: {idle} MB idle, {loaded} MB at most under a full producer, "
                f"{memory(agent, 'VmHWM')} MB at most under {consumers} consumers"
            )


@contextmanager
def with_origins(directory: Path, name: str, count: int) -> Iterator[AgentProcess]:
    """Run an agent whose log holds so many origins beside its own."""
    log = Log.open(directory / name, node_name=NodeName(name))
    fill(log, count)
    log.close()
    with AgentProcess(name, directory) as agent:
        yield agent


def spent(agent: AgentProcess, work: Callable[[], Coroutine[Any, Any, None]]) -> float:
    """Do ``work``; return the processor seconds that it took of the agent."""
    before = agent.cpu_seconds()
    uvloop.run(work())
    return max(agent.cpu_seconds() - before, 0.01)


def megabytes(batches: int) -> float:
    """Return the size of so many batches."""
    return batches * sum(map(len, VALUES)) / 1e6


def memory(agent: AgentProcess, field: str) -> int:
    """Return a figure of the agent's memory, in MB."""
    found = re.search(rf"^{field}:\s+(\d+) kB", Path(f"/proc/{agent.pid}/status").read_text(), re.MULTILINE)
    assert found, field
    return round(int(found[1]) * 1024 / 1e6)


async def produce(agent: AgentProcess, batches: int) -> None:
    """Send so many full batches."""
    async with proglog.client.connect(agent.rpc_addr) as client, client.producer() as producer:
        for _ in range(batches):
            await producer.send_values(VALUES)


async def consume(agent: AgentProcess, consumers: int, batches: int) -> None:
    """Read so many batches with each consumer, again from the start when the log ends; half of them are slow."""
    wanted = batches * len(VALUES)

    async def read(number: int) -> None:
        seen = 0
        while seen < wanted:
            async for fetched in client.consume():
                seen += len(fetched.values())
                if seen >= wanted:
                    break
                if number % 2:
                    await asyncio.sleep(PAUSE)

    async with proglog.client.connect(agent.rpc_addr) as client, asyncio.TaskGroup() as group:
        for number in range(consumers):
            group.create_task(read(number))
