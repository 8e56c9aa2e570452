"""`proglog backup` and `restore`: of real agents under load, interrupted, incremental, and put back into a cluster."""

import asyncio
import json
import signal
import subprocess
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

from proglog.client import connect
from proglog.log.backup import read_manifest
from proglog.testing.cluster import LocalCluster
from proglog.testing.processes import AgentProcess

Eventually = Callable[..., Awaitable[None]]
BEFORE = 12_000
"""Records of a KiB before the first copy: enough to interrupt it."""


def command(*arguments: object) -> list[str]:
    return [sys.executable, "-m", "proglog", *map(str, arguments)]


async def proglog(*arguments: object) -> Any:
    """Return what a verb writes as JSON, and check that it succeeds."""
    done = await asyncio.to_thread(
        subprocess.run, command(*arguments, "-o", "json"), capture_output=True, text=True, timeout=120, check=False
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def numbers(agent: AgentProcess) -> list[int]:
    read = subprocess.run(command("consume", "--addr", agent.rpc_addr), capture_output=True, timeout=120, check=True)
    return [int(line.split()[0]) for line in read.stdout.splitlines()]


@pytest.mark.timeout(240)
async def test_a_cluster_under_load_is_backed_up_and_comes_back_as_it_was(
    tmp_path: Path, eventually: Eventually
) -> None:
    target, store = tmp_path / "backup", tmp_path / "backup/log/00000000000000000000.log"
    with LocalCluster(tmp_path, "ab") as cluster:
        a, b = cluster["a"], cluster["b"]
        acknowledged, stop = 0, asyncio.Event()

        async def load() -> None:
            nonlocal acknowledged
            async with connect(a.rpc_addr) as client, client.producer() as producer:
                while not stop.is_set():
                    count = max(BEFORE - acknowledged, 200)
                    await producer.send_values([b"%d %s" % (acknowledged + each, b"x" * 1024) for each in range(count)])
                    await producer.flush()
                    acknowledged += count
                    await asyncio.sleep(0.05)

        loading = asyncio.create_task(load())
        await eventually(lambda: acknowledged > 0, timeout=60)
        await proglog("positions", "set", "nightly", "1234", "--yes", "--addr", a.rpc_addr)
        first = subprocess.Popen(command("backup", a.rpc_addr, target), stderr=subprocess.DEVNULL)
        await eventually(lambda: store.exists() and store.stat().st_size > 1 << 20, timeout=60)
        first.send_signal(signal.SIGKILL)
        first.wait(10)
        interrupted = read_manifest(target).finished_ms == 0
        refused = await asyncio.to_thread(
            subprocess.run, command("restore", target, tmp_path / "c"), capture_output=True, text=True
        )

        sure = acknowledged
        whole = await proglog("backup", a.rpc_addr, target)
        assert not loading.done(), loading
        stop.set()
        await loading
        await cluster.converged()
        more = await proglog("backup", b.rpc_addr, target)  # of the other agent: any will do
        before = set(numbers(b))

    assert interrupted
    assert refused.returncode == 1
    assert f"finish it with `proglog backup {a.rpc_addr} {target}`" in refused.stderr
    assert not (tmp_path / "c").exists()
    assert whole["source"] == "a"
    assert whole["verified"]
    assert whole["records"] + more["records"] <= len(before) - 900  # the first MiB was kept
    assert more["source"] == "b"
    assert more["records"] < BEFORE
    done = await proglog("restore", target, tmp_path / "c")
    assert done["missing_records"] == 0
    assert set(range(sure)) <= before
    with AgentProcess("c", tmp_path) as c:
        held = numbers(c)
        (position,) = (await proglog("positions", "--addr", c.rpc_addr))["items"]
        status = await proglog("status", "--addr", c.rpc_addr)
    assert held == sorted(held)
    assert set(held) == before
    assert done["records"] == len(held)
    assert position["name"] == "nightly"
    assert status["node"]["origin_reason"].startswith("restored from a backup of b, ")
    with LocalCluster(tmp_path, "abc") as cluster:  # and into the cluster that still has all of it
        await cluster.converged()
        assert sorted(numbers(cluster["a"])) == sorted(before)
