"""`make matrix` finds the Pythons that run, passes over those that only seem to be there, and says which it missed."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parents[2] / "tools" / "matrix.sh"


@pytest.mark.parametrize("passes", [True, False])
def test_each_python_is_tested_passed_over_or_missed(tmp_path: Path, passes: bool) -> None:
    def program(path: Path, script: str) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"#!/bin/sh\n{script}\n")
        path.chmod(0o755)

    tools, pyenv = tmp_path / "bin", tmp_path / "pyenv"
    real = f'exec {sys.executable} "$@"'
    program(tools / "make", f'echo "$@" >>{tmp_path}/made; exit {0 if passes else 2}')
    program(tools / "python3.11", real)
    for version in ("3.12", "3.13", "3.14"):  # as a shim of pyenv answers for a version that is not chosen
        program(tools / f"python{version}", "echo command not found >&2; exit 127")
    for patch in ("3.13.9", "3.13.10"):
        program(pyenv / f"versions/{patch}/bin/python3.13", real)

    environment = {**os.environ, "PATH": f"{tools}:/usr/bin:/bin", "PYENV_ROOT": str(pyenv)}
    done = subprocess.run(["sh", SCRIPT], env=environment, capture_output=True, text=True, timeout=60)

    newest = pyenv / "versions/3.13.10/bin/python3.13"
    verdict = "passed" if passes else "FAILED"
    assert (tmp_path / "made").read_text() == f"test PYTHON={tools}/python3.11\ntest PYTHON={newest}\n"
    assert done.returncode == (0 if passes else 1)
    assert [line.split()[:2] for line in done.stdout.splitlines()[1:]] == [
        ["3.11", verdict], ["3.12", "not"], ["3.13", verdict], ["3.14", "not"],
    ]  # fmt: skip
    assert done.stderr.count("passed over") == 3
