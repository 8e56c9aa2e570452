"""The log against a plain list, in whatever order hypothesis can think of.

The list holds what was acknowledged, by offset. Whatever is done to the log - appends, rolls, retention, an orderly
end, a kill, a power cut, lost hints, a full disk, a sync that fails - reading it gives the list, from the log's start.
"""

import os
from errno import EIO
from random import Random

import hypothesis.strategies as st
from hypothesis import HealthCheck, settings
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from kit.checker import Outcome
from proglog.errors import OffsetOutOfRangeError
from proglog.log.config import LogConfig
from proglog.log.log import Log
from proglog.log.model import Appended, ImportAppend
from proglog.record import scan
from proglog.record.batch import verify
from proglog.testing.files import FaultyFiles, SimulatedCrashError
from proglog.types import Offset, SequenceNumber
from tests.storage.kit import Witness
from tests.unit.log.kit import DIR, Clock, batches_of, open_log, stored

LONG = bool(os.environ.get("PROGLOG_LONG"))
CONFIG = LogConfig(segment_bytes=4096, index_interval_bytes=300, retention_bytes=14_000, ballast_bytes=512)


class LogMachine(RuleBasedStateMachine):
    """Two logs: one that is written to, and one that copies it now and then."""

    log: Log
    copy: Log

    @initialize(seed=st.integers(0, 1000))
    def start(self, seed: int) -> None:
        self.random = Random(seed)
        self.clock = Clock()
        self.files = FaultyFiles(seed, short_writes=True)
        self.copies = FaultyFiles(seed + 1)
        self.witness = Witness()
        self.list: list[bytes] = []
        self.written = 0
        self.life = 0
        self.log = self.reopened(self.files, "a")
        self.copy = self.reopened(self.copies, "b")

    def reopened(self, files: FaultyFiles, name: str) -> Log:
        self.life += 1
        return open_log(files=files, config=CONFIG, name=name, seed=self.life, clock=self.clock)

    def values(self, sizes: list[int]) -> list[bytes]:
        first = self.written
        self.written += len(sizes)
        return [b"%d:" % number + bytes(size) for number, size in enumerate(sizes, first)]

    def settle(self, tried: list[bytes]) -> None:
        """Take into the list what was acknowledged, and what was not answered and is there all the same."""
        answers = {attempt.payload: attempt.outcome for attempt in self.witness.attempts[-len(tried) :]}
        found = stored(self.log)
        for value in tried:
            if answers[value] is Outcome.OK or found.get(Offset(len(self.list))) == value:
                self.list.append(value)

    @rule(sizes=st.lists(st.integers(0, 1500), min_size=1, max_size=6))
    def append(self, sizes: list[int]) -> None:
        values = self.values(sizes)
        assert self.witness.append(self.log, values)
        self.list += values

    @rule(sizes=st.lists(st.integers(0, 1500), min_size=1, max_size=6), room=st.integers(0, 5000))
    def append_with_little_room(self, sizes: list[int], room: int) -> None:
        values = self.values(sizes)
        self.files.capacity_bytes = self.files.used_bytes() + room
        self.witness.append(self.log, values)
        self.files.capacity_bytes = None
        assert self.log.state in ("ok", "full")
        self.settle(values)

    @rule(sizes=st.lists(st.integers(0, 1500), min_size=1, max_size=6), after=st.integers(1, 6), power=st.booleans())
    def append_on_a_disk_that_fails(self, sizes: list[int], after: int, power: bool) -> None:
        values = self.values(sizes)
        self.files.faults = {self.files.operation + after: EIO}
        self.witness.append(self.log, values)
        self.files.faults = {}
        if self.log.state == "poisoned":
            self.files.power_loss() if power else self.files.kill()
            self.log = self.reopened(self.files, "a")
        self.settle(values)

    @rule(sizes=st.lists(st.integers(0, 1500), min_size=1, max_size=6), after=st.integers(1, 6), power=st.booleans())
    def crash_while_appending(self, sizes: list[int], after: int, power: bool) -> None:
        values = self.values(sizes)
        self.files.crash_at = self.files.operation + after
        try:
            self.witness.append(self.log, values)
        except SimulatedCrashError:
            self.files.power_loss() if power else self.files.kill()
            self.log = self.reopened(self.files, "a")
        self.files.crash_at = None
        self.settle(values)

    @rule()
    def retain(self) -> None:
        self.log.retain()
        assert sum(info.bytes for info in self.log.segments()[1:]) <= 14_000

    @rule(seconds=st.integers(-100, 1000))
    def clock_moves(self, seconds: int) -> None:
        self.clock.advance(seconds)

    @rule()
    def close_and_open(self) -> None:
        origins = self.log.origins()
        self.log.close()
        self.files.kill()
        self.log = self.reopened(self.files, "a")
        assert self.log.origins() == origins
        recovery = self.log.recovery
        assert recovery.scanned_bytes == 0 or recovery.rebuilt_indexes  # one that a full disk had refused

    @rule(power=st.booleans())
    def crash(self, power: bool) -> None:
        origin, end = self.log.origin, self.log.end_offset
        self.files.power_loss() if power else self.files.kill()
        self.log = self.reopened(self.files, "a")
        assert (self.log.origin, self.log.end_offset) == (origin, end)
        assert self.log.damaged() == []

    @rule()
    def indexes_are_lost(self) -> None:
        self.log.close()
        self.files.kill()
        for path in self.files.paths():
            if path.suffix == ".index":
                self.files.unlink(path)
        self.files.sync_dir(DIR)
        self.log = self.reopened(self.files, "a")

    @rule()
    def copies_catch_up(self) -> None:
        state = self.copy.origins().get(self.log.origin)
        have = state.next_sequence if state else SequenceNumber(1)
        floor = self.log.origins()[self.log.origin].floor_sequence
        wanted = [each for each in batches_of(self.log) if each.header.next_sequence > have]
        outcomes = self.copy.append([ImportAppend(verify(bytes(each.data))) for each in wanted])
        if floor <= have:
            assert all(isinstance(outcome, Appended) for outcome in outcomes)
            assert self.copy.origins()[self.log.origin].chain_crc == self.log.origins()[self.log.origin].chain_crc

    @rule(power=st.booleans())
    def copies_crash(self, power: bool) -> None:
        before = self.copy.origins()
        self.copies.power_loss() if power else self.copies.kill()
        self.copy = self.reopened(self.copies, "b")
        assert self.copy.origins() == before

    @rule(where=st.floats(0, 1))
    def seek_and_read(self, where: float) -> None:
        log = self.log
        offset = Offset(int(log.start_offset + where * (log.end_offset - log.start_offset)))
        data = log.read(log.seek(offset), 1).data
        if offset == log.end_offset:
            assert not data
        else:
            header = verify(data).header
            assert header.base_offset <= offset < header.end_offset

    @rule(where=st.floats(0, 1), max_bytes=st.integers(1, 6000))
    def read_from_anywhere(self, where: float, max_bytes: int) -> None:
        log = self.log
        offset = Offset(int(log.start_offset + where * (log.end_offset - log.start_offset)))
        cursor, found = log.seek(offset), []
        while (read := log.read(cursor, max_bytes)).data:
            found += [value for batch in scan.batches(read.data) for value in scan.values(batch)]
            cursor = read.next
        assert found == self.list[offset:]
        assert read.next == log.end_position

    @precondition(lambda self: self.log.start_offset > 0)
    @rule()
    def below_the_start(self) -> None:
        try:
            self.log.seek(Offset(self.log.start_offset - 1))
        except OffsetOutOfRangeError as refused:
            assert refused.start == self.log.start_offset
        else:
            raise AssertionError("a removed offset was found")

    @invariant()
    def nothing_acknowledged_is_lost(self) -> None:
        if hasattr(self, "list"):
            assert self.witness.flaws(self.log) == []
            assert list(stored(self.log).values()) == self.list[self.log.start_offset :]
            assert self.log.end_offset == len(self.list)

    @invariant()
    def copies_hold_what_was_written_in_order(self) -> None:
        if hasattr(self, "copy"):
            numbers = [int(value.split(b":")[0]) for value in stored(self.copy).values()]
            assert numbers == sorted(set(numbers))


TestLogMachine = LogMachine.TestCase
TestLogMachine.settings = settings(
    max_examples=2_000 if LONG else 40,
    stateful_step_count=60 if LONG else 30,
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much],
)
