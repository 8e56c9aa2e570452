"""One node of the simulated cluster: a disk, and while it runs a log, a planner, and batches waiting to be appended.

The driver around the planner is the replicator's, without its tasks: judge, queue, append in groups, report; and when
the node's own origin is lost, start another. Switched-off rules take effect here.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from random import Random

from kit.simulation.disk import SimDisk
from kit.simulation.rules import Rules, Violation
from proglog.errors import ForkedOriginError, ProglogError
from proglog.log.config import FsyncPolicy, LogConfig
from proglog.log.log import Log
from proglog.log.model import Appended, ImportAppend, LocalAppend
from proglog.record import batch, columns, scan
from proglog.record.batch import VerifiedBatch, chain_start, stamp_local, verify
from proglog.replication.holes import Over
from proglog.replication.plan import Decision
from proglog.replication.planner import Planner
from proglog.replication.progress import FIRST_SEQUENCE, Progress
from proglog.replication.repair import RepairPlan
from proglog.server.followers import Followers
from proglog.server.own_origin import DoubleClaim, OwnOrigin, parted_from, proves_double
from proglog.telemetry.emit import EventKind
from proglog.types import NodeName, OriginId, SequenceNumber

DATA_DIR = Path("/data")
SEGMENT_BYTES = 4 * 1024


@dataclass(slots=True)
class Node:
    """A machine and the node on it."""

    name: str
    random: Random
    rules: Rules
    now: Callable[[], float]
    retention_bytes: int | None = None
    others: Mapping[str, str] = field(default_factory=dict)
    """The other nodes: permanent members, even while down."""
    disk: SimDisk = field(init=False)
    log: Log | None = None
    planner: Planner = field(init=False)
    own_origin: OwnOrigin = field(init=False)
    claims: list[DoubleClaim] = field(default_factory=list)
    """What peers said of a double of this node's directory, and have to prove."""
    followers: Followers = field(default_factory=Followers)
    repairs: RepairPlan = field(default_factory=RepairPlan)
    queue: list[tuple[str, ImportAppend]] = field(default_factory=list)
    produced: int = 0
    told: dict[OriginId, SequenceNumber] = field(default_factory=dict)
    """The farthest positions reported to any peer: they must survive everything except a disk change."""
    cursor: dict[OriginId, SequenceNumber] = field(default_factory=dict)
    """Without rule 5: its saved progress."""
    gaps: int = 0
    notices: list[tuple[str, OriginId]] = field(default_factory=list)
    rotten: bool = False
    """Whether the medium was damaged: if that hit the end of an origin, the log cannot know how far it went."""
    lost: str = ""
    """Reason to give up the node's own origin; empty to keep it."""
    received: int = 0
    """Records received, whether appended or not."""

    def __post_init__(self) -> None:
        self.wipe()

    def wipe(self) -> None:
        """Insert an empty disk. The node must be down."""
        assert self.log is None
        self.disk = SimDisk(self.random, honest=self.rules.honest_disks)
        self.told, self.cursor, self.rotten = {}, {}, False

    def put_back(self, image: dict[Path, bytes]) -> None:
        """Insert another disk: a backup of this one, or a copy of another node's. The node must be down."""
        self.wipe()
        self.disk.restore(image)

    def start(self) -> None:
        """Open the log and recover."""
        fsync = FsyncPolicy.ALWAYS if self.rules.durable_only else FsyncPolicy.OS
        config = LogConfig(segment_bytes=SEGMENT_BYTES, retention_bytes=self.retention_bytes, fsync=fsync)
        self.log = Log.open(
            DATA_DIR,
            config,
            node_name=NodeName(self.name),
            files=self.disk,
            now_ms=lambda: int(self.now() * 1000),
            new_origin=lambda: self.random.randbytes(16),
        )
        held = self.log.origins()
        for origin, next_sequence in self.told.items():
            found = held[origin].next_sequence if origin in held else FIRST_SEQUENCE
            if found < next_sequence and not self.rotten:
                raise Violation(f"I6 {self.name} reported sequence {next_sequence - 1} and came back with {found - 1}")
        self.planner = Planner(self.log.origin, self._from_cursor(held), self.rules.patience, lambda: self.others)
        self.own_origin, self.followers = OwnOrigin(self.log), Followers()
        self.own_origin.on_lost = self._origin_lost
        self.claims.clear()
        self.own_origin.on_claim = self.claims.append
        self.lost = ""

    def stop(self, *, power_loss: bool) -> None:
        """Crash: by power loss, or by a kill, which loses no written data."""
        self.log = None
        self.queue = []
        if power_loss:
            self.disk.lose_power()
        if not self.rules.durable_floors:
            self.disk.forget(DATA_DIR / "retired")

    def begin_origin(self) -> None:
        """Switch to a new origin, as the replicator does when the old one is lost."""
        assert self.log is not None
        reason, self.lost = self.lost, ""
        if self.rules.new_origins:
            origin = self.log.begin_origin(reason)
            self.planner.advanced(self.positions(), self.now())
            self.planner.local_origin_changed(origin, self.now())

    def hear(self, peer: str, positions: Sequence[Progress]) -> list[Progress]:
        """Return the ``positions``, as reported by ``peer``, that are consistent with what this node wrote."""
        assert self.log is not None
        return self.own_origin.hear(peer, positions, parted_from(self.own_origin.unproven(positions), self.log))

    def examine(self, claim: DoubleClaim, shown: VerifiedBatch | None) -> None:
        """Judge what a peer shows for its claim to this node's origin."""
        assert self.log is not None
        if shown is not None and proves_double(shown, self.log):
            self.own_origin.lose(claim)

    def show(self, origin: OriginId, sequence: SequenceNumber) -> VerifiedBatch | None:
        """Return the batch of an origin that holds a sequence, as a peer may ask for it."""
        if self.log is None or not sequence:
            return None
        try:
            read = self.log.read(self.log.seek_sequence(origin, sequence), 1)
            return verify(read.data) if read.data else None
        except ProglogError:
            return None

    def produce(self, count: int) -> Appended:
        """Append a batch of records whose values say who made them."""
        assert self.log is not None
        values = [b"%s:%050d" % (self.name.encode(), self.produced + index) for index in range(count)]
        self.produced += count
        data = batch.encode(columns.from_values(values), count=count, first_timestamp_ms=1, max_timestamp_ms=1)
        (outcome,) = self.log.append([LocalAppend(verify(data))])
        assert isinstance(outcome, Appended), outcome
        return outcome

    def positions(self) -> list[Progress]:
        """Return the progress to report to peers, and record it: it has to survive."""
        assert self.log is not None
        positions = list(self.log.origins().values())
        for position in positions:
            self.told[position.origin] = max(self.told.get(position.origin, FIRST_SEQUENCE), position.next_sequence)
        return positions if self.rules.chains else [replace(position, chain_crc=0) for position in positions]

    def report(self) -> list[Progress]:
        """Return the durable progress to report to sources."""
        positions = self.positions()
        if self.rules.durable_reports:
            return positions
        ahead = {each.batch.header.origin: each.batch.header.next_sequence for _, each in self.queue}
        self.told |= {origin: max(reach, self.told.get(origin, FIRST_SEQUENCE)) for origin, reach in ahead.items()}
        return [
            replace(position, next_sequence=max(position.next_sequence, ahead.get(position.origin, FIRST_SEQUENCE)))
            for position in positions
        ]

    def receive(self, peer: str, data: bytes) -> None:
        """Judge batches from ``peer``, and queue those to append."""
        assert self.log is not None
        for received in scan.batches(data):
            self.received += received.header.record_count
            if not self.rules.sequences_survive_copying:
                self.queue.append((peer, ImportAppend(received)))
                continue
            verdict = self.planner.judge(peer, received.header, self.now())
            if verdict is Decision.HOLE and not self.rules.gaps_are_reported:
                self.queue.append((peer, ImportAppend(received, Over("nobody was asked"))))
            if verdict not in (Decision.APPEND, Decision.APPEND_AFTER_GAP):
                continue
            if received.header.origin == self.log.origin:
                raise Violation(f"I14 {self.name} was to import into its own origin")
            over = self.planner.over(received.header) if verdict is Decision.APPEND_AFTER_GAP else None
            self.gaps += over is not None
            self.queue.append((peer, ImportAppend(received, over)))
            self.cursor[received.header.origin] = received.header.next_sequence

    def commit(self) -> None:
        """Append the queued batches as one group."""
        assert self.log is not None
        queue, self.queue = self.queue, []
        if not self.rules.sequences_survive_copying:
            self.log.append([LocalAppend(each.batch) for _, each in queue if not each.batch.header.is_control])
            return
        copies = [each for _, each in queue]
        outcomes = self.log.append(copies if self.rules.chains else self._chained_anew(copies))
        self.planner.advanced(self.log.origins().values(), self.now())
        for (peer, each), outcome in zip(queue, outcomes, strict=True):
            origin = each.batch.header.origin
            if isinstance(outcome, ForkedOriginError):
                self.planner.forked(peer, origin, self.now(), str(outcome))
            elif isinstance(outcome, ProglogError):
                self.planner.append_failed(origin, self.now())
            elif isinstance(outcome, Appended) and outcome.origin == self.log.origin:
                raise Violation(f"I14 {self.name} imported into its own origin")

    def _origin_lost(self, event: EventKind, peer: str, detail: str) -> None:
        assert self.log is not None
        self.lost = f"{event.name}: {peer}: {detail}"
        self.notices.append((event.name, self.log.origin))

    def _from_cursor(self, held: Mapping[OriginId, Progress]) -> Mapping[OriginId, Progress]:
        """Without rule 5: believe the saved cursor rather than the log."""
        if self.rules.derived_positions:
            return held
        saved = {origin: Progress(origin, reach) for origin, reach in self.cursor.items()}
        return dict(held) | {
            origin: position
            for origin, position in saved.items()
            if origin not in held or held[origin].next_sequence < position.next_sequence
        }

    def _chained_anew(self, copies: list[ImportAppend]) -> list[ImportAppend]:
        """Without rule 7: make every batch continue the held history."""
        assert self.log is not None
        chains = {origin: state.chain_crc for origin, state in self.log.origins().items()}
        renewed = []
        for each in copies:
            origin = each.batch.header.origin
            stamped = stamp_local(
                each.batch,
                origin=origin,
                base_sequence=each.batch.header.base_sequence,
                previous_chain=chains.get(origin, chain_start(origin)),
                base_offset=each.batch.header.base_offset,
                append_time_ms=each.batch.header.append_time_ms,
            )
            copy = verify(stamped + bytes(each.batch.payload))
            chains[origin] = copy.header.chain_crc
            renewed.append(ImportAppend(copy, each.over))
        return renewed
