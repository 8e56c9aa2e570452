"""What the package ships is current: man pages, and the lock file."""

import importlib.util
import re
import tomllib
from pathlib import Path

from packaging.requirements import Requirement

ROOT = Path(__file__).resolve().parents[2]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]


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
