"""Any keys, in any order, faster than anybody types, in a real terminal: it keeps running, and ends only when asked to."""

import asyncio
import os
import random
import string
import sys
from pathlib import Path

import pytest

import proglog.client
from kit.terminal import Terminal
from proglog.record.record import Record
from proglog.testing.processes import AgentProcess

LONG = bool(os.environ.get("PROGLOG_LONG"))
KEYS = 5_000 if LONG else 300
ROUNDS = 10 if LONG else 1
SIZES = ((140, 40), (80, 24), (40, 12), (10, 3))

_LETTERS = [char for char in string.ascii_letters + string.digits + "/?[]<>{}()!-,.$ " if char != "q"]
_OTHERS = [
    "\x1b[A",
    "\x1b[B",
    "\x1b[C",
    "\x1b[D",
    "\x1b[5~",
    "\x1b[6~",
    "\x1b[H",
    "\x1b[F",
    "\t",
    "\x1b[Z",
    "\x1bOP",
    "\x7f",
]
_OTHERS += ["\x1b", "\x1b", "\x1b", "\x15", "\x04", "\x1b[21~", "\x1b[200~pasted\x1b[201~"]
ALPHABETS = {
    "no palette": [*_LETTERS, *_OTHERS, "\r", "\r", "\r"],
    "no enter": [*_LETTERS, *_OTHERS, ":", "\x10"],
}
"""Neither leads out: with Enter, the palette's Quit would."""


@pytest.fixture(scope="module")
def agent(tmp_path_factory: pytest.TempPathFactory):
    started = AgentProcess("a", tmp_path_factory.mktemp("fuzz"))
    started.start()
    yield started
    started.kill()


async def _fill(addr: str) -> None:
    async with proglog.client.connect(addr) as client, client.producer() as producer:
        for index in range(300):
            await producer.send(Record(value=b"value %d [/]\x1b[31m" % index, key=b"k"))


def _clicked(dice: random.Random) -> str:
    x, y = dice.randint(1, 140), dice.randint(1, 40)
    return f"\x1b[<0;{x};{y}M\x1b[<0;{x};{y}m"


@pytest.mark.timeout(3600 if LONG else 240)
@pytest.mark.parametrize("alphabet", ALPHABETS)
@pytest.mark.parametrize("round_", range(ROUNDS))
async def test_no_keys_end_it_but_those_that_are_meant_to(
    agent: AgentProcess, tmp_path: Path, alphabet: str, round_: int
) -> None:
    await _fill(agent.rpc_addr)
    await asyncio.to_thread(_type, agent.rpc_addr, tmp_path, alphabet, round_)


def _type(addr: str, directory: Path, alphabet: str, seed: int) -> None:
    dice = random.Random(f"{alphabet} {seed}")
    typed: list[str] = []
    command = [sys.executable, "-m", "proglog", "dash", "--addr", addr]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    with Terminal(command, columns=140, lines=40, env=environment, directory=directory) as terminal:
        terminal.until(lambda text: "● live" in text and "Quit" in text)
        while len(typed) < KEYS and terminal.process.poll() is None:
            burst = dice.choices(ALPHABETS[alphabet], k=dice.randint(1, 40))
            burst += [_clicked(dice)] if dice.random() < 0.2 else []
            typed += burst
            terminal.send("".join(burst))
            terminal.drain(0.2)  # bursts of forty, not hundreds that wait: what a screen costs adds up
            if dice.random() < 0.1:
                terminal.resize(*dice.choice(SIZES))
        assert terminal.process.poll() is None, (typed[-60:], terminal.text[-3000:])
        terminal.resize(140, 40)
        for _ in range(60):  # out of every box, once all that was typed has been read
            terminal.send("\x1b")
            terminal.drain(0.15)
            terminal.send("q")
            terminal.drain(0.05)
            if terminal.process.poll() is not None:
                break
        code = terminal.ended(60)
        assert "Traceback" not in terminal.text, (typed[-60:], terminal.text[-3000:])
        assert code == 0, (typed[-60:], terminal.text[-3000:])
