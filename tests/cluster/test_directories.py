"""Data directories that are lost, put back, copied, or outlived: identity is the directory's history, not its name."""

import asyncio
import shutil

from kit.cluster import Cluster, Node
from kit.load import History, Load
from proglog.cli.exit_codes import ExitCode
from proglog.observe import health

CONVERGED_WITHIN = 10.0


def origins_of(snapshot) -> dict[bytes, int]:
    return {origin.origin: origin.next_sequence for origin in snapshot.origins}


async def write(cluster: Cluster, names: str, history: History, records: int = 300) -> None:
    """Have each of these nodes acknowledge so many records."""
    async with Load([cluster[name] for name in names], history) as load:
        await load.acknowledged(records)


async def test_a_wiped_disk_comes_back_under_its_name_with_everything_and_a_new_origin(
    open_cluster, record_property
) -> None:
    history = History()
    async with open_cluster("abc") as cluster:
        await write(cluster, "abc", history)
        await cluster.converged(within=CONVERGED_WITHIN)
        before = await cluster["a"].status()
        cluster["a"].agent.kill()
        shutil.rmtree(cluster["a"].data_dir)
        cluster["a"].log = "a, wiped"
        async with Load([cluster["b"]], history):
            await cluster["a"].start()
            await write(cluster, "a", history)

        record_property("converged_s", await cluster.converged(within=CONVERGED_WITHIN))

        after = await cluster["a"].status()
        assert history.problems(await cluster.read()) == []
        assert after.node.origin != before.node.origin
        assert origins_of(after)[before.node.origin] == origins_of(before)[before.node.origin]


async def test_a_directory_put_back_continues_under_a_new_origin_and_gets_its_own_records_back(
    open_cluster, record_property
) -> None:
    """The copy was made while the agent was down; what came after it is known to the others only.

    Clients write to the others all the time, and to it once it has met them: what is written to it before that is another
    history of the same origin, as below.
    """
    history = History()
    async with open_cluster("abc") as cluster:
        a = cluster["a"]
        await write(cluster, "a", history)
        a.agent.kill()
        shutil.copytree(a.data_dir, a.agent.directory / "backup")
        await a.start()
        await write(cluster, "abc", history)
        await cluster.converged(within=CONVERGED_WITHIN)
        before = await a.status()
        a.agent.kill()
        shutil.rmtree(a.data_dir)
        a.log = "a, rolled back"
        (a.agent.directory / "backup").rename(a.data_dir)

        async with Load([cluster["b"], cluster["c"]], history):
            await a.start()
            await cluster.until(lambda: went_on_as_another(a, before.node.origin), within=10, what="a new origin")
            await write(cluster, "a", history)

        record_property("converged_s", await cluster.converged(within=CONVERGED_WITHIN))
        assert history.problems(await cluster.read()) == []
        assert "origin_started" in a.agent.telemetry.read_text()


async def went_on_as_another(node: Node, origin: bytes) -> bool:
    return (await node.status()).node.origin != origin


async def test_a_directory_cloned_to_a_second_host_becomes_two_origins(open_cluster, record_property) -> None:
    history = History()
    async with open_cluster("ab") as cluster:
        a = cluster["a"]
        await write(cluster, "a", history)
        a.agent.stop()
        clone = await cluster.add("c")
        shutil.copytree(a.data_dir, clone.data_dir)
        origin = origins_of(await cluster["b"].status())
        await asyncio.gather(a.start(), clone.start())
        async with Load([cluster["b"]], history):
            await cluster.until(lambda: differ(a, clone), within=10, what="two origins")
            await write(cluster, "ac", history)

        record_property("converged_s", await cluster.converged(within=CONVERGED_WITHIN))
        assert history.problems(await cluster.read()) == []
        assert len(origins_of(await cluster["b"].status())) > len(origin)


async def differ(left: Node, right: Node) -> bool:
    return (await left.status()).node.origin != (await right.status()).node.origin


async def test_histories_that_parted_while_cut_off_are_reported_and_never_mixed(open_cluster) -> None:
    """``a`` is put back and written to before anybody can contradict it: its old origin has two histories from then on.

    Nobody can say which is the true one: each side keeps its own, says so, and everything later continues.
    """
    before, after = History(), History()
    async with open_cluster("abc") as cluster:
        a = cluster["a"]
        await write(cluster, "a", before, 200)
        a.agent.kill()
        shutil.copytree(a.data_dir, a.agent.directory / "backup")
        await a.start()
        await write(cluster, "a", before, 200)
        await cluster.converged(within=CONVERGED_WITHIN)
        lost = (await a.status()).node.origin
        a.agent.kill()
        shutil.rmtree(a.data_dir)
        (a.agent.directory / "backup").rename(a.data_dir)
        cluster.partition("a", "bc")
        await a.start()
        await write(cluster, "a", parted := History())

        cluster.switch.heal()
        await cluster.until(lambda: went_on_as_another(a, lost), within=CONVERGED_WITHIN, what="a new origin")
        await write(cluster, "abc", after)

        async def have_all_that_is_new() -> bool:
            positions = [origins_of(status) for status in await cluster.statuses()]
            return all({**each, lost: 0} == {**positions[0], lost: 0} for each in positions)

        await cluster.until(have_all_that_is_new, within=CONVERGED_WITHIN, what="everything written since")
        for reading in await cluster.read():
            held = {seen.payload for seen in reading.seen}
            assert after.acknowledged <= held
            assert (parted.acknowledged if reading.log == "a" else before.acknowledged) <= held
            assert len(held) == len(reading.seen)
            assert held <= {attempt.payload for each in (before, parted, after) for attempt in each.attempts}
        assert "replication_forked" in a.agent.telemetry.read_text()


async def test_a_second_node_under_a_taken_name_loses_the_vote_and_brings_its_records_under_its_own(
    open_cluster, record_property
) -> None:
    """It was written to before it met the others: what it acknowledged is on its disk, and reaches them in the end."""
    history = History()
    async with open_cluster("abc") as cluster:
        await write(cluster, "abc", history)
        double = await cluster.add("d", node_name="a")
        cluster.partition("d", "abc")
        await double.start()
        await write(cluster, "d", history)
        cluster.switch.heal()

        async with Load([double, cluster["b"]], history):
            process = double.agent.process
            assert process is not None
            assert await asyncio.to_thread(process.wait, 20) == ExitCode.NAME_TAKEN
        double.agent.kill()
        telemetry = double.agent.telemetry.read_text()
        assert "name_lost" in telemetry
        assert (
            f"Start it again under a name of its own (--node-name): what it acknowledged is in {double.data_dir}"
            in telemetry
        )

        assert "name_held" in cluster["a"].agent.telemetry.read_text()

        async def is_over() -> bool:
            return not any(each.rule == "membership" for each in health.findings(await cluster["a"].status()))

        await cluster.until(is_over, within=10, what="that a conflict ends with the one who claimed the name")
        assert all(each.status == "alive" for each in (await cluster["b"].status()).members)
        double.rename("d")
        await double.start()

        record_property("converged_s", await cluster.converged(within=CONVERGED_WITHIN))
        assert history.problems(await cluster.read()) == []


async def test_a_dead_nodes_records_reach_a_late_joiner_through_a_third_only(open_cluster, record_property) -> None:
    history = History()
    async with open_cluster("abc", start="ab") as cluster:
        cluster.partition("a", "c")
        await write(cluster, "a", history)
        await cluster.converged(within=CONVERGED_WITHIN)
        cluster["a"].agent.kill()

        await cluster["c"].start()

        record_property("converged_s", await cluster.converged(within=CONVERGED_WITHIN))
        assert history.problems(await cluster.read()) == []
        assert len(history.acknowledged) == len((await cluster["c"].read()).seen)


async def test_retention_that_outran_a_follower_leaves_an_explicit_gap(open_cluster, record_property) -> None:
    """``b`` sleeps while ``a`` writes more than it keeps: what nobody has any more is counted, never passed over."""
    history = History()
    flags = {"segment_bytes": str(64 * 1024), "retention_bytes": str(256 * 1024)}
    async with open_cluster("ab", **flags) as cluster:
        a, b = cluster["a"], cluster["b"]
        await write(cluster, "a", history, 200)
        await cluster.converged(within=CONVERGED_WITHIN)
        b.agent.kill()
        async with a.client() as client, client.producer(batch_bytes=16 * 1024) as producer:
            await producer.send_values([bytes(1024)] * 4096)

        async def outran() -> bool:
            status = await a.status()
            return any(each.local and each.floor_sequence > 2000 for each in status.origins)

        await cluster.until(outran, within=30, what="retention")

        await b.start()
        record_property(
            "gap_s", await cluster.converged(within=45)
        )  # a gap is written when everybody has refused for half a minute

        local = next(each for each in (await a.status()).origins if each.local)
        copied = next(each for each in (await b.status()).origins if each.origin == local.origin)
        assert copied.next_sequence == local.next_sequence
        assert "replication_trimmed" in b.agent.telemetry.read_text()
        events = [event for event in (await b.status()).events if event.kind == "replication-trimmed"]
        assert events, "nothing was said of what was passed over"
