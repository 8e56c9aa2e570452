"""Every kind of damage at once on a real agent, alone and then with a peer: each way to read hands out everything sound.

The peer makes it whole again within a minute, at rest as while it runs, and every call is answered meanwhile.
The single kinds and ways, one by one and without processes: test_every_way_to_read.py.
"""

import asyncio
import json
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import suppress
from itertools import islice, pairwise
from pathlib import Path

import grpc.aio
import pytest

from kit.patience import patience
from proglog.api.v1 import log_pb2, log_pb2_grpc
from proglog.client import Client, Cursor, DataLossError, Gone, OffsetSpec, connect
from proglog.record import scan
from proglog.record.batch import BatchHeader
from proglog.testing.processes import AgentProcess
from proglog.tui.source import LiveSource
from tests.storage.kit import LONG

Identity = tuple[bytes, int]
Batches = list[tuple[Path, int, BatchHeader, tuple[bytes, ...]]]
HEAL_SECONDS = 60.0
ANSWER_SECONDS = 0.05
SIZES = [
    pytest.param(32 * 1024, 30, 100, id="small"),
    pytest.param(128 << 20, 300, 8000, id="large", marks=pytest.mark.skipif(not LONG, reason="takes minutes")),
]
"""Bytes of a segment, damaged places of one, and bytes of a record."""


class Got:
    """What a reader was given, and what was said to be missing."""

    def __init__(self) -> None:
        self.records: list[tuple[Identity, bytes]] = []
        self.left_out: set[Identity] = set()
        self.left_out_offsets: set[int] = set()

    def miss(self, gone: Gone) -> None:
        self.left_out |= {(gone.origin, sequence) for sequence in range(gone.start, gone.end)}


Way = Callable[[Client], Awaitable[Got]]


async def consumed(client: Client, start: OffsetSpec | Cursor | None) -> Got:
    got = Got()
    async for fetched in client.consume(start, skip_gone=True, on_gone=got.miss):
        got.records += [((each.origin, each.sequence), each.value) for each in fetched.records()]
    return got


async def by_offset(client: Client) -> Got:
    return await consumed(client, OffsetSpec.offset(0))


async def by_time(client: Client) -> Got:
    return await consumed(client, OffsetSpec.at_time(0))


async def by_place(client: Client) -> Got:
    return await consumed(client, OffsetSpec.before_end(1 << 40))


async def by_cursor(client: Client) -> Got:
    return await consumed(client, Cursor())


async def by_name(client: Client) -> Got:
    got = Got()
    async with client.named("job", reset=True, skip_gone=True, on_gone=got.miss) as job:
        async for fetched in job:
            got.records += [((each.origin, each.sequence), each.value) for each in fetched.records()]
    return got


async def in_the_record_browser(client: Client) -> Got:
    """As the dashboard does: it shows what is damaged as a row, and reads on behind it."""
    got, at, end = Got(), 0, (await client.status()).log.end_offset
    while at < end:
        portions = LiveSource(client.addr).records(OffsetSpec.offset(at))
        try:
            async for records, _ in portions:
                got.records += [((each.origin, each.sequence), each.value) for each in records]
                at = max([at, *(each.offset + 1 for each in records)])
                if at >= end:
                    break
        except DataLossError as lost:
            got.left_out_offsets |= set(range(max(at, lost.start), lost.end))
            at = lost.end
        finally:
            await portions.aclose()  # type: ignore[attr-defined]  # it is a generator
    return got


async def by_the_books_stream(client: Client) -> Got:
    got, at, end = Got(), 0, (await client.status()).log.end_offset
    async with grpc.aio.insecure_channel(client.addr) as channel:
        while at < end:
            stream = log_pb2_grpc.LogStub(channel).ConsumeStream(log_pb2.ConsumeRequest(offset=at))
            try:
                async for answer in stream:
                    at = answer.record.offset + 1
                    got.records.append(((b"", answer.record.offset), answer.record.value))
                    if at >= end:
                        break
            except grpc.aio.AioRpcError as refused:
                assert refused.code() is grpc.StatusCode.DATA_LOSS
                damaged = next(each for each in (await client.status()).log.damaged if each.end_offset > at)
                got.left_out_offsets |= set(range(damaged.start_offset, damaged.end_offset))
                at = damaged.end_offset
    return got


WAYS: list[Way] = [
    by_offset,
    by_time,
    by_place,
    by_cursor,
    by_name,
    in_the_record_browser,
    by_the_books_stream,
]


def batches_in(directory: Path) -> Batches:
    return [
        (path, at, header, tuple(scan.values(batch)))
        for path in sorted(directory.glob("*.log"))
        for data in (path.read_bytes(),)
        for (at, header), batch in zip(scan.headers(data), scan.batches(data), strict=True)
    ]


def damage_everything(batches: Batches, places: int) -> set[tuple[Path, int]]:
    """Damage a log in every way; return the batches that suffered."""
    paths = sorted({path for path, *_ in batches})
    held = {path: [batch for batch in batches if batch[0] == path] for path in paths}
    suffered: set[tuple[Path, int]] = set()

    def flip(path: Path, at: int, inside: int) -> None:
        with path.open("r+b") as file:
            file.seek(at + inside)
            byte = file.read(1)
            file.seek(at + inside)
            file.write(bytes([byte[0] ^ 1]))
        suffered.add((path, at))

    def data(path: Path) -> Iterator[tuple[Path, int]]:
        return ((path, at) for path, at, _, values in held[path] if values)

    for path, at, _, _ in batches[:2]:
        flip(path, at, 130)  # the first batches, with and without records
    flip(*next(islice(data(paths[1]), 3, None)), 140)  # a byte of a data batch
    flip(*next(islice(data(paths[1]), 6, None)), 24)  # a byte of a header
    flip(*next((path, at) for path, at, _, values in reversed(batches) if not values), 130)  # a control batch
    for path, at, *_ in next(pair for pair in pairwise(batches) if (pair[0][0], pair[1][0]) == (paths[2], paths[3])):
        flip(path, at, 135)  # two ranges that touch
    for path, at in islice(islice(data(paths[4]), 1, None, 2), places):
        flip(path, at, 150)  # many places of one segment
    size = paths[5].stat().st_size * 10 // 128
    with paths[5].open("r+b") as file:
        file.truncate(size)  # 118 of 128 MiB
    suffered |= {(path, at) for path, at, header, _ in held[paths[5]] if at + header.batch_bytes > size}
    flip(batches[-1][0], batches[-1][1], 130)  # the last batch
    return suffered


@pytest.mark.timeout(900 if LONG else 120)
@pytest.mark.parametrize("running", [False, True], ids=["at rest", "while running"])
@pytest.mark.parametrize(("segment_bytes", "places", "record_bytes"), SIZES)
async def test_a_damaged_agent_serves_everything_sound_and_with_a_peer_everything(
    segment_bytes: int, places: int, record_bytes: int, running: bool, tmp_path: Path
) -> None:
    flags = {"segment-bytes": str(segment_bytes)}
    with AgentProcess("a", tmp_path, flags=flags) as a, AgentProcess("b", tmp_path, (a.gossip_addr,), flags) as b:
        async with connect(a.rpc_addr) as client, connect(b.rpc_addr) as other:
            async with other.producer() as producer:
                await producer.send_values([b"of b %d" % number for number in range(100)])
            async with client.named("job", by_hand=True), client.producer(batch_bytes=3 * record_bytes) as producer:
                number = 0
                while (await client.status()).log.segment_count < 8:
                    some = range(number, number + (segment_bytes // record_bytes) // 2)
                    await producer.send_values([b"%08d" % each * (record_bytes // 8) for each in some])
                    number = some.stop
            await until_alike(client, other)
            await by_name(client)  # a commit of its own
            await until_alike(client, other)
            await asyncio.to_thread(b.stop)
            directory = tmp_path / "a"
            if not running:
                await asyncio.to_thread(a.stop)
            batches = await asyncio.to_thread(batches_in, directory)
            suffered = await asyncio.to_thread(damage_everything, batches, places)
            if not running:
                await asyncio.to_thread(a.start)
            for way in WAYS:
                check(way, await way(client), batches, suffered)
            said = (await client.status()).log.damaged
            assert len(said) > min(places, 20)

            await asyncio.to_thread(b.start)
            took, answers = await healed(client)
            print(
                f"{len(said)} ranges whole after {took:.1f} s; answers {[f'{each * 1000:.0f} ms' for each in answers[-3:]]}"
            )
            assert took < HEAL_SECONDS
            assert answers[int(len(answers) * 0.95)] < patience(ANSWER_SECONDS)
            for way in WAYS:
                check(way, await way(client), batches, set())


async def until_alike(*clients: Client) -> None:
    """Wait until all hold the same of every origin."""
    async with asyncio.timeout(patience(20)):
        while True:
            held = [{(o.origin, o.next_sequence) for o in (await each.status()).origins} for each in clients]
            if all(each == held[0] for each in held):
                return
            await asyncio.sleep(0.05)


async def until_marked(directory: Path) -> None:
    """Wait until the agent has written down how far its log is durable: every few seconds, if anything has come."""
    async with asyncio.timeout(patience(10)):
        mark = directory / "durable"
        while True:
            if mark.exists():
                said = json.loads(mark.read_text().partition("\n")[0])
                store = directory / f"{said['base_offset']:020d}.log"
                if said["store_bytes"] == store.stat().st_size and store == max(directory.glob("*.log")):
                    return
            await asyncio.sleep(0.1)


async def healed(client: Client) -> tuple[float, list[float]]:
    """Wait until nothing is damaged; return how long that took, and how long calls took meanwhile, ascending."""
    began, answers = time.monotonic(), list[float]()
    async with grpc.aio.insecure_channel(client.addr) as channel, asyncio.timeout(patience(HEAL_SECONDS)):
        stub = log_pb2_grpc.LogStub(channel)
        while True:
            for _ in range(10):
                asked = time.monotonic()
                await stub.GetServers(log_pb2.GetServersRequest())
                answers.append(time.monotonic() - asked)
                await asyncio.sleep(0.01)
            with suppress(StopAsyncIteration):
                if not (await client.status()).log.damaged:
                    return time.monotonic() - began, sorted(answers)


def check(way: Way, got: Got, batches: Batches, suffered: set[tuple[Path, int]]) -> None:
    """Everything sound came once, each origin in its order, and what did not was said."""
    sound: list[tuple[Identity, bytes]] = []
    lost: set[Identity] = set()
    offsets: dict[int, Identity] = {}
    for path, at, header, values in batches:
        records = [((header.origin, header.base_sequence + number), value) for number, value in enumerate(values)]
        offsets |= {header.base_offset + number: identity for number, (identity, _) in enumerate(records)}
        if (path, at) in suffered:
            lost |= {identity for identity, _ in records}
        else:
            sound += records
    given = got.records
    if way is by_the_books_stream:  # which knows values alone
        named = {value: identity for identity, value in sound}
        given = [(named[value], value) for _, value in given]
    assert sorted(given, key=lambda each: each[0][0]) == sorted(sound, key=lambda each: each[0][0])
    said = got.left_out | {offsets[offset] for offset in got.left_out_offsets if offset in offsets}
    everything = {identity for identity, _ in sound} | lost
    assert said & everything == lost


@pytest.mark.timeout(1800 if LONG else 120)
@pytest.mark.parametrize("end", ["stop", "kill"])
async def test_a_log_whose_end_was_cut_is_whole_within_ten_seconds_and_keeps_what_came_later(
    end: str, tmp_path: Path
) -> None:
    with AgentProcess("a", tmp_path) as a, AgentProcess("b", tmp_path, (a.gossip_addr,)) as b:
        async with connect(a.rpc_addr) as client, connect(b.rpc_addr) as other:
            values = [b"%03d" % number * 20 for number in range(40)]
            for value in values:
                await client.produce_value(value)
            await until_alike(client, other)
            for life, cut_bytes in enumerate(range(1, 2000, 13) if LONG else (1, 700)):
                await until_marked(tmp_path / "a")
                await asyncio.to_thread(getattr(a, end))
                store = max(path for path in (tmp_path / "a").glob("*.log") if path.stat().st_size > cut_bytes)
                with store.open("r+b") as file:
                    file.truncate(store.stat().st_size - cut_bytes)
                await asyncio.to_thread(a.start)
                began = time.monotonic()
                values += (new := [b"new %d.%d" % (life, number) for number in range(3)])
                async with connect(a.rpc_addr) as another:  # the first one's last records may be what was cut
                    for value in new:
                        await another.produce_value(value)
                await healed(client)
                await until_alike(client, other)
                assert time.monotonic() - began < patience(10)
                for each in (client, other):
                    assert sorted(value for _, value in (await by_cursor(each)).records) == sorted(values)
