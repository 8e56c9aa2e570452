"""What a program gets with ``import proglog.client``: every public name, and nothing of the agent's."""

import ast
import subprocess
import sys
from pathlib import Path

import proglog.client

ROOT = Path(__file__).resolve().parents[2]
NEVER = {"log", "agent", "server", "gossip", "observe", "tui", "cli"}


def loaded_after(code: str) -> list[str]:
    report = "import sys; print(*(m for m in sys.modules if m.split('.')[0] in ('proglog', 'grpc')))"
    result = subprocess.run(
        [sys.executable, "-c", f"{code}\n{report}"], cwd=ROOT, capture_output=True, text=True, timeout=60
    )
    assert (result.returncode, result.stderr) == (0, "")
    return result.stdout.split()


def test_the_import_alone_brings_neither_grpc_nor_any_other_package() -> None:
    assert sorted(loaded_after("import proglog.client")) == ["proglog", "proglog.client"]


def test_every_public_name_together_loads_no_module_of_agent_server_or_storage() -> None:
    loaded = loaded_after("from proglog.client import *\nconnect('127.0.0.1:1')")

    assert "proglog.client.producer" in loaded
    assert "grpc" in loaded
    assert [name for name in loaded if set(name.split(".")[1:2]) & NEVER] == []


def test_the_three_lists_of_public_names_agree() -> None:
    tree = ast.parse(Path(proglog.client.__file__).read_text())
    checked = next(node for node in tree.body if isinstance(node, ast.If))
    typed = {
        (each.module, alias.name) for each in checked.body if isinstance(each, ast.ImportFrom) for alias in each.names
    }
    lazy = {(module, name) for module, names in proglog.client._EXPORTS.items() for name in names}

    assert typed == lazy
    assert {name for _, name in lazy} | {"DEFAULT_ADDR", "DEFAULT_TIMEOUT", "connect"} == set(proglog.client.__all__)
    assert dir(proglog.client) == sorted(proglog.client.__all__)
    for name in proglog.client.__all__:
        assert getattr(proglog.client, name) is not None


def test_an_unknown_name_is_an_attribute_error() -> None:
    assert not hasattr(proglog.client, "Clinet")
