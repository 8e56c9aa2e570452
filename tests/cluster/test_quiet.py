"""What a cluster without faults does: every record once to every node, and then nothing."""

import asyncio

from kit.cluster import Cluster
from kit.load import History, Load


async def copies(cluster: Cluster) -> tuple[int, int]:
    """Return how many records all nodes took from others, and how many arrived that they had."""
    peers = [peer for status in await cluster.statuses() for peer in status.peers]
    return sum(peer.records_copied for peer in peers), sum(peer.records_dropped for peer in peers)


async def test_each_node_receives_each_record_once_and_the_log_ends_still(open_tls_cluster, long) -> None:
    history = History()
    async with open_tls_cluster("abc") as cluster:
        async with Load(cluster, history) as load:
            await load.acknowledged(400, seconds=30 if long else 0)
        await cluster.converged(within=10)
        ends = [status.log.end_offset for status in await cluster.statuses()]

        await asyncio.sleep(60 if long else 3)  # what is looked at is this time

        assert [status.log.end_offset for status in await cluster.statuses()] == ends
        readings = await cluster.read()
        assert history.problems(readings) == []
        assert len(history.acknowledged) >= 1000
        copied, dropped = await copies(cluster)
        assert copied == 2 * len(readings[0].seen)  # once to each node that has not written it
        # An origin's first batches may come from two sides until its source is settled: once for each node and origin.
        assert dropped <= 6
