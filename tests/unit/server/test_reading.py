"""Consumers and damage: whatever is damaged and however they read, they get everything sound, once, and hear the rest."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from proglog.agent.writer import LogWriter
from proglog.api.v1 import batches_pb2
from proglog.client.contiguity import Contiguity
from proglog.client.fetcher import explanations
from proglog.errors import DataLossError, PositionGoneError
from proglog.log.config import LogConfig
from proglog.log.log import Log
from proglog.log.model import ImportAppend, LocalAppend, LogPosition
from proglog.record import control, scan
from proglog.record.batch import HEADER_BYTES, VerifiedBatch, verify
from proglog.server.batch_service import _Reading
from proglog.server.feed import Feed, answer_from
from proglog.server.range_reader import read_range
from proglog.types import FilePosition, OriginId, SequenceNumber
from proglog.wire.cursors import cursor_message, positions_of
from tests.unit.log.kit import Clock, append, batches_of, open_log

CONFIG = LogConfig(segment_bytes=4096, index_interval_bytes=512, ballast_bytes=0)
Start = Callable[[Log], batches_pb2.ConsumeBatchesRequest]


def from_start(log: Log) -> batches_pb2.ConsumeBatchesRequest:
    del log
    return batches_pb2.ConsumeBatchesRequest(start=batches_pb2.OffsetSpec(after_start=0))


def from_cursor(log: Log) -> batches_pb2.ConsumeBatchesRequest:
    del log
    return batches_pb2.ConsumeBatchesRequest(cursor=cursor_message({}))


STARTS = [from_start, from_cursor]


@dataclass
class Got:
    values: list[bytes] = field(default_factory=list)
    gone: list[tuple[int, int]] = field(default_factory=list)


async def consumed(log: Log, start: Start, *, skip: bool = False) -> Got:
    """What a consumer gets who reads all of the log there is now."""
    request, got = start(log), Got()
    request.skip_gone, request.max_bytes = skip, 1
    async with LogWriter(log) as writer:
        reading = await _Reading.begin(writer, request)
        answers = [reading.first_answer()]
        seen = {each.origin: each.next_sequence for each in answers[0].cursor.positions}
        while not reading.over:
            answers += await asyncio.wait_for(reading.next_answers(), 5)
        contiguity = Contiguity(positions_of(answers[0].cursor))
        for answer in answers:
            got.gone += [(each.start_sequence, each.end_sequence) for each in answer.gone]
            for batch in contiguity.in_order(scan.batches(answer.batches), explanations(answer)):
                if not isinstance(batch, VerifiedBatch):
                    continue
                assert batch.header.base_sequence >= seen.get(batch.header.origin, 0), "a batch came twice"
                seen[batch.header.origin] = batch.header.next_sequence
                got.values += scan.values(batch)
    return got


def filled(directory: Path, count: int = 60) -> tuple[Log, list[bytes], dict[bytes, tuple[Path, int, int]]]:
    """A log of some segments, its values, and where the batch of each value stands: file, position, sequence."""
    log = open_log(directory, config=CONFIG, seed=3)
    values = [b"value %02d " % number * 14 for number in range(count)]
    for value in values:
        append(log, value)
    places = {}
    cursor = LogPosition(log.start_offset, FilePosition(0))
    while (read := log.read(cursor, 1)).data:
        batch = verify(read.data)
        for value in scan.values(batch):
            places[value] = (
                directory / f"{read.start.segment:020d}.log",
                read.start.position,
                batch.header.base_sequence,
            )
        cursor = read.next
    return log, values, places


def rot(place: tuple[Path, int, int], at: int = HEADER_BYTES + 5) -> None:
    with place[0].open("r+b") as file:
        file.seek(place[1] + at)
        byte = file.read(1)
        file.seek(place[1] + at)
        file.write(bytes([byte[0] ^ 1]))


def runs(sequences: list[int]) -> list[tuple[int, int]]:
    found: list[tuple[int, int]] = []
    for sequence in sequences:
        if found and found[-1][1] == sequence:
            found[-1] = found[-1][0], sequence + 1
        else:
            found.append((sequence, sequence + 1))
    return found


def last_of_a_segment(values: list[bytes], places: dict[bytes, tuple[Path, int, int]]) -> int:
    return next(n for n in range(1, len(values)) if places[values[n]][0] != places[values[n - 1]][0]) - 1


@pytest.mark.parametrize("start", STARTS)
@pytest.mark.parametrize("known", ["at rest", "while running", "while running, read before"])
@pytest.mark.parametrize(
    "which",
    ["the first", "the last", "one", "two that touch", "two that touch over a roll", "three places"],
)
async def test_a_reader_gets_all_that_is_sound_and_hears_of_the_rest(
    which: str, known: str, start: Start, tmp_path: Path
) -> None:
    log, values, places = filled(tmp_path)
    roll = last_of_a_segment(values, places)
    damaged = {
        "the first": [0],
        "the last": [59],
        "one": [20],
        "two that touch": [20, 21],
        "two that touch over a roll": [roll, roll + 1],
        "three places": [5, 25, 26, 50],
    }[which]
    if known == "at rest":
        log.close()
    elif known == "while running, read before":
        assert (await consumed(log, start)).values == values
    for number in damaged:
        rot(places[values[number]])
    if known == "at rest":
        log = open_log(tmp_path, config=CONFIG, seed=4)
    first = await consumed(log, start, skip=True)
    again = await consumed(log, start, skip=True)
    sound = [value for number, value in enumerate(values) if number not in damaged]
    assert first.values == again.values == sound
    gone = runs([places[values[number]][2] for number in damaged])
    assert first.gone == again.gone == gone
    assert [offset for each in log.damaged() for offset in range(each.start, each.end)] == damaged
    with pytest.raises(DataLossError):
        await consumed(log, start)
    log.close()


@pytest.mark.parametrize("start", STARTS)
async def test_a_damaged_control_batch_costs_no_reader_anything(start: Start, tmp_path: Path) -> None:
    log = open_log(tmp_path, config=CONFIG, seed=3)
    append(log, b"before")
    at = log.end_position
    log.append([LocalAppend(verify(control.position_commit("job", 1, {log.origin: SequenceNumber(2)}, now_ms=5)))])
    append(log, b"after")
    rot((tmp_path / f"{at.segment:020d}.log", at.position, 0))
    log.close()
    for _ in range(2):
        log = open_log(tmp_path, config=CONFIG, seed=4)
        for skip in (False, True):
            got = await consumed(log, start, skip=skip)
            assert got == Got([b"before", b"after"], [])
        log.close()


async def test_a_place_is_a_vector_at_once_so_that_retention_is_reported_as_positions(tmp_path: Path) -> None:
    clock = Clock()
    config = LogConfig(segment_bytes=4096, retention_bytes=6000, ballast_bytes=0)
    log = open_log(tmp_path, config=config, clock=clock)
    for number in range(60):
        append(log, b"%d " % number * 50)
    async with LogWriter(log) as writer:
        reading = await _Reading.begin(
            writer, batches_pb2.ConsumeBatchesRequest(start=batches_pb2.OffsetSpec(after_start=0))
        )
        assert reading.first_answer().start_offset == 0
        assert log.retain()
        with pytest.raises(PositionGoneError):
            while True:
                await reading.next_answers()
    log.close()


async def test_a_pass_over_what_nobody_wants_leaves_the_loop_to_others(tmp_path: Path) -> None:
    log, values, _ = filled(tmp_path)
    turns = reads = 0

    async def others() -> None:
        nonlocal turns
        while True:
            turns += 1
            await asyncio.sleep(0)

    other = asyncio.create_task(others())
    request = batches_pb2.ConsumeBatchesRequest(
        cursor=cursor_message({log.origin: log.origins()[log.origin].next_sequence - 1}), max_bytes=1
    )
    async with LogWriter(log) as writer:
        reading = await _Reading.begin(writer, request)
        reading._pass.at = LogPosition(log.start_offset, FilePosition(0))  # as an older origin would have it
        while not reading.over:
            await reading.next_answers()
            reads += 1
    other.cancel()
    assert reads > 3
    assert turns >= reads - 1
    assert values
    log.close()


# Followers and repair


def followed(log: Log, origin: OriginId, start: int) -> tuple[list[int], list[tuple[str, int]]]:
    """The sequences of the batches that a follower is sent, and what it is refused."""
    feed, found, refused = Feed(log), list[int](), list[tuple[str, int]]()
    feed.want(origin, SequenceNumber(start), 0)
    for _ in range(1000):
        question = feed.question()
        if question is not None:
            feed.settle(answer_from(question, log))
        if not feed.at_end and not feed.pass_over_everything():
            cursor = feed.at
            try:
                read = log.read(cursor, 600)
            except DataLossError as exc:
                feed.skip_unreadable(exc)
            else:
                sent = feed.take(cursor, read.data, read.next)
                found += [each.header.base_sequence for each in scan.batches(sent)]
        refused += [(each.kind.name, each.sequence) for each in feed.events()]
        if feed.at_end:
            break
    return found, refused


def foreign(directory: Path, *, commits: bool) -> list[ImportAppend]:
    """Batches of another origin, the last one a commit."""
    other = open_log(directory, config=CONFIG, name="other", seed=8)
    append(other, b"foreign")
    if commits:
        commit = control.position_commit("job", 1, {other.origin: SequenceNumber(2)}, now_ms=5)
        other.append([LocalAppend(verify(commit))])
    return [ImportAppend(verify(bytes(each.data))) for each in batches_of(other)]


def test_a_control_batch_right_behind_damage_is_sent(tmp_path: Path) -> None:
    log = open_log(tmp_path / "log", config=LogConfig(ballast_bytes=0), seed=3)
    at = log.end_position
    append(log, b"damaged")
    batches = foreign(tmp_path / "other", commits=True)
    log.append(batches)
    append(log, b"after")
    rot((tmp_path / "log" / f"{at.segment:020d}.log", at.position, 0))
    log.close()
    log = open_log(tmp_path / "log", config=LogConfig(ballast_bytes=0), seed=3)
    origin = batches[0].batch.header.origin
    assert followed(log, origin, 1) == ([1, 2, 3], [])
    log.close()


def test_an_origin_that_ends_in_a_damaged_control_batch_is_refused_from_there(tmp_path: Path) -> None:
    log = open_log(tmp_path / "log", config=LogConfig(ballast_bytes=0), seed=3)
    batches = foreign(tmp_path / "other", commits=True)
    log.append(batches[:-1])
    at = log.end_position
    log.append(batches[-1:])
    append(log, b"after")
    rot((tmp_path / "log" / f"{at.segment:020d}.log", at.position, 0))
    origin = batches[0].batch.header.origin
    assert followed(log, origin, 1) == ([1, 2], [("DAMAGED", 4)])
    log.close()


async def test_a_repairing_peer_gets_all_that_is_sound_around_two_ranges_that_touch(tmp_path: Path) -> None:
    log, values, places = filled(tmp_path)
    roll = last_of_a_segment(values, places)
    for number in (roll, roll + 1):
        rot(places[values[number]])
    async with LogWriter(log) as writer:
        parts = [part async for part in read_range(writer, log.origin, SequenceNumber(1), SequenceNumber(62))]
    found = [value for part in parts for batch in scan.batches(part) for value in scan.values(batch)]
    assert found == [value for number, value in enumerate(values) if number not in (roll, roll + 1)]
    log.close()
