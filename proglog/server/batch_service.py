"""The fast path, ``proglog.v1.Batches``: whole batches in, slices of the store out."""

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Mapping, Sequence
from functools import partial
from typing import NamedTuple, Self

from proglog.api.v1 import batches_pb2, batches_pb2_grpc
from proglog.errors import DataLossError, InvalidRequestError, OffsetOutOfRangeError, ProglogError
from proglog.log.log import Log
from proglog.log.model import Appended, Outcome, appended_of
from proglog.log.producers import WINDOW
from proglog.record.batch import VerifiedBatch, verify_produced
from proglog.server.acks import Acks, wanted_of
from proglog.server.commit_log import CommitLog, Fence
from proglog.server.context import Context
from proglog.server.same_log import check_same_log
from proglog.server.vector import NO_END, GoneRange, VectorPass, offset_at, pass_from
from proglog.tasks import TaskScope
from proglog.types import Offset, OriginId, SequenceNumber
from proglog.wire.contract import LOG_KEY, WINDOW_KEY
from proglog.wire.cursors import cursor_message, positions_of

MAX_IN_FLIGHT = 64
"""Batches of one stream that wait for their sync."""
INLINE_BYTES = 256 * 1024
"""Largest batch that is checked on the event loop."""
DEFAULT_READ_BYTES = 256 * 1024
MIN_READ_BYTES = 64 * 1024
MAX_READ_BYTES = 2 * 1024 * 1024

Answer = batches_pb2.ProduceBatchResponse | ProglogError
Waiting = asyncio.Queue[asyncio.Future[Outcome] | asyncio.Task[Answer] | None]
"""What becomes of each batch, in order; ``None``: there are no more."""


class BatchService(batches_pb2_grpc.BatchesServicer):
    """Batch produce and batch consume."""

    def __init__(self, commit_log: CommitLog, acks: Acks) -> None:
        """Serve ``commit_log``; ``acks`` waits for copies on other nodes."""
        self._commit_log = commit_log
        self._acks = acks

    async def Produce(  # noqa: N802 - gRPC's name
        self, request_iterator: AsyncIterator[batches_pb2.ProduceBatchRequest], context: Context
    ) -> AsyncIterator[batches_pb2.ProduceBatchResponse]:
        """Append each batch; answer in order, each once it is durable on the requested number of nodes.

        A slow copy delays answers, not the appends of later batches. The stream ends with the first batch that fails: no
        later one is appended.

        Raises:
            InvalidRequestError: A message is not a producer's batch, or makes a false claim; earlier batches are answered
                first.
            TooFewServersError: A batch requests more nodes than there are; it is not appended.
            StorageError: The disk refused.
        """
        await context.send_initial_metadata(((LOG_KEY, self._commit_log.origin), (WINDOW_KEY, str(WINDOW))))
        waiting: Waiting = asyncio.Queue()
        room = asyncio.Semaphore(MAX_IN_FLIGHT)
        async with TaskScope() as tasks:  # at its end, waits are called off: the appends may still happen, unanswered
            receiving = tasks.start(self._receive(request_iterator, waiting, room, tasks), name="produce-receive")
            while (next_one := await waiting.get()) is not None:
                came = await next_one
                yield came if isinstance(came, batches_pb2.ProduceBatchResponse) else _answer(appended_of(came))
                room.release()
            await receiving  # an error that ended it

    async def _receive(
        self,
        requests: AsyncIterator[batches_pb2.ProduceBatchRequest],
        waiting: Waiting,
        room: asyncio.Semaphore,
        tasks: TaskScope,
    ) -> None:
        fence = Fence()
        try:
            async for request in requests:
                acks, timeout_ms = wanted_of(request)
                nodes = self._acks.nodes_for(acks)
                data = request.batch
                del request  # it has the batch, too
                batch = verify_produced(data) if len(data) <= INLINE_BYTES else await self._verified(data)
                await room.acquire()
                outcome = await self._commit_log.queue(batch, fence)
                del data, batch  # the next request may be long in coming
                if nodes == 1:  # nothing else to wait for: no task
                    waiting.put_nowait(outcome)
                else:
                    waiting.put_nowait(tasks.start(self._copied(outcome, nodes, timeout_ms), name="produce-copies"))
        finally:
            waiting.put_nowait(None)

    async def _verified(self, data: bytes) -> VerifiedBatch:
        """Return :func:`verify_produced` of ``data``, off the loop: a large batch may have many records."""
        return await self._commit_log.query(lambda _: verify_produced(data))

    async def _copied(self, outcome: asyncio.Future[Outcome], nodes: int, timeout_ms: int) -> Answer:
        """Return a refusal rather than raise it: the first one ends the stream, and later ones are never awaited."""
        try:
            appended = appended_of(await outcome)
            return _answer(appended, await self._acks.wait(appended, nodes, timeout_ms), nodes)
        except ProglogError as exc:
            return exc

    async def Consume(  # noqa: N802 - gRPC's name
        self, request: batches_pb2.ConsumeBatchesRequest, context: Context
    ) -> AsyncIterator[batches_pb2.ConsumeBatchesResponse]:
        """Yield the resolved range, then batches up to its end; with ``follow``, wait for new ones.

        Raises:
            OffsetOutOfRangeError: A place in the request is not in the log.
            OtherLogError: The offset in the request was read from another log.
            PositionGoneError: The log no longer has the batches that the cursor wants.
            DataLossError: A damaged range is in the way.
        """
        del context
        reading = await _Reading.begin(self._commit_log, request)
        yield reading.first_answer()
        while not reading.over:
            answers = deque(await reading.next_answers())
            while answers:
                yield answers.popleft()  # kept by nothing here while its client does not read


def _answer(appended: Appended, copies: int = 1, nodes: int = 1) -> batches_pb2.ProduceBatchResponse:
    return batches_pb2.ProduceBatchResponse(
        base_offset=appended.base_offset,
        end_offset=appended.end_offset,
        origin=appended.origin,
        base_sequence=appended.base_sequence,
        copies=copies,
        unconfirmed=copies < nodes,
        duplicate=appended.duplicate,
    )


class _Start(NamedTuple):
    """Where a consumer begins and ends, as found in the log."""

    reading: VectorPass
    offset: Offset
    end: Offset


class _Reading:
    """One consumer's progress through its range."""

    def __init__(self, commit_log: CommitLog, request: batches_pb2.ConsumeBatchesRequest, start: _Start) -> None:
        self._commit_log = commit_log
        wanted = request.max_bytes if request.HasField("max_bytes") else DEFAULT_READ_BYTES
        self._max_bytes = max(MIN_READ_BYTES, min(wanted, MAX_READ_BYTES))
        self._skip_gone, self._control = request.skip_gone, request.control_batches
        self._pass, self._offset, self._end = start

    @classmethod
    async def begin(cls, commit_log: CommitLog, request: batches_pb2.ConsumeBatchesRequest) -> Self:
        """Find the start; errors as those of ``Consume``."""
        return cls(commit_log, request, await commit_log.query(partial(_find_start, request)))

    @property
    def over(self) -> bool:
        """Whether everything in the range was sent."""
        return self._offset >= self._end

    def first_answer(self) -> batches_pb2.ConsumeBatchesResponse:
        """Return the resolved range, and the identity of the log."""
        return batches_pb2.ConsumeBatchesResponse(
            start_offset=self._offset,
            end_offset=None if self._end == NO_END else max(self._offset, self._end),
            cursor=cursor_message(self._pass.positions),
            log=self._commit_log.origin,
            gone=_told(self._pass.gone()),
            passed=_told(self._pass.passed()),
        )

    async def next_answers(self) -> list[batches_pb2.ConsumeBatchesResponse]:
        """Wait for the next data and return the wanted part; empty if there is none. Each call is a turn of the loop."""
        await asyncio.sleep(0)  # what is in memory is read without waiting, and what is passed over takes time, too
        reading, data = self._pass, b""
        records = reading.records
        try:
            read = await self._commit_log.read(reading.at, self._max_bytes)
            if read.data:
                data = reading.take(read, self._end)
                self._offset = max(self._offset, reading.offset)
                if reading.suspect is not None:
                    await self._commit_log.query(reading.recheck)
            else:
                reading.at = read.next
                await self._end_reached()
        except DataLossError:
            if not self._skip_gone:
                raise
            reading.pass_damage()
        except OffsetOutOfRangeError:
            # Retention has overtaken the consumer: the answer reports the removed range.
            begin = partial(_begin_pass, reading.positions, self._skip_gone, self._control)
            self._pass, self._offset = await self._commit_log.query(begin)
        passes = (reading,) if reading is self._pass else (reading, self._pass)
        gone = _told([each for one in passes for each in one.gone()])
        passed = _told([each for one in passes for each in one.passed()])
        self._commit_log.records_served += reading.records - records
        if len(data) > MAX_READ_BYTES and (gone or passed):  # together they may be more than a client receives
            return [
                batches_pb2.ConsumeBatchesResponse(gone=gone, passed=passed),
                batches_pb2.ConsumeBatchesResponse(batches=data),
            ]
        if data or gone or passed:
            return [batches_pb2.ConsumeBatchesResponse(batches=data, gone=gone, passed=passed)]
        return []

    async def _end_reached(self) -> None:
        """End the range if the log reaches that far, else wait for data."""
        end_offset = self._pass.finish()
        if end_offset is not None and end_offset >= self._end:
            self._offset = self._end
        elif not self._pass.has_gone:
            await self._commit_log.wait_for_data(self._pass.at)


def _told(ranges: Sequence[GoneRange]) -> list[batches_pb2.Gone]:
    return [
        batches_pb2.Gone(
            origin=each.origin,
            start_sequence=each.start,
            end_sequence=each.end,
            reason=each.reason.value,
            cause=batches_pb2.GoneCause.Value(f"GONE_CAUSE_{each.reason.name}"),
        )
        for each in ranges
    ]


def _find_start(request: batches_pb2.ConsumeBatchesRequest, log: Log) -> _Start:
    end = _end(log, request)
    if request.HasField("cursor"):
        if request.HasField("start"):
            raise InvalidRequestError("a request has a start or a cursor, not both")
        return _Start(*_begin_pass(positions_of(request.cursor), request.skip_gone, request.control_batches, log), end)
    if request.expected_log and request.start.WhichOneof("at") == "offset":
        check_same_log(log, request.expected_log, Offset(request.start.offset))
    offset = _resolve(log, request.start) if request.HasField("start") else log.start_offset
    return _Start(pass_from(log, offset, skip_gone=request.skip_gone, control=request.control_batches), offset, end)


def _begin_pass(
    positions: Mapping[OriginId, SequenceNumber],
    skip_gone: bool,
    control: bool,
    log: Log,
) -> tuple[VectorPass, Offset]:
    begun = VectorPass(log, positions, skip_gone=skip_gone, control=control)
    while True:
        try:
            return begun, offset_at(log, begun.at)
        except DataLossError:
            if not skip_gone:
                raise
            begun.pass_damage()


def _resolve(log: Log, place: batches_pb2.OffsetSpec) -> Offset:
    start, end = log.start_offset, log.end_offset
    match place.WhichOneof("at"):
        case "after_start":
            offset = start + place.after_start
        case "before_end":
            return Offset(max(start, end - place.before_end))
        case "time_ms":
            return log.seek_time(place.time_ms)
        case "offset":
            offset = place.offset
        case _:
            raise InvalidRequestError("a place is empty: set offset, after_start, before_end or time_ms")
    if not start <= offset <= end:
        raise OffsetOutOfRangeError(offset, start, end)
    return Offset(offset)


def _end(log: Log, request: batches_pb2.ConsumeBatchesRequest) -> Offset:
    if not request.HasField("end"):
        return NO_END if request.follow else log.end_offset
    if request.follow and request.end.WhichOneof("at") == "offset":
        return Offset(request.end.offset)  # it may still be to come
    return _resolve(log, request.end)
