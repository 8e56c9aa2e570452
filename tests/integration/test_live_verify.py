"""A running agent's log is checked while it is in use: what is wrong is named, and known to the log from then on."""

import asyncio
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from proglog.client import Cursor, connect
from proglog.errors import NotFoundError, OverloadedError
from proglog.testing.processes import AgentProcess
from proglog.types import OriginId, SequenceNumber
from proglog.wire.model import Verified

SEGMENT_BYTES = 1 << 20


@pytest.fixture
def agent(tmp_path: Path) -> Iterator[AgentProcess]:
    started = AgentProcess("a", tmp_path, flags={"segment-bytes": str(SEGMENT_BYTES)})
    started.start()
    yield started
    started.kill()


async def fill(agent: AgentProcess, records: int = 40_000) -> None:
    """Several segments of records of 100 bytes that do not compress to nothing."""
    async with connect(agent.rpc_addr) as client, client.producer(batch_bytes=64 * 1024) as producer:
        await producer.send_values([b"%d " % number * 12 for number in range(records)])


async def verified(agent: AgentProcess, base_offset: int | None = None) -> Verified:
    async with connect(agent.rpc_addr) as client:
        steps = [done async for done in client.verify(base_offset)]
    assert [step.bytes_done for step in steps] == sorted(step.bytes_done for step in steps)
    assert [step.finished for step in steps] == [False] * (len(steps) - 1) + [True]
    return steps[-1]


async def test_a_whole_log_is_whole_segment_by_segment_and_altogether(agent: AgentProcess) -> None:
    await fill(agent)
    async with connect(agent.rpc_addr) as client:
        segments = (await client.status(segments=True)).segments
    assert len(segments) > 2

    of_all = await verified(agent)
    each = [await verified(agent, segment.base_offset) for segment in segments]

    assert of_all.problems == ()
    assert of_all.records == sum(done.records for done in each)
    assert [done.batches for done in each] == [segment.batch_count for segment in segments]
    assert [done.bytes_done for done in each] == [done.bytes_total for done in each] == [s.bytes for s in segments]


async def test_control_batches_behind_the_last_record_are_looked_at_too(agent: AgentProcess) -> None:
    await fill(agent, records=100)
    async with connect(agent.rpc_addr) as client:
        origin = (await client.status()).node.origin
        for number in range(300):
            await client.commit_position("job", Cursor({OriginId(origin): SequenceNumber(number + 1)}), epoch=0)
        (segment,) = (await client.status(segments=True)).segments
        whole = await verified(agent)
        store = agent.directory / "a" / f"{segment.base_offset:020d}.log"
        with store.open("r+b") as file:
            file.seek(segment.bytes - 40)  # there may be room behind it
            file.write(bytes(40))
        broken = await verified(agent)

    assert (whole.problems, whole.bytes_done, whole.bytes_total) == ((), segment.bytes, segment.bytes)
    assert whole.batches > 300
    assert len(broken.problems) == 1


async def test_a_flipped_bit_is_found_in_its_segment_and_the_log_knows_it(agent: AgentProcess) -> None:
    await fill(agent)
    async with connect(agent.rpc_addr) as client:
        async for _ in client.consume():
            pass  # all of it was read, and is trusted
        first, second, *_ = (await client.status(segments=True)).segments
        store = agent.directory / "a" / f"{second.base_offset:020d}.log"
        with store.open("r+b") as file:
            file.seek(second.bytes // 2)
            byte = file.read(1)
            file.seek(second.bytes // 2)
            file.write(bytes([byte[0] ^ 1]))

        assert (await verified(agent, first.base_offset)).problems == ()
        (problem,) = (await verified(agent, second.base_offset)).problems
        (damaged,) = (await client.status()).log.damaged

    assert second.base_offset <= problem.start_offset < problem.end_offset <= second.end_offset
    assert (problem.start_offset, problem.end_offset) == (damaged.start_offset, damaged.end_offset)
    assert store.name in problem.detail


async def test_what_is_appended_meanwhile_neither_stops_nor_prolongs_it(agent: AgentProcess) -> None:
    await fill(agent)
    async with connect(agent.rpc_addr) as client:
        writing = asyncio.create_task(fill(agent))
        done = [each async for each in client.verify()][-1]
        await writing

    assert done.problems == ()
    assert done.records >= 40_000


async def test_one_at_a_time_and_of_segments_that_there_are(agent: AgentProcess) -> None:
    await fill(agent)
    async with connect(agent.rpc_addr) as client:
        with pytest.raises(NotFoundError, match="no segment begins at offset 5"):
            await anext(client.verify(5))
        running = client.verify()
        await anext(running)
        with pytest.raises(OverloadedError, match="being verified already"):
            await anext(client.verify())
        await running.aclose()

        async def free_again() -> Verified:
            while True:
                try:
                    return [done async for done in client.verify()][-1]
                except OverloadedError:
                    await asyncio.sleep(0.02)

        assert (await asyncio.wait_for(free_again(), 10)).finished


@pytest.mark.parametrize(
    ("flags", "code", "said"),
    [
        (["--verify", "all"], 0, "every batch is whole, and the index finds them"),
        (["--verify", "0"], 0, "every batch is whole, and the index finds them"),
        (["--verify", "5"], 6, "no segment begins at offset 5"),
        (["--verify", "half"], 2, "expected the first offset of a segment, or all"),
        (["--verify", "all", "--watch"], 2, "cannot be combined with --watch, --replay or --at"),
    ],
)
async def test_the_command_line_says_so(agent: AgentProcess, flags: list[str], code: int, said: str) -> None:
    await fill(agent, 100)
    command = [sys.executable, "-m", "proglog", "segments", "--addr", agent.rpc_addr, *flags]
    result = await asyncio.to_thread(subprocess.run, command, capture_output=True, text=True, timeout=30, check=False)

    assert (result.returncode, said in result.stdout + result.stderr) == (code, True), result
