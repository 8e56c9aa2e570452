"""Directories that lose synced data between two lives: whatever happened to whichever file, no record comes back changed.

In each life records are acknowledged, some of which hold pieces of this log's and another log's files. Then the process is
killed or the power fails, and one file suffers. What can be read afterwards is what was acknowledged there last: never
bytes of a value or of another log, never a record that moved. What is acknowledged afterwards is there.
"""

from collections.abc import Callable
from pathlib import Path
from random import Random

import pytest

from proglog.errors import DataLossError, StorageError
from proglog.log.config import LogConfig
from proglog.log.log import Log
from proglog.log.model import LogPosition
from proglog.record import scan
from proglog.testing.files import BLOCK_BYTES, FaultyFiles
from proglog.types import FilePosition
from tests.storage.kit import LONG
from tests.unit.log.kit import append, open_log

CONFIG = LogConfig(segment_bytes=4096, index_interval_bytes=512, ballast_bytes=0)
SEEDS = 2_000 if LONG else 12
LIVES = 6
Copies = dict[Path, bytes]


def cut(random: Random, files: FaultyFiles, path: Path, old: Copies) -> None:
    """Synced bytes are gone from the file's end."""
    content = files.content(path)
    del content[random.randrange(len(content)) :]


def older(random: Random, files: FaultyFiles, path: Path, old: Copies) -> None:
    """The file is one of an earlier life."""
    if path in old:
        files.content(path)[:] = old[path]


def removed(random: Random, files: FaultyFiles, path: Path, old: Copies) -> None:
    """The file is gone."""
    files.unlink(path)


def unreadable(random: Random, files: FaultyFiles, path: Path, old: Copies) -> None:
    """A block of the file cannot be read."""
    files.unreadable.add((path.name, random.randrange(1 + (len(files.content(path)) - 1) // BLOCK_BYTES)))


def flipped(random: Random, files: FaultyFiles, path: Path, old: Copies) -> None:
    """A bit of the file changed."""
    files.content(path)[random.randrange(len(files.content(path)))] ^= 1 << random.randrange(8)


KINDS: list[Callable[[Random, FaultyFiles, Path, Copies], None]] = [cut, older, removed, unreadable, flipped]


def pieces(random: Random, *disks: FaultyFiles) -> bytes:
    """Return bytes of some file, as a value may hold them."""
    files = random.choice(disks)
    stores = [path for path in files.paths() if path.suffix in (".log", ".index") and files.content(path)]
    if not stores:
        return b"nothing yet"
    content = bytes(files.content(random.choice(stores)))
    start = random.choice([0, random.randrange(len(content))])
    return content[start : start + random.choice([128, 700, 3000])]


def readable(log: Log) -> dict[int, bytes]:
    """Return everything that can be read, by offset."""
    found: dict[int, bytes] = {}
    at = LogPosition(log.start_offset, FilePosition(0))
    while True:
        try:
            read = log.read(at, 700)
        except DataLossError:
            at = log.after_damage(at)
            continue
        if not read.data:
            return found
        for batch in scan.batches(read.data):
            found |= {batch.header.base_offset + number: value for number, value in enumerate(scan.values(batch))}
        at = read.next


def opened(files: FaultyFiles, seed: int) -> Log:
    """Open the log; an operator removes a block that opening cannot do without, as the error says."""
    try:
        return open_log(files=files, config=CONFIG, seed=seed)
    except StorageError:
        files.unreadable.clear()
        return open_log(files=files, config=CONFIG, seed=seed)


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: str(kind.__name__))
def test_whatever_a_file_lost_no_record_comes_back_changed(kind: Callable[..., None]) -> None:
    for seed in range(SEEDS):
        _live_and_lose(seed, kind)


def _live_and_lose(seed: int, kind: Callable[..., None]) -> None:
    random, files, other = Random(seed), FaultyFiles(seed), FaultyFiles(seed + 1)
    foreign = open_log(files=other, config=CONFIG, name="other", seed=99)
    for number in range(30):
        append(foreign, b"theirs %d" % number)
    acknowledged: dict[int, bytes] = {}
    old: Copies = {}
    for life in range(LIVES):
        log = opened(files, seed)
        fresh: dict[int, bytes] = {}
        for offset, value in readable(log).items():
            assert acknowledged.get(offset) == value, f"seed {seed}, life {life}: a phantom at offset {offset}"
        for number in range(random.randrange(5, 40)):
            value = pieces(random, files, other) if random.random() < 0.3 else b"%d of life %d" % (number, life)
            offset = append(log, value).base_offset
            acknowledged[offset] = fresh[offset] = value
        now = readable(log)
        assert {offset: now.get(offset) for offset in fresh} == fresh, f"seed {seed}, life {life}: not there"
        if random.random() < 0.5:
            log.retain()
        copies = {path: bytes(files.content(path)) for path in files.paths()}
        random.choice([log.close, files.kill, files.power_loss])()
        files.kill()
        suffering = [path for path in files.paths() if path.name != "LOCK" and files.content(path)]
        kind(random, files, random.choice(suffering), old)
        old = copies
