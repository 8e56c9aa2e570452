"""The invariants of every history: checks of a simulated cluster's logs against each other and their own past.

======  =================================================================
I1, I2  a log holds each origin once, in order, without holes
I3      one identity is the same batch everywhere, and every log holds one history of each origin; after a directory
        was rolled back or cloned there may be two, each in separate logs, reported, and no longer written
I4      every record was made under its origin by a node that had that origin
I5      a record counted as copied was on another disk, as it was produced
I6      progress reported to a peer survives a crash
I7      after healing no log lacks what any log holds, except what its own retention removed, a damaged range of which
        no log holds all, and the other side of a fork
I8      and then stop growing
I9      no request goes beyond the end of the follower's log
I10     starts, ends and floors of a directory never go back
I11     an offset that could be read stays the same batch
I12     a consumer with a position vector, moving between nodes, misses and repeats nothing
I13     a skipped range was reported
I14     nothing is imported into a node's own origin
I15     retention removes whole sealed segments, oldest first, and no more than it has to
======  =================================================================

I5, I6, I8, I9, I12, I14 and I15 are checked where they happen: in ``copies.py``, ``node.py``, ``world.py``,
``cluster.py`` and ``consumer.py``.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field

from kit.simulation.node import Node
from kit.simulation.rules import Violation
from proglog.errors import DataLossError, NotFoundError
from proglog.log.log import Log
from proglog.log.model import LogPosition
from proglog.record import scan
from proglog.record.batch import VerifiedBatch, verify_checksums
from proglog.replication.progress import FIRST_SEQUENCE
from proglog.server.own_origin import proves_double
from proglog.types import FilePosition, Offset, OriginId, SequenceNumber

Identity = tuple[int, int]
"""Sequences of a batch, and the checksum of its contents."""


@dataclass(slots=True)
class Seen:
    """The observed state of a directory."""

    start: int = 0
    end: int = 0
    floors: dict[OriginId, tuple[int, int]] = field(default_factory=dict)
    offsets: dict[int, int] = field(default_factory=dict)


@dataclass(slots=True)
class Truth:
    """What really happened: the world's ground truth."""

    makers: dict[OriginId, set[str]] = field(default_factory=dict)
    parents: dict[tuple[OriginId, int, int], int | None] = field(default_factory=dict)
    """Checksum of the batch before each produced one, by origin, sequence and checksum."""
    tampered: set[OriginId] = field(default_factory=set)
    """Origins in use twice, or used before."""
    damaged: set[OriginId] = field(default_factory=set)
    """Origins that had batches on a medium that was damaged."""
    identities: dict[tuple[OriginId, int], Identity] = field(default_factory=dict)
    seen: dict[str, Seen] = field(default_factory=dict)

    def produced(self, origin: OriginId, base: int, payload_crc: int, parent: int | None) -> None:
        """Record a batch produced after ``parent``."""
        self.parents[origin, base, payload_crc] = parent


def check_logs(nodes: list[Node], truth: Truth) -> set[OriginId]:
    """Check every log against the others and against the truth; return the origins with two histories now.

    Raises:
        Violation: An invariant does not hold.
    """
    now: dict[tuple[OriginId, int], Identity] = {}
    forked: set[OriginId] = set()
    for node in nodes:
        if node.log is not None:
            _check_log(node, node.log, truth, now, forked)
            _check_monotonic(node, node.log, truth.seen.setdefault(node.name, Seen()))
    return forked


def _check_log(
    node: Node, log: Log, truth: Truth, now: dict[tuple[OriginId, int], Identity], forked: set[OriginId]
) -> None:
    following: dict[OriginId, tuple[int, int | None]] = {}
    for batch in batches_in(log):
        header = batch.header
        expected, before = following.get(header.origin, (log.origins()[header.origin].floor_sequence, None))
        jumps = header.base_sequence != expected and not log.damaged()
        if jumps and log.origins()[header.origin].kept(expected, header.base_sequence):
            raise Violation(
                f"I1/I2 {node.name}: {_name(header.origin)} continues at {header.base_sequence}, not {expected}"
            )
        contiguous = before is not None and header.base_sequence == expected
        following[header.origin] = header.next_sequence, batch.payload_crc
        key, identity = (header.origin, int(header.base_sequence)), (header.sequence_span, batch.payload_crc)
        known = now if header.origin in truth.tampered else truth.identities
        if known.setdefault(key, identity) != identity:
            if header.origin not in truth.tampered:
                raise Violation(f"I3 {_name(header.origin)} has two batches at {header.base_sequence}")
            forked.add(header.origin)
        parent = truth.parents.get((header.origin, header.base_sequence, batch.payload_crc))
        if contiguous and parent is not None and parent != before:
            raise Violation(f"I3 {node.name} holds a mix of two histories of {_name(header.origin)}")
        makers = tuple(maker.encode() + b":" for maker in truth.makers[header.origin])
        if any(not value.startswith(makers) for value in scan.values(batch)):
            raise Violation(f"I4 {_name(header.origin)} holds records that its nodes did not make")
    gaps = len(log.gaps())
    if gaps and not node.gaps:
        raise Violation(f"I13 {node.name} has {gaps} gaps and reported none")


def _check_monotonic(node: Node, log: Log, seen: Seen) -> None:
    floors = {origin: (int(state.floor_sequence), int(state.next_sequence)) for origin, state in log.origins().items()}
    if log.start_offset < seen.start or log.end_offset < seen.end:
        raise Violation(f"I10 {node.name} went back to [{log.start_offset}, {log.end_offset}) from [.., {seen.end})")
    for origin, (floor, following) in seen.floors.items():
        if not node.rotten and (floors.get(origin, (0, 0))[0] < floor or floors[origin][1] < following):
            raise Violation(f"I10 {node.name} went back in {_name(origin)} from {floor}, {following}")
    seen.start, seen.end, seen.floors = log.start_offset, log.end_offset, floors
    for batch in batches_in(log):
        if batch.header.record_count:
            offset = int(batch.header.base_offset)
            if seen.offsets.setdefault(offset, batch.payload_crc) != batch.payload_crc:
                raise Violation(f"I11 {node.name} has another batch at offset {offset} than before")


def check_level(nodes: list[Node], truth: Truth, forked: set[OriginId]) -> None:
    """Check that all logs hold what any log holds, after healing.

    Raises:
        Violation: I3, I7 or I13.
    """
    notices = [notice for node in nodes for notice in node.notices]
    logs = {node.name: node.log for node in nodes if node.log is not None}
    for name, log in logs.items():
        for other in logs.values():
            if other is not log and _could_show(log, other):
                raise Violation(f"I3 {name} still writes under {_name(log.origin)}, which lives twice")
    untold = forked - {origin for _, origin in notices}
    if untold:
        raise Violation(f"I13 two histories of {[_name(origin) for origin in untold]}, and no node reported it")
    split = truth.tampered & {origin for kind, origin in notices if kind == "replication_forked"}
    holdings = [_Holding(log, name) for name, log in logs.items()]
    everything = {record for holding in holdings for record in holding.records if record[0] not in split}
    for holding in holdings:
        lacking = [
            (origin, sequence)
            for origin, sequence in everything - holding.records
            if sequence >= holding.floors.get(origin, 1)  # its own retention removed what is below
            and not (origin in truth.tampered and holding.has_gap(origin, sequence))
            and not holding.waits_for_repair(origin, sequence, everything)
        ]
        if lacking:
            origin, sequence = min(lacking)
            raise Violation(f"I7 {holding.name} lacks {len(lacking)} records, of {_name(origin)} from {sequence} on")


def _could_show(log: Log, other: Log) -> bool:
    """Return whether ``other`` holds proof for ``log`` that its origin is no longer its own."""
    if other.origin == log.origin:
        return True
    told = other.origins().get(log.origin)
    if told is None or told.next_sequence == FIRST_SEQUENCE:
        return False
    shown = batch_with(other, log.origin, told.next_sequence - 1)  # none, if that was damaged
    return shown is not None and proves_double(shown, log)


class _Holding:
    """The records of one log, its floors, and its gaps."""

    def __init__(self, log: Log, name: str) -> None:
        self.name = name
        self.records: set[tuple[OriginId, int]] = set()
        self._origins = log.origins()
        self._missing = [each for each in log.missing() if each not in log.gaps()]  # these heal in parts
        self.floors = {origin: state.floor_sequence for origin, state in log.origins().items()}
        for batch in batches_in(log):
            origin, start, end = batch.header.origin, batch.header.base_sequence, batch.header.next_sequence
            if not batch.header.is_control:
                self.records |= {(origin, sequence) for sequence in range(start, end)}

    def has_gap(self, origin: OriginId, sequence: int) -> bool:
        """Return whether the log reaches over the record, and says that it lacks it."""
        held = self._origins.get(origin)
        return held is not None and sequence < held.next_sequence and not held.kept(sequence, sequence + 1)

    def waits_for_repair(self, origin: OriginId, sequence: int, everything: set[tuple[OriginId, int]]) -> bool:
        """Return whether its damaged range also lost a record that no node has: it heals whole or not at all."""
        lost = [(each.origin, number) for each in self._missing for number in range(each.start, each.end)]
        return (origin, sequence) in lost and not everything.issuperset(lost)


def batches_in(log: Log) -> Iterator[VerifiedBatch]:
    """Yield every batch of a log that can be read."""
    cursor = LogPosition(log.start_offset, FilePosition(0))
    while True:
        try:
            data, cursor = log.read(cursor, 1 << 20)
        except DataLossError as exc:
            cursor = _after(log, exc.end)
            continue
        if not data:
            return
        yield from scan.batches(data)


def records_in(log: Log) -> Iterator[tuple[OriginId, int]]:
    """Yield the identity of every record of a log that can be read."""
    for batch in batches_in(log):
        if not batch.header.is_control:
            for sequence in range(batch.header.base_sequence, batch.header.next_sequence):
                yield batch.header.origin, sequence


def batch_with(log: Log, origin: OriginId, sequence: int) -> VerifiedBatch | None:
    """Return the batch that holds ``sequence``; ``None`` if it is not there, or cannot be read."""
    try:
        return verify_checksums(log.read(log.seek_sequence(origin, SequenceNumber(sequence)), 1).data)
    except (NotFoundError, DataLossError):
        return None


def _after(log: Log, end: int) -> LogPosition:
    while end < log.end_offset:
        try:
            return log.seek(Offset(end))
        except DataLossError as exc:
            end = max(exc.end, end + 1)
    return log.end_position


def _name(origin: OriginId) -> str:
    return origin.hex()[:6]
