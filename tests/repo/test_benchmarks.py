"""Every benchmark runs at its small size, so that none rots. No speed is judged here."""

import importlib
from pathlib import Path

import pytest

from benchmarks.measure import Comparison, as_json, slower

NAMES = sorted(path.stem for path in (Path(__file__).parents[2] / "benchmarks").glob("bench_*.py"))


@pytest.mark.parametrize("name", NAMES)
def test_a_benchmark_runs_at_its_small_size(name: str) -> None:
    lines = list(importlib.import_module(f"benchmarks.{name}").run(full=False))

    assert lines
    assert all(str(line) for line in lines)


def document(path: Path, *ratios: float) -> Path:
    measured = Comparison("produce", "MB/s", "a null sink", ratios, [1.0] * len(ratios))
    path.write_text(as_json({"ceiling": [measured], "dash": ["said in words"]}, {"processors": 2}))
    return path


@pytest.mark.parametrize(
    ("after", "said"), [([0.4, 0.41, 0.42], "produce: 0.41"), ([0.44, 0.46, 0.48], ""), ([0.9] * 3, "")]
)
def test_a_ratio_that_fell_below_all_that_it_was_is_named(tmp_path: Path, after: list[float], said: str) -> None:
    before = document(tmp_path / "before", 0.45, 0.5, 0.55)

    found = slower(before, document(tmp_path / "after", *after))

    assert [line[: len(said)] for line in found] == ([said] if said else [])


def test_what_is_no_output_of_a_benchmark_is_refused(tmp_path: Path) -> None:
    (tmp_path / "other").write_text("[]")

    with pytest.raises(ValueError, match="is no output of"):
        slower(tmp_path / "other", tmp_path / "other")
