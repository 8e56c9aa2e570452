"""Signals that do not end an agent, and who may read what it stores."""

import os
import signal
import time
from pathlib import Path

import pytest

from kit.patience import patience
from proglog.testing.processes import AgentProcess


def wait_for(path: Path, *words: str) -> None:
    """Return once a file has all of the words."""
    deadline = time.monotonic() + patience(10.0)
    while not all(word in path.read_text() for word in words):
        assert time.monotonic() < deadline, f"no {words} in {path.read_text()[-2000:]}"
        time.sleep(0.02)


def test_sighup_looks_again_and_sigusr1_changes_the_log_level_and_neither_kills(tmp_path: Path) -> None:
    with AgentProcess("a", tmp_path) as agent:
        agent.process.send_signal(signal.SIGHUP)
        wait_for(agent.telemetry, "reload_asked")
        agent.process.send_signal(signal.SIGUSR1)
        wait_for(agent.telemetry, '"least": "debug"')
        agent.process.send_signal(signal.SIGUSR1)
        wait_for(agent.telemetry, '"least": "info"')

        assert agent.process.poll() is None
        agent.process.send_signal(signal.SIGTERM)
        assert agent.process.wait(patience(10.0)) == 0


@pytest.mark.parametrize("made", [False, True], ids=["made by the agent", "made with an open mode before"])
def test_nobody_else_on_the_machine_reads_a_data_directory(tmp_path: Path, made: bool) -> None:
    if made:
        (tmp_path / "a").mkdir(mode=0o755)
    before = os.umask(0)
    try:
        with AgentProcess("a", tmp_path) as agent:
            data = agent.directory / "a"
            modes = {path: path.stat().st_mode & 0o777 for path in [data, *data.iterdir()]}
    finally:
        os.umask(before)

    assert modes.pop(data) == 0o700
    assert set(modes.values()) == {0o600}
