"""Lines through whole processes: a file through `proglog produce`, and back through `proglog consume`.

Default durability, no TLS. Once against one agent, and once from one node of three to another. The yardstick is `cat`
of the same file through a pipe.
"""

import asyncio
import hashlib
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import proglog.client
from proglog.testing.processes import AgentProcess

LINE_BYTES = 100
RUNS = 3


def run(*, full: bool) -> Iterator[str]:
    """Yield a line per measurement."""
    lines, runs = (3_000_000, RUNS) if full else (20_000, 1)
    with tempfile.TemporaryDirectory(prefix="proglog-bench-") as scratch:
        directory = Path(scratch)
        source = directory / "lines"
        write_lines(source, lines)
        cat = statistics.median(timed(["cat"], source, directory / "copy") for _ in range(runs))
        yield f"cat of {lines:,} lines of {LINE_BYTES} bytes: {cat:.2f} s"
        yield from one_agent(directory, source, lines, runs)
        yield from three_agents(directory, source, lines, runs)


def one_agent(directory: Path, source: Path, lines: int, runs: int) -> Iterator[str]:
    """Each way against one agent, a fresh one a run."""
    produced, consumed = [], []
    for number in range(runs):
        agent = AgentProcess(f"one-{number}", directory)
        agent.start()
        try:
            produced.append(timed(cli("produce", agent), source, directory / "out"))
            consumed.append(timed(cli("consume", agent), None, directory / "out"))
            assert digest(directory / "out") == digest(source), "what came back is not what was sent"
        finally:
            agent.kill()
    for verb, times in (("produce", produced), ("consume", consumed)):
        middle = statistics.median(times)
        yield f"{verb}, one agent: {middle:.2f} s, {lines / middle:,.0f} lines/s (of {', '.join(f'{t:.2f}' for t in times)} s)"


def three_agents(directory: Path, source: Path, lines: int, runs: int) -> Iterator[str]:
    """Produced at one node, read from another once it has everything: the whole way."""
    times = []
    for number in range(runs):
        agents: list[AgentProcess] = []
        try:
            for name in "abc":
                seeds = (agents[0].gossip_addr,) if agents else ()
                agents.append(AgentProcess(f"{name}-{number}", directory, seeds))
                agents[-1].start()
            asyncio.run(wait_for(agents[1], streams=2))
            started = time.monotonic()
            subprocess.run([*cli("produce", agents[0]), str(source)], check=True, stderr=subprocess.DEVNULL)
            asyncio.run(wait_for(agents[1], end_offset=lines))
            timed(cli("consume", agents[1]), None, directory / "out")
            times.append(time.monotonic() - started)
            assert digest(directory / "out") == digest(source), "what came back is not what was sent"
        finally:
            for agent in agents:
                agent.kill()
    middle = statistics.median(times)
    listed = ", ".join(f"{t:.2f}" for t in times)
    yield f"produce at one, read from another of three: {middle:.2f} s, {lines / middle:,.0f} lines/s (of {listed} s)"


def write_lines(path: Path, lines: int, line_bytes: int = LINE_BYTES) -> None:
    """Write lines of so many bytes, newline included, all different."""
    filler = b"x" * (line_bytes - 10)
    with path.open("wb") as out:
        for start in range(0, lines, 10_000):
            out.write(b"".join(b"%09d%s\n" % (number, filler) for number in range(start, min(start + 10_000, lines))))


def cli(verb: str, agent: AgentProcess) -> list[str]:
    """Return the command of a verb."""
    return [sys.executable, "-m", "proglog", verb, "--addr", agent.rpc_addr]


def timed(command: list[str], source: Path | None, target: Path) -> float:
    """Run a whole process from file to file; return its seconds."""
    with target.open("wb") as out, (source or Path("/dev/null")).open("rb") as read:
        started = time.monotonic()
        subprocess.run(command, stdin=read, stdout=out, stderr=subprocess.DEVNULL, check=True)
        return time.monotonic() - started


def digest(path: Path) -> str:
    """Return the SHA-256 of a file."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


async def wait_for(agent: AgentProcess, *, streams: int = 0, end_offset: int = 0) -> None:
    """Return once the agent follows so many peers, and its log ends there."""
    async with proglog.client.connect(agent.rpc_addr) as client:
        async for snapshot in client.watch(min_interval=0.05):
            following = sum(peer.state == "streaming" for peer in snapshot.peers)
            if following >= streams and snapshot.log.end_offset >= end_offset:
                return
