"""Synced bytes that are gone from a file's end, and files that are gone: nothing that comes later is lost with them."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from proglog.errors import DataLossError
from proglog.log.config import LogConfig
from proglog.log.log import Log
from proglog.log.model import ImportAppend, LogPosition
from proglog.log.verify import verify_directory
from proglog.record import scan
from proglog.record.batch import verify
from proglog.testing.files import FaultyFiles
from proglog.types import FilePosition, Offset, OriginId
from tests.storage.kit import LONG, Image
from tests.unit.log.kit import DIR, Clock, append, batches_of, open_log, stored

CONFIG = LogConfig(segment_bytes=4096, index_interval_bytes=512, ballast_bytes=0)
ONE = LogConfig(index_interval_bytes=512, ballast_bytes=0)
STORE = DIR / f"{0:020d}.log"


def written(config: LogConfig, count: int = 30) -> tuple[FaultyFiles, Log]:
    files = FaultyFiles()
    log = open_log(files=files, config=config, seed=1)
    for number in range(count):
        append(log, b"old %d " % number * 6, b"and %d" % number)
    return files, log


def stopped(log: Log, files: FaultyFiles, how: str) -> None:
    if how == "closed in order":
        log.close()
    else:
        log.retain()  # marks how far the log is durable, as a running agent does
    files.kill()


def walked(log: Log) -> tuple[dict[int, bytes], int]:
    """Everything a reader gets who starts at the start and seeks behind each damaged range, and how many there were."""
    found: dict[int, bytes] = {}
    cursor, damaged = LogPosition(log.start_offset, FilePosition(0)), 0
    while True:
        try:
            read = log.read(cursor, 1000)
        except DataLossError as exc:
            damaged += 1
            cursor = log.seek(Offset(exc.end))
            continue
        if not read.data:
            return found, damaged
        for batch in scan.batches(read.data):
            for index, value in enumerate(scan.values(batch)):
                found[batch.header.base_offset + index] = value
        cursor = read.next


@pytest.mark.parametrize("how", ["closed in order", "killed"])
@pytest.mark.parametrize("again", ["closed in order", "killed"])
def test_what_is_acknowledged_behind_a_torn_synced_end_stays_for_ever(how: str, again: str) -> None:
    files, log = written(ONE)
    stopped(log, files, how)
    image = Image(files)
    content = image.content(STORE)
    ends = [position + header.batch_bytes for position, header in scan.headers(content)]
    offsets = [header.end_offset for _, header in scan.headers(content)]
    for size in range(ends[-11], len(content), 1 if LONG else 37):
        image.restore()
        del files.content(STORE)[size:]
        whole = max(offset for end, offset in zip(ends, offsets, strict=True) if end <= size)
        expected: dict[int, bytes] = {}
        for life in range(3):
            log = open_log(files=files, config=ONE, seed=10 + life)
            found, _ = walked(log)
            assert {offset: found.get(offset) for offset in expected} == expected, (size, life)
            assert set(range(whole)) <= set(found), (size, life)
            assert [(each.start, each.end) for each in log.damaged()] == [(whole, 60)], (size, life)
            for number in range(5):
                value = b"new %d.%d" % (life, number)
                expected[append(log, value).base_offset] = value
            stopped(log, files, again)


@pytest.mark.parametrize("how", ["closed in order", "killed"])
def test_an_end_that_was_fetched_back_behind_itself_is_whole(how: str) -> None:
    files, log = written(ONE)
    copy = open_log(files=FaultyFiles(), config=ONE, name="copy", seed=5)
    origin = log.origin
    fetch(copy, log, origin)
    values = list(stored(log).values())
    stopped(log, files, how)
    size = len(files.content(STORE)) * 5 // 7
    del files.content(STORE)[size:]
    log = open_log(files=files, config=ONE, seed=9)
    (lost,) = log.damaged()
    append(log, b"written meanwhile")
    fetch(log, copy, origin)
    for _ in range(2):
        assert log.damaged() == []
        assert log.missing() == []
        found, damaged = walked(log)
        assert damaged == 0
        assert sorted(found.values()) == sorted([*values, b"written meanwhile"])
        assert [next(values_from(log, offset)) for offset in (lost.start, lost.end)] == [b"written meanwhile"] * 2
        log.close()
        files.kill()
        report = verify_directory(DIR, files=files)
        assert report.ok, report.findings
        log = open_log(files=files, config=ONE, seed=9)
    assert log.recovery.describe() == ""


def test_an_end_of_which_a_part_came_back_is_still_damaged() -> None:
    files, log = written(ONE)
    copy = open_log(files=FaultyFiles(), config=ONE, name="copy", seed=5)
    origin = log.origin
    fetch(copy, log, origin)
    log.close()
    files.kill()
    del files.content(STORE)[len(files.content(STORE)) // 2 :]
    log = open_log(files=files, config=ONE, seed=9)
    (lost,) = log.damaged()
    fetch(log, copy, origin, leave_out=1)
    assert [(each.start, each.end) for each in log.damaged()] == [(lost.start, lost.end)]
    fetch(log, copy, origin)
    assert log.damaged() == []


def values_from(log: Log, offset: int) -> Iterator[bytes]:
    for batch in scan.batches(log.read(log.seek(Offset(offset)), 1 << 20).data):
        yield from scan.values(batch)


def fetch(into: Log, source: Log, origin: OriginId, leave_out: int = 0) -> None:
    """Copy what ``into`` lacks of an origin, but for the last batches."""
    held = into.origins().get(origin)
    have = held.next_sequence if held else 1
    wanted = [each for each in batches_of(source) if each.header.origin == origin and each.header.base_sequence >= have]
    into.append([ImportAppend(verify(bytes(each.data))) for each in wanted[: len(wanted) - leave_out]])


@pytest.mark.parametrize("how", ["closed in order", "killed"])
@pytest.mark.parametrize("gone", [1, 3])
def test_files_missing_at_the_start_are_damage_and_come_back(gone: int, how: str) -> None:
    files, log = written(CONFIG, 100)
    copy = open_log(files=FaultyFiles(), config=ONE, name="copy", seed=5)
    origin = log.origin
    fetch(copy, log, origin)
    values = stored(log)
    stopped(log, files, how)
    stores = [path for path in files.paths() if path.suffix == ".log"]
    for path in stores[:gone]:
        files.unlink(path)
    files.sync_dir(DIR)
    end = int(stores[gone].stem)
    report = verify_directory(DIR, files=files)
    assert (report.findings[0].start_offset, report.findings[0].end_offset) == (0, end)
    for _ in range(2):
        log = open_log(files=files, config=CONFIG, seed=9)
        assert log.start_offset == 0
        assert [(each.start, each.end) for each in log.damaged()] == [(0, end)]
        assert log.origins()[origin].floor_sequence == 1
        assert walked(log) == ({offset: value for offset, value in values.items() if offset >= end}, 1)
        log.close()
        files.kill()
    log = open_log(files=files, config=CONFIG, seed=9)
    (missing,) = log.missing()
    assert (missing.origin, missing.start) == (origin, 1)
    batches = [each for each in batches_of(copy) if each.header.origin == origin]
    log.refill([verify(bytes(each.data)) for each in batches if each.header.base_sequence < missing.end])
    assert log.damaged() == []
    assert walked(log) == (values, 0)
    log.close()
    files.kill()
    assert walked(open_log(files=files, config=CONFIG, seed=9)) == (values, 0)


def test_what_retention_took_is_no_damage_even_when_its_record_is_lost() -> None:
    config = LogConfig(segment_bytes=4096, retention_bytes=8000, ballast_bytes=0)
    files, log = written(config, 60)
    assert log.retain()
    start = log.start_offset
    log.close()
    files.kill()
    files.unlink(DIR / "retired")
    log = open_log(files=files, config=config, seed=9)
    assert (log.start_offset, log.damaged()) == (start, [])


def test_a_log_whose_segments_are_all_gone_says_so_and_gives_no_offset_again() -> None:
    files, log = written(CONFIG, 60)
    log.close()
    files.kill()
    for path in files.paths():
        if path.suffix in (".log", ".index"):
            files.unlink(path)
    log = open_log(files=files, config=CONFIG, seed=9)
    assert [(each.start, each.end) for each in log.damaged()] == [(0, 120)]
    assert append(log, b"new").base_offset == 120


def test_damage_at_the_end_of_the_log_is_closed_off_in_a_real_directory(tmp_path: Path) -> None:
    log = open_log(tmp_path, config=ONE)
    for number in range(10):
        append(log, b"%d" % number * 50)
    log.close()
    store = tmp_path / f"{0:020d}.log"
    data = bytearray(store.read_bytes())
    data[-1] ^= 1
    store.write_bytes(data)
    (tmp_path / f"{0:020d}.index").unlink()
    log = open_log(tmp_path, config=ONE, seed=9)
    assert append(log, b"new").base_offset == 10
    log.close()
    assert store.read_bytes() == data  # nothing is appended behind it, and nothing is cut
    log = open_log(tmp_path, config=ONE)
    assert stored(log)[Offset(10)] == b"new"
    assert [(each.start, each.end) for each in log.damaged()] == [(9, 10)]
    log.close()


def test_age_removes_no_segment_of_which_nothing_is_known() -> None:
    files, log = written(CONFIG, 100)
    log.close()
    files.kill()
    files.unlink(STORE)
    clock = Clock()
    config = LogConfig(segment_bytes=4096, retention_age=1000, ballast_bytes=0)
    log = open_log(files=files, config=config, seed=9, clock=clock)
    damaged = log.damaged()
    assert damaged
    for _ in range(20):
        clock.advance(20)
        assert log.retain() == 0
    assert (log.start_offset, log.damaged()) == (0, damaged)
