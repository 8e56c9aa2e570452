"""The list of what a log lost: written once, kept for good, published by one thread."""

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import replace
from random import Random

import pytest

from proglog.errors import DataLossError, NotFoundError
from proglog.log import checkpoint, losses
from proglog.log.config import LogConfig
from proglog.log.log import Log
from proglog.log.losses import Loss, behind
from proglog.log.model import ImportAppend, LogPosition
from proglog.record.batch import HEADER_BYTES, verify
from proglog.testing.files import FaultyFiles
from proglog.types import FilePosition, LogId, Offset, OriginId, SequenceNumber
from tests.unit.log.kit import DIR, append, batches_of, open_log, stored

ONE = LogConfig(index_interval_bytes=512, ballast_bytes=0)
SEVERAL = LogConfig(segment_bytes=4096, index_interval_bytes=512, ballast_bytes=0)
STORE = DIR / f"{0:020d}.log"


def written(config: LogConfig, count: int = 60) -> tuple[FaultyFiles, Log]:
    files = FaultyFiles()
    log = open_log(files=files, config=config, seed=1)
    for number in range(count):
        append(log, b"%d " % number * 20)
    return files, log


def rotten(files: FaultyFiles, log: Log, offset: int) -> None:
    """Flip a bit of the batch that holds an offset, on the disk."""
    at = log.seek(Offset(offset))
    files.content(DIR / f"{at.segment:020d}.log")[at.position + HEADER_BYTES + 1] ^= 1


def cut(files: FaultyFiles, log: Log) -> tuple[Log, Log]:
    """Lose the end of a log of one segment that was closed in order; return it, open again, and a copy of it as it was."""
    copy = open_log(files=FaultyFiles(), config=ONE, name="copy", seed=5)
    fetch(copy, log, log.origin)
    origin = log.origin
    log.close()
    files.kill()
    del files.content(STORE)[len(files.content(STORE)) // 2 :]
    log = open_log(files=files, config=ONE, seed=9)
    assert log.origin != origin
    return log, copy


def fetch(into: Log, source: Log, origin: OriginId) -> None:
    held = into.progress(origin)
    have = held.next_sequence if held else 1
    wanted = [each for each in batches_of(source) if each.header.origin == origin and each.header.base_sequence >= have]
    into.append([ImportAppend(verify(bytes(each.data))) for each in wanted])


@pytest.mark.parametrize("gone", [["lost"], ["lost.copy"], []], ids=lambda gone: " ".join(gone) or "none")
@pytest.mark.parametrize("how", ["removed", "damaged", "older"])
def test_a_range_that_came_back_is_never_listed_again_whichever_file_is_gone(gone: list[str], how: str) -> None:
    files, log = written(ONE)
    origin = log.origin
    log, copy = cut(files, log)
    assert log.damaged()
    older = {name: bytes(files.content(DIR / name)) for name in gone}
    fetch(log, copy, origin)
    assert log.damaged() == []
    values = stored(log)
    log.close()
    files.kill()
    for name in gone:
        if how == "removed":
            files.unlink(DIR / name)
        elif how == "older":
            files.content(DIR / name)[:] = older[name]
        else:
            files.content(DIR / name)[5] ^= 1
    for _ in range(2):
        log = open_log(files=files, config=ONE, seed=10)
        assert log.damaged() == []
        assert log.missing() == []
        assert stored(log) == values
        log.close()
        files.kill()


def test_rot_that_a_reader_met_is_known_after_a_restart_without_reading_it_again() -> None:
    files, log = written(SEVERAL)
    log.close()
    files.kill()
    log = open_log(files=files, config=SEVERAL, seed=2)
    rotten(files, log, 7)
    with pytest.raises(DataLossError):
        while True:
            log.read(log.seek(Offset(7)), 1)
    (found,) = log.damaged()
    assert (found.start, found.end) == (7, 8)
    assert found.found_ms
    for how in ("closed in order", "killed"):
        if how == "closed in order":
            log.close()
        else:
            log.retain()
        files.kill()
        log = open_log(files=files, config=SEVERAL, seed=3)
        assert log.damaged() == [found]
        assert log.recovery.rebuilt_indexes == 0


def test_damage_that_reads_whole_again_after_a_restart_is_no_damage() -> None:
    files, log = written(SEVERAL)
    log.close()
    files.kill()
    log = open_log(files=files, config=SEVERAL, seed=2)
    before = stored(log)
    rotten(files, log, 7)
    log.recheck(log.seek(Offset(7)), 1)
    assert log.damaged()
    place = log.seek(Offset(6))
    log.close()
    files.kill()
    log = open_log(files=files, config=SEVERAL, seed=2)
    assert log.damaged()
    log.close()
    files.kill()
    store = files.content(STORE)
    end = log._state.view.losses[0].start_position
    assert end > place.position
    store[end + HEADER_BYTES + 1] ^= 1
    log = open_log(files=files, config=SEVERAL, seed=2)
    assert log.damaged() == []
    assert stored(log) == before


def test_an_accepted_loss_is_remembered_with_who_and_why_and_heals_all_the_same() -> None:
    files, log = written(ONE)
    origin = log.origin
    log, copy = cut(files, log)
    (lost,) = log.damaged()
    with pytest.raises(NotFoundError):
        log.accept(Offset(0), Offset(lost.end - 1), by="me", reason="no copy is left")
    (accepted,) = log.accept(Offset(0), lost.end, by="me", reason="no copy is left")
    assert accepted.accepted is not None
    assert accepted.accepted[::2] == ("me", "no copy is left")
    with pytest.raises(NotFoundError):  # whose word it was stays
        log.accept(Offset(0), lost.end, by="somebody else", reason="for another reason")
    for _ in range(2):
        files.kill()  # it was durable when it was answered
        log = open_log(files=files, config=ONE, seed=9)
        assert log.damaged() == [accepted]
    fetch(log, copy, origin)
    assert log.damaged() == []


def test_offsets_that_are_set_aside_are_never_given_again_and_void_once_their_records_are_here() -> None:
    files, log = written(ONE, 10)
    source = open_log(files=FaultyFiles(), config=ONE, name="source", seed=7)
    for number in range(6):
        append(source, b"there %d" % number)
    origin, batches = source.origin, [verify(bytes(each.data)) for each in batches_of(source)]
    log.append([ImportAppend(each) for each in batches[:3]])
    log._appender.set_aside(2, (), "two records are on their way")
    end = log.end_offset
    (aside,) = log.damaged()
    assert (aside.start, aside.end, aside.detail) == (end - 2, end, "two records are on their way")
    append(log, b"after it")
    files.kill()
    log = open_log(files=files, config=ONE, seed=9)
    assert [(each.start, each.end) for each in log.damaged()] == [(aside.start, aside.end)]
    assert stored(log)[end] == b"after it"
    # The two come as an import would: further on. With the origin's reach the range would be void then.
    segment = log._state.view.segments[0]
    with_reach = [replace(loss, origins=((origin, batches[5].header.base_sequence),)) for loss in segment.losses]
    log._state.put(segment.with_losses(with_reach))
    log.append([ImportAppend(each) for each in batches[3:]])
    assert log.damaged() == []
    assert log.read(log.seek(aside.start), 1).start == log.seek(end)


def test_what_readers_find_is_published_by_the_disk_thread_alone() -> None:
    files, log = written(SEVERAL, 200)
    log.close()
    files.kill()
    log = open_log(files=files, config=SEVERAL, seed=2)
    for offset in range(3, 200, 20):
        rotten(files, log, offset)
    publishers = set()
    publish = log._state.publish

    def noted(view: object) -> None:
        publishers.add(threading.get_ident())
        publish(view)  # type: ignore[arg-type]

    log._state.publish = noted  # type: ignore[method-assign,assignment]
    with ThreadPoolExecutor(1) as disk, ThreadPoolExecutor(4) as readers:
        disk_thread = disk.submit(threading.get_ident).result()
        log.publish_on(disk.submit, disk_thread)
        found = [readers.submit(stored, log) for _ in range(4)]
        appended = [disk.submit(append, log, b"meanwhile %d" % number) for number in range(50)]
        answers = [set(each.result()) for each in found]
        ends = [each.result() for each in appended]
        log.publish_on(None)
    assert publishers == {disk_thread}
    lost = set(range(3, 200, 20))
    for answer in answers:
        assert answer.isdisjoint(lost)
        assert set(range(200)) - lost <= answer
    assert {each.start for each in log.damaged()} == lost
    assert log.end_offset == ends[-1].end_offset


@pytest.mark.parametrize("seed", range(30))
def test_what_is_written_down_reads_back(seed: int) -> None:
    random = Random(seed)

    def one(number: int) -> Loss:
        size, start = random.randrange(1 << 40), random.randrange(1 << 50)
        loss = behind(
            Offset(number),
            size,
            Offset(start),
            Offset(start + 5),
            ((OriginId(random.randbytes(16)), SequenceNumber(7)),),
        )
        pick: Callable[[], bool] = lambda: random.random() < 0.5  # noqa: E731
        return replace(
            loss,
            end_position=FilePosition(size + random.randrange(100)),
            unreadable=pick(),
            counted=pick(),
            void=pick(),
            found_ms=random.randrange(1 << 40),
            accepted=losses.Acceptance("who", 5, "why") if pick() else None,
        )

    files = FaultyFiles()
    files.make_dir(DIR)
    written_down = [one(number) for number in range(random.randrange(20))]
    checkpoint.save_losses(files, DIR, LogId(b"l" * 16), written_down, 7)
    for name in losses.FILES:
        content = checkpoint.load(files, DIR / name)
        assert content is not None
        assert losses.from_json(content) == written_down
        assert losses.number_of(content) == 7


def test_lost_ends_of_an_earlier_release_are_read() -> None:
    origin = OriginId(b"o" * 16)
    content = {"ends": [[5, 700, 9, 12, [[origin.hex(), 4]]]]}
    assert losses.from_json(content) == [behind(Offset(5), 700, Offset(9), Offset(12), ((origin, SequenceNumber(4)),))]


@pytest.mark.parametrize("how", ["read", "seek", "recheck", "by sequence", "by time"])
def test_rot_in_a_segment_whose_index_is_no_good_either_is_damage_like_any_other(how: str) -> None:
    files, log = written(SEVERAL, 200)
    log.close()
    files.kill()
    log = open_log(files=files, config=SEVERAL, seed=2)
    first = log.segments()[0]
    rotten(files, log, 3)
    log.close()
    files.kill()
    index = files.content(DIR / f"{0:020d}.index")
    index[-3] ^= 1  # of its entries: its summary is believed
    log = open_log(files=files, config=SEVERAL, seed=3)
    at = LogPosition(first.base_offset, FilePosition(0))
    with suppress(DataLossError, NotFoundError):
        match how:
            case "read":
                while True:
                    at = log.read(at, 500).next
            case "seek":
                log.seek(Offset(3))
            case "recheck":
                log.recheck(at, 4000)
            case "by sequence":
                log.seek_sequence(next(iter(log.origins())), SequenceNumber(5))
            case "by time":
                log.seek_time(1)
    if how != "by time":
        assert [(each.start, each.end) for each in log.damaged()] == [(3, 4)]
    assert set(range(200)) - {3} == set(stored(log))
