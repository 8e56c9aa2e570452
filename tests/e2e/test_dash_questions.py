"""What operators ask, on real agents: each answer is read off the screen of a dashboard within ten seconds of its start."""

import asyncio
import re
import shutil
import signal
import sys
import time
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

import proglog.client
from kit.pane import Pane
from kit.patience import patience
from proglog.testing.processes import AgentProcess

pytestmark = pytest.mark.skipif(shutil.which("tmux") is None, reason="tmux is not installed: `make tools`")

LOOK = 10.0
"""Seconds from the start of the dashboard to the answer, on an idle machine."""
CHANGE = 60.0
"""Seconds in which a cluster must have become what a question is about."""


@pytest.fixture
def pane() -> Iterator[Pane]:
    opened = Pane(140, 40)
    try:
        yield opened
    finally:
        opened.close()


@pytest.fixture
async def agents(tmp_path: Path) -> AsyncIterator[list[AgentProcess]]:
    """Three agents with 600 records of node-a, of which ``billing`` has had 200."""
    started: list[AgentProcess] = []
    try:
        for name in ("node-a", "node-b", "node-c"):
            seeds = (started[0].gossip_addr,) if started else ()
            started.append(AgentProcess(name, tmp_path, seeds))
            started[-1].start()
        await _produce(started[0], 600)
        await _consume(started[0], 200)
        yield started
    finally:
        for agent in started:
            agent.kill()


async def _produce(agent: AgentProcess, count: int) -> None:
    async with proglog.client.connect(agent.rpc_addr) as client, client.producer() as producer:
        await producer.send_values([b"value %d" % number for number in range(count)])
        await producer.flush()


async def _consume(agent: AgentProcess, count: int) -> None:
    command = [sys.executable, "-m", "proglog", "consume", "start", "--as", "billing", "--limit", str(count)]
    process = await asyncio.create_subprocess_exec(
        *command, "--addr", agent.rpc_addr, stdout=asyncio.subprocess.DEVNULL, stderr=asyncio.subprocess.PIPE
    )
    _, said = await process.communicate()
    assert process.returncode == 0, said


async def _until_it_says(agent: AgentProcess, words: str) -> None:
    """Wait until what an agent reports is such that ``status`` has these words: the question can be asked now."""
    deadline = time.monotonic() + patience(CHANGE)
    while True:
        process = await asyncio.create_subprocess_exec(
            *[sys.executable, "-m", "proglog", "status", "--addr", agent.rpc_addr],
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
        )
        said, _ = await process.communicate()
        if words in said.decode():
            return
        assert time.monotonic() < deadline, said.decode()
        await asyncio.sleep(0.2)


class Look:
    """A look at the screen: a dashboard is started, keys are pressed, an answer is there, it is left."""

    def __init__(self, pane: Pane, agent: AgentProcess) -> None:
        self._pane = pane
        self._command = f"{sys.executable} -m proglog dash --addr {agent.rpc_addr}"
        self.took: dict[str, float] = {}

    async def answers(
        self, question: str, *words: str, keys: tuple[tuple[str, str], ...] = (), pattern: str = ""
    ) -> str:
        """Return the screen that has the answer; the time counts from the command on.

        Each key comes with what is on the screen before the next one.
        """
        started = time.monotonic()
        self._pane.type(self._command)
        limit = patience(LOOK)
        await self._pane.shows("proglog node-", within=limit)
        for key, then in keys:
            self._pane.press(key)
            await self._pane.shows(then, within=limit)
        await self._pane.shows(*words, within=limit)
        while not re.search(pattern, self._pane.text):
            assert time.monotonic() - started < limit, f"{pattern} is not in\n{self._pane.text}"
            await asyncio.sleep(0.05)
        text = self._pane.text
        self.took[question] = time.monotonic() - started
        assert self.took[question] < limit, f"{question}: {self.took[question]:.1f} s"
        self._pane.press("C-q")
        await self._pane.shows("left", within=limit)
        self._pane.type("clear")
        return text


@pytest.mark.timeout(600)
async def test_what_operators_ask_is_answered_within_ten_seconds(agents: list[AgentProcess], pane: Pane) -> None:
    home, _, third = agents
    pane.type(f"cd {Path.cwd()}; clear; PS1='left '")
    look = Look(pane, home)
    await _until_it_says(home, "every record on 3 of 3")

    healthy = "what is wrong, how many copies, who consumes and how far behind, is the disk full"
    await look.answers(
        healthy,
        "nothing needs attention",
        "3 Copies · every record on 3 of 3",
        "billing",
        "400 records",
        pattern=r"disk \d+% free",
    )
    await look.answers(
        "where is this record",
        "held by",
        "✓ node-a",
        "✓ node-b",
        "✓ node-c",
        keys=(("t", "value 599"), ("Enter", "held by")),
    )

    # One hangs, and the others write on.
    third.signal(signal.SIGSTOP)
    await _until_it_says(home, "failed")
    await _produce(home, 300)
    copies = r"every record on (at least )?2 of 3"
    await look.answers("what is wrong, how many copies", "✖ node-c failed", "2 of 3 alive", pattern=copies)
    text = await look.answers(
        "since when, what is at risk", "✖ node-c failed", "effect", keys=(("a", "─ Why"),), pattern=copies
    )
    assert re.search(r"for +[\d.]+ (s|min)\b.*, since \d\d:\d\d:\d\d", text), text
    text = await look.answers(
        "who trails, and will it recover",
        "░ missing at node-c",
        "-300 missing",
        keys=(("3", "3 Copies"), ("g", "3 Copies"), ("Enter", "Copies of")),
    )
    assert re.search(r"Copied by itself while its members reach each other|Start a member", text), text
    await look.answers(
        "where is it",
        "✓ node-a",
        "✓ node-b",
        "✖ node-c (failed) missing",
        keys=(("t", "value 299"), ("Enter", "held by")),
    )

    # It comes back, and has everything again.
    third.signal(signal.SIGCONT)
    await _until_it_says(home, "every record on 3 of 3")
    await look.answers("did it recover", "3 of 3 alive", "every record on 3 of 3", pattern=r"disk \d+% free")
    print("; ".join(f"{question}: {seconds:.1f} s" for question, seconds in look.took.items()))
