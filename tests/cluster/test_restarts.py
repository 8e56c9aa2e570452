"""Restart storms: all nodes killed at once, again and again, and one after the other, under load."""

import asyncio

from kit.load import History, Load

CONVERGED_WITHIN = 10.0


async def test_nodes_that_are_all_killed_at_once_again_and_again_lose_nothing(
    open_cluster, long, record_property
) -> None:
    history = History()
    async with open_cluster("abc") as cluster:
        origins = len((await cluster["a"].status()).origins)
        for _ in range(100 if long else 3):
            async with Load(cluster, history) as load:
                await load.acknowledged(200)
                for node in cluster:
                    node.agent.kill()
            await cluster.start()

        record_property("converged_s", await cluster.converged(within=CONVERGED_WITHIN))
        assert history.problems(await cluster.read()) == []
        assert len(history.acknowledged) > 100
        assert len((await cluster["a"].status()).origins) == origins  # with fsync always a kill begins no new one


async def test_a_rolling_restart_under_load_loses_nothing(open_cluster, long, record_property) -> None:
    """Each node is stopped with SIGTERM and started again while clients write to all of them."""
    history = History()
    async with open_cluster("abc") as cluster:
        origins = len((await cluster["a"].status()).origins)
        async with Load(cluster, history):
            for _ in range(50 if long else 1):
                for node in cluster:
                    await asyncio.to_thread(node.agent.stop)
                    await node.start()
            await cluster.until(cluster.all_follow_all, within=CONVERGED_WITHIN, what="streams between all")

        record_property("converged_s", await cluster.converged(within=CONVERGED_WITHIN))
        assert history.problems(await cluster.read()) == []
        assert len((await cluster["a"].status()).origins) == origins
