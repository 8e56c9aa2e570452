"""The producer: records gather into batches, batches fly over one stream, acknowledgements come back in order.

::

    send() -> gathering (256 KiB or 5 ms) -> at most 5 batches in flight -> acknowledged, in order
                                                  |                           unconfirmed: durable on the agent, not known
                                                  |                          to be on as many nodes as asked
                                                  +-- the connection breaks: sent again, in order, over the next one

An acknowledgement means durable on as many nodes as ``acks`` says. What was in flight when a stream broke is in the log
or not; an *idempotent* producer - the default - sends it again to the same agent, which appends it once, also after a
restart. What could not be settled so is *unknown*, and :class:`ProduceError` says how much that is.

Before a batch is sent, the agent has said which log it is: a batch goes again to that log only, and one that nobody
took a connection for was never sent.

Source: KIP-98 (idempotent producer: producer id, epoch, sequence; five in flight).
"""

import asyncio
import os
import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from types import TracebackType
from typing import Self, TypeAlias

import grpc.aio

from proglog import clock
from proglog.api.v1 import batches_pb2, batches_pb2_grpc
from proglog.client.channel import send
from proglog.errors import (
    DeadlineError,
    InvalidRequestError,
    LogClosedError,
    LogFullError,
    OtherLogError,
    PreconditionError,
    ProglogError,
    RecordTooLargeError,
    TooManyCallsError,
    UnavailableError,
    is_out_of_reach,
)
from proglog.record import batch, columns
from proglog.record.batch import HEADER_BYTES, MAX_BATCH_BYTES, NO_PRODUCER
from proglog.record.record import Record
from proglog.tasks import TaskScope
from proglog.wire.contract import ALL_ACKS, LOG_KEY

DEFAULT_BATCH_BYTES = 256 * 1024
DEFAULT_IN_FLIGHT = 16
MAX_REMEMBERED = 5
"""Batches of a producer that a log remembers: more in flight could not be sent again."""
DEFAULT_LINGER = 0.005
RETRY_INTERVAL = 0.1
"""Seconds between two tries to reach an agent that went away; gRPC has its own intervals below that."""
_REFUSALS = (InvalidRequestError, PreconditionError, LogFullError, LogClosedError)
"""After these nothing of a batch is in the log."""
_RECORD_OVERHEAD_BYTES = 8
"""About what a column costs beside a value."""


Stream: TypeAlias = "grpc.aio.StreamStreamCall[batches_pb2.ProduceBatchRequest, batches_pb2.ProduceBatchResponse]"


@dataclass(frozen=True, slots=True)
class Acknowledged:
    """A batch that is durable on as many nodes as asked for."""

    base_offset: int
    end_offset: int
    origin: bytes
    base_sequence: int
    copies: int = 1
    """Nodes on which it is known to be durable."""


class ProduceError(ProglogError):
    """A produce stream broke.

    Attributes:
        cause: Why.
        acknowledged: Records that are durable on as many nodes as asked for.
        unknown: Records that were sent and not answered, and those that were not confirmed in time: they may or may
            not be in the log.
        unsent: Records that were not sent, or were refused: they are not in the log.
    """

    def __init__(self, cause: ProglogError, *, acknowledged: int, unknown: int, unsent: int) -> None:
        super().__init__(
            f"{cause} ({acknowledged:,} records acknowledged, {unknown:,} of unknown outcome, {unsent:,} not sent)"
        )
        self.cause = cause
        self.acknowledged = acknowledged
        self.unknown = unknown
        self.unsent = unsent


class UnconfirmedError(DeadlineError):
    """Records are durable on the agent, and were not confirmed on as many nodes as asked for in time.

    Their outcome is *unknown*, not failed: the other nodes get them when they can. Sending them again would append
    them twice.

    Attributes:
        acknowledged: Records that are durable on as many nodes as asked for.
        unknown: Those that are not known to be.
    """

    def __init__(self, *, acknowledged: int, unknown: int, acks: int) -> None:
        nodes = "every server alive" if acks == ALL_ACKS else f"{acks} nodes"
        super().__init__(
            f"{unknown:,} records are durable on the agent, but were not confirmed on {nodes} in time: their outcome is"
            f" unknown, not failed, and copies may still arrive; do not send them again"
            f" ({acknowledged:,} records acknowledged)"
        )
        self.acknowledged = acknowledged
        self.unknown = unknown


@dataclass(slots=True)
class _Batch:
    data: bytes
    count: int
    size: int
    """Bytes of its records: values, keys and headers."""
    sent: bool = False
    """Whether it may have reached the agent."""


class _Call:
    """One call's end for requests: over when the call is."""

    def __init__(self) -> None:
        self.next = 0
        """Index of the next unanswered batch to send."""
        self.met = False
        """Whether the agent has said which log it is: nothing is sent before."""
        self.over = False
        self.may_send = asyncio.Event()
        """Set when there may be something to send."""

    def end(self) -> None:
        """Let the task that sends end."""
        self.over = True
        self.may_send.set()


class Producer:
    """Made by :meth:`Client.producer`; ``async with`` opens the stream, and flushes and closes it."""

    def __init__(
        self,
        stub: "batches_pb2_grpc.BatchesAsyncStub",
        error_of: Callable[[grpc.aio.AioRpcError], ProglogError],
        *,
        batch_bytes: int = DEFAULT_BATCH_BYTES,
        in_flight: int = DEFAULT_IN_FLIGHT,
        linger: float = DEFAULT_LINGER,
        acks: int = 1,
        ack_timeout: float = 0.0,
        idempotent: bool = True,
        timeout: float = 10.0,
        on_ack: Callable[[Acknowledged], None] | None = None,
        on_retry: Callable[[ProglogError], None] = lambda _: None,
    ) -> None:
        """See :meth:`Client.producer`."""
        self.acknowledged = 0
        """Records that are durable on as many nodes as asked for."""
        self.acknowledged_bytes = 0
        """Bytes of their values, keys and headers."""
        self.unconfirmed = 0
        """Records that are durable on the agent, and not known to be on as many nodes as asked for."""
        self._stub = stub
        self._error_of = error_of
        self._batch_bytes = min(batch_bytes, MAX_BATCH_BYTES // 2)
        self._linger = linger
        self._acks = acks
        self._ack_timeout_ms = max(0, round(ack_timeout * 1000))
        self._idempotent = idempotent
        self._timeout = timeout
        self._on_ack = on_ack
        self._on_retry = on_retry
        self._producer_id = os.urandom(16) if idempotent else NO_PRODUCER
        self._next_sequence = 0
        self._gathered: list[Record] = []
        self._gathered_bytes = 0
        self._unanswered: deque[_Batch] = deque()
        self._waiting = 0
        """Records that wait for a place in flight."""
        self._behind = 0
        """Records of the values being sent that come after those."""
        self._slots = asyncio.Semaphore(min(in_flight, MAX_REMEMBERED) if idempotent else in_flight)
        self._idle = asyncio.Event()
        self._idle.set()
        self._linger_timer: asyncio.TimerHandle | None = None
        self._call = _Call()
        self._ending = False
        self._log: bytes | None = None
        """The log that took the stream."""
        self._retries = 0
        self._broken_at: float | None = None
        self._tasks = TaskScope()
        self._stream: asyncio.Task[None] | None = None
        self._failure: ProglogError | None = None
        self._reported_unconfirmed = 0

    async def __aenter__(self) -> Self:
        """Open the stream."""
        self._stream = self._tasks.start(self._run(), name="producer-stream")
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Flush and close; after an error, close at once."""
        try:
            if kind is None:
                await self.flush()
                self._ending = True
                self._call.may_send.set()
                assert self._stream is not None
                await self._stream
                self._raise_failure()
        finally:
            if self._linger_timer is not None:
                self._linger_timer.cancel()
            await self._tasks.close()
            self._call.end()

    async def send(self, record: Record) -> None:
        """Take one record; waits while too many batches are in flight.

        Raises:
            ProduceError: The stream is broken.
            RecordTooLargeError: The record does not fit into a batch.
        """
        if not record.timestamp_ms:
            record.timestamp_ms = clock.now_ms()
        size = _size(record) + _RECORD_OVERHEAD_BYTES
        if self._gathered_bytes + size > self._batch_bytes:
            await self._send_gathered()  # a large record is a batch of its own: it may fit into no other
        self._gathered.append(record)
        self._gathered_bytes += size
        if self._gathered_bytes >= self._batch_bytes:
            await self._send_gathered()
        elif self._linger_timer is None:
            self._linger_timer = asyncio.get_running_loop().call_later(self._linger, self._linger_over)

    async def send_values(self, values: Sequence[bytes]) -> None:
        """Take many records that are nothing but values: the fast path, in batches of about ``batch_bytes``.

        Raises:
            ProduceError: The stream is broken.
            RecordTooLargeError: A value does not fit into a batch.
        """
        await self._send_gathered()
        self._behind = len(values)
        for part in _parts(values, self._batch_bytes):
            now_ms = clock.now_ms()
            payload = columns.from_values(part)
            self._behind -= len(part)
            await self._dispatch(payload, len(part), sum(map(len, part)), now_ms, now_ms)

    async def flush(self) -> None:
        """Return when everything taken so far is acknowledged.

        Raises:
            UnconfirmedError: Some of it is not known to be on as many nodes as asked for; the producer can go on.
            ProduceError: The stream is broken.
        """
        await self._send_gathered()
        await self._idle.wait()
        self._raise_failure()
        unknown, self._reported_unconfirmed = self.unconfirmed - self._reported_unconfirmed, self.unconfirmed
        if unknown:
            raise UnconfirmedError(acknowledged=self.acknowledged, unknown=unknown, acks=self._acks)

    @property
    def unknown(self) -> int:
        """Records of unknown outcome, if it ended now: sent and not answered, or not confirmed."""
        return self.unconfirmed + sum(each.count for each in self._unanswered if each.sent)

    @property
    def unsent(self) -> int:
        """Records that were taken and not sent, or were refused: they are not in the log."""
        waiting = self._waiting + self._behind + len(self._gathered)
        return waiting + sum(each.count for each in self._unanswered if not each.sent)

    async def _send_gathered(self) -> None:
        if self._linger_timer is not None:
            self._linger_timer.cancel()
            self._linger_timer = None
        if not self._gathered:
            return
        records, self._gathered, self._gathered_bytes = self._gathered, [], 0
        first_ms = records[0].timestamp_ms
        max_ms = max(record.timestamp_ms for record in records)
        size = sum(map(_size, records))
        await self._dispatch(columns.from_records(records, first_ms), len(records), size, first_ms, max_ms)

    def _linger_over(self) -> None:
        self._linger_timer = None
        self._tasks.start(self._send_lingering(), name="producer-linger")

    async def _send_lingering(self) -> None:
        try:
            await self._send_gathered()
        except ProglogError as exc:  # raised again by the next send, flush or exit
            self._failure = self._failure or exc

    async def _dispatch(self, payload: bytes, count: int, size: int, first_ms: int, max_ms: int) -> None:
        if HEADER_BYTES + len(payload) > MAX_BATCH_BYTES:
            raise RecordTooLargeError(HEADER_BYTES + len(payload), MAX_BATCH_BYTES)
        self._waiting += count
        self._idle.clear()
        await self._slots.acquire()
        self._raise_failure()
        # From here on nothing waits: sequences are in the order of sending.
        data = batch.encode(
            payload,
            count=count,
            first_timestamp_ms=first_ms,
            max_timestamp_ms=max_ms,
            producer_id=self._producer_id,
            producer_sequence=self._next_sequence,
        )
        self._next_sequence += count if self._idempotent else 0
        self._waiting -= count
        self._unanswered.append(_Batch(data, count, size))
        self._call.may_send.set()

    async def _run(self) -> None:
        while True:
            try:
                await self._converse()
            except ProglogError as exc:
                if not self._may_try_again(exc):
                    self._fail(exc)
                    return
            except (grpc.aio.UsageError, asyncio.CancelledError):
                task = asyncio.current_task()
                if task is not None and task.cancelling():
                    raise
                self._fail(UnavailableError("the client was closed"))  # gRPC cancels the calls of a closed channel
                return
            else:
                return
            await asyncio.sleep(RETRY_INTERVAL)

    async def _converse(self) -> None:
        """Hold one call: learn which log this is, then send everything that has no answer yet, in order."""
        mine = self._call = _Call()
        call = self._stub.Produce()
        sending = self._tasks.start(self._send_to(call, mine), name="producer-send")
        try:
            async with asyncio.timeout(self._timeout):
                log = dict(await call.initial_metadata() or ()).get(LOG_KEY)
                if not isinstance(log, bytes):
                    await call.code()  # it has failed; reading says how
            if isinstance(log, bytes):
                self._meet(log)
                mine.met = True
            mine.may_send.set()
            while isinstance(response := await call.read(), batches_pb2.ProduceBatchResponse):
                self._acknowledge(response)
        except grpc.aio.AioRpcError as exc:
            raise self._error_of(exc) from exc
        except TimeoutError:
            raise DeadlineError(f"the agent did not answer within {self._timeout:g} s; nothing was sent") from None
        finally:
            mine.end()
            sending.cancel()
            call.cancel()
        if self._unanswered:
            raise UnavailableError("the agent ended the stream before it had answered everything")

    def _meet(self, log: bytes) -> None:
        """Remember the log that took the stream; batches that may be in one log are not sent to another."""
        if self._log not in (None, log) and any(each.sent for each in self._unanswered):
            raise OtherLogError(
                "another log answers at this address now: what was not answered is not sent again,"
                " since copies of it may be in the cluster"
            )
        self._log = log

    async def _send_to(self, stream: Stream, call: _Call) -> None:
        while True:
            await call.may_send.wait()
            while call.met and not call.over and call.next < len(self._unanswered):
                each = self._unanswered[call.next]
                each.sent = True
                call.next += 1
                request = batches_pb2.ProduceBatchRequest(
                    batch=each.data, acks=self._acks, ack_timeout_ms=self._ack_timeout_ms
                )
                if not await send(stream, request.SerializeToString()):
                    return
            if call.over:
                return
            if self._ending:
                await stream.done_writing()
                return
            call.may_send.clear()

    def _acknowledge(self, response: batches_pb2.ProduceBatchResponse) -> None:
        answered = self._unanswered.popleft()
        self._call.next -= 1
        self._broken_at = None
        if response.unconfirmed:
            self.unconfirmed += answered.count
        else:
            self.acknowledged += answered.count
            self.acknowledged_bytes += answered.size
            if self._on_ack is not None:
                self._on_ack(_acknowledged(response))
        self._slots.release()
        if not self._unanswered and not self._waiting:
            self._idle.set()

    def _may_try_again(self, error: ProglogError) -> bool:
        """Return whether the agent, which was there once, may be back in time; or has room for one more then."""
        if isinstance(error, TooManyCallsError):
            pass  # nothing was sent, whatever kind of producer this is
        elif not self._idempotent or self._log is None or not is_out_of_reach(error):
            return False
        now = time.monotonic()
        if self._broken_at is None:
            self._broken_at = now
            self._on_retry(error)
        self._retries += 1
        return now < self._broken_at + self._timeout

    def _fail(self, cause: ProglogError) -> None:
        """Wake whoever waits: from now on every call raises."""
        self._failure = cause
        # A log with room or without it knows what an idempotent producer has sent before: that is no refusal.
        refused = isinstance(cause, LogFullError) and self._idempotent
        if refused or (isinstance(cause, _REFUSALS) and not self._retries):
            for each in self._unanswered:  # what was answered came before: a stream's appends end at the first refusal
                each.sent = False
        self._idle.set()
        for _ in range(1024):
            self._slots.release()

    def _raise_failure(self) -> None:
        if self._failure is not None:
            raise ProduceError(
                self._failure,
                acknowledged=self.acknowledged,
                unknown=self.unknown,
                unsent=self.unsent,
            ) from self._failure


def _size(record: Record) -> int:
    headers = sum(len(name) + len(value) for name, value in record.headers)
    return len(record.value) + len(record.key or b"") + headers


def _acknowledged(response: batches_pb2.ProduceBatchResponse) -> Acknowledged:
    return Acknowledged(
        response.base_offset, response.end_offset, response.origin, response.base_sequence, response.copies
    )


def _parts(values: Sequence[bytes], batch_bytes: int) -> list[Sequence[bytes]]:
    """Cut ``values`` into runs of about ``batch_bytes``, a value at least."""
    total = sum(map(len, values)) + _RECORD_OVERHEAD_BYTES * len(values)
    if total <= batch_bytes:
        return [values] if values else []
    if len(values) == 1:
        return [values]
    if max(map(len, values)) * 4 <= batch_bytes:  # even enough: equal counts, without looking at each
        count = max(1, len(values) * batch_bytes // total)
        return [values[at : at + count] for at in range(0, len(values), count)]
    parts: list[Sequence[bytes]] = []
    start = size = 0
    for at, value in enumerate(values):
        if at > start and size + len(value) > batch_bytes:
            parts.append(values[start:at])
            start, size = at, 0
        size += len(value) + _RECORD_OVERHEAD_BYTES
    return [*parts, values[start:]]
