"""Retention while eight readers and a writer are in the log, and clocks that jump."""

import threading
from pathlib import Path
from random import Random

import pytest

from proglog.errors import OffsetOutOfRangeError
from proglog.log.config import LogConfig
from proglog.log.log import Log
from proglog.log.model import LogPosition
from proglog.log.segment import Segment
from proglog.log.view import View
from proglog.record import scan
from proglog.testing.files import FaultyFiles
from proglog.types import FilePosition, Offset
from tests.storage.kit import LONG, Witness, open_log
from tests.unit.log.kit import Clock, append

READERS = 8
RACED = LogConfig(segment_bytes=16 * 1024, index_interval_bytes=512, retention_bytes=48 * 1024, ballast_bytes=0)
AGED = LogConfig(segment_bytes=4096, retention_age=3600, ballast_bytes=0)


def payload(number: int) -> bytes:
    return b"%d " % number * (20 + number % 100)


class Reader(threading.Thread):
    """Reads on and on; where retention was faster, from the new start."""

    def __init__(self, log: Log, done: threading.Event, seed: int) -> None:
        super().__init__()
        self.log, self.done, self.random = log, done, Random(seed)
        self.problems: list[str] = []
        self.read = self.overtaken = 0

    def run(self) -> None:
        try:
            while not self.done.is_set():
                self._pass()
        except Exception as exc:  # a thread's failure has to reach the test
            self.problems.append(repr(exc))

    def _pass(self) -> None:
        """From the start to the end."""
        try:
            expected = self.log.start_offset
            cursor = self.log.seek(expected)
            while data := self._read(cursor):
                cursor = data[1]
                for batch in scan.batches(data[0]):
                    for number, value in enumerate(scan.values(batch), batch.header.base_offset):
                        if number < expected or value != payload(number):
                            self.problems.append(f"offset {number}, expected {expected}: {value[:30]!r}")
                        expected = Offset(number + 1)
                        self.read += 1
        except OffsetOutOfRangeError as gone:
            self.overtaken += 1
            if gone.start < expected:
                self.problems.append(f"offset {expected} is out of range, and the start is {gone.start}")

    def _read(self, cursor: LogPosition) -> tuple[bytes, LogPosition] | None:
        read = self.log.read(cursor, self.random.choice([1, 3000, 40_000]))
        return (read.data, read.next) if read.data else None


def test_readers_of_what_retention_removes_finish_or_learn_the_new_start_and_never_read_other_bytes(
    memory: Path,
) -> None:
    log, done = open_log(memory, config=RACED), threading.Event()
    for number in range(300):
        append(log, payload(number))
    readers = [Reader(log, done, seed) for seed in range(READERS)]
    for reader in readers:
        reader.start()
    for number in range(300, 20_000 if LONG else 2_500):
        append(log, payload(number))
        if number % 15 == 0:
            log.retain()
    done.set()
    for reader in readers:
        reader.join(30)
    assert [reader.problems for reader in readers] == [[]] * READERS
    assert all(reader.read for reader in readers)
    print(f"{sum(reader.read for reader in readers):,} reads, overtaken {sum(r.overtaken for r in readers)} times")
    on_disk = sum(path.stat().st_size for path in memory.glob("*.log"))
    held = [str(each.readlink()) for each in Path("/proc/self/fd").iterdir() if each.is_symlink()]
    assert not [each for each in held if str(memory) in each and each.endswith("(deleted)")]  # the room is free
    assert on_disk <= 48 * 1024 + 2 * 16 * 1024
    log.close()


def test_a_store_removed_between_finding_and_opening_it_is_out_of_range(monkeypatch: pytest.MonkeyPatch) -> None:
    files = FaultyFiles()
    log = open_log(files=files, config=RACED)
    for number in range(400):
        append(log, payload(number))
    log.close()
    files.kill()
    log = open_log(files=files, config=RACED, seed=2)
    log._state.active.stores.clear()
    find = View.segment_at

    def find_and_lose(view: View, base_offset: Offset) -> Segment:
        segment = find(view, base_offset)
        assert log.retain()
        return segment

    cursor = LogPosition(log.start_offset, FilePosition(0))
    monkeypatch.setattr(View, "segment_at", find_and_lose)
    with pytest.raises(OffsetOutOfRangeError) as refused:
        log.read(cursor, 1000)
    assert refused.value.start == log.start_offset


def test_a_removed_store_is_kept_open_by_nobody(monkeypatch: pytest.MonkeyPatch) -> None:
    """An open file that was removed keeps its room on the disk."""
    files = FaultyFiles()
    log = open_log(files=files, config=RACED)
    for number in range(400):
        append(log, payload(number))
    stores, unlink = log._state.active.stores, files.unlink

    def read_and_unlink(path: Path) -> None:
        if path.suffix == ".log":
            stores.get(Offset(int(path.stem)))
        unlink(path)

    monkeypatch.setattr(files, "unlink", read_and_unlink)
    assert log.retain()
    opened = {store for store in stores._open if store < log.start_offset}
    assert opened == set()


def aged(files: FaultyFiles, clock: Clock) -> Log:
    log = open_log(files=files, config=AGED, clock=clock)
    for number in range(50):
        append(log, b"%d" % number * 200)
    for _ in range(200):  # the clocks are seen in step
        clock.advance(5)
        assert log.retain() == 0
    return log


@pytest.mark.parametrize("jump_s", [3600, -3600, 10 * 365 * 86_400, -10 * 365 * 86_400])
def test_a_clock_that_jumps_removes_nothing(jump_s: int) -> None:
    files, clock = FaultyFiles(), Clock()
    log = aged(files, clock)
    clock.wall_ms += jump_s * 1000
    assert log.retain() == 0
    clock.wall_ms -= jump_s * 1000
    assert log.retain() == 0
    assert log.start_offset == 0
    for _ in range(1000):
        clock.advance(5)
        log.retain()
    assert log.start_offset > 0  # and age does remove, in its time


def test_a_clock_that_strobes_or_does_not_move_removes_nothing_and_appends_continue() -> None:
    files, clock, random, witness = FaultyFiles(), Clock(), Random(3), Witness()
    log = open_log(files=files, config=AGED, clock=clock)
    for number in range(400):
        clock.wall_ms += random.choice([-60_000, 60_000, -86_400_000, 86_400_000, 0])
        clock.monotonic += 5
        assert witness.append(log, [b"%d " % number * 60])
        assert log.retain() == 0
    assert witness.flaws(log) == []
    times = [info.max_timestamp_ms for info in log.segments()]
    assert times
    files.power_loss()
    log = open_log(files=files, config=AGED, clock=clock, seed=2)
    assert witness.flaws(log) == []
