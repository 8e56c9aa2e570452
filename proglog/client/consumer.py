"""The consumer: a range of a log as checked batches, from any agent that has them.

It keeps its position as a cursor, which is valid on every node. So when its agent goes away, restarts, or lacks the next
records, it fails over without missing or repeating any::

    reading from a --- a goes away ---> b: everything after the cursor --- b goes away ---> a, b, a ... until one answers

A range that ends at an offset is of one log: it is read from one agent, and after a restart from the same log only.

A caller never ends it by accident: after a timeout, a cancelled ``get`` or a ``break``, the next call resumes there. It
ends at the end of its range, by :meth:`Consumer.close`, or with an error when no agent can continue; after that error,
another call retries.
"""

import asyncio
import logging
from collections.abc import Callable, Sequence
from types import TracebackType
from typing import Self

from proglog.client.arguments import seconds, whole
from proglog.client.contiguity import Explanation
from proglog.client.cursor import Cursor
from proglog.client.fetched import FetchedBatch, Gone, Passed
from proglog.client.fetcher import Fetcher
from proglog.client.link import Link
from proglog.client.offset_spec import OffsetSpec
from proglog.errors import ClosedError, InvalidRequestError, PositionGoneError, ProglogError, UsageError
from proglog.record import control
from proglog.record.batch import VerifiedBatch
from proglog.record.columns_pb2 import OriginStart
from proglog.replication.progress import FIRST_SEQUENCE
from proglog.tasks import TaskScope
from proglog.types import MAX_ORDINAL, OriginId, SequenceNumber, half_open

logger = logging.getLogger("proglog.client")

MAX_SECONDS = 86_400.0


class Consumer:
    """Made by :meth:`Client.consume`. Iterate over it, or call :meth:`get`; ``async with`` closes it."""

    def __init__(
        self,
        links: Sequence[Link],
        start: OffsetSpec | Cursor | None = None,
        end: OffsetSpec | None = None,
        *,
        follow: bool = False,
        limit: int | None = None,
        skip_gone: bool = False,
        stop_at_gap: bool = False,
        on_gone: Callable[[Gone], None] | None = None,
        on_move: Callable[[str, ProglogError], None] | None = None,
        max_bytes: int = 0,
        timeout: float = 10.0,
        first_contact: float | None = None,
    ) -> None:
        """See :meth:`Client.consume`.

        Raises:
            InvalidRequestError: An argument is not what it may be.
        """
        _check_place("start", start, (OffsetSpec, Cursor))
        _check_place("end", end, (OffsetSpec,))
        self._from_cursor = isinstance(start, Cursor)
        self._left = None if limit is None else whole("limit", limit, 0, MAX_ORDINAL)
        self._skip_gone = skip_gone
        self._stop_at_gap = stop_at_gap
        self._on_gone = on_gone
        self._closed = False
        self._loop: asyncio.AbstractEventLoop | None = None
        self._tasks = TaskScope()
        self._reading: asyncio.Task[None] | None = None
        self._fetcher = Fetcher(
            links,
            start,
            end,
            follow=follow,
            skip_gone=skip_gone,
            on_move=on_move,
            max_bytes=whole("max_bytes", max_bytes, 0, (1 << 32) - 1),
            timeout=timeout,
            first_contact=timeout
            if first_contact is None
            else seconds("first_contact", first_contact, MAX_SECONDS, zero=True),
        )

    # What it is

    @property
    def cursor(self) -> Cursor | None:
        """The position after everything handed out so far, valid on any node. ``None``: not known yet."""
        return Cursor(self._fetcher.positions) if self._fetcher.resolved or self._from_cursor else None

    @property
    def start_offset(self) -> int:
        """First offset of the range in the log that is read; known once :meth:`resolved` has returned."""
        return self._fetcher.start_offset

    @property
    def end_offset(self) -> int | None:
        """One past the last offset of the range; ``None``: it has no end."""
        return self._fetcher.end_offset

    @property
    def log(self) -> bytes:
        """The log that is read: what :meth:`OffsetSpec.offset` takes, so that an offset is not used in another one."""
        return self._fetcher.log

    @property
    def ended(self) -> bool:
        """Whether everything in the range was handed out."""
        return (self._fetcher.over or self._left == 0) and not self._fetcher.arrived

    @property
    def addr(self) -> str:
        """The agent that is read from."""
        return self._fetcher.addr

    def __del__(self) -> None:
        """End the call of a consumer that was forgotten: who reads for it does not know it."""
        loop = getattr(self, "_loop", None)
        if loop is None or loop.is_closed() or self._closed:
            return
        if self._reading is not None:
            loop.call_soon_threadsafe(self._reading.cancel)
        loop.call_soon_threadsafe(self._fetcher.abandon)

    def __repr__(self) -> str:
        state = "closed" if self._closed else "ended" if self.ended else f"at offset {self._fetcher.next_offset}"
        return f"<Consumer of {self.addr}: {state}>"

    # Handing out

    def __aiter__(self) -> Self:
        """Return itself: iterating again after a ``break`` resumes there."""
        return self

    async def __anext__(self) -> FetchedBatch:
        """Return the next batch; errors as those of :meth:`get`."""
        batch = await self.get()
        if batch is None:
            raise StopAsyncIteration
        return batch

    async def get(self, timeout: float | None = None) -> FetchedBatch | None:
        """Return the next batch, or ``None``: nothing came within ``timeout``, or the range has :attr:`ended`.

        Raises:
            ClosedError: It was closed.
            ProglogError: No agent can continue: the most telling of their errors.
        """
        self._check_open()
        self._fetcher.check()
        until = None
        if timeout is not None:
            until = asyncio.get_running_loop().time() + seconds("timeout", timeout, MAX_SECONDS, zero=True)
        while True:
            self._check_open()
            while self._fetcher.arrived:
                try:
                    batch = self._hand_out(self._fetcher.arrived.popleft())
                except PositionGoneError:  # it stays before the gap
                    self._fetcher.arrived.clear()
                    await self._fetcher.drop()
                    raise
                if batch is not None:
                    return batch
            if self.ended:
                await self._fetcher.drop()
                return None
            if not await self._arrival(until):
                return None

    async def resolved(self) -> tuple[int, int | None]:
        """Return the range in offsets of the log that is read, ``[start, end)``; ``None``: it has no end.

        Errors as those of :meth:`get`.
        """
        while not self._fetcher.resolved:
            self._check_open()
            await self._arrival(None)
        return self.start_offset, self.end_offset

    async def close(self) -> None:
        """End the stream; callers waiting for a batch get a ``ClosedError``. Idempotent."""
        self._closed = True
        self._fetcher.arrived.clear()
        await self._tasks.close()
        await self._fetcher.drop()

    async def __aenter__(self) -> Self:
        """Nothing is sent yet."""
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close it."""
        await self.close()

    def _check_open(self) -> None:
        if self._closed:
            raise ClosedError("the consumer was closed")

    async def _arrival(self, until: float | None) -> bool:
        """Wait until something has arrived, or the range is over; return whether, in time.

        A task of the consumer does the reading, so cancelling a waiting caller does not interrupt it.
        """
        if self._reading is None:
            self._fetcher.check()
            self._loop = asyncio.get_running_loop()
            self._reading = self._tasks.start(self._fetcher.read(), name="consumer-read")
            self._reading.add_done_callback(_look)
        reading = self._reading
        if reading.get_loop() is not asyncio.get_running_loop():
            raise UsageError("this consumer belongs to another event loop: make one in each")
        left = None if until is None else max(0.0, until - asyncio.get_running_loop().time())
        done, _ = await asyncio.wait([reading], timeout=left)
        self._check_open()
        if done and self._reading is reading:
            self._reading = None
            reading.result()
        return bool(done)

    def _hand_out(self, arrived: VerifiedBatch | Explanation) -> FetchedBatch | None:
        """Return what of a batch is wanted and was not handed out yet, and count it as handed out."""
        if isinstance(arrived, Gone):
            self._tell_gone(arrived)
            return None
        if isinstance(arrived, Passed):
            self._pass_over(arrived)
            return None
        header = arrived.header
        next_sequence = self._fetcher.positions.get(header.origin, FIRST_SEQUENCE)
        if header.is_control:
            self._fetcher.positions[header.origin] = max(next_sequence, header.next_sequence)
            self._follow_origin(arrived)
            return None
        start = header.base_offset + max(0, next_sequence - header.base_sequence)
        start = max(start, self._fetcher.start_offset)
        end, last = int(header.end_offset), self._fetcher.end_offset
        if last is not None:
            end = min(end, last)
        if self._left is not None:
            end = min(end, start + self._left)
        if start >= end:
            return None
        if self._left is not None:
            self._left -= end - start
            if self._left == 0:
                self._fetcher.arrived.clear()
        batch = FetchedBatch(arrived, start, end, dict(self._fetcher.positions))
        self._fetcher.positions[header.origin] = SequenceNumber(header.base_sequence + end - header.base_offset)
        self._fetcher.next_offset = end
        return batch

    def _tell_gone(self, gone: Gone) -> None:
        if self._stop_at_gap and not self._skip_gone:
            raise PositionGoneError(gone.origin, gone.start, gone.end, gone.reason)
        self._pass_over(gone)
        logger.warning(
            "%s: gone: sequences %s of origin %s: %s",
            self.addr, half_open(gone.start, gone.end), gone.origin.hex()[:8], gone.reason,
        )  # fmt: skip
        if self._on_gone is not None:
            self._on_gone(gone)

    def _pass_over(self, explanation: Explanation) -> None:
        origin = OriginId(explanation.origin)
        if explanation.end > self._fetcher.positions.get(origin, FIRST_SEQUENCE):
            self._fetcher.positions[origin] = SequenceNumber(explanation.end)

    def _follow_origin(self, batch: VerifiedBatch) -> None:
        """The log continues under another origin: its offsets keep their meaning."""
        data = control.parse(batch.payload)
        if isinstance(data, OriginStart) and self.log and data.previous_origin == self.log:
            self._fetcher.log = batch.header.origin


def _look(reading: asyncio.Task[None]) -> None:
    """Retrieve the task's error: its caller may be gone, and another call retries."""
    if not reading.cancelled():
        reading.exception()


def _check_place(name: str, place: object, kinds: tuple[type, ...]) -> None:
    if place is not None and not isinstance(place, kinds):
        hint = f": OffsetSpec.offset({place})" if isinstance(place, int) else ""
        expected = "an OffsetSpec or a Cursor" if name == "start" else "an OffsetSpec"
        raise InvalidRequestError(f"{name} is {expected}, not {type(place).__name__}{hint}")
