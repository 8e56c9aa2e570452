"""`proglog drain`: an agent takes no more records, leaves once the others hold all that it has, and nothing is lost."""

import asyncio
import subprocess
import sys
from pathlib import Path

from proglog.cli.app import invoke
from proglog.client import connect
from proglog.testing.cluster import LocalCluster
from proglog.testing.processes import AgentProcess

COUNT = 3_000


def proglog(*arguments: str, data: bytes = b"") -> subprocess.CompletedProcess[bytes]:
    return subprocess.run([sys.executable, "-m", "proglog", *arguments], input=data, capture_output=True, timeout=60)


async def test_a_drained_agent_leaves_its_records_on_the_others_and_takes_no_more(tmp_path: Path) -> None:
    with LocalCluster(tmp_path, "ab") as cluster:
        a, b = cluster["a"], cluster["b"]
        async with connect([a.rpc_addr, b.rpc_addr]) as client, client.producer() as producer:
            for number in range(COUNT):
                await producer.send_values([b"%d" % number])
            stayed = await asyncio.to_thread(proglog, "drain", "--addr", a.rpc_addr, "--stay")
            assert stayed.returncode == 0, stayed.stderr
            assert (await client.status()).node.membership_problems[0].key == "draining"
            refused = await asyncio.to_thread(proglog, "produce", "--addr", a.rpc_addr, "--timeout", "1", data=b"no")
            await producer.send_values([b"%d" % COUNT])  # continues at the other one
            await producer.flush()
        left = proglog("drain", "--addr", a.rpc_addr)
        assert left.returncode == 0, left.stderr
        assert a.process is not None
        assert a.process.wait(30) == 0
        held = proglog("consume", "--addr", b.rpc_addr).stdout.split()

    assert refused.returncode != 0
    assert b"being drained" in refused.stderr
    assert sorted(map(int, held)) == list(range(COUNT + 1))


def test_the_only_member_is_not_drained_and_takes_records_again(tmp_path: Path) -> None:
    with AgentProcess("a", tmp_path) as agent:
        assert proglog("produce", "--addr", agent.rpc_addr, data=b"one").returncode == 0
        waited = proglog("drain", "--addr", agent.rpc_addr, "--for", "1")
        ready = proglog("check", "--addr", agent.rpc_addr)
        assert invoke(["drain", "--addr", agent.rpc_addr, "--resume"]) == 0
        again = proglog("produce", "--addr", agent.rpc_addr, data=b"two")

    assert waited.returncode == 4
    assert b"1 record of 1 origins that no other living member holds" in waited.stderr
    assert b"drain --resume" in waited.stderr
    assert b"takes no records" in ready.stdout
    assert again.returncode == 0
