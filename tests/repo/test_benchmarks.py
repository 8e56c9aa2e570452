"""Every benchmark runs at its small size, so that none rots. No speed is judged here."""

import importlib
from pathlib import Path

import pytest

NAMES = sorted(path.stem for path in (Path(__file__).parents[2] / "benchmarks").glob("bench_*.py"))


@pytest.mark.parametrize("name", NAMES)
def test_a_benchmark_runs_at_its_small_size(name: str) -> None:
    lines = list(importlib.import_module(f"benchmarks.{name}").run(full=False))

    assert lines
    assert all(isinstance(line, str) and line for line in lines)
