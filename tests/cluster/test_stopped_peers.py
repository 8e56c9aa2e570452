"""Peers that are slow or stand still: producers do not feel them, memory stays bounded, and they catch up."""

import asyncio
import signal
from pathlib import Path

from kit.load import History, Load

CONVERGED_WITHIN = 10.0
MAX_BUFFERED_BYTES = 64 * 1024 * 1024
RECORD = bytes(1024)


def resident_bytes(pid: int) -> int:
    """Return the memory that a process has now."""
    pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    return pages * 4096


async def test_a_stopped_follower_costs_bounded_memory_and_catches_up_when_it_continues(
    open_cluster, long, record_property
) -> None:
    """128 MiB are written past it: more than its source may hold for it."""
    async with open_cluster("ab") as cluster:
        a, b = cluster["a"], cluster["b"]
        before = resident_bytes(a.agent.pid)
        b.agent.signal(signal.SIGSTOP)
        async with a.client() as client, client.producer() as producer:
            for _ in range(128 if not long else 1024):
                await producer.send_values([RECORD] * 1024)
        await asyncio.sleep(60 if long else 3)
        grown = resident_bytes(a.agent.pid) - before
        record_property("grown_mib", grown / 2**20)
        assert grown < MAX_BUFFERED_BYTES

        b.agent.signal(signal.SIGCONT)

        record_property("converged_s", await cluster.converged(within=CONVERGED_WITHIN * (6 if long else 1)))
        assert (await b.status()).log.end_offset == (await a.status()).log.end_offset


async def test_a_slow_link_delays_one_follower_and_nobody_else(open_cluster, long, record_property) -> None:
    """``c`` receives ten kilobytes a second, less than is written: it falls behind, is followed, and catches up."""
    history = History()
    async with open_cluster("abc") as cluster:
        a, b, c = cluster["a"], cluster["b"], cluster["c"]
        c.host.slow_down(10_000)
        async with Load([a], history, group=100) as load:
            await load.acknowledged(4_000, seconds=30 if long else 0)

        async def b_has_all() -> bool:
            return (await b.status()).log.end_offset == (await a.status()).log.end_offset

        record_property("fast_follower_s", await cluster.until(b_has_all, within=30, what="all of it on b"))
        behind = next(peer for peer in (await a.status()).peers if peer.name == "c")
        assert any(origin.peer_lag_records > 0 for origin in behind.origins)
        c.host.speed_up()
        record_property("converged_s", await cluster.converged(within=CONVERGED_WITHIN))
        assert history.problems(await cluster.read()) == []
