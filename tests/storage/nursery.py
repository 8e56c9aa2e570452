"""A process that starts writers, each to be killed: imports are paid for once, a writer costs some milliseconds.

It gets ``DIR LIFE`` on a line of its standard input and forks a writer, which appends for four producers until it is
killed: each has one batch in the air, as group commit puts them together. The lines on its standard output::

    pid 123            the writer
    <producer> <number> <offset>   acknowledged: durable
    end                the writer is gone
"""

import asyncio
import os
import subprocess
import sys
import threading
from pathlib import Path

from proglog.agent.writer import LogWriter
from proglog.log.config import LogConfig
from proglog.log.log import Log
from proglog.record import columns
from proglog.record.batch import encode, verify
from proglog.types import NodeName

PRODUCERS = 4
CONFIG = LogConfig(segment_bytes=64 * 1024, index_interval_bytes=1024, retention_bytes=512 * 1024, ballast_bytes=4096)


def payload(life: int, producer: int, number: int) -> bytes:
    """What a producer sends: different each time, and of many sizes."""
    return b"%d.%d.%d " % (life, producer, number) * (1 + (number * 7 + producer) % 40)


class Nursery:
    """The process, from outside."""

    def __init__(self) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-m", "tests.storage.nursery"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            cwd=Path(__file__).parents[2],
        )

    def start(self, directory: Path, life: int) -> int:
        """Start a writer and return its process id."""
        assert self.process.stdin is not None
        self.process.stdin.write(b"%s %d\n" % (os.fsencode(directory), life))
        self.process.stdin.flush()
        word, pid = self.line().split()
        assert word == b"pid"
        return int(pid)

    def line(self) -> bytes:
        """Return the next line."""
        assert self.process.stdout is not None
        return self.process.stdout.readline()

    def acknowledged(self) -> list[tuple[int, int, int]]:
        """Return (producer, number, offset) of all that was acknowledged until the writer was gone."""
        found = []
        while (line := self.line()) != b"end\n":
            assert line, "the nursery ended"
            producer, number, offset = line.split()
            found.append((int(producer), int(number), int(offset)))
        return found

    def close(self) -> None:
        """End it."""
        assert self.process.stdin is not None
        self.process.stdin.close()
        self.process.wait(10)
        assert self.process.stdout is not None
        self.process.stdout.close()


async def _produce(writer: LogWriter, life: int, producer: int) -> None:
    number = 0
    while True:
        value = payload(life, producer, number)
        batch = verify(
            encode(
                columns.from_values([value]),
                count=1,
                first_timestamp_ms=1_700_000_000_000,
                max_timestamp_ms=1_700_000_000_000,
            )
        )
        appended = await writer.append(batch)
        os.write(1, b"%d %d %d\n" % (producer, number, appended.base_offset))
        number += 1


async def _write(directory: Path, life: int) -> None:
    log = Log.open(directory, CONFIG, node_name=NodeName("a"))
    async with LogWriter(log) as writer:
        keeping = asyncio.create_task(_keep_house(writer))
        await asyncio.gather(keeping, *(_produce(writer, life, producer) for producer in range(PRODUCERS)))


async def _keep_house(writer: LogWriter) -> None:
    """Marks and retention, far more often than an agent: a kill is to meet them, too."""
    while True:
        await asyncio.sleep(0.02)
        await writer._on_disk_thread("retention", writer.log.retain)


def main() -> None:
    """Start writers until standard input ends."""
    assert threading.active_count() == 1  # a fork of threads is not safe
    for line in sys.stdin.buffer:
        directory, life = line.rsplit(b" ", 1)
        pid = os.fork()
        if not pid:
            os.write(1, b"pid %d\n" % os.getpid())
            asyncio.run(_write(Path(os.fsdecode(directory)), int(life)))
        os.waitpid(pid, 0)
        os.write(1, b"end\n")


if __name__ == "__main__":
    main()
