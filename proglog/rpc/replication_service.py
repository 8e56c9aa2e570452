"""The source's end of ``Replicate``: pushes durable batches of the wanted origins down the open stream.

One pass over the log in its own order serves all origins of a stream, since within a log each origin's batches stand in
sequence. The pass starts at the lowest place wanted, sends slices of the store as they are, and at the durable end
waits: no polling. Positions of everything this node holds go along, so that a follower knows what there is to want.
"""

import asyncio
import time
from collections.abc import AsyncIterator, Iterable

import grpc.aio

from proglog.api.v1 import replication_pb2 as pb
from proglog.api.v1 import replication_pb2_grpc
from proglog.errors import DataLossError, InvalidRequestError, NotFoundError, OffsetOutOfRangeError
from proglog.log.log import Log
from proglog.log.model import OriginState
from proglog.record.scan import headers
from proglog.replication.positions import Position
from proglog.rpc.commit_log import CommitLog
from proglog.rpc.context import Context
from proglog.rpc.followers import Followers
from proglog.rpc.replication_stream import PROTOCOL_VERSION, origin_of, position_message, position_of
from proglog.types import NodeName, OriginId, Sequence

READ_BYTES = 256 * 1024
POSITIONS_INTERVAL = 0.2
"""Seconds between two reports of positions while data flows."""
MAX_WANTED = 4096
MAX_NAME_CHARS = 256


class ReplicationService(replication_pb2_grpc.ReplicationServicer):
    """Serves every origin that the log holds, not only the node's own: a dead node's records reach late joiners."""

    name = "proglog.v1.Replication"

    def __init__(self, commit_log: CommitLog, followers: Followers, *, node_name: NodeName) -> None:
        self._commit_log = commit_log
        self._followers = followers
        self._node_name = node_name

    def register(self, server: grpc.aio.Server) -> None:
        """Add the service to ``server``."""
        replication_pb2_grpc.add_ReplicationServicer_to_server(self, server)

    async def Replicate(  # noqa: N802 - gRPC's name
        self, request_iterator: AsyncIterator[pb.ReplicateRequest], context: Context
    ) -> AsyncIterator[pb.ReplicateResponse]:
        """Serve one follower until it goes away."""
        del context
        requests = aiter(request_iterator)
        first = await anext(requests, None)
        if first is None or not first.HasField("hello"):
            raise InvalidRequestError("a replication stream begins with a hello")
        if first.hello.protocol_version != PROTOCOL_VERSION:
            raise InvalidRequestError(f"replication protocol {first.hello.protocol_version} is not known here")
        follower = first.hello.node_name[:MAX_NAME_CHARS]
        session = _Session(self._commit_log)
        self._take(first, follower, session)
        log = self._commit_log.log
        hello = pb.Hello(node_name=self._node_name, origin=log.origin, protocol_version=PROTOCOL_VERSION)
        yield pb.ReplicateResponse(hello=hello, positions=session.changed_positions())
        listening = asyncio.create_task(self._listen(requests, follower, session), name="replicate-listen")
        try:
            while not session.over:
                response = await session.next_response()
                if response is not None:
                    yield response
            await listening
        finally:
            listening.cancel()
            session.close()

    async def _listen(self, requests: AsyncIterator[pb.ReplicateRequest], follower: str, session: "_Session") -> None:
        try:
            async for request in requests:
                self._take(request, follower, session)
        finally:
            session.over = True
            session.wake.set()

    def _take(self, request: pb.ReplicateRequest, follower: str, session: "_Session") -> None:
        self._followers.report(follower, [position_of(position) for position in request.durable])
        for origin in request.unwant:
            session.unwant(origin_of(origin))
        for want in request.want:
            session.want(origin_of(want.origin), Sequence(want.next_sequence), want.chain_crc)


class _Session:
    """One follower: what it wants, and how far it has been sent."""

    def __init__(self, commit_log: CommitLog) -> None:
        self.over = False
        self.wake = asyncio.Event()
        """Set when the follower said something."""
        self._commit_log = commit_log
        self._wanted: dict[OriginId, Sequence] = {}
        self._cursor = commit_log.log.end_cursor
        self._events: list[pb.OriginEvent] = []
        self._told: dict[OriginId, OriginState] = {}
        self._told_at = 0.0
        self._waiting: asyncio.Task[None] | None = None

    def want(self, origin: OriginId, next_sequence: Sequence, chain_crc: int) -> None:
        """Send ``origin`` from ``next_sequence`` on."""
        if len(self._wanted) >= MAX_WANTED:
            raise InvalidRequestError(f"one stream may want {MAX_WANTED} origins")
        self.wake.set()
        log = self._commit_log.log
        state = log.origins().get(origin)
        if state is None:
            self._wanted[origin] = next_sequence  # it may be on its way here
            return
        if next_sequence < state.floor_sequence:
            self._say(origin, pb.OriginEvent.BELOW_FLOOR, state.floor_sequence)
            return
        if next_sequence == state.next_sequence and next_sequence > 1 and chain_crc != state.chain_crc:
            self._say(origin, pb.OriginEvent.FORKED, next_sequence)
            return
        if next_sequence < state.next_sequence:
            try:
                self._cursor = min(self._cursor, log.seek_sequence(origin, next_sequence))
            except NotFoundError:
                self._say(origin, pb.OriginEvent.DAMAGED, next_sequence)
                return
        self._wanted[origin] = next_sequence

    def unwant(self, origin: OriginId) -> None:
        """Send no more of ``origin``."""
        self._wanted.pop(origin, None)

    async def next_response(self) -> pb.ReplicateResponse | None:
        """Return what there is to send, after waiting for it; ``None`` when the follower only said something."""
        self.wake.clear()
        events, self._events = self._events, []
        data = await self._next_batches()
        positions = self.changed_positions() if self._may_tell(idle=not data) else []
        if data or positions or events:
            return pb.ReplicateResponse(batches=data, positions=positions, events=events)
        if not self._at_end():
            return None
        await self._wait()
        return None

    def changed_positions(self) -> list[pb.OriginPosition]:
        """Return the positions that the follower has not been told yet."""
        changed = []
        for origin, state in self._commit_log.log.origins().items():
            if self._told.get(origin) is not state:
                self._told[origin] = state
                changed.append(position_message(position_in(origin, state)))
        self._told_at = time.monotonic()
        return changed

    def close(self) -> None:
        """Stop waiting."""
        if self._waiting is not None:
            self._waiting.cancel()

    async def _next_batches(self) -> bytes:
        """Return wanted batches of the next stretch of the log, and move over it."""
        if not self._wanted:
            self._cursor = self._commit_log.log.end_cursor
            return b""
        cursor = self._cursor
        try:
            read = await self._commit_log.read(cursor, READ_BYTES)
        except DataLossError as exc:
            self._skip_damage(self._commit_log.log, exc)
            return b""
        except OffsetOutOfRangeError:
            self._cursor = self._commit_log.log.seek(self._commit_log.log.start_offset)
            return b""
        if self._cursor == cursor:  # else a want moved it back meanwhile
            self._cursor = read.next
            return self._pick(read.data)
        return b""

    def _pick(self, data: bytes) -> bytes:
        """Return the batches of ``data`` that are wanted: all of it unchanged in the common case."""
        runs: list[tuple[int, int]] = []
        for position, header in headers(data):
            expected = self._wanted.get(header.origin)
            if expected is None or header.next_sequence <= expected:
                continue
            self._wanted[header.origin] = header.next_sequence
            end = position + header.batch_bytes
            if runs and runs[-1][1] == position:
                runs[-1] = (runs[-1][0], end)
            else:
                runs.append((position, end))
        if runs == [(0, len(data))]:
            return data
        return b"".join(data[start:end] for start, end in runs)

    def _skip_damage(self, log: Log, exc: DataLossError) -> None:
        for origin in self._wanted:
            self._say(origin, pb.OriginEvent.DAMAGED, self._wanted[origin])
        self._wanted.clear()
        self._cursor = log.end_cursor
        del exc

    def _at_end(self) -> bool:
        return self._cursor == self._commit_log.log.end_cursor

    def _may_tell(self, *, idle: bool) -> bool:
        return idle or time.monotonic() - self._told_at >= POSITIONS_INTERVAL

    async def _wait(self) -> None:
        """Wait until there is data, or the follower says something."""
        if self._waiting is None or self._waiting.done():
            self._waiting = asyncio.create_task(self._commit_log.wait_for_data(self._cursor), name="replicate-wait")
        waking = asyncio.create_task(self.wake.wait(), name="replicate-wake")
        try:
            await asyncio.wait((self._waiting, waking), return_when=asyncio.FIRST_COMPLETED)
        finally:
            waking.cancel()
        if self._waiting.done():
            self._waiting.result()  # the log is closing: that ends the stream

    def _say(self, origin: OriginId, kind: "pb.OriginEvent.Kind.ValueType", sequence: int) -> None:
        self._events.append(pb.OriginEvent(origin=origin, kind=kind, sequence=sequence))


def position_in(origin: OriginId, state: OriginState) -> Position:
    """Return a log's state of an origin as a position."""
    return Position(
        origin,
        state.next_sequence,
        state.chain_crc,
        state.floor_sequence,
        state.last_append_ms,
        state.bytes,
        state.node_name,
    )


def positions_in(log: Log) -> Iterable[Position]:
    """Return how far a log reaches, in each origin."""
    return [position_in(origin, state) for origin, state in log.origins().items()]
