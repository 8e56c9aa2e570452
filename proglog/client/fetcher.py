"""Fetches a consumer's next batches: chooses the agent and the position.

It knows nothing of its consumer, so that one that was forgotten can be collected, and ends it then.
"""

import asyncio
import logging
from collections import deque
from collections.abc import Callable, Sequence
from typing import TypeAlias

import grpc.aio

from proglog.api.v1 import batches_pb2
from proglog.client.channel import failures, understood
from proglog.client.contiguity import Contiguity, Explanation
from proglog.client.cursor import Cursor
from proglog.client.failover import Failover, placed
from proglog.client.fetched import Gone, Passed
from proglog.client.link import Link, Wire
from proglog.client.offset_spec import OffsetSpec, OffsetSpecKind
from proglog.errors import (
    DataLossError,
    DeadlineError,
    MalformedBatchError,
    PositionGoneError,
    ProglogError,
    SequenceGapError,
    UnavailableError,
)
from proglog.record import scan
from proglog.record.batch import VerifiedBatch
from proglog.replication.progress import FIRST_SEQUENCE
from proglog.types import MAX_ORDINAL, ORIGIN_BYTES, OriginId, SequenceNumber, half_open
from proglog.wire.cursors import cursor_message, positions_of

logger = logging.getLogger("proglog.client")

Call: TypeAlias = "grpc.aio.UnaryStreamCall[batches_pb2.ConsumeBatchesRequest, batches_pb2.ConsumeBatchesResponse]"

CONTACT_SECONDS = 5.0
"""Longest that an agent may take to say what the range is, before it counts as away."""


class Fetcher:
    """One consumer's way through its range, agent by agent."""

    def __init__(
        self,
        links: Sequence[Link],
        start: OffsetSpec | Cursor | None,
        end: OffsetSpec | None,
        *,
        follow: bool,
        skip_gone: bool,
        on_move: Callable[[str, ProglogError], None] | None,
        max_bytes: int,
        timeout: float,
        first_contact: float,
    ) -> None:
        """Nothing is sent yet. Arguments as those of :meth:`proglog.client.Client.consume`."""
        self.start_offset = 0
        self.end_offset: int | None = None
        """The range in the log that is read; ``None``: it has no end."""
        self.next_offset = 0
        """In the log that is read: one past the last record handed out."""
        self.log = b""
        self.positions: dict[OriginId, SequenceNumber] = dict(start.positions) if isinstance(start, Cursor) else {}
        """The next sequence wanted of each origin: everything before was handed out, or before the range."""
        self.arrived: deque[VerifiedBatch | Explanation] = deque()
        """Batches to hand out, and what is left out between them, in order."""
        self.resolved = False
        """Whether an agent has said what the range is."""
        self.over = False
        """Whether nothing comes behind what has arrived."""
        self.broke: ProglogError | None = None
        """The error that follows everything that has arrived."""
        self._all_links = links
        self._links = links[:1] if _is_of_one_log(end) or _is_of_one_log(start) else links
        """The agents that can be asked now: an offset is valid on only one of them."""
        self._start = start
        self._end = end
        self._follow = follow
        self._skip_gone = skip_gone
        self._on_move = on_move
        self._max_bytes = max_bytes
        self._timeout = timeout
        self._patience = first_contact
        """Seconds until some agent has to answer for the first time."""
        self._failover: Failover | None = None
        self._skip_at_server = False
        self._stream: _Stream | None = None
        self._contiguity = Contiguity({})
        """Of the stream."""

    @property
    def addr(self) -> str:
        """The agent that is read from."""
        return self._links[0 if self._failover is None else self._failover.at].addr

    def check(self) -> None:
        """Raise what speaks against reading in this loop and process; errors as those of :meth:`Link.check`."""
        self._links[0].check()

    async def read(self) -> None:
        """Return when something has arrived, the range is known or over.

        Raises:
            ProglogError: No agent can continue; another call retries.
        """
        loop = asyncio.get_running_loop()
        failover = self._failover
        if failover is None:
            failover = self._failover = Failover(len(self._links), self._patience, loop.time())
        elif all(row.cause is not None for row in failover.rows):
            failover.renew(loop.time())  # the caller got the error, and retries
        while not self.arrived and not self.over:
            try:
                if self.broke is not None:
                    cause, self.broke = self.broke, None
                    raise cause
                if self._stream is None:
                    await self._open(self._links[failover.at])
                    return
                await self._take(self._stream)
            except ProglogError as exc:
                await self.drop()
                self._decide(exc, loop.time())
                assert self._failover is not None
                await asyncio.sleep(self._failover.wait(loop.time()))

    async def _open(self, link: Link) -> None:
        request = self._request()
        stream = self._stream = _Stream(link, request)
        first = await stream.first(min(self._timeout, self._patience or self._timeout, CONTACT_SECONDS))
        self.start_offset = first.start_offset
        endless = self._follow and not first.HasField("end_offset")
        self.end_offset = None if endless else first.end_offset
        self.next_offset = max(self.next_offset if self.log == first.log else 0, first.start_offset)
        self.log = first.log
        positions = positions_of(first.cursor)
        if not request.HasField("cursor"):  # then the server says what the place means
            for origin, sequence in positions.items():
                self.positions[origin] = max(sequence, self.positions.get(origin, FIRST_SEQUENCE))
        self._contiguity = Contiguity(self.positions)
        self.arrived.extend(self._contiguity.begin(positions, explanations(first)))
        now = asyncio.get_running_loop().time()
        assert self._failover is not None
        if not self.resolved:
            self.resolved = True
            self._failover.patience = self._timeout
            if not _is_of_one_log(self._end):
                self._failover.add(len(self._all_links) - len(self._links))
                self._links = self._all_links
        self._failover.contact(now)

    async def _take(self, stream: "_Stream") -> None:
        """Take in the next message: its batches, and what is left out between them."""
        response = await stream.next()
        self._skip_at_server = False
        if response is None:
            self.over = True
            return
        try:
            self.arrived.extend(self._contiguity.in_order(scan.batches(response.batches), explanations(response)))
        except (MalformedBatchError, SequenceGapError) as exc:
            self.broke = exc

    def abandon(self) -> None:
        """End the call of a consumer that is no longer referenced."""
        stream, self._stream = self._stream, None
        if stream is not None:
            stream.abandon()

    async def drop(self) -> None:
        """End the call, if there is one."""
        stream, self._stream = self._stream, None
        if stream is not None:
            await stream.close()

    def _decide(self, cause: ProglogError, now: float) -> None:
        """Fail over to another agent, or skip what no agent has, or raise the most telling error."""
        failover = self._failover
        assert failover is not None
        before, known = self.addr, failover.rows[failover.at].cause is not None
        failover.failed(cause, now)
        verdict = failover.verdict(now)
        if verdict is None:
            if not known:
                logger.warning("%s; reading on from %s", placed(before, cause), self.addr)
                if self._on_move is not None and self.addr != before:
                    self._on_move(self.addr, cause)
        elif self._skip_gone and self._skip(failover.lacking()):
            failover.renew(now)
        else:
            raise verdict

    def _skip(self, lacking: Sequence[ProglogError]) -> bool:
        """Skip what no agent has, as little as any of them would skip; return whether that is possible."""
        gone = [cause for cause in lacking if isinstance(cause, PositionGoneError)]
        damaged = [cause for cause in lacking if isinstance(cause, DataLossError)]
        if not lacking or len(gone) + len(damaged) < len(lacking):
            return False
        if damaged:  # known by offsets, which are the server's to translate
            tried, self._skip_at_server = self._skip_at_server, True
            return not tried
        origin = gone[0].origin
        nearest = min((cause for cause in gone if cause.origin == origin), key=lambda cause: cause.end)
        self.arrived.append(Gone(nearest.origin, nearest.start, nearest.end, nearest.reason))
        return True

    def _request(self) -> batches_pb2.ConsumeBatchesRequest:
        """Return what is wanted now."""
        request = batches_pb2.ConsumeBatchesRequest(
            follow=self._follow, max_bytes=self._max_bytes, skip_gone=self._skip_at_server, control_batches=True
        )
        if self._end is not None:
            request.end.CopyFrom(_place(self._end))
        if self.resolved and _is_of_one_log(self._end):
            request.start.offset = self.next_offset
            if self.end_offset is not None:
                request.end.offset = self.end_offset
            request.expected_log = self.log
        elif self.resolved or isinstance(self._start, Cursor):
            request.cursor.CopyFrom(cursor_message(self.positions))
        elif self._start is not None:
            request.start.CopyFrom(_place(self._start))
            request.expected_log = self._start.log
        return request


class _Stream:
    """One consume call."""

    def __init__(self, link: Link, request: batches_pb2.ConsumeBatchesRequest) -> None:
        self._link = link
        self._wire: Wire | None = link.acquire()
        self._call: Call = self._wire.batches.Consume(request)

    async def first(self, timeout: float) -> batches_pb2.ConsumeBatchesResponse:
        """Return the first answer, which says what the range is."""
        try:
            async with asyncio.timeout(timeout):
                first = await self.next()
        except TimeoutError:
            raise DeadlineError(f"{self._link.addr} did not resolve the range within {timeout:g} s") from None
        if first is None:
            raise UnavailableError(f"{self._link.addr} ended the stream before it resolved the range")
        return first

    async def next(self) -> batches_pb2.ConsumeBatchesResponse | None:
        """Return the next answer; ``None`` at the end."""
        with failures(self._link.error_of):
            response = await self._call.read()
            if response is grpc.aio.EOF:
                return None
            assert isinstance(response, batches_pb2.ConsumeBatchesResponse | None)
            return understood(response, self._link.addr)

    def abandon(self) -> None:
        """End it, and leave its channel to the client that closes."""
        self._call.cancel()

    async def close(self) -> None:
        """End it."""
        wire, self._wire = self._wire, None
        if wire is not None:
            self._call.cancel()
            await self._link.release(wire)


def explanations(response: batches_pb2.ConsumeBatchesResponse) -> list[Explanation]:
    """Return what an answer says it leaves out.

    Raises:
        MalformedBatchError: It names something that is no origin, or no range of sequences.
    """
    for each in (*response.gone, *response.passed):
        if len(each.origin) != ORIGIN_BYTES or not 1 <= each.start_sequence < each.end_sequence <= MAX_ORDINAL:
            raise MalformedBatchError(
                f"sequences {half_open(each.start_sequence, each.end_sequence)} of origin {each.origin.hex()[:40]!r}: no range"
            )
    gone = [Gone(each.origin, each.start_sequence, each.end_sequence, each.reason) for each in response.gone]
    return [*gone, *(Passed(each.origin, each.start_sequence, each.end_sequence) for each in response.passed)]


def _place(place: OffsetSpec) -> batches_pb2.OffsetSpec:
    return batches_pb2.OffsetSpec(**{place.kind.value: place.value})


def _is_of_one_log(place: OffsetSpec | Cursor | None) -> bool:
    """Whether a place means something else in another agent's log: all but its two ends and times do."""
    if not isinstance(place, OffsetSpec) or place.kind is OffsetSpecKind.TIME_MS:
        return False
    return place.kind is OffsetSpecKind.OFFSET or place.value != 0
