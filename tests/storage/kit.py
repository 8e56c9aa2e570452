"""What the storage tests share: a witness who keeps every answer of a log, and a life to be interrupted."""

import os
from collections.abc import Iterable
from pathlib import Path
from random import Random

from kit.checker import Attempt, Flaw, Outcome, Reading, Seen, check
from proglog.errors import DataLossError, ProglogError
from proglog.log.config import LogConfig
from proglog.log.files import FileSystem
from proglog.log.log import Log
from proglog.log.model import Appended, ImportAppend, LogPosition
from proglog.record import scan
from proglog.record.batch import verify
from proglog.testing.files import FaultyFiles
from proglog.types import FilePosition, Offset
from tests.unit.log.kit import DIR, batches_of, local, open_log

LONG = bool(os.environ.get("PROGLOG_LONG"))
"""The sizes that take minutes to hours: ``make test-long``."""

ROLLING = LogConfig(segment_bytes=4096, index_interval_bytes=512, retention_bytes=12_000, ballast_bytes=2048)
"""Small segments, so that a short life rolls and retains."""


class Witness:
    """Sends payloads to a log, keeps every answer, and says what is wrong with what can be read."""

    def __init__(self) -> None:
        self.attempts: list[Attempt] = []

    def append(self, log: Log, values: Iterable[bytes], producer: str = "p") -> bool:
        """Append one group, a batch a value; return whether all of it was acknowledged."""
        tried = list(values)
        start, may_write = len(self.attempts), log.state != "poisoned"
        self.attempts += [Attempt(producer, value, Outcome.UNKNOWN) for value in tried]  # if it crashes in the middle
        outcomes = log.append([local(value) for value in tried])
        unknown = may_write and log.state == "poisoned"
        for number, (value, outcome) in enumerate(zip(tried, outcomes, strict=True), start):
            if isinstance(outcome, Appended):
                self.attempts[number] = Attempt(producer, value, Outcome.OK, outcome.base_offset)
            elif not unknown:
                self.attempts[number] = Attempt(producer, value, Outcome.FAIL)
        return not any(isinstance(outcome, ProglogError) for outcome in outcomes)

    def flaws(self, log: Log, max_bytes: int = 1 << 16) -> list[Flaw]:
        """Read all of ``log`` and hold it to what it had answered."""
        return check(self.attempts, [reading_of(log, max_bytes)])


def reading_of(log: Log, max_bytes: int = 1 << 16) -> Reading:
    """Read a log from its start to its end, around what it says is damaged."""
    seen: list[Seen] = []
    start, end, at = log.start_offset, log.end_offset, log.start_offset
    cursor: LogPosition | None = LogPosition(
        start, FilePosition(0)
    )  # from the first byte: a batch without records is read, too
    while True:
        try:
            data, following = log.read(cursor or log.seek(at), max_bytes)
        except DataLossError as lost:
            assert lost.end > at or cursor is not None, lost
            at, cursor = Offset(lost.end), None
            continue
        if not data:
            damaged = [(each.start, each.end) for each in log.damaged()]
            return Reading(start=start, end=end, seen=seen, damaged=damaged)
        assert following != cursor
        cursor = following
        for batch in scan.batches(data):
            header = batch.header
            seen += [
                Seen(header.base_offset + number, header.origin, header.base_sequence + number, value)
                for number, value in enumerate(scan.values(batch))
            ]


def live(files: FileSystem, witness: Witness, *, config: LogConfig = ROLLING, groups: int = 40, life: int = 0) -> Log:
    """A life: open, groups of appends over several rolls, retention, an orderly end. Returns the closed log."""
    random = Random(life)
    log = open_log(files=files, config=config, seed=life)
    for group in range(groups):
        values = [b"%d.%d.%d " % (life, group, n) * random.randint(1, 40) for n in range(random.randint(1, 4))]
        witness.append(log, values)
        if group % 8 == 7:
            log.retain()
    log.close()
    return log


def reopen(files: FaultyFiles, witness: Witness, what: object, config: LogConfig = ROLLING) -> None:
    """Open what a crash left, and compare; then it must take appends, and be whole once more."""
    log = open_log(files=files, config=config, seed=99)
    assert witness.flaws(log) == [], what
    assert log.damaged() == [], what
    assert log.recovery.new_origin_reason == "", what
    assert witness.append(log, [b"after the crash"]), what
    log.close()
    log = open_log(files=files, config=config, seed=98)
    assert witness.flaws(log) == [], what
    assert log.recovery.clean, what
    log.close()


def came_back(log: Log, peer: Log) -> None:
    """What a running agent does with a peer's help: put back what was lost, copy what its origins lack at their ends."""
    lost = [
        verify(bytes(each.data))
        for missing in log.missing()
        for each in batches_of(peer)
        if each.header.origin == missing.origin and missing.start <= each.header.base_sequence < missing.end
    ]
    log.refill(lost)
    for origin in peer.origins():
        held = log.progress(origin)
        have = held.next_sequence if held else 1
        ends = [each for each in batches_of(peer) if each.header.origin == origin and each.header.base_sequence >= have]
        log.append([ImportAppend(verify(bytes(each.data))) for each in ends])


class Image:
    """The files of a disk, to be damaged and put back as often as one likes."""

    def __init__(self, files: FaultyFiles) -> None:
        files.kill()
        self.files = files
        self._contents = {path: bytes(files.content(path)) for path in files.paths()}

    @property
    def stores(self) -> list[Path]:
        """The store files, in order."""
        return [path for path in self._contents if path.suffix == ".log"]

    def restore(self) -> None:
        """Put every file back as it was; others go."""
        self.files.kill()
        for path in self.files.paths():
            if path not in self._contents:
                self.files.unlink(path)
        for path, content in self._contents.items():
            file = self.files.open(path, write=True, create=True)
            file.truncate(0)
            file.pwritev([content], 0)
        self.files.kill()

    def content(self, path: Path) -> bytes:
        """A file as it was."""
        return self._contents[path]


__all__ = ["DIR", "LONG", "ROLLING", "Image", "Witness", "came_back", "live", "open_log", "reading_of", "reopen"]
