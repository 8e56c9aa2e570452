"""The asynchronous face of the log: the one task that appends, and what readers wait on.

Appends queue up while a group is being written; the writer then takes all that wait, writes them with one call, syncs
once on its own thread, and answers each. This group commit shares the cost of the disk among concurrent appends, and
**an answer means durable**. A bug on the way poisons the log, and every waiting append gets the error.

::

    append() --> queue (bounded by bytes) --> [ stamp, write, sync ] --> answers, then listeners and waiting readers
                                               writer thread, a group
"""

import asyncio
import itertools
import threading
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future
from contextlib import suppress
from dataclasses import dataclass
from types import TracebackType
from typing import Self, TypeVar

from proglog.agent.log_reader import LogReader, settled
from proglog.agent.supervisor import Supervisor
from proglog.agent.threads import started_pool
from proglog.errors import ConfigError, LogClosedError, LogPoisonedError, ProglogError, StorageError
from proglog.log.config import FsyncPolicy
from proglog.log.log import Log
from proglog.log.model import (
    Append,
    Appended,
    DamagedRange,
    ImportAppend,
    LocalAppend,
    MissingRange,
    Outcome,
    appended_of,
)
from proglog.record.batch import VerifiedBatch
from proglog.replication.progress import Progress
from proglog.server.commit_log import Fence
from proglog.tasks import cancel_and_wait, wait_through
from proglog.telemetry.latency import LatencyWindow
from proglog.telemetry.tracing import Tracing
from proglog.types import Offset, OriginId

Result = TypeVar("Result")
ProgressListener = Callable[[Mapping[OriginId, Progress]], None]

MAX_GROUP_BYTES = 8 * 1024 * 1024
"""Most bytes written under one sync: bounds what a crash leaves unanswered, and how long an answer takes."""

MAX_QUEUED_BYTES = 64 * 1024 * 1024
"""Beyond this, appends wait for their turn before they are queued: a slow disk slows producers, not memory."""

COMPANY_SECONDS = 0.002
"""Longest that small appends wait for others, once they have come in numbers."""

COMPANY_LEAST = 4
"""Appends of the last group from which on others are waited for: fewer callers would only wait."""

COMPANY_BYTES = 64 * 1024
"""Queued bytes with which nobody waits: such a group is worth its sync."""

HOUSEKEEPING_INTERVAL = 2.5
"""Seconds between two looks at retention, and at a full disk."""

PLACE_INTERVAL = 0.5
"""Seconds between two looks whether the data directory is where it was: what is acknowledged without it is lost."""


@dataclass(slots=True)
class _Pending:
    append: Append
    answer: asyncio.Future[Outcome]
    fence: Fence | None
    since: float


class LogWriter(LogReader):
    """A :class:`Log` for the coroutines of one event loop. ``async with`` starts and drains it."""

    def __init__(self, log: Log, tasks: Supervisor | None = None) -> None:
        """Take over ``log``: only the writer may append to it from now on. Closing it stays the caller's job.

        Args:
            log: Open.
            tasks: Owns this object's tasks; ``None``: an owner that only reports.

        Raises:
            ConfigError: The operating system refuses the threads.
        """
        super().__init__(log)
        self.records_appended = 0
        """Records made durable since the start, copies included."""
        self.bytes_appended = 0
        """Bytes of their batches."""
        self.latencies: dict[str, LatencyWindow] = {"append": LatencyWindow(), "sync": LatencyWindow()}
        """How long appends took lately, from arrival to durability, and the syncs of their groups."""
        self.tracing: Tracing | None = None
        """Records a span of each group; ``None``: none are."""
        self._tasks = tasks or Supervisor()
        self._queue: deque[_Pending] = deque()
        self._group: list[_Pending] = []
        self._queued_bytes = 0
        self._company = 1
        """Appends in the queue from which on the writer is woken."""
        self._turn = asyncio.Lock()
        self._producers_turn = asyncio.Lock()
        self._holds: dict[str, StorageError | None] = {}
        self._holds_changed = asyncio.Event()
        self._work = asyncio.Event()
        self._room = asyncio.Event()
        self._listeners: list[Callable[[], None]] = []
        self._progress_listeners: list[ProgressListener] = []
        self._told = log.moved_since(0).version
        self._broken = False
        self._writing: asyncio.Task[None] | None = None
        self._ending: asyncio.Task[None] | None = None
        self._timers: list[asyncio.Task[None]] = []
        try:
            self._disk = started_pool(1, "log-writer")
        except ConfigError:
            self._readers.shutdown()
            raise
        log.publish_on(self._submit, self._disk.submit(threading.get_ident).result())

    async def __aenter__(self) -> Self:
        """Start."""
        self.start()
        return self

    def start(self) -> None:
        """Start the tasks; :meth:`close` ends them."""
        self._writing = self._tasks.start(self._write_groups(), name="log-writer", may_end=True)
        self._timers.append(self._tasks.start(self._keep_house(), name="log-housekeeping"))
        if self.log.config.fsync is FsyncPolicy.INTERVAL:
            self._timers.append(self._tasks.start(self._sync_by_timer(), name="log-sync-timer"))

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Drain and stop."""
        await self.close()

    # What waits

    async def append(self, batch: VerifiedBatch, fence: Fence | None = None) -> Appended:
        """Append a producer's batch as this node's own; durable on return.

        With a ``fence``, it is not appended if one before it with the same fence has failed: it fails like that one.

        Cancelling the wait does not take the batch back: it may be appended all the same. A batch that its producer
        sent before is not appended again: the answer is that of the first time, with ``duplicate``.

        Raises:
            ProducerSequenceError: It does not follow its producer's last one here.
            StorageError: The disk refused, or the log is closed. Nothing of the batch is in the log, except after
                ``LogPoisonedError``, which leaves it unknown.
        """
        return appended_of(await (await self.queue(batch, fence)))

    async def queue(self, batch: VerifiedBatch, fence: Fence | None = None) -> asyncio.Future[Outcome]:
        """Queue a producer's batch once there is room; its outcome comes when it is durable. Else as :meth:`append`."""
        async with self._producers_turn:  # FIFO: waiters keep their order
            while self._holds and not self._closing:
                refusal = next((each for each in self._holds.values() if each is not None), None)
                if refusal is not None:
                    raise refusal
                await self._holds_changed.wait()
        (outcome,) = await self._enqueue([LocalAppend(batch)], fence)
        return outcome

    def hold_producers(self, why: str, refusal: StorageError | None = None) -> None:
        """Hold producers until released, including queued ones; replication, reads and origin changes proceed.

        Args:
            why: The hold's name, for its release; several may be active at once.
            refusal: The error to answer with instead of waiting.
        """
        self._holds[why] = refusal
        if refusal is not None:
            self._answer_held(refusal)
        self._change_holds()

    def is_held(self, why: str) -> bool:
        """Return whether that hold is active."""
        return why in self._holds

    def release_producers(self, why: str) -> None:
        """Release producers, unless another hold remains. Idempotent."""
        self._holds.pop(why, None)
        self._change_holds()

    def _change_holds(self) -> None:
        self._work.set()
        self._holds_changed.set()
        self._holds_changed = asyncio.Event()

    def _answer_held(self, refusal: StorageError) -> None:
        """Answer what producers have in the queue."""
        for each in self._queue:
            if isinstance(each.append, LocalAppend) and not each.answer.done():
                each.answer.set_result(refusal)
        self._queue = deque(each for each in self._queue if not isinstance(each.append, LocalAppend))
        self._queued_bytes = sum(each.append.batch.header.batch_bytes for each in self._queue)
        self._room.set()

    async def append_copies(self, batches: Sequence[VerifiedBatch]) -> list[Outcome]:
        """Append batches of other origins as they are; an outcome for each, in order, once all are durable."""
        return [await outcome for outcome in await self.queue_copies([ImportAppend(batch) for batch in batches])]

    async def queue_copies(self, copies: Sequence[ImportAppend]) -> list[asyncio.Future[Outcome]]:
        """Queue batches of other origins as soon as there is room; the outcomes come in order, once they are durable."""
        return await self._enqueue(copies)

    async def begin_origin(self, reason: str) -> OriginId:
        """Switch the log to a new origin; waiting appends use it. As :meth:`Log.begin_origin`."""
        return await self._on_disk_thread("new origin", lambda: self.log.begin_origin(reason))

    async def refill(self, batches: Sequence[VerifiedBatch]) -> list[DamagedRange]:
        """Give the log what it lost to damage; return the ranges that are whole again. As :meth:`Log.refill`."""
        return await self._on_disk_thread("refill", lambda: self.log.refill(batches))

    async def accept_losses(self, start: Offset, end: Offset, *, by: str, reason: str) -> list[DamagedRange]:
        """Accept on an operator's word that the damage there cannot be recovered. As :meth:`Log.accept`."""
        return await self._on_disk_thread("accepting losses", lambda: self.log.accept(start, end, by=by, reason=reason))

    async def _on_disk_thread(self, what: str, work: Callable[[], Result]) -> Result:
        """Do what changes the log between two groups, and notify its listeners."""
        refusal = self._refusal()
        if refusal is not None:
            raise refusal
        try:
            return await self._on_disk(what, work)
        finally:
            self._wake_readers()
            self._tell_listeners()

    async def _on_disk(self, what: str, work: Callable[[], Result]) -> Result:
        """Do ``work`` on the disk thread, under the name of ``what``; listeners hear of whatever it did to state, problems or start of the log."""
        log = self.log
        before = log.state, log.start_offset, log.problems()
        try:
            with self.underway.during(what):
                return await asyncio.get_running_loop().run_in_executor(self._disk, self._poisoning, work)
        finally:
            if before != (log.state, log.start_offset, log.problems()):
                self._tell_listeners()

    def _submit(self, work: Callable[[], object]) -> Future[object]:
        """Run ``work`` on the disk thread, after its current operation."""
        return self._disk.submit(self._poisoning, work)

    def _poisoning(self, work: Callable[[], Result]) -> Result:
        """Do ``work`` on the disk thread; whatever a bug leaves half done there is never built upon."""
        try:
            return settled(work)
        except ProglogError:
            raise
        except BaseException:
            self.log.poison()
            raise

    async def missing(self) -> list[MissingRange]:
        """Return what damage hides, as :meth:`Log.missing`; the progress of origins says it from then on."""
        if not self.log.may_lack:
            return []
        missing = await self.query(Log.missing)
        if not self.log.hides(missing):
            await self._on_disk_thread("look at damage", lambda: self.log.hide(missing))
        return missing

    def add_listener(self, callback: Callable[[], None]) -> None:
        """Call ``callback`` on the loop whenever the durable end, the start or the state of the log changes.

        It must not block or raise.
        """
        self._listeners.append(callback)

    def add_progress_listener(self, callback: ProgressListener) -> None:
        """Call ``callback`` on the loop with the progress of each origin that moved, before appends are answered.

        It must not block or raise.
        """
        self._progress_listeners.append(callback)

    async def close(self) -> None:
        """Refuse new appends, write those that wait, and let go of waiting readers. Idempotent.

        However it ends, nothing is written any more: a caller that is cancelled is so once everything is closed.
        """
        if self._ending is None:
            self._closing = True
            self._change_holds()
            self._room.set()
            self._ending = self._tasks.start(self._finish(), name="log-writer-close", may_end=True)
        await wait_through(self._ending)

    async def _finish(self) -> None:
        await cancel_and_wait(*self._timers)
        if self._writing is not None:
            await asyncio.wait([self._writing])
        self._wake_readers()
        self._readers.shutdown()
        self.log.publish_on(None)
        self._disk.shutdown()

    def _refusal(self) -> StorageError | None:
        """Return why nothing is taken any more, if so."""
        if self._broken:
            return LogPoisonedError("the agent met a bug while it wrote: nothing is acknowledged until it is restarted")
        return LogClosedError() if self._closing else None

    async def _enqueue(self, appends: Sequence[Append], fence: Fence | None = None) -> list[asyncio.Future[Outcome]]:
        async with self._turn:  # first come, first queued: a producer's batches keep their order
            while self._queued_bytes >= MAX_QUEUED_BYTES and self._refusal() is None:
                self._room.clear()
                await self._room.wait()
            refusal = self._refusal()
            if refusal is not None:
                raise refusal
            create_future = asyncio.get_running_loop().create_future
            now = time.monotonic()
            pending = [_Pending(append, create_future(), fence, now) for append in appends]
            self._queue.extend(pending)
            self._queued_bytes += sum(append.batch.header.batch_bytes for append in appends)
            if len(self._queue) >= self._company or self._queued_bytes >= COMPANY_BYTES:
                self._work.set()
        return [each.answer for each in pending]

    async def _write_groups(self) -> None:
        try:
            while await self._wait_for_work():
                await self._wait_for_company(len(self._group))
                self._group = self._take_group()
                self._answer(self._group, await self._write([each.append for each in self._group]))
            self._answer_held(LogClosedError())
        except BaseException:
            self._break()
            raise

    async def _wait_for_work(self) -> bool:
        """Return true once something may be written; false when there is nothing, and nothing more is taken."""
        while not self._may_write() and not self._closing:
            self._work.clear()
            await self._work.wait()
        return self._may_write()

    async def _wait_for_company(self, last: int) -> None:
        """Wait briefly until as many appends have come as were in the ``last`` group: a sync costs the same for all.

        Callers that each wait for their own answer come back together. Without this, the first of them has a sync of its
        own, and the others wait for it.
        """
        if last < COMPANY_LEAST or len(self._queue) >= last or self._queued_bytes >= COMPANY_BYTES or self._closing:
            return
        self._company = last
        self._work.clear()
        with suppress(TimeoutError):
            async with asyncio.timeout(COMPANY_SECONDS):
                await self._work.wait()
        self._company = 1

    def _may_write(self) -> bool:
        return any(self._may_go(each) for each in self._queue)

    def _may_go(self, pending: _Pending) -> bool:
        return not self._holds or not isinstance(pending.append, LocalAppend)

    async def _write(self, appends: list[Append]) -> Sequence[Outcome]:
        if not appends:
            return []
        try:
            return await self._on_disk("append", lambda: self.log.append(appends))
        except ProglogError as exc:
            return [exc] * len(appends)

    def _break(self) -> None:
        """The writer ends by a bug: take nothing more, and answer every waiting append."""
        self.log.poison()
        self._broken = True
        refusal = self._refusal()
        assert refusal is not None
        for each in (*self._group, *self._queue):
            if not each.answer.done():
                each.answer.set_result(refusal)
        self._group, self._queued_bytes = [], 0
        self._queue.clear()
        self._room.set()
        self._wake_readers()
        self._tell_listeners()

    def _take_group(self) -> list[_Pending]:
        group: list[_Pending] = []
        group_bytes = 0
        held: list[_Pending] = []
        while self._queue and (not group or group_bytes < MAX_GROUP_BYTES):
            each = self._queue.popleft()
            if not self._may_go(each):
                held.append(each)
                continue
            group_bytes += each.append.batch.header.batch_bytes
            if each.fence is None or each.fence.failure is None:
                group.append(each)
            elif not each.answer.done():
                each.answer.set_result(each.fence.failure)
        self._queue.extendleft(reversed(held))
        self._queued_bytes -= group_bytes
        if self._queued_bytes < MAX_QUEUED_BYTES:
            self._room.set()
        return group

    def _answer(self, group: list[_Pending], outcomes: Sequence[Outcome]) -> None:
        now = time.monotonic()
        if group and self.log.config.fsync is FsyncPolicy.ALWAYS:
            self.latencies["sync"].add(self.log.sync_seconds, now)
        if group and self.tracing is not None:
            size = sum(each.append.batch.header.batch_bytes for each in group)
            waited = now - min(each.since for each in group)
            self.tracing.ended("append", waited, appends=len(group), bytes=size, sync_seconds=self.log.sync_seconds)
        for each, outcome in zip(group, outcomes, strict=True):
            if isinstance(outcome, Appended):
                self.latencies["append"].add(now - each.since, now)
                self.records_appended += outcome.end_offset - outcome.base_offset
                self.bytes_appended += outcome.batch_bytes
            elif each.fence is not None and isinstance(outcome, ProglogError):
                each.fence.failure = outcome
            if not each.answer.done():  # done: the caller was cancelled
                each.answer.set_result(outcome)
        self._wake_readers()
        self._tell_listeners()

    def _tell_listeners(self) -> None:
        """Report which origins moved; then, that the log changed."""
        change = self.log.moved_since(self._told)
        self._told = change.version
        moved = {position.origin: position for position in change.positions}
        for tell in self._progress_listeners:
            tell(moved)
        for listener in self._listeners:
            listener()

    async def _sync_by_timer(self) -> None:
        """Sync as the interval policy says."""
        while True:
            await asyncio.sleep(self.log.config.fsync_interval)
            await self._on_disk("sync", self.log.sync)

    async def _keep_house(self) -> None:
        """Apply retention, see whether a full disk has room again, and mark how far the log is durable."""
        looks = round(HOUSEKEEPING_INTERVAL / PLACE_INTERVAL)
        for look in itertools.count(1):
            await asyncio.sleep(PLACE_INTERVAL)
            end = self.log.end_position
            if look % looks:
                await self._on_disk("look at the directory", self.log.check_place)
            else:
                await self._on_disk("retention", self.log.retain)
            if self.log.end_position != end:  # retention commits named positions again
                self._wake_readers()
                self._tell_listeners()
