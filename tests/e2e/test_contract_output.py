"""What every verb of the installed wheel writes: for programs what its schema says, for people what is recorded.

``PROGLOG_UPDATE_GOLDENS=1`` records anew.
"""

import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import fastjsonschema
import pytest

from proglog.testing.processes import AgentProcess
from tests.e2e import wheel

ROOT = Path(__file__).resolve().parents[2]
SCHEMAS = ROOT / "docs" / "reference" / "schemas"
LINES = [
    "members",
    "status",
    "segments",
    "segments --verify all",
    "segments 5: --dry-run",
    "copies",
    "copies 5:",
    "lag",
    "wait --for 20s",
    "check",
    "consume",
    "consume 5:8 --reverse",
    "consume --group-by key",
    "consume 5: --dry-run",
    "produce empty",
    "positions",
    "positions set nightly start --dry-run",
    "losses list",
    "tags",
    "event deploy 1",
    "events",
    "query nobody --for 200ms",
    "keys generate",
    "verify data",
    "verify data 0:1 --dry-run",
    "doctor data",
    "certs certs",
    "acl --acl-model-file certs/model.conf --acl-policy-file certs/policy.csv",
    "profile create staging --addr 127.0.0.1:1",
    "profile list",
    "config",
    "config members",
    "bench produce --records 200 --rate 2k --addr {addr} --yes",
    "completion",
    "help",
    "help ranges",
    "spec",
]


SHOWN = """\
produce lines
consume 0: --dry-run
consume --as nightly -n 1
status
segments
copies
lag
losses list
positions
positions set nightly start --dry-run
event deploy 1
query nobody --for 200ms
profile create shown --addr 127.0.0.1:1
doctor data
verify data
verify data 0:1 --dry-run
wait --for 20s
"""
VARIABLE = {  # what differs from run to run, and with it how wide a column is
    r"127\.0\.0\.1:(?!1\b)\d+": "ADDRESS",
    r"\bA[\w-]{25,}": "CURSOR",
    r"\b[0-9a-f]{32}\b|\b[0-9a-f]{6,12}\b(?=[ .,:]|$)": "ORIGIN",
    r"\d{4}-\d\d-\d\d[T ]\d\d:\d\d:\d\d(\.\d+)?Z?|\b\d\d:\d\d:\d\d\b": "TIME",
    r"\b[\d.,]+ ?(min \d+ s|ms|s|min|kB|MB|GB|B|bytes|records/s)(?![a-z])": "AMOUNT",
    r"every record on 1 of 1|all records are in flight": "COPIES",
    r"AMOUNT ago|just now": "AGE",
    r" {2,}": "  ",
}


class Proglog:
    """The installed command, in a folder with a data directory, at an agent with some records."""

    def __init__(self, folder: Path, agent: AgentProcess, installed: dict[str, str]) -> None:
        self.addr = agent.rpc_addr
        self._folder = folder
        self._environment = installed | {
            "PROGLOG_ADDR": agent.rpc_addr,
            "XDG_CONFIG_HOME": str(folder / "config"),
        }

    def __call__(self, *words: str, data: str = "", **variables: str) -> "subprocess.CompletedProcess[str]":
        return subprocess.run(
            [sys.executable, "-m", "proglog", *words],
            input=data,
            env=self._environment | variables,
            cwd=self._folder,
            capture_output=True,
            text=True,
            timeout=90,
        )


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    return wheel.install(tmp_path_factory.mktemp("installed"))


@pytest.fixture(scope="module")
def proglog(tmp_path_factory: pytest.TempPathFactory, installed: dict[str, str]) -> Iterator[Proglog]:
    folder = tmp_path_factory.mktemp("contract")
    (folder / "empty").write_text("")
    with AgentProcess("data", folder):
        pass
    with AgentProcess("one", folder) as agent:
        run = Proglog(folder, agent, installed)
        run("produce", "--key", "k", "--header", "a=b", data="".join(f"{number}\n" for number in range(20)))
        run("produce", "--format", "null", data="\x00")
        run("consume", "--as", "nightly", "-n", "3")
        yield run


@pytest.mark.parametrize("line", LINES)
def test_a_document_and_its_lines_are_as_their_schema_says(proglog: Proglog, line: str) -> None:
    words = line.format(addr=proglog.addr).split()

    done = proglog(*words, "-o", "json")
    assert done.returncode in (0, 1), done.stderr
    document = json.loads(done.stdout)
    schema = closed(json.loads(file_of(document).read_text()))
    fastjsonschema.compile(schema)(document)

    if words[:2] == ["profile", "create"]:
        words[2] = "another"
    lines = [json.loads(text) for text in proglog(*words, "-o", "jsonl").stdout.splitlines()]
    each = fastjsonschema.compile(schema["definitions"]["line"] if "items" in document else schema)
    for found in lines:
        each(found)
    if words[0] not in ("members", "event", "events", "produce", "bench", "profile", "query"):
        assert len(lines) == len(document.get("items", [document]))


def test_what_people_read_is_as_recorded(tmp_path: Path, installed: dict[str, str]) -> None:
    (tmp_path / "lines").write_text("one\ntwo\n")
    with AgentProcess("data", tmp_path):
        pass
    shown = ""
    with AgentProcess("one", tmp_path) as agent:
        proglog = Proglog(tmp_path, agent, installed)
        for line in SHOWN.splitlines():
            done = proglog(*line.split(), "--utc", COLUMNS="80", NO_COLOR="1")
            assert done.returncode == 0, (line, done)
            shown += f"$ proglog {line}\n{done.stdout}" + ("-- stderr\n" + done.stderr if done.stderr else "") + "\n"

    shown = shown.replace(str(tmp_path), "FOLDER")
    for pattern, word in VARIABLE.items():
        shown = re.sub(pattern, word, shown)
    golden = Path(__file__).with_name("shown.txt")
    if os.environ.get("PROGLOG_UPDATE_GOLDENS"):
        golden.write_text(shown)
    assert shown == golden.read_text()


def test_the_tables_of_the_installed_package_fit_80_and_140_columns(installed: dict[str, str]) -> None:
    tables = ROOT / "tests" / "unit" / "cli" / "test_human_output.py"
    script = (
        "import os, sys, pytest, proglog\n"
        "assert proglog.__file__.startswith(os.environ['PYTHONPATH']), proglog.__file__\n"
        "sys.exit(pytest.main(['-q', '--import-mode=importlib', '-p', 'no:cacheprovider', sys.argv[1]]))"
    )

    done = subprocess.run(
        [sys.executable, "-P", "-c", script, tables],
        cwd=ROOT,
        env=installed,
        capture_output=True,
        text=True,
        timeout=120,
    )

    assert done.returncode == 0, done.stdout + done.stderr


def file_of(document: dict[str, Any]) -> Path:
    _, name, version = document["schema"].split("/")
    return SCHEMAS / f"{name}-{version}.json"


def closed(part: Any) -> Any:
    """The same schema, which allows no other keys."""
    if isinstance(part, list):
        return [closed(each) for each in part]
    if not isinstance(part, dict):
        return part
    made = {key: closed(each) for key, each in part.items()}
    if isinstance(part.get("properties"), dict):
        made.setdefault("additionalProperties", False)
    if "definitions" in made and isinstance(made.get("properties"), dict):
        made.pop("$id", None)
    return made


@pytest.mark.parametrize("line", ["members", "segments", "positions", "consume 0:3", "tags"])
def test_plain_has_a_cell_for_each_key_and_nothing_else(proglog: Proglog, line: str) -> None:
    document = json.loads(proglog(*line.split(), "-o", "json").stdout)
    rows = proglog(*line.split(), "-o", "plain").stdout.splitlines()

    assert len(rows) == len(document["items"])
    for row, item in zip(rows, document["items"], strict=True):
        assert len(row.split("\t")) == len(item)
        assert not {"●", "\x1b"} & set(row)
