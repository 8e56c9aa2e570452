"""Real agents whose disk fails: file systems of a few megabytes, and a tracer that makes system calls fail or wait."""

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
from proglog.api.v1 import log_pb2, log_pb2_grpc
from proglog.testing.processes import AgentProcess

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
            if refused.code() is grpc.StatusCode.RESOURCE_EXHAUSTED:
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
def small_file_system(place: Path, kind: str, megabytes: int) -> Iterator[Path]:
    """Mount a real file system of a few megabytes; skip where that is not allowed."""
    mounted = place / "disk"
    mounted.mkdir()
    if kind == "ext4":
        image = place / "image"
        with image.open("wb") as file:
            file.truncate(megabytes << 20)
        made = subprocess.run(["mkfs.ext4", "-q", "-F", "-m", "0", image], capture_output=True, check=False)
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
