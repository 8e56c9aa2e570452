"""Opening a log after whatever happened to its files."""

import json
import os
from pathlib import Path
from random import Random

import pytest

from proglog.errors import DataLossError
from proglog.log.checkpoint import load
from proglog.log.config import FsyncPolicy, LogConfig
from proglog.log.files import OsFiles
from proglog.log.index import SegmentIndex
from proglog.log.log import Log
from proglog.record.batch import HEADER_BYTES
from proglog.record.crc import crc
from proglog.testing.files import FaultyFiles
from proglog.types import Offset
from tests.unit.log.kit import DIR, SMALL, History, append, batches_of, local, open_log, stored, values_of

LONG = bool(os.environ.get("PROGLOG_LONG"))
ONE_SEGMENT = LogConfig(ballast_bytes=0)
STORE = DIR / f"{0:020d}.log"
INDEX = DIR / f"{0:020d}.index"


def killed(values: list[bytes], config: LogConfig = ONE_SEGMENT) -> FaultyFiles:
    """A disk on which a process wrote ``values``, a batch each, and was killed."""
    files = FaultyFiles()
    log = open_log(files=files, config=config)
    for value in values:
        append(log, value)
    files.kill()
    return files


def reopened(files: FaultyFiles, config: LogConfig = ONE_SEGMENT) -> Log:
    return open_log(files=files, config=config, seed=9)


def test_a_kill_loses_nothing() -> None:
    files = killed([b"a", b"b", b"c"])
    log = reopened(files)
    assert values_of(log) == [b"a", b"b", b"c"]
    assert not log.recovery.clean
    assert log.recovery.describe() == ""


def test_a_tail_cut_at_any_byte_of_the_last_three_batches_leaves_the_whole_ones() -> None:
    values = [b"a" * 40, b"b" * 60, b"c", b"d" * 33, b"e" * 10]
    pristine = bytes(killed(values).content(STORE))
    ends = [batch_end for batch_end, _ in _ends(pristine)]
    for size in range(ends[-4], len(pristine)):
        files = killed(values)
        del files.content(STORE)[size:]
        log = reopened(files)
        whole = sum(end <= size for end in ends) - 1  # the first batch is the origin's own
        assert values_of(log) == values[:whole]
        assert log.recovery.torn_bytes == size - ends[whole]
        assert append(log, b"next").base_offset == whole


@pytest.mark.parametrize("size", [1, 100, HEADER_BYTES, 5000, 1 << 20])
@pytest.mark.parametrize("kind", ["zeros", "random", "stale", "half a header"])
def test_rubbish_after_the_last_batch_is_cut_and_reported(size: int, kind: str) -> None:
    values = [b"a" * 40, b"b" * 60, b"c" * 500]
    files = killed(values)
    store = files.content(STORE)
    length = len(store)
    rubbish = {
        "zeros": bytes(size),
        "random": Random(size).randbytes(size),
        "stale": (bytes(store) * (size // length + 1))[:size],
        "half a header": bytes(store[: HEADER_BYTES // 2]),
    }[kind]
    store += rubbish
    log = reopened(files)
    assert values_of(log) == values
    assert log.recovery.torn_bytes == len(rubbish)
    assert f"byte {length}" in log.recovery.describe()
    assert log.damaged() == []
    assert len(files.content(STORE)) == length


def test_a_group_half_written_is_cut_even_when_its_second_half_arrived() -> None:
    files = FaultyFiles()
    log = open_log(files=files, config=ONE_SEGMENT)
    append(log, b"safe")
    at = log.end_position.position
    log.append([local(b"x" * 600), local(b"y" * 600), local(b"z" * 600)])
    files.kill()
    files.content(STORE)[at + 200] ^= 1  # in the first batch of the last group
    log = reopened(files)
    assert values_of(log) == [b"safe"]
    assert log.damaged() == []
    assert log.recovery.torn_bytes > 1800


def test_damage_before_a_later_group_is_kept_and_named_and_the_rest_is_served() -> None:
    files = killed([b"a" * 50, b"b" * 50, b"c" * 50, b"d" * 50])
    starts = [start for start, _ in _starts(bytes(files.content(STORE)))]
    files.content(STORE)[starts[2] + HEADER_BYTES + 10] ^= 4
    length = len(files.content(STORE))
    log = reopened(files)
    assert stored(log) == {0: b"a" * 50, 2: b"c" * 50, 3: b"d" * 50}
    assert len(files.content(STORE)) == length
    (lost,) = log.damaged()
    assert (lost.start, lost.end) == (1, 2)
    assert "offsets [1, 2) are damaged" in log.recovery.describe()
    with pytest.raises(DataLossError) as refused:
        log.seek(Offset(1))
    assert (refused.value.start, refused.value.end) == (1, 2)
    assert append(log, b"e").base_offset == 4


def test_damage_below_the_durable_mark_is_never_cut_though_nothing_follows_it() -> None:
    files = FaultyFiles()
    log = open_log(files=files, config=ONE_SEGMENT)
    append(log, b"a")
    append(log, b"last")
    log.retain()  # records how far the log is durable
    files.kill()
    files.content(STORE)[-1] ^= 1
    log = reopened(files)
    assert log.recovery.torn_bytes == 0
    (lost,) = log.damaged()
    assert (lost.start, lost.end) == (1, 2)
    assert append(log, b"next").base_offset == 2
    assert stored(log) == {0: b"a", 2: b"next"}


def test_when_the_durable_end_is_gone_its_offsets_are_not_given_again_and_the_origin_is_new() -> None:
    files = FaultyFiles()
    log = open_log(files=files, config=ONE_SEGMENT)
    for value in (b"a", b"b", b"c"):
        append(log, value)
    origin = log.origin
    log.close()
    files.kill()
    ends = [end for end, _ in _ends(bytes(files.content(STORE)))]
    del files.content(STORE)[ends[1] :]
    log = reopened(files)
    assert append(log, b"new").base_offset == 3
    assert stored(log) == {0: b"a", 3: b"new"}
    assert [(lost.start, lost.end) for lost in log.damaged()] == [(1, 3)]
    assert log.origin != origin
    assert log.recovery.new_origin_reason == "synced data is missing from the end of the log"
    with pytest.raises(DataLossError):
        log.seek(Offset(2))


def test_a_store_that_is_missing_is_a_damaged_range_between_the_others(tmp_path: Path) -> None:
    log = open_log(tmp_path)
    for number in range(60):
        append(log, b"%d" % number * 100)
    infos = log.segments()
    log.close()
    (tmp_path / f"{infos[1].base_offset:020d}.log").unlink()
    log = open_log(tmp_path)
    lost = set(range(infos[1].base_offset, infos[1].end_offset))
    assert set(stored(log)) == set(range(60)) - lost
    assert [(each.start, each.end) for each in log.damaged()] == [(infos[1].base_offset, infos[1].end_offset)]
    log.close()


@pytest.mark.parametrize("damage", ["missing", "empty", "garbage", "bit", "zero tail", "another segment's", "stale"])
def test_an_index_that_is_no_good_is_made_again_with_the_same_answers(damage: str) -> None:
    files = FaultyFiles()
    log = open_log(files=files)
    for number in range(80):
        append(log, b"%d" % number * 60)
    expected = _answers(log)
    log.close()
    files.kill()
    indexes = [path for path in files.paths() if path.suffix == ".index"]
    kept = {path: bytes(files.content(path)) for path in indexes}
    assert len(indexes) > 3
    for path in indexes:
        content = files.content(path)
        match damage:
            case "missing":
                files.unlink(path)
            case "empty":
                content.clear()
            case "garbage":
                content[:] = Random(1).randbytes(len(content))
            case "bit":
                content[Random(str(path)).randrange(len(content))] ^= 1
            case "zero tail":
                content[-20:] = bytes(20)
            case "another segment's":
                content[:] = kept[indexes[indexes.index(path) - 1]]
            case "stale":
                content[:] = shorter_index(files, path)
    log = reopened(files, SMALL)
    assert _answers(log) == expected
    log.close()
    files.kill()
    log = reopened(files, SMALL)
    assert _answers(log) == expected
    assert log.recovery.rebuilt_indexes == 0


def shorter_index(files: FaultyFiles, path: Path) -> bytes:
    """The index of a segment of the same name with less in it."""
    identity = load(files, DIR / "identity")
    assert identity is not None
    return SegmentIndex(Offset(int(path.stem)), 512).encode(crc(bytes.fromhex(identity["log"])))


def test_a_damaged_bit_is_never_served_and_never_costs_another_record() -> None:
    random = Random(7)
    values = [b"%03d" % number * random.randint(1, 60) for number in range(60)]
    pristine = FaultyFiles()
    log = open_log(files=pristine)
    for value in values:
        append(log, value)
    log.close()
    pristine.kill()
    stores = [path for path in pristine.paths() if path.suffix == ".log"]
    for flip in range(10_000 if LONG else 300):
        path = random.choice(stores)
        content = pristine.content(path)
        position, bit = random.randrange(len(content)), 1 << random.randrange(8)
        with_marks = {each: bytes(pristine.content(each)) for each in pristine.paths()}
        content[position] ^= bit
        log = reopened(pristine, SMALL)
        found = stored(log)
        assert all(values[offset] == value for offset, value in found.items()), flip
        lost = {offset for each in log.damaged() for offset in range(each.start, each.end)}
        assert set(found) | lost >= set(range(60)), flip
        assert not set(found) & lost, flip
        assert len(lost) <= 1, (flip, path, position, lost)
        pristine.kill()
        for each in pristine.paths():
            if each not in with_marks:
                pristine.unlink(each)
            else:
                pristine.content(each)[:] = with_marks[each]


def test_a_swapped_sector_is_found() -> None:
    files = FaultyFiles()
    log = open_log(files=files)
    for number in range(30):
        append(log, b"%02d" % number * 150)
    log.close()
    files.kill()
    content = files.content(STORE)
    content[512:1024], content[1536:2048] = content[1536:2048], content[512:1024]
    log = reopened(files, SMALL)
    found = stored(log)
    assert all(value == b"%02d" % offset * 150 for offset, value in found.items())
    assert log.damaged()


@pytest.mark.parametrize("policy", [FsyncPolicy.INTERVAL, FsyncPolicy.OS])
def test_an_unclean_end_without_fsync_begins_a_new_origin_that_names_the_old_one(policy: FsyncPolicy) -> None:
    files = FaultyFiles()
    config = LogConfig(fsync=policy, ballast_bytes=0)
    log = open_log(files=files, config=config)
    append(log, b"x")
    before = log.origin
    files.power_loss()
    log = reopened(files, config)
    assert log.origin != before
    assert "unclean stop" in log.recovery.new_origin_reason
    header = batches_of(log)[-1].header
    assert (header.origin, header.is_control) == (log.origin, True)
    log.close()
    files.kill()
    again = open_log(files=files, config=config, seed=4)
    assert again.origin == log.origin


def test_an_unclean_end_under_fsync_always_keeps_the_origin() -> None:
    files = FaultyFiles()
    log = open_log(files=files, config=ONE_SEGMENT)
    append(log, b"x")
    before = log.origin
    files.power_loss()
    assert reopened(files).origin == before


@pytest.mark.parametrize("name", ["origin", "durable", "retired"])
@pytest.mark.parametrize("damage", ["missing", "empty", "garbage", "torn"])
def test_a_small_file_that_is_no_good_does_not_stop_the_log(name: str, damage: str) -> None:
    files = FaultyFiles()
    config = LogConfig(segment_bytes=4096, retention_bytes=10_000, ballast_bytes=0)
    log = open_log(files=files, config=config)
    for number in range(100):
        append(log, b"%d" % number * 100)
        log.retain()
    before = stored(log)
    log.close()
    files.kill()
    content = files.content(DIR / name)
    if damage == "missing":
        files.unlink(DIR / name)
    else:
        content[:] = {"empty": b"", "garbage": b"\xff\x00{}", "torn": bytes(content[:-4])}[damage]
    log = reopened(files, config)
    assert stored(log) == before
    assert append(log, b"next").base_offset == 100


def test_an_origin_file_that_is_lost_means_a_new_origin() -> None:
    files = killed([b"a"])
    files.content(DIR / "origin")[5] ^= 1
    log = reopened(files)
    assert log.recovery.new_origin_reason == "the file 'origin' was damaged"
    assert len(log.origins()) == 2


def test_what_recovery_found_whole_is_synced_before_it_is_served() -> None:
    files = FaultyFiles()
    log = open_log(files=files, config=LogConfig(fsync=FsyncPolicy.OS, ballast_bytes=0))
    append(log, b"x")
    files._locks.clear()  # the process is gone; its pages are not on disk yet
    log = reopened(files)
    assert values_of(log) == [b"x"]
    files.power_loss()
    assert values_of(reopened(files)) == [b"x"]


def test_the_marks_are_readable_by_an_operator(tmp_path: Path) -> None:
    log = open_log(tmp_path)
    append(log, b"x")
    log.close()
    line, _ = (tmp_path / "durable").read_text().splitlines()
    assert json.loads(line)["closed_in_order"] is True
    assert load(OsFiles(), tmp_path / "origin") is not None


def test_the_history_checker_finds_every_planted_error() -> None:
    files = FaultyFiles()
    log = open_log(files=files)
    history = History()
    history.append(log, [b"%d" % number for number in range(30)])
    assert history.problems(log) == []
    random = Random(3)
    for _ in range(1000 if LONG else 200):
        planted = History(dict(history.acknowledged), set(), set())
        offset = Offset(random.randrange(30))
        match random.randrange(4):
            case 0:
                planted.acknowledged[offset] += b"?"
            case 1:
                planted.acknowledged[Offset(30 + offset)] = b"lost"
            case 2:
                planted.refused.add(planted.acknowledged.pop(offset))
            case _:
                del planted.acknowledged[offset]
        assert planted.problems(log)


def _answers(log: Log) -> list[object]:
    state = log.origins()[log.origin]
    return [
        [log.seek(Offset(offset)) for offset in range(log.start_offset, log.end_offset + 1)],
        [log.seek_sequence(log.origin, type(state.next_sequence)(n)) for n in range(1, state.next_sequence)],
        [log.seek_time(1_699_999_999_999), log.seek_time(1_700_000_000_000), log.seek_time(1_700_000_000_001)],
        log.origins(),
    ]


def _starts(store: bytes) -> list[tuple[int, int]]:
    from proglog.record import scan

    return [(position, header.batch_bytes) for position, header in scan.headers(store)]


def _ends(store: bytes) -> list[tuple[int, int]]:
    return [(start + size, size) for start, size in _starts(store)]
