"""The files beside the stores: lost, empty, torn, garbage, old, newer than the log, another's. The log says the same."""

from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from random import Random

import pytest

from proglog.errors import StorageError
from proglog.log.config import LogConfig
from proglog.log.log import Log
from proglog.testing.files import FaultyFiles
from proglog.types import Offset, SequenceNumber
from tests.storage.kit import DIR, Image, Witness, open_log
from tests.unit.log.kit import Clock

CONFIG = LogConfig(segment_bytes=4096, index_interval_bytes=512, retention_bytes=20_000, ballast_bytes=0)
SMALL_FILES = ("durable", "retired", "origin", "identity")

Damage = Callable[[Path, bytes, Random], bytes | None]
"""From a file's name and content to what is found in its place."""


def lost(path: Path, content: bytes, random: Random) -> None:
    del path, content, random


def empty(path: Path, content: bytes, random: Random) -> bytes:
    del path, content, random
    return b""


def truncated(path: Path, content: bytes, random: Random) -> bytes:
    del path
    return content[: random.randrange(len(content))]


def garbage(path: Path, content: bytes, random: Random) -> bytes:
    del path
    return random.randbytes(len(content))


def zeros(path: Path, content: bytes, random: Random) -> bytes:
    del path, random
    return bytes(len(content))


def zero_tail(path: Path, content: bytes, random: Random) -> bytes:
    del path
    return content + bytes(random.randint(1, 100))


def flipped(path: Path, content: bytes, random: Random) -> bytes:
    del path
    changed = bytearray(content)
    changed[random.randrange(len(changed))] ^= 1 << random.randrange(8)
    return bytes(changed)


BREAKAGES = (lost, empty, truncated, garbage, zeros, zero_tail, flipped)


def filled(groups: int, seed: int = 0) -> tuple[Image, Witness]:
    """A directory with several segments, some of them retired, closed in order."""
    files, witness, clock = FaultyFiles(), Witness(), Clock()
    log = open_log(files=files, config=CONFIG, clock=clock, seed=seed)
    for number in range(groups):
        witness.append(log, [b"%d.%d " % (seed, number) * 30])
        if number % 5 == 0:
            log.retain()
    log.close()
    return Image(files), witness


def answers(log: Log) -> object:
    """What the log says to every question."""
    return (
        [log.seek(Offset(offset)) for offset in range(log.start_offset, log.end_offset + 1)],
        {
            origin: [
                log.seek_sequence(origin, SequenceNumber(n)) for n in range(held.floor_sequence, held.next_sequence)
            ]
            for origin, held in log.origins().items()
        },
        [log.seek_time(time) for time in (0, 1_700_000_000_000, 1_700_000_000_001)],
        {origin: (held.next_sequence, held.chain_crc) for origin, held in log.origins().items()},
    )


def put(image: Image, path: Path, content: bytes | None) -> None:
    if content is None:
        image.files.unlink(path)
        image.files.sync_dir(DIR)
    else:
        image.files.content(path)[:] = content


@pytest.mark.parametrize("damage", BREAKAGES)
def test_indexes_are_made_again_with_identical_answers(damage: Damage) -> None:
    image, witness = filled(120)
    expected = answers(open_log(files=image.files, config=CONFIG))
    for seed in range(10):
        image.restore()
        random = Random(seed)
        for path in image.files.paths():
            if path.suffix == ".index" and random.random() < 0.5:
                put(image, path, damage(path, image.content(path), random))
        log = open_log(files=image.files, config=CONFIG, seed=5)
        assert answers(log) == expected
        assert witness.flaws(log) == []
        assert log.damaged() == []
        log.close()
        image.files.kill()
        log = open_log(files=image.files, config=CONFIG, seed=6)
        assert log.recovery.rebuilt_indexes == 0
        assert answers(log) == expected


def test_an_index_of_another_segment_or_of_an_earlier_day_is_not_believed() -> None:
    image, witness = filled(120)
    earlier, _ = filled(118)
    expected = answers(open_log(files=image.files, config=CONFIG))
    indexes = [path for path in image.files.paths() if path.suffix == ".index"]
    last = indexes[-1]
    assert earlier.content(last) != image.content(last)
    swaps = [(one, image.content(other)) for pair in pairwise(indexes) for one, other in (pair, pair[::-1])]
    for which, content in [*swaps, (last, earlier.content(last))]:
        image.restore()
        put(image, which, content)
        log = open_log(files=image.files, config=CONFIG, seed=5)
        assert answers(log) == expected, which.name
        assert witness.flaws(log) == []


def test_an_index_of_the_same_segment_of_another_log_is_not_believed() -> None:
    image, witness = filled(120)
    other, _ = filled(120, seed=7)
    expected = answers(open_log(files=image.files, config=CONFIG))
    for which in [path for path in image.files.paths() if path.suffix == ".index"]:
        image.restore()
        put(image, which, other.content(which))
        log = open_log(files=image.files, config=CONFIG, seed=5)
        assert answers(log) == expected, which.name
        assert witness.flaws(log) == []


@pytest.mark.parametrize("name", SMALL_FILES)
@pytest.mark.parametrize("damage", BREAKAGES)
def test_a_small_file_that_is_broken_costs_no_record(name: str, damage: Damage) -> None:
    image, witness = filled(120)
    for seed in range(10):
        image.restore()
        random = Random(seed)
        put(image, DIR / name, damage(DIR / name, image.content(DIR / name), random))
        log = open_log(files=image.files, config=CONFIG, seed=50 + seed)
        assert witness.flaws(log) == []
        assert log.damaged() == []
        assert witness.append(log, [b"next %d" % seed])
        assert witness.flaws(log) == []
        witness.attempts.pop()


@pytest.mark.parametrize("name", ["durable", "retired", "origin"])
def test_a_small_file_of_an_earlier_day_costs_no_record(name: str) -> None:
    image, witness = filled(140)
    earlier, _ = filled(110)
    put(image, DIR / name, earlier.content(DIR / name))
    log = open_log(files=image.files, config=CONFIG, seed=50)
    assert witness.flaws(log) == []
    assert log.damaged() == []
    assert log.recovery.new_origin_reason == ""


def test_a_mark_from_the_future_says_that_synced_records_are_missing_and_gives_no_offset_twice() -> None:
    image, witness = filled(60)
    later, _ = filled(62)
    put(image, DIR / "durable", later.content(DIR / "durable"))
    log = open_log(files=image.files, config=CONFIG, seed=50)
    assert witness.flaws(log) == [] or {flaw.kind for flaw in witness.flaws(log)} == {"skip"}
    assert "synced data is missing" in log.recovery.describe()
    assert log.recovery.new_origin_reason
    assert witness.append(log, [b"next"])
    assert witness.attempts[-1].offset >= 62


def test_what_another_log_retired_removes_nothing_here() -> None:
    image, witness = filled(110)
    later, _ = filled(400, seed=7)
    put(image, DIR / "retired", later.content(DIR / "retired"))
    try:
        log = open_log(files=image.files, config=CONFIG, seed=50)
    except StorageError as refused:
        assert "retired" in str(refused)
    else:
        assert {flaw.kind for flaw in witness.flaws(log)} <= {"skip"}
    assert set(image.stores) <= set(image.files.paths())


def test_the_origin_file_of_another_node_is_never_written_under() -> None:
    """Two directories under one origin would give one sequence to two records."""
    image, witness = filled(60)
    other, _ = filled(60, seed=7)
    put(image, DIR / "origin", other.content(DIR / "origin"))
    theirs = open_log(files=other.files, config=CONFIG).origin
    try:
        log = open_log(files=image.files, config=CONFIG, seed=50)
    except StorageError as refused:
        assert "origin" in str(refused)
    else:
        assert log.origin != theirs
        assert witness.flaws(log) == []


@pytest.mark.parametrize("name", ["ballast", "LOCK", "durable.tmp", "origin.tmp", "lost+found", "x.log", "00.index"])
def test_files_that_mean_nothing_are_left_alone(name: str) -> None:
    image, witness = filled(60)
    file = image.files.open(DIR / name, write=True, create=True)
    file.pwritev([b"\xa7PLB rubbish" * 30], 0)
    log = open_log(files=image.files, config=CONFIG, seed=50)
    assert witness.flaws(log) == []
    assert log.recovery.describe() == ""
