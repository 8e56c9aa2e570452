"""The log as its callers see it."""

import threading
from dataclasses import replace
from pathlib import Path

import pytest

from proglog.errors import (
    DataDirLockedError,
    DataLossError,
    ForkedOriginError,
    LogClosedError,
    NotFoundError,
    OffsetOutOfRangeError,
    SequenceGapError,
)
from proglog.log.config import FsyncPolicy, LogConfig
from proglog.log.model import AlreadyHeld, Appended, ImportAppend, LogPosition
from proglog.record.batch import MAX_BATCH_BYTES, verify
from proglog.types import FilePosition, Offset, OriginId, SequenceNumber
from tests.unit.log.kit import SMALL, Clock, append, batch_of, batches_of, copy, local, open_log, stored, values_of


def test_a_new_log_is_empty_and_its_origin_has_begun(tmp_path: Path) -> None:
    log = open_log(tmp_path)
    assert (log.start_offset, log.end_offset) == (0, 0)
    assert log.origins()[log.origin].next_sequence == 2  # its first batch says whose it is
    assert log.origins()[log.origin].node_name == "a"
    assert log.recovery.describe() == ""
    log.close()


def test_records_are_read_back_byte_for_byte(tmp_path: Path) -> None:
    log = open_log(tmp_path)
    append(log, b"one", b"", b"\x00" * 100)
    append(log, b"two")
    assert stored(log) == {0: b"one", 1: b"", 2: b"\x00" * 100, 3: b"two"}
    log.close()


def test_an_append_says_where_it_went(tmp_path: Path) -> None:
    log = open_log(tmp_path)
    append(log, b"x")
    done = append(log, b"y", b"z")
    assert (done.base_offset, done.end_offset, done.origin) == (1, 3, log.origin)
    assert (done.base_sequence, done.next_sequence) == (3, 5)
    log.close()


def test_a_batch_is_held_until_it_is_found_damaged_or_removed(tmp_path: Path) -> None:
    config = replace(SMALL, retention_bytes=SMALL.segment_bytes)
    log = open_log(tmp_path, config=config)
    batches = [append(log, b"%d" % number * 100) for number in range(10)]
    assert all(map(log.holds, batches))
    log.close()

    store = tmp_path / f"{0:020d}.log"
    data = bytearray(store.read_bytes())
    data[data.index(b"4" * 100)] ^= 1
    store.write_bytes(data)
    log = open_log(tmp_path, config=config)
    assert all(map(log.holds, batches))  # nobody has looked yet
    with pytest.raises(DataLossError):
        log.read(log.seek(batches[4].base_offset), 1)
    assert [log.holds(each) for each in batches] == [number != 4 for number in range(10)]

    later = [append(log, b"%d" % number * 100) for number in range(10, 90)]
    assert log.retain() > 0
    assert not any(map(log.holds, batches))
    assert log.holds(later[-1])
    log.close()


def test_the_bytes_read_are_the_bytes_in_the_store(tmp_path: Path) -> None:
    log = open_log(tmp_path)
    append(log, b"x" * 50)
    data = log.read(LogPosition(Offset(0), FilePosition(0)), 1 << 20).data
    assert (tmp_path / f"{0:020d}.log").read_bytes() == data
    log.close()


def test_a_segment_is_rolled_before_it_would_grow_beyond_its_size(tmp_path: Path) -> None:
    log = open_log(tmp_path)
    for number in range(60):
        append(log, b"%d" % number * 100)
    infos = log.segments()
    assert len(infos) > 3
    assert all(info.bytes <= SMALL.segment_bytes for info in infos)
    assert [info.active for info in infos] == [False] * (len(infos) - 1) + [True]
    assert [info.base_offset for info in infos[1:]] == [info.end_offset for info in infos[:-1]]
    assert list(stored(log)) == list(range(60))
    log.close()


def test_a_group_larger_than_a_segment_is_split_over_several(tmp_path: Path) -> None:
    log = open_log(tmp_path)
    outcomes = log.append([local(b"%02d" % number * 300) for number in range(30)])
    assert [outcome.base_offset for outcome in outcomes if isinstance(outcome, Appended)] == list(range(30))
    assert log.segment_count > 3
    assert len(values_of(log)) == 30
    log.close()


def test_a_batch_larger_than_a_segment_has_one_to_itself(tmp_path: Path) -> None:
    log = open_log(tmp_path)
    for _ in range(3):
        append(log, b"x" * 10_000)
    assert [len(value) for value in values_of(log)] == [10_000] * 3
    log.close()


def test_the_largest_batch_goes_in_and_out(tmp_path: Path) -> None:
    log = open_log(tmp_path, config=LogConfig())
    value = b"x" * (MAX_BATCH_BYTES - 128 - 5)
    append(log, value)
    assert values_of(log) == [value]
    log.close()


@pytest.mark.parametrize("max_bytes", [1, 200, 1000, 1 << 20])
def test_a_read_returns_whole_batches_and_the_first_whatever_its_size(tmp_path: Path, max_bytes: int) -> None:
    log = open_log(tmp_path)
    for number in range(40):
        append(log, b"%d" % number * (1 + number * 7))
    assert list(stored(log, max_bytes)) == list(range(40))
    log.close()


def test_a_read_at_the_end_returns_nothing_and_the_same_place(tmp_path: Path) -> None:
    log = open_log(tmp_path)
    append(log, b"x")
    end = log.end_position
    assert log.read(end, 1000) == (b"", end)
    append(log, b"y")
    assert log.read(end, 1000).data
    log.close()


def test_a_cursor_at_the_end_of_a_segment_continues_in_the_next(tmp_path: Path) -> None:
    log = open_log(tmp_path)
    append(log, b"x" * 3000)
    before = log.end_position
    append(log, b"y" * 3000)
    assert log.segment_count == 2
    assert b"y" * 3000 in log.read(before, 1 << 20).data
    log.close()


def test_every_offset_can_be_sought(tmp_path: Path) -> None:
    log = open_log(tmp_path)
    for number in range(50):
        append(log, *[b"%d" % number * 30] * (1 + number % 4))
    held = stored(log)
    for offset in held:
        batch = verify(log.read(log.seek(offset), 1).data)
        assert batch.header.base_offset <= offset < batch.header.end_offset
    assert log.seek(log.end_offset) == log.end_position
    log.close()


def test_an_offset_outside_of_the_log_is_refused_with_what_there_is(tmp_path: Path) -> None:
    log = open_log(tmp_path)
    append(log, b"x")
    for offset in (-1, 2, 1 << 62):
        with pytest.raises(OffsetOutOfRangeError) as refused:
            log.seek(Offset(offset))
        assert (refused.value.start, refused.value.end) == (0, 1)
    log.close()


def test_every_sequence_of_every_origin_can_be_sought(tmp_path: Path) -> None:
    other = open_log(tmp_path / "b", name="b", seed=1)
    log = open_log(tmp_path / "a")
    for number in range(40):
        append(other, b"b%d" % number * 20, b"more")
        append(log, b"a%d" % number * 20)
        log.append([ImportAppend(verify(bytes(each.data))) for each in batches_of(other)])
    for origin, state in log.origins().items():
        for sequence in range(state.floor_sequence, state.next_sequence):
            header = verify(log.read(log.seek_sequence(origin, SequenceNumber(sequence)), 1).data).header
            assert header.origin == origin
            assert header.base_sequence <= sequence < header.next_sequence
    log.close()
    other.close()


def test_an_unknown_origin_or_a_sequence_not_there_is_not_found(tmp_path: Path) -> None:
    log = open_log(tmp_path)
    for origin, sequence in ((OriginId(b"?" * 16), 1), (log.origin, 0), (log.origin, 2)):
        with pytest.raises(NotFoundError):
            log.seek_sequence(origin, SequenceNumber(sequence))
    log.close()


def test_a_time_is_found_as_its_first_record(tmp_path: Path) -> None:
    log = open_log(tmp_path)
    times = [1_000_000 + number * 1000 for number in range(50)]
    for time_ms in times:
        log.append([local(b"x" * 100, time_ms=time_ms)])
    assert [log.seek_time(time_ms) for time_ms in times] == list(range(50))
    assert log.seek_time(0) == 0
    assert log.seek_time(times[10] + 1) == 11
    assert log.seek_time(times[-1] + 1) == log.end_offset
    log.close()


def test_times_out_of_order_are_found_by_the_first_that_is_late_enough(tmp_path: Path) -> None:
    log = open_log(tmp_path)
    times = [5, 3, 9, 1, 9, 20, 2, 50]
    for time_ms in times:
        log.append([local(b"x" * 300, time_ms=time_ms)])
    for wanted in range(1, 55):
        expected = next((offset for offset, time_ms in enumerate(times) if time_ms >= wanted), len(times))
        assert log.seek_time(wanted) == expected
    log.close()


def test_a_copy_keeps_its_origin_and_sequence_and_gets_offsets_of_its_own(tmp_path: Path) -> None:
    source, target = open_log(tmp_path / "a"), open_log(tmp_path / "b", name="b", seed=1)
    append(target, b"mine")
    append(source, b"theirs")
    assert all(isinstance(outcome, Appended) for outcome in copy(source, target))
    last = batches_of(target)[-1].header
    assert (last.origin, last.base_sequence, last.base_offset) == (source.origin, 2, 1)
    assert target.origins()[source.origin].node_name == "a"
    source.close()
    target.close()


def test_a_copy_that_is_there_already_is_dropped(tmp_path: Path) -> None:
    source, target = open_log(tmp_path / "a"), open_log(tmp_path / "b", name="b", seed=1)
    append(source, b"x")
    copy(source, target)
    end = target.end_position
    assert copy(source, target) == [AlreadyHeld(source.origin, SequenceNumber(3))] * 2
    assert target.end_position == end
    source.close()
    target.close()


def test_a_copy_that_would_leave_a_gap_is_refused_alone(tmp_path: Path) -> None:
    source, target = open_log(tmp_path / "a"), open_log(tmp_path / "b", name="b", seed=1)
    append(source, b"x")
    append(source, b"y")
    _, _, third = batches_of(source)
    outcomes = target.append([ImportAppend(verify(bytes(third.data))), local(b"mine")])
    assert isinstance(outcomes[0], SequenceGapError)
    assert outcomes[0].expected == 1
    assert isinstance(outcomes[1], Appended)
    assert values_of(target) == [b"mine"]
    source.close()
    target.close()


def test_another_history_under_the_same_origin_is_a_fork(tmp_path: Path) -> None:
    source, twin = open_log(tmp_path / "a"), open_log(tmp_path / "b")  # the same seed: the same origin
    target = open_log(tmp_path / "c", name="c", seed=1)
    assert source.origin == twin.origin
    append(source, b"one")
    append(source, b"three")
    append(twin, b"two")
    append(twin, b"three")
    copy(source, target)
    extra = batches_of(twin)
    assert isinstance(target.append([ImportAppend(verify(bytes(extra[2].data)))])[0], AlreadyHeld)
    append(twin, b"four")
    assert isinstance(copy(twin, target)[-1], ForkedOriginError)
    for log in (source, twin, target):
        log.close()


def test_nothing_is_imported_into_the_own_origin(tmp_path: Path) -> None:
    source, twin = open_log(tmp_path / "a"), open_log(tmp_path / "b")
    append(source, b"x")
    assert isinstance(copy(source, twin)[-1], ForkedOriginError)
    assert values_of(twin) == []
    source.close()
    twin.close()


def test_append_times_do_not_go_back_by_a_little_and_follow_a_clock_that_was_set_back(tmp_path: Path) -> None:
    clock = Clock()
    log = open_log(tmp_path, clock=clock)
    append(log, b"x")
    right = clock.wall_ms
    clock.wall_ms -= 9_000
    append(log, b"y")
    log.close()
    log = open_log(tmp_path, clock=clock)
    append(log, b"z")
    assert {batch.header.append_time_ms for batch in batches_of(log)} == {right}
    clock.wall_ms -= 9_000
    append(log, b"later")
    assert batches_of(log)[-1].header.append_time_ms == clock.wall_ms
    log.close()


def test_reopening_after_an_orderly_end_scans_nothing(tmp_path: Path) -> None:
    log = open_log(tmp_path)
    for number in range(60):
        append(log, b"%d" % number * 100)
    before, origins, origin = stored(log), log.origins(), log.origin
    log.close()
    log = open_log(tmp_path, seed=5)
    assert (stored(log), log.origins(), log.origin) == (before, origins, origin)
    assert log.recovery.scanned_bytes == 0
    assert log.recovery.describe() == ""
    append(log, b"more")
    log.close()
    log = open_log(tmp_path)
    assert values_of(log)[-1] == b"more"
    log.close()


def test_a_second_process_learns_who_has_the_directory(tmp_path: Path) -> None:
    import os

    log = open_log(tmp_path)
    with pytest.raises(DataDirLockedError, match=f"process {os.getpid()}"):
        open_log(tmp_path)
    append(log, b"still mine")
    log.close()
    open_log(tmp_path).close()


def test_a_closed_log_refuses(tmp_path: Path) -> None:
    log = open_log(tmp_path)
    log.close()
    log.close()
    (outcome,) = log.append([local(b"x")])
    assert isinstance(outcome, LogClosedError)
    with pytest.raises(LogClosedError):
        log.read(LogPosition(Offset(0), FilePosition(0)), 100)
    assert log.retain() == 0


def test_readers_on_other_threads_see_only_whole_batches_in_order(tmp_path: Path) -> None:
    log = open_log(tmp_path)
    append(log, b"0")
    stop = threading.Event()
    seen: list[list[bytes]] = [[], []]
    failures: list[BaseException] = []

    def follow(into: list[bytes]) -> None:
        from proglog.record import scan

        try:
            cursor = log.seek(Offset(0))
            while True:
                finished = stop.is_set()
                read = log.read(cursor, 3000)
                into.extend(value for batch in scan.batches(read.data) for value in scan.values(batch))
                if finished and not read.data:
                    return
                cursor = read.next
        except BaseException as exc:  # shown by the main thread
            failures.append(exc)

    readers = [threading.Thread(target=follow, args=(into,)) for into in seen]
    for reader in readers:
        reader.start()
    expected = [b"0"]
    for number in range(1, 200):
        append(log, b"%d" % number * 10)
        expected.append(b"%d" % number * 10)
    stop.set()
    for reader in readers:
        reader.join(30)
    assert not failures
    assert seen == [expected, expected]
    log.close()


def test_few_files_are_open_however_many_segments_there_are(tmp_path: Path) -> None:

    log = open_log(tmp_path, config=LogConfig(segment_bytes=4096, ballast_bytes=0, fsync=FsyncPolicy.OS))
    before = len(list(Path("/proc/self/fd").iterdir()))
    for number in range(200):
        append(log, b"%d" % number * 1000)
    assert log.segment_count > 150
    assert len(values_of(log)) == 200
    assert len(list(Path("/proc/self/fd").iterdir())) - before <= 66
    log.close()


def test_an_imported_batch_is_stamped_with_this_logs_time(tmp_path: Path) -> None:
    clock = Clock()
    source, target = open_log(tmp_path / "a"), open_log(tmp_path / "b", name="b", seed=1, clock=clock)
    append(source, b"x")
    clock.advance(60)
    copy(source, target)
    assert target.origins()[source.origin].last_append_ms == clock.wall_ms
    source.close()
    target.close()


def test_many_one_record_batches_in_one_group_are_one_write(tmp_path: Path) -> None:
    from proglog.testing.files import FaultyFiles

    files = FaultyFiles()
    log = open_log(files=files, config=LogConfig(ballast_bytes=0))
    files.trace.clear()
    log.append([local(b"x") for _ in range(300)])
    assert files.trace == [f"write {0:020d}.log", f"sync {0:020d}.log"]
    log.close()


def test_a_batch_whose_payload_is_a_batch_is_only_bytes(tmp_path: Path) -> None:
    log = open_log(tmp_path)
    inner = bytes(batch_of(b"inner").data)
    append(log, inner)
    log.close()
    (tmp_path / "durable").unlink()
    log = open_log(tmp_path)
    assert values_of(log) == [inner]
    log.close()
