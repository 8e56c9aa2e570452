"""Help comes quickly: it imports neither gRPC nor protobuf nor Textual."""

import subprocess
import sys

import pytest

from proglog.cli.app import VERBS

CODE = """
import sys
from proglog.cli.app import invoke
code = invoke(sys.argv[1:])
print(code, sorted({"grpc", "textual", "google.protobuf", "structlog", "casbin", "cryptography"} & set(sys.modules)))
"""


@pytest.mark.parametrize(
    "arguments", [(), ("--help",), ("--version",), *((verb, "--help") for verb in VERBS)], ids=" ".join
)
def test_help_imports_nothing_heavy(arguments: tuple[str, ...]) -> None:
    result = subprocess.run([sys.executable, "-c", CODE, *arguments], capture_output=True, text=True, timeout=30)

    assert result.stderr == ""
    assert result.stdout.splitlines()[-1] == "0 []"
    assert len(result.stdout.splitlines()) > 1
