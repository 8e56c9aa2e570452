"""The log against crashes, power cuts and failing disks: nothing acknowledged is lost, nothing refused appears.

The long variants (``PROGLOG_LONG=1``) are the same tests with more seeds.
"""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from errno import EDQUOT, EIO
from pathlib import Path
from random import Random

import pytest

from proglog.errors import LogFullError, LogPoisonedError, StorageError
from proglog.log.config import LogConfig
from proglog.log.log import Log
from proglog.testing.files import FaultyFiles, SimulatedCrashError
from tests.unit.log.kit import SMALL, Clock, History, append, local, open_log, stored, values_of

LONG = bool(os.environ.get("PROGLOG_LONG"))
RETAINING = LogConfig(segment_bytes=4096, index_interval_bytes=512, retention_bytes=12_000, ballast_bytes=2048)


def live(
    files: FaultyFiles, history: History, *, config: LogConfig = RETAINING, groups: int = 40, life: int = 0
) -> Log:
    """A life: open, groups of appends over several rolls, retention, an orderly end. Returns the closed log."""
    random = Random(life)
    log = open_log(files=files, config=config, seed=life)
    for group in range(groups):
        values = [b"%d.%d.%d " % (life, group, n) * random.randint(1, 40) for n in range(random.randint(1, 4))]
        history.append(log, values)
        if group % 8 == 7:
            log.retain()
    log.close()
    return log


def check(files: FaultyFiles, history: History, what: object, config: LogConfig = RETAINING) -> None:
    """Open what a crash left, and compare; then it must take appends, and be whole once more."""
    log = open_log(files=files, config=config, seed=99)
    assert history.problems(log) == [], what
    assert log.damaged() == [], what
    assert log.recovery.new_origin_reason == "", what
    assert history.append(log, [b"after the crash"]), what
    log.close()
    log = open_log(files=files, config=config, seed=98)
    assert history.problems(log) == [], what
    assert log.recovery.clean, what
    log.close()


def operations_of_a_life() -> int:
    files = FaultyFiles()
    live(files, History())
    return files.operation


def crash_at(operation: int, end: Callable[[FaultyFiles], None], seed: int = 0) -> None:
    files, history = FaultyFiles(seed), History()
    files.crash_at = operation
    with pytest.raises(SimulatedCrashError):
        live(files, history)
    end(files)
    check(files, history, (operation, seed))


def test_a_kill_before_any_operation_of_a_life_loses_nothing_acknowledged() -> None:
    for operation in range(1, operations_of_a_life() + 1):
        crash_at(operation, FaultyFiles.kill)


def test_a_power_cut_before_any_operation_of_a_life_loses_nothing_acknowledged() -> None:
    for operation in range(1, operations_of_a_life() + 1):
        crash_at(operation, FaultyFiles.power_loss, seed=operation)


def test_power_cuts_at_random_over_several_lives_lose_nothing_acknowledged() -> None:
    for seed in range(10_000 if LONG else 150):
        files, history, random = FaultyFiles(seed), History(), Random(seed)
        for life in range(4):
            files.crash_at = files.operation + random.randint(1, 120)
            try:
                live(files, history, groups=12, life=life * 1000 + seed)
            except SimulatedCrashError:
                end = random.choice([files.power_loss, files.kill])
                end()
            else:
                files.kill()
            files.crash_at = None
            log = open_log(files=files, config=RETAINING, seed=life)
            assert history.problems(log) == [], (seed, life)
            assert log.damaged() == [], (seed, life)
            log.close()


def test_a_crash_while_recovering_is_recovered_from() -> None:
    for first in range(20, operations_of_a_life(), 37):
        for second in range(1, 12):
            files, history = FaultyFiles(first), History()
            files.crash_at = first
            with pytest.raises(SimulatedCrashError):
                live(files, history)
            files.power_loss()
            files.crash_at = files.operation + second
            try:
                open_log(files=files, config=RETAINING, seed=5).close()
            except SimulatedCrashError:
                files.power_loss()
            else:
                files.kill()
            check(files, history, (first, second))


@pytest.mark.parametrize("errno", [EIO, EDQUOT])
def test_a_failure_of_any_operation_never_makes_the_log_lie(errno: int) -> None:
    for operation in range(1, operations_of_a_life() + 1):
        files, history = FaultyFiles(operation), History()
        files.faults[operation] = errno
        try:
            log = live(files, history)
        except StorageError:
            pass  # opening was refused: there is nothing to be wrong about
        else:
            assert log.state == "closed"
        files.power_loss()
        check(files, history, operation)


def test_the_first_failed_sync_poisons_the_log_until_it_is_opened_again() -> None:
    files = FaultyFiles()
    log = open_log(files=files)
    append(log, b"safe")
    files.faults[files.operation + 2] = EIO  # the sync after the write
    (outcome,) = log.append([local(b"unknown")])
    assert isinstance(outcome, LogPoisonedError)
    assert log.state == "poisoned"
    syncs = files.trace.count(f"sync {0:020d}.log")
    (outcome,) = log.append([local(b"never")])
    assert isinstance(outcome, LogPoisonedError)
    assert files.trace.count(f"sync {0:020d}.log") == syncs  # a second sync would lie
    assert values_of(log) == [b"safe"]
    log.close()
    files.power_loss()
    log = open_log(files=files)
    assert log.state == "ok"
    assert values_of(log)[0] == b"safe"
    assert b"never" not in values_of(log)


def test_a_read_that_fails_is_an_error_of_that_read_only() -> None:
    files = FaultyFiles()
    log = open_log(files=files)
    append(log, b"x")
    files.read_errno = EIO
    with pytest.raises(StorageError):
        log.read(log.seek(log.end_offset)._replace(position=type(log.end_cursor.position)(0)), 100)
    files.read_errno = None
    assert values_of(log) == [b"x"]
    assert append(log, b"y").base_offset == 1


def test_short_writes_are_completed() -> None:
    for seed in range(20):
        files, history = FaultyFiles(seed, short_writes=True), History()
        live(files, history)
        files.power_loss()
        check(files, history, seed)
        assert not history.refused


def test_a_full_disk_refuses_without_a_trace_keeps_reading_and_goes_on_by_itself() -> None:
    files, history, config = FaultyFiles(capacity_bytes=20_000), History(), SMALL
    log = open_log(files=files, config=config)
    number = 0
    while history.append(log, [b"%d " % number * 30]):
        number += 1
    assert log.state == "full"
    assert not history.append(log, [b"still full " * 30])
    assert history.problems(log) == []
    log.retain()
    assert log.state == "full"
    files.capacity_bytes = 60_000
    log.retain()
    assert log.state == "ok"  # seen without an append
    assert history.append(log, [b"room again"])
    assert history.problems(log) == []
    log.close()
    files.power_loss()
    check(files, history, "full", config)


def test_a_full_log_can_be_opened_and_read() -> None:
    files, history = FaultyFiles(capacity_bytes=20_000), History()
    log = open_log(files=files)
    while history.append(log, [os.urandom(20).hex().encode() * 8]):
        pass
    for end in (log.close, lambda: None):
        end()
        files.kill()
        log = open_log(files=files)
        assert history.problems(log) == []
    files.capacity_bytes = None
    assert history.append(log, [b"room again"])


def test_retention_makes_room_on_a_disk_without_any() -> None:
    files, history = FaultyFiles(capacity_bytes=30_000), History()
    config = LogConfig(segment_bytes=4096, retention_bytes=9_000, ballast_bytes=2048)
    log = open_log(files=files, config=config)
    number = 0
    while history.append(log, [b"%d " % number * 30]):
        number += 1
    assert log.state == "full"
    files.capacity_bytes = files.used_bytes()  # somebody else took what was left
    assert log.retain() > 0
    log.retain()
    assert log.state == "ok"
    assert history.append(log, [b"room again"])
    assert history.problems(log) == []


def test_a_clock_that_jumps_removes_nothing() -> None:
    files, clock = FaultyFiles(), Clock()
    config = LogConfig(segment_bytes=4096, retention_age=3600, ballast_bytes=0)
    log = open_log(files=files, config=config, clock=clock)
    for number in range(50):
        append(log, b"%d" % number * 200)
    for _ in range(200):
        clock.advance(5)
        assert log.retain() == 0
    clock.wall_ms += 10 * 365 * 86_400_000
    assert log.retain() == 0
    clock.wall_ms -= 10 * 365 * 86_400_000
    assert log.retain() == 0
    for _ in range(1000):
        clock.advance(5)
        log.retain()
    assert log.start_offset > 0  # and age does remove, in its time


WRITER = """
import sys
from pathlib import Path
from proglog.log.config import LogConfig
from proglog.log.log import Log
from proglog.log.model import LocalAppend
from proglog.record import columns
from proglog.record.batch import encode, verify

directory, life = Path(sys.argv[1]), sys.argv[2]
log = Log.open(directory, LogConfig(segment_bytes=65536, ballast_bytes=0), node_name="a")
out = sys.stdout.buffer
number = 0
while True:
    batches = []
    for _ in range(8):
        value = f"{life}.{number} ".encode() * 20
        number += 1
        payload = columns.from_values([value])
        batches.append(verify(encode(payload, count=1, first_timestamp_ms=1, max_timestamp_ms=1)))
    for outcome in log.append([LocalAppend(batch) for batch in batches]):
        out.write(b"%d\\n" % outcome.base_offset)
    out.flush()
"""


def test_kill_9_under_load_loses_nothing_acknowledged(tmp_path: Path) -> None:
    acknowledged = 0
    random = Random(1)
    for life in range(1000 if LONG else 8):
        with subprocess.Popen([sys.executable, "-c", WRITER, tmp_path, str(life)], stdout=subprocess.PIPE) as writer:
            assert writer.stdout is not None
            writer.stdout.readline()  # it is writing
            time.sleep(random.uniform(0, 0.15))  # the moment is the fault, not a wait for anything
            writer.send_signal(signal.SIGKILL)
            offsets = writer.stdout.read().split(b"\n")[:-1]
        acknowledged = max([acknowledged, *(int(offset) + 1 for offset in offsets)])
        started = time.monotonic()
        log = open_log(tmp_path, config=LogConfig(segment_bytes=65536, ballast_bytes=0), seed=life)
        assert time.monotonic() - started < 1
        assert log.end_offset >= acknowledged
        assert log.damaged() == []
        log.close()
    log = open_log(tmp_path, config=LogConfig(segment_bytes=65536, ballast_bytes=0))
    found = stored(log, 1 << 20)
    assert list(found) == list(range(log.end_offset))
    by_life: dict[bytes, list[int]] = {}
    for value in found.values():
        which, number = value.split(b" ")[0].split(b".")
        assert value == b"%s.%s " % (which, number) * 20
        by_life.setdefault(which, []).append(int(number))
    assert all(numbers == list(range(len(numbers))) for numbers in by_life.values())
    log.close()


def test_a_second_process_changes_nothing(tmp_path: Path) -> None:
    log = open_log(tmp_path)
    append(log, b"x")
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    second = subprocess.run([sys.executable, "-c", WRITER, tmp_path, "0"], capture_output=True, timeout=30, check=False)
    assert second.returncode != 0
    assert b"DataDirLockedError" in second.stderr
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == before
    log.close()


@pytest.fixture
def small_disk(tmp_path: Path) -> Path:
    """A real file system of 2 MiB."""
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=2m", "tmpfs", tmp_path], capture_output=True, check=False
    )
    if mounted.returncode != 0:
        pytest.skip(f"mounting a tmpfs takes root: {mounted.stderr.decode().strip()}")
    yield tmp_path
    subprocess.run(["umount", "-l", tmp_path], check=True)


def test_a_real_full_disk_refuses_keeps_reading_and_goes_on_when_there_is_room(small_disk: Path) -> None:
    hog = small_disk / "hog"
    hog.write_bytes(bytes(512 * 1024))
    directory, history = small_disk / "data", History()
    config = LogConfig(segment_bytes=256 * 1024, ballast_bytes=64 * 1024)
    log = open_log(directory, config=config)
    number = 0
    while history.append(log, [b"%d " % number * 2000]):
        number += 1
    assert number > 50
    assert log.state == "full"
    (outcome,) = log.append([local(b"x" * 100_000)])
    assert isinstance(outcome, LogFullError)
    assert history.problems(log) == []
    hog.unlink()
    log.retain()
    assert log.state == "ok"
    assert history.append(log, [b"room again"])
    log.close()
    log = open_log(directory, config=config)
    assert history.problems(log) == []
    log.close()


def test_a_file_larger_than_the_process_may_write_is_a_full_disk(tmp_path: Path) -> None:
    script = """
import resource, signal, sys
from pathlib import Path
from proglog.errors import LogFullError
from proglog.log.config import LogConfig
from tests.unit.log.kit import History, open_log
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
log = open_log(Path(sys.argv[1]), config=LogConfig(ballast_bytes=0))
resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, resource.RLIM_INFINITY))
history = History()
number = 0
while history.append(log, [b"%d " % number * 500]):
    number += 1
assert log.state == "full", log.state
assert history.problems(log) == [], history.problems(log)
resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
assert history.append(log, [b"room again"])
assert history.problems(log) == []
"""
    done = subprocess.run([sys.executable, "-c", script, tmp_path], capture_output=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr.decode()
