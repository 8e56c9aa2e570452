"""Replication between whole processes: catching up, how late a record is seen elsewhere, and what a stopped peer costs.

Default durability, no TLS, loopback. The yardstick of catching up is a bare gRPC stream of messages of the same size
between two processes (:mod:`benchmarks.bare_stream`), which neither checks, nor stores, nor syncs anything.
"""

import asyncio
import shutil
import signal
import statistics
import tempfile
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from functools import partial
from itertools import count
from pathlib import Path

import uvloop

import proglog.client
from benchmarks import bare_stream
from benchmarks.measure import ROUNDS, compare, touch_page_cache
from proglog.client.offset_spec import OffsetSpec
from proglog.errors import ProglogError
from proglog.server.range_reader import READ_BYTES
from proglog.testing.processes import AgentProcess
from proglog.wire.model import ClusterSnapshot, PeerState

RECORD = bytes(1024)
GROUP = 25
GROUPS_PER_SECOND = 200
"""Together 5,000 records a second."""
RUNS = 3


def run(*, full: bool) -> Iterator[str]:
    """Yield a line per measurement; the full size takes some minutes."""
    with tempfile.TemporaryDirectory(prefix="proglog-bench-") as scratch:
        yield from catch_up(Path(scratch), mib=512 if full else 8, runs=ROUNDS if full else 1)
        yield from lag(Path(scratch), seconds=10 if full else 0.5, runs=RUNS if full else 1)
        yield from stopped_follower(Path(scratch), seconds=5 if full else 0.5, runs=7 if full else 1)
        yield from crossings(Path(scratch), seconds=10 if full else 0.5)


def catch_up(directory: Path, mib: int, runs: int) -> Iterator[str]:
    """An empty third node gets all that two have, from its first batch to its last; its log's files tell, at no cost."""
    with agents(directory, "a1", "b1") as (a, b):
        uvloop.run(fill(a, mib))
        uvloop.run(until(partial(same_end, a, b)))
        whole = _stored(directory / "a1")
        touch_page_cache(3 * whole, directory)
        numbers, crossed = count(), list[str]()

        def an_empty_node() -> float:
            name = f"c{next(numbers)}"
            with agents(directory, name, seeds=(a.gossip_addr,)) as (c,):
                uvloop.run(until(partial(_holds, directory / name, 64 * 1024)))
                seconds = uvloop.run(until(partial(_holds, directory / name, whole)))
                uvloop.run(until(partial(same_end, a, c)))
                copied, dropped = uvloop.run(copies([c]))
            assert copied == mib * 1024, "a record is missing"
            crossed.append(f"an empty third node received {copied:,} records, and {dropped:,} batches that it had")
            shutil.rmtree(directory / name)
            return whole / seconds / 1e6

        compared = compare(
            "catching up, 1 KiB records",
            "MB/s",
            f"a bare stream of {READ_BYTES // 1024} KiB messages",
            subject=an_empty_node,
            yardstick=lambda: whole / uvloop.run(bare_stream.seconds(whole // READ_BYTES, READ_BYTES)) / 1e6,
            rounds=runs,
        )
    yield crossed[-1]
    yield str(compared)


def _stored(place: Path) -> int:
    return sum(path.stat().st_size for path in place.glob("*.log"))


async def _holds(place: Path, size: int) -> bool:
    return _stored(place) >= size


def lag(directory: Path, seconds: float, runs: int) -> Iterator[str]:
    """From the acknowledgement on one node to a consumer's eyes on another."""
    halves, worst = [], []
    with agents(directory, "a2", "b2") as (a, b):
        for _ in range(runs):
            lags = sorted(uvloop.run(lags_of(a, b, seconds)))
            halves.append(at(lags, 0.5))
            worst.append(at(lags, 0.99))
    rate = GROUP * GROUPS_PER_SECOND
    for name, figures in (("p50", halves), ("p99", worst)):
        middle = statistics.median(figures)
        yield f"lag from acknowledged to seen elsewhere, {rate:,} records/s, {name}: {middle:.1f} ms ({listed(figures)})"


def stopped_follower(directory: Path, seconds: float, runs: int) -> Iterator[str]:
    """The same load, with a follower that reads and with one under SIGSTOP."""
    halves: dict[str, list[float]] = {"reads": [], "stalled": []}
    worst: dict[str, list[float]] = {"reads": [], "stalled": []}
    with agents(directory, "a3", "b3") as (a, b):
        for number in range(2 * runs):  # in turns: a machine has moods
            what = "stalled" if number % 2 else "reads"
            if number % 2:
                b.signal(signal.SIGSTOP)
            latencies = sorted(uvloop.run(latencies_of(a, seconds)))
            b.signal(signal.SIGCONT)
            uvloop.run(until(partial(same_end, a, b)))
            halves[what].append(at(latencies, 0.5))
            worst[what].append(at(latencies, 0.99))
    for name, figures in (("p50", halves), ("p99", worst)):
        for what, each in figures.items():
            yield f"acknowledged, {name}, while a follower {what}: {statistics.median(each):.2f} ms ({listed(each)})"
        ratio = statistics.median(figures["stalled"]) / statistics.median(figures["reads"])
        yield f"standing still against reading, {name}: {ratio:.2f}"


def crossings(directory: Path, seconds: float) -> Iterator[str]:
    """How often a record crosses the network while three nodes write."""

    async def write_to_all(nodes: list[AgentProcess]) -> None:
        await asyncio.gather(*(write_evenly(node, seconds, lambda *_: None) for node in nodes))

    with agents(directory, "a4", "b4", "c4") as nodes:
        uvloop.run(write_to_all(nodes))
        for node in nodes[1:]:
            uvloop.run(until(partial(same_end, nodes[0], node)))
        records = uvloop.run(status_of(nodes[0])).log.end_offset
        copied, dropped = uvloop.run(copies(nodes))
    yield f"{records:,} records on three nodes: {copied / records:.3f} copies of each, {dropped:,} batches came twice"


@contextmanager
def agents(directory: Path, *names: str, seeds: tuple[str, ...] = ()) -> Iterator[list[AgentProcess]]:
    """Agents that run and follow each other."""
    started: list[AgentProcess] = []
    try:
        for name in names:
            started.append(AgentProcess(name, directory, seeds or tuple(each.gossip_addr for each in started)))
            started[-1].start()
        if len(started) > 1:
            for each in started:
                uvloop.run(until(partial(follows, each, len(names) - 1)))
        yield started
    finally:
        for each in started:
            each.kill()


async def until(condition: Callable[[], Awaitable[bool]], within: float = 120.0) -> float:
    """Return the seconds until ``condition`` held."""
    started = time.monotonic()
    while time.monotonic() - started < within:
        if await condition():
            return time.monotonic() - started
        await asyncio.sleep(0.02)
    raise ProglogError(f"{condition} did not hold within {within} s")


async def status_of(agent: AgentProcess) -> ClusterSnapshot:
    async with proglog.client.connect(agent.rpc_addr) as client:
        return await client.status()


async def same_end(left: AgentProcess, right: AgentProcess) -> bool:
    return (await status_of(left)).log.end_offset == (await status_of(right)).log.end_offset


async def follows(agent: AgentProcess, others: int) -> bool:
    return sum(peer.state is PeerState.STREAMING for peer in (await status_of(agent)).peers) == others


async def copies(nodes: list[AgentProcess]) -> tuple[int, int]:
    peers = [peer for node in nodes for peer in (await status_of(node)).peers]
    return sum(peer.records_copied for peer in peers), sum(peer.records_dropped for peer in peers)


async def fill(agent: AgentProcess, mib: int) -> None:
    async with proglog.client.connect(agent.rpc_addr) as client, client.producer() as producer:
        for _ in range(mib):
            await producer.send_values([RECORD] * 1024)


async def lags_of(source: AgentProcess, target: AgentProcess, seconds: float) -> list[float]:
    """Return milliseconds, a figure per group of records; below zero for what was seen before its answer had come."""
    acknowledged: dict[bytes, float] = {}
    seen: dict[bytes, float] = {}
    end = (await status_of(target)).log.end_offset

    async def locale() -> None:
        async with proglog.client.connect(target.rpc_addr) as client:
            async for fetched in client.consume(OffsetSpec.offset(end), follow=True):
                now = time.monotonic()
                seen.update((value, now) for value in fetched.values()[::GROUP])

    looking = asyncio.create_task(locale())
    await write_evenly(source, seconds, lambda first, _, now: acknowledged.__setitem__(first, now))

    async def all_seen() -> bool:
        return acknowledged.keys() <= seen.keys()

    await until(all_seen)
    looking.cancel()
    await asyncio.gather(looking, return_exceptions=True)
    return [(seen[first] - then) * 1000 for first, then in acknowledged.items()]


async def latencies_of(agent: AgentProcess, seconds: float) -> list[float]:
    """Return milliseconds from sending to acknowledgement, a figure per group."""
    found: list[float] = []
    await write_evenly(agent, seconds, lambda _, sent, now: found.append((now - sent) * 1000))
    return found


async def write_evenly(agent: AgentProcess, seconds: float, on_ack: Callable[[bytes, float, float], None]) -> None:
    """Write 5,000 records a second by the clock; ``on_ack(first record, sent at, acknowledged at)`` for each group."""
    sent: list[tuple[bytes, float]] = []
    answered = 0

    def acknowledge(_: object) -> None:
        nonlocal answered
        on_ack(*sent[answered], time.monotonic())
        answered += 1

    groups = int(seconds * GROUPS_PER_SECOND)
    async with (
        proglog.client.connect(agent.rpc_addr) as client,
        client.producer(on_ack=acknowledge) as producer,
    ):
        started = time.monotonic()
        for number in range(groups):
            await asyncio.sleep(max(0.0, started + number / GROUPS_PER_SECOND - time.monotonic()))
            values = [f"{started}-{number}-{index}".encode().ljust(1024) for index in range(GROUP)]
            sent.append((values[0], time.monotonic()))
            await producer.send_values(values)
    assert answered == groups, "an answer is missing"


def at(ordered: list[float], share: float) -> float:
    return ordered[min(len(ordered) - 1, int(len(ordered) * share))]


def listed(figures: list[float]) -> str:
    return ", ".join(f"{figure:,.1f}" for figure in figures)
