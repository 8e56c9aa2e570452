"""Two processes and one directory: the second is refused at once and changes nothing, whatever became of the first."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from kit.patience import patience
from proglog.errors import DataDirLockedError
from proglog.log.config import LogConfig
from tests.storage.kit import Witness, open_log
from tests.storage.nursery import Nursery

OPENER = """
import sys
from pathlib import Path
from proglog.log.log import Log
Log.open(Path(sys.argv[1]), node_name="b")
"""


@pytest.fixture
def nursery() -> Iterator[Nursery]:
    started = Nursery()
    yield started
    started.close()


def contents(directory: Path) -> dict[str, tuple[bytes, int]]:
    return {path.name: (path.read_bytes(), path.stat().st_mtime_ns) for path in directory.iterdir()}


def second(directory: Path) -> subprocess.CompletedProcess[bytes]:
    return subprocess.run([sys.executable, "-c", OPENER, directory], capture_output=True, timeout=30, check=False)


def test_a_second_process_is_refused_and_changes_not_a_byte(tmp_path: Path) -> None:
    witness = Witness()
    log = open_log(tmp_path, config=LogConfig(ballast_bytes=0))
    witness.append(log, [b"x"])
    before = contents(tmp_path)
    refused = second(tmp_path)
    assert refused.returncode != 0
    assert b"DataDirLockedError" in refused.stderr
    assert str(os.getpid()).encode() in refused.stderr  # who has it
    assert contents(tmp_path) == before
    assert witness.append(log, [b"y"])
    assert witness.flaws(log) == []
    log.close()


def test_within_one_process_a_second_log_is_refused_within_a_second(tmp_path: Path) -> None:
    log = open_log(tmp_path)
    started = time.monotonic()
    with pytest.raises(DataDirLockedError):
        open_log(tmp_path, seed=1)
    assert time.monotonic() - started < patience(1)
    log.close()
    open_log(tmp_path, seed=1).close()


def test_while_it_is_written_to_nobody_else_gets_in_and_after_a_kill_exactly_one_does(
    nursery: Nursery, tmp_path: Path
) -> None:
    pid = nursery.start(tmp_path, 0)
    nursery.line()  # it is writing
    started = time.monotonic()
    with pytest.raises(DataDirLockedError):
        open_log(tmp_path)
    assert time.monotonic() - started < patience(1)
    os.kill(pid, signal.SIGKILL)
    nursery.acknowledged()
    log = open_log(tmp_path)  # the kernel let go of the lock with the process
    before = contents(tmp_path)
    refused = second(tmp_path)
    assert b"DataDirLockedError" in refused.stderr
    assert contents(tmp_path) == before
    log.close()


def test_a_stopped_process_keeps_its_directory(nursery: Nursery, tmp_path: Path) -> None:
    """SIGSTOP is no death: a process that continues must not find that another wrote meanwhile."""
    pid = nursery.start(tmp_path, 0)
    nursery.line()
    os.kill(pid, signal.SIGSTOP)
    with pytest.raises(DataDirLockedError):
        open_log(tmp_path)
    os.kill(pid, signal.SIGCONT)
    os.kill(pid, signal.SIGKILL)
    nursery.acknowledged()
    open_log(tmp_path).close()
