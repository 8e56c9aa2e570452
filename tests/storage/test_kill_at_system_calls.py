"""A real process, killed by strace as it enters any one system call that changes a disk: it always opens again."""

import os
import shutil
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path
from random import Random

import pytest

from kit.checker import Attempt, Outcome, check
from kit.patience import patience
from tests.storage.kit import LONG, ROLLING, open_log, reading_of
from tests.storage.life import BATCHES, payload

CALLS = "pwritev,pwritev2,pwrite64,write,fdatasync,fsync,rename,renameat,renameat2,unlink,unlinkat,ftruncate"
SAMPLE = 16

pytestmark = pytest.mark.skipif(shutil.which("strace") is None, reason="strace is not installed: `make tools`")


def live(directory: Path, *strace: str) -> tuple[int, list[Attempt]]:
    """Let the life run under strace; return its exit code and what it knows."""
    command = ["strace", "-f", *strace, sys.executable, "-m", "tests.storage.life", str(directory)]
    done = subprocess.run(command, capture_output=True, timeout=60, check=False, cwd=Path(__file__).parents[2])
    answers = [line.split() for line in done.stdout.splitlines()]
    attempts = [Attempt("p", payload(int(number)), Outcome.OK, int(offset)) for offset, number in answers]
    if len(attempts) < BATCHES:
        attempts.append(Attempt("p", payload(len(attempts)), Outcome.UNKNOWN))
    return done.returncode, attempts


def points_of_a_life(directory: Path) -> list[tuple[str, int]]:
    """Every (system call, how many of it came before, plus one) of an undisturbed life."""
    trace = directory / "trace"
    returncode, attempts = live(directory / "whole", "-o", str(trace), "-e", f"trace={CALLS}")
    assert returncode == 0
    assert len(attempts) == BATCHES
    lines = [line.split(None, 1)[1] for line in trace.read_text().splitlines()]
    calls = Counter(line.split("(", 1)[0] for line in lines if "(" in line)
    assert calls["fdatasync"] >= BATCHES
    assert {"rename", "unlink", "ftruncate"} <= set(calls)
    return [(call, number) for call, count in sorted(calls.items()) for number in range(1, count + 1)]


@pytest.mark.timeout(1800)
def test_a_kill_at_any_system_call_loses_nothing_acknowledged(tmp_path: Path) -> None:
    points = points_of_a_life(tmp_path)
    if not LONG:
        points = Random(os.environ.get("PROGLOG_SEED", "7")).sample(points, SAMPLE)
    slowest = 0.0
    for call, number in points:
        directory = tmp_path / f"{call}-{number}"
        inject = f"inject={call}:signal=KILL:when={number}"
        returncode, attempts = live(directory, "-o", "/dev/null", "-e", f"trace={call}", "-e", inject)
        assert returncode == -9 or returncode == 137, (call, number, returncode)
        started = time.monotonic()
        log = open_log(directory, config=ROLLING, seed=5)
        slowest = max(slowest, time.monotonic() - started)
        assert check(attempts, [reading_of(log)]) == [], (call, number)
        assert log.damaged() == [], (call, number)
        log.close()
        shutil.rmtree(directory)
    assert slowest <= patience(1)
    print(f"{len(points)} points, slowest opening {slowest * 1000:.0f} ms")
