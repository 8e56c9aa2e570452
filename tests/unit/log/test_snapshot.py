"""The file ``derived``: a hint. With it little or nothing is walked; whatever is wrong with it, the answers are the same."""

import json
from errno import EIO, ENOSPC
from pathlib import Path
from random import Random
from typing import Any

import pytest

from proglog.log import checkpoint
from proglog.log.config import LogConfig
from proglog.log.log import Log
from proglog.log.model import Duplicate, ImportAppend, LocalAppend
from proglog.record import control
from proglog.record.batch import VerifiedBatch, chain_before, stamp_gap, verify
from proglog.testing.files import FaultyFiles
from proglog.types import OriginId, SequenceNumber
from tests.unit.log.kit import DIR, append, batches_of, open_log
from tests.unit.log.test_producers import produce, produced

CONFIG = LogConfig(segment_bytes=4096, ballast_bytes=0)
SNAPSHOT = DIR / "derived"


def filled(files: FaultyFiles, *, seed: int = 0, batches: int = 60) -> Log:
    log = open_log(files=files, config=CONFIG, seed=seed)
    more(log, 0, batches, Random(seed))
    return log


def more(log: Log, start: int, end: int, random: Random) -> None:
    for number in range(start, end):
        produce(log, b"p" * 16, number, random.randbytes(90))
        if number % 7 == 0:
            said = control.position_commit("x", 1, {OriginId(b"o" * 16): SequenceNumber(number + 1)}, now_ms=number)
            log.append([LocalAppend(verify(said))])


def answers(log: Log, last: int) -> tuple[Any, ...]:
    """What a log derives from its batches, asked in a way that changes nothing."""
    repeated = [produce(log, b"p" * 16, number, b"x") for number in range(max(0, last - 6), last)]
    kinds = [type(each) for each in repeated]
    return log.named_positions(), kinds, [each for each in repeated if isinstance(each, Duplicate)]


def test_after_an_orderly_end_nothing_is_walked() -> None:
    files = FaultyFiles()
    log = filled(files)
    before = answers(log, 60)
    log.close()
    files.kill()
    log = open_log(files=files, config=CONFIG, seed=5)
    assert (log.recovery.scanned_bytes, log.recovery.walked_bytes) == (0, 0)
    assert answers(log, 60) == before
    log.close()
    files.kill()
    assert open_log(files=files, config=CONFIG, seed=5).recovery.walked_bytes == 0


def test_after_a_kill_only_what_came_after_the_last_roll_is_walked() -> None:
    files = FaultyFiles()
    log = filled(files)
    before, active = answers(log, 60), log.segments()[-1].bytes
    assert log.segment_count > 2
    files.kill()
    log = open_log(files=files, config=CONFIG, seed=5)
    assert log.recovery.walked_bytes == active
    assert answers(log, 60) == before


@pytest.mark.parametrize("orderly", [True, False])
@pytest.mark.parametrize(
    "harm", ["lost", "empty", "cut", "random", "flipped", "newer version", "no object", "nonsense"]
)
def test_a_snapshot_that_is_no_good_changes_no_answer(harm: str, orderly: bool) -> None:
    files = FaultyFiles()
    log = filled(files)
    before, stored_bytes = answers(log, 60), log.stored_bytes
    if orderly:
        log.close()
    files.kill()
    data = files.content(SNAPSHOT)
    content = json.loads(data.partition(b"\n")[0])
    match harm:
        case "lost":
            files.unlink(SNAPSHOT)
        case "empty":
            data.clear()
        case "cut":
            del data[len(data) // 2 :]
        case "random":
            data[:] = Random(1).randbytes(len(data))
        case "flipped":
            data[len(data) // 3] ^= 1
        case "newer version":
            checkpoint.save(files, SNAPSHOT, content | {"version": 3})
        case "no object":
            checkpoint.save(files, SNAPSHOT, {})
        case _:
            checkpoint.save(files, SNAPSHOT, content | {"producers": [["x", 1]], "positions": 7})
    log = open_log(files=files, config=CONFIG, seed=5)
    assert log.recovery.walked_bytes == stored_bytes
    assert answers(log, 60) == before


def test_a_stale_snapshot_is_gone_on_from() -> None:
    files = FaultyFiles()
    log = filled(files, batches=10)
    log.close()
    files.kill()
    stale = bytes(files.content(SNAPSHOT))
    log = open_log(files=files, config=CONFIG)
    more(log, 10, 60, Random(3))
    before = answers(log, 60)
    log.close()
    files.kill()
    files.content(SNAPSHOT)[:] = stale
    log = open_log(files=files, config=CONFIG, seed=5)
    assert 0 < log.recovery.walked_bytes < log.stored_bytes
    assert answers(log, 60) == before


def test_a_snapshot_of_another_time_than_the_log_is_not_believed() -> None:
    files = FaultyFiles()
    log = filled(files, batches=30)
    log.close()
    files.kill()
    older = {path: bytes(files.content(path)) for path in files.paths() if path.name != "LOCK"}
    before = answers(open_log(files=files, config=CONFIG), 30)
    files.kill()
    log = open_log(files=files, config=CONFIG)
    more(log, 30, 60, Random(4))
    log.close()
    files.kill()
    newer = bytes(files.content(SNAPSHOT))
    for path in files.paths():
        if path not in older and path.name != "LOCK":
            files.unlink(path)
    for path, data in older.items():
        files.content(path)[:] = newer if path == SNAPSHOT else data
    log = open_log(files=files, config=CONFIG)
    assert log.recovery.walked_bytes == log.stored_bytes
    assert answers(log, 30) == before


def test_the_snapshot_of_another_directory_is_not_believed() -> None:
    files, others = FaultyFiles(), FaultyFiles(1)
    log, other = filled(files), filled(others, seed=8)
    before = answers(log, 60)
    log.close()
    other.close()
    files.kill()
    files.content(SNAPSHOT)[:] = others.content(SNAPSHOT)
    log = open_log(files=files, config=CONFIG)
    assert log.recovery.walked_bytes == log.stored_bytes
    assert answers(log, 60) == before


@pytest.mark.parametrize("errno", [EIO, ENOSPC])
def test_a_snapshot_that_cannot_be_written_hinders_nothing(errno: int) -> None:
    for ahead in range(1, 7):
        files = FaultyFiles()
        log = filled(files, batches=5)
        while not any("rename derived" in each for each in files.trace):
            append(log, b"x" * 100)
        step = max(number for number, each in enumerate(files.trace, 1) if each == "rename derived.tmp")
        log.close()
        files = FaultyFiles()
        log = filled(files, batches=5)
        files.faults[step - ahead + 2] = errno
        while log.segment_count < 2:
            append(log, b"x" * 100)
        append(log, b"later")
        before = answers(log, 5)
        files.kill()
        assert answers(open_log(files=files, config=CONFIG, seed=5), 5) == before


def test_a_log_opens_without_what_the_disk_cannot_read_and_the_next_start_tries_again() -> None:
    files = FaultyFiles()
    log = filled(files)
    before, stored_bytes = answers(log, 60), log.stored_bytes
    log.close()
    files.kill()
    files.unlink(SNAPSHOT)
    faulty = Unreadable(files)
    log = open_log(files=faulty, config=CONFIG, seed=5)  # type: ignore[arg-type]
    assert "may be incomplete" in log.recovery.describe()
    log.close()
    files.kill()
    log = open_log(files=files, config=CONFIG, seed=5)
    assert log.recovery.walked_bytes == stored_bytes
    assert answers(log, 60) == before


class Unreadable:
    """A disk whose first store cannot be read."""

    def __init__(self, files: FaultyFiles) -> None:
        self._files = files

    def __getattr__(self, name: str) -> Any:
        return getattr(self._files, name)

    def open(self, path: Path, *, write: bool = False, create: bool = False) -> Any:
        file = self._files.open(path, write=write, create=create)
        if path.name == f"{0:020d}.log":
            file.pread = self._refuse  # type: ignore[method-assign]
        return file

    def _refuse(self, size: int, position: int) -> bytes:
        raise OSError(EIO, f"unreadable: {size} bytes at {position}")


def test_ten_thousand_producers_come_back_from_the_snapshot() -> None:
    files = FaultyFiles()
    log = open_log(files=files, config=LogConfig(ballast_bytes=0))
    log.append([produced(number.to_bytes(16, "big"), 0, b"x") for number in range(1, 10_101)])
    log.close()
    files.kill()
    assert len(files.content(SNAPSHOT)) < 4 * 1024 * 1024
    log = open_log(files=files, config=LogConfig(ballast_bytes=0), seed=5)
    assert log.recovery.walked_bytes == 0
    assert isinstance(produce(log, (101).to_bytes(16, "big"), 0, b"x"), Duplicate)
    assert not isinstance(produce(log, (100).to_bytes(16, "big"), 0, b"x"), Duplicate)


def test_a_snapshot_larger_than_what_is_read_is_not_written_and_that_is_a_problem(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    files = FaultyFiles()
    log = filled(files)
    monkeypatch.setattr(checkpoint, "MAX_CHECKPOINT_BYTES", 100)
    more(log, 60, 120, Random(2))
    (problem,) = log.problems()
    assert problem.key == "derived"
    assert "and is read up to 100" in problem.detail
    before = answers(log, 120)
    files.kill()
    monkeypatch.undo()
    assert answers(open_log(files=files, config=CONFIG, seed=5), 120) == before


def gap_batch(after: VerifiedBatch, start: SequenceNumber) -> VerifiedBatch:
    """Return the batch that the first release wrote for sequences that no node had."""
    made = verify(control.gap(after.header.base_sequence - start, now_ms=1, reason="gone"))
    origin, chain_crc = after.header.origin, chain_before(after)
    return verify(
        stamp_gap(made, origin=origin, base_sequence=start, chain_crc=chain_crc, append_time_ms=1) + made.payload
    )


def test_what_gap_batches_stand_for_is_known_and_survives_whatever_the_file_says() -> None:
    source, files = filled(FaultyFiles(), seed=9, batches=20), FaultyFiles()
    batches = [each for each in batches_of(source) if each.header.origin == source.origin]
    log = open_log(files=files, config=CONFIG, seed=3)
    copied = [verify(bytes(each.data)) for each in batches]
    log.append([ImportAppend(each) for each in copied[:4]])
    after, following = copied[9], log.origins()[source.origin].next_sequence
    log.append([ImportAppend(gap_batch(after, following)), ImportAppend(after)])
    gap = ((int(following), int(after.header.base_sequence)),)
    held = log.origins()[source.origin]
    assert held.gaps == gap
    assert not held.holds(following)
    assert held.holds(after.header.base_sequence)

    log.close()
    files.kill()
    log = open_log(files=files, config=CONFIG, seed=3)
    assert log.recovery.walked_bytes == 0
    assert log.origins()[source.origin].gaps == gap

    log.close()
    files.kill()
    files.unlink(SNAPSHOT)
    log = open_log(files=files, config=CONFIG, seed=3)
    assert log.recovery.walked_bytes > 0
    assert log.origins()[source.origin].gaps == gap


def test_a_log_tells_in_which_step_its_disk_thread_is(monkeypatch: pytest.MonkeyPatch) -> None:
    files, steps = FaultyFiles(), set[str]()
    log = open_log(files=files, config=CONFIG)
    monkeypatch.setattr(checkpoint, "save", lambda *_: steps.add(log.step))
    sync = type(log._state.active.file).sync
    monkeypatch.setattr(type(log._state.active.file), "sync", lambda file: (steps.add(log.step), sync(file)))
    more(log, 0, 60, Random(1))
    log.close()
    assert {"sync", "snapshot"} <= steps
    assert log.step == ""
