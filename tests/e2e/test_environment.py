"""Variables that libraries read, and that would end a verb in one of them."""

import os
import subprocess
import sys
from pathlib import Path

from proglog.testing.processes import AgentProcess

BAD = ("PROTOCOL_BUFFERS_PYTHON_IMPLEMENTATION", "GRPC_POLL_STRATEGY", "TEXTUAL_DRIVER")


def test_a_variable_of_a_library_that_would_end_it_is_left_out_and_said(tmp_path: Path) -> None:
    clean = {name: value for name, value in os.environ.items() if not name.startswith("PROGLOG_")}
    with AgentProcess("a", tmp_path) as agent:
        done = subprocess.run(
            [sys.executable, "-m", "proglog", "members", "--addr", agent.rpc_addr],
            env=clean | dict.fromkeys(BAD, "cpp"),
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
    assert done.returncode == 0, done.stderr
    assert [line.split("=")[0] for line in done.stderr.splitlines()] == [f"warning: {name}" for name in BAD]
