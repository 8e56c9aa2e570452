"""Real agents on disks that take no writes: full by bytes or inodes, read-only, or with a limit on files.

Whenever that begins, the agent serves what it has, says what is wrong, and resumes by itself.
"""

import asyncio
import contextlib
import shutil
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import grpc
import pytest

from kit.checker import check
from kit.patience import patience
from proglog.observe.health import Severity
from proglog.testing.processes import AgentProcess
from tests.storage.agents import BookClient, Watcher, fill, small_file_system, take_inodes

KIB = 1024
MIB = 1 << 20


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    with small_file_system(tmp_path, "ext4", 12, "-N", "64") as mounted:
        yield mounted


@pytest.fixture
def agent(tmp_path: Path, disk: Path) -> Iterator[AgentProcess]:
    started = AgentProcess("a", tmp_path, flags={"segment-bytes": "256KiB", "data-dir": str(disk / "data")})
    with started:
        yield started


@contextlib.asynccontextmanager
async def clients(agent: AgentProcess, before: BookClient | None = None) -> AsyncIterator[tuple[BookClient, Watcher]]:
    """Ask an agent; go on where a client of its former life was."""
    client, watcher = BookClient(agent.rpc_addr), Watcher(agent.rpc_addr)
    if before is not None:
        client.attempts = before.attempts
    try:
        yield client, watcher
    finally:
        await client.close()
        await watcher.close()


def unique(client: BookClient, times: int = 1) -> bytes:
    """Return a value that was not sent before."""
    return b"%d " % len(client.attempts) * times


async def test_a_disk_without_a_byte_is_opened_and_served_however_the_agent_ended(
    agent: AgentProcess, disk: Path
) -> None:
    async with clients(agent) as (client, watcher):
        for _ in range(40):
            assert await client.produce(unique(client, 4000)) is grpc.StatusCode.OK
        hog = fill(disk)
        while await client.produce(unique(client, 9000)) is grpc.StatusCode.OK:
            pass
        log = await watcher.wait_for_state("full")
        assert "no space left for" in log.state_detail
        assert "(0 bytes free)" in log.state_detail
    for end in (agent.stop, agent.kill, agent.stop):
        await asyncio.to_thread(end)
        assert not list((disk / "data").glob("*.tmp"))
        assert (disk / "data" / "ballast").stat().st_size >= MIB - 256 * KIB
        fill(disk)
        await asyncio.to_thread(agent.start)
        async with clients(agent, client) as (client, watcher):
            assert check(client.attempts, [await client.reading()]) == []
            while await client.produce(unique(client, 9000)) is grpc.StatusCode.OK:
                pass
            assert (await watcher.alerts())["log-state"].severity is Severity.CRITICAL
    hog.unlink()
    async with clients(agent, client) as (client, watcher):
        await watcher.wait_for_state("ok")
        assert await client.produce(unique(client)) is grpc.StatusCode.OK
        assert check(client.attempts, [await client.reading()]) == []
        assert "log-state" not in await watcher.alerts()


async def test_a_disk_that_was_filled_while_the_agent_was_down_lets_retention_free_it(
    tmp_path: Path, disk: Path
) -> None:
    """The ballast is gone, too: what is left to write waits, and old segments go without it."""
    flags = {"segment-bytes": "256KiB", "data-dir": str(disk / "data")}
    agent = AgentProcess("a", tmp_path, flags=flags)
    with agent:
        async with clients(agent) as (client, _watcher):
            for _ in range(60):
                assert await client.produce(unique(client, 10_000)) is grpc.StatusCode.OK
        await asyncio.to_thread(agent.stop)
        (disk / "data" / "ballast").unlink()
        fill(disk)
        await asyncio.to_thread(agent.start)
        async with clients(agent, client) as (client, watcher):
            assert check(client.attempts, [await client.reading()]) == []
            assert (await watcher.log()).start_offset == 0
        await asyncio.to_thread(agent.kill)
        agent.flags = flags | {"retention-bytes": "512KiB"}
        await asyncio.to_thread(agent.start)
        async with clients(agent, client) as (client, watcher):
            log = await watcher.log()
            while not log.start_offset:
                log = await watcher.wait_for_state("ok", "full")
            await watcher.wait_for_state("ok")
            assert await client.produce(unique(client)) is grpc.StatusCode.OK


async def test_a_disk_without_inodes_is_opened_and_served(agent: AgentProcess, disk: Path) -> None:
    async with clients(agent) as (client, watcher):
        for _ in range(10):
            assert await client.produce(unique(client, 4000)) is grpc.StatusCode.OK
        taken = take_inodes(disk)
        for _ in range(20):  # beyond the segment: it grows on
            assert await client.produce(unique(client, 8000)) is grpc.StatusCode.OK
        problem = (await watcher.alerts())["log-problem"]
        assert "a new segment cannot be begun: no inodes left for" in problem.cause
        assert problem.severity is Severity.WARNING
    for end in (agent.stop, agent.kill):
        await asyncio.to_thread(end)
        assert not list((disk / "data").glob("*.tmp"))
        taken += take_inodes(disk)
        await asyncio.to_thread(agent.start)
        async with clients(agent, client) as (client, watcher):
            assert check(client.attempts, [await client.reading()]) == []
            assert await client.produce(unique(client)) is grpc.StatusCode.OK
    for path in taken:
        path.unlink(missing_ok=True)
    async with clients(agent, client) as (client, watcher):
        before = (await watcher.log()).segment_count
        assert await client.produce(b"rolls" * 60_000) is grpc.StatusCode.OK
        while (await watcher.log()).problems:
            await asyncio.sleep(0.1)
        assert (await watcher.log()).segment_count > before
        assert check(client.attempts, [await client.reading()]) == []


async def test_a_file_system_that_is_read_only_at_the_start_is_served_until_it_takes_writes(
    agent: AgentProcess, disk: Path
) -> None:
    async with clients(agent) as (client, _watcher):
        for _ in range(40):
            assert await client.produce(unique(client, 4000)) is grpc.StatusCode.OK
    for end in (agent.kill, agent.stop):
        await asyncio.to_thread(end)
        subprocess.run(["mount", "-o", "remount,ro", disk], check=True)
        await asyncio.to_thread(agent.start)
        async with clients(agent, client) as (client, watcher):
            assert check(client.attempts, [await client.reading()]) == []
            assert (await watcher.log()).state == "read-only"
            assert await client.produce(unique(client)) is grpc.StatusCode.FAILED_PRECONDITION
            alert = (await watcher.alerts())["log-state"]
            assert alert.cause == f"log is read-only: the file system of {disk / 'data'} is read-only"
            subprocess.run(["mount", "-o", "remount,rw", disk], check=True)
            await watcher.wait_for_state("ok")
            assert await client.produce(unique(client)) is grpc.StatusCode.OK
            assert check(client.attempts, [await client.reading()]) == []


async def test_a_file_system_that_goes_read_only_by_an_error_is_a_state_at_once(
    agent: AgentProcess, disk: Path
) -> None:
    device = subprocess.run(["findmnt", "-no", "SOURCE", disk], capture_output=True, text=True, check=True).stdout
    trigger = Path("/sys/fs/ext4", Path(device.strip()).name, "trigger_fs_error")
    if not trigger.exists():
        pytest.skip(f"this kernel has no {trigger}")
    subprocess.run(["mount", "-o", "remount,errors=remount-ro", disk], check=True)
    async with clients(agent) as (client, watcher):
        assert await client.produce(b"before") is grpc.StatusCode.OK
        trigger.write_text("1")
        log = await watcher.wait_for_state("read-only", timeout=5)
        assert "read-only" in log.state_detail
        assert "housekeeping" not in log.recovery
        assert "log-state" in await watcher.alerts()
        assert await client.produce(unique(client)) is grpc.StatusCode.FAILED_PRECONDITION
        assert [seen.payload for seen in (await client.reading()).seen] == [b"before"]
    took = await asyncio.to_thread(agent.stop)
    assert took < patience(5)


async def test_a_limit_on_files_rolls_segments_there_and_is_named(tmp_path: Path) -> None:
    if shutil.which("prlimit") is None:
        pytest.skip("prlimit is not installed: it is in util-linux")
    with AgentProcess("a", tmp_path, flags={"segment-bytes": "8MiB"}) as agent:
        async with clients(agent) as (client, watcher):
            assert await client.produce(b"large" * 200_000) is grpc.StatusCode.OK
            subprocess.run(["prlimit", f"--pid={agent.pid}", f"--fsize={256 * KIB}"], check=True)
            for _ in range(30):
                assert await client.produce(unique(client, 10_000)) is grpc.StatusCode.OK
            assert (await watcher.log()).segment_count > 3
            assert await client.produce(bytes(MIB)) is grpc.StatusCode.RESOURCE_EXHAUSTED
            assert (await watcher.log()).state == "ok"
            while "log-problem" not in (alerts := await watcher.alerts()):
                await asyncio.sleep(0.1)
            assert (
                "RLIMIT_FSIZE allows files of 262,144 bytes: segments are rolled there" in alerts["log-problem"].cause
            )
        for end in (agent.stop, agent.kill):
            await asyncio.to_thread(end)
            agent.command = ("prlimit", f"--fsize={256 * KIB}")
            await asyncio.to_thread(agent.start)
            async with clients(agent, client) as (client, watcher):
                assert check(client.attempts, [await client.reading()]) == []
                for _ in range(30):
                    assert await client.produce(unique(client, 10_000)) is grpc.StatusCode.OK
                assert (await watcher.log()).state == "ok"


@pytest.mark.parametrize(
    "what",
    [
        *("directory", "directory removed", "directory replaced"),
        *("active segment", "active segment replaced", "sealed segment", "sealed segment replaced"),
    ],
)
async def test_without_its_directory_or_segment_an_agent_acknowledges_nothing_after_a_second(
    tmp_path: Path, what: str
) -> None:
    with AgentProcess("a", tmp_path, flags={"segment-bytes": "4KiB"}) as agent:
        data = tmp_path / "a"
        async with clients(agent) as (client, _):
            for _ in range(10):
                assert await client.produce(unique(client, 1000)) is grpc.StatusCode.OK
        await asyncio.to_thread(agent.stop)
        await asyncio.to_thread(agent.start)  # it has looked at its segments
        async with clients(agent) as (client, watcher):
            store = (min if what.startswith("sealed") else max)(data.glob("*.log"))
            if what == "directory removed":
                shutil.rmtree(data)
            elif what.startswith("directory"):
                data.rename(tmp_path / "moved")
            else:
                store.rename(tmp_path / "moved")
            if what == "directory replaced":
                data.mkdir()
            elif what.endswith("segment replaced"):
                store.write_bytes((tmp_path / "moved").read_bytes())
            log = await watcher.wait_for_state("poisoned", timeout=1)
            assert "was removed or replaced while the agent ran" in log.state_detail
            assert (str(data) if what.startswith("directory") else store.name) in log.state_detail
            assert await client.produce(b"lost") is grpc.StatusCode.INTERNAL
            assert (await watcher.alerts())["log-state"].severity is Severity.CRITICAL


async def test_without_descriptors_appends_and_reads_continue_and_nothing_is_poisoned(tmp_path: Path) -> None:
    if shutil.which("prlimit") is None:
        pytest.skip("prlimit is not installed: it is in util-linux")
    with AgentProcess("a", tmp_path, flags={"segment-bytes": "4KiB"}) as agent:
        async with clients(agent) as (client, watcher):
            for _ in range(90):
                assert await client.produce(unique(client, 1000)) is grpc.StatusCode.OK
            assert (await watcher.log()).segment_count > 64
            held = max(int(path.name) for path in Path(f"/proc/{agent.pid}/fd").iterdir()) + 1
            for spare in (0, 1, 2):
                subprocess.run(["prlimit", f"--pid={agent.pid}", f"--nofile={held + spare}:4096"], check=True)
                for _ in range(4):
                    assert await client.produce(unique(client, 1000)) is grpc.StatusCode.OK
                assert check(client.attempts, [await client.reading()]) == []
                assert (await watcher.log()).state == "ok"
            subprocess.run(["prlimit", f"--pid={agent.pid}", "--nofile=1024:4096"], check=True)
            assert await client.produce(unique(client, 1000)) is grpc.StatusCode.OK
            while (await watcher.log()).problems:
                await asyncio.sleep(0.1)
        for end in (agent.stop, agent.kill):
            await asyncio.to_thread(end)
            agent.command = ("prlimit", "--nofile=64")
            await asyncio.to_thread(agent.start)
            async with clients(agent, client) as (client, watcher):
                assert check(client.attempts, [await client.reading()]) == []
                assert await client.produce(unique(client, 1000)) is grpc.StatusCode.OK


@pytest.mark.parametrize("kind", ["full", "read-only"])
async def test_a_follower_copies_from_an_agent_that_can_write_nothing(
    tmp_path: Path, disk: Path, agent: AgentProcess, kind: str
) -> None:
    async with clients(agent) as (client, _watcher):
        for _ in range(30):
            assert await client.produce(unique(client, 4000)) is grpc.StatusCode.OK
    await asyncio.to_thread(agent.kill)
    if kind == "full":
        fill(disk)
    else:
        subprocess.run(["mount", "-o", "remount,ro", disk], check=True)
    await asyncio.to_thread(agent.start)
    with AgentProcess("b", tmp_path, seeds=(agent.gossip_addr,)) as follower:
        async with clients(follower, client) as (copied, _watcher):
            deadline = asyncio.get_running_loop().time() + 15
            while (reading := await copied.reading()).end < 30:
                assert asyncio.get_running_loop().time() < deadline, f"{reading.end} of 30 records are copied"
                await asyncio.sleep(0.1)
            assert [seen.payload for seen in reading.seen] == [attempt.payload for attempt in client.attempts]
    said = await asyncio.to_thread(
        subprocess.run,
        [sys.executable, "-m", "proglog", "check", "--addr", agent.rpc_addr],
        capture_output=True,
        text=True,
    )
    assert said.returncode == 2
    assert {
        "full": "disk has 0% free",
        "read-only": f"log is read-only: the file system of {disk / 'data'} is read-only",
    }[kind] in said.stdout
