"""What is built and installed: metadata, contents, twice the same, and what runs without being installed the usual way."""

import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
import sysconfig
import zipfile
from email.parser import Parser
from importlib.metadata import packages_distributions, requires
from pathlib import Path

import pytest
from packaging.requirements import Requirement

from proglog.testing.processes import AgentProcess
from tests.e2e.wheel import build
from tests.e2e.zipapp import zipapp

ROOT = Path(__file__).resolve().parents[2]


def run(*command: str, cwd: Path = ROOT, timeout: float = 120, **variables: str) -> subprocess.CompletedProcess[str]:
    environ = {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}
    return subprocess.run(
        command, cwd=cwd, capture_output=True, text=True, timeout=timeout, env=environ | variables, check=False
    )


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    return build(tmp_path_factory.mktemp("built"))


def test_two_builds_are_the_same_byte_for_byte(built: dict[str, Path], tmp_path: Path) -> None:
    again = build(tmp_path)

    assert {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in built.values()} == {
        path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in again.values()
    }


def test_what_is_built_passes_the_indexs_checks_and_is_kept_from_it(built: dict[str, Path]) -> None:
    checked = run(sys.executable, "-m", "twine", "check", "--strict", *map(str, built.values()))
    assert checked.returncode == 0, checked.stdout

    with zipfile.ZipFile(built[".whl"]) as wheel:
        (name,) = [name for name in wheel.namelist() if name.endswith(".dist-info/METADATA")]
        metadata = Parser().parsestr(wheel.read(name).decode())
    assert metadata["Name"] == "proglog-cluster"
    assert "Private :: Do Not Upload" in (metadata.get_all("Classifier") or [])
    assert (metadata["License-Expression"], metadata["License-File"]) == ("Apache-2.0", "LICENSE")


def test_the_wheel_has_stubs_types_completions_and_a_page_for_every_verb(built: dict[str, Path]) -> None:
    with zipfile.ZipFile(built[".whl"]) as wheel:
        names = set(wheel.namelist())
    shared = {name.partition(".data/data/")[2] for name in names if ".data/data/" in name}

    assert {"proglog/py.typed", "proglog/api/v1/log_pb2.pyi"} <= names
    assert {f"share/man/man1/{path.name}" for path in (ROOT / "man").iterdir()} <= shared
    assert "share/bash-completion/completions/proglog" in shared
    assert not [name for name in names if name.startswith(("kit/", "tests/"))]


@pytest.mark.skipif(not shutil.which("man"), reason="there is no man here")
def test_a_man_page_is_shown_without_a_warning() -> None:
    for name in ("proglog.1", "proglog-serve.1", "proglog-consume.1"):
        shown = run("man", "--warnings", "-l", str(ROOT / "man" / name), MANWIDTH="100", LC_ALL="C.UTF-8")
        assert (shown.returncode, shown.stderr) == (0, ""), name


def test_the_installed_distributions_agree_with_each_other() -> None:
    checked = run(sys.executable, "-m", "pip", "check")

    assert checked.returncode == 0, checked.stdout


@pytest.mark.parametrize("how", ["replaced", "removed"])
def test_a_package_that_another_project_has_overwritten_says_so(how: str, tmp_path: Path) -> None:
    shutil.copytree(ROOT / "proglog", tmp_path / "proglog", ignore=shutil.ignore_patterns("__pycache__"))
    first = tmp_path / "proglog" / "__init__.py"
    if how == "replaced":
        first.write_text('"""Progress bars."""\n__version__ = "0.1.12"\n')
    else:
        first.unlink()

    result = run(sys.executable, "-S", "-P", "-m", "proglog", "--version", cwd=tmp_path, PYTHONPATH=str(tmp_path))

    assert result.returncode == 1
    assert result.stderr.startswith(
        "proglog: error: another distribution, named proglog, has replaced files of this one"
    )
    assert "pip install --force-reinstall proglog-cluster" in result.stderr


def test_demo_runs_from_a_zipapp_whose_packages_no_other_process_would_find(tmp_path: Path) -> None:
    lines = tmp_path / "lines"
    lines.write_text("one\ntwo\n")
    result = run(
        *zipapp(tmp_path), "demo", "--no-dash", "--input", str(lines), cwd=tmp_path, timeout=240, TMPDIR=str(tmp_path)
    )

    assert result.returncode == 0, result.stdout + result.stderr
    assert "the digests agree" in result.stdout


GUIDE = (ROOT / "docs/guides/installing.md").read_text()
WITHOUT = """
import importlib.abc, sys
blocked = set(sys.argv.pop(1).split(","))
class Blocker(importlib.abc.MetaPathFinder):
    def find_spec(self, name, path, target=None):
        if name.partition(".")[0] in blocked:
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)
sys.meta_path.insert(0, Blocker())
"""


def blocked(*lines: str) -> str:
    """The modules of all dependencies but those that these lines of the guide install."""
    required = {
        each.name.lower(): each for each in map(Requirement, requires("proglog-cluster") or ()) if not each.marker
    }
    shown = [Requirement(each) for line in lines for each in re.findall(r"'(.+?)'", line)]
    assert [each.specifier for each in shown] == [required[each.name].specifier for each in shown]
    kept, wanted = {each.name for each in shown}, {*required}
    assert kept < wanted
    gone = {
        module
        for module, owners in packages_distributions().items()
        if wanted & {each.lower() for each in owners} and not kept & {each.lower() for each in owners}
    }
    return ",".join(sorted(gone - {"google"}))


CLIENT, COMMAND = re.findall(r"^pip install ('.+) +#", GUIDE, re.MULTILINE)


def test_a_program_that_only_produces_and_consumes_needs_what_the_guide_says(tmp_path: Path) -> None:
    script = (
        "import asyncio\nfrom proglog.client import connect\n"
        "async def main():\n"
        "    async with connect(sys.argv[1]) as client:\n"
        "        async with client.producer() as producer:\n"
        "            await producer.send_values([b'light'])\n"
        "        async with client.consume() as consumer:\n"
        "            print(await consumer.get(10) is not None)\n"
        "asyncio.run(main())\n"
    )
    with AgentProcess("a", tmp_path) as agent:
        ran = run(sys.executable, "-c", WITHOUT + script, blocked(CLIENT), agent.rpc_addr)
        verb = run(
            sys.executable, "-c", WITHOUT + "from proglog.__main__ import main\nmain()", blocked(CLIENT, COMMAND),
            "consume", "--addr", agent.rpc_addr,
        )  # fmt: skip

    assert (ran.returncode, ran.stdout) == (0, "True\n"), ran.stderr
    assert (verb.returncode, verb.stdout) == (0, "light\n"), verb.stderr


def test_a_verb_says_which_distribution_a_light_installation_lacks(tmp_path: Path) -> None:
    program = WITHOUT + "from proglog.__main__ import main\nmain()"

    ran = run(sys.executable, "-c", program, blocked(CLIENT, COMMAND), "serve", "--data-dir", str(tmp_path / "data"))

    assert ran.returncode == 2
    assert re.match(r"error: this installation has no \w+, which this verb needs\n", ran.stderr), ran.stderr
    assert "install proglog-cluster" in ran.stderr


@pytest.fixture(scope="module")
def installed(built: dict[str, Path], tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[str]]:
    """A fresh environment with the wheel, beside it the examples: its interpreter, and the files.

    Dependencies are those of this environment; proglog itself is found in the wheel only.
    """
    home = tmp_path_factory.mktemp("installed")
    python = home / "env/bin/python"
    assert run(sys.executable, "-m", "venv", "--without-pip", str(home / "env")).returncode == 0
    (site,) = (home / "env/lib").glob("python*/site-packages")
    with zipfile.ZipFile(built[".whl"]) as wheel:
        wheel.extractall(site)
    (site / "dependencies.pth").write_text(f"{sysconfig.get_path('purelib')}\n")
    examples = [shutil.copy(path, home / path.name) for path in (ROOT / "examples").glob("*.py")]
    where = run(str(python), "-c", "import proglog.client; print(proglog.client.__file__)", cwd=home)
    assert where.stdout.startswith(str(site)), where.stderr
    return python, [str(path) for path in examples]


def test_mypy_finds_nothing_in_the_examples_with_the_installed_wheel(installed: tuple[Path, list[str]]) -> None:
    python, examples = installed
    checked = run(
        sys.executable, "-m", "mypy", "--strict", "--config-file=", f"--python-executable={python}", *examples,
        cwd=python.parents[2], timeout=300,
    )  # fmt: skip
    assert checked.returncode == 0, checked.stdout + checked.stderr


@pytest.mark.skipif(not shutil.which("pyright"), reason="pyright is not installed: pip install pyright")
def test_pyright_finds_nothing_in_the_examples_with_the_installed_wheel(installed: tuple[Path, list[str]]) -> None:
    python, _ = installed
    (python.parents[2] / "pyrightconfig.json").write_text(
        json.dumps({"typeCheckingMode": "strict", "reportUnknownMemberType": "none", "venvPath": ".", "venv": "env"})
    )
    checked = run("pyright", "--pythonpath", str(python), "--project", str(python.parents[2]), timeout=300)
    assert checked.returncode == 0, checked.stdout + checked.stderr
