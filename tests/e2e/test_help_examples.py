"""The examples in each verb's help run as they stand."""

import os
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from proglog.cli.app import verb
from proglog.cli.front import examples
from proglog.cli.verbs import VERBS
from proglog.testing.processes import AgentProcess

PARSED_ONLY = {
    "serve": "runs until it is stopped",
    "dash": "needs a terminal",
    "demo": "has tests of its own",
    "leave": "stops the agent",
    "drain": "takes the agent out of service",
    "join": "needs other members",
    "force-leave": "needs a failed member",
    "wait": "one example waits for three members",
}
OTHER_CODES = {"check": (0, 1, 2), "rtt": (0, 3)}
"""A finding is no mistake; a lone agent has no coordinate before its first probe."""


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A directory with an agent's address in the environment, and the files that examples name."""
    folder = tmp_path_factory.mktemp("examples")
    shim = folder / "bin"
    shim.mkdir()
    (shim / "proglog").write_text(f'#!/bin/sh\nexec {sys.executable} -m proglog "$@"\n')
    (shim / "proglog").chmod(0o755)
    (folder / "access.log").write_text("a 1\nb 2\n")
    with AgentProcess("one", folder) as agent:
        environment = {name: value for name, value in os.environ.items() if not name.startswith("PROGLOG_")} | {
            "PROGLOG_ADDR": agent.rpc_addr,
            "PATH": f"{shim}:{os.environ['PATH']}",
            "XDG_CONFIG_HOME": str(folder / "config"),
            "PYTHONPATH": str(Path.cwd()),
        }
        (folder / "environment").write_text(repr(environment))
        for line in ("seq 20 | proglog produce", "proglog consume --as nightly", "proglog certs certs"):
            done = _run(folder, line)
            assert done.returncode == 0, done.stderr
        with AgentProcess("stopped", folder / "certs") as stopped:
            data = stopped.directory / "stopped"
        shutil.copytree(data, folder / "data")
        assert _run(folder, "proglog backup data backups/main").returncode == 0
        yield folder


def _run(folder: Path, line: str) -> "subprocess.CompletedProcess[str]":
    environment = eval((folder / "environment").read_text())
    return subprocess.run(["bash", "-c", line], cwd=folder, env=environment, capture_output=True, text=True, timeout=90)


@pytest.mark.parametrize("name", VERBS)
def test_the_examples_of_a_verb_run(place: Path, name: str) -> None:
    lines = examples(verb(name).help)
    assert len(lines) >= 2, "a verb's help has two examples"

    for line in lines:
        if name in PARSED_ONLY:
            words = shlex.split(re.split(r"\||&&", line)[0])
            assert words[:2] == ["proglog", name], line
            verb(name).make_context(name, words[2:])
        else:
            # without an address it starts an agent of its own; with one it asks before it fills that log
            done = _run(
                place, f"unset PROGLOG_ADDR; export XDG_CONFIG_HOME=$PWD/none; {line}" if name == "bench" else line
            )
            assert done.returncode in OTHER_CODES.get(name, (0,)), (line, done.stderr)
            assert "Traceback" not in done.stderr
