"""One node of the simulated cluster: a disk, and while it runs a log, a planner, and batches waiting to be appended.

The driver around the planner is the replicator's, without its tasks: judge, queue, append in groups, report.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from random import Random

from proglog.errors import ForkedOriginError, ProglogError
from proglog.log.config import LogConfig
from proglog.log.log import Log
from proglog.log.model import Appended, ImportAppend, LocalAppend
from proglog.record import batch, columns, scan
from proglog.record.batch import VerifiedBatch, verify
from proglog.replication.gap import gap_before
from proglog.replication.planner import Patience, Planner, Verdict
from proglog.replication.positions import FIRST_SEQUENCE
from proglog.rpc.feed import positions_in
from proglog.testing.simulation.disk import SimDisk
from proglog.types import NodeName, OriginId, Sequence

DATA_DIR = Path("/data")
SEGMENT_BYTES = 4 * 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class Rules:
    """Which rules hold; a simulation that does not fail without one does not test it."""

    sequences_survive_copying: bool = True
    """Rule 1: a copy keeps its identity. Without: the original's copies of copies."""
    relay: bool = True
    """Rule 6: every node serves every origin it holds."""
    honest_disks: bool = True
    """Rule 2 rests on it: what is synced stays."""
    patience: Patience = field(default_factory=Patience)
    """Rules 4 and 6: when a source is given up, and when a gap is written."""


class Violation(AssertionError):  # noqa: N818 - it is no error of the program, but what the simulation looks for
    """An invariant does not hold."""


@dataclass(slots=True)
class Node:
    """A machine and what runs on it."""

    name: str
    random: Random
    rules: Rules
    now: Callable[[], float]
    retention_bytes: int | None = None
    disk: SimDisk = field(init=False)
    log: Log | None = None
    planner: Planner = field(init=False)
    queue: list[tuple[str, VerifiedBatch]] = field(default_factory=list)
    produced: int = 0
    told: dict[OriginId, Sequence] = field(default_factory=dict)
    """The farthest positions that anybody was told of: they must survive everything but a wipe."""
    gaps: int = 0
    notices: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.wipe()

    def wipe(self) -> None:
        """Put an empty disk in. The node must be down."""
        assert self.log is None
        self.disk = SimDisk(self.random, honest=self.rules.honest_disks)
        self.told = {}

    def start(self) -> None:
        """Open the log and recover."""
        config = LogConfig(segment_bytes=SEGMENT_BYTES, retention_bytes=self.retention_bytes)
        self.log = Log.open(
            DATA_DIR,
            config,
            node_name=NodeName(self.name),
            files=self.disk,
            now_ms=lambda: int(self.now() * 1000),
            new_origin=lambda: self.random.randbytes(16),
        )
        held = {position.origin: position for position in positions_in(self.log)}
        for origin, next_sequence in self.told.items():
            found = held[origin].next_sequence if origin in held else FIRST_SEQUENCE
            if found < next_sequence:
                raise Violation(f"I6 {self.name} told of sequence {next_sequence - 1} and came back with {found - 1}")
        self.planner = Planner(self.log.origin, held, self.rules.patience)

    def stop(self, *, power_loss: bool) -> None:
        """Die; with the power gone, or killed: then what was written is not lost."""
        self.log = None
        self.queue = []
        if power_loss:
            self.disk.lose_power()

    def produce(self, count: int) -> None:
        """Append a batch of records whose values say who made them."""
        assert self.log is not None
        values = [b"%s:%050d" % (self.name.encode(), self.produced + index) for index in range(count)]
        self.produced += count
        data = batch.encode(columns.from_values(values), count=count, first_timestamp_ms=1, max_timestamp_ms=1)
        self.log.append([LocalAppend(verify(data))])

    def tell(self) -> None:
        """Note what peers may be told now."""
        assert self.log is not None
        for position in positions_in(self.log):
            self.told[position.origin] = max(self.told.get(position.origin, FIRST_SEQUENCE), position.next_sequence)

    def receive(self, peer: str, data: bytes) -> None:
        """Judge batches from ``peer`` and queue what is to be appended."""
        assert self.log is not None
        for received in scan.batches(data):
            if not self.rules.sequences_survive_copying:
                self.queue.append((peer, received))
                continue
            verdict = self.planner.judge(peer, received.header, self.now())
            if verdict not in (Verdict.APPEND, Verdict.APPEND_AFTER_GAP):
                continue
            if received.header.origin == self.log.origin:
                raise Violation(f"I14 {self.name} was to import into its own origin")
            if verdict is Verdict.APPEND_AFTER_GAP:
                held = self.log.origins().get(received.header.origin)
                expected = held.next_sequence if held else FIRST_SEQUENCE
                self.queue.append((peer, gap_before(received, expected, now_ms=int(self.now() * 1000), reason="lost")))
                self.gaps += 1
            self.queue.append((peer, received))

    def commit(self) -> None:
        """Append what is queued as one group."""
        assert self.log is not None
        queue, self.queue = self.queue, []
        if not self.rules.sequences_survive_copying:
            self.log.append([LocalAppend(each) for _, each in queue if not each.header.is_control])
            return
        outcomes = self.log.append([ImportAppend(each) for _, each in queue])
        self.planner.advanced(positions_in(self.log), self.now())
        for (peer, each), outcome in zip(queue, outcomes, strict=True):
            if isinstance(outcome, ForkedOriginError):
                self.planner.forked(peer, each.header.origin, self.now(), str(outcome))
            elif isinstance(outcome, ProglogError):
                self.planner.append_failed(each.header.origin, self.now())
            elif isinstance(outcome, Appended) and outcome.origin == self.log.origin:
                raise Violation(f"I14 {self.name} imported into its own origin")
