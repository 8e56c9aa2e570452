"""The architecture, as tests."""

import ast
import subprocess
import sys
from collections.abc import Collection
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


def test_the_import_contracts_hold() -> None:
    lint_imports = Path(sys.executable).with_name("lint-imports")

    result = subprocess.run([lint_imports, "--no-cache"], cwd=ROOT, capture_output=True, text=True, timeout=60)

    assert result.returncode == 0, result.stdout


@pytest.mark.parametrize("package", ["record", "gossip", "replication"])
def test_the_pure_packages_can_be_imported_without_touching_the_world(package: str) -> None:
    code = (
        f"import sys, pkgutil, importlib, proglog.{package} as p\n"
        "for m in pkgutil.iter_modules(p.__path__): importlib.import_module(f'{p.__name__}.{m.name}')\n"
        "bad = {'asyncio', 'grpc', 'structlog', 'textual', 'typer'} & set(sys.modules)\n"
        "print(sorted(bad))"
    )

    result = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, timeout=60)

    assert (result.stdout.strip(), result.stderr) == ("[]", "")


def _modules() -> dict[str, ast.Module]:
    """Return every module of the package by its name."""
    return {
        ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__"): ast.parse(path.read_text())
        for path in sorted((ROOT / "proglog").rglob("*.py"))
        if "_pb2" not in path.name
    }


def _imports(name: str, tree: ast.Module, known: Collection[str]) -> set[str]:
    """Return the modules that a module imports anywhere: in functions and for type checkers too."""
    found: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            whole = {f"{node.module}.{alias.name}" for alias in node.names}
            found |= {each if each in known else node.module for each in whole}
    return {each for each in found if each in known} - {name}


def test_no_module_imports_itself_through_others() -> None:
    modules = _modules()
    graph = {name: _imports(name, tree, modules) for name, tree in modules.items()}

    TopologicalSorter(graph).prepare()  # a CycleError names the circle
