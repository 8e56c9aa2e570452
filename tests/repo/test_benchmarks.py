"""Every benchmark runs at its small size, so that none rots. No speed is judged here."""

import importlib
import shutil
from pathlib import Path

import pytest

import benchmarks.peers.__main__ as peers
from benchmarks.measure import Comparison, as_json, slower
from benchmarks.peers import servers
from benchmarks.peers.work import Unavailable

NAMES = sorted(path.stem for path in (Path(__file__).parents[2] / "benchmarks").glob("bench_*.py"))


@pytest.mark.parametrize("name", NAMES)
def test_a_benchmark_runs_at_its_small_size(name: str) -> None:
    lines = list(importlib.import_module(f"benchmarks.{name}").run(full=False))

    assert lines
    assert all(str(line) for line in lines)


@pytest.mark.skipif(not shutil.which("redis-server"), reason="there is no redis-server here")
def test_the_same_work_is_done_by_a_peer_and_by_proglog() -> None:
    said = list(peers.run(["redis"], {}, full=False, rounds=1))

    compared = [each for each in said if isinstance(each, Comparison)]
    assert any("appendfsync always" in str(each) for each in said), "durability is stated"
    assert all(rate > 0 for each in compared for rate in (*each.subject, *each.yardstick))
    assert compared or any("skipped" in str(each) for each in said)


@pytest.mark.parametrize("name", servers.PEERS)
def test_a_peer_that_is_not_installed_says_what_is_missing(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setenv("HOME", str(tmp_path))

    with pytest.raises(Unavailable, match="is not installed"), servers.PEERS[name](tmp_path, ""):
        pass


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
