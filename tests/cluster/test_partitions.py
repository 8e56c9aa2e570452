"""Cut, one-way and flapping networks: both sides go on writing, and soon after healing all have everything, once."""

import asyncio
import time

import pytest

from kit.cluster import Cluster
from kit.load import History, Load
from proglog.wire.model import MemberStatus, PeerState

HEALED_WITHIN = 10.0
JOINED_WITHIN = 12.0
"""A node that starts waits for all its seeds so long; those in the other half do not answer."""
CALLED_WITHIN = 15.0
"""A seed that has not answered is called on every eight seconds."""
FLAP_SECONDS = 0.5
LONG = pytest.mark.skipif("os.environ.get('PROGLOG_LONG') != '1'", reason="a long variant: PROGLOG_LONG=1")


async def sees_no_other_side(cluster: Cluster, sides: tuple[str, ...]) -> bool:
    """Whether every node calls just those of its own side alive."""
    for side in sides:
        for name in side:
            members = (await cluster[name].status()).members
            if {member.name for member in members if member.status is MemberStatus.ALIVE} != set(side):
                return False
    return True


@pytest.mark.parametrize(
    "sides",
    [
        ("a", "bc"),
        pytest.param(("ab", "cde"), marks=LONG),
        pytest.param(("a", "bcde"), marks=LONG),
        pytest.param(("a", "b", "c"), marks=LONG),
    ],
    ids="|".join,
)
async def test_after_a_partition_all_nodes_converge_within_ten_seconds(
    open_cluster, long, sides, record_property
) -> None:
    history = History()
    async with open_cluster("".join(sides)) as cluster:
        cluster.partition(*sides)
        async with Load(cluster, history) as load:
            await cluster.until(lambda: sees_no_other_side(cluster, sides), within=60, what="the other sides failed")
            await load.acknowledged(300, seconds=30 if long else 0)
        assert not await cluster.agree()

        cluster.switch.heal()

        record_property("converged_s", await cluster.converged(within=HEALED_WITHIN))
        assert history.problems(await cluster.read()) == []


@LONG
async def test_halves_that_were_restarted_while_they_were_cut_off_become_one_cluster_again(
    open_cluster, record_property
) -> None:
    """Neither half has heard of the other in this life: no probe and no gossip leads across."""
    history = History()
    async with open_cluster("abcd") as cluster:
        cluster.partition("ab", "cd")
        for node in cluster:
            node.agent.kill()
        await asyncio.gather(*(node.start() for node in cluster))
        await asyncio.sleep(JOINED_WITHIN)  # nothing is to come of their waiting for the other half
        for node, seen in zip(cluster, ("ab", "ab", "cd", "cd"), strict=True):
            assert {member.name for member in (await node.status()).members} == set(seen)
        async with Load(cluster, history) as load:
            await load.acknowledged(300)

        cluster.switch.heal()

        record_property("converged_s", await cluster.converged(within=CALLED_WITHIN))
        await cluster.until(cluster.all_follow_all, within=HEALED_WITHIN, what="streams between all")
        assert history.problems(await cluster.read()) == []


async def test_a_one_way_black_hole_is_noticed_and_the_records_take_the_way_round(
    open_cluster, record_property
) -> None:
    """What ``a`` sends to ``b`` is lost, in silence; what ``b`` sends to ``a`` arrives, and so does all to and from ``c``."""
    history = History()
    async with open_cluster("abc") as cluster:
        a, b = cluster["a"], cluster["b"]
        cut_at = time.monotonic()
        a.host.lose(b.host)
        async with Load([a], history) as load:
            await load.acknowledged(300)

        async def noticed() -> bool:
            return await b.stream_from("a") is not PeerState.STREAMING

        await cluster.until(noticed, within=cut_at + 15 - time.monotonic(), what="noticing the stream that is stuck")
        record_property("noticed_s", time.monotonic() - cut_at)
        record_property("converged_s", await cluster.converged(within=HEALED_WITHIN))
        assert await b.stream_from("a") is not PeerState.STREAMING
        assert history.problems(await cluster.read()) == []

        cluster.switch.heal()
        await cluster.until(cluster.all_follow_all, within=HEALED_WITHIN, what="streams between all")


async def test_two_nodes_that_never_meet_exchange_everything_through_a_third(open_cluster, record_property) -> None:
    history = History()
    async with open_cluster("abc", start="") as cluster:
        cluster.partition("a", "c")
        for name in "bac":
            await cluster[name].start()
        async with Load(cluster, history) as load:
            await load.acknowledged(600)

        record_property("converged_s", await cluster.converged(within=HEALED_WITHIN))
        assert await cluster["a"].stream_from("c") is not PeerState.STREAMING
        assert await cluster["c"].stream_from("a") is not PeerState.STREAMING
        assert history.problems(await cluster.read()) == []


async def test_a_link_that_flaps_every_second_loses_and_repeats_nothing(open_cluster, long, record_property) -> None:
    history = History()
    async with open_cluster("abc") as cluster:
        async with Load(cluster, history) as load:
            for _ in range(60 if long else 4):
                cluster.partition("a", "bc")
                await load.acknowledged(100, seconds=FLAP_SECONDS)
                cluster.switch.heal()
                await load.acknowledged(100, seconds=FLAP_SECONDS)

        record_property("converged_s", await cluster.converged(within=HEALED_WITHIN))
        assert history.problems(await cluster.read()) == []


async def test_a_route_that_answers_with_errors_is_survived_as_well(open_cluster, record_property) -> None:
    """A kernel may refuse to send: to gossip and replication that is one more kind of loss."""
    history = History()
    async with open_cluster("ab") as cluster:
        a, b = cluster["a"], cluster["b"]
        a.host.refuse(b.host)
        b.host.refuse(a.host)
        async with Load(cluster, history) as load:
            await load.acknowledged(600)

        cluster.switch.heal()

        record_property("converged_s", await cluster.converged(within=HEALED_WITHIN))
        assert history.problems(await cluster.read()) == []
