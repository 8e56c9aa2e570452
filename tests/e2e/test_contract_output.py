"""What every verb writes for programs is what its schema says: each key, and no other."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import fastjsonschema
import pytest

from proglog.testing.processes import AgentProcess

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


@pytest.fixture(scope="module")
def agent(tmp_path_factory: pytest.TempPathFactory) -> Iterator[AgentProcess]:
    folder = tmp_path_factory.mktemp("contract")
    (folder / "empty").write_text("")
    with AgentProcess("data", folder):
        pass
    with AgentProcess("one", folder) as agent:
        run(agent, "produce", "--key", "k", "--header", "a=b", data="".join(f"{number}\n" for number in range(20)))
        run(agent, "produce", "--format", "null", data="\x00")
        run(agent, "consume", "--as", "nightly", "-n", "3")
        yield agent


def run(agent: AgentProcess, *words: str, data: str = "") -> "subprocess.CompletedProcess[str]":
    environment = {name: value for name, value in os.environ.items() if not name.startswith("PROGLOG_")} | {
        "PROGLOG_ADDR": agent.rpc_addr,
        "XDG_CONFIG_HOME": str(agent.directory / "config"),
        "PYTHONPATH": str(ROOT),
    }
    return subprocess.run(
        [sys.executable, "-m", "proglog", *words],
        input=data,
        env=environment,
        cwd=agent.directory,
        capture_output=True,
        text=True,
        timeout=90,
    )


@pytest.mark.parametrize("line", LINES)
def test_a_document_and_its_lines_are_as_their_schema_says(agent: AgentProcess, line: str) -> None:
    words = line.format(addr=agent.rpc_addr).split()

    done = run(agent, *words, "-o", "json")
    assert done.returncode in (0, 1), done.stderr
    document = json.loads(done.stdout)
    schema = closed(json.loads(file_of(document).read_text()))
    fastjsonschema.compile(schema)(document)

    if words[:2] == ["profile", "create"]:
        words[2] = "another"
    lines = [json.loads(text) for text in run(agent, *words, "-o", "jsonl").stdout.splitlines()]
    each = fastjsonschema.compile(schema["definitions"]["line"] if "items" in document else schema)
    for found in lines:
        each(found)
    if words[0] not in ("members", "event", "events", "produce", "bench", "profile", "query"):
        assert len(lines) == len(document.get("items", [document]))


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
def test_plain_has_a_cell_for_each_key_and_nothing_else(agent: AgentProcess, line: str) -> None:
    document = json.loads(run(agent, *line.split(), "-o", "json").stdout)
    rows = run(agent, *line.split(), "-o", "plain").stdout.splitlines()

    assert len(rows) == len(document["items"])
    for row, item in zip(rows, document["items"], strict=True):
        assert len(row.split("\t")) == len(item)
        assert not {"●", "\x1b"} & set(row)
