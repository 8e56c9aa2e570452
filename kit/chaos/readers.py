"""Consumers of a named position that end and restart, and the check of their output.

A run that ends gracefully repeats nothing; a killed one repeats only what came after its last commit. Neither skips a
record. Output is one line per record: origin, sequence, value in base64.
"""

import asyncio
import base64
import signal
import subprocess
import sys
from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from types import TracebackType
from typing import NamedTuple, Self

from kit.child import ended, launch
from kit.patience import patience

TEMPLATE = r"{origin} {sequence} {value:base64}"
_RUN_SECONDS = (4.0, 12.0)
_AGAIN = 0.2
_POLL = 0.2
_USAGE = 2


class Line(NamedTuple):
    """One record that was read."""

    origin: str
    sequence: int
    value: bytes


def parse(output: bytes) -> list[Line]:
    """Return the complete lines of an output; a killed process may leave a partial last line."""
    lines = []
    for raw in output.splitlines(keepends=True):
        if raw.endswith(b"\n"):
            origin, sequence, value = raw[:-1].split(b" ", 2)
            lines.append(Line(origin.decode(), int(sequence), base64.b64decode(value)))
    return lines


def problems(runs: Sequence[Iterable[Line]], acknowledged: set[bytes], *, repeats: bool) -> list[str]:
    """Return the problems with the output of a reader's runs, in words; empty if there are none.

    Args:
        runs: In order.
        acknowledged: Records that must have been read by the end.
        repeats: Whether a run may begin with records of the previous run.
    """
    found = []
    reached: dict[str, int] = {}
    seen: dict[bytes, tuple[str, int]] = {}
    for number, run in enumerate(runs):
        within: dict[str, int] = {}
        for line in run:
            name = line.origin, line.sequence
            if line.sequence <= within.get(line.origin, 0):
                found.append(f"run {number} read {name} after sequence {within[line.origin]}")
            within[line.origin] = line.sequence
            known = seen.setdefault(line.value, name)
            if known != name:
                found.append(f"run {number} read {line.value[:60]!r} as {name} and as {known}")
            if line.sequence <= reached.get(line.origin, 0) and not repeats:
                found.append(f"run {number} read {name} again")
        for origin, sequence in within.items():
            reached[origin] = max(sequence, reached.get(origin, 0))
    if missed := acknowledged - seen.keys():
        found.append(f"{len(missed)} acknowledged records were never read, such as {min(missed)!r}")
    return found


@dataclass(slots=True)
class Reader:
    """Runs ``proglog consume --as NAME --follow`` repeatedly, while the ``async with`` block runs."""

    name: str
    addrs: Sequence[str]
    directory: Path
    kills: bool
    """Whether runs end by ``kill -9``, or by Ctrl-C."""
    random: Random
    runs: list[Path] = field(default_factory=list)
    _task: "asyncio.Task[None] | None" = None
    _process: "subprocess.Popen[bytes] | None" = None

    async def __aenter__(self) -> Self:
        """Start reading."""
        self._task = asyncio.create_task(self._read())
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """End the run that is under way."""
        assert self._task is not None, "entered"
        self._task.cancel()
        with suppress(asyncio.CancelledError):
            await self._task

    def lines(self) -> list[list[Line]]:
        """Return each run's output so far."""
        return [parse(path.read_bytes()) for path in self.runs]

    async def has_read(self, values: set[bytes], *, within: float) -> bool:
        """Wait until all of these were read; return whether they were in time."""
        for _ in range(int(patience(within) / _POLL)):
            if not values - {line.value for run in self.lines() for line in run}:
                return True
            await asyncio.sleep(_POLL)
        return False

    def problems(self, acknowledged: set[bytes]) -> list[str]:
        """Return the problems with what it read, in words."""
        return [f"{self.name}: {each}" for each in problems(self.lines(), acknowledged, repeats=self.kills)]

    async def _read(self) -> None:
        while True:
            path = self.directory / f"{self.name}-{len(self.runs)}.out"
            self.runs.append(path)
            with path.open("wb") as out, path.with_suffix(".err").open("wb") as err:
                self._process = launch(self._command(), out=out, err=err)
            try:
                code = await ended(self._process, self.random.uniform(*_RUN_SECONDS))
                assert code != _USAGE, path.with_suffix(".err").read_text()
                await asyncio.sleep(_AGAIN)
            except TimeoutError:
                await self._end()
            except asyncio.CancelledError:
                await self._end()
                raise

    def _command(self) -> list[str]:
        addrs = list(self.addrs)
        self.random.shuffle(addrs)
        return [
            *(
                sys.executable,
                "-m",
                "proglog",
                "consume",
                "start",
                "--follow",
                "--as",
                self.name,
                "--commit-interval",
                "1",
            ),
            *("--addr", ",".join(addrs), "--format", TEMPLATE),
        ]

    async def _end(self) -> None:
        process = self._process
        assert process is not None, "a run is under way"
        process.send_signal(signal.SIGKILL if self.kills else signal.SIGINT)
        try:
            await ended(process, patience(15))
        except TimeoutError:
            process.kill()
            process.wait()
