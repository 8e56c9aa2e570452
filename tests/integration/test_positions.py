"""``consume --as NAME``: a job that runs once a night continues where it stopped, at whichever node is left."""

import asyncio
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import aclosing
from pathlib import Path

import grpc.aio
import pytest

import proglog.client
from kit.origins import fill
from proglog.api.v1 import batches_pb2, batches_pb2_grpc
from proglog.client import Client, connect
from proglog.client.cursor import Cursor
from proglog.errors import InvalidRequestError, NotFoundError, PreconditionError, ProglogError, UnavailableError
from proglog.log.log import Log
from proglog.log.named_positions import MAX_NAMES
from proglog.testing.processes import AgentProcess
from proglog.tui.source import LiveSource, OriginRange, Place, Unread
from proglog.types import NodeName, OriginId, SequenceNumber

Eventually = Callable[..., Awaitable[None]]
ORIGIN = OriginId(b"o" * 16)


@pytest.fixture
def agents(tmp_path: Path) -> Iterator[list[AgentProcess]]:
    """Two that know each other."""
    started: list[AgentProcess] = []
    try:
        for name in "ab":
            started.append(AgentProcess(name, tmp_path, tuple(each.gossip_addr for each in started[:1])))
            started[-1].start()
        yield started
    finally:
        for each in started:
            each.kill()


@pytest.fixture
def agent(tmp_path: Path) -> Iterator[AgentProcess]:
    started = AgentProcess("a", tmp_path)
    started.start()
    yield started
    started.kill()


def consume(addr: str, *arguments: str) -> "subprocess.Popen[bytes]":
    environment = {key: value for key, value in os.environ.items() if not key.startswith("PROGLOG_")}
    command = [sys.executable, "-m", "proglog", "consume", "--addr", addr, *arguments]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=environment)


def lines_of(addr: str, *arguments: str) -> list[bytes]:
    process = consume(addr, *arguments)
    out, err = process.communicate(timeout=30)
    assert process.returncode == 0, err
    return out.splitlines()


async def produce(addr: str, values: list[bytes], acks: int = 1) -> None:
    async with proglog.client.connect(addr, timeout=5) as client, client.producer(acks=acks) as producer:
        await producer.send_values(values)


def named(name: str, count: int) -> list[bytes]:
    return [f"{name} {number}".encode() for number in range(count)]


async def test_the_nightly_job_continues_exactly_at_the_node_that_is_left(
    agents: list[AgentProcess], eventually: Eventually
) -> None:
    a, b = agents

    async def together() -> bool:
        try:
            await produce(a.rpc_addr, [b"ready"], acks=2)
        except ProglogError:
            return False
        return True

    await eventually(together, timeout=20, what="a cluster of two")
    await produce(a.rpc_addr, named("first", 1000), acks=2)

    first = await asyncio.to_thread(lines_of, a.rpc_addr, "--as", "nightly")
    await produce(b.rpc_addr, named("second", 500))
    await produce(a.rpc_addr, named("third", 300), acks=2)
    a.kill()
    second = await asyncio.to_thread(lines_of, f"{a.rpc_addr},{b.rpc_addr}", "--as", "nightly")
    third = await asyncio.to_thread(lines_of, b.rpc_addr, "--as", "nightly")

    assert [line for line in first if line != b"ready"] == named("first", 1000)
    assert sorted(second) == sorted(named("second", 500) + named("third", 300))
    assert third == []


async def test_a_run_with_a_limit_stops_there_and_the_next_continues_there(agent: AgentProcess) -> None:
    await produce(agent.rpc_addr, named("x", 20))

    found = [await asyncio.to_thread(lines_of, agent.rpc_addr, "--as", "steps", "--limit", "7") for _ in range(4)]

    assert [len(each) for each in found] == [7, 7, 6, 0]
    assert [line for each in found for line in each] == named("x", 20)


async def test_range_is_where_the_first_run_starts_and_reset_starts_there_again(agent: AgentProcess) -> None:
    await produce(agent.rpc_addr, named("x", 10))

    first = await asyncio.to_thread(lines_of, agent.rpc_addr, "-3", "--as", "tail")
    second = await asyncio.to_thread(lines_of, agent.rpc_addr, "-3", "--as", "tail")
    again = await asyncio.to_thread(lines_of, agent.rpc_addr, "start", "--as", "tail", "--reset")
    after = await asyncio.to_thread(lines_of, agent.rpc_addr, "--as", "tail")

    assert first == named("x", 10)[7:]
    assert second == []
    assert again == named("x", 10)
    assert after == []


async def test_a_follower_ended_by_ctrl_c_has_committed_what_it_wrote(agent: AgentProcess) -> None:
    await produce(agent.rpc_addr, named("x", 10))
    process = consume(agent.rpc_addr, "--as", "live", "--follow", "--commit-interval", "60")
    assert process.stdout is not None
    lines = [await asyncio.to_thread(process.stdout.readline) for _ in range(10)]
    process.send_signal(signal.SIGINT)
    _, errors = await asyncio.to_thread(process.communicate, None, 10)

    assert [line.rstrip() for line in lines] == named("x", 10)
    assert process.returncode == 130, errors
    assert b"Traceback" not in errors
    assert await asyncio.to_thread(lines_of, agent.rpc_addr, "--as", "live") == []


async def test_a_killed_run_repeats_at_most_what_came_after_its_last_commit(
    agent: AgentProcess, eventually: Eventually
) -> None:
    await produce(agent.rpc_addr, named("x", 10))
    process = consume(agent.rpc_addr, "--as", "live", "--follow", "--commit-interval", "0.1")
    assert process.stdout is not None
    for _ in range(10):
        await asyncio.to_thread(process.stdout.readline)
    async with proglog.client.connect(agent.rpc_addr) as client:

        async def committed() -> bool:
            return any(each.name == "live" and each.records_behind == 0 for each in await client.positions())

        await eventually(committed, what="a commit on the way")
    process.kill()
    await asyncio.to_thread(process.communicate)
    await produce(agent.rpc_addr, named("y", 5))

    assert await asyncio.to_thread(lines_of, agent.rpc_addr, "--as", "live") == named("y", 5)


async def test_an_idle_committer_commits_nothing(agent: AgentProcess, eventually: Eventually) -> None:
    await produce(agent.rpc_addr, named("x", 3))
    async with proglog.client.connect(agent.rpc_addr) as client:
        stream = client.consume()
        async for _ in stream:
            pass

        async def committed_once() -> bool:  # the origin's first batch, three records, one commit
            return [each.next_sequence for each in (await client.status()).origins] == [6]

        async with client.named("idle", interval=0.05, by_hand=True) as job:
            job.processed(stream.cursor)
            await eventually(committed_once, timeout=30, what="the commit")
            await asyncio.sleep(0.5)  # ten intervals, in which nothing may come
            assert await committed_once()
        # At the end once more: that one waits for every server.
        assert [each.next_sequence for each in (await client.status()).origins] == [7]


async def test_commits_of_one_epoch_join_and_an_older_epoch_is_refused(agent: AgentProcess) -> None:
    async def commit(client: Client, sequence: int, epoch: int) -> None:
        await client.commit_position("n", Cursor({ORIGIN: SequenceNumber(sequence)}), epoch=epoch)

    async with proglog.client.connect(agent.rpc_addr) as client:
        await commit(client, 9, 1)
        await commit(client, 5, 1)
        (held,) = await client.positions("n")
        assert (held.epoch, dict(held.cursor.positions)) == (1, {ORIGIN: 9})

        await commit(client, 2, 2)
        (held,) = await client.positions("n")
        assert (held.epoch, dict(held.cursor.positions)) == (2, {ORIGIN: 2})
        assert abs(held.committed_at_ms - time.time() * 1000) < 60_000

        with pytest.raises(PreconditionError, match="started over"):
            await commit(client, 100, 1)
        with pytest.raises(InvalidRequestError, match="printable"):
            await client.commit_position("\n", Cursor())


async def test_how_far_a_name_is_behind_counts_records_only(agent: AgentProcess) -> None:
    await produce(agent.rpc_addr, named("x", 10))
    async with proglog.client.connect(agent.rpc_addr) as client:
        stream = client.consume(limit=4)
        async for _ in stream:
            pass
        await client.commit_position("n", stream.cursor)
        assert [each.records_behind for each in await client.positions()] == [6]


async def test_a_position_survives_a_crash_of_its_node(agent: AgentProcess) -> None:
    await produce(agent.rpc_addr, named("x", 10))
    assert len(await asyncio.to_thread(lines_of, agent.rpc_addr, "--as", "n", "--limit", "4")) == 4
    agent.kill()
    agent.start()

    assert await asyncio.to_thread(lines_of, agent.rpc_addr, "--as", "n") == named("x", 10)[4:]


async def test_nobody_to_ask_for_a_position_is_said(free_port: Callable[[], int]) -> None:
    async with proglog.client.connect(f"127.0.0.1:{free_port()}", timeout=1) as client:
        with pytest.raises(UnavailableError):
            async with client.named("n"):
                pass


def test_a_cursor_printed_by_one_run_is_the_range_of_the_next(agent: AgentProcess) -> None:
    asyncio.run(produce(agent.rpc_addr, named("x", 10)))
    process = consume(agent.rpc_addr, "--limit", "4", "--print-cursor")
    out, errors = process.communicate(timeout=30)
    range_ = errors.decode().strip()

    assert out.splitlines() == named("x", 10)[:4]
    assert range_.startswith("cursor:")
    assert lines_of(agent.rpc_addr, range_) == named("x", 10)[4:]


def test_positions_are_listed_with_what_they_are_behind_and_since_when(agent: AgentProcess) -> None:
    asyncio.run(produce(agent.rpc_addr, named("x", 10)))
    assert len(lines_of(agent.rpc_addr, "--as", "steps", "--limit", "7")) == 7
    command = [sys.executable, "-m", "proglog", "positions", "--addr", agent.rpc_addr]

    table = subprocess.run(command, capture_output=True, timeout=30)
    (facts,) = json.loads(subprocess.run([*command, "-o", "json"], capture_output=True, timeout=30).stdout)["items"]

    assert b"steps" in table.stdout
    assert b"LAST COMMIT" in table.stdout
    assert (facts["name"], facts["records_behind"], facts["epoch"]) == ("steps", 3, 0)
    assert lines_of(agent.rpc_addr, f"cursor:{facts['cursor']}") == named("x", 10)[7:]


async def test_a_deleted_position_is_in_no_list_and_its_epoch_still_counts(agent: AgentProcess) -> None:
    async with connect(agent.rpc_addr) as client:
        at = Cursor({OriginId(bytes(16)): SequenceNumber(5)})
        await client.commit_position("kept", at, epoch=0)
        await client.commit_position("gone", at, epoch=0)
        await client.commit_position("gone", Cursor(), epoch=1)
    async with grpc.aio.insecure_channel(agent.rpc_addr) as channel:  # as a client of any version and language sees it
        stub = batches_pb2_grpc.PositionsStub(channel)
        listed = await stub.List(batches_pb2.ListPositionsRequest())
        (asked,) = (await stub.List(batches_pb2.ListPositionsRequest(name="gone"))).positions

    assert [each.name for each in listed.positions] == ["kept"]
    assert (asked.epoch, len(asked.cursor.positions)) == (1, 0)


async def test_the_4097th_name_is_refused_and_none_of_the_others_is_forgotten(
    agent: AgentProcess, eventually: Eventually
) -> None:
    async with proglog.client.connect(agent.rpc_addr, timeout=60) as client:
        cursor = Cursor({ORIGIN: SequenceNumber(2)})
        for start in range(0, MAX_NAMES, 512):
            names = [f"ci-{number}" for number in range(start, start + 512)]
            await asyncio.gather(*(client.commit_position(name, cursor) for name in names))
        with pytest.raises(PreconditionError, match=r"no room for position 'one-more'.*4,096 names"):
            await client.commit_position("one-more", cursor)
        await client.commit_position("ci-0", cursor)
        assert len(await client.positions()) == MAX_NAMES

        async def shown() -> bool:
            problems = (await client.status()).log.problems
            return "4,096 of 4,096 names of positions are in use" in " ".join(each.detail for each in problems)

        await eventually(shown, timeout=10, what="the problem")


async def test_the_status_says_how_far_each_name_is_behind_and_since_when(
    agent: AgentProcess, eventually: Eventually
) -> None:
    await produce(agent.rpc_addr, named("x", 10))
    async with proglog.client.connect(agent.rpc_addr) as client:
        stream = client.consume(limit=4)
        async for _ in stream:
            pass
        await client.commit_position("slow", stream.cursor)
        rest = client.consume(stream.cursor)
        async for _ in rest:
            pass
        await client.commit_position("done", rest.cursor)

        async def seen() -> bool:
            found = {each.name: each for each in (await client.status()).consumers}
            return set(found) == {"slow", "done"} and found["slow"].records_behind == 6

        await eventually(seen, what="both names in the status")
        status = await client.status()
        done, slow = status.consumers
        assert (done.name, done.records_behind, done.lag_ms) == ("done", 0, None)
        assert slow.lag_ms is not None
        assert 0 <= slow.lag_ms < 60_000
        assert done.consumed > slow.consumed
        assert {each.what for each in status.latencies} >= {"append", "sync"}
        assert all(0 < each.median_us <= each.p99_us <= each.max_us for each in status.latencies)


async def test_the_dashboard_reads_what_a_name_has_not_had_and_a_stretch_of_an_origin(agent: AgentProcess) -> None:
    await produce(agent.rpc_addr, named("x", 10))
    source = LiveSource(agent.rpc_addr)
    async with proglog.client.connect(agent.rpc_addr) as client:
        stream = client.consume(limit=4)
        async for _ in stream:
            pass
        await client.commit_position("slow", stream.cursor)
        origin = (await client.status()).origins[0].origin

    async def read(place: Place, at_most: int) -> list[bytes]:
        values: list[bytes] = []
        async with aclosing(source.records(place)) as portions:
            async for records, _ in portions:
                values += [each.value for each in records]
                if len(values) >= at_most:
                    break
        return values

    assert await read(Unread("slow"), 6) == named("x", 10)[4:]
    assert await read(OriginRange(origin, 4, 7), 100) == named("x", 10)[2:5]  # sequence 1 is the origin's opening batch
    with pytest.raises(NotFoundError, match="no position"):
        await read(Unread("nobody"), 1)


async def test_a_job_consumes_and_commits_with_more_origins_than_one_commit_names(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    prepared = Log.open(tmp_path / "a", node_name=NodeName("a"))
    fill(prepared, 9_000)
    prepared.close()
    agent = AgentProcess("a", tmp_path)
    agent.start()
    try:
        async with Client(agent.rpc_addr) as client:
            seen = []
            for _ in range(2):
                async with client.named("job", by_hand=True) as job:
                    found = 0
                    async for batch in job:
                        found += batch.count
                        job.processed(batch.cursor)
                    await job.commit()
                seen.append(found)
            position = await client.find_position("job")
            assert position is not None
            assert len(position.cursor.positions) >= 9_000
            assert seen == [9_000, 0]
    finally:
        agent.kill()
