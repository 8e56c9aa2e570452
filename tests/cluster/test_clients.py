"""What clients are promised while nodes die and networks break: copies, unknown outcomes, and reading on elsewhere."""

import asyncio
import shutil
from contextlib import AsyncExitStack

from kit.load import History, Load
from proglog.client import UnconfirmedError, connect

CONVERGED_WITHIN = 10.0


async def test_what_two_disks_have_survives_the_loss_of_the_one_it_was_written_to(
    open_cluster, record_property
) -> None:
    """``a`` is killed and wiped under load: with one copy its last records would be gone."""
    history = History()
    async with open_cluster("abc") as cluster:
        a = cluster["a"]
        async with Load([a], history, acks=2, interval=0.0) as load:
            await load.acknowledged(1_000)
            a.agent.kill()
        shutil.rmtree(a.data_dir)
        a.log = "a, wiped"

        await a.start()

        record_property("converged_s", await cluster.converged(within=CONVERGED_WITHIN))
        assert history.problems(await cluster.read()) == []
        assert len(history.acknowledged) > 100


async def test_a_node_that_is_cut_off_says_unknown_and_what_it_wrote_reaches_the_others_later(
    open_cluster, record_property
) -> None:
    async with open_cluster("abc") as cluster:
        a = cluster["a"]
        cluster.partition("a", "bc")
        unconfirmed = 0
        async with a.client() as client, client.producer(acks=2, ack_timeout=1.0) as producer:
            try:
                await producer.send_values([b"before", b"after"])
                await producer.flush()
            except UnconfirmedError as exc:
                unconfirmed = exc.unknown
        assert unconfirmed == 2

        cluster.switch.heal()

        record_property("converged_s", await cluster.converged(within=CONVERGED_WITHIN))
        for reading in await cluster.read():
            assert [seen.payload for seen in reading.seen] == [b"before", b"after"]


async def test_a_consumer_of_all_nodes_misses_and_repeats_nothing_while_they_die_in_turn(open_cluster) -> None:
    history = History()
    seen: list[bytes] = []
    async with open_cluster("abc") as cluster, AsyncExitStack() as stack:
        client = await stack.enter_async_context(connect([node.door.addr for node in cluster], timeout=5.0))
        moves: list[object] = []

        async def consume() -> None:
            async for fetched in client.consume(follow=True, on_move=lambda addr, _: moves.append(addr)):
                seen.extend(fetched.values())

        consuming = asyncio.create_task(consume())
        async with Load(cluster, history) as load:
            for node in cluster:
                await load.acknowledged(200)
                node.agent.kill()
                await load.acknowledged(200, by=[other for other in cluster if other is not node])
                await node.start()

        async def has_all() -> bool:
            return history.acknowledged <= set(seen)

        await cluster.until(has_all, within=CONVERGED_WITHIN, what="everything read")
        consuming.cancel()
        await asyncio.gather(consuming, return_exceptions=True)
        assert len(moves) >= 2
        assert len(seen) == len(set(seen))
        assert set(seen) <= {attempt.payload for attempt in history.attempts}
