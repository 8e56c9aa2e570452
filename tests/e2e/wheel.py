"""The package as a user installs it: the files of the wheel, and not those of this checkout."""

import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


def build(place: Path, *targets: str) -> dict[str, Path]:
    """Build the wheel and the sdist of the tree, uncommitted changes included, and return them by suffix."""
    made = subprocess.run(
        [sys.executable, "-m", "hatchling", "build", "-d", str(place), *targets],
        cwd=ROOT,
        env=plain_environment(),
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert made.returncode == 0, made.stdout + made.stderr
    return {path.suffix: path for path in place.iterdir()}


def install(place: Path) -> dict[str, str]:
    """Install the wheel into a directory of its own; return the environment in which it is the one that is found.

    The dependencies are those of this environment.
    """
    wheel = build(place / "dist", "-t", "wheel")[".whl"]
    site = place / "site"
    made = subprocess.run(
        [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--no-index", "--target", site, wheel],
        cwd=place,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert made.returncode == 0, made.stderr
    environment = plain_environment() | {"PYTHONPATH": str(site)}
    found = subprocess.run(
        [sys.executable, "-c", "import proglog; print(proglog.__file__)"],
        cwd=place,
        env=environment,
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    assert found.stdout.startswith(str(site)), found.stdout
    return environment


def plain_environment() -> dict[str, str]:
    """Return the environment without what is meant for this checkout's Python or for its ``proglog``."""
    return {name: value for name, value in os.environ.items() if not name.startswith(("PYTHON", "PROGLOG_"))}
