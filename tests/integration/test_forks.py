"""A directory restored from a backup wrote on before it met anybody: both sides say what differs, and there is a way out."""

import json
import re
import shutil
import subprocess
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path

from proglog.client import connect
from proglog.observe.health import Finding, findings
from proglog.testing.processes import AgentProcess

Eventually = Callable[..., Awaitable[None]]


def proglog(agent: AgentProcess, *words: str) -> str:
    """Run a verb against an agent; return its output."""
    command = [sys.executable, "-m", "proglog", *words, "--addr", agent.rpc_addr]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=120)
    assert done.returncode == 0, done.stderr
    return done.stdout


async def produce(agent: AgentProcess, *values: bytes, acks: int = 1) -> None:
    async with connect(agent.rpc_addr) as client, client.producer(acks=acks) as producer:
        for value in values:
            await producer.send_values([value])
            await producer.flush()


async def values(agent: AgentProcess) -> list[bytes]:
    async with connect(agent.rpc_addr) as client:
        return [value async for fetched in client.consume() for value in fetched.values()]


async def fork_of(agent: AgentProcess) -> Finding | None:
    async with connect(agent.rpc_addr) as client:
        found = findings(await client.status())
    return next((each for each in found if each.key.startswith("replication-forked/")), None)


async def forked(tmp_path: Path, b: AgentProcess) -> AgentProcess:
    """Return an agent, stopped, that has another history than ``b``: a backup that took a record on its own."""
    a = AgentProcess("a", tmp_path)
    with a:
        await produce(a, b"shared")
        a.stop()
    shutil.copytree(tmp_path / "a", tmp_path / "backup")
    with AgentProcess("a", tmp_path, seeds=(b.gossip_addr,)) as again:
        await produce(again, b"one", b"two", b"three", acks=2)
        again.stop()
    shutil.rmtree(tmp_path / "a")
    shutil.move(tmp_path / "backup", tmp_path / "a")
    with a:
        await produce(a, b"mine")
        a.stop()
    a.seeds = (b.gossip_addr,)
    return a


async def test_both_sides_count_what_only_one_has_and_each_gets_the_others_records(
    tmp_path: Path, eventually: Eventually
) -> None:
    with AgentProcess("b", tmp_path) as b:
        with await forked(tmp_path, b) as a:
            ranges = {}
            for agent, peer, here, there in ((a, b, "1 record", "3 records"), (b, a, "3 records", "1 record")):

                async def reported(agent: AgentProcess = agent) -> bool:
                    return await fork_of(agent) is not None

                await eventually(reported, what=f"the fork, at {agent.name}", timeout=30)
                fork = await fork_of(agent)
                assert fork is not None
                said = re.search(
                    rf"part at sequence (\d+): {here}, sequences \[(\d+), (\d+)\), only here; "
                    rf"{there}, sequences \[\d+, \d+\), only on {peer.name}",
                    fork.cause,
                )
                assert said is not None, fork.cause
                assert said[1] == said[2]
                (listed,) = json.loads(proglog(agent, "losses", "list", "-o", "json"))["items"]
                assert (listed["kind"], listed["peer"], listed["accepted"]) == ("fork", peer.name, False)
                ranges[agent.name] = f"{listed['origin']}:{said[2]}:{said[3]}"
            assert ranges["a"].partition(":")[0] == ranges["b"].partition(":")[0]

            for agent, count in ((a, 1), (b, 3)):
                only_here = tmp_path / f"only-{agent.name}"
                only_here.write_text(proglog(agent, "losses", "export", ranges[agent.name]))
                assert len(only_here.read_text().splitlines()) == count
                proglog(agent, "produce", "--format", "jsonl", str(only_here))
            everything = {b"shared", b"one", b"two", b"three", b"mine"}

            async def have_all() -> bool:
                return set(await values(a)) == set(await values(b)) == everything

            await eventually(have_all, what="the records of both histories, on both sides", timeout=30)

            for agent in (a, b):
                proglog(agent, "losses", "accept", listed["origin"], "--reason", "appended again")
                assert await fork_of(agent) is None
        for agent in (a, b):
            agent.kill()
            agent.start()
        try:
            for agent in (a, b):
                assert await fork_of(agent) is None
                (accepted,) = json.loads(proglog(agent, "losses", "list", "-o", "json"))["items"]
                assert accepted["accepted"]
                assert "accepted by a client without a certificate: appended again" in accepted["detail"]
        finally:
            a.kill()
