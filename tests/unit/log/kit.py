"""What tests of the log share: batches made in a line, logs on a disk that fails, and reading everything back."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from random import Random

from proglog.errors import DataLossError, ProglogError
from proglog.log.config import LogConfig
from proglog.log.files import FileSystem
from proglog.log.log import Log
from proglog.log.model import Appended, ImportAppend, LocalAppend, LogPosition
from proglog.record import columns, scan
from proglog.record.batch import VerifiedBatch, encode, verify
from proglog.types import FilePosition, NodeName, Offset, OriginId

DIR = Path("/data")
SMALL = LogConfig(segment_bytes=4096, index_interval_bytes=512, ballast_bytes=4096)


def batch_of(*values: bytes, time_ms: int = 1_700_000_000_000) -> VerifiedBatch:
    return verify(
        encode(
            columns.from_values(list(values)), count=len(values), first_timestamp_ms=time_ms, max_timestamp_ms=time_ms
        )
    )


def local(*values: bytes, time_ms: int = 1_700_000_000_000) -> LocalAppend:
    return LocalAppend(batch_of(*values, time_ms=time_ms))


class Clock:
    """Both clocks of a log, moved by hand."""

    def __init__(self) -> None:
        self.wall_ms = 1_700_000_000_000
        self.monotonic = 0.0

    def advance(self, seconds: float) -> None:
        self.wall_ms += int(seconds * 1000)
        self.monotonic += seconds


def open_log(
    directory: Path = DIR,
    files: FileSystem | None = None,
    config: LogConfig = SMALL,
    *,
    name: str = "a",
    seed: int = 0,
    clock: Clock | None = None,
) -> Log:
    clock = clock or Clock()
    random = Random(seed)
    return Log.open(
        directory,
        config,
        node_name=NodeName(name),
        files=files,
        now_ms=lambda: clock.wall_ms,
        monotonic=lambda: clock.monotonic,
        new_origin=lambda: random.randbytes(16),
        new_log_id=lambda: Random(f"log {name} {seed}").randbytes(16),
    )


def append(log: Log, *values: bytes) -> Appended:
    """Append one batch; it must succeed."""
    (outcome,) = log.append([local(*values)])
    assert isinstance(outcome, Appended), outcome
    return outcome


def stored(log: Log, max_bytes: int = 700) -> dict[Offset, bytes]:
    """Everything that can be read, by offset: damaged ranges are left out."""
    found: dict[Offset, bytes] = {}
    cursor = log.seek(log.start_offset) if log.start_offset not in _lost(log) else None
    if cursor is None:
        cursor = log.seek(_after_loss(log, log.start_offset))
    while True:
        try:
            read = log.read(cursor, max_bytes)
        except DataLossError as exc:
            cursor = log.seek(_after_loss(log, Offset(exc.end)))
            continue
        if not read.data:
            return found
        for batch in scan.batches(read.data):
            for number, value in enumerate(scan.values(batch)):
                offset = Offset(batch.header.base_offset + number)
                assert offset not in found, f"offset {offset} was read twice"
                found[offset] = value
        assert read.next != cursor
        cursor = read.next


def _lost(log: Log) -> set[int]:
    return {offset for each in log.damaged() for offset in range(each.start, each.end)}


def _after_loss(log: Log, offset: Offset) -> Offset:
    lost = _lost(log)
    while offset in lost:
        offset = Offset(offset + 1)
    return offset


def values_of(log: Log) -> list[bytes]:
    return list(stored(log).values())


def batches_of(log: Log) -> list[VerifiedBatch]:
    cursor, found = LogPosition(log.start_offset, FilePosition(0)), []
    while (read := log.read(cursor, 1 << 20)).data:
        found += list(scan.batches(read.data))
        cursor = read.next
    return found


def copy(source: Log, target: Log, origin: OriginId | None = None) -> list[object]:
    """Import everything of ``source`` into ``target``."""
    wanted = [each for each in batches_of(source) if origin is None or each.header.origin == origin]
    return list(target.append([ImportAppend(verify(bytes(each.data))) for each in wanted]))


@dataclass
class History:
    """What was tried on a log and what it answered: checks what can be read against it."""

    acknowledged: dict[Offset, bytes] = field(default_factory=dict)
    refused: set[bytes] = field(default_factory=set)
    unknown: set[bytes] = field(default_factory=set)

    def append(self, log: Log, values: Iterable[bytes]) -> bool:
        """Append one group, a batch a value; return whether all of it was acknowledged."""
        tried = list(values)
        self.unknown.update(tried)  # a crash in the middle leaves it at that
        outcomes = log.append([local(value) for value in tried])
        for value, outcome in zip(tried, outcomes, strict=True):
            if isinstance(outcome, Appended):
                self.acknowledged[outcome.base_offset] = value
                self.unknown.discard(value)
            elif log.state != "poisoned":
                self.refused.add(value)
                self.unknown.discard(value)
        return not any(isinstance(outcome, ProglogError) for outcome in outcomes)

    def problems(self, log: Log) -> list[str]:
        """Compare with what can be read now: an empty list is a log that did not lie."""
        found = stored(log)
        start = log.start_offset
        problems = [
            f"lost: offset {offset} was acknowledged with {value!r}, and reads {found.get(offset)!r}"
            for offset, value in self.acknowledged.items()
            if offset >= start and found.get(offset) != value
        ]
        acknowledged = set(self.acknowledged.values())
        for offset, value in found.items():
            if value in self.refused:
                problems.append(f"refused value {value!r} is at offset {offset}")
            elif value not in acknowledged and value not in self.unknown:
                problems.append(f"offset {offset} holds {value!r}, which nobody wrote")
        if len(set(found.values())) != len(found):
            problems.append("a value is there twice")
        if list(found) != list(range(start, start + len(found))) or log.end_offset != start + len(found):
            problems.append(f"offsets {start} to {log.end_offset} are not all there: {list(found)}")
        return problems
