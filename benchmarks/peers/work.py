"""What every peer is asked to do, and the words in which it answers.

::

    file in      a whole process that sends a file, a record a line, and ends when all are acknowledged
    file out     a whole process that writes all records to a file
    calls in     a program that makes a call a record, and whose client gathers them
    values out   a program that touches every value
    one          a program that waits for the answer to each record
"""

import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

FILE_IN, FILE_OUT, CALLS_IN, VALUES_OUT, ONE = "file in", "file out", "calls in", "values out", "one"
PATHS = (FILE_IN, FILE_OUT, CALLS_IN, VALUES_OUT, ONE)
LIMIT = 300.0
"""Seconds for one piece of work."""


class Unavailable(Exception):  # noqa: N818 - no error: it is not installed
    """A peer, or a client of one, that is not here; the text says what is missing."""


@dataclass(frozen=True, slots=True)
class Job:
    """One round of one size."""

    name: str
    """Of its topic or stream: file in and calls in fill one each, which file out and values out read."""
    source: Path
    count: int
    """Records in ``source``."""
    record_bytes: int
    ones: int
    """Records to send one by one."""

    @property
    def few(self) -> int:
        """Records for a client that handles some thousands a second."""
        return max(1, self.count // 10)

    @property
    def calls(self) -> str:
        """The topic of ``calls in`` and ``one``."""
        return f"{self.name}-calls"


@dataclass(frozen=True, slots=True)
class Way:
    """One client of one peer at one piece of work; ``run`` returns records a second."""

    client: str
    run: Callable[[Job], float]


@dataclass(frozen=True, slots=True)
class Peer:
    """A server that runs, and its clients by path."""

    name: str
    settings: str
    """Version and durability, as the report states them."""
    ways: Mapping[str, Sequence[Way]]
    missing: Sequence[str] = ()
    """Clients that are not here, and why."""


def process(command: Sequence[str | Path], count: int, *, stdin: Path | None = None, out: Path | None = None) -> float:
    """Run a whole process; return ``count`` records by its seconds, start-up included.

    Raises:
        CalledProcessError: It failed.
    """
    with (stdin or Path("/dev/null")).open("rb") as source, (out or Path("/dev/null")).open("wb") as target:
        started = time.monotonic()
        subprocess.run(command, stdin=source, stdout=target, stderr=subprocess.DEVNULL, check=True, timeout=LIMIT)
        return count / (time.monotonic() - started)


def said(command: Sequence[str | Path]) -> str:
    """Run a tool that measures itself; return what it printed.

    Raises:
        RuntimeError: It failed; with the end of what it said.
    """
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=LIMIT)
    if done.returncode:
        raise RuntimeError(f"{' '.join(map(str, command))[-200:]}: {done.stderr.strip()[-500:]}")
    return done.stdout


def client(work: str, addr: str, topic: str, count: int, record_bytes: int) -> float:
    """Run one of :mod:`benchmarks.peers.clients` in a process of its own; return the records a second that it measured."""
    return float(
        said([sys.executable, "-m", "benchmarks.peers.clients", work, addr, topic, str(count), str(record_bytes)])
    )
