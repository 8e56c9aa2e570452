"""A disk without room, real and simulated: refused without a trace, reads go on, and it resumes when there is room."""

import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from proglog.errors import LogFullError
from proglog.log.config import LogConfig
from proglog.log.log import Log
from proglog.testing.files import FaultyFiles
from tests.storage.agents import small_file_system
from tests.storage.kit import LONG, ROLLING, Witness, open_log, reopen
from tests.unit.log.kit import SMALL, local

KIB = 1024


def fill(witness: Witness, log: Log, size: int = 30) -> int:
    """Append until the disk is full; return how many batches went in."""
    number = 0
    while witness.append(log, [b"%d %d " % (len(witness.attempts), number) * size]):
        number += 1
        assert number < 1_000_000
    return number


def test_a_full_disk_refuses_without_a_trace_keeps_reading_and_goes_on_by_itself() -> None:
    files, witness = FaultyFiles(capacity_bytes=20_000), Witness()
    log = open_log(files=files, config=SMALL)
    fill(witness, log)
    assert log.state == "full"
    assert not witness.append(log, [b"still full " * 30])
    assert witness.flaws(log) == []
    log.retain()
    assert log.state == "full"
    files.capacity_bytes = 60_000
    log.retain()
    assert log.state == "ok"  # seen without an append
    assert witness.append(log, [b"room again"])
    assert witness.flaws(log) == []
    log.close()
    files.power_loss()
    reopen(files, witness, "full", SMALL)


def test_wherever_the_room_ends_nothing_acknowledged_is_lost() -> None:
    """Roll, index, mark, record of retention: each byte of room may be the last one."""
    config = LogConfig(segment_bytes=4096, index_interval_bytes=512, retention_bytes=15_000, ballast_bytes=1024)
    for capacity in range(5_000, 30_000, 37 if LONG else 311):
        files, witness = FaultyFiles(capacity, capacity_bytes=capacity), Witness()
        log = open_log(files=files, config=config)
        for number in range(120):
            witness.append(log, [b"%d " % number * (1 + number % 60)])
            if number % 10 == 9:
                log.retain()
            assert log.state in ("ok", "full")
        assert witness.flaws(log) == [], capacity
        log.close()
        files.power_loss()
        log = open_log(files=files, config=config, seed=9)
        assert witness.flaws(log) == [], capacity
        assert log.damaged() == []
        files.capacity_bytes = None
        log.retain()
        assert witness.append(log, [b"room again"])


def test_room_that_comes_and_goes_at_every_moment_is_taken_as_it_comes() -> None:
    for seed in range(200 if LONG else 30):
        files, witness = FaultyFiles(seed, short_writes=True), Witness()
        log = open_log(files=files, config=ROLLING)
        for number in range(100):
            files.capacity_bytes = files.used_bytes() + files.random.randint(0, 900)
            witness.append(log, [b"%d " % number * files.random.randint(1, 80)])
            if number % 7 == 0:
                log.retain()
        files.capacity_bytes = None
        assert log.state in ("ok", "full")
        assert witness.flaws(log) == []
        files.power_loss()
        reopen(files, witness, seed)


def test_a_full_log_can_be_opened_and_read() -> None:
    files, witness = FaultyFiles(capacity_bytes=20_000), Witness()
    log = open_log(files=files)
    fill(witness, log, 160)
    for end in (log.close, lambda: None):
        end()
        files.kill()
        log = open_log(files=files)
        assert witness.flaws(log) == []
    files.capacity_bytes = None
    assert witness.append(log, [b"room again"])


def test_retention_makes_room_on_a_disk_without_any() -> None:
    files, witness = FaultyFiles(capacity_bytes=30_000), Witness()
    config = LogConfig(segment_bytes=4096, retention_bytes=9_000, ballast_bytes=2048)
    log = open_log(files=files, config=config)
    fill(witness, log)
    assert log.state == "full"
    files.capacity_bytes = files.used_bytes()  # somebody else took what was left
    assert log.retain() > 0
    log.retain()
    assert log.state == "ok"
    assert witness.append(log, [b"room again"])
    assert witness.flaws(log) == []


@pytest.fixture(params=["tmpfs", "ext4"])
def disk(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Path]:
    """A real file system of 8 MiB."""
    with small_file_system(tmp_path, request.param, 8) as mounted:
        yield mounted


@pytest.mark.parametrize("segment_bytes", [4 * KIB, 64 * KIB, 1024 * KIB])
def test_a_real_disk_that_produce_fills_refuses_within_a_second_and_resumes_when_there_is_room(
    disk: Path, segment_bytes: int
) -> None:
    """Small segments end in a roll or an index, large ones in a write."""
    hog = disk / "hog"
    hog.write_bytes(bytes(4 * KIB * KIB))
    directory, witness = disk / "data", Witness()
    config = LogConfig(segment_bytes=segment_bytes, ballast_bytes=128 * KIB)
    log = open_log(directory, config=config)
    assert fill(witness, log, 1000) > 20
    assert log.state == "full"
    started = time.monotonic()
    (outcome,) = log.append([local(bytes(200 * KIB))])
    assert time.monotonic() - started < 1
    assert isinstance(outcome, LogFullError)
    assert witness.flaws(log) == []
    log.retain()
    hog.unlink()
    log.retain()
    log.retain()
    assert log.state == "ok"
    assert witness.append(log, [b"room again"])
    log.close()
    log = open_log(directory, config=config)
    assert witness.flaws(log) == []
    log.close()


def test_a_real_disk_that_somebody_else_fills_lets_retention_make_room(disk: Path) -> None:
    directory, witness = disk / "data", Witness()
    config = LogConfig(segment_bytes=128 * KIB, retention_bytes=512 * KIB, ballast_bytes=128 * KIB)
    log = open_log(directory, config=config)
    for number in range(400):
        assert witness.append(log, [b"%d " % number * 600])
    with (disk / "hog").open("wb", buffering=0) as hog:
        try:
            while hog.write(bytes(4096)):
                pass
        except OSError:
            pass  # not a byte is left
    started = time.monotonic()
    number = 0
    while witness.append(log, [b"more %d " % number * 600]):
        number += 1
    assert time.monotonic() - started < 5
    assert log.state == "full"
    before = log.start_offset
    assert log.retain() > 0
    assert log.start_offset > before
    log.retain()
    assert log.state == "ok"
    assert witness.append(log, [b"room again"])
    assert witness.flaws(log) == []
    log.close()
    log = open_log(directory, config=config)
    assert witness.flaws(log) == []
    log.close()


def test_a_file_larger_than_the_process_may_write_is_a_full_disk(tmp_path: Path) -> None:
    script = """
import resource, signal, sys
from pathlib import Path
from proglog.log.config import LogConfig
from proglog.log.log import Log
from tests.storage.kit import Witness, open_log
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
log = open_log(Path(sys.argv[1]), config=LogConfig(ballast_bytes=0))
resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, resource.RLIM_INFINITY))
witness = Witness()
number = 0
while witness.append(log, [b"%d " % number * 500]):
    number += 1
assert log.state == "full", log.state
assert witness.flaws(log) == [], witness.flaws(log)
resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
assert witness.append(log, [b"room again"])
assert witness.flaws(log) == []
"""
    done = subprocess.run([sys.executable, "-c", script, tmp_path], capture_output=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr.decode()
