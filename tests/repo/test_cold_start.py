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
