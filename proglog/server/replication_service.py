"""The source's end of ``Replicate``: pushes durable batches of the wanted origins down the open stream.

:mod:`proglog.server.feed` decides what to send; this module waits: for the follower's requests, for durable data, and for
the next time to report positions. Small batches are coalesced. Nothing polls. Flow control is gRPC's: a follower that does
not read stops the generator at its ``yield``, with one message in memory.
"""

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Iterable, Mapping
from functools import partial
from typing import Self

import grpc.aio

from proglog.api.v1 import replication_pb2 as pb
from proglog.api.v1 import replication_pb2_grpc
from proglog.errors import DataLossError, InvalidRequestError, OffsetOutOfRangeError, OriginChangedError
from proglog.replication.progress import Progress
from proglog.replication.ranges import NO_RANGES, Ranges
from proglog.security.subject import subject_of
from proglog.server.commit_log import CommitLog
from proglog.server.context import Context
from proglog.server.feed import Feed, answer_from
from proglog.server.followers import MAX_ORIGINS, Followers, Following
from proglog.server.introductions import Caller, Introductions
from proglog.server.own_origin import OwnOrigin, hear
from proglog.server.range_reader import READ_BYTES, read_range
from proglog.tasks import TaskScope
from proglog.types import NodeName, OriginId, SequenceNumber
from proglog.wire.replication import (
    MAX_TOKENS,
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
        self,
        commit_log: CommitLog,
        followers: Followers,
        *,
        node_name: NodeName,
        own_origin: OwnOrigin | None = None,
        introductions: Introductions | None = None,
    ) -> None:
        """Serve ``commit_log``; ``own_origin`` and ``introductions`` are the replicator's, too.

        Without a replicator's, claims to the own origin come to nothing, and every caller is believed.
        """
        self._commit_log = commit_log
        self._followers = followers
        self._node_name = node_name
        self._own_origin = own_origin or OwnOrigin(commit_log)
        self._introductions = introductions or Introductions()
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
        """Serve one follower until it goes away."""
        subject = subject_of(context.auth_context())
        requests = aiter(request_iterator)
        first = await anext(requests, None)
        if first is None or not first.HasField("hello"):
            raise InvalidRequestError("a replication stream begins with a hello")
        hello = hello_of(first.hello)
        check_reads_batches(first.hello)
        own_origin = self._own_origin
        own_origin.meet(hello.node_name, hello.origin, hello.instance)
        async with TaskScope() as tasks:
            session = _Session(self._commit_log, self._followers, tasks)
            reports = _Reports(self._followers, own_origin, self._commit_log)
            with (
                reports,
                self._introductions.calling(hello.node_name, subject, hello.token, reports.proved.set) as caller,
            ):
                if hello.origin == self._commit_log.origin:
                    reports.mute()  # a double of this directory, or one that says so: no copy
                reporting = tasks.start(reports.pass_on(self._introductions, caller), name="replicate-reports")
                reporting.add_done_callback(lambda _: session.end())
                self._take(first, caller, session, reports)
                origin = self._commit_log.origin
                proof = own_origin.proof_for(hello.origin, hello.instance)
                self._sessions.add(session)
                try:
                    answer = hello_message(Hello(self._node_name, origin, own_origin.instance, proof))
                    yield pb.ReplicateResponse(hello=answer, positions=session.positions())
                    listening = tasks.start(self._listen(requests, caller, session, reports), name="replicate-listen")
                    while not session.over:
                        response = await session.next_response()
                        if self._commit_log.origin != origin:
                            raise OriginChangedError(
                                "this node started a new origin: open the stream again with a new hello"
                            )
                        if response is not None:
                            own_origin.note_sent(session.feed.sent)
                            yield response
                    await (reporting if reporting.done() else listening)
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

    async def _listen(
        self, requests: AsyncIterator[pb.ReplicateRequest], caller: Caller, session: "_Session", reports: "_Reports"
    ) -> None:
        try:
            async for request in requests:
                self._take(request, caller, session, reports)
        finally:
            session.end()

    def _take(self, request: pb.ReplicateRequest, caller: Caller, session: "_Session", reports: "_Reports") -> None:
        check_origins("a follower", len(request.durable) + len(request.unwant) + len(request.want))
        for token in request.tokens[:MAX_TOKENS]:
            self._introductions.show(caller, token)
        reports.add(position_of(position) for position in request.durable)
        for origin in request.unwant:
            session.feed.unwant(origin_of(origin))
        for want in request.want:
            session.feed.want(origin_of(want.origin), SequenceNumber(want.next_sequence), want.chain_crc)
        if request.want or request.unwant:
            session.said.set()


class _Reports:
    """What one follower says is durable there: kept until it is proved who says so, then passed on in order.

    Of each origin the last word is kept, so what waits is bounded, however much is said.
    """

    def __init__(self, followers: Followers, own_origin: OwnOrigin, commit_log: CommitLog) -> None:
        self.proved = asyncio.Event()
        """Set when the caller may have been proved."""
        self._followers = followers
        self._own_origin = own_origin
        self._commit_log = commit_log
        self._waiting: dict[OriginId, Progress] = {}
        self._most = MAX_ORIGINS
        self._said = asyncio.Event()
        self._open = contextlib.ExitStack()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self._open.close()

    def mute(self) -> None:
        """Take in nothing that is said."""
        self._most = 0

    def add(self, positions: Iterable[Progress]) -> None:
        """Take in what was said."""
        for position in positions:
            if position.origin in self._waiting or len(self._waiting) < self._most:
                self._waiting[position.origin] = position
        self._said.set()

    async def pass_on(self, introductions: Introductions, caller: Caller) -> None:
        """Pass on what was said, for as long as the stream is open and the proof holds."""
        following: Following | None = None
        while True:
            await self._said.wait()
            while not introductions.counts(caller):
                self.proved.clear()
                await self.proved.wait()
            following = following or self._open.enter_context(self._followers.following(caller.name))
            self._said.clear()
            waiting, self._waiting = self._waiting, {}
            heard = await hear(self._own_origin, self._commit_log, caller.name, waiting.values())
            self._followers.report(following, heard)


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

    def end(self) -> None:
        """Send nothing more."""
        self.over = True
        self.said.set()

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
