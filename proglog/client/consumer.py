"""The consumer: a range of a log as a stream of checked batches."""

from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from typing import NamedTuple

import grpc.aio

from proglog.api.v1 import batches_pb2
from proglog.errors import ProglogError, UnavailableError
from proglog.record import scan
from proglog.record.batch import VerifiedBatch
from proglog.record.record import StoredRecord


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


class ConsumeStream:
    """Made by :meth:`Client.consume`; iterate over it. Data batches only: consumers never meet the others."""

    def __init__(
        self,
        call: "grpc.aio.UnaryStreamCall[batches_pb2.ConsumeBatchesRequest, batches_pb2.ConsumeBatchesResponse]",
        error_of: Callable[[grpc.aio.AioRpcError], ProglogError],
    ) -> None:
        self.start_offset = 0
        """First offset of the range; known once :meth:`resolved` has returned or iteration has begun."""
        self.end_offset = 0
        """One past the last offset of the range; 2^63 - 1 when there is no end."""
        self._call = call
        self._responses = aiter(call)
        self._error_of = error_of
        self._resolved = False

    async def resolved(self) -> tuple[int, int]:
        """Return the range that the server resolved.

        Raises:
            ProglogError: The server refused it, or cannot be reached.
        """
        if not self._resolved:
            try:
                first = await anext(self._responses)
            except grpc.aio.AioRpcError as exc:
                raise self._error_of(exc) from exc
            except StopAsyncIteration as exc:
                raise UnavailableError("the agent ended the stream before it said what the range is") from exc
            self.start_offset, self.end_offset = first.start_offset, first.end_offset
            self._resolved = True
        return self.start_offset, self.end_offset

    async def __aiter__(self) -> AsyncIterator[FetchedBatch]:
        """Yield the batches of the range, in order.

        Raises:
            ProglogError: The stream broke, or what came is damaged.
        """
        start, end = await self.resolved()
        try:
            async for response in self._responses:
                for batch in scan.batches(response.batches):
                    header = batch.header
                    if header.record_count and header.end_offset > start and header.base_offset < end:
                        yield FetchedBatch(batch, max(start, header.base_offset), min(end, header.end_offset))
        except grpc.aio.AioRpcError as exc:
            raise self._error_of(exc) from exc
        finally:
            self._call.cancel()

    def cancel(self) -> None:
        """End the stream."""
        self._call.cancel()
