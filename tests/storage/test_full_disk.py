"""A disk without room, real and simulated: refused without a trace, reads go on, and it resumes when there is room."""

import subprocess
import sys
import time
from collections.abc import Iterator
from errno import EIO
from pathlib import Path

import pytest

from kit.patience import patience
from proglog.errors import LogFullError, LogPoisonedError, LogReadOnlyError
from proglog.log.config import FsyncPolicy, LogConfig
from proglog.log.log import Log
from proglog.testing.files import FaultyFiles
from tests.storage.agents import small_file_system
from tests.storage.kit import LONG, ROLLING, Witness, open_log, reopen
from tests.unit.log.kit import DIR, SMALL, Clock, append, local

KIB = 1024


def fill(witness: Witness, log: Log, size: int = 30) -> int:
    """Append until the disk is full; return how many batches went in."""
    number = 0
    while witness.append(log, [b"%d %d " % (len(witness.attempts), number) * size]):
        number += 1
        assert number < 1_000_000
    return number


def test_a_full_disk_refuses_without_a_trace_keeps_reading_and_continues_by_itself() -> None:
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
    assert time.monotonic() - started < patience(1)
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
    assert time.monotonic() - started < patience(5)
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


def test_a_segment_is_rolled_where_a_file_may_not_grow_any_more(tmp_path: Path) -> None:
    script = """
import resource, sys
from pathlib import Path
from proglog.errors import LogFullError, LogPoisonedError, LogReadOnlyError
from proglog.log.config import FsyncPolicy, LogConfig
from tests.storage.kit import Witness, open_log
from tests.unit.log.kit import local
log = open_log(Path(sys.argv[1]), config=LogConfig(ballast_bytes=0))
resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, resource.RLIM_INFINITY))
witness = Witness()
for number in range(200):
    assert witness.append(log, [b"%d " % number * 500])
assert log.segment_count > 3
(outcome,) = log.append([local(bytes(200_000))])
assert isinstance(outcome, LogFullError), outcome
assert "may not write files of more than 100,000 bytes" in str(outcome), outcome
assert log.state == "ok", log.state_detail
assert witness.flaws(log) == [], witness.flaws(log)
log.retain()
assert [problem.key for problem in log.problems()] == ["file-limit"], log.problems()
resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
assert witness.append(log, [bytes(200_000)])
log.retain()
assert log.problems() == ()
"""
    done = subprocess.run([sys.executable, "-c", script, tmp_path], capture_output=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr.decode()


def test_a_limit_of_the_file_system_is_found_out_by_meeting_it() -> None:
    files, witness = FaultyFiles(), Witness()
    log = open_log(files=files, config=LogConfig(segment_bytes=1 << 20, ballast_bytes=0))
    assert witness.append(log, [bytes(20_000)])
    files.file_limit = None
    files.max_file_bytes = lambda: None  # type: ignore[method-assign] # it does not say
    files.file_limit = 30_000
    assert not witness.append(log, [b"1" * 20_000])  # met
    assert log.state == "ok"
    assert witness.append(log, [b"2" * 20_000])  # in the next segment
    assert log.segment_count == 2
    assert witness.flaws(log) == []


def test_what_housekeeping_cannot_do_is_one_problem_with_since_when_until_it_succeeds() -> None:
    files, clock = FaultyFiles(), Clock()
    config = LogConfig(segment_bytes=4096, retention_bytes=8192, ballast_bytes=0)
    log = open_log(files=files, config=config, clock=clock)
    for _ in range(5):
        append(log, bytes(3000))
    before = log.recovery.describe()
    fail = files.unlink
    files.unlink = refuse  # type: ignore[method-assign]
    for _ in range(100):
        clock.advance(2.5)
        log.retain()
    (problem,) = log.problems()
    assert (problem.key, problem.since) == ("retention", 2.5)
    assert problem.detail == "old segments cannot be removed: 00000000000000000000.index: Input/output error"
    assert log.recovery.describe() == before  # nothing that opening found
    files.unlink = fail  # type: ignore[method-assign]
    log.retain()
    assert log.problems() == ()
    assert [path.name for path in files.paths() if path.suffix == ".log"] == [
        f"{segment.base_offset:020d}.log" for segment in log.segments()
    ]


def refuse(path: Path) -> None:
    raise OSError(EIO, "Input/output error", str(path))


def test_an_orderly_stop_on_a_full_disk_keeps_the_ballast_and_leaves_no_drafts() -> None:
    files, witness = FaultyFiles(capacity_bytes=60_000), Witness()
    config = LogConfig(segment_bytes=16_384, ballast_bytes=32_768)
    log = open_log(files=files, config=config)
    fill(witness, log, 160)
    files.capacity_bytes = files.used_bytes()
    log.close()
    assert [path for path in files.paths() if path.suffix == ".tmp"] == []
    assert len(files.content(DIR / "ballast")) >= 16_384
    files.kill()
    files.capacity_bytes = files.used_bytes()
    log = open_log(files=files, config=config)
    assert witness.flaws(log) == []
    files.capacity_bytes = None
    assert witness.append(log, [b"room again"])


def test_drafts_that_a_crash_left_are_swept_and_other_files_are_not() -> None:
    files = FaultyFiles()
    open_log(files=files).close()
    drafts = {"derived.tmp", "durable.tmp", f"{0:020d}.index.tmp"}
    for name in (*drafts, "notes.tmp", "mine.index.tmp"):
        files.open(DIR / name, write=True, create=True).pwritev([b"half"], 0)
    open_log(files=files)
    assert {path.name for path in files.paths() if path.suffix == ".tmp"} == {"notes.tmp", "mine.index.tmp"}


@pytest.mark.parametrize("fsync", list(FsyncPolicy))
def test_a_log_opens_without_room_for_its_mark_and_appends_when_there_is_some(fsync: FsyncPolicy) -> None:
    """Under a policy that may lose appends, nothing is appended while the mark says that the end was orderly."""
    files, witness = FaultyFiles(), Witness()
    config = LogConfig(segment_bytes=1 << 20, ballast_bytes=0, fsync=fsync)
    log = open_log(files=files, config=config)
    for _ in range(5):
        witness.append(log, [b"%d " % len(witness.attempts) * 30])
    log.close()
    files.kill()
    files.capacity_bytes = files.used_bytes()
    log = open_log(files=files, config=config)
    assert witness.flaws(log) == []
    if fsync is not FsyncPolicy.ALWAYS:
        assert log.state == "full"
        assert "no space left" in log.state_detail
        assert not witness.append(log, [b"refused"])
    files.capacity_bytes = None
    log.retain()
    assert log.state == "ok"
    assert witness.append(log, [b"room again"])
    files.kill()
    log = open_log(files=files, config=config, seed=1)
    assert witness.flaws(log) == []
    assert bool(log.recovery.new_origin_reason) == (fsync is not FsyncPolicy.ALWAYS)  # it was no orderly end


def test_a_new_origin_waits_for_room_and_stays_the_same_meanwhile() -> None:
    files, witness = FaultyFiles(), Witness()
    config = LogConfig(ballast_bytes=0, fsync=FsyncPolicy.OS)
    log = open_log(files=files, config=config)
    witness.append(log, [b"before"])
    old = log.origin
    files.kill()
    files.capacity_bytes = files.used_bytes()
    log = open_log(files=files, config=config, seed=1)
    waiting = log.origin
    assert waiting != old
    assert (log.state, log.end_offset) == ("full", 1)
    log.retain()
    assert log.origin == waiting
    files.capacity_bytes = None
    log.retain()
    assert log.origin == waiting
    assert witness.append(log, [b"after"])
    assert log.origins()[waiting].next_sequence == 3
    assert witness.flaws(log) == []


def test_a_read_only_disk_is_read_and_taken_up_when_it_takes_writes() -> None:
    files, witness = FaultyFiles(), Witness()
    log = open_log(files=files, config=SMALL)
    for _ in range(30):
        witness.append(log, [b"%d " % len(witness.attempts) * 100])
    (path,) = [DIR / f"{log.end_position.segment:020d}.log"]
    for end in (log.close, lambda: None):
        end()
        files.kill()
        files.open(path, write=True).pwritev([b"torn"], len(files.content(path)))  # the tail of a lost write
        files.read_only = True
        log = open_log(files=files, config=SMALL)
        assert log.state == "read-only"
        assert witness.flaws(log) == []
        (outcome,) = log.append([local(b"refused")])
        assert isinstance(outcome, LogReadOnlyError)
        log.retain()
        assert log.state == "read-only"
        files.read_only = False
        log.retain()
        assert (log.state, log.state_detail) == ("ok", "")
        assert witness.append(log, [b"%d again" % len(witness.attempts)])
        assert witness.flaws(log) == []


def test_a_disk_that_goes_read_only_refuses_and_poisons_nothing() -> None:
    files, witness = FaultyFiles(), Witness()
    log = open_log(files=files, config=SMALL)
    assert witness.append(log, [b"before"])
    files.read_only = True
    (outcome,) = log.append([local(b"refused")])
    assert isinstance(outcome, LogReadOnlyError)
    assert log.state == "read-only"
    for _ in range(3):
        log.retain()
    assert log.recovery.notes == []
    files.read_only = False
    log.retain()
    assert witness.append(log, [b"after"])
    assert witness.flaws(log) == []


def test_a_directory_or_segment_that_was_replaced_poisons_the_log_at_the_next_look() -> None:
    for replaced in ("directory", "segment"):
        files = FaultyFiles()
        log = open_log(files=files)
        append(log, b"before")
        log.check_place()
        assert log.state == "ok"
        files.unlocked = replaced == "directory"
        if replaced == "segment":
            files.unlink(DIR / f"{0:020d}.log")
        log.check_place()
        assert log.state == "poisoned"
        assert "was removed or replaced while the agent ran" in log.state_detail
        (outcome,) = log.append([local(b"lost")])
        assert isinstance(outcome, LogPoisonedError)
        assert str(outcome) == log.state_detail
