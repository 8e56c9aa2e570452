"""ARCHITECTURE.md and the code agree: its tree, its layers, and the class of each term."""

import ast
import importlib
import re
import tomllib
from collections import defaultdict
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PAGE = (ROOT / "ARCHITECTURE.md").read_text()
ROWS = re.findall(r"^\| ([a-z, ]+) \| .* \| (`[^|]*`) \|$", PAGE, re.MULTILINE)
NAMED = [(term, name) for term, names in ROWS for name in re.findall(r"`([\w.]+)`", names)]
BARE = {"Position", "Sequence", "Event", "Range", "Place", "Item", "Info", "Data", "Manager", "Util"}
"""Names of classes that say too little beside the terms."""


def classes() -> dict[str, list[str]]:
    found = defaultdict(list)
    for path in sorted((ROOT / "proglog").rglob("*.py")):
        if not path.stem.endswith(("_pb2", "_pb2_grpc")):
            for node in ast.parse(path.read_text()).body:
                if isinstance(node, ast.ClassDef):
                    found[node.name].append(path.relative_to(ROOT).as_posix())
    return found


def test_the_tree_lists_every_package_and_module() -> None:
    tree = PAGE.split("```")[1]
    there = {
        path.name + ("/" if path.is_dir() else "")
        for path in (ROOT / "proglog").iterdir()
        if (path.suffix == ".py" or (path / "__init__.py").exists()) and not path.name.startswith("__")
    }

    heads = [line[2:].split("  ")[0] for line in tree.splitlines() if re.match(r"  \S", line)]
    listed = {name.split("/")[0] + "/" * ("/" in name) for head in heads for name in head.split()}
    assert listed == there


def test_the_layers_are_those_of_the_import_contract() -> None:
    contracts = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["importlinter"]["contracts"]
    layers = next(each["layers"] for each in contracts if each["name"] == "Layers")

    assert " > ".join(layers) in PAGE


@pytest.mark.parametrize(("term", "name"), NAMED)
def test_a_term_names_something_that_exists(term: str, name: str) -> None:
    module, _, attribute = name.rpartition(".")
    if attribute[0].isupper():
        assert hasattr(importlib.import_module(f"proglog.{module}"), attribute), f"{term}: {name}"
    else:
        importlib.import_module(f"proglog.{name}")


SAME_NAMES = ("proglog/wire/model.py", "proglog/client/sync.py")
"""The values of the wire (docs/decisions/0007-values-of-the-wire.md), and the client's face without ``async``."""


def test_no_two_public_classes_share_a_name() -> None:
    assert len(NAMED) >= 25
    shared = {
        name: there
        for name, paths in classes().items()
        if not name.startswith("_")
        for there in ([path for path in paths if path not in SAME_NAMES],)
        if len(there) > 1
    }

    assert shared == {}


def test_no_class_has_a_name_that_says_too_little() -> None:
    assert {name: paths for name, paths in classes().items() if name in BARE} == {}
