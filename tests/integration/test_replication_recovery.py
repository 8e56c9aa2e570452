"""Directories that are rolled back, cloned or damaged, under real agents: what they do about it by themselves."""

import asyncio
import shutil
import time
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from kit.patience import patience
from proglog.agent.agent import Agent
from proglog.agent.config import AgentConfig
from proglog.errors import DataLossError, StorageError
from proglog.log.config import LogConfig
from proglog.log.log import Log
from proglog.log.model import Appended, LogPosition, MissingRange
from proglog.observe.copies_view import verdict
from proglog.observe.health import findings
from proglog.record import batch, columns, scan
from proglog.record.batch import verify
from proglog.types import FilePosition, Offset
from proglog.wire.model import PeerState

Eventually = Callable[..., Awaitable[None]]


@asynccontextmanager
async def an_agent(data_dir: Path, name: str, *others: Agent) -> AsyncGenerator[Agent]:
    """An agent on ``data_dir / name``, joined to ``others``."""
    agent = await Agent.start(
        AgentConfig(
            node_name=name,
            data_dir=data_dir / name,
            bind_addr="127.0.0.1:0",
            rpc_port=0,
            start_join_addrs=tuple(other.membership.addr for other in others),
            log=LogConfig(segment_bytes=16 * 1024),
        )
    )
    try:
        yield agent
    finally:
        await agent.shutdown()


async def produce(agent: Agent, *values: bytes) -> Appended:
    payload = columns.from_values(values)
    data = batch.encode(payload, count=len(values), first_timestamp_ms=1, max_timestamp_ms=1)
    return await agent.writer.append(verify(data))


async def produce_segments(agent: Agent) -> None:
    """4,000 records in several segments."""
    for number in range(0, 4000, 10):
        await produce(agent, *(b"%s-%06d" % (agent.config.node_name.encode(), number + index) for index in range(10)))
    assert agent.log.segment_count > 2


def values(agent: Agent) -> list[bytes]:
    """What can be read of the log."""
    found: list[bytes] = []
    cursor = LogPosition(agent.log.start_offset, FilePosition(0))
    while True:
        try:
            data, cursor = agent.log.read(cursor, 1 << 20)
        except DataLossError as exc:
            cursor = agent.log.seek(Offset(exc.end))
            continue
        if not data:
            return found
        found += [value for stored in scan.batches(data) for value in scan.values(stored)]


def hold_the_same(*agents: Agent) -> bool:
    first, *rest = (sorted(values(agent)) for agent in agents)
    return all(each == first for each in rest)


def events(agent: Agent) -> list[str]:
    return [event.kind for event in agent.view.snapshot(segments=False).events]


def stores(data_dir: Path) -> dict[str, list[bytes]]:
    """The batches in each store, but for the first 32 bytes of each: when and in which group it was written."""
    found = {}
    for path in sorted(data_dir.glob("*.log")):
        data = path.read_bytes()
        found[path.name] = [data[at + 32 : at + header.batch_bytes] for at, header in scan.headers(data)]
    return found


def damage(data_dir: Path, value: bytes) -> None:
    """Flip a bit of a stored record."""
    store = next(path for path in sorted(data_dir.glob("*.log")) if value in path.read_bytes())
    data = bytearray(store.read_bytes())
    data[data.index(value)] ^= 1
    store.write_bytes(data)


def streaming(agent: Agent) -> bool:
    return any(peer.state is PeerState.STREAMING for peer in agent.replicator.peers())


async def test_a_rolled_back_directory_continues_under_a_new_origin_and_gets_back_what_others_have(
    tmp_path: Path, eventually: Eventually
) -> None:
    async with an_agent(tmp_path, "b") as b:
        async with an_agent(tmp_path, "a", b) as a:
            await produce(a, b"1", b"2")
            origin = a.log.origin
        shutil.copytree(tmp_path / "a", tmp_path / "backup")
        async with an_agent(tmp_path, "a", b) as a:
            await produce(a, b"3", b"4")
            await eventually(lambda: sorted(values(b)) == [b"1", b"2", b"3", b"4"])
        shutil.rmtree(tmp_path / "a")
        shutil.move(tmp_path / "backup", tmp_path / "a")

        async with an_agent(tmp_path, "a", b) as a:
            await eventually(lambda: a.log.origin != origin, what="a new origin")
            await eventually(lambda: sorted(values(a)) == [b"1", b"2", b"3", b"4"], what="the lost tail")
            await produce(a, b"5")

            await eventually(lambda: b"5" in values(b) and hold_the_same(a, b))
            assert {"own-origin-ahead", "origin-started"} <= set(events(a))
            status = a.view.snapshot(segments=False)
            assert status.node.origin == a.log.origin
            assert "this node's origin up to" in status.node.origin_reason
            assert len(set(values(a))) == len(values(a)) == 5


async def test_one_of_two_clones_at_least_continues_under_a_new_origin(tmp_path: Path, eventually: Eventually) -> None:
    async with an_agent(tmp_path, "c") as c:
        async with an_agent(tmp_path, "a", c) as a:
            await produce(a, b"shared")
            origin = a.log.origin
            await eventually(lambda: values(c) == [b"shared"])
        shutil.copytree(tmp_path / "a", tmp_path / "b")
        async with an_agent(tmp_path, "a", c) as a, an_agent(tmp_path, "b", c) as b:
            await eventually(lambda: a.log.origin != b.log.origin, what="a new origin")
            await produce(a, b"of a")
            await produce(b, b"of b")

            everything = [b"of a", b"of b", b"shared"]
            await eventually(lambda: all(sorted(values(each)) == everything for each in (a, b, c)))
            renewed = [each for each in (a, b) if each.log.origin != origin]
            assert renewed
            assert all("origin-cloned" in events(each) and "origin-started" in events(each) for each in renewed)


async def test_two_histories_under_one_origin_stay_two_and_are_reported(tmp_path: Path, eventually: Eventually) -> None:
    """The backup wrote on before it met anybody: what it wrote then keeps its name, which is another record elsewhere."""
    async with an_agent(tmp_path, "b") as b:
        async with an_agent(tmp_path, "a") as a:
            await produce(a, b"shared")
        shutil.copytree(tmp_path / "a", tmp_path / "backup")
        async with an_agent(tmp_path, "a", b) as a:
            origin = a.log.origin
            await produce(a, b"history one")
            await eventually(lambda: values(b) == [b"shared", b"history one"])
        shutil.rmtree(tmp_path / "a")
        shutil.move(tmp_path / "backup", tmp_path / "a")
        async with an_agent(tmp_path, "a") as alone:
            await produce(alone, b"history two")

        async with an_agent(tmp_path, "a", b) as a:
            await eventually(lambda: a.log.origin != origin, what="a new origin")
            await eventually(lambda: "replication-forked" in events(a), what="the fork being told")
            await produce(a, b"after")

            await eventually(lambda: b"after" in values(b))
            assert values(a) == [b"shared", b"history two", b"after"]
            assert values(b) == [b"shared", b"history one", b"after"]


async def test_an_agent_that_is_led_back_to_itself_says_so_and_keeps_its_origin(
    tmp_path: Path, eventually: Eventually
) -> None:
    async with an_agent(tmp_path, "a") as a:
        origin = a.log.origin
        a.replicator.join("mirror", a.view.rpc_addr)

        await eventually(lambda: "leads back to this node" in a.replicator.peers()[0].error)
        assert a.log.origin == origin
        a.replicator.leave("mirror")


async def test_a_copy_of_another_history_does_not_count_for_an_ack(tmp_path: Path, eventually: Eventually) -> None:
    """``b`` holds the origin from before the roll-back, farther than ``a`` has written: that is no copy of ``a``'s."""
    async with an_agent(tmp_path, "b") as b:
        async with an_agent(tmp_path, "a") as a:
            await produce(a, b"shared")
        shutil.copytree(tmp_path / "a", tmp_path / "backup")
        async with an_agent(tmp_path, "a", b) as a:
            await produce(a, b"history one")
            await eventually(lambda: b"history one" in values(b))
        shutil.rmtree(tmp_path / "a")
        shutil.move(tmp_path / "backup", tmp_path / "a")
        async with an_agent(tmp_path, "a") as a:
            appended = await produce(a, b"history two")
            b.replicator.join("a", a.view.rpc_addr)
            await eventually(lambda: streaming(b))
            assert a.log.origin == appended.origin  # nobody that it knows of has said anything
            a.replicator.join("b", b.view.rpc_addr)
            await eventually(lambda: a.log.origin != appended.origin, what="a new origin, on what b has to show")

            assert a.server._followers.copies(appended.origin, appended.next_sequence) == 0


async def test_damage_to_a_stopped_nodes_disk_is_put_back_to_the_byte(tmp_path: Path, eventually: Eventually) -> None:
    async with an_agent(tmp_path, "a") as a:
        async with an_agent(tmp_path, "b", a) as b:
            await produce_segments(a)
            await produce_segments(b)
            await eventually(lambda: len(values(a)) == len(values(b)) == 8000, timeout=20)
        before = stores(tmp_path / "b")
        for value in (b"a-000500", b"b-000700", b"a-003000"):  # its own records, and another's
            damage(tmp_path / "b", value)

        async with an_agent(tmp_path, "b", a) as b:
            values(b)  # sealed segments are checked as they are read
            assert b.log.damaged()
            found = time.monotonic()
            await eventually(lambda: not b.log.damaged(), timeout=10, what="the repair")

            assert time.monotonic() - found < patience(5.0)
            assert len(values(b)) == 8000
            await eventually(lambda: events(b).count("range-refilled") == 3)
        assert stores(tmp_path / "b") == before


async def test_damage_that_a_read_finds_while_the_node_runs_is_put_back_to_the_byte(
    tmp_path: Path, eventually: Eventually
) -> None:
    async with an_agent(tmp_path, "a") as a:
        async with an_agent(tmp_path, "b", a) as b:
            await produce_segments(a)
            await eventually(lambda: len(values(b)) == 4000, timeout=20)
        before = stores(tmp_path / "b")
        async with an_agent(tmp_path, "b", a) as b:
            await eventually(lambda: streaming(b))
            damage(tmp_path / "b", b"a-000500")
            assert not b.log.damaged()

            assert len(values(b)) == 3990
            assert b.log.damaged()
            await eventually(lambda: not b.log.damaged(), timeout=5, what="the repair")

            assert len(values(b)) == 4000
            assert stores(tmp_path / "b") == before
            await eventually(lambda: "range-refilled" in events(b))


async def test_damage_that_nobody_can_repair_stays_a_hole_and_costs_nothing(
    tmp_path: Path, eventually: Eventually
) -> None:
    async with an_agent(tmp_path, "a") as a:
        await produce_segments(a)
    damage(tmp_path / "a", b"a-000500")
    async with an_agent(tmp_path, "b") as b, an_agent(tmp_path, "a", b) as a:
        await eventually(lambda: streaming(a))
        assert len(values(a)) == 3990

        await eventually(lambda: b.view.snapshot(segments=False).copies.lost == 10, what="b hears what a lost")
        assert verdict(a.view.snapshot(segments=False).copies).startswith("10 on none; every other record on ")
        assert any(each.rule == "copies-lost" for each in findings(b.view.snapshot(segments=False)))

        before = time.process_time()
        await asyncio.sleep(2.5)  # two looks and more
        assert time.process_time() - before < 1.0
        assert a.log.damaged()
        assert "range-refilled" not in events(a)


async def test_each_node_receives_each_record_once(tmp_path: Path, eventually: Eventually) -> None:
    async with (
        an_agent(tmp_path, "a") as a,
        an_agent(tmp_path, "b", a) as b,
        an_agent(tmp_path, "c", a) as c,
        an_agent(tmp_path, "d", a) as d,
    ):
        agents = (a, b, c, d)
        await eventually(lambda: all(len(each.replicator.peers()) == 3 and streaming(each) for each in agents))
        for number in range(50):
            for each in agents:
                await produce(each, b"%s-%d" % (each.config.node_name.encode(), number))
        await eventually(lambda: all(len(values(each)) == 200 for each in agents))

        def copied(each: Agent) -> int:
            return sum(peer.records_copied for peer in each.replicator.peers())

        await eventually(lambda: all(copied(each) == 150 for each in agents), what="each copy is counted")
        for each in agents:
            peers = each.replicator.peers()
            assert sum(peer.records_dropped for peer in peers) <= 3  # of what was asked of another before its own node


async def test_damage_that_cannot_be_looked_at_ends_no_task_and_is_put_back_when_it_can(
    tmp_path: Path, eventually: Eventually, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with an_agent(tmp_path, "a") as a:
        async with an_agent(tmp_path, "b", a) as b:
            await produce_segments(a)
            await eventually(lambda: len(values(b)) == 4000, timeout=20)
        async with an_agent(tmp_path, "b", a) as b:
            await eventually(lambda: streaming(b))

            def without_descriptors(_: Log) -> list[MissingRange]:
                raise StorageError("reading 00000000000000000000.log at byte 0: Too many open files")

            with monkeypatch.context() as patched:
                patched.setattr(Log, "missing", without_descriptors)
                damage(tmp_path / "b", b"a-000500")
                assert len(values(b)) == 3990
                await eventually(lambda: "damage-unseen" in events(b), timeout=5)
            await eventually(lambda: not b.log.damaged(), timeout=5, what="the repair")

            assert len(values(b)) == 4000
            assert events(b).count("damage-unseen") == 1
