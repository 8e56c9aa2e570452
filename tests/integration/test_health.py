"""Where something is wrong with a real agent, `check` and the health service say so; where nothing is, they do not."""

import asyncio
import os
import shutil
import subprocess
import sys
import threading
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any

import grpc.aio
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc

from kit.patience import patience
from proglog.agent import membership, repair, replicator, transport
from proglog.agent.agent import Agent
from proglog.agent.config import AgentConfig
from proglog.agent.membership import Membership
from proglog.agent.membership_config import MembershipConfig
from proglog.client import OffsetSpec, connect
from proglog.gossip import name_vote
from proglog.log.config import LogConfig
from proglog.log.model import Appended
from proglog.observe import cluster_rules, health, node_rules
from proglog.observe.health import Finding, Severity
from proglog.record import batch, columns
from proglog.record.batch import verify
from proglog.server.replication_service import ReplicationService
from proglog.testing.processes import AgentProcess
from proglog.types import NodeName
from proglog.wire.model import ClusterSnapshot

Eventually = Callable[..., Awaitable[None]]
CLEAN = {key: value for key, value in os.environ.items() if not key.startswith("PROGLOG_")}
SERVING, NOT_SERVING = health_pb2.HealthCheckResponse.SERVING, health_pb2.HealthCheckResponse.NOT_SERVING


@asynccontextmanager
async def an_agent(data_dir: Path, name: str, *seeds: str, log: LogConfig | None = None) -> AsyncGenerator[Agent]:
    agent = await Agent.start(
        AgentConfig(
            node_name=NodeName(name),
            data_dir=data_dir / name,
            bind_addr="127.0.0.1:0",
            rpc_port=0,
            start_join_addrs=seeds,
            log=log or LogConfig(segment_bytes=16 * 1024),
        )
    )
    try:
        yield agent
    finally:
        await agent.shutdown()


async def produce(agent: Agent, *values: bytes) -> Appended:
    data = batch.encode(columns.from_values(values), count=len(values), first_timestamp_ms=1, max_timestamp_ms=1)
    return await agent.writer.append(verify(data))


def found(agent: Agent) -> dict[str, Finding]:
    """What needs attention by rule, free space aside: that is this machine's."""
    every = health.findings(agent.view.snapshot(segments=False))
    return {each.rule: each for each in every if each.rule != "disk-free"}


async def said(agent: Agent) -> int:
    """What the health service answers."""
    async with grpc.aio.insecure_channel(agent.view.rpc_addr) as channel:
        answer = await health_pb2_grpc.HealthStub(channel).Check(health_pb2.HealthCheckRequest())
    return int(answer.status)


def check(addr: str) -> tuple[int, str]:
    command = [sys.executable, "-m", "proglog", "check", "--addr", addr, "--disk-free", "0", "--explain"]
    done = subprocess.run(command, env=CLEAN, capture_output=True, text=True, timeout=30)
    assert done.stderr == ""
    return done.returncode, done.stdout


def test_a_cluster_that_is_well_raises_nothing(tmp_path: Path, eventually_sync: Callable[..., None]) -> None:
    with AgentProcess("a", tmp_path) as a, AgentProcess("b", tmp_path, seeds=(a.gossip_addr,)) as b:
        assert "health=" not in a.ready_line + b.ready_line
        for agent in (a, b):
            eventually_sync(lambda agent=agent: "2 of 2 members alive" in check(agent.rpc_addr)[1], timeout=20)
            code, told = check(agent.rpc_addr)
            assert (code, told.count("\n")) == (0, 1)
            assert told.startswith(f"OK {agent.name}: nothing needs attention; 2 of 2 members alive, in step")


def test_an_agent_whose_seed_is_dead_says_so_when_it_is_ready_and_in_check(
    tmp_path: Path, free_port: Callable[[], int]
) -> None:
    seed = f"127.0.0.1:{free_port()}"
    with AgentProcess("a", tmp_path, seeds=(seed,)) as agent:
        assert f"health=WARNING: is isolated: no answer from {seed}" in agent.ready_line
        code, told = check(agent.rpc_addr)
    assert code == 1
    assert f"warning: a is isolated: no answer from {seed}" in told


def test_the_second_agent_of_a_name_ends_and_then_nothing_is_wrong_any_more(
    tmp_path: Path, eventually_sync: Callable[..., None]
) -> None:
    (tmp_path / "second").mkdir()
    second = AgentProcess("b", tmp_path / "second")
    with AgentProcess("a", tmp_path) as a, AgentProcess("b", tmp_path, seeds=(a.gossip_addr,)) as b:
        second.seeds = (a.gossip_addr,)
        with pytest.raises(AssertionError, match="is not ready"):
            second.start()
        told = second.telemetry.read_text()
        assert f"error: another node has the name 'b', at {b.gossip_addr}, and the cluster's vote went to it" in told
        assert f"what it acknowledged is in {tmp_path / 'second' / 'b'} and is copied from there" in told
        assert "member_name_conflict" in a.telemetry.read_text() + b.telemetry.read_text()
        for agent in (a, b):  # what has ended is over at once, though nobody says so
            eventually_sync(lambda agent=agent: check(agent.rpc_addr)[0] == 0, timeout=20)
        assert "2 of 2 members alive" in check(a.rpc_addr)[1]


async def test_until_the_vote_is_over_a_node_acknowledges_nothing_and_is_not_serving(
    tmp_path: Path, eventually: Eventually, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(name_vote.NameVote, "_judge_contest", lambda *_: None)  # the votes never come
    async with an_agent(tmp_path, "a") as a, an_agent(tmp_path, "b", a.membership.addr) as b:
        await produce(b, b"before")
        async with an_agent(tmp_path / "second", "b", a.membership.addr) as second:
            for each in (b, second):
                await eventually(lambda each=each: answers(each, NOT_SERVING))
                assert found(each)["membership"].unready
                assert (
                    "acknowledges nothing until it knows whether its name is its own" in found(each)["membership"].cause
                )
                with pytest.raises(TimeoutError):
                    async with asyncio.timeout(0.5):
                        await produce(each, b"meanwhile")
            assert await said(a) == SERVING
            assert found(a)["membership"].severity is Severity.CRITICAL
            assert found(a)["membership"].cause.startswith("knows two members named b")
        await eventually(lambda: "membership" not in found(a))


async def test_a_peer_that_does_not_copy_is_a_finding_where_it_should_copy_from(
    tmp_path: Path, eventually: Eventually, free_port: Callable[[], int], monkeypatch: pytest.MonkeyPatch
) -> None:
    class Nobody:
        def join(self, name: str, addr: str) -> None: ...

        def leave(self, name: str) -> None: ...

    monkeypatch.setattr(cluster_rules, "UNCOPIED_MS", 200)
    async with an_agent(tmp_path, "a") as a:
        await produce(a, b"one", b"two")
        tags = {"rpc_addr": f"127.0.0.1:{free_port()}"}
        config = MembershipConfig(
            node_name="b", bind_addr="127.0.0.1:0", tags=tags, start_join_addrs=(a.membership.addr,)
        )
        deaf = Membership(config, Nobody())
        await deaf.start()
        try:
            await eventually(lambda: "not-copied" in found(a))
            finding = found(a)["not-copied"]
            assert (finding.subject, finding.severity) == ("b", Severity.WARNING)
            assert finding.at_risk.endswith("of a's own that it lacks.")
            monkeypatch.setattr(cluster_rules, "UNCOPIED_CRITICAL_MS", 200)
            await eventually(lambda: found(a)["not-copied"].severity is Severity.CRITICAL)
        finally:
            await deaf.close()


async def test_a_follower_that_copies_is_none(
    tmp_path: Path, eventually: Eventually, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cluster_rules, "UNCOPIED_MS", 0)
    async with an_agent(tmp_path, "a") as a, an_agent(tmp_path, "b", a.membership.addr) as b:
        await produce(a, b"one")

        def copied(snapshot: ClusterSnapshot) -> bool:
            return [(each.connected, each.lag_records) for each in snapshot.followers] == [(True, 0)]

        for agent in (a, b):
            await eventually(lambda agent=agent: copied(agent.view.snapshot(segments=False)))
            assert found(agent) == {}
            assert await said(agent) == SERVING


async def test_a_fork_is_critical_on_the_node_that_has_met_it(tmp_path: Path, eventually: Eventually) -> None:
    async with an_agent(tmp_path, "b") as b:
        async with an_agent(tmp_path, "a") as a:
            await produce(a, b"shared")
        shutil.copytree(tmp_path / "a", tmp_path / "backup")
        async with an_agent(tmp_path, "a", b.membership.addr) as a:
            origin = a.log.origin
            copied = await produce(a, b"history one")
            await eventually(lambda: b.log.end_offset >= copied.end_offset)
        shutil.rmtree(tmp_path / "a")
        shutil.move(tmp_path / "backup", tmp_path / "a")
        async with an_agent(tmp_path, "a") as alone:
            await produce(alone, b"history two")

        async with an_agent(tmp_path, "a", b.membership.addr) as a:
            await eventually(lambda: a.log.origin != origin, what="a new origin")
            await eventually(lambda: "replication-forked" in found(a))
            fork = found(a)["replication-forked"]
            assert (fork.severity, fork.subject) == (Severity.CRITICAL, "b")
            assert fork.at_risk
            await eventually(  # it trails for a moment more: of the new origin
                lambda: health.copy_words(a.view.snapshot(segments=False), [fork]) == "not a whole copy"
            )
            code, told = await asyncio.to_thread(check, a.view.rpc_addr)
            assert (code, "in step" in told) == (2, False)


async def test_what_retention_removed_is_information_and_comes_with_the_member_that_keeps_it(
    tmp_path: Path, eventually: Eventually
) -> None:
    async with an_agent(tmp_path, "a") as a, an_agent(tmp_path, "keeper", a.membership.addr) as keeper:
        for number in range(300):
            await produce(a, *(b"%06d" % (10 * number + index) for index in range(10)))
        await eventually(lambda: keeper.log.end_offset >= a.log.end_offset)
    trimmed = LogConfig(segment_bytes=16 * 1024, retention_bytes=32 * 1024)
    async with an_agent(tmp_path, "a", log=trimmed) as a:
        await eventually(lambda: a.log.start_offset > 0, what="retention")
        async with an_agent(tmp_path, "b", a.membership.addr) as b:
            await eventually(lambda: copied(b, a), what="the rest")
            assert found(b)["replication-trimmed"].severity is Severity.INFO
            assert "log-damaged" not in found(b)
            (gap,) = b.log.gaps()
            assert (gap.start, copied(b, a)) == (1, True)
        async with an_agent(tmp_path, "b", a.membership.addr) as b:
            assert b.log.gaps() == [gap], "a restart does not forget it"
            async with an_agent(tmp_path, "keeper", a.membership.addr) as keeper:
                await eventually(lambda: not b.log.gaps() and copied(b, a), what="what only the keeper had")
                assert await values_of(b) == await values_of(keeper)


def copied(b: Agent, a: Agent) -> bool:
    held, there = b.log.progress(a.log.origin), a.log.progress(a.log.origin)
    return held is not None and there is not None and held.next_sequence == there.next_sequence


async def values_of(agent: Agent) -> set[bytes]:
    async with connect(agent.view.rpc_addr) as client:
        return {value async for batch in client.consume(OffsetSpec.after_start(0)) for value in batch.values()}


@contextmanager
def frozen(agent: Agent, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A disk that takes no append for as long as this lasts."""
    thawed, append = threading.Event(), agent.log.append

    def wait(*arguments: object) -> object:
        thawed.wait(30)
        return append(*arguments)  # type: ignore[arg-type]

    with monkeypatch.context() as patch:
        patch.setattr(agent.log, "append", wait)
        try:
            yield
        finally:
            thawed.set()


async def test_a_disk_that_does_not_answer_is_a_finding_and_the_node_is_not_serving(
    tmp_path: Path, eventually: Eventually, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(node_rules, "STUCK_MS", 50)
    async with an_agent(tmp_path, "a") as a:
        assert (found(a), await said(a)) == ({}, SERVING)
        with frozen(a, monkeypatch):
            waiting = asyncio.ensure_future(produce(a, b"one"))
            await eventually(lambda: "stuck" in found(a))
            assert found(a)["stuck"].severity is Severity.WARNING
            assert found(a)["stuck"].cause.startswith("waits for its disk: append, for ")
            assert await said(a) == SERVING
            monkeypatch.setattr(node_rules, "STUCK_CRITICAL_MS", 60)
            await eventually(lambda: answers(a, NOT_SERVING))
        await waiting
        monkeypatch.setattr(node_rules, "STUCK_MS", 1000)
        await eventually(lambda: answers(a, SERVING))
        assert found(a) == {}


async def test_who_watches_hears_of_a_disk_that_does_not_answer_though_nothing_happens(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(node_rules, "STUCK_MS", 200)
    async with an_agent(tmp_path, "a") as a:
        await produce(a, b"zero")
        with frozen(a, monkeypatch):
            waiting = asyncio.ensure_future(produce(a, b"one"))
            async with asyncio.timeout(patience(10)), connect(a.view.rpc_addr) as client:
                async for snapshot in client.watch():
                    if "stuck" in {each.rule for each in health.findings(snapshot)}:
                        break
        await waiting


@contextmanager
def unreadable(agent: Agent, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[], None]]:
    """A disk that gives nothing for as long as this lasts, or until what it yields is called."""
    thawed, read = threading.Event(), agent.log.read

    def wait(*arguments: object) -> object:
        thawed.wait(30)
        return read(*arguments)  # type: ignore[arg-type]

    with monkeypatch.context() as patch:
        patch.setattr(agent.log, "read_cached", lambda *_: None)
        patch.setattr(agent.log, "read", wait)
        try:
            yield thawed.set
        finally:
            thawed.set()


async def test_a_pull_that_brings_nothing_is_a_finding_where_it_waits_and_where_it_hangs(
    tmp_path: Path, eventually: Eventually, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(node_rules, "STUCK_MS", 50)
    monkeypatch.setattr(replicator, "PULL_BOUND", 0.05)
    async with an_agent(tmp_path, "a") as a:
        await produce(a, b"zero")
        with unreadable(a, monkeypatch) as thaw:
            async with an_agent(tmp_path, "b", a.membership.addr) as b:
                await eventually(lambda: "stuck" in found(b) and "pull" in found(b)["stuck"].cause)
                assert found(b)["stuck"].cause.startswith("waits for a: pull, for ")
                await eventually(lambda: "stuck" in found(a))
                assert found(a)["stuck"].cause.startswith("waits for its disk: read, for ")
                monkeypatch.setattr(node_rules, "STUCK_CRITICAL_MS", 60)
                await eventually(lambda: answers(a, NOT_SERVING))
                assert found(b)["stuck"].severity is Severity.CRITICAL
                assert await said(b) == SERVING, "one that hangs makes no other one unready"
                thaw()
                await eventually(lambda: "stuck" not in found(b) and b.writer.end_offset == 1)


async def test_a_repair_that_brings_nothing_is_a_finding(
    tmp_path: Path, eventually: Eventually, monkeypatch: pytest.MonkeyPatch
) -> None:
    thawed, serve = asyncio.Event(), ReplicationService.ReadRange

    async def wait(*arguments: Any) -> AsyncGenerator[Any]:
        await thawed.wait()
        async for part in serve(*arguments):
            yield part

    monkeypatch.setattr(ReplicationService, "ReadRange", wait)
    async with an_agent(tmp_path, "b") as b:
        async with an_agent(tmp_path, "a", b.membership.addr) as a:
            for _ in range(4):
                await produce(a, *[bytes(8_000)] * 3)
            await eventually(lambda: b.writer.end_offset == a.writer.end_offset)
        damage(a.config.data_dir)
        async with an_agent(tmp_path, "a", b.membership.addr) as a:
            monkeypatch.setattr(node_rules, "STUCK_MS", 50)
            monkeypatch.setattr(repair, "ANSWER_TIMEOUT", 60.0)
            monkeypatch.setattr(repair, "REPAIR_BOUND", 0.05)
            await eventually(lambda: "stuck" in found(a))
            assert found(a)["stuck"].cause.startswith("waits for b: repair, for ")
            thawed.set()
            await eventually(lambda: not {"stuck", "log-damaged"} & found(a).keys())


def damage(data_dir: Path) -> None:
    """Flip a bit in the middle of the first store, and have all of it read again at the next start."""
    first = min(data_dir.glob("*.log"))
    data = bytearray(first.read_bytes())
    data[len(data) // 2] ^= 0xFF
    first.write_bytes(data)
    for hint in (data_dir / "durable", *data_dir.glob("*.index")):
        hint.unlink(missing_ok=True)


async def test_a_full_exchange_that_hangs_is_a_finding(
    tmp_path: Path, eventually: Eventually, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with an_agent(tmp_path, "a") as a, an_agent(tmp_path, "b", a.membership.addr) as b:
        await eventually(lambda: len(a.membership.members()) == len(b.membership.members()) == 2)
        monkeypatch.setattr(transport.Transport, "_serve_one", lambda *_: asyncio.sleep(30))
        monkeypatch.setattr(node_rules, "STUCK_MS", 50)
        monkeypatch.setattr(membership, "EXCHANGE_SHARE", 0.01)
        a.membership.act(lambda serf, _: serf._swim.exchange._tick())
        await eventually(lambda: "stuck" in found(a))
        assert found(a)["stuck"].cause.startswith("waits for b: full exchange, for ")


async def answers(agent: Agent, status: int) -> bool:
    return await said(agent) == status
