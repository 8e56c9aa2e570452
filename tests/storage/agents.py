"""Real agents whose disk fails: file systems of a few megabytes, and a tracer that makes system calls fail or wait."""

import asyncio
import contextlib
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import grpc
import grpc.aio
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc

from kit.checker import Attempt, Outcome, Reading, Seen
from proglog.api.v1 import cluster_pb2, cluster_pb2_grpc, log_pb2, log_pb2_grpc
from proglog.observe.health import Finding, findings
from proglog.testing.processes import AgentProcess
from proglog.wire.convert import from_message
from proglog.wire.model import ClusterSnapshot, LogStatus

SERVING = health_pb2.HealthCheckResponse.SERVING
NOT_SERVING = health_pb2.HealthCheckResponse.NOT_SERVING


class BookClient:
    """The book's unary calls on one agent; remembers what was answered."""

    def __init__(self, addr: str) -> None:
        self.channel = grpc.aio.insecure_channel(addr)
        self.log = log_pb2_grpc.LogStub(self.channel)
        self.health = health_pb2_grpc.HealthStub(self.channel)
        self.attempts: list[Attempt] = []

    async def produce(self, value: bytes, timeout: float = 20.0) -> grpc.StatusCode:
        """Send one record; return how that ended."""
        number = len(self.attempts)
        self.attempts.append(Attempt("p", value, Outcome.UNKNOWN))
        try:
            answer = await self.log.Produce(log_pb2.ProduceRequest(record=log_pb2.Record(value=value)), timeout=timeout)
        except grpc.aio.AioRpcError as refused:
            if refused.code() in (grpc.StatusCode.RESOURCE_EXHAUSTED, grpc.StatusCode.FAILED_PRECONDITION):
                self.attempts[number] = Attempt("p", value, Outcome.FAIL)
            return refused.code()
        self.attempts[number] = Attempt("p", value, Outcome.OK, answer.offset)
        return grpc.StatusCode.OK

    async def status(self) -> int:
        """Return what the health service says."""
        answer = await self.health.Check(health_pb2.HealthCheckRequest(), timeout=5)
        return int(answer.status)

    async def reading(self) -> Reading:
        """Read everything from offset 0 to the end."""
        seen: list[Seen] = []
        with contextlib.suppress(grpc.aio.AioRpcError):  # past the end
            while True:
                answer = await self.log.Consume(log_pb2.ConsumeRequest(offset=len(seen)), timeout=5)
                assert answer.record.offset == len(seen)
                seen.append(Seen(len(seen), b"", len(seen) + 1, answer.record.value))
        return Reading(start=0, end=len(seen), seen=seen)

    async def close(self) -> None:
        """Hang up."""
        await self.channel.close()


@contextlib.contextmanager
def injected(agent: AgentProcess, *faults: str) -> Iterator[None]:
    """Make system calls of a running agent fail: ``fdatasync:error=EIO``, as strace says it."""
    assert agent.process is not None
    calls = ",".join(fault.split(":", 1)[0] for fault in faults)
    inject = [part for fault in faults for part in ("-e", f"inject={fault}")]
    tracer = subprocess.Popen(
        ["strace", "-f", "-p", str(agent.process.pid), "-o", "/dev/null", "-e", f"trace={calls}", *inject],
        stderr=subprocess.PIPE,
    )
    try:
        _wait_until_attached(agent.process.pid, tracer.pid)
        yield
    finally:
        tracer.terminate()
        tracer.wait(10)
        assert tracer.stderr is not None
        tracer.stderr.close()


def _wait_until_attached(pid: int, tracer: int) -> None:
    deadline = time.monotonic() + 10
    while True:
        traced = [
            f"TracerPid:\t{tracer}\n" in (task / "status").read_text() for task in Path(f"/proc/{pid}/task").iterdir()
        ]
        if all(traced):
            return
        assert time.monotonic() < deadline, "strace did not attach"
        time.sleep(0.01)


def resident_bytes(agent: AgentProcess) -> int:
    """Return the memory that an agent occupies."""
    assert agent.process is not None
    lines = Path(f"/proc/{agent.process.pid}/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmRSS")) * 1024


@contextlib.contextmanager
def small_file_system(place: Path, kind: str, megabytes: int, *options: str) -> Iterator[Path]:
    """Mount a real file system of a few megabytes, with options of mkfs; skip where that is not allowed."""
    mounted = place / "disk"
    mounted.mkdir()
    if kind == "ext4":
        image = place / "image"
        with image.open("wb") as file:
            file.truncate(megabytes << 20)
        made = subprocess.run(["mkfs.ext4", "-q", "-F", "-m", "0", *options, image], capture_output=True, check=False)
        if made.returncode != 0:
            pytest.skip(f"mkfs.ext4: {made.stderr.decode().strip()}")
        command = ["mount", "-o", "loop", str(image), str(mounted)]
    else:
        command = ["mount", "-t", "tmpfs", "-o", f"size={megabytes}m", "tmpfs", str(mounted)]
    done = subprocess.run(command, capture_output=True, check=False)
    if done.returncode != 0:
        pytest.skip(f"mounting takes root: {done.stderr.decode().strip()}")
    try:
        yield mounted
    finally:
        subprocess.run(["umount", "-l", mounted], check=True)


class Watcher:
    """What an agent says of itself, and what ``proglog check`` makes of it."""

    def __init__(self, addr: str) -> None:
        self.channel = grpc.aio.insecure_channel(addr)
        self._cluster = cluster_pb2_grpc.ClusterStub(self.channel)

    async def log(self) -> LogStatus:
        """Return what it says of its log."""
        return (await self._snapshot()).log

    async def alerts(self) -> dict[str, Finding]:
        """Return what needs attention, by the first part of its key."""
        return {alert.key.partition("/")[0]: alert for alert in findings(await self._snapshot())}

    async def wait_for_state(self, *states: str, timeout: float = 8.0) -> LogStatus:
        """Return what it says of its log once that is in one of ``states``."""
        deadline = time.monotonic() + timeout
        while (log := await self.log()).state not in states:
            assert time.monotonic() < deadline, f"{log.state} ({log.state_detail}), expected {' or '.join(states)}"
            await asyncio.sleep(0.05)
        return log

    async def close(self) -> None:
        """Hang up."""
        await self.channel.close()

    async def _snapshot(self) -> ClusterSnapshot:
        return from_message(await self._cluster.GetStatus(cluster_pb2.GetStatusRequest(), timeout=5))


def fill(place: Path) -> Path:
    """Take all the room of a file system, as somebody else would; return what holds it."""
    hog = place / "hog"
    with hog.open("ab", buffering=0) as file:
        for size in (1 << 20, 1 << 14, 1 << 10):
            with contextlib.suppress(OSError):  # not a byte is left
                while file.write(bytes(size)):
                    pass
    return hog


def take_inodes(place: Path) -> list[Path]:
    """Take all the inodes of a file system; return what holds them."""
    taken: list[Path] = []
    with contextlib.suppress(OSError):  # not one is left
        while True:
            path = place / f"hog-{len(taken)}"
            path.touch()
            taken.append(path)
    return taken
