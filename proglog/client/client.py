"""The client of one agent: a channel, and the calls over it. All failures are ``ProglogError``."""

import asyncio
import time
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable
from types import TracebackType
from typing import Self, TypeVar

import grpc.aio

from proglog.api.v1 import (
    batches_pb2,
    batches_pb2_grpc,
    cluster_pb2,
    cluster_pb2_grpc,
    log_pb2,
    log_pb2_grpc,
    losses_pb2,
    losses_pb2_grpc,
)
from proglog.client.channel import BUSY_INTERVAL, error_of, failures, open_channel, understood
from proglog.client.consumer import ConsumeStream, Gone
from proglog.client.cursor import Cursor
from proglog.client.membership_client import MembershipClient
from proglog.client.offset_spec import OffsetSpec
from proglog.client.positions import NamedPosition, check_name, named_position_of
from proglog.client.producer import (
    DEFAULT_BATCH_BYTES,
    DEFAULT_IN_FLIGHT,
    DEFAULT_LINGER,
    Acknowledged,
    Producer,
)
from proglog.errors import NotFoundError, ProglogError, RecordTooLargeError, TooManyCallsError
from proglog.record.batch import HEADER_BYTES, MAX_BATCH_BYTES
from proglog.security.tls import TLSFiles
from proglog.wire.contract import MAX_PROBLEMS
from proglog.wire.convert import SnapshotReader, from_message
from proglog.wire.cursors import cursor_message
from proglog.wire.model import ClusterSnapshot, DamagedRange, Verified

Answer = TypeVar("Answer")


class Client:
    """One agent, seen from outside. ``async with`` closes it."""

    def __init__(self, addr: str, *, tls: TLSFiles | None = None, timeout: float = 10.0) -> None:
        self.addr = addr
        self.tls = tls
        self.timeout = timeout
        self._read_from = b""
        """The log that offsets known to whoever uses this client come from."""
        self._channel = open_channel(addr, tls)
        self._log = log_pb2_grpc.LogStub(self._channel)
        self._batches = batches_pb2_grpc.BatchesStub(self._channel)
        self._positions = batches_pb2_grpc.PositionsStub(self._channel)
        self._cluster = cluster_pb2_grpc.ClusterStub(self._channel)
        self.membership = MembershipClient(self._channel, addr, timeout, self._answer, self._error_of)
        """Serf's commands."""
        self._losses = losses_pb2_grpc.LossesStub(self._channel)

    async def __aenter__(self) -> Self:
        """Nothing is sent yet."""
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close the channel."""
        await self.close()

    async def close(self) -> None:
        """Close the channel; calls under way end. Idempotent."""
        await self._channel.close()

    async def produce_value(self, value: bytes) -> int:
        """Append one record by the book's call; return its offset once it is durable.

        Raises:
            RecordTooLargeError: It does not fit into a batch.
        """
        if HEADER_BYTES + len(value) > MAX_BATCH_BYTES:  # a server would not even receive it
            raise RecordTooLargeError(HEADER_BYTES + len(value), MAX_BATCH_BYTES)
        request = log_pb2.ProduceRequest(record=log_pb2.Record(value=value))
        response = await self._answer(self._log.Produce, request)
        return response.offset

    async def consume_value(self, offset: int) -> bytes:
        """Return the value of one record by the book's call.

        Raises:
            OffsetOutOfRangeError: There is no record at ``offset``.
        """
        request = log_pb2.ConsumeRequest(offset=offset)
        response = await self._answer(self._log.Consume, request)
        return response.record.value

    def producer(
        self,
        *,
        batch_bytes: int = DEFAULT_BATCH_BYTES,
        in_flight: int = DEFAULT_IN_FLIGHT,
        linger: float = DEFAULT_LINGER,
        acks: int = 1,
        ack_timeout: float = 0.0,
        idempotent: bool = True,
        on_ack: Callable[[Acknowledged], None] | None = None,
        on_retry: Callable[[ProglogError], None] = lambda _: None,
    ) -> Producer:
        """Return a producer, to be used with ``async with``.

        Args:
            batch_bytes: A batch is sent when it has about so many.
            in_flight: Batches sent and not yet acknowledged, at most; an idempotent producer has at most five.
            linger: Seconds that a record waits for company.
            acks: Nodes on which a batch is durable before it is acknowledged; ``ALL``: every server alive.
            ack_timeout: Seconds that the other nodes have for that; 0: the agent's default, 10.
            idempotent: Send again, when a connection broke, what was not answered: to the same log, which appends it
                once. For as long as the client's timeout.
            on_ack: Called for each acknowledged batch, in order.
            on_retry: Told why the stream broke that is now tried again; once each time it breaks.
        """
        return Producer(
            self._batches,
            self._error_of,
            batch_bytes=batch_bytes,
            in_flight=in_flight,
            linger=linger,
            acks=acks,
            ack_timeout=ack_timeout,
            idempotent=idempotent,
            timeout=self.timeout,
            on_ack=on_ack,
            on_retry=on_retry,
        )

    def consume(
        self,
        start: OffsetSpec | Cursor | None = None,
        end: OffsetSpec | None = None,
        *,
        follow: bool = False,
        limit: int | None = None,
        skip_gone: bool = False,
        on_gone: Callable[[Gone], None] = lambda _: None,
        max_bytes: int = 0,
    ) -> ConsumeStream:
        """Return a stream of the batches from ``start`` to ``end``.

        An offset is refused (``OtherLogError``) when this client, or whoever made the place, has read from another log
        than the one that answers now.

        Args:
            start: A place in this agent's log; or a cursor, of any agent. Left out: the start of the log.
            end: Left out: the end of the log as it is when the call arrives, or none with ``follow``.
            follow: Wait at the end of the log for more.
            limit: Hand out so many records at most.
            skip_gone: With a cursor: go on where records that it wants are gone, instead of ``PositionGoneError``.
            on_gone: Told what is gone; with a cursor, also of what no node could give.
            max_bytes: Soft limit of a message; 0: the server's choice.
        """
        request = batches_pb2.ConsumeBatchesRequest(
            end=_place(end), follow=follow, max_bytes=max_bytes, skip_gone=skip_gone
        )
        if isinstance(start, Cursor):
            request.cursor.CopyFrom(cursor_message(start.positions))
        elif start is not None:
            request.start.CopyFrom(batches_pb2.OffsetSpec(**{start.kind.value: start.value}))
            request.expected_log = start.log or self._read_from
        return ConsumeStream(
            lambda: self._batches.Consume(request),
            self._error_of,
            limit=limit,
            timeout=self.timeout,
            on_gone=on_gone,
            on_log=self._remember_log,
        )

    def _remember_log(self, log: bytes) -> None:
        self._read_from = log

    async def commit_position(
        self, name: str, cursor: Cursor, *, epoch: int = 0, acks: int = 2, ack_timeout: float = 1.0
    ) -> int:
        """Keep ``cursor`` in the cluster under ``name``; return on how many nodes it is known to be durable.

        Commits of one epoch join: the later position of each origin counts, in whatever order they arrive.

        Args:
            name: 1 to 128 printable characters. One consumer at a time.
            cursor: What was consumed.
            epoch: A higher one than the name has starts over, be it backwards.
            acks: Nodes that it should be on before this returns; no more than there are.
            ack_timeout: Seconds to wait for the others; without them it is durable on this agent, and on its way.

        Raises:
            PreconditionError: The name has a higher epoch.
        """
        request = batches_pb2.CommitPositionRequest(
            name=name,
            epoch=epoch,
            cursor=cursor_message(cursor.positions),
            acks=acks,
            ack_timeout_ms=round(ack_timeout * 1000),
        )
        response = await self._answer(self._positions.Commit, request, ack_timeout)
        return response.copies

    async def positions(self, name: str = "") -> list[NamedPosition]:
        """Return the named positions that the agent knows; only that of ``name`` if one is given.

        Raises:
            InvalidRequestError: No position can have that name.
        """
        request = batches_pb2.ListPositionsRequest(name=check_name(name) if name else "")
        response = await self._answer(self._positions.List, request)
        return [named_position_of(each) for each in response.positions]

    async def status(self, *, segments: bool = False) -> ClusterSnapshot:
        """Return what the agent says about itself and its cluster."""
        request = cluster_pb2.GetStatusRequest(segments=segments)
        return from_message(await self._answer(self._cluster.GetStatus, request))

    async def watch(
        self, *, min_interval: float = 0.2, segments: bool = False, of_itself: bool = False
    ) -> AsyncIterator[ClusterSnapshot]:
        """Yield a snapshot at once, then whenever something changed, at most one in ``min_interval`` seconds.

        Args:
            min_interval: Seconds.
            segments: With the list of segments.
            of_itself: Without peers and events, which are most of a snapshot in a large cluster.
        """
        request = cluster_pb2.WatchRequest(min_interval_ms=int(min_interval * 1000), segments=segments)
        call = self._cluster.Watch(request)
        reader = SnapshotReader()
        try:
            with failures(self._error_of):
                async for message in call:
                    status = understood(message, self.addr)
                    if of_itself:
                        status.ClearField("peers")
                        status.ClearField("events")
                    yield reader.read(status)
        finally:
            call.cancel()

    async def verify(self, base_offset: int | None = None) -> AsyncGenerator[Verified, None]:
        """Have the agent check a segment of its log, or all of it; yield how far it is, the last one ``finished``.

        Args:
            base_offset: Where the segment begins.

        Raises:
            NotFoundError: No segment begins there.
            OverloadedError: Somebody else's verification runs.
        """
        call = self._cluster.Verify(cluster_pb2.VerifyRequest(base_offset=base_offset))
        problems: tuple[DamagedRange, ...] = ()
        try:
            with failures(self._error_of):
                async for done in call:
                    found = tuple(
                        DamagedRange(start_offset=each.start_offset, end_offset=each.end_offset, detail=each.detail)
                        for each in done.problems
                    )
                    problems = (*problems, *found)[:MAX_PROBLEMS]
                    yield Verified(
                        bytes_done=done.bytes_done,
                        bytes_total=done.bytes_total,
                        batches=done.batches,
                        records=done.records,
                        problems=problems,
                        finished=done.finished,
                    )
        finally:
            call.cancel()

    async def force_leave(self, name: str, *, prune: bool = False) -> None:
        """Say that a member that failed has left for good; with ``prune``, have everybody forget it at once.

        Raises:
            NotFoundError: Nobody of that name is known.
            PreconditionError: It is the agent itself, or not gone.
        """
        if not name.isprintable():
            raise NotFoundError(f"no member is called {name!r}")
        request = cluster_pb2.ForceLeaveRequest(name=name, prune=prune)
        await self._answer(self._cluster.ForceLeave, request)

    async def accept_losses(self, start_offset: int, end_offset: int, reason: str) -> int:
        """Say that nobody can give back what is damaged between two offsets of the agent's log; return how many ranges.

        They alarm nobody any more. Should a peer turn up that has the records, they are put back all the same.

        Args:
            start_offset: Damaged ranges that begin here or later...
            end_offset: ...and end here or before: one past the last offset.
            reason: In words, at most 500 characters.

        Raises:
            NotFoundError: Nothing is damaged there.
            InvalidRequestError: There is no reason, or the range is none.
        """
        request = losses_pb2.AcceptLossRequest(start_offset=start_offset, end_offset=end_offset, reason=reason)
        return (await self._answer(self._losses.Accept, request)).ranges

    async def _answer(
        self, method: Callable[..., Awaitable[Answer]], request: object, ack_timeout: float = 0.0
    ) -> Answer:
        """Call, and call again while the server has too many calls under way, within the timeout."""
        until = time.monotonic() + self.timeout + ack_timeout
        while True:
            try:
                with failures(self._error_of):
                    return understood(await method(request, timeout=max(until - time.monotonic(), 0.001)), self.addr)
            except TooManyCallsError:
                if time.monotonic() + BUSY_INTERVAL >= until:
                    raise
            await asyncio.sleep(BUSY_INTERVAL)

    def _error_of(self, exc: grpc.aio.AioRpcError) -> ProglogError:
        return error_of(exc, self.addr, self.tls)


def _place(place: OffsetSpec | None) -> batches_pb2.OffsetSpec | None:
    return None if place is None else batches_pb2.OffsetSpec(**{place.kind.value: place.value})
