"""The dashboard as somebody sees it: in a real terminal, on a real cluster, while the agent that it watches is killed."""

import asyncio
import shutil
import signal
import sys
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

import proglog.client
from kit.pane import DEADLINE, Pane
from proglog.errors import ProglogError
from proglog.testing.processes import AgentProcess
from proglog.tui.state import SILENT_SECONDS

pytestmark = pytest.mark.skipif(shutil.which("tmux") is None, reason="tmux is not installed: `make tools`")


@pytest.fixture
def pane() -> Iterator[Pane]:
    opened = Pane(140, 40)
    try:
        yield opened
    finally:
        opened.close()


@pytest.fixture
def agents(tmp_path: Path) -> Iterator[list[AgentProcess]]:
    started: list[AgentProcess] = []
    try:
        for name in ("node-a", "node-b", "node-c"):
            seeds = (started[0].gossip_addr,) if started else ()
            started.append(AgentProcess(name, tmp_path, seeds))
            started[-1].start()
        yield started
    finally:
        for agent in started:
            agent.kill()


@pytest.fixture
async def traffic(agents: list[AgentProcess]) -> AsyncIterator[None]:
    """Records at two nodes, all the time, whether or not they are there."""
    writers = [asyncio.create_task(_write(agent)) for agent in agents[:2]]
    yield
    for writer in writers:
        writer.cancel()
    await asyncio.gather(*writers, return_exceptions=True)


async def _write(agent: AgentProcess) -> None:
    written = 0
    while True:
        try:
            async with proglog.client.connect(agent.rpc_addr) as client, client.producer() as producer:
                while True:
                    written += 10
                    await producer.send_values([b"%s value %d" % (agent.name.encode(), written)] * 10)
                    await producer.flush()
                    await asyncio.sleep(0.05)
        except ProglogError:
            await asyncio.sleep(0.2)


def processes_of(marker: str) -> list[str]:
    """Command lines of the processes that name ``marker``."""
    found = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            found.append(path.read_bytes().replace(b"\0", b" ").decode())
        except OSError:
            continue  # it ended while it was looked at
    return [line for line in found if marker in line]


@pytest.mark.usefixtures("traffic")
async def test_somebody_watches_a_cluster_whose_agent_dies_and_comes_back(
    agents: list[AgentProcess], pane: Pane
) -> None:
    home = agents[0]
    pane.type("echo before")
    await pane.shows("before\n")
    state = ("alternate_on", "cursor_flag", "mouse_any_flag", "mouse_sgr_flag")
    plain = pane.ask(*state)
    command = f"{sys.executable} -m proglog dash --addr {home.rpc_addr}"
    pane.type(f"cd {Path.cwd()}; {command}; echo exit=$?")

    # What is there.
    await pane.shows("proglog node-a", "● live", "3 of 3 alive", "nothing needs attention")
    await pane.shows("node-b", "node-c", "● streaming", "2 of 2 streaming", "fsync always", "▸ [0 … ", "member joined")
    assert pane.ask("alternate_on") == ["1"]
    pane.press("3")
    await pane.shows("3 Copies · every record on 3 of 3", "ORIGIN", "█ held")
    pane.press("2", "m")
    await pane.shows("by origins")
    pane.press("t")
    await pane.shows("Records tail", "node-b value", "node-a value")
    pane.press("Escape")
    await pane.shows("by origins")
    pane.press("m", "5", "Enter")
    await pane.shows("Segments > from 0", "takes appends", "CODEC")
    pane.press("V")
    await pane.shows("✓ verified ", " batches")
    pane.press("Escape")
    await pane.shows("2 of 2 streaming", "✓ verified ")
    pane.press("5", "1")

    # It hangs: that is said, with the age of its last word.
    home.signal(signal.SIGSTOP)
    silent = await pane.shows("◐ silent, data", "says nothing any more", within=SILENT_SECONDS + DEADLINE)
    home.signal(signal.SIGCONT)
    await pane.shows("● live")

    # It dies: that is said, another member is watched; records are those of its log from then on.
    pane.press("t")
    await pane.shows("Records tail", "node-a value")
    home.kill()
    noticed = await pane.shows("◐ reconnecting", "data", " old")
    replaced = await pane.shows("instead of node-a", "● live")
    await pane.shows("these are the records of node-", "Records tail", "node-b value")
    pane.press("Escape")
    await pane.shows("node-a does not answer")

    # It is back on its port: it is watched again.
    await asyncio.to_thread(home.start)
    back = await pane.shows("proglog node-a", "● live")
    await pane.shows("3 of 3 alive", "nothing needs attention")

    # Any size, and back.
    for columns, lines, words in (
        (80, 24, "1 Members"),
        (40, 12, "1 Members"),
        (10, 3, "… ● live"),
        (140, 40, "6 Events"),
    ):
        pane.resize(columns, lines)
        await pane.shows(words)
        assert max(map(len, pane.text.splitlines())) <= columns
    await pane.shows("1 Members", "3 Copies", "2 Replication", "5 Segments", "● live")

    # It leaves the terminal as it was.
    pane.press("q")
    await pane.shows("before\n", "exit=0")
    assert pane.ask(*state) == plain
    assert processes_of(f"dash --addr {home.rpc_addr}") == []
    print(
        f"on the screen: silent after {silent:.2f} s, lost after {noticed:.2f} s, replaced after {replaced:.2f} s, back after {back:.2f} s"
    )
