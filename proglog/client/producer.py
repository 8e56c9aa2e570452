"""The producer: records gather into batches, batches fly over one stream, acknowledgements come back in order.

::

    send() -> gathering (128 KiB or 5 ms) -> at most 16 batches in flight -> acknowledged, in order

An acknowledgement means durable on the agent. When the stream breaks, what was in flight is *unknown*: it may or may
not be in the log, and :class:`ProduceError` says how much is which.
"""

import asyncio
import time
from collections import deque
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass
from types import TracebackType
from typing import Self

import grpc.aio

from proglog.api.v1 import batches_pb2, batches_pb2_grpc
from proglog.errors import AccessError, ProglogError
from proglog.record import batch, columns
from proglog.record.batch import MAX_BATCH_BYTES
from proglog.record.record import Record

DEFAULT_BATCH_BYTES = 128 * 1024
DEFAULT_IN_FLIGHT = 16
DEFAULT_LINGER = 0.005
_RECORD_OVERHEAD_BYTES = 8
"""About what a column costs beside a value."""


@dataclass(frozen=True, slots=True)
class Acknowledged:
    """A batch that is durable."""

    base_offset: int
    end_offset: int
    origin: bytes
    base_sequence: int


class ProduceError(ProglogError):
    """A produce stream broke.

    Attributes:
        cause: Why.
        acknowledged: Records that are durable.
        unknown: Records that were sent and not answered: they may or may not be in the log.
        unsent: Records that were not sent.
    """

    def __init__(self, cause: ProglogError, *, acknowledged: int, unknown: int, unsent: int) -> None:
        super().__init__(
            f"{cause} ({acknowledged:,} records acknowledged, {unknown:,} of unknown outcome, {unsent:,} not sent)"
        )
        self.cause = cause
        self.acknowledged = acknowledged
        self.unknown = unknown
        self.unsent = unsent


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
        on_ack: Callable[[Acknowledged], None] | None = None,
    ) -> None:
        self.acknowledged = 0
        """Records that are durable on the agent."""
        self._stub = stub
        self._error_of = error_of
        self._batch_bytes = min(batch_bytes, MAX_BATCH_BYTES // 2)
        self._linger = linger
        self._acks = acks
        self._on_ack = on_ack
        self._gathered: list[Record] = []
        self._gathered_bytes = 0
        self._outbox: asyncio.Queue[tuple[bytes, int] | None] = asyncio.Queue(1)
        self._in_flight: deque[int] = deque()
        self._slots = asyncio.Semaphore(in_flight)
        self._idle = asyncio.Event()
        self._idle.set()
        self._unsent = 0
        self._linger_timer: asyncio.TimerHandle | None = None
        self._lingering: asyncio.Task[None] | None = None
        self._stream: asyncio.Task[None] | None = None
        self._failure: ProglogError | None = None

    async def __aenter__(self) -> Self:
        """Open the stream."""
        self._stream = asyncio.create_task(self._run(), name="producer-stream")
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Flush and close; after an error, close at once."""
        try:
            if kind is None:
                await self.flush()
                await self._outbox.put(None)
                assert self._stream is not None
                await self._stream
                self._raise_failure()
        finally:
            if self._linger_timer is not None:
                self._linger_timer.cancel()
            if self._stream is not None:
                self._stream.cancel()
                await asyncio.gather(self._stream, return_exceptions=True)
            self._end_requests()

    async def send(self, record: Record) -> None:
        """Take one record; waits while too many batches are in flight.

        Raises:
            ProduceError: The stream is broken.
            RecordTooLargeError: The record does not fit into a batch.
        """
        if not record.timestamp_ms:
            record.timestamp_ms = _now_ms()
        self._gathered.append(record)
        self._gathered_bytes += len(record.value) + len(record.key or b"") + _RECORD_OVERHEAD_BYTES
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
        for part in _parts(values, self._batch_bytes):
            now_ms = _now_ms()
            payload = columns.from_values(part)
            data = batch.encode(payload, count=len(part), first_timestamp_ms=now_ms, max_timestamp_ms=now_ms)
            await self._dispatch(data, len(part))

    async def flush(self) -> None:
        """Return when everything taken so far is acknowledged.

        Raises:
            ProduceError: The stream is broken.
        """
        await self._send_gathered()
        await self._idle.wait()
        self._raise_failure()

    async def _send_gathered(self) -> None:
        if self._linger_timer is not None:
            self._linger_timer.cancel()
            self._linger_timer = None
        if not self._gathered:
            return
        records, self._gathered, self._gathered_bytes = self._gathered, [], 0
        first_ms = records[0].timestamp_ms
        data = batch.encode(
            columns.from_records(records, first_ms),
            count=len(records),
            first_timestamp_ms=first_ms,
            max_timestamp_ms=max(record.timestamp_ms for record in records),
        )
        await self._dispatch(data, len(records))

    def _linger_over(self) -> None:
        self._linger_timer = None
        self._lingering = asyncio.create_task(self._send_lingering(), name="producer-linger")

    async def _send_lingering(self) -> None:
        try:
            await self._send_gathered()
        except ProglogError as exc:  # raised again by the next send, flush or exit
            self._failure = self._failure or exc

    async def _dispatch(self, data: bytes, count: int) -> None:
        self._unsent += count
        self._idle.clear()
        await self._slots.acquire()
        self._raise_failure()
        await self._outbox.put((data, count))

    async def _run(self) -> None:
        try:
            call = self._stub.Produce(self._requests())
            async for response in call:
                self._acknowledge(response)
        except grpc.aio.AioRpcError as exc:
            self._fail(self._error_of(exc))
        else:
            if self._in_flight:
                self._fail(ProglogError("the agent ended the stream before it had answered everything"))

    async def _requests(self) -> AsyncIterator[batches_pb2.ProduceBatchRequest]:
        while (item := await self._outbox.get()) is not None:
            data, count = item
            self._in_flight.append(count)
            self._unsent -= count
            yield batches_pb2.ProduceBatchRequest(batch=data, acks=self._acks)

    def _acknowledge(self, response: batches_pb2.ProduceBatchResponse) -> None:
        self.acknowledged += self._in_flight.popleft()
        self._slots.release()
        if self._on_ack is not None:
            self._on_ack(
                Acknowledged(response.base_offset, response.end_offset, response.origin, response.base_sequence)
            )
        if not self._in_flight and not self._unsent:
            self._idle.set()

    def _fail(self, cause: ProglogError) -> None:
        """Wake whoever waits: from now on every call raises."""
        self._failure = cause
        if isinstance(cause, AccessError) and not self.acknowledged:
            # Who may not produce has appended nothing: that much is known.
            self._unsent += sum(self._in_flight)
            self._in_flight.clear()
        self._idle.set()
        for _ in range(1024):
            self._slots.release()
        while not self._outbox.empty():
            self._outbox.get_nowait()

    def _end_requests(self) -> None:
        """Let the call's own task end: it may still wait for something to send."""
        while not self._outbox.empty():
            self._outbox.get_nowait()
        self._outbox.put_nowait(None)

    def _raise_failure(self) -> None:
        if self._failure is not None:
            raise ProduceError(
                self._failure,
                acknowledged=self.acknowledged,
                unknown=sum(self._in_flight),
                unsent=self._unsent + len(self._gathered),
            ) from self._failure


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


def _now_ms() -> int:
    return time.time_ns() // 1_000_000
