"""The source's end of ``Replicate``: pushes durable batches of the wanted origins down the open stream.

:mod:`proglog.server.feed` decides what to send; this module waits: for the follower's requests, for durable data, and for
the next time to report positions. Small batches are coalesced. Nothing polls. Flow control is gRPC's: a follower that does
not read stops the generator at its ``yield``, with one message in memory.
"""

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Mapping
from functools import partial

import grpc.aio

from proglog.api.v1 import replication_pb2 as pb
from proglog.api.v1 import replication_pb2_grpc
from proglog.errors import DataLossError, InvalidRequestError, OffsetOutOfRangeError, OriginChangedError
from proglog.replication.progress import Progress
from proglog.replication.ranges import NO_RANGES, Ranges
from proglog.server.commit_log import CommitLog
from proglog.server.context import Context
from proglog.server.feed import Feed, answer_from
from proglog.server.followers import Followers
from proglog.server.own_origin import OwnOrigin, hear
from proglog.server.range_reader import READ_BYTES, read_range
from proglog.tasks import TaskScope
from proglog.types import NodeName, OriginId, SequenceNumber
from proglog.wire.replication import (
    Hello,
    check_origins,
    check_reads_batches,
    event_message,
    hello_message,
    hello_of,
    origin_of,
    position_message,
    position_of,
)

POSITIONS_INTERVAL = 0.2
"""Seconds between two reports of positions; the first after a quiet time is sent at once."""
COALESCE_SECONDS = 0.004
"""Seconds after a small message before the next one, while no producer waits for copies: one message and one sync per
record and follower slow a producer on the same machine. The first after a quiet time is sent at once."""
SMALL_BYTES = 16 * 1024


class ReplicationService(replication_pb2_grpc.ReplicationServicer):
    """Serves every origin that the log holds, not only the node's own: a dead node's records reach late joiners."""

    name = "proglog.v1.Replication"

    def __init__(
        self, commit_log: CommitLog, followers: Followers, *, node_name: NodeName, own_origin: OwnOrigin | None = None
    ) -> None:
        """Serve ``commit_log``; ``own_origin`` is shared with the replicator, which acts on what followers reveal."""
        self._commit_log = commit_log
        self._followers = followers
        self._node_name = node_name
        self._own_origin = own_origin or OwnOrigin(commit_log)
        self._sessions: set[_Session] = set()
        self._kept: dict[OriginId, tuple[SequenceNumber, Ranges, Ranges]] = {}
        """Floor, gaps and damage of each origin that moved, as last seen."""

    def moved(self, moved: Mapping[OriginId, Progress]) -> None:
        """Wake the streams after changes that come without data: records lost, restored or removed."""
        woken = False
        for origin, progress in moved.items():
            kept = (progress.floor_sequence, progress.gaps, progress.damaged)
            woken |= self._kept.get(origin, (progress.floor_sequence, NO_RANGES, NO_RANGES)) != kept
            self._kept[origin] = kept
        for session in self._sessions if woken else ():
            session.said.set()

    def register(self, server: grpc.aio.Server) -> None:
        """Add the service to ``server``."""
        replication_pb2_grpc.add_ReplicationServicer_to_server(self, server)

    async def Replicate(  # noqa: N802 - gRPC's name
        self, request_iterator: AsyncIterator[pb.ReplicateRequest], context: Context
    ) -> AsyncIterator[pb.ReplicateResponse]:
        """Serve one follower until it disconnects."""
        del context
        requests = aiter(request_iterator)
        first = await anext(requests, None)
        if first is None or not first.HasField("hello"):
            raise InvalidRequestError("a replication stream begins with a hello")
        hello = hello_of(first.hello)
        check_reads_batches(first.hello)
        follower = hello.node_name
        self._own_origin.meet(follower, hello.origin, hello.instance)
        with self._followers.following(follower):
            async with TaskScope() as tasks:
                session = _Session(self._commit_log, self._followers, tasks)
                await self._take(first, follower, session)
                origin = self._commit_log.origin
                self._sessions.add(session)
                try:
                    answer = hello_message(Hello(self._node_name, origin, self._own_origin.instance))
                    yield pb.ReplicateResponse(hello=answer, positions=session.positions())
                    listening = tasks.start(self._listen(requests, follower, session), name="replicate-listen")
                    while not session.over:
                        response = await session.next_response()
                        if self._commit_log.origin != origin:
                            raise OriginChangedError(
                                "this node started a new origin: open the stream again with a new hello"
                            )
                        if response is not None:
                            self._own_origin.note_sent(session.feed.sent)
                            yield response
                    await listening
                finally:
                    self._sessions.discard(session)

    async def ReadRange(  # noqa: N802 - gRPC's name
        self, request: pb.ReadRangeRequest, context: Context
    ) -> AsyncIterator[pb.ReadRangeResponse]:
        """Send the intact batches of one origin's range."""
        del context
        start, end = SequenceNumber(request.start_sequence), SequenceNumber(request.end_sequence)
        async for batches in read_range(self._commit_log, origin_of(request.origin), start, end):
            yield pb.ReadRangeResponse(batches=batches)

    async def _listen(self, requests: AsyncIterator[pb.ReplicateRequest], follower: str, session: "_Session") -> None:
        try:
            async for request in requests:
                await self._take(request, follower, session)
        finally:
            session.over = True
            session.said.set()

    async def _take(self, request: pb.ReplicateRequest, follower: str, session: "_Session") -> None:
        check_origins("a follower", len(request.durable) + len(request.unwant) + len(request.want))
        durable = [position_of(position) for position in request.durable]
        self._followers.report(follower, await hear(self._own_origin, self._commit_log, follower, durable))
        for origin in request.unwant:
            session.feed.unwant(origin_of(origin))
        for want in request.want:
            session.feed.want(origin_of(want.origin), SequenceNumber(want.next_sequence), want.chain_crc)
        if request.want or request.unwant:
            session.said.set()


class _Session:
    """One follower's stream: chooses what to send next, and waits for it."""

    def __init__(self, commit_log: CommitLog, followers: Followers, tasks: TaskScope) -> None:
        self.over = False
        self.said = asyncio.Event()
        """Set when the follower's requests change, or data has arrived."""
        self.feed = Feed(commit_log)
        self._commit_log = commit_log
        self._followers = followers
        self._tasks = tasks
        self._told_at = 0.0
        self._small_until = 0.0
        self._waiting: asyncio.Task[None] | None = None

    async def next_response(self) -> pb.ReplicateResponse | None:
        """Return the next message; ``None`` after a wait, when the state may have changed."""
        self.said.clear()
        question = self.feed.question()
        if question is not None:
            self.feed.settle(await self._commit_log.query(partial(answer_from, question)))
        data = b""
        if not self.feed.at_end:
            await self._coalesce()
            data = await self._read()
            if data:
                small = len(data) < SMALL_BYTES and self.feed.at_end  # not the rest of a stretch
                self._small_until = time.monotonic() + COALESCE_SECONDS if small else 0.0
        may_tell = time.monotonic() >= self._told_at + POSITIONS_INTERVAL
        positions = self.positions() if may_tell else []
        events = [event_message(event) for event in self.feed.events()]
        if data or positions or events:
            return pb.ReplicateResponse(batches=data, positions=positions, events=events)
        if self.feed.at_end and not self.feed.asks:
            await self._wait()
        return None

    def positions(self) -> list[pb.OriginPosition]:
        """Return the positions not yet reported to the follower."""
        changed = [position_message(position) for position in self.feed.changed_positions()]
        if changed:
            self._told_at = 0.0 if self.feed.untold else time.monotonic()  # the next portion goes at once
        return changed

    async def _coalesce(self) -> None:
        """Delay after a small message, unless a producer waits for copies."""
        moment = self._small_until - time.monotonic()
        if moment <= 0 or self._followers.hurried.is_set():
            return
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(moment):
                await self._followers.hurried.wait()

    async def _read(self) -> bytes:
        """Return the wanted batches of the next stretch of the log, and advance past it."""
        feed = self.feed
        if feed.pass_over_everything():
            return b""
        at = feed.at
        try:
            read = await self._commit_log.read(at, READ_BYTES)
        except (DataLossError, OffsetOutOfRangeError) as exc:
            if feed.at == at:
                feed.skip_unreadable(exc)
            return b""
        return feed.take(at, read.data, read.next)

    async def _wait(self) -> None:
        """Wait for data, a request from the follower, or the next time to report positions."""
        # One event for all of them, and no task for each wait: for small records, that is the largest cost per follower.
        if self._waiting is None or self._waiting.done():
            self._waiting = self._tasks.start(self._commit_log.wait_for_data(self.feed.at), name="replicate-wait")
            self._waiting.add_done_callback(lambda _: self.said.set())
        if self.feed.has_news():
            try:
                async with asyncio.timeout(max(0.0, self._told_at + POSITIONS_INTERVAL - time.monotonic())):
                    await self.said.wait()
            except TimeoutError:
                return  # positions may be reported again
        else:
            await self.said.wait()
        if self._waiting.done():
            self._waiting.result()  # the log is closing: that ends the stream
