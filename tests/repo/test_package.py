"""What the package ships is current: man pages, and the lock file."""

import ast
import importlib.util
import re
import sys
import tomllib
from collections.abc import Iterator
from importlib.metadata import packages_distributions
from itertools import chain
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).resolve().parents[2]
PYPROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
PROJECT, BUILD = PYPROJECT["project"], PYPROJECT["build-system"]


def test_the_man_pages_are_current() -> None:
    spec = importlib.util.spec_from_file_location("gen_man", ROOT / "tools" / "gen_man.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)

    assert {path.name: path.read_text() for path in (ROOT / "man").iterdir()} == module.pages(), "run `make docs`"


def test_the_lock_has_a_version_that_fits_and_a_hash_for_every_dependency() -> None:
    locked: dict[str, str] = {}
    entries = re.split(r"\n(?=\S)", (ROOT / "requirements.lock").read_text())
    for entry in entries:
        found = re.match(r"([A-Za-z0-9._-]+)==([^ ;\\]+)", entry)
        if found:
            locked[found[1].lower()] = found[2]
            assert "--hash=sha256:" in entry, found[1]

    wanted = [*PROJECT["dependencies"], *PROJECT["optional-dependencies"]["web"]]
    for requirement in map(Requirement, wanted):
        assert requirement.specifier.contains(locked[requirement.name.lower()]), f"{requirement}: run `make lock`"


def test_every_dependency_has_a_floor_and_the_run_with_the_lowest_versions_takes_it_from_there() -> None:
    """``make lowest``: a second list of versions would drift, and a floor that it does not install is a guess."""
    script = (ROOT / "tools/lowest.sh").read_text()
    every = [*PROJECT["dependencies"], *chain(*PROJECT["optional-dependencies"].values()), *BUILD["requires"]]

    for requirement in map(Requirement, every):
        assert [each.operator for each in requirement.specifier].count(">=") == 1, requirement
        assert requirement.name not in script
    assert "--resolution lowest-direct" in script
    assert "--extra web" in script
    assert "pyproject.toml" in script


def test_what_is_imported_belongs_to_a_dependency_that_has_a_floor() -> None:
    """Else it comes with another one, at whatever version that one wants."""
    every = [*PROJECT["dependencies"], *chain(*PROJECT["optional-dependencies"].values())]
    required = {canonicalize_name(Requirement(each).name) for each in every}
    owners = packages_distributions()
    imported = {name for path in (ROOT / "proglog").rglob("*.py") for name in _imports(ast.parse(path.read_text()))}

    unowned = {
        name
        for name in imported - sys.stdlib_module_names - {"proglog", "pytest"}  # whose plugin runs where it is
        if not required & {canonicalize_name(owner) for owner in owners[name]}
    }

    assert unowned == set()


def _imports(tree: ast.Module) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name.partition(".")[0] for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and not node.level and node.module:
            yield node.module.partition(".")[0]
