"""The consumer: a range of a log as a stream of checked batches."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Iterable, Iterator, Sequence
from typing import NamedTuple, TypeAlias

import grpc.aio

from proglog.api.v1 import batches_pb2
from proglog.client.channel import BUSY_INTERVAL, failures, understood
from proglog.client.cursor import Cursor
from proglog.errors import ProglogError, TooManyCallsError, UnavailableError
from proglog.record import control, scan
from proglog.record.batch import VerifiedBatch
from proglog.record.columns_pb2 import OriginStart
from proglog.record.record import StoredRecord
from proglog.replication.progress import FIRST_SEQUENCE
from proglog.types import OriginId, SequenceNumber
from proglog.wire.cursors import positions_of

Call: TypeAlias = "grpc.aio.UnaryStreamCall[batches_pb2.ConsumeBatchesRequest, batches_pb2.ConsumeBatchesResponse]"


class FetchedBatch(NamedTuple):
    """A batch whose checksums agree, and which of its offsets were asked for."""

    batch: VerifiedBatch
    start_offset: int
    end_offset: int

    def values(self) -> Sequence[bytes]:
        """Return the values in ``[start_offset, end_offset)``: the fast path.

        Raises:
            MalformedBatchError: The columns do not agree with the header.
        """
        base = self.batch.header.base_offset
        values = scan.values(self.batch)
        if self.start_offset == base and self.end_offset == self.batch.header.end_offset:
            return values
        return values[self.start_offset - base : self.end_offset - base]

    def records(self) -> Iterator[StoredRecord]:
        """Yield the records in ``[start_offset, end_offset)``, with their places.

        Raises:
            MalformedBatchError: As :meth:`values`.
        """
        for record in scan.records(self.batch):
            if self.start_offset <= record.offset < self.end_offset:
                yield record


class Gone(NamedTuple):
    """Sequences in ``[start, end)`` that a consumer did not get: nobody, or not this node, has them any more."""

    origin: bytes
    start: int
    end: int
    reason: str


class ConsumeStream:
    """Made by :meth:`Client.consume`; iterate over it. Data batches only: consumers never meet the others."""

    def __init__(
        self,
        open_call: Callable[[], Call],
        error_of: Callable[[grpc.aio.AioRpcError], ProglogError],
        *,
        limit: int | None = None,
        timeout: float = 10.0,
        on_gone: Callable[[Gone], None] = lambda _: None,
        on_log: Callable[[bytes], None] = lambda _: None,
    ) -> None:
        """See :meth:`Client.consume`."""
        self.start_offset = 0
        """First offset of the range; known once :meth:`resolved` has returned or iteration has begun."""
        self.end_offset = 0
        """One past the last offset of the range; 2^63 - 1 when there is no end."""
        self.log = b""
        """The log that is read: what :meth:`OffsetSpec.offset` takes, so that an offset is not used in another one."""
        self._open_call = open_call
        self._call = open_call()
        self._responses = aiter(self._call)
        self._timeout = timeout
        self._error_of = error_of
        self._left = limit
        self._on_gone = on_gone
        self._on_log = on_log
        self._positions: dict[OriginId, SequenceNumber] = {}
        self._resolved = False
        self._ended = False

    @property
    def is_resolved(self) -> bool:
        """Whether the server has said what the range is."""
        return self._resolved

    @property
    def cursor(self) -> Cursor:
        """Everything handed out so far, and everything before the range: where to go on, at any node."""
        return Cursor(self._positions)

    async def resolved(self) -> tuple[int, int]:
        """Return the range that the server resolved.

        Raises:
            ProglogError: The server refused it, or cannot be reached.
        """
        if not self._resolved:
            first = await self._first()
            self.start_offset, self.end_offset = first.start_offset, first.end_offset
            self._positions = positions_of(first.cursor)
            self._go_on_in(first.log)
            self._resolved = True
            self._tell_gone(first.gone)
        return self.start_offset, self.end_offset

    async def _first(self) -> batches_pb2.ConsumeBatchesResponse:
        """Return the first response; a server that has too many calls under way is asked again, within the timeout."""
        until = time.monotonic() + self._timeout
        while True:
            try:
                with failures(self._error_of):
                    return understood(await anext(self._responses), "the agent")
            except TooManyCallsError:
                if time.monotonic() + BUSY_INTERVAL >= until:
                    raise
            except StopAsyncIteration as exc:
                raise UnavailableError("the agent ended the stream before it said what the range is") from exc
            await asyncio.sleep(BUSY_INTERVAL)
            self._call = self._open_call()
            self._responses = aiter(self._call)

    async def __aiter__(self) -> AsyncIterator[FetchedBatch]:
        """Yield the batches of the range, in order.

        Raises:
            ProglogError: The stream broke, or what came is damaged.
        """
        try:
            with failures(self._error_of):
                await self.resolved()
                async for message in self._responses if self._left != 0 else _nothing():
                    response = understood(message, "the agent")
                    for batch in scan.batches(response.batches):
                        fetched = self._wanted(batch)
                        if fetched is not None:
                            yield fetched
                        if self._left == 0:
                            return
                    self._tell_gone(response.gone)  # behind the batches: some of them may stand before what is gone
        except UnavailableError:
            if not self._ended:
                raise
        finally:
            self._call.cancel()

    def cancel(self) -> None:
        """End the stream; whoever iterates over it finds its end."""
        self._ended = True
        self._call.cancel()

    def _wanted(self, batch: VerifiedBatch) -> FetchedBatch | None:
        """Return what of a batch is in the range and was not handed out yet, and count it as handed out."""
        header = batch.header
        next_sequence = self._positions.get(header.origin, FIRST_SEQUENCE)
        if header.is_control:
            self._positions[header.origin] = max(next_sequence, header.next_sequence)
            self._follow_origin(batch)
            return None
        start = header.base_offset + max(0, next_sequence - header.base_sequence)
        start = max(start, self.start_offset)
        end = min(self.end_offset, header.end_offset)
        if self._left is not None:
            end = min(end, start + self._left)
        if start >= end:
            return None
        if self._left is not None:
            self._left -= end - start
        self._positions[header.origin] = SequenceNumber(header.base_sequence + end - header.base_offset)
        return FetchedBatch(batch, start, end)

    def _follow_origin(self, batch: VerifiedBatch) -> None:
        """The log goes on under another origin: what its offsets mean stays the same."""
        data = control.parse(batch.payload)
        if isinstance(data, OriginStart) and self.log and data.previous_origin == self.log:
            self._go_on_in(batch.header.origin)

    def _go_on_in(self, log: bytes) -> None:
        self.log = log
        self._on_log(log)

    def _tell_gone(self, gone: Iterable[batches_pb2.Gone]) -> None:
        for each in gone:
            origin = OriginId(each.origin)
            if each.end_sequence > self._positions.get(origin, FIRST_SEQUENCE):
                self._positions[origin] = SequenceNumber(each.end_sequence)
            self._on_gone(Gone(each.origin, each.start_sequence, each.end_sequence, each.reason))


async def _nothing() -> AsyncIterator[batches_pb2.ConsumeBatchesResponse]:
    return
    yield  # makes it a generator
