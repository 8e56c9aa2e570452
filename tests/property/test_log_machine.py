"""The log against a plain list, in whatever order hypothesis can think of."""

from random import Random

import hypothesis.strategies as st
from hypothesis import HealthCheck, settings
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from proglog.errors import OffsetOutOfRangeError
from proglog.log.config import LogConfig
from proglog.log.log import Log
from proglog.log.model import Appended, ImportAppend
from proglog.record.batch import verify
from proglog.testing.files import FaultyFiles
from proglog.types import Offset, Sequence
from tests.unit.log.kit import DIR, Clock, History, batches_of, open_log, stored

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
        self.history = History()
        self.written = 0
        self.life = 0
        self.log = self.reopened(self.files, "a")
        self.copy = self.reopened(self.copies, "b")

    def reopened(self, files: FaultyFiles, name: str) -> Log:
        self.life += 1
        return open_log(files=files, config=CONFIG, name=name, seed=self.life, clock=self.clock)

    @rule(sizes=st.lists(st.integers(0, 1500), min_size=1, max_size=6))
    def append(self, sizes: list[int]) -> None:
        values = []
        for size in sizes:
            values.append(b"%d:" % self.written + bytes(size))
            self.written += 1
        assert self.history.append(self.log, values)

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
        assert self.log.recovery.scanned_bytes == 0

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
        have = state.next_sequence if state else Sequence(1)
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
        if hasattr(self, "history"):
            assert self.history.problems(self.log) == []

    @invariant()
    def copies_hold_what_was_written_in_order(self) -> None:
        if hasattr(self, "copy"):
            numbers = [int(value.split(b":")[0]) for value in stored(self.copy).values()]
            assert numbers == sorted(set(numbers))


TestLogMachine = LogMachine.TestCase
TestLogMachine.settings = settings(
    max_examples=40,
    stateful_step_count=30,
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much],
)
