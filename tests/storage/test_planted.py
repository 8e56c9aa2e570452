"""Values that hold pieces of logs, and files of other logs: none of it is ever a record of this one."""

from pathlib import Path
from random import Random

import pytest

from proglog.errors import DataLossError, StorageError
from proglog.log.config import LogConfig
from proglog.record.batch import HEADER_BYTES
from proglog.testing.files import FaultyFiles
from proglog.types import Offset
from tests.storage.kit import Image
from tests.unit.log.kit import DIR, append, open_log, stored

CONFIG = LogConfig(ballast_bytes=0)
STORE = DIR / f"{0:020d}.log"


def piece_of_a_log(seed: int, count: int = 100) -> bytes:
    """The store of a log: a backup of it may be kept as a value in another."""
    files = FaultyFiles()
    log = open_log(files=files, config=CONFIG, seed=seed)
    for number in range(count):
        append(log, b"planted %d" % number)
    files.kill()
    return bytes(files.content(STORE))


def kept(log_seed: int, plant: bytes) -> tuple[FaultyFiles, dict[Offset, bytes], int]:
    """A disk with records before, a batch that holds ``plant``, and records after; where that batch begins."""
    files = FaultyFiles()
    log = open_log(files=files, config=CONFIG, seed=log_seed)
    for number in range(20):
        append(log, b"before %d" % number)
    at = int(log.end_position.position)
    append(log, plant)
    for number in range(20):
        append(log, b"after %d" % number)
    values = stored(log)
    files.kill()
    return files, values, at


@pytest.mark.parametrize("whose", ["another log's", "this log's own"])
@pytest.mark.parametrize("where", ["header", "payload"])
def test_a_value_that_holds_a_log_is_no_log_when_its_header_or_payload_rots(whose: str, where: str) -> None:
    plant = piece_of_a_log(seed=1 if whose == "this log's own" else 2)
    files, values, at = kept(1, plant)
    image, random = Image(files), Random(5)
    for _ in range(20):
        image.restore()
        in_header = random.randrange(HEADER_BYTES)
        spot = at + (in_header if where == "header" else HEADER_BYTES + random.randrange(len(plant)))
        files.content(STORE)[spot] ^= 1 << random.randrange(8)
        log = open_log(files=files, config=CONFIG, seed=9)
        assert stored(log) == {offset: value for offset, value in values.items() if offset != 20}
        assert [(each.start, each.end) for each in log.damaged()] == [(20, 21)]


def test_an_unfinished_write_of_a_value_that_holds_a_log_is_cut() -> None:
    """The first sector of an unacknowledged write is lost in a power cut; batches of another log follow it."""
    files = FaultyFiles()
    log = open_log(files=files, config=CONFIG, seed=1)
    for number in range(20):
        append(log, b"before %d" % number)
    values, at = stored(log), int(log.end_position.position)
    append(log, piece_of_a_log(seed=2))
    files.kill()
    files.content(STORE)[at : at + 512] = bytes(512)
    log = open_log(files=files, config=CONFIG, seed=9)
    assert stored(log) == values
    assert log.damaged() == []
    assert log.recovery.torn_bytes > 10_000
    assert append(log, b"next").base_offset == 20


def test_a_batch_moved_inside_its_own_store_is_damage_there() -> None:
    files, values, _ = kept(1, b"a value")
    content = files.content(STORE)
    size = 128 + len(b"\n\x08before 5")
    first = content.index(b"before 5") - 130
    second = content.index(b"before 6") - 130
    content[second : second + size] = content[first : first + size]
    log = open_log(files=files, config=CONFIG, seed=9)
    assert stored(log) == {offset: value for offset, value in values.items() if offset != 6}
    with pytest.raises(DataLossError):
        log.seek(Offset(6))


def test_a_store_of_another_log_in_place_of_ones_own_is_damage_and_nothing_of_it_is_read(tmp_path: Path) -> None:
    small = LogConfig(segment_bytes=4096, ballast_bytes=0)
    for name, seed in (("a", 1), ("b", 2)):
        log = open_log(tmp_path / name, config=small, seed=seed)
        for number in range(80):
            append(log, b"%s %d " % (name.encode(), number) * 20)
        bases = [info.base_offset for info in log.segments()]
        log.close()
    store = f"{bases[1]:020d}.log"
    (tmp_path / "a" / store).write_bytes((tmp_path / "b" / store).read_bytes())
    log = open_log(tmp_path / "a", config=small)
    assert all(value.startswith(b"a ") for value in stored(log).values())
    assert [(each.start, each.end) for each in log.damaged()] == [(bases[1], bases[2])]
    log.close()


def test_segments_of_one_log_under_the_files_of_another_are_not_opened_and_not_changed(tmp_path: Path) -> None:
    for name, seed in (("a", 1), ("b", 2)):
        log = open_log(tmp_path / name, config=CONFIG, seed=seed)
        append(log, b"of " + name.encode())
        log.close()
    store = tmp_path / "a" / f"{0:020d}.log"
    content = (tmp_path / "b" / store.name).read_bytes()
    store.write_bytes(content)
    with pytest.raises(StorageError, match="files of two logs are mixed; nothing was changed"):
        open_log(tmp_path / "a", config=CONFIG)
    assert store.read_bytes() == content


@pytest.mark.parametrize("lost", [["identity"], ["identity", "durable"], ["identity", "origin", "retired"]])
def test_a_lost_identity_is_known_from_the_other_small_files(lost: list[str], tmp_path: Path) -> None:
    log = open_log(tmp_path, config=CONFIG, seed=1)
    append(log, b"a")
    log.close()
    identity = (tmp_path / "identity").read_bytes()
    for name in lost:
        (tmp_path / name).unlink(missing_ok=True)
    log = open_log(tmp_path, config=CONFIG, seed=8)
    assert stored(log) == {0: b"a"}
    assert (tmp_path / "identity").read_bytes() == identity
    log.close()


def test_an_identity_of_another_log_is_outvoted_by_the_segments(tmp_path: Path) -> None:
    for name, seed in (("a", 1), ("b", 2)):
        log = open_log(tmp_path / name, config=CONFIG, seed=seed)
        append(log, b"of " + name.encode())
        log.close()
    own = (tmp_path / "a" / "identity").read_bytes()
    (tmp_path / "a" / "identity").write_bytes((tmp_path / "b" / "identity").read_bytes())
    log = open_log(tmp_path / "a", config=CONFIG, seed=8)
    assert stored(log) == {0: b"of a"}
    assert (tmp_path / "a" / "identity").read_bytes() == own
    log.close()


def test_without_any_small_file_the_stores_are_still_read(tmp_path: Path) -> None:
    small = LogConfig(segment_bytes=4096, ballast_bytes=0)
    log = open_log(tmp_path, config=small, seed=1)
    for number in range(80):
        append(log, b"%d " % number * 20)
    values = stored(log)
    log.close()
    for path in tmp_path.iterdir():
        if path.suffix != ".log":
            path.unlink()
    log = open_log(tmp_path, config=small, seed=8)
    assert stored(log) == values
    assert log.damaged() == []
    log.close()
