"""The README's blocks run when they are pasted as they are, in a network of their own."""

import os
import re
import subprocess
import sys
import time
from pathlib import Path

import pytest

from kit import netns
from kit.patience import patience
from proglog.testing.ports import free_port
from proglog.testing.processes import AgentProcess

ROOT = Path(__file__).resolve().parents[2]


def proglog(*arguments: str, data: str = "") -> "subprocess.CompletedProcess[str]":
    environment = {key: value for key, value in os.environ.items() if not key.startswith("PROGLOG_")}
    command = [sys.executable, "-m", "proglog", *arguments]
    return subprocess.run(command, input=data, capture_output=True, text=True, timeout=patience(30), env=environment)


NAMESPACES = pytest.mark.skipif(
    bool(netns.why_not()), reason="needs network namespaces: the ports of the pages may be taken"
)


def paste(page: str, begin: str, directory: Path, end: str = "") -> "subprocess.CompletedProcess[str]":
    """Run those blocks of a page that start with ``begin``, as one script, where the pages' ports are free."""
    blocks = re.findall(r"```sh\n(.*?)```", (ROOT / page).read_text(), re.DOTALL)
    pasted = "".join(block for block in blocks if block.startswith(begin))
    environment = {key: value for key, value in os.environ.items() if not key.startswith("PROGLOG_")}
    environment |= {"PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}", "HOME": str(directory)}
    return subprocess.run(
        ["unshare", "--net", "bash", "-mc", f"set -e\nip link set lo up\n{pasted}{end}"],
        capture_output=True,
        text=True,
        timeout=patience(60),
        cwd=directory,
        env=environment,
    )


@NAMESPACES
@pytest.mark.timeout(180)
def test_the_readme_runs_as_it_is_pasted(tmp_path: Path) -> None:
    done = paste("README.md", "proglog serve", tmp_path, "\nkill %1 %2\nwait\n")

    lines = done.stdout.splitlines()
    assert done.returncode == 0, done.stderr[-3000:]
    assert lines[1:9] == ["11", "12", "13", "14", "15", "999998", "999999", "1000000"]
    assert lines[-4:-1] == ["999998", "999999", "1000000"]
    assert lines[-1].startswith("OK ")


@NAMESPACES
@pytest.mark.timeout(240)
def test_the_tutorial_runs_as_it_is_pasted(tmp_path: Path) -> None:
    done = paste("docs/tutorial.md", "", tmp_path)

    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-3000:]
    for said in ("\n11\n12\n13\n", "\n99999\n100000\n", "\nhello from two\n", "100001 report.txt", "\none is gone\n"):
        assert said in done.stdout
    assert len(set((tmp_path / "report.txt").read_text().splitlines())) == 100_001
    assert done.stdout.count("\none is gone\n") == 2


def test_wait_returns_when_the_agent_is_ready_and_says_so(tmp_path: Path) -> None:
    with AgentProcess("one", tmp_path) as agent:
        done = proglog("wait", "--addr", agent.rpc_addr)

    assert (done.returncode, done.stdout) == (0, "")
    assert done.stderr == f"one at {agent.rpc_addr} is ready\n"


def test_wait_that_is_in_vain_ends_in_time_and_says_what_was_missing(tmp_path: Path) -> None:
    nobody = f"127.0.0.1:{free_port()}"
    started = time.monotonic()
    away = proglog("wait", "--addr", nobody, "--for", "0.5")
    with AgentProcess("one", tmp_path) as agent:
        alone = proglog("wait", "--addr", agent.rpc_addr, "--members", "2", "--for", "0.5")

    assert time.monotonic() - started < patience(20)
    assert away.returncode == alone.returncode == 4
    assert f"{nobody} is not ready: cannot reach" in away.stderr
    assert "1 of 2 members are alive" in alone.stderr


def test_a_client_verb_waits_for_an_agent_that_is_still_starting(tmp_path: Path) -> None:
    addr, gossip = f"127.0.0.1:{free_port()}", f"127.0.0.1:{free_port()}"
    agent = AgentProcess("one", tmp_path, rpc_addr=addr, gossip_addr=gossip)
    produce = [sys.executable, "-m", "proglog", "produce", "--addr", addr, "--wait", str(patience(20))]
    with subprocess.Popen(produce, stdin=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as waiting:
        with agent:
            _, said = waiting.communicate("hello\n", timeout=patience(30))

    assert waiting.returncode == 0, said
    assert said.startswith("1 record")


def test_every_verb_takes_several_addresses(tmp_path: Path) -> None:
    nobody = f"127.0.0.1:{free_port()}"
    with AgentProcess("one", tmp_path) as agent:
        both = f"{nobody},{agent.rpc_addr}"
        assert proglog("produce", "--addr", both, data="a\nb\n").returncode == 0
        assert proglog("consume", "--addr", both).stdout == "a\nb\n"
        assert "one (this)" in proglog("members", "--addr", both).stdout
        assert proglog("check", "--addr", both).returncode == 0
