"""System calls of a real process that a signal interrupts, again and again: completed, never half done, never an error."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from kit.checker import Attempt, Outcome, check
from tests.storage.kit import ROLLING, open_log, reading_of
from tests.storage.life import BATCHES, payload


@pytest.mark.skipif(shutil.which("strace") is None, reason="strace is not installed: `make tools`")
@pytest.mark.parametrize("call", ["pwritev2", "fdatasync", "fsync", "ftruncate"])
def test_a_call_that_is_interrupted_is_made_again(tmp_path: Path, call: str) -> None:
    trace, directory = tmp_path / "trace", tmp_path / "data"
    inject = f"inject={call}:error=EINTR:when=2+3"
    strace = ["strace", "-f", "-o", str(trace), "-e", f"trace={call}", "-e", inject]
    done = subprocess.run(
        [*strace, sys.executable, "-m", "tests.storage.life", str(directory)],
        capture_output=True,
        timeout=60,
        check=False,
        cwd=Path(__file__).parents[2],
    )
    assert done.returncode == 0, done.stderr.decode()
    assert trace.read_text().count("EINTR") > 5
    answers = [line.split() for line in done.stdout.splitlines()]
    attempts = [Attempt("p", payload(int(number)), Outcome.OK, int(offset)) for offset, number in answers]
    assert len(attempts) == BATCHES
    log = open_log(directory, config=ROLLING, seed=5)
    assert check(attempts, [reading_of(log)]) == []
    assert log.recovery.clean
    log.close()
