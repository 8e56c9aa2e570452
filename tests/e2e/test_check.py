"""`proglog check` against a real agent: what cron sees is the exit code."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator

import pytest

from proglog.testing.processes import AgentProcess

CLEAN = {key: value for key, value in os.environ.items() if not key.startswith("PROGLOG_")}


@pytest.fixture(scope="module")
def agent(tmp_path_factory: pytest.TempPathFactory) -> Iterator[AgentProcess]:
    started = AgentProcess("a", tmp_path_factory.mktemp("check"))
    started.start()
    yield started
    started.kill()


def check(*arguments: str) -> "subprocess.CompletedProcess[str]":
    command = [sys.executable, "-m", "proglog", "check", *arguments]
    return subprocess.run(command, env=CLEAN, capture_output=True, text=True, timeout=30)


def test_an_agent_that_is_well_is_zero(agent: AgentProcess) -> None:
    done = check("--addr", agent.rpc_addr, "--each", "--disk-free", "0")
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith("OK a: nothing needs attention; 1 of 1 members alive, in step")


@pytest.mark.parametrize(("threshold", "code", "status"), [("100:0", 1, "warning"), ("100:100", 2, "critical")])
def test_a_disk_below_its_threshold_is_one_or_two(agent: AgentProcess, threshold: str, code: int, status: str) -> None:
    done = check("--addr", agent.rpc_addr, "--disk-free", threshold, "-o", "json")
    told = json.loads(done.stdout)
    assert (done.returncode, told["status"], told["findings"][0]["rule"]) == (code, status, "disk-free")


def test_too_few_members_are_two_and_the_reason_is_explained(agent: AgentProcess) -> None:
    done = check("--addr", agent.rpc_addr, "--members", "3", "--explain", "--disk-free", "0")
    assert done.returncode == 2
    assert "critical: a sees 1 members alive; expected 3" in done.stdout
    assert f"next: proglog members --addr {agent.rpc_addr}" in done.stdout


def test_nobody_there_is_three_in_every_format() -> None:
    for format_ in ("table", "json", "jsonl", "plain", "nagios", "prometheus"):
        done = check("--addr", "127.0.0.1:1", "--timeout", "2", "-o", format_)
        assert done.returncode == 3, done.stderr
        assert done.stdout


@pytest.mark.parametrize(
    ("line", "told"),
    [
        (("--lag-records", "many"), "--lag-records 'many'"),
        (("--bogus",), "check has no such option as --bogus"),
        (("-o", "xml"), "-o xml: expected table, json"),
        (("127.0.0.1:1",), "unexpected extra argument"),
    ],
)
def test_a_line_that_makes_no_sense_is_three_not_the_two_of_a_critical_cluster(
    line: tuple[str, ...], told: str
) -> None:
    refused = check(*line)
    assert (refused.returncode, refused.stdout) == (3, "")
    assert told in refused.stderr
