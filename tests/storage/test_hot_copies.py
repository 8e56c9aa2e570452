"""Copies of a running agent's directory, by whatever copies files: each opens, with all that was durable when it began."""

import asyncio
import os
import shutil
import subprocess
from pathlib import Path

import pytest

from proglog.client import connect
from proglog.log.config import LogConfig
from proglog.log.log import Log
from proglog.testing.processes import AgentProcess
from proglog.types import NodeName
from tests.storage.kit import LONG, reading_of

COPIES = 50 if LONG else 8
SEGMENT_BYTES = 1 << 20
TOOLS = [
    pytest.param(("cp", "-a"), id="cp"),
    pytest.param(
        ("rsync", "-a"), id="rsync", marks=pytest.mark.skipif(not shutil.which("rsync"), reason="rsync is not here")
    ),
]


def value(number: int) -> bytes:
    return b"record %d " % number * 4


@pytest.mark.parametrize("tool", TOOLS)
async def test_a_copy_of_a_running_agents_directory_has_all_that_was_durable_when_it_began(
    tool: tuple[str, ...], tmp_path: Path
) -> None:
    flags = {"segment-bytes": str(SEGMENT_BYTES)}
    with AgentProcess("a", tmp_path, flags=flags) as agent:
        async with connect(agent.rpc_addr) as client, client.producer(linger=0.0) as producer:
            done = asyncio.Event()

            async def write() -> None:
                number = 0
                while not done.is_set():
                    await producer.send_values([value(each) for each in range(number, number + 500)])
                    number += 500

            writing = asyncio.create_task(write())
            begun = 0
            for number in range(COPIES):
                async with asyncio.timeout(60):
                    while producer.acknowledged < begun + 1000:  # each copy of another state
                        await asyncio.sleep(0.005)
                begun = producer.acknowledged
                copy = tmp_path / f"copy-{number}"
                command = [*tool, f"{tmp_path / 'a'}/", str(copy)]
                # Not a subprocess of the loop: that would fork, which gRPC's threads do not survive.
                copied = await asyncio.to_thread(
                    subprocess.run,
                    command,
                    check=False,
                    capture_output=True,
                    text=True,
                    env={**os.environ, "LC_ALL": "C"},
                )
                assert copied.returncode == 0 or _only_drafts(copied.stderr), copied.stderr
                await asyncio.to_thread(_is_whole, copy, begun)
                shutil.rmtree(copy)
            done.set()
            await writing
    print(f"{COPIES} copies, the last one of {begun:,} records")


def _only_drafts(complaints: str) -> bool:
    """Return whether all that a tool met was the draft of a small file, which is renamed while it is copied."""
    lines = complaints.splitlines()
    return bool(lines) and all(".tmp" in line or line.startswith("rsync warning:") for line in lines)


def _is_whole(copy: Path, acknowledged: int) -> None:
    for life in range(2):
        log = Log.open(copy, LogConfig(segment_bytes=SEGMENT_BYTES), node_name=NodeName("copy"))
        reading = reading_of(log, 1 << 20)
        records = [seen.payload for seen in reading.seen if seen.offset < acknowledged]
        assert records == [value(number) for number in range(acknowledged)], f"life {life}"
        beyond = [each for each in log.damaged() if each.start < acknowledged]
        assert beyond == [], f"life {life}"
        log.close()
