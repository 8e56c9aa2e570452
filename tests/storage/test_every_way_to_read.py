"""Every kind of damage, at rest and in a running log, met by every way to read.

Each way hands out everything sound from its start on, once and in order, and says what it leaves out. A copy's batches
make the log whole again, and then every way hands out everything. The same with real agents: test_reading_agents.py.
"""

import asyncio
import re
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterable
from contextlib import asynccontextmanager
from functools import cache
from itertools import pairwise
from pathlib import Path
from typing import NamedTuple

import pytest

from proglog.agent.writer import LogWriter
from proglog.api.v1 import batches_pb2, log_pb2
from proglog.errors import DataLossError
from proglog.log.config import LogConfig
from proglog.log.log import Log
from proglog.log.model import ImportAppend, LocalAppend
from proglog.record import control, scan
from proglog.record.batch import verify
from proglog.replication.progress import RefusalKind
from proglog.server.acks import Acks
from proglog.server.batch_service import BatchService
from proglog.server.feed import Feed, answer_from
from proglog.server.followers import Followers
from proglog.server.live_verify import verify_live
from proglog.server.log_service import LogService
from proglog.server.range_reader import read_range
from proglog.testing.files import BLOCK_BYTES, FaultyFiles
from proglog.types import OriginId, SequenceNumber
from proglog.wire.cursors import cursor_message
from tests.storage.kit import Image, came_back
from tests.unit.log.kit import batch_of, batches_of, open_log, stored

CONFIG = LogConfig(segment_bytes=8192, index_interval_bytes=512, ballast_bytes=0)
ROUNDS = 60
TIME_MS = 1_700_000_000_000
Identity = tuple[OriginId, int]


class Stored(NamedTuple):
    """A batch of the undamaged log, and its place."""

    path: Path
    start: int
    end: int
    origin: OriginId
    sequence: int
    offset: int
    values: tuple[bytes, ...]


class Written(NamedTuple):
    """A log that was closed in order, a copy of it, and what both hold."""

    image: Image
    copy: Log
    batches: tuple[Stored, ...]
    position: dict[OriginId, SequenceNumber]
    """What the consumer ``job`` had read when it committed."""


@cache
def written() -> Written:
    """Records of two origins, in batches of three and one, with commits of named positions between them."""
    files = FaultyFiles()
    log, other = open_log(files=files, config=CONFIG, seed=1), open_log(files=FaultyFiles(), name="other", seed=2)
    position: dict[OriginId, SequenceNumber] = {}
    for number in range(ROUNDS):
        time_ms = TIME_MS + number
        log.append([LocalAppend(batch_of(*(b"own %d.%d " % (number, part) * 8 for part in range(3)), time_ms=time_ms))])
        other.append([LocalAppend(batch_of(b"other %d " % number * 9, time_ms=time_ms))])
        if number == 10:
            position = {each.origin: each.next_sequence for each in log.origins().values()}
        if number % 10 == 0:
            name = "job" if number == 10 else "another"
            log.append([LocalAppend(verify(control.position_commit(name, 1, position, now_ms=time_ms)))])
        if number % 4 == 3:
            fresh = log.progress(other.origin)
            have = fresh.next_sequence if fresh else 1
            log.append(
                [ImportAppend(verify(bytes(e.data))) for e in batches_of(other) if e.header.base_sequence >= have]
            )
    copy = open_log(files=FaultyFiles(), config=CONFIG, name="copy", seed=5)
    came_back(copy, log)
    log.close()
    image = Image(files)
    found = [
        Stored(path, at, at + h.batch_bytes, h.origin, h.base_sequence, h.base_offset, tuple(scan.values(batch)))
        for path in image.stores
        for (at, h), batch in zip(scan.headers(image.content(path)), scan.batches(image.content(path)), strict=True)
    ]
    assert len(image.stores) > 4
    return Written(image, copy, tuple(found), position)


# Kinds of damage: each returns the bytes that suffer, and makes them suffer

Damage = Callable[[FaultyFiles, tuple[Stored, ...]], list[tuple[Path, int, int]]]


def flipped(files: FaultyFiles, path: Path, at: int) -> tuple[Path, int, int]:
    files.content(path)[at] ^= 1
    return path, at, at + 1


def data_of(batches: Iterable[Stored]) -> list[Stored]:
    return [each for each in batches if each.values]


def middle(batches: tuple[Stored, ...]) -> tuple[Stored, ...]:
    """The batches of a sealed segment in the middle."""
    paths = sorted({each.path for each in batches})
    return tuple(each for each in batches if each.path == paths[len(paths) // 2])


def a_byte_of_a_data_batch(files: FaultyFiles, batches: tuple[Stored, ...]) -> list[tuple[Path, int, int]]:
    one = data_of(middle(batches))[5]
    return [flipped(files, one.path, one.end - 9)]


def a_byte_of_a_header(files: FaultyFiles, batches: tuple[Stored, ...]) -> list[tuple[Path, int, int]]:
    one = data_of(middle(batches))[7]
    return [flipped(files, one.path, one.start + 24)]


def a_byte_of_a_control_batch(files: FaultyFiles, batches: tuple[Stored, ...]) -> list[tuple[Path, int, int]]:
    one = next(each for each in reversed(batches) if not each.values)
    return [flipped(files, one.path, one.end - 3)]


def the_first_batches(files: FaultyFiles, batches: tuple[Stored, ...]) -> list[tuple[Path, int, int]]:
    """The start of the origin, and the first records."""
    return [flipped(files, each.path, each.end - 3) for each in batches[:2]]


def the_last_batch(files: FaultyFiles, batches: tuple[Stored, ...]) -> list[tuple[Path, int, int]]:
    return [flipped(files, batches[-1].path, batches[-1].end - 3)]


def two_ranges_that_touch(files: FaultyFiles, batches: tuple[Stored, ...]) -> list[tuple[Path, int, int]]:
    """The last batch of a segment and the first of the next one."""
    touching = next(pair for pair in pairwise(batches) if pair[0].path != pair[1].path and pair[0].values)
    return [flipped(files, each.path, each.start + 130) for each in touching]


def an_unreadable_block(files: FaultyFiles, batches: tuple[Stored, ...]) -> list[tuple[Path, int, int]]:
    path = middle(batches)[0].path
    files.unreadable.add((path.name, 1))
    return [(path, BLOCK_BYTES, 2 * BLOCK_BYTES)]


def most_of_a_segment_gone(files: FaultyFiles, batches: tuple[Stored, ...]) -> list[tuple[Path, int, int]]:
    path = middle(batches)[0].path
    content = files.content(path)
    size, length = len(content) * 10 // 128, len(content)
    del content[size:]
    return [(path, size, length)]


def many_places_of_a_segment(files: FaultyFiles, batches: tuple[Stored, ...]) -> list[tuple[Path, int, int]]:
    return [flipped(files, each.path, each.end - 3) for each in middle(batches)[1::3]]


KINDS: list[Damage] = [
    a_byte_of_a_data_batch,
    a_byte_of_a_header,
    a_byte_of_a_control_batch,
    the_first_batches,
    the_last_batch,
    two_ranges_that_touch,
    an_unreadable_block,
    most_of_a_segment_gone,
    many_places_of_a_segment,
]


# Ways to read: each returns the records it was given, in their order, and what was said to be left out


class Got:
    """What a reader was given, by origin and sequence."""

    def __init__(self) -> None:
        self.records: list[tuple[Identity, bytes]] = []
        self.left_out: set[Identity] = set()
        self.left_out_offsets: set[int] = set()
        """Where that is what is said."""

    def take(self, data: bytes) -> None:
        for batch in scan.batches(data):
            header = batch.header
            self.records += [
                ((header.origin, header.base_sequence + number), value)
                for number, value in enumerate(scan.values(batch))
            ]

    def miss(self, origin: OriginId, start: int, end: int) -> None:
        self.left_out |= {(origin, sequence) for sequence in range(start, end)}


Way = Callable[[LogWriter], Awaitable[Got]]


async def consumed(writer: LogWriter, request: batches_pb2.ConsumeBatchesRequest) -> Got:
    got = Got()
    service = BatchService(writer, Acks(Followers(), lambda: 1, writer.holds))
    async for answer in service.Consume(request, None):  # type: ignore[arg-type]  # the context is not used
        got.take(answer.batches)
        for gone in (*answer.gone, *answer.passed):
            got.miss(OriginId(gone.origin), gone.start_sequence, gone.end_sequence)
    return got


def skipping(**start: int) -> batches_pb2.ConsumeBatchesRequest:
    return batches_pb2.ConsumeBatchesRequest(start=batches_pb2.OffsetSpec(**start), skip_gone=True)  # type: ignore[arg-type]


async def by_offset(writer: LogWriter) -> Got:
    return await consumed(writer, skipping(offset=0))


async def by_offset_and_again_behind_each_error(writer: LogWriter) -> Got:
    """Without leave to skip: everything before the damage, then an error that says where to continue."""
    got, service = Got(), BatchService(writer, Acks(Followers(), lambda: 1, writer.holds))
    start = 0
    while start < writer.end_offset:
        request = batches_pb2.ConsumeBatchesRequest(start=batches_pb2.OffsetSpec(offset=start))
        try:
            async for answer in service.Consume(request, None):  # type: ignore[arg-type]
                got.take(answer.batches)
        except DataLossError as lost:
            got.left_out_offsets |= set(range(lost.start, lost.end))
            assert lost.end > start
            start = lost.end
        else:
            return got
    return got


async def by_time(writer: LogWriter) -> Got:
    return await consumed(writer, skipping(time_ms=TIME_MS))


async def by_place(writer: LogWriter) -> Got:
    return await consumed(writer, skipping(before_end=1 << 40))


async def by_cursor(writer: LogWriter) -> Got:
    request = batches_pb2.ConsumeBatchesRequest(cursor=cursor_message({}), skip_gone=True)
    return await consumed(writer, request)


async def by_name(writer: LogWriter) -> Got:
    cursor = cursor_message(writer.named_positions()["job"].vector)
    return await consumed(writer, batches_pb2.ConsumeBatchesRequest(cursor=cursor, skip_gone=True))


async def as_a_follower(writer: LogWriter) -> Got:
    """Wants every origin; told of a hole, it wants what comes behind it."""
    got, feed = Got(), Feed(writer)
    have = {origin: SequenceNumber(1) for origin in writer.origins()}
    for origin in have:
        feed.want(origin, SequenceNumber(1), 0)
    while True:
        question = feed.question()
        if question is not None:
            feed.settle(await writer.query(lambda log, asked=question: answer_from(asked, log)))  # type: ignore[misc]
        at_end = feed.pass_over_everything() or feed.at_end
        if not at_end:
            at = feed.at
            try:
                read = await writer.read(at, 1500)
            except DataLossError as lost:
                feed.skip_unreadable(lost)
                continue
            got.take(feed.take(at, read.data, read.next))
            have |= {origin: end for origin, (end, _) in feed.sent.items()}
        refusals = feed.events()
        for refusal in refusals:
            assert refusal.kind is RefusalKind.DAMAGED
            got.miss(refusal.origin, have[refusal.origin], refusal.sequence)
            have[refusal.origin] = refusal.sequence
            feed.want(refusal.origin, refusal.sequence, 0)
        if at_end and not refusals and not feed.asks:
            return got


async def as_a_repair(writer: LogWriter) -> Got:
    """Who repairs sees the jumps, and proves each end by the chain."""
    got = Got()
    for origin, held in writer.origins().items():
        reached = 1
        async for data in read_range(writer, origin, SequenceNumber(1), held.next_sequence):
            for batch in scan.batches(data):
                got.miss(origin, reached, batch.header.base_sequence)
                reached = batch.header.next_sequence
            got.take(data)
        got.miss(origin, reached, held.next_sequence)
    return got


async def by_the_books_stream(writer: LogWriter) -> Got:
    got, service, offset = Got(), LogService(writer), 0
    while offset < writer.end_offset:
        try:
            async for answer in service.ConsumeStream(log_pb2.ConsumeRequest(offset=offset), None):  # type: ignore[arg-type]
                offset = answer.record.offset + 1
                got.records.append((written_by(answer.record.value), answer.record.value))
                if offset == writer.end_offset:
                    return got
        except DataLossError as lost:
            got.left_out_offsets |= set(range(lost.start, lost.end))
            offset = lost.end
    return got


async def by_the_books_calls(writer: LogWriter) -> Got:
    got, service = Got(), LogService(writer)
    for offset in range(writer.end_offset):
        try:
            answer = await service.Consume(log_pb2.ConsumeRequest(offset=offset), None)  # type: ignore[arg-type]
        except DataLossError as lost:
            assert lost.start <= offset < lost.end
            got.left_out_offsets.add(offset)
        else:
            assert answer.record.offset == offset
            got.records.append((written_by(answer.record.value), answer.record.value))
    return got


async def behind_a_verification(writer: LogWriter) -> Got:
    """What a check of the running log finds is all that readers meet later."""
    async for _ in verify_live(writer, None):
        pass
    damaged = {offset for each in writer.damaged() for offset in range(each.start, each.end)}
    got = await by_offset_and_again_behind_each_error(writer)
    assert got.left_out_offsets <= damaged
    return got


WAYS: list[Way] = [
    by_offset,
    by_offset_and_again_behind_each_error,
    by_time,
    by_place,
    by_cursor,
    by_name,
    as_a_follower,
    as_a_repair,
    by_the_books_stream,
    by_the_books_calls,
    behind_a_verification,
]


@cache
def identities() -> dict[int, Identity]:
    """Who wrote the record at each offset."""
    return {
        each.offset + number: (each.origin, each.sequence + number)
        for each in written().batches
        for number in range(len(each.values))
    }


@cache
def written_by(value: bytes) -> Identity:
    """Whose record it is: no two are alike."""
    return next(
        (each.origin, each.sequence + each.values.index(value)) for each in written().batches if value in each.values
    )


@asynccontextmanager
async def damaged(kind: Damage, running: bool) -> AsyncGenerator[tuple[LogWriter, set[Identity]]]:
    """The log with damage in it; its records that suffered."""
    image, files = written().image, written().image.files
    image.restore()
    files.unreadable.clear()
    spans = [] if running else kind(files, written().batches)
    log = open_log(files=files, config=CONFIG, seed=9)
    if running:
        assert len(stored(log)) == len(identities())  # all of it is known to be whole
        spans = kind(files, written().batches)
    suffered = {
        (each.origin, each.sequence + number)
        for each in written().batches
        if any(each.path == path and start < each.end and each.start < end for path, start, end in spans)
        for number in range(len(each.values))
    }
    async with LogWriter(log) as writer:
        yield writer, suffered
    log.close()


def check(way: Way, got: Got, suffered: set[Identity], *, healed: bool = False) -> None:
    """What was handed out is everything sound, once, in the order of the log; what was left out was said.

    After a heal each origin is in its order; between origins it may be another one.
    """
    everything = {
        (each.origin, each.sequence + number): value
        for each in written().batches
        for number, value in enumerate(each.values)
    }
    if way is by_name:
        begun = written().position
        everything = {key: value for key, value in everything.items() if key[1] >= begun.get(key[0], 1)}
    sound = [(identity, value) for identity, value in everything.items() if identity not in suffered]
    if healed or way in (as_a_follower, as_a_repair):
        sound.sort(key=lambda record: record[0][0])
        got.records.sort(key=lambda record: record[0][0])
    assert got.records == sound
    said = got.left_out | {identities()[offset] for offset in got.left_out_offsets if offset in identities()}
    assert said & set(everything) == suffered & set(everything)


@pytest.mark.parametrize("running", [False, True], ids=["at rest", "while running"])
@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("kind", KINDS)
def test_everything_sound_comes_once_and_what_is_left_out_is_said(kind: Damage, way: Way, running: bool) -> None:
    async def run() -> None:
        async with damaged(kind, running) as (writer, suffered):
            for _ in range(2):  # the first one meets it, the second one knows of it
                check(way, await way(writer), suffered)
            await whole_again(writer)
            check(way, await way(writer), set(), healed=True)

    asyncio.run(run())


@pytest.mark.parametrize("running", [False, True], ids=["at rest", "while running"])
@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind is not a_byte_of_a_control_batch])
def test_a_start_inside_damage_hears_of_all_of_it(kind: Damage, running: bool) -> None:
    def time_of(value: bytes) -> int:
        return TIME_MS + int(re.split(rb"[ .]", value)[1])

    async def run() -> None:
        everything = [
            (each.offset + number, (each.origin, each.sequence + number), value)
            for each in written().batches
            for number, value in enumerate(each.values)
        ]
        for by in ("offset", "time_ms"):
            async with damaged(kind, running) as (writer, suffered):
                first, _, value = next(record for record in everything if record[1] in suffered)
                start = first if by == "offset" else time_of(value)
                got = await consumed(writer, skipping(**{by: start}))
                if by == "time_ms":
                    first = next(offset for offset, _, value in everything if time_of(value) >= start)
                here = [record for record in everything if record[0] >= first]
                assert got.records == [record[1:] for record in here if record[1] not in suffered]
                assert got.left_out & {record[1] for record in here} == suffered & {record[1] for record in here}

    asyncio.run(run())


async def whole_again(writer: LogWriter) -> None:
    """What a running agent does with a peer's help."""
    async for _ in verify_live(writer, None):
        pass  # finds what the reader has not met
    await writer._on_disk_thread("heal", lambda: came_back(writer.log, written().copy))
    assert writer.damaged() == []
    assert await writer.missing() == []
