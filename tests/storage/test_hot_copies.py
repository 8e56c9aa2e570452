"""Copies of a running agent's directory, by whatever copies files: each opens, with all that was durable when it began."""

import asyncio
import os
import shutil
import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from kit.patience import patience
from proglog.client import connect
from proglog.log.config import LogConfig
from proglog.log.log import Log
from proglog.log.model import LogPosition
from proglog.record import scan
from proglog.testing.processes import AgentProcess
from proglog.types import FilePosition, NodeName
from tests.storage.kit import LONG

COPIES = 50 if LONG else 4
SEGMENT_BYTES = 1 << 20
SENT = 5_000
RATE = 50_000
"""Records a second; fewer on a busy machine."""


def value(number: int) -> bytes:
    return b"record %d " % number * 2


def by_cp(agent: AgentProcess, source: Path, target: Path) -> subprocess.CompletedProcess[str]:
    return _run("cp", "-a", f"{source}/", str(target))


def by_rsync(agent: AgentProcess, source: Path, target: Path) -> subprocess.CompletedProcess[str]:
    return _run("rsync", "-a", f"{source}/", str(target))


def by_snapshot(agent: AgentProcess, source: Path, target: Path) -> subprocess.CompletedProcess[str]:
    """All files at one moment, as a file system's snapshot has them."""
    agent.signal(signal.SIGSTOP)
    try:
        return _run("cp", "-a", f"{source}/", str(target))
    finally:
        agent.signal(signal.SIGCONT)


Tool = Callable[[AgentProcess, Path, Path], "subprocess.CompletedProcess[str]"]
TOOLS = [
    by_cp,
    pytest.param(by_rsync, marks=pytest.mark.skipif(not shutil.which("rsync"), reason="rsync is not here")),
    by_snapshot,
]


@pytest.mark.timeout(600 if LONG else 60)
@pytest.mark.parametrize("tool", TOOLS)
async def test_a_copy_of_a_running_agents_directory_has_all_that_was_durable_when_it_began(
    tool: Tool, tmp_path: Path
) -> None:
    with AgentProcess("a", tmp_path, flags={"segment-bytes": str(SEGMENT_BYTES)}) as agent:
        async with connect(agent.rpc_addr) as client, client.producer() as producer:
            busy, sent = asyncio.Event(), 0
            seconds = 0.0

            async def write() -> None:
                nonlocal sent, seconds
                while await busy.wait():
                    began = time.monotonic()
                    await producer.send_values([value(each) for each in range(sent, sent + SENT)])
                    sent += SENT
                    await asyncio.sleep(began + SENT / RATE - time.monotonic())
                    seconds += time.monotonic() - began

            writing = asyncio.create_task(write())
            begun = 0
            for number in range(COPIES):
                busy.set()  # what is copied is being written; what is compared is not
                async with asyncio.timeout(60):
                    while producer.acknowledged <= begun:  # each copy of another state
                        await asyncio.sleep(0.001)
                begun = producer.acknowledged
                copy = tmp_path / f"copy-{number}"
                # Not a subprocess of the loop: that would fork, which gRPC's threads do not survive.
                copied = await asyncio.to_thread(tool, agent, tmp_path / "a", copy)
                busy.clear()
                assert copied.returncode == 0 or _only_drafts(copied.stderr), copied.stderr
                await asyncio.to_thread(_is_whole, copy, begun)
                shutil.rmtree(copy)
            writing.cancel()
    print(f"{COPIES} copies, the last one of {begun:,} records; {sent / seconds:,.0f} records a second")
    assert sent / seconds > RATE / patience(2)


def _run(*command: str) -> "subprocess.CompletedProcess[str]":
    environment = {**os.environ, "LC_ALL": "C"}
    return subprocess.run(command, check=False, capture_output=True, text=True, env=environment)


def _only_drafts(complaints: str) -> bool:
    """Return whether all that a tool met was the draft of a small file, which is renamed while it is copied."""
    lines = complaints.splitlines()
    return bool(lines) and all(".tmp" in line or line.startswith("rsync warning:") for line in lines)


def _is_whole(copy: Path, acknowledged: int) -> None:
    for _ in range(2):
        log = Log.open(copy, LogConfig(segment_bytes=SEGMENT_BYTES), node_name=NodeName("copy"))
        at, number = LogPosition(log.start_offset, FilePosition(0)), 0
        while number < acknowledged:
            read = log.read(at, 1 << 20)
            assert read.data, f"{number} of {acknowledged} records"
            for batch in scan.batches(read.data):
                values = list(scan.values(batch))
                assert values == [value(each) for each in range(number, number + len(values))]
                number += len(values)
            at = read.next
        assert [each for each in log.damaged() if each.start < acknowledged] == []
        log.close()
