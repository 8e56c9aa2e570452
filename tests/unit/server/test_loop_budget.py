"""Nothing of a log of 1,000 origins holds the event loop: each step takes at most 20 ms of it, and no step asks the disk.

Measured: the processor time of the loop's thread in every callback, and every call of the file system from that thread.
Neither depends on how busy the machine is.
"""

import asyncio
import gc
import shutil
import threading
import time
from asyncio import events
from collections.abc import Awaitable, Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from random import Random

import pytest

from proglog.agent.writer import LogWriter
from proglog.api.v1 import batches_pb2
from proglog.log.config import LogConfig
from proglog.log.files import OsFiles
from proglog.log.log import Log
from proglog.log.model import ImportAppend
from proglog.record.batch import HEADER_BYTES, VerifiedBatch, chain_start, stamp_local, verify
from proglog.server.acks import Acks
from proglog.server.batch_service import BatchService
from proglog.server.feed import Feed, answer_from
from proglog.server.followers import Followers
from proglog.server.live_verify import verify_live
from proglog.types import NodeName, Offset, OriginId, SequenceNumber
from proglog.wire.cursors import cursor_message
from tests.unit.log.kit import batch_of, batches_of

BUDGET = 0.02
ORIGINS, ROUNDS = 1000, 6
CONFIG = LogConfig(segment_bytes=1 << 20, index_interval_bytes=256, ballast_bytes=0)


class LoopMeter:
    """What the callbacks of the loop took, and what they asked the disk."""

    def __init__(self) -> None:
        self.longest = 0.0
        self.what = ""
        self.disk: list[str] = []
        self.thread = threading.get_ident()

    @contextmanager
    def measuring(self) -> Iterator[None]:
        run = events.Handle._run

        def timed(handle: events.Handle) -> None:
            started = time.thread_time()
            what = repr(handle)
            run(handle)
            took = time.thread_time() - started
            if took > self.longest:
                self.longest, self.what = took, what

        events.Handle._run = timed  # type: ignore[method-assign]
        gc.collect()
        gc.disable()  # a collection takes as long as everything that other tests of this process left takes
        try:
            yield
        finally:
            gc.enable()
            events.Handle._run = run  # type: ignore[method-assign]


class WatchedFiles(OsFiles):
    """A disk that knows which of its calls came from the loop's thread."""

    meter: LoopMeter | None = None

    def __getattribute__(self, name: str) -> object:
        if name in ("open", "unlink", "rename", "sync_dir", "names"):
            meter = object.__getattribute__(self, "meter")
            if meter is not None and threading.get_ident() == meter.thread:
                meter.disk.append(name)
        return super().__getattribute__(name)


def history(origins: int, rounds: int) -> list[VerifiedBatch]:
    """Batches of many origins, in turn."""
    random = Random(1)
    names = [OriginId(random.randbytes(16)) for _ in range(origins)]
    tails = {name: (SequenceNumber(1), chain_start(name)) for name in names}
    made = []
    for number in range(rounds):
        for name in names:
            batch = batch_of(b"round %d " % number * 20)
            sequence, chain = tails[name]
            header = stamp_local(
                batch,
                origin=name,
                base_sequence=sequence,
                previous_chain=chain,
                base_offset=Offset(0),
                append_time_ms=1_700_000_000_000,
            )
            stamped = verify(header + bytes(batch.payload))
            tails[name] = stamped.header.next_sequence, stamped.header.chain_crc
            made.append(stamped)
    return made


@pytest.fixture(scope="module")
def batches() -> list[VerifiedBatch]:
    return history(ORIGINS, ROUNDS)


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory, batches: list[VerifiedBatch]) -> Path:
    directory = tmp_path_factory.mktemp("log")
    log = Log.open(directory, CONFIG, node_name=NodeName("a"))
    for start in range(0, len(batches), ORIGINS):
        log.append([ImportAppend(each) for each in batches[start : start + ORIGINS]])
    log.close()
    return directory


@pytest.fixture
def opened(tmp_path: Path, written: Path) -> Iterator[Log]:
    shutil.copytree(written, tmp_path / "a")
    log = Log.open(tmp_path / "a", replace(CONFIG), node_name=NodeName("a"), files=WatchedFiles())
    assert len(log.origins()) == ORIGINS + 1
    assert log.segment_count > 1
    yield log
    log.close()


Work = Callable[[LogWriter, list[VerifiedBatch]], Awaitable[None]]


async def consumed(writer: LogWriter, request: batches_pb2.ConsumeBatchesRequest) -> None:
    service = BatchService(writer, Acks(Followers(), lambda: 1, writer.holds))
    async for _ in service.Consume(request, None):  # type: ignore[arg-type]  # the context is not used
        pass


async def a_cursor_of_nothing(writer: LogWriter, batches: list[VerifiedBatch]) -> None:
    await consumed(writer, batches_pb2.ConsumeBatchesRequest(cursor=cursor_message({})))


async def a_cursor_in_the_middle_of_each_origin(writer: LogWriter, batches: list[VerifiedBatch]) -> None:
    middle: Mapping[OriginId, SequenceNumber] = {each.header.origin: SequenceNumber(4) for each in batches}
    await consumed(writer, batches_pb2.ConsumeBatchesRequest(cursor=cursor_message(middle)))


async def a_place(writer: LogWriter, batches: list[VerifiedBatch]) -> None:
    for place in (
        batches_pb2.OffsetSpec(offset=len(batches) // 2),
        batches_pb2.OffsetSpec(before_end=10),
        batches_pb2.OffsetSpec(time_ms=1_600_000_000_000),
    ):
        await consumed(writer, batches_pb2.ConsumeBatchesRequest(start=place))


async def a_follower_that_wants_everything(writer: LogWriter, batches: list[VerifiedBatch]) -> None:
    feed = Feed(writer)
    for origin in writer.origins():
        feed.want(origin, SequenceNumber(1), 0)
    sent = 0
    while feed.asks or not feed.at_end:
        question = feed.question()
        if question is not None:
            feed.settle(await writer.query(lambda log, asked=question: answer_from(asked, log)))  # type: ignore[misc]
        if not feed.pass_over_everything():
            read_at = feed.at
            read = await writer.read(read_at, 256 * 1024)
            sent += len(feed.take(read_at, read.data, read.next))
        await asyncio.sleep(0)
    assert sent > sum(each.header.batch_bytes for each in batches)


async def appends_of_copies(writer: LogWriter, batches: list[VerifiedBatch]) -> None:
    more = await writer.query(lambda _: history(300, 2))
    await writer.append_copies(more)


async def retention(writer: LogWriter, batches: list[VerifiedBatch]) -> None:
    object.__setattr__(writer.log.config, "retention_bytes", 1 << 20)
    await writer._on_disk("retention", writer.log.retain)
    assert writer.log.segment_count < 3


async def a_repair_of_many_places(writer: LogWriter, batches: list[VerifiedBatch]) -> None:
    held = await writer.query(lambda log: [verify(bytes(each.data)) for each in batches_of(log)])
    first = writer.log.data_dir / f"{0:020d}.log"
    with first.open("r+b") as store:
        for place in range(100):
            store.seek(place * 9_000 + HEADER_BYTES)
            store.write(b"\xff" * 8)
    async for _ in verify_live(writer, Offset(0)):
        pass
    assert len(writer.damaged()) > 50
    lost = await writer.query(lambda log: _lost(log, held))
    for start in range(0, len(lost), 40):
        await writer.refill(lost[start : start + 40])
        writer.damaged()
    assert writer.damaged() == []


def _lost(log: Log, held: list[VerifiedBatch]) -> list[VerifiedBatch]:
    wanted = {(each.origin, number) for each in log.missing() for number in range(each.start, each.end)}
    return [each for each in held if (each.header.origin, each.header.base_sequence) in wanted]


@pytest.mark.parametrize(
    "work",
    [
        a_cursor_of_nothing,
        a_cursor_in_the_middle_of_each_origin,
        a_place,
        a_follower_that_wants_everything,
        appends_of_copies,
        retention,
        a_repair_of_many_places,
    ],
)
def test_no_step_holds_the_loop(work: Work, opened: Log, batches: list[VerifiedBatch]) -> None:
    meter = LoopMeter()

    async def run() -> None:
        async with LogWriter(opened) as writer:
            WatchedFiles.meter = meter
            try:
                await work(writer, batches)
            finally:
                WatchedFiles.meter = None

    with meter.measuring(), asyncio.Runner(loop_factory=asyncio.SelectorEventLoop) as runner:
        runner.run(run())
    assert meter.disk == []
    assert meter.longest < BUDGET, f"{meter.longest * 1000:.1f} ms in {meter.what}"
    print(f"{work.__name__}: {meter.longest * 1000:.1f} ms in {meter.what[:120]}")


def test_opening_a_log_of_many_origins_is_a_matter_of_its_indexes(opened: Log) -> None:
    assert opened.recovery.scanned_bytes == 0
    assert opened.recovery.walked_bytes == 0
