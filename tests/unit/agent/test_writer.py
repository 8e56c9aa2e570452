"""The asynchronous face of the log: what it adds to duplicates, new origins and refills."""

import asyncio
import threading
from errno import EIO
from pathlib import Path

import pytest

from proglog.agent.writer import COMPANY_BYTES, LogWriter
from proglog.errors import LogClosedError, LogFullError, ProducerSequenceError
from proglog.log.config import FsyncPolicy, LogConfig
from proglog.log.files import FileSystem, OsFiles
from proglog.log.log import Log
from proglog.log.model import Appended, LocalAppend, LogPosition, LogRead
from proglog.record import columns, control, scan
from proglog.record.batch import HEADER_BYTES, VerifiedBatch, encode, verify
from proglog.replication.progress import Progress
from proglog.server.commit_log import Fence
from proglog.testing.files import FaultyFiles
from proglog.types import FilePosition, NodeName, Offset, OriginId, SequenceNumber


def batch_of(value: bytes, sequence: int | None = None) -> VerifiedBatch:
    """A batch of one record; with a sequence, of a producer that has an id."""
    producer = (
        {} if sequence is None else {"producer_id": b"p" * 16, "producer_epoch": 1, "producer_sequence": sequence}
    )
    payload = columns.from_values([value])
    return verify(encode(payload, count=1, first_timestamp_ms=1, max_timestamp_ms=1, **producer))  # type: ignore[arg-type]


def open_log(directory: Path, config: LogConfig | None = None, files: FileSystem | None = None) -> Log:
    return Log.open(directory, config, node_name=NodeName("a"), files=files)


async def test_a_producers_retry_gets_the_first_answer_marked_as_a_duplicate(tmp_path: Path) -> None:
    log = open_log(tmp_path)
    async with LogWriter(log) as writer:
        batch = batch_of(b"a", 0)
        first, again = await asyncio.gather(writer.append(batch), writer.append(batch))
        assert not first.duplicate
        assert again == first._replace(duplicate=True)
        assert (log.end_offset, writer.records_appended) == (1, 1)
        with pytest.raises(ProducerSequenceError):
            await writer.append(batch_of(b"c", 2))
    log.close()


async def test_a_new_origin_takes_the_appends_that_come_after_it_and_listeners_hear(tmp_path: Path) -> None:
    log = open_log(tmp_path)
    async with LogWriter(log) as writer:
        before = await writer.append(batch_of(b"old"))
        told: list[object] = []
        writer.add_listener(lambda: told.append(log.origin))
        origin = await writer.begin_origin("because")
        assert told == [origin]
        after = await writer.append(batch_of(b"new"))
        assert isinstance(after, Appended)
        assert after.origin == origin
        assert before.origin != origin
    with pytest.raises(LogClosedError):
        await writer.begin_origin("too late")
    log.close()


async def test_a_refill_heals_and_listeners_hear(tmp_path: Path) -> None:
    log = open_log(tmp_path)
    at = 0
    async with LogWriter(log) as writer:
        await writer.append(batch_of(b"a"))
        at = log.end_position.position
        await writer.append(batch_of(b"b"))
        await writer.append(batch_of(b"c"))
        lost = verify(log.read(log.seek(Offset(1)), 1).data)
    log.close()
    (store,) = tmp_path.glob("*.log")
    data = bytearray(store.read_bytes())
    data[at + HEADER_BYTES + 1] ^= 1
    store.write_bytes(data)
    (tmp_path / "durable").unlink()
    log = open_log(tmp_path)
    async with LogWriter(log) as writer:
        told: list[int] = []
        writer.add_listener(lambda: told.append(len(log.damaged())))
        (missing,) = log.missing()
        assert missing == (lost.header.origin, lost.header.base_sequence, lost.header.next_sequence)
        (healed,) = await writer.refill([lost])
        assert (healed.start, healed.end) == (1, 2)
        assert told == [0]
        read = await writer.read(log.seek(Offset(0))._replace(position=FilePosition(0)), 1 << 20)
        assert [value for each in scan.batches(read.data) for value in scan.values(each)] == [b"a", b"b", b"c"]
    log.close()


async def test_who_waits_for_room_keeps_the_place_in_the_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("proglog.agent.writer.MAX_QUEUED_BYTES", 1)
    log = open_log(tmp_path)
    async with LogWriter(log) as writer:
        late: list[asyncio.Task[Appended]] = []
        take_group = writer._take_group

        def take_group_just_as_somebody_comes() -> object:
            if not late:
                late.append(asyncio.create_task(writer.append(batch_of(b"3", 3))))
            return take_group()  # makes room, which those who wait only hear of after the one who comes has run

        monkeypatch.setattr(writer, "_take_group", take_group_just_as_somebody_comes)
        early = await asyncio.gather(*(writer.append(batch_of(b"%d" % number, number)) for number in range(3)))
        places = [each.base_offset for each in (*early, await late[0])]

    assert places == [0, 1, 2, 3]
    log.close()


async def test_behind_a_failed_append_nothing_of_the_same_stream_is_appended(tmp_path: Path) -> None:
    log = open_log(tmp_path)
    async with LogWriter(log) as writer:
        await writer.append(batch_of(b"a", 0))
        fence = Fence()
        with pytest.raises(ProducerSequenceError):
            await writer.append(batch_of(b"out of order", 7), fence)
        with pytest.raises(ProducerSequenceError):
            await writer.append(batch_of(b"behind it"), fence)
        await writer.append(batch_of(b"another stream"))
        assert log.end_offset == 2
    log.close()


async def test_everybody_learns_at_once_of_a_sync_by_timer_that_failed() -> None:
    files = FaultyFiles()
    config = LogConfig(fsync=FsyncPolicy.INTERVAL, fsync_interval=0.2, ballast_bytes=0)
    log = open_log(Path("/data"), config, files)
    async with LogWriter(log) as writer:
        told = asyncio.Event()
        writer.add_listener(lambda: told.set() if log.state == "poisoned" else None)
        await writer.append(batch_of(b"a"))
        files.faults[files.operation + 1] = EIO  # the timer's sync
        async with asyncio.timeout(5):
            await told.wait()
    assert "a sync failed" in log.state_detail


async def groups_of(log: Log, monkeypatch: pytest.MonkeyPatch, second: list[bytes]) -> list[int]:
    """Append five small batches at once, then the second ones, one in each turn of the loop; return the sizes of groups."""
    sizes: list[int] = []
    append = log.append

    def counted(appends: list[LocalAppend]) -> object:
        sizes.append(len(appends))
        return append(appends)

    monkeypatch.setattr(log, "append", counted)
    async with LogWriter(log) as writer, asyncio.TaskGroup() as tasks:
        await asyncio.gather(*(writer.append(batch_of(b"%d" % number)) for number in range(5)))
        for value in second:
            tasks.create_task(writer.append(batch_of(value)))
            await asyncio.sleep(0)
            await asyncio.sleep(0)
    log.close()
    return sizes


async def test_callers_that_came_together_share_the_next_sync_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("proglog.agent.writer.COMPANY_SECONDS", 30)

    assert await groups_of(open_log(tmp_path), monkeypatch, [b"small"] * 5) == [5, 5]


async def test_a_group_that_is_worth_its_sync_waits_for_nobody(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("proglog.agent.writer.COMPANY_SECONDS", 30)

    assert await groups_of(open_log(tmp_path), monkeypatch, [bytes(COMPANY_BYTES)]) == [5, 1]


async def test_company_that_does_not_come_is_waited_for_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("proglog.agent.writer.COMPANY_SECONDS", 0.001)

    assert sum(await groups_of(open_log(tmp_path), monkeypatch, [b"alone"])) == 6


async def test_positions_that_retention_commits_again_wake_readers(tmp_path: Path) -> None:
    log = open_log(tmp_path, LogConfig(segment_bytes=4096, retention_bytes=4096))
    async with LogWriter(log) as writer:
        await writer.append(
            verify(control.position_commit("job", 1, {OriginId(b"o" * 16): SequenceNumber(2)}, now_ms=1))
        )
        for number in range(8):
            await writer.append(batch_of(b"%d" % number * 3000))
        async with asyncio.timeout(10):
            await writer.wait_for_data(log.end_position)  # nobody appends but housekeeping
    assert log.start_offset > 0
    log.close()


async def test_held_producers_wait_in_the_queue_too_while_copies_continue(tmp_path: Path) -> None:
    log, other = open_log(tmp_path / "a"), open_log(tmp_path / "b")
    other.append([LocalAppend(batch_of(b"copied"))])
    copied = [verify(bytes(each.data)) for each in scan.batches(other.read(other.seek(Offset(0)), 1 << 20).data)]
    start = verify(bytes(other.read(LogPosition(Offset(0), FilePosition(0)), 1).data))
    async with LogWriter(log) as writer:
        lost = log.origin
        queued = asyncio.create_task(writer.append(batch_of(b"queued")))
        await asyncio.sleep(0)
        writer.hold_producers("origin lost")
        later = asyncio.create_task(writer.append(batch_of(b"later")))
        outcomes = await writer.append_copies([start, *copied])
        assert all(isinstance(outcome, Appended) for outcome in outcomes), outcomes
        writer.hold_producers("peer check")
        origin = await writer.begin_origin("lost")
        writer.release_producers("origin lost")
        await asyncio.sleep(0)
        assert not later.done()
        writer.release_producers("peer check")
        assert (await later).origin == origin != lost
        assert (await queued).base_offset < (await later).base_offset
    log.close()
    other.close()


async def test_producers_that_are_held_for_want_of_room_are_refused_at_once(tmp_path: Path) -> None:
    log = open_log(tmp_path)
    async with LogWriter(log) as writer:
        writer.hold_producers("origin lost")
        waiting = asyncio.create_task(writer.append(batch_of(b"waits")))
        await asyncio.sleep(0)
        writer.hold_producers("origin lost", LogFullError("no space left"))
        with pytest.raises(LogFullError):
            await waiting
        with pytest.raises(LogFullError):
            await writer.append(batch_of(b"refused"))
        writer.release_producers("origin lost")
        assert (await writer.append(batch_of(b"taken"))).base_offset == 0
        writer.hold_producers("origin lost")
        held = asyncio.create_task(writer.append(batch_of(b"held")))
        await asyncio.sleep(0)
    with pytest.raises(LogClosedError):
        await held
    log.close()


async def test_listeners_hear_which_origins_have_moved_and_how_far(tmp_path: Path) -> None:
    log = open_log(tmp_path)
    before = log.origin
    async with LogWriter(log) as writer:
        told: list[dict[OriginId, Progress]] = []
        writer.add_progress_listener(lambda moved: told.append(dict(moved)))

        await writer.append(batch_of(b"a"))
        assert told.pop() == {before: log.origins()[before]}
        after = await writer.begin_origin("because")
        assert told.pop() == {after: log.origins()[after]}
        assert log.progress(OriginId(bytes(16))) is None
    log.close()


async def test_what_the_disk_has_to_be_asked_for_is_read_on_another_thread(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    files = FaultyFiles()
    log = open_log(tmp_path, files=files)
    async with LogWriter(log) as writer:
        start = log.seek(Offset(0))
        await writer.append(batch_of(b"a"))
        read, threads = log.read, list[str]()

        def reading(at: LogPosition, max_bytes: int) -> LogRead:
            threads.append(threading.current_thread().name)
            return read(at, max_bytes)

        monkeypatch.setattr(log, "read", reading)

        warm = await writer.read(start, 4096)
        assert (len(warm.data) > HEADER_BYTES, threads) == (True, [])
        files.cold = True
        cold = await writer.read(start, 4096)

        assert cold == warm
        assert [name.startswith("log-reader") for name in threads] == [True]
    log.close()


def test_a_file_reads_what_is_in_memory_without_waiting_and_says_when_it_would_wait(tmp_path: Path) -> None:
    path = tmp_path / "file"
    file = OsFiles().open(path, write=True, create=True)
    file.pwritev([b"abc", b"def"], 0)

    assert file.pread_cached(4, 1) in (b"bcde", None)  # None: a file system that cannot tell
    assert file.pread_cached(4, 5) in (b"f", None)
    file.close()


async def test_closing_is_finished_for_a_caller_that_is_cancelled(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its caller closes the log next: nothing may be written any more by then."""
    log, writing, go_on = open_log(tmp_path), threading.Event(), threading.Event()
    append = log.append

    def slow(appends: list[LocalAppend]) -> object:
        writing.set()
        assert go_on.wait(20)
        return append(appends)

    monkeypatch.setattr(log, "append", slow)
    writer = LogWriter(log)
    writer.start()
    appending = asyncio.create_task(writer.append(batch_of(b"a")))
    assert await asyncio.to_thread(writing.wait, 20)
    closers = [asyncio.create_task(writer.close()) for _ in range(2)]
    await asyncio.sleep(0)
    for _ in range(3):
        closers[0].cancel()
        await asyncio.sleep(0.01)
    assert not any(closer.done() for closer in closers)

    go_on.set()

    assert [type(each) for each in await asyncio.gather(*closers, return_exceptions=True)] == [
        asyncio.CancelledError,
        type(None),
    ]
    assert appending.done() or (await appending).base_offset == 0
    assert log.end_offset == 1
    with pytest.raises(LogClosedError):
        await writer.append(batch_of(b"b"))
    log.close()
