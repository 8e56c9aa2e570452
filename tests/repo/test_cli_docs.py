"""The reference of the command line is what the command tree says, on any machine."""

import importlib.util
from pathlib import Path

from proglog.cli.flag_names import CHOICES, FLAGS
from proglog.cli.variable_names import NAMES

ROOT = Path(__file__).resolve().parents[2]


def generator():
    spec = importlib.util.spec_from_file_location("gen_cli_docs", ROOT / "tools" / "gen_cli_docs.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_command_line_reference_is_current() -> None:
    assert (ROOT / "docs/reference/cli.md").read_text() == generator().page(), "run `make docs`"


def test_the_list_of_flags_is_current() -> None:
    namespace: dict[str, object] = {}
    exec(generator().flags(), namespace)  # formatted differently

    assert (namespace["FLAGS"], namespace["CHOICES"]) == (FLAGS, CHOICES), "run `make docs`"


def test_the_list_of_variables_is_current() -> None:
    namespace: dict[str, frozenset[str]] = {}
    exec(generator().names(), namespace)  # formatted differently

    assert namespace["NAMES"] == NAMES, "run `make docs`"
