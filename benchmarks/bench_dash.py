"""The dashboard: its first full frame, the processor it takes to watch a large cluster, and its memory over an hour.

Whole processes on a pseudo terminal of 140x40; the large cluster is `benchmarks.big_cluster`, every member behind the
real service code in another process. The yardsticks: the interpreter with Textual alone, and a whole core.
"""

import asyncio
import json
import os
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from pathlib import Path

from benchmarks import big_cluster
from kit.terminal import Terminal
from proglog.testing.processes import AgentProcess
from proglog.tui.app import DashApp
from proglog.tui.source import LiveSource
from proglog.tui.state import SnapshotArrived
from proglog.wire.convert import SnapshotReader, to_message

FULL_FRAME = ("● live", "nothing needs attention", "● alive", "fsync", "Quit")
"""What is on the screen when every panel has its data."""
HELP = "esc: back"
"""In the frame of the box of help."""
LEAST_SECONDS = 120
"""Until the sparklines of the tables are full."""
WARM_FRAMES = 660
"""Ten minutes fill the history, and a little more."""


def run(*, full: bool) -> Iterator[str]:
    """Yield a line per measurement."""
    with tempfile.TemporaryDirectory(prefix="proglog-bench-") as scratch:
        env = compiled_once(Path(scratch) / "pyc")
        yield first_frame(Path(scratch), env, runs=9 if full else 1)
        members, segments = (50, 1000) if full else (5, 20)
        warm, seconds, runs = (LEAST_SECONDS, 30.0, 3) if full else (1, 1.0, 1)
        yield processor(env, members, segments, warm, seconds, runs)
        frames, warm = (WARM_FRAMES + 3600, WARM_FRAMES) if full else (30, 10)
        yield memory(env, members, segments, frames, warm)
        yield from beside_an_agent(Path(scratch), env, seconds=20.0 if full else 1.0, attached=5 if full else 1)


def compiled_once(cache: Path) -> Mapping[str, str]:
    """Return an environment in which modules are compiled once, as they are where the program is installed."""
    kept = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    return {**kept, "PYTHONPYCACHEPREFIX": str(cache), "LC_ALL": "C.UTF-8"}


def dash(addr: str, env: Mapping[str, str]) -> Terminal:
    """Start a dashboard."""
    return Terminal([sys.executable, "-m", "proglog", "dash", "--addr", addr], env=env)


def shows_everything(text: str) -> bool:
    """Whether a full frame was painted."""
    return all(words in text for words in FULL_FRAME)


def first_frame(scratch: Path, env: Mapping[str, str], *, runs: int) -> str:
    """From the start of the process to the first frame with data; one run before, to compile and to fill caches."""
    agent = AgentProcess("a", scratch)
    agent.start()
    try:
        whole, bare = [], []
        for _ in range(runs + 1):
            with dash(agent.rpc_addr, env) as terminal:
                whole.append(terminal.until(shows_everything))
            started = time.monotonic()
            subprocess.run([sys.executable, "-c", "import textual.app"], env=env, check=True)
            bare.append(time.monotonic() - started)
    finally:
        agent.kill()
    took, floor = statistics.median(whole[1:]), statistics.median(bare[1:])
    return (
        f"first full frame: {took * 1000:.0f} ms ({min(whole[1:]) * 1000:.0f} to {max(whole[1:]) * 1000:.0f});"
        f" interpreter and `import textual.app` are {floor * 1000:.0f} ms of it, {floor / took:.0%}"
    )


def processor(env: Mapping[str, str], members: int, segments: int, warm: float, seconds: float, runs: int) -> str:
    """The share of a core that the dashboard takes."""
    shares, painted = [], []
    with big_cluster.running(members, segments) as addr, dash(addr, env) as terminal:
        terminal.until(shows_everything)
        terminal.drain(warm)
        for _ in range(runs):
            used, written, started = terminal.cpu_seconds(), len(terminal.output), time.monotonic()
            terminal.drain(seconds)
            elapsed = time.monotonic() - started
            shares.append((terminal.cpu_seconds() - used) / elapsed)
            painted.append((len(terminal.output) - written) / elapsed)
    return (
        f"{members} members, {segments:,} segments, {big_cluster.UPDATES_PER_SECOND} updates/s:"
        f" {statistics.median(shares):.1%} of a core ({min(shares):.1%} to {max(shares):.1%}),"
        f" {statistics.median(painted) / 1000:.0f} kB/s to the terminal"
    )


def beside_an_agent(scratch: Path, env: Mapping[str, str], *, seconds: float, attached: int) -> Iterator[str]:
    """What a dashboard writes to its terminal, how fast it answers keys, and what it costs the agent it watches."""
    agent = AgentProcess("b", scratch)
    agent.start()
    try:
        with dash(agent.rpc_addr, env) as terminal:
            terminal.until(shows_everything)
            terminal.drain(min(seconds, 5.0))
            idle = bytes_a_second(terminal, seconds)
            terminal.send("?")
            terminal.until(lambda text: HELP in text)
            modal = bytes_a_second(terminal, seconds)
            terminal.send("q")
        yield f"idle: {idle / 1000:.1f} kB/s to the terminal, {modal / 1000:.1f} kB/s with the help open"
        command = [sys.executable, "-m", "proglog", "produce", "--addr", agent.rpc_addr]
        command += ["--rate", "5k"] if seconds < 5 else []  # the small size shows that it runs
        lines = b"".join(
            b"value %07d of a line of some length, as logs have them\n" % number for number in range(2_000)
        )
        with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, env=env) as producer:
            stop = threading.Event()
            feeder = threading.Thread(target=_feed, args=(producer, lines, stop))
            feeder.start()
            try:
                with dash(agent.rpc_addr, env) as terminal:
                    terminal.until(shows_everything)
                    taken = [key_to_paint(terminal) for _ in range(25 if seconds > 5 else 3)]
                    terminal.send("t")
                    terminal.until(lambda text: "Records tail" in text)
                    tail = bytes_a_second(terminal, seconds)
                    rate = records_a_second(agent, seconds)
                    cost = attached_cost(agent, env, seconds, attached)
            finally:
                stop.set()
                feeder.join()
                producer.kill()
        yield (
            f"at {rate:,.0f} records/s: tail {tail / 1000:.0f} kB/s to the terminal; key to paint"
            f" {statistics.median(taken) * 1000:.0f} ms at the median, {max(taken) * 1000:.0f} ms at most;"
            f" a dashboard costs its agent {cost:.2%} of a core"
        )
    finally:
        agent.kill()


def _feed(producer: "subprocess.Popen[bytes]", lines: bytes, stop: threading.Event) -> None:
    """Produce the same lines again and again, as fast as they are taken."""
    assert producer.stdin is not None
    try:
        while not stop.is_set():
            producer.stdin.write(lines)
    except BrokenPipeError:
        pass  # it was ended


def bytes_a_second(terminal: Terminal, seconds: float) -> float:
    """Return what is written to a terminal."""
    before = len(terminal.output)
    terminal.drain(seconds)
    return (len(terminal.output) - before) / seconds


def key_to_paint(terminal: Terminal) -> float:
    """Return the seconds from a key to the box that it opens, and close it again."""
    del terminal.output[:]
    started = time.monotonic()
    terminal.send("?")
    while HELP not in terminal.text:
        assert time.monotonic() - started < 10.0, "the help did not come"
        terminal.read(0.5)
    taken = time.monotonic() - started
    terminal.send("q")
    terminal.drain(0.5)
    return taken


def records_a_second(agent: AgentProcess, seconds: float) -> float:
    """Return how many records an agent appends."""
    counts = []
    for pause in (0.0, seconds):
        time.sleep(pause)
        command = [sys.executable, "-m", "proglog", "status", "--addr", agent.rpc_addr, "-o", "json"]
        counts.append(json.loads(subprocess.run(command, check=True, capture_output=True).stdout)["log"]["end_offset"])
    return (counts[1] - counts[0]) / seconds


def attached_cost(agent: AgentProcess, env: Mapping[str, str], seconds: float, count: int) -> float:
    """Return the share of a core that one more dashboard takes at the agent that it watches."""
    without = agent_share(agent, seconds)
    with ExitStack() as stack:
        terminals = [stack.enter_context(dash(agent.rpc_addr, env)) for _ in range(count)]
        for terminal in terminals:
            terminal.until(lambda text: "● live" in text)
        until = time.monotonic() + seconds
        used = agent_seconds(agent)
        while time.monotonic() < until:
            for terminal in terminals:
                terminal.read(0.01)
        return ((agent_seconds(agent) - used) / seconds - without) / count


def agent_share(agent: AgentProcess, seconds: float) -> float:
    """Return the share of a core that an agent takes."""
    used = agent_seconds(agent)
    time.sleep(seconds)
    return (agent_seconds(agent) - used) / seconds


def agent_seconds(agent: AgentProcess) -> float:
    """Return the processor time that an agent has used, user and system."""
    assert agent.process is not None
    fields = Path(f"/proc/{agent.process.pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def memory(env: Mapping[str, str], members: int, segments: int, frames: int, warm: int) -> str:
    """How the resident memory grows from the end of the warm-up on, a frame a second, as fast as it goes."""
    command = [sys.executable, "-m", "benchmarks.bench_dash", str(members), str(segments), str(frames), str(warm)]
    answer = subprocess.run(command, env=env, check=True, capture_output=True, text=True).stdout
    after_warm, at_end, most = (float(part) for part in answer.split())
    return (
        f"{frames - warm:,} seconds replayed, {members} members: {after_warm:.0f} MB after {warm} s of warm-up,"
        f" {at_end - after_warm:+.1f} MB at the end, {most:.0f} MB at most"
    )


async def resident_over_time(members: int, segments: int, frames: int, warm: int) -> tuple[float, float, float]:
    """Return the resident MB after the warm-up, at the end, and the most of all."""
    cluster, reader = big_cluster.Cluster(members, segments), SnapshotReader()
    app = DashApp(LiveSource("127.0.0.1:1"), clock=lambda: cluster.now_ms / 1000, live=False)
    sizes: list[float] = []
    async with app.run_test(size=(140, 40)) as pilot:
        for _ in range(frames):
            cluster.advance(1000)
            told = to_message(cluster.told_by(0, segments=True))
            snapshot = reader.read(type(told).FromString(told.SerializeToString()))
            app.dispatch(SnapshotArrived(snapshot, cluster.now_ms / 1000))
            app.flush()
            await pilot.pause()
            sizes.append(resident_mb())
    return sizes[warm - 1], sizes[-1], max(sizes)


def resident_mb() -> float:
    """Return the memory of this process."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 1e6


if __name__ == "__main__":
    print(*asyncio.run(resident_over_time(*map(int, sys.argv[1:]))))
