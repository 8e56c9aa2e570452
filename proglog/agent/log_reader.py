"""The asynchronous face of the log for readers: what is known without the disk, reads off the loop, and the wait for more."""

import asyncio
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from typing import TypeVar

from proglog.agent.threads import started_pool
from proglog.agent.underway import Underway
from proglog.errors import LogClosedError
from proglog.log.log import Log
from proglog.log.model import Appended, DamagedRange, LogPosition, LogRead, Moved, SegmentInfo
from proglog.log.named_positions import CommittedPosition
from proglog.log.recovery import RecoveryReport
from proglog.record.batch import BatchHeader
from proglog.replication.progress import Progress
from proglog.server.answers import read_with_room
from proglog.types import Offset, OriginId

Result = TypeVar("Result")

INLINE_READ_BYTES = 1024 * 1024
"""Reads of the active segment up to this size stay on the loop while the kernel has its pages in memory."""

READ = "read"
"""What is done on a reader thread is called; all else is done on the one that appends."""

READER_THREADS = 2
"""For reads that may wait for a cold disk."""


class LogReader:
    """A :class:`Log` for coroutines that read. Its owner appends, and wakes those that wait."""

    def __init__(self, log: Log) -> None:
        """Read ``log``, on threads of its own where that may wait for the disk.

        Raises:
            ConfigError: The operating system refuses the threads.
        """
        self.log = log
        self.records_served = 0
        """Records sent to consumers, as far as services count them here."""
        self.underway = Underway()
        """Current operations on the disk."""
        self._closing = False
        self._advanced = asyncio.Event()
        self._readers = started_pool(READER_THREADS, "log-reader")

    # What is known without the disk

    @property
    def origin(self) -> OriginId:
        """As :attr:`Log.origin`."""
        return self.log.origin

    def kinship(self, prover: bytes, verifier: bytes) -> bytes:
        """See :meth:`proglog.log.log.Log.kinship`."""
        return self.log.kinship(prover, verifier)

    @property
    def start_offset(self) -> Offset:
        """As :attr:`Log.start_offset`."""
        return self.log.start_offset

    @property
    def end_offset(self) -> Offset:
        """As :attr:`Log.end_offset`."""
        return self.log.end_offset

    @property
    def end_position(self) -> LogPosition:
        """As :attr:`Log.end_position`."""
        return self.log.end_position

    @property
    def recovery(self) -> RecoveryReport:
        """As :attr:`Log.recovery`."""
        return self.log.recovery

    def origins(self) -> Mapping[OriginId, Progress]:
        """As :meth:`Log.origins`."""
        return self.log.origins()

    def latest_origins(self, count: int) -> list[OriginId]:
        """Return the ``count`` origins that moved last, the last first."""
        return [held.origin for held in self.log.origins().latest(count)]

    def segments(self) -> list[SegmentInfo]:
        """As :meth:`Log.segments`."""
        return self.log.segments()

    def named_positions(self) -> dict[str, CommittedPosition]:
        """As :meth:`Log.named_positions`."""
        return self.log.named_positions()

    def takes_position(self, name: str, origins: int, now_ms: int) -> bool:
        """As :meth:`Log.takes_position`."""
        return self.log.takes_position(name, origins, now_ms)

    def holds(self, appended: Appended) -> bool:
        """As :meth:`Log.holds`."""
        return self.log.holds(appended)

    def damaged(self) -> list[DamagedRange]:
        """As :meth:`Log.damaged`."""
        return self.log.damaged()

    def progress(self, origin: OriginId) -> Progress | None:
        """As :meth:`Log.progress`."""
        return self.log.progress(origin)

    def moved_since(self, version: int) -> Moved:
        """As :meth:`Log.moved_since`."""
        return self.log.moved_since(version)

    def after_damage(self, at: LogPosition) -> LogPosition:
        """As :meth:`Log.after_damage`."""
        return self.log.after_damage(at)

    def sound_batches(self, at: LogPosition, data: bytes) -> Iterator[tuple[int, BatchHeader]]:
        """As :meth:`Log.sound_batches`."""
        return self.log.sound_batches(at, data)

    # What waits

    async def read(self, at: LogPosition, max_bytes: int) -> LogRead:
        """Return whole batches from ``at`` on, without blocking the loop on a cold disk. As :meth:`Log.read`."""
        return await read_with_room(partial(self._read, at, max_bytes), max_bytes)

    async def _read(self, at: LogPosition, max_bytes: int) -> LogRead:
        if max_bytes <= INLINE_READ_BYTES:
            cached = self.log.read_cached(at, max_bytes)
            if cached is not None:
                return cached
        with self.underway.during(READ):
            return await asyncio.get_running_loop().run_in_executor(self._readers, self.log.read, at, max_bytes)

    async def query(self, look: Callable[[Log], Result]) -> Result:
        """Return what ``look`` finds in the log, on a reader thread: for what may wait for the disk."""
        with self.underway.during(READ):
            return await asyncio.get_running_loop().run_in_executor(self._readers, settled, partial(look, self.log))

    async def wait_for_data(self, at: LogPosition) -> None:
        """Return once there is something durable at ``at``.

        Raises:
            LogClosedError: The log is closing: there will be nothing.
        """
        while self.log.end_position == at:
            if self._closing:
                raise LogClosedError
            await self._advanced.wait()

    def _wake_readers(self) -> None:
        self._advanced.set()
        self._advanced = asyncio.Event()


def settled(work: Callable[[], Result]) -> Result:
    """Return what ``work`` returns, on a thread. A future takes no ``StopIteration``: its waiter would hang."""
    try:
        return work()
    except StopIteration as exc:
        raise RuntimeError("StopIteration") from exc
