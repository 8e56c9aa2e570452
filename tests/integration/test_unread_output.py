"""An agent whose output nobody reads: a log collector that hangs, Ctrl-S in its terminal. The agent keeps running."""

import fcntl
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import proglog.client
from kit.patience import patience
from proglog.testing.processes import AgentProcess

F_SETPIPE_SZ = 1031
ENDS_WITHIN = 5.0


def serve(directory: Path) -> list[str]:
    command = [sys.executable, "-m", "proglog", "serve", "--node-name", "a", "--data-dir", str(directory / "a")]
    return [*command, "--bind-addr", "127.0.0.1:0", "--rpc-port", "0"]


@contextmanager
def full_pipe() -> Iterator[int]:
    """The writing end of a pipe that takes no more."""
    reader, writer = os.pipe()
    fcntl.fcntl(writer, F_SETPIPE_SZ, 4096)
    os.set_blocking(writer, False)
    try:
        while True:
            os.write(writer, b"x" * 256)
    except BlockingIOError:
        os.set_blocking(writer, True)
    yield writer
    os.close(reader)
    os.close(writer)


async def test_an_agent_whose_telemetry_nobody_reads_serves_gossips_and_ends(tmp_path: Path) -> None:
    with full_pipe() as unread:
        process = subprocess.Popen(
            serve(tmp_path),
            stdout=subprocess.PIPE,
            stderr=unread,
            text=True,
        )
        assert process.stdout is not None
        facts = dict(part.split("=", 1) for part in process.stdout.readline().split()[1:])
        other = AgentProcess("b", tmp_path, seeds=(facts["gossip"],))
        try:
            other.start()  # a member joins: that is worth a line
            async with proglog.client.connect(facts["rpc"], timeout=5) as client:
                for _ in range(5):
                    await client.produce_value(b"x")
                assert len((await client.status()).members) == 2

            process.send_signal(signal.SIGTERM)
            started = time.monotonic()
            assert process.wait(ENDS_WITHIN * 3) == 0
            assert time.monotonic() - started < patience(ENDS_WITHIN)
        finally:
            process.kill()
            process.communicate()
            other.kill()


async def test_an_agent_whose_ready_line_nobody_reads_serves_and_ends(tmp_path: Path) -> None:
    telemetry = tmp_path / "telemetry"
    with full_pipe() as unread, telemetry.open("w") as errors:
        process = subprocess.Popen(
            serve(tmp_path),
            stdout=unread,
            stderr=errors,
        )
        try:
            deadline = time.monotonic() + 30
            while "agent_started" not in telemetry.read_text():
                assert process.poll() is None
                assert time.monotonic() < deadline
            addr = telemetry.read_text().partition('"rpc": "')[2].partition('"')[0]
            async with proglog.client.connect(addr, timeout=5) as client:
                await client.produce_value(b"x")
            process.send_signal(signal.SIGTERM)
            assert process.wait(ENDS_WITHIN * 3) == 0
        finally:
            process.kill()
            process.wait()


def test_a_ready_line_that_a_full_disk_refuses_does_not_end_the_agent(tmp_path: Path) -> None:
    with Path("/dev/full").open("w") as full:
        process = subprocess.Popen(
            serve(tmp_path),
            stdout=full,
            stderr=subprocess.PIPE,
            text=True,
        )
    assert process.stderr is not None
    while "agent_started" not in (line := process.stderr.readline()):
        assert line, "it ended"
    process.send_signal(signal.SIGTERM)
    _, errors = process.communicate(timeout=30)
    assert (process.returncode, "bug" in errors) == (0, False), errors
