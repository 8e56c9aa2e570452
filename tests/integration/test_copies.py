"""`proglog copies` and `check` on agents that are killed: how many copies there are, and who holds what."""

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from proglog.testing.processes import AgentProcess

CLEAN = {key: value for key, value in os.environ.items() if not key.startswith("PROGLOG_")}


def proglog(*arguments: str, data: bytes | None = None) -> bytes:
    command = [sys.executable, "-m", "proglog", *arguments]
    return subprocess.run(command, input=data, env=CLEAN, capture_output=True, timeout=60, check=True).stdout


def copies(agent: AgentProcess) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(proglog("copies", "-o", "json", "--addr", agent.rpc_addr))
    return found


def test_a_killed_member_keeps_its_column_and_its_copies_count_no_more(
    tmp_path: Path, eventually_sync: Callable[..., None]
) -> None:
    with AgentProcess("n1", tmp_path) as n1:
        seeds = (n1.gossip_addr,)
        with AgentProcess("n2", tmp_path, seeds=seeds), AgentProcess("n3", tmp_path, seeds=seeds) as n3:
            proglog("produce", "--acks", "all", "--addr", n1.rpc_addr, data=b"value\n" * 500)
            eventually_sync(
                lambda: copies(n1)["verdict"] == "every record on 3 of 3", timeout=20, what="every record on 3 of 3"
            )
            n3.kill()
            proglog("produce", "--addr", n1.rpc_addr, data=b"later\n" * 40)
            eventually_sync(
                lambda: copies(n1)["verdict"] == "every record on 2 of 3", timeout=30, what="n3 failed, 2 of 3 left"
            )
            seen = copies(n1)
            dead = next(each for each in seen["members"] if each["name"] == "n3")
            assert dead["status"] == "failed"
            assert 0 < dead["last_report_ms"] < 60_000
            last = seen["origins"][0]["stretches"][-1]
            assert last["end_sequence"] - last["start_sequence"] == 40
            assert last["held_by"] == {"n1": "held", "n2": "held", "n3": "missing"}
            table = proglog("copies", "--addr", n1.rpc_addr).decode()
            assert table.startswith("every record on 2 of 3\n")
            assert "n3 failed, as of" in table
            assert "-40 missing" in table
