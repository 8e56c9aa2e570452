"""The producer: takes records from any number of tasks, and sends them over one stream that it owns.

::

            open()            contact                     what no retry mends, or stop_on_failure
      new ----------> open <---------> retrying    open, retrying ------------------------------> failed
                                broke                                close() ---> closed   open() again from both

Callers only hand over records and wait for room. One task of the producer's own gathers, encodes and sends them, so what
happens to a caller - cancellation, a timeout, a wrong argument - affects only that caller. What is taken gets exactly
one outcome (:mod:`proglog.client.accumulator`): written, not written, or unknown, each with its reason.

Before anything is sent, the agent has said which log it is. What was sent and not answered is sent again to that log only,
which appends it once; when another log has to take over, it is *unknown*.

Source: KIP-98 (idempotent producer), KIP-91 (one timeout over everything that a delivery takes).
"""

import asyncio
import logging
import os
from collections.abc import Callable, Sequence
from dataclasses import replace
from time import time_ns
from types import TracebackType
from typing import Any, Literal, Self, TypeAlias

from proglog import clock
from proglog.client.accumulator import Accumulator, Acknowledged, Batch, Failed, Tally
from proglog.client.arguments import seconds, whole
from proglog.client.buffer_pool import BufferPool
from proglog.client.copies_asked import Acks, checked_acks, nodes_words
from proglog.client.courier import Courier
from proglog.client.delivery import Askers, Deliveries, Delivery, Written
from proglog.client.flushes import Flushes
from proglog.client.link import Link
from proglog.client.sizes import RECORD_BYTES, checked_parts, padding_of, size_of
from proglog.errors import (
    ClosedError,
    DeadlineError,
    InternalError,
    ProduceError,
    ProglogError,
    UnconfirmedError,
    UsageError,
)
from proglog.record.batch import HEADER_BYTES, MAX_BATCH_BYTES, NO_PRODUCER
from proglog.record.record import Record
from proglog.tasks import TaskScope

logger = logging.getLogger("proglog.client")

DEFAULT_BATCH_BYTES = 256 * 1024
DEFAULT_IN_FLIGHT = 16
DEFAULT_LINGER = 0.005
DEFAULT_BUFFERED_BYTES = 32 * 1024 * 1024
MAX_ACK_SECONDS = 600.0
MAX_SECONDS = 86_400.0
END_SECONDS = 1.0
"""Seconds that an agent has to end a stream on which everything was answered."""

State: TypeAlias = Literal["new", "open", "retrying", "failed", "closed"]


class Producer:
    """Made by :meth:`Client.producer`; ``async with`` opens it, and flushes and closes it. Any task may use it."""

    def __init__(
        self,
        links: Sequence[Link],
        *,
        batch_bytes: int = DEFAULT_BATCH_BYTES,
        in_flight: int = DEFAULT_IN_FLIGHT,
        linger: float = DEFAULT_LINGER,
        acks: Acks = 1,
        ack_timeout: float | None = None,
        idempotent: bool = True,
        delivery_timeout: float = 10.0,
        max_buffered_bytes: int = DEFAULT_BUFFERED_BYTES,
        stop_on_failure: bool = False,
        on_ack: Callable[[Acknowledged], None] | None = None,
        on_retry: Callable[[ProglogError], None] | None = None,
    ) -> None:
        """See :meth:`Client.producer`.

        Raises:
            InvalidRequestError: An argument is outside of what it may be.
        """
        self._links = links
        self._acks = checked_acks(acks)
        self._ack_timeout = (
            None if ack_timeout is None else seconds("ack_timeout", ack_timeout, MAX_ACK_SECONDS, zero=True)
        )
        self._timeout = seconds("delivery_timeout", delivery_timeout, MAX_SECONDS)
        self._linger = seconds("linger", linger, 60.0, zero=True)
        self._max_buffered_bytes = whole("max_buffered_bytes", max_buffered_bytes, 1, 1 << 40)
        self._stop_on_failure = stop_on_failure
        self._on_ack = on_ack
        self._on_retry = on_retry
        self._accumulator = Accumulator(
            os.urandom(16) if idempotent else NO_PRODUCER,
            batch_bytes=min(whole("batch_bytes", batch_bytes, 1, 1 << 30), MAX_BATCH_BYTES // 2),
            in_flight=whole("in_flight", in_flight, 1, 64),
            linger=self._linger,
            delivery_timeout=self._timeout,
            max_bytes=self._max_buffered_bytes,
        )
        self._askers = Askers(self._acks, self._urge, {})
        self._pool = BufferPool(
            self._max_buffered_bytes,
            lambda: self._accumulator.buffered_bytes,
            lambda: self._accumulator.crowded,
        )
        self._state: State = "new"
        self._failure: ProglogError | None = None
        """The error that stops it from taking records."""
        self._failure_reported = False
        self._flushes = Flushes()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._process = 0
        self._changing = asyncio.Lock()
        """Held while it is being opened or closed."""
        self._tasks = TaskScope()
        self._courier: Courier | None = None
        self._owner: asyncio.Task[None] | None = None
        self._linger_timer: asyncio.TimerHandle | None = None
        self._expiry_timer: asyncio.TimerHandle | None = None

    # What it is

    @property
    def identity(self) -> bytes:
        """What every batch that it sends has as ``producer_id``: in the log, its records are known by it."""
        return self._accumulator.identity

    @property
    def state(self) -> State:
        """``new``, ``open``, ``retrying``, ``failed`` or ``closed``: the module's docstring draws them."""
        return "retrying" if self._state == "open" and self._trouble is not None else self._state

    @property
    def _trouble(self) -> ProglogError | None:
        return None if self._courier is None else self._courier.trouble

    @property
    def failure(self) -> ProglogError | None:
        """The error behind ``failed`` or ``retrying``."""
        return self._failure or self._trouble

    @property
    def counts(self) -> Tally:
        """Counts of the records taken, by outcome so far."""
        return replace(self._accumulator.tally)

    @property
    def acknowledged(self) -> int:
        """Records that are durable on as many nodes as asked for."""
        return self._accumulator.tally.acknowledged

    @property
    def acknowledged_bytes(self) -> int:
        """Bytes of their values, keys and headers."""
        return self._accumulator.tally.acknowledged_bytes

    @property
    def unconfirmed(self) -> int:
        """Records that are durable on the agent, and not known to be on as many nodes as asked for."""
        return self._accumulator.tally.unconfirmed

    @property
    def unknown(self) -> int:
        """Records of unknown outcome, if it ended now: sent and not answered, or not confirmed."""
        return self._accumulator.tally.unknown + self._accumulator.sent_records

    @property
    def unsent(self) -> int:
        """Records that are not in the log: not sent, or refused."""
        tally = self._accumulator.tally
        return tally.refused + tally.waiting - self._accumulator.sent_records

    @property
    def buffered_bytes(self) -> int:
        """Bytes that it holds of records without an outcome."""
        return self._accumulator.buffered_bytes

    def __repr__(self) -> str:
        addrs = ",".join(link.addr for link in self._links)
        return f"<Producer to {addrs}: {self.state}, {self.acknowledged:,} acknowledged>"

    # Opening and closing

    async def __aenter__(self) -> Self:
        """Open it."""
        await self.open()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """As :meth:`leave`."""
        await self.leave(error)

    async def leave(self, error: BaseException | None = None) -> None:
        """Flush and close; after an error, close at once, and add to the error what became of the records.

        Raises:
            ProduceError: Some records are not known to be written as asked for, and no caller has seen that error yet.
        """
        if error is None:
            try:
                if not self._failure_reported:
                    await self.flush()
            finally:
                await self.close(drain=0)
            return
        before = self._accumulator.tally.waiting
        await self.close(drain=0)
        if before:
            error.add_note(
                f"the producer was left with {before:,} records on their way: {_words(self._accumulator.tally)}"
            )

    async def open(self) -> None:
        """Begin to take records; nothing is sent yet. After a failure or ``close`` it begins a new life: no doubles.

        Raises:
            UsageError: It is open, or another event loop's.
        """
        for link in self._links:
            link.check()
        if self._loop is not asyncio.get_running_loop():
            self._changing = asyncio.Lock()
        async with self._changing:
            await self._begin()

    async def _begin(self) -> None:
        if self._state == "open":
            raise UsageError("the producer is open already")
        await self._tasks.close()
        self._loop, self._process = asyncio.get_running_loop(), os.getpid()
        self._failure, self._failure_reported = None, False
        self._flushes.forget()
        self._courier = Courier(
            self,
            self._links,
            self._accumulator,
            acks=self._acks,
            ack_timeout=self._ack_timeout,
            timeout=self._timeout,
            patient=self._stop_on_failure,
            log=b"" if self._courier is None else self._courier.log,
        )
        self._state = "open"
        self._owner = self._tasks.start(self._courier.run(), name="producer")

    async def close(self, drain: float | None = None) -> Tally:
        """Take nothing more, wait until what was taken has its outcome, and return the counts. Idempotent.

        Args:
            drain: Seconds to wait at most; what is left then is unknown if it was sent, and not written if it was not.
                Left out: until the last record's delivery timeout.

        Raises:
            InvalidRequestError: ``drain`` is no number of seconds.
        """
        if drain is not None:
            seconds("drain", drain, MAX_SECONDS, zero=True)
        async with self._changing:
            await self._finish(drain)
        return self.counts

    async def _finish(self, drain: float | None) -> None:
        was, self._state = self._state, "closed"
        if was == "open":
            self._pool.refuse(ClosedError("the producer was closed"))
            try:
                await self._drained(drain)
            finally:
                self._end(ClosedError("the producer was closed"))
        if self._owner is not None:
            await self._tasks.close()

    async def _drained(self, drain: float | None) -> None:
        """Return when everything has its outcome, or the time is over; let the agent end the stream if it is quick."""
        assert self._courier is not None
        self._courier.draining = True
        self._wake()
        last = self._accumulator.last
        if last is not None and drain != 0:
            try:
                async with asyncio.timeout(drain):
                    await self._askers.settled(last)
            except TimeoutError:
                return  # what is left is counted
        if self._owner is not None and self._accumulator.empty and self._trouble is None:
            await asyncio.wait([self._owner], timeout=END_SECONDS)

    def abort(self, cause: ProglogError) -> None:
        """Fail: nothing more can be sent, whatever the agent says."""
        if self._state == "open":
            self._fail(cause)

    # Taking

    async def send(self, record: Record) -> Delivery:
        """Take one record; return at once, or when there is room. Await what is returned for its outcome.

        Cancelled while it waits for room, the record is not taken.

        Raises:
            InvalidRequestError: It is no record.
            RecordTooLargeError: It does not fit into a batch.
            ProduceError: The producer has failed; nothing was taken.
            ClosedError: It is closed, or not opened.
            DeadlineError: There was no room within the delivery timeout; nothing was taken.
            OverloadedError: More than all the room is waited for already; nothing was taken.
        """
        batch = self._accumulator.gathering
        if record.__class__ is Record and record.key is None and record.timestamp_ms is None and not record.headers:
            value = record.value
            size = len(value) + RECORD_BYTES
            if batch is None or size > batch.left:
                batch = await self._place(size, record)
            values = batch.values
            index = len(values)
            time_ms = time_ns() // 1_000_000
        else:
            size = size_of(record)
            value = record.value
            if batch is None or size > batch.left:
                batch = await self._place(size, record)
            values = batch.values
            index = len(values)
            time_ms = clock.now_ms() if record.timestamp_ms is None else record.timestamp_ms
            batch.others[index] = record
            batch.padding += padding_of(record, size) - RECORD_BYTES
        if time_ms != batch.stamp_ms:
            batch.stamps.append((index, time_ms))
            batch.stamp_ms = time_ms
        batch.left -= size
        values.append(value)
        return Delivery((self._askers, batch, index))

    async def send_and_wait(self, record: Record) -> Written:
        """Send one record and return where it is; errors as those of :meth:`send` and of its outcome."""
        return await (await self.send(record))

    async def send_values(self, values: Sequence[bytes]) -> Deliveries:
        """Take many records that are nothing but values: the fast path, in batches of about ``batch_bytes``.

        All of them are checked before the first is taken. Cancelled while it waits for room, those before are taken.
        Errors as those of :meth:`send`.
        """
        batches = []
        for part, size in checked_parts(values, self._accumulator.batch_bytes):
            since = await self._make_room(size)
            batches.append(self._accumulator.take_values(part, size, clock.now_ms(), since))
            self._wake()
            self._watch_deadline()
        return Deliveries(self._askers, batches)

    async def _place(self, size: int, record: Record) -> Batch:
        """Return the batch that a record joins, once there is room."""
        if size + HEADER_BYTES > MAX_BATCH_BYTES:
            size_of(record)
        since = await self._make_room(size)
        accumulator = self._accumulator
        batch = accumulator.gathering
        if batch is None or batch.size + size > accumulator.batch_bytes:
            assert self._loop is not None
            batch = accumulator.open_batch(self._loop.time(), since)
            self._wake()
            self._set_linger(batch)
            self._watch_deadline()
        else:
            accumulator.make_room()
        if self._pool.is_wanted:
            accumulator.leave_no_room()  # beyond this record: it is others'
        return batch

    async def _make_room(self, size: int) -> float:
        """Wait, in turn, until ``size`` more bytes may be taken; return when that was asked for."""
        self._check_open()
        assert self._loop is not None
        since = self._loop.time()
        if self._accumulator.has_unsent:
            await asyncio.sleep(0)  # a caller that never waits would keep the loop from sending
            self._check_open()
        if self._pool.turns or not self._pool.fits(size):
            self._accumulator.leave_no_room()  # who comes later waits behind
            try:
                await self._pool.wait(size, self._timeout)
            except DeadlineError:
                self._check_open()  # the producer ran out of time as well: that is the reason
                raise
            self._check_open()
        return since

    def _check_open(self) -> None:
        if self._state == "open":
            if self._process != os.getpid() or self._loop is not asyncio.get_running_loop():
                self._links[0].check()
                raise UsageError("this producer belongs to another event loop: make one in each")
            return
        if self._state == "failed":
            assert self._failure is not None, "that is what failed means"
            self._failure_reported = True
            raise self._error(self._failure) from self._failure
        hint = "open it with `async with` or `await producer.open()`"
        raise ClosedError(f"the producer is {'not open yet' if self._state == 'new' else 'closed'}: {hint}")

    # Waiting for outcomes

    async def flush(self, timeout: float | None = None) -> None:
        """Return when everything that was taken before this call has its outcome.

        It covers what was taken since the last flush; several at once cover the same, and each raises. What failed before
        this call, and was raised to who awaited its record, is not raised again.

        Args:
            timeout: Seconds to wait at most. Left out: until the last record's delivery timeout.

        Raises:
            UnconfirmedError: Some of it is durable on the agent, and not known to be on as many nodes as asked for.
            ProduceError: Some of it is not known to be written, or the producer has failed; with counts of everything.
            DeadlineError: The timeout is over. Records are still on their way.
            ClosedError: It was never opened.
        """
        if timeout is not None:
            seconds("timeout", timeout, MAX_SECONDS)
        if self._state == "new":
            self._check_open()
        if self._process != os.getpid() or self._loop is not asyncio.get_running_loop():
            self._links[0].check()
            raise UsageError("this producer belongs to another event loop: make one in each")
        last = self._accumulator.last
        with self._flushes.waiting(self._accumulator.tally.taken) as flush:
            try:
                if last is not None:
                    async with asyncio.timeout(timeout):
                        await self._askers.settled(last)
            except TimeoutError:
                raise DeadlineError(f"records are still on their way after {timeout:g} s") from None
        self._flushes.reported(flush)
        if self._state == "failed":
            self._check_open()
        if flush.failed:
            raise self._failed_batches(flush.failed)

    def _failed_batches(self, batches: list[Batch]) -> ProduceError:
        outcomes = [each.outcome for each in batches if isinstance(each.outcome, Failed)]
        if all(each.unconfirmed for each in outcomes):
            return UnconfirmedError(
                acknowledged=self.acknowledged,
                unknown=sum(each.count for each in batches),
                nodes=nodes_words(self._acks),
            )
        return self._error(outcomes[0].cause)

    def _error(self, cause: ProglogError) -> ProduceError:
        return ProduceError(cause, acknowledged=self.acknowledged, unknown=self.unknown, unsent=self.unsent)

    def _urge(self, batch: Batch) -> None:
        """Send the gathered batch as soon as nothing is in flight: a caller waits for it."""
        if batch is self._accumulator.gathering and not self._accumulator.urgent:
            self._accumulator.urgent = True
            self._wake()

    # What the courier reports

    def settled(self, batches: Sequence[Batch]) -> None:
        """Pass outcomes on to their waiters, and grant the room they free."""
        for batch in batches:
            if isinstance(batch.outcome, Failed):
                self._flushes.failed(batch)
            self._askers.settle(batch)
        self._pool.give()
        self._watch_deadline()

    def lost(self, batches: list[Batch], cause: ProglogError) -> None:
        """Settle what was given up; with ``stop_on_failure``, also give up everything behind it."""
        if not batches:
            return
        if self._stop_on_failure and self._state == "open":
            self._fail(cause, batches)
            return
        logger.error("%s: records given up: %d: %s", self.addr, sum(each.count for each in batches), cause)
        self.settled(batches)

    def fail(self, cause: ProglogError) -> None:
        """Settle everything, and take nothing more."""
        self._fail(cause)

    def met_bug(self, exc: Exception) -> None:
        """Fail for a mistake of this program."""
        logger.error("the producer met a bug", exc_info=exc)
        self._fail(InternalError(f"this is a bug in proglog's client: {exc!r}"))

    def acknowledged_batch(self, acknowledged: Acknowledged) -> None:
        """Call the user's hook."""
        if self._on_ack is not None:
            _call(self._on_ack, acknowledged)

    def broken(self, cause: ProglogError) -> None:
        """Call the user's hook."""
        if self._on_retry is not None:
            _call(self._on_retry, cause)

    def _fail(self, cause: ProglogError, batches: Sequence[Batch] = ()) -> None:
        self._failure = cause
        if self._state == "open":
            self._state = "failed"
        given_up = [*batches, *self._accumulator.fail(cause)]
        if given_up:
            logger.error("%s: the producer failed: %s; %s", self.addr, cause, _words(self._accumulator.tally))
        self.settled(given_up)
        self._pool.refuse(self._error(cause))
        self._end_timers()
        if self._courier is not None:
            self._courier.failed = True
        if self._owner is not None:
            self._owner.cancel()

    def _expire(self) -> None:
        """Give up what has been here too long."""
        self._expiry_timer = None
        assert self._loop is not None
        assert self._courier is not None
        cause = self._trouble or DeadlineError(f"not acknowledged within {self._timeout:g} s")
        sent = self._accumulator.sent_records
        late = self._accumulator.expire(self._loop.time(), cause)
        if self._accumulator.sent_records != sent:
            self._courier.drop(cause)
        self.lost(late, cause)
        self._watch_deadline()

    def _end(self, cause: ProglogError) -> None:
        """Give up what is left when it is closed."""
        left = self._accumulator.fail(cause)
        if left:
            logger.warning("%s: closed with records on their way: %s", self.addr, _words(self._accumulator.tally))
        self.settled(left)
        self._end_timers()

    def _end_timers(self) -> None:
        for timer in (self._linger_timer, self._expiry_timer):
            if timer is not None:
                timer.cancel()
        self._linger_timer = self._expiry_timer = None

    def _set_linger(self, batch: Batch) -> None:
        """Send a batch once its linger is over."""
        assert self._loop is not None
        if self._linger_timer is not None:
            self._linger_timer.cancel()
        self._linger_timer = self._loop.call_at(batch.ripe_at, self._ripen, batch) if self._linger else None

    def _ripen(self, batch: Batch) -> None:
        batch.ripe_at = float("-inf")  # a timer may be early by a loop's resolution
        self._wake()

    def _wake(self) -> None:
        if self._courier is not None:
            self._courier.wake()

    def _watch_deadline(self) -> None:
        """Give up the oldest batch at its deadline."""
        deadline = self._accumulator.next_deadline
        if deadline is not None and self._expiry_timer is None and self._loop is not None:
            self._expiry_timer = self._loop.call_at(deadline, self._expire)

    @property
    def addr(self) -> str:
        """The agent that takes the records, or is tried."""
        return self._links[0].addr if self._courier is None else self._courier.addr


def _call(hook: Callable[[Any], None], what: object) -> None:
    try:
        hook(what)
    except Exception:  # a user's mistake is no reason to lose records
        logger.exception("a hook of the producer raised")


def _words(tally: Tally) -> str:
    return f"{tally.acknowledged:,} acknowledged, {tally.unknown:,} of unknown outcome, {tally.refused:,} not written"
