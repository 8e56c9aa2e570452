"""Help comes quickly: it imports neither gRPC nor protobuf nor Textual."""

import json
import subprocess
import sys

import pytest

from proglog.cli.verbs import VERBS

LINES = [[], ["--help"], ["--version"], *([verb, "--help"] for verb in VERBS)]
CODE = """
import json, os, sys
from proglog.cli.app import invoke  # once; every line runs in a fork of its own

HEAVY = {"grpc", "textual", "google.protobuf", "structlog", "casbin", "cryptography"}
for arguments in json.loads(sys.argv[1]):
    reader, writer = os.pipe()
    if os.fork() == 0:
        os.dup2(writer, 1)
        code = invoke(arguments)
        print(code, sorted(HEAVY & set(sys.modules)), flush=True)
        os._exit(0)
    os.close(writer)
    with os.fdopen(reader) as said:
        print(json.dumps([arguments, said.read()]))
    os.wait()
"""


SLOW = {"typer", "inspect", "rich", "asyncio", "dataclasses", "logging", "ssl"}
"""Modules that an answer without a verb does not need: together they take longer than all the rest."""
WITHOUT_A_VERB = [[], ["--help"], ["--version"], ["cosume"], ["consume", "--folow"], ["members", "-o", "jsn"]]
VERB_WITHOUT = {
    "textual",
    "casbin",
    "cryptography",
    "pydantic",
    "structlog",
    "prometheus_client",
    "proglog.log",
    "proglog.agent",
}
"""What no verb that asks an agent needs."""
ASKING = [
    ["members"],
    ["status", "-o", "json"],
    ["lag"],
    ["check"],
    ["consume"],
    ["positions"],
    ["copies", "-o", "jsonl"],
]


@pytest.mark.parametrize("line", WITHOUT_A_VERB, ids=" ".join)
def test_an_answer_without_a_verb_imports_nothing_slow(line: list[str]) -> None:
    code = (
        "import sys, proglog.__main__\nfrom proglog.cli import front\n"
        "assert front.answer(sys.argv[1:]) is not None\n"
        f"print('modules', *sorted(set(sys.modules) & {SLOW!r}), file=sys.stderr)\n"
    )
    done = subprocess.run([sys.executable, "-c", code, *line], capture_output=True, text=True, timeout=60)

    assert done.stderr.splitlines()[-1] == "modules"


@pytest.mark.parametrize("line", ASKING, ids=" ".join)
def test_a_verb_that_asks_an_agent_imports_only_what_it_needs(line: list[str]) -> None:
    code = (
        "import sys\nfrom proglog.cli.app import invoke\n"
        "invoke([*sys.argv[1:], '--addr', '127.0.0.1:1', '--timeout', '0.2'])\n"
        f"print('modules', *sorted(set(sys.modules) & {VERB_WITHOUT!r}), file=sys.stderr)\n"
    )
    done = subprocess.run([sys.executable, "-c", code, *line], capture_output=True, text=True, timeout=60)

    assert done.stderr.splitlines()[-1] == "modules", done.stderr


@pytest.fixture(scope="module")
def said() -> dict[str, list[str]]:
    """What each command line wrote, and at last its exit code and the heavy modules that it had imported."""
    command = [sys.executable, "-c", CODE, json.dumps(LINES)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120)
    assert done.stderr == ""
    return {" ".join(arguments): out.splitlines() for arguments, out in map(json.loads, done.stdout.splitlines())}


@pytest.mark.parametrize("line", [" ".join(line) for line in LINES])
def test_help_imports_nothing_heavy(said: dict[str, list[str]], line: str) -> None:
    assert said[line][-1] == "0 []"
    assert len(said[line]) > 1
