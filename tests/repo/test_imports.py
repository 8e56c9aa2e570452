"""The architecture, as tests."""

import subprocess
import sys
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
