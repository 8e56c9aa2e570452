"""The book's ``log.v1.Log``: one record a message, wire-compatible with its clients.

One record per message is slow: a message costs 30-200 us of Python, whatever its size. The service shares what it can: the
records of a produce stream that arrived together become one batch and one sync, and a consume stream decodes each batch
once.

Source: *Distributed Services with Go*, chapters 4 and 7, ``internal/server/server.go``.
"""

import asyncio
from collections.abc import AsyncIterator

from proglog import clock
from proglog.api.v1 import log_pb2, log_pb2_grpc
from proglog.errors import InvalidRequestError, MalformedBatchError, OffsetOutOfRangeError, RecordTooLargeError
from proglog.log.model import Appended, LogRead
from proglog.record import batch, columns
from proglog.record.batch import HEADER_BYTES, MAX_BATCH_BYTES, VerifiedBatch, verify
from proglog.record.scan import batches
from proglog.server.cluster import ClusterView
from proglog.server.commit_log import CommitLog
from proglog.server.context import Context
from proglog.tasks import TaskScope
from proglog.types import Offset
from proglog.wire.model import MemberStatus

READ_BYTES = 128 * 1024
MAX_GATHERED = 1000
"""Most records of a produce stream that become one batch."""
MAX_GATHERED_BYTES = 128 * 1024
"""Most bytes of them; a larger record is a batch of its own."""
INLINE_RECORDS = 8192
"""Most records of a batch that are taken apart on the event loop."""
_END = object()


class LogService(log_pb2_grpc.LogServicer):
    """Serves the book's calls from a commit log."""

    def __init__(self, commit_log: CommitLog, cluster: ClusterView | None = None) -> None:
        """Serve ``commit_log``; without ``cluster``, this server is the only one."""
        self._commit_log = commit_log
        self._cluster = cluster

    async def Produce(self, request: log_pb2.ProduceRequest, context: Context) -> log_pb2.ProduceResponse:  # noqa: N802 - gRPC's name
        """Append one record; answer with its offset once it is durable."""
        del context
        produced = _batch_of([_value(request)])
        del request  # it has the record, too
        appended = await self._commit_log.append(produced)
        return log_pb2.ProduceResponse(offset=appended.base_offset)

    async def ProduceStream(  # noqa: N802 - gRPC's name
        self, request_iterator: AsyncIterator[log_pb2.ProduceRequest], context: Context
    ) -> AsyncIterator[log_pb2.ProduceResponse]:
        """Append each record; answer in order, each once it is durable. Appends don't wait for earlier answers."""
        del context
        arrivals = _Arrivals()
        async with TaskScope() as tasks:
            tasks.start(arrivals.receive(request_iterator), name="produce-stream-receive")
            going = True
            while going:
                values, ending = await arrivals.gather()
                for offset in await self._append(values):
                    yield log_pb2.ProduceResponse(offset=offset)
                if isinstance(ending, BaseException):
                    raise ending
                going = ending is None

    async def Consume(self, request: log_pb2.ConsumeRequest, context: Context) -> log_pb2.ConsumeResponse:  # noqa: N802 - gRPC's name
        """Return the record at an offset, or the next one if the offset is unused.

        Raises:
            OffsetOutOfRangeError: There is none at that offset; the end of the log included.
            DataLossError: It is damaged.
        """
        del context
        log, offset = self._commit_log, Offset(request.offset)
        if offset >= log.end_offset:
            raise OffsetOutOfRangeError(offset, log.start_offset, log.end_offset)
        read = await log.read(await log.query(lambda found: found.seek(offset)), 1)
        while read.data:
            checked = await self._checked(read)
            if checked is None:
                read = await log.read(read.start, 1)
                continue
            for value, at in await self._values(checked[0], offset):
                self._commit_log.records_served += 1
                return log_pb2.ConsumeResponse(record=log_pb2.Record(value=value, offset=at))
            read = await log.read(read.next, 1)  # no record has this offset: the next one is the answer
        raise OffsetOutOfRangeError(offset, log.start_offset, log.end_offset)

    async def ConsumeStream(  # noqa: N802 - gRPC's name
        self, request: log_pb2.ConsumeRequest, context: Context
    ) -> AsyncIterator[log_pb2.ConsumeResponse]:
        """Yield every record from an offset on; at the end of the log, wait for the next.

        Raises:
            OffsetOutOfRangeError: The offset is past the end, or before the start.
            DataLossError: The next batch is damaged.
        """
        del context
        offset = Offset(request.offset)
        read_at = await self._commit_log.query(lambda log: log.seek(offset))
        while True:
            read = await self._commit_log.read(read_at, READ_BYTES)
            if not read.data:
                read_at = read.next
                await self._commit_log.wait_for_data(read_at)
                continue
            checked = await self._checked(read)
            read_at = read.start if checked is None else read.next
            for stored in checked or ():
                for value, at in await self._values(stored, offset):
                    self._commit_log.records_served += 1
                    yield log_pb2.ConsumeResponse(record=log_pb2.Record(value=value, offset=at))

    async def GetServers(self, request: log_pb2.GetServersRequest, context: Context) -> log_pb2.GetServersResponse:  # noqa: N802 - gRPC's name
        """Return the members that serve gRPC and are alive."""
        del request, context
        members = self._cluster.snapshot(segments=False).members if self._cluster else ()
        return log_pb2.GetServersResponse(
            servers=[
                log_pb2.Server(id=member.name, rpc_addr=member.rpc_addr, is_leader=False)
                for member in members
                if member.status is MemberStatus.ALIVE and member.rpc_addr
            ]
        )

    async def _values(self, stored: VerifiedBatch, start: Offset) -> list[tuple[bytes, Offset]]:
        """Return :func:`_values_from`; a batch of many records is not the loop's work."""
        if stored.header.record_count <= INLINE_RECORDS:
            return _values_from(stored, start)
        return await self._commit_log.query(lambda _: _values_from(stored, start))

    async def _checked(self, read: LogRead) -> list[VerifiedBatch] | None:
        """Return the batches of what was read; ``None``: something rotted since it was written, and the log knows it now.

        What is read there next is whole, or the damage.
        """
        try:
            return list(batches(read.data))
        except MalformedBatchError:
            await self._commit_log.query(lambda log: log.recheck(read.start, len(read.data)))
            return None

    async def _append(self, values: list[bytes]) -> list[Offset]:
        if not values:
            return []
        appended: Appended = await self._commit_log.append(_batch_of(values))
        return [Offset(appended.base_offset + index) for index in range(len(values))]


def _value(request: log_pb2.ProduceRequest) -> bytes:
    if not request.HasField("record"):
        raise InvalidRequestError("the request has no record: set ProduceRequest.record")
    size = len(request.record.value) + HEADER_BYTES + 16
    if size > MAX_BATCH_BYTES:
        raise RecordTooLargeError(size, MAX_BATCH_BYTES)
    return request.record.value


def _batch_of(values: list[bytes]) -> VerifiedBatch:
    now_ms = clock.now_ms()
    data = batch.encode(
        columns.from_values(values), count=len(values), first_timestamp_ms=now_ms, max_timestamp_ms=now_ms
    )
    return verify(data)


def _values_from(stored: VerifiedBatch, start: Offset) -> list[tuple[bytes, Offset]]:
    header = stored.header
    if header.is_control or header.end_offset <= start:
        return []
    values = columns.values(stored.payload, header.record_count)
    return [
        (value, Offset(header.base_offset + index))
        for index, value in enumerate(values)
        if header.base_offset + index >= start
    ]


class _Arrivals:
    """What a produce stream has sent and is not being appended yet: one batch, at most; more has to wait."""

    def __init__(self) -> None:
        self._values: list[bytes] = []
        self._bytes = 0
        self._ending: BaseException | object | None = None
        self._some = asyncio.Event()
        self._room = asyncio.Event()

    async def receive(self, requests: AsyncIterator[log_pb2.ProduceRequest]) -> None:
        """Take in each value, then how it ended: ``_END``, or the error."""
        try:
            async for request in requests:
                await self._put(_value(request))
        except asyncio.CancelledError:
            raise
        except Exception as exc:  # noqa: BLE001 - it is raised again where the stream answers
            self._ending = exc
        else:
            self._ending = _END
        self._some.set()

    async def gather(self) -> tuple[list[bytes], BaseException | object | None]:
        """Return what has arrived, one record at least unless that was all, and how the stream ended if it did."""
        await self._some.wait()
        values, self._values, self._bytes = self._values, [], 0
        self._room.set()
        if self._ending is None:
            self._some.clear()
        return values, self._ending

    async def _put(self, value: bytes) -> None:
        while self._values and (self._bytes + len(value) > MAX_GATHERED_BYTES or len(self._values) >= MAX_GATHERED):
            self._room.clear()
            await self._room.wait()
        self._values.append(value)
        self._bytes += len(value)
        self._some.set()
