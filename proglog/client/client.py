"""A program's handle to a cluster: one or several agents, and every call to them. All failures are ``ProglogError``."""

import asyncio
import logging
import warnings
import weakref
from collections.abc import AsyncGenerator, Callable, Sequence
from types import TracebackType
from typing import Self, TypeVar

from proglog.api.v1 import batches_pb2, cluster_pb2, losses_pb2
from proglog.client.accumulator import Acknowledged
from proglog.client.arguments import seconds
from proglog.client.channel import failures, understood
from proglog.client.consumer import Consumer
from proglog.client.copies_asked import Acks, ask_copies, checked_acks
from proglog.client.cursor import Cursor
from proglog.client.fetched import Gone
from proglog.client.history import unpacked
from proglog.client.link import Link
from proglog.client.membership_client import MembershipClient
from proglog.client.named import DEFAULT_INTERVAL, NamedConsumer
from proglog.client.offset_spec import OffsetSpec
from proglog.client.positions import NamedPosition, check_name, named_position_of
from proglog.client.producer import (
    DEFAULT_BATCH_BYTES,
    DEFAULT_BUFFERED_BYTES,
    DEFAULT_IN_FLIGHT,
    DEFAULT_LINGER,
    Producer,
)
from proglog.client.unary import UnaryCalls
from proglog.errors import (
    ClosedError,
    InvalidRequestError,
    NotFoundError,
    OffsetOutOfRangeError,
    ProduceError,
    ProglogError,
)
from proglog.record.record import BytesLike, Record
from proglog.security.tls import TLSFiles
from proglog.wire.contract import MAX_PROBLEMS
from proglog.wire.convert import SnapshotReader, from_message
from proglog.wire.cursors import cursor_message
from proglog.wire.model import ClusterSnapshot, DamagedRange, Verified

logger = logging.getLogger("proglog.client")
logger.addHandler(logging.NullHandler())  # a program that sets up no logging finds nothing of it on stderr

MAX_SECONDS = 86_400.0
MAX_ADDRS = 64

Answer = TypeVar("Answer")


class Client:
    """A cluster, seen from outside. ``async with`` closes it. It belongs to the event loop of its first call."""

    def __init__(self, addrs: str | Sequence[str], *, tls: TLSFiles | None = None, timeout: float = 10.0) -> None:
        """See :func:`proglog.client.connect`."""
        self._links = [Link(addr, tls) for addr in _addresses(addrs)]
        self.addrs = tuple(link.addr for link in self._links)
        """The agents, in the order in which they are tried."""
        self.tls = tls
        self.timeout = seconds("timeout", timeout, MAX_SECONDS)
        self._closed = False
        self._open_parts: weakref.WeakSet[Producer | Consumer] = weakref.WeakSet()
        self._single: Producer | None = None
        """What single records go through."""
        self._unary = UnaryCalls(self._links, self.timeout)
        self.membership = MembershipClient(self._links[0], self._unary)
        """Serf's commands, to the first agent."""

    @property
    def addr(self) -> str:
        """The first of its agents."""
        return self.addrs[0]

    @property
    def closed(self) -> bool:
        """Whether it was closed."""
        return self._closed

    def __repr__(self) -> str:
        return f"<Client of {','.join(self.addrs)}{': closed' if self._closed else ''}>"

    def __del__(self) -> None:
        if not getattr(self, "_closed", True) and any(link.is_open for link in self._links):
            warnings.warn(f"unclosed {self!r}: use `async with`, or await close()", ResourceWarning, stacklevel=2)

    async def __aenter__(self) -> Self:
        """Nothing is sent yet.

        Raises:
            ClosedError: It was closed: connect again.
        """
        if self._closed:
            raise ClosedError("the client was closed: connect again")
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close it."""
        await self.close()

    async def close(self) -> None:
        """Close the connections; producers and consumers of this client end with a ``ClosedError``. Idempotent."""
        self._closed = True
        for part in list(self._open_parts):
            if isinstance(part, Producer):
                part.abort(ClosedError("the client was closed"))
            else:
                await part.close()
        if self._single is not None:
            await self._single.close(drain=0)
        for link in self._links:
            await link.close()

    async def produce_value(self, value: BytesLike) -> int:
        """Append one record; return its offset once it is durable. Sent again when a connection breaks; no doubles.

        Raises:
            RecordTooLargeError: It does not fit into a batch.
            UnknownOutcomeError: It may be in the log; no agent confirmed it within the timeout.
            ProglogError: It is not in the log, and why.
        """
        if self._single is None:
            self._single = self.producer(linger=0.0)
        if self._single.state in ("new", "failed"):
            await self._single.open()
        try:
            written = await self._single.send_and_wait(Record(value=value))
        except ProduceError as exc:
            if exc.unknown:
                raise
            raise exc.cause from exc
        return written.offset

    async def consume_value(self, offset: int) -> bytes:
        """Return the value of one record.

        Raises:
            OffsetOutOfRangeError: There is no record at ``offset``.
        """
        place = OffsetSpec.offset(offset)
        async with self.consume(place, limit=1, first_contact=0) as consumer:
            batch = await consumer.get(self.timeout)
            if batch is None:
                start, end = await consumer.resolved()
                raise OffsetOutOfRangeError(offset, start, start if end is None else end)
            return batch.values()[0]

    def producer(
        self,
        *,
        batch_bytes: int = DEFAULT_BATCH_BYTES,
        in_flight: int = DEFAULT_IN_FLIGHT,
        linger: float = DEFAULT_LINGER,
        acks: Acks = 1,
        ack_timeout: float | None = None,
        idempotent: bool = True,
        delivery_timeout: float | None = None,
        max_buffered_bytes: int = DEFAULT_BUFFERED_BYTES,
        stop_on_failure: bool = False,
        on_ack: Callable[[Acknowledged], None] | None = None,
        on_retry: Callable[[ProglogError], None] | None = None,
    ) -> Producer:
        """Return a producer, to be used with ``async with``. One for a process is enough: any task may use it.

        Args:
            batch_bytes: A batch is sent when it has about so many; 2 MiB at most.
            in_flight: Batches sent and not yet acknowledged, 64 at most; an idempotent producer has at most as many as
                the agent remembers: sixteen.
            linger: Seconds that a record waits to be batched. An awaited record is sent once nothing is in flight.
            acks: Nodes on which a batch is durable before it is acknowledged; ``"all"``: every server alive.
            ack_timeout: Seconds that the other nodes have for that; left out: the agent's default, 10.
            idempotent: After a broken connection, resend unanswered batches to the same log, which appends them once.
                Otherwise the outcome of batches in flight is unknown.
            delivery_timeout: Seconds from handing over a record until it has its outcome, whatever happens meanwhile;
                left out: the client's timeout.
            max_buffered_bytes: Bound on records held without an outcome; beyond it, ``send`` waits.
            stop_on_failure: When a record is not written, also give up everything behind it, and take nothing more
                until the producer is opened again: no record is written after a missing one.
            on_ack: Called for each acknowledged batch, in order.
            on_retry: Called with the error, once each time the stream breaks and is retried.

        Raises:
            InvalidRequestError: An argument is out of range; the message says what was expected.
        """
        made = Producer(
            self._links,
            batch_bytes=batch_bytes,
            in_flight=in_flight,
            linger=linger,
            acks=acks,
            ack_timeout=ack_timeout,
            idempotent=idempotent,
            delivery_timeout=self.timeout if delivery_timeout is None else delivery_timeout,
            max_buffered_bytes=max_buffered_bytes,
            stop_on_failure=stop_on_failure,
            on_ack=on_ack,
            on_retry=on_retry,
        )
        self._open_parts.add(made)
        return made

    def consume(
        self,
        start: OffsetSpec | Cursor | None = None,
        end: OffsetSpec | None = None,
        *,
        follow: bool = False,
        limit: int | None = None,
        skip_gone: bool = False,
        on_gone: Callable[[Gone], None] | None = None,
        on_move: Callable[[str, ProglogError], None] | None = None,
        max_bytes: int = 0,
        first_contact: float | None = None,
    ) -> Consumer:
        """Return a consumer of the batches from ``start`` to ``end``. Nothing is sent before it is iterated over.

        Args:
            start: A place in the first agent's log; or a cursor, of any agent. Left out: the start of the log. An
                offset with the log it was read from is refused by another one (``OtherLogError``).
            end: Left out: the end of the log as it is when the call arrives, or none with ``follow``. A place in one
                agent's log cannot be taken along to another, a time can.
            follow: Wait at the end of the log for more.
            limit: Hand out so many records at most.
            skip_gone: Skip records that no agent has, instead of raising ``PositionGoneError`` or ``DataLossError``.
            on_gone: Called with what is skipped, including records that no node could give. Also logged.
            on_move: Called on failover with the new agent's address and the error of the previous one.
            max_bytes: Soft limit of a message; 0: the server's choice.
            first_contact: Seconds until some agent must have answered for the first time; 0: each is asked once. Left
                out: the client's timeout, which is also how long an outage may be later.

        Raises:
            InvalidRequestError: An argument is not what it may be.
        """
        return self._consumer(
            start,
            end,
            follow=follow,
            limit=limit,
            skip_gone=skip_gone,
            on_gone=on_gone,
            on_move=on_move,
            max_bytes=max_bytes,
            first_contact=first_contact,
        )

    def _consumer(
        self,
        start: OffsetSpec | Cursor | None,
        end: OffsetSpec | None,
        *,
        stop_at_gap: bool = False,
        follow: bool,
        limit: int | None,
        skip_gone: bool,
        on_gone: Callable[[Gone], None] | None,
        on_move: Callable[[str, ProglogError], None] | None,
        max_bytes: int,
        first_contact: float | None,
    ) -> Consumer:
        made = Consumer(
            self._links,
            start,
            end,
            follow=follow,
            limit=limit,
            skip_gone=skip_gone,
            stop_at_gap=stop_at_gap,
            on_gone=on_gone,
            on_move=on_move,
            max_bytes=max_bytes,
            timeout=self.timeout,
            first_contact=first_contact,
        )
        self._open_parts.add(made)
        return made

    def named(
        self,
        name: str,
        start: OffsetSpec | Cursor | None = None,
        end: OffsetSpec | None = None,
        *,
        follow: bool = False,
        limit: int | None = None,
        reset: bool = False,
        interval: float = DEFAULT_INTERVAL,
        by_hand: bool = False,
        skip_gone: bool = False,
        stop_at_gap: bool = True,
        on_gone: Callable[[Gone], None] | None = None,
        on_move: Callable[[str, ProglogError], None] | None = None,
        on_problem: Callable[[ProglogError], None] | None = None,
        first_contact: float | None = None,
    ) -> NamedConsumer:
        """Return a consumer that resumes where ``name`` stopped, and keeps its position in the cluster.

        Args:
            name: 1 to 128 printable characters. One consumer at a time.
            start: Where the first run starts, or one with ``reset``.
            end: As :meth:`consume`.
            follow: As :meth:`consume`.
            limit: As :meth:`consume`.
            reset: Start over: forget what was committed.
            interval: Seconds between two commits.
            by_hand: Commit what :meth:`NamedConsumer.processed` says; left out: every batch but the one handed out last.
            skip_gone: As :meth:`consume`.
            stop_at_gap: Also stop at records that no node could ever give, unless ``skip_gone``.
            on_gone: As :meth:`consume`.
            on_move: As :meth:`consume`.
            on_problem: Called with the error of a failed commit. Also logged.
            first_contact: As :meth:`consume`.

        Raises:
            InvalidRequestError: A position cannot have that name, or an argument is not what it may be.
        """

        def consume(cursor: Cursor | None) -> Consumer:
            return self._consumer(
                start if cursor is None else cursor,
                end,
                follow=follow,
                limit=limit,
                skip_gone=skip_gone,
                stop_at_gap=stop_at_gap,
                on_gone=on_gone,
                on_move=on_move,
                max_bytes=0,
                first_contact=first_contact,
            )

        return NamedConsumer(
            self, name, consume, reset=reset, interval=interval, by_hand=by_hand, on_problem=on_problem
        )

    async def commit_position(
        self, name: str, cursor: Cursor, *, epoch: int = 0, acks: Acks = 2, ack_timeout: float = 1.0
    ) -> int:
        """Keep ``cursor`` in the cluster under ``name``; return on how many nodes it is known to be durable.

        Commits of one epoch join: the later position of each origin counts, in whatever order they arrive.

        Args:
            name: 1 to 128 printable characters. One consumer at a time.
            cursor: What was consumed.
            epoch: A higher one than the name has starts over, be it backwards.
            acks: Nodes that it should be on before this returns, no more than there are; ``"all"``: every server alive.
            ack_timeout: Seconds to wait for the others; without them it is durable on this agent, and on its way.

        Raises:
            PreconditionError: The name has a higher epoch.
        """
        request = batches_pb2.CommitPositionRequest(name=name, epoch=epoch, cursor=cursor_message(cursor.positions))
        ask_copies(request, checked_acks(acks), round(ack_timeout * 1000))
        response = await self._unary.ask(lambda wire: wire.positions.Commit, request, ack_timeout)
        return response.copies

    async def positions(self, name: str | None = None) -> list[NamedPosition]:
        """Return the named positions that the agent knows; only that of ``name`` if one is given.

        Raises:
            InvalidRequestError: No position can have that name.
        """
        found = await self._positions_at(self._links, None if name is None else check_name(name))
        return [each for each in found if not each.deleted]

    async def reset_position(self, name: str) -> int:
        """Start ``name`` over, at no place and without an owner; return its new epoch. An operator's repair.

        Raises:
            InvalidRequestError: No position can have that name.
            NotFoundError: The agent has no such position.
        """
        request = batches_pb2.ResetPositionRequest(name=check_name(name))
        return (await self._unary.ask(lambda wire: wire.positions.Reset, request)).epoch

    async def find_position(self, name: str) -> NamedPosition | None:
        """Return what all agents that can be reached know together of one name; ``None``: it was never committed.

        Raises:
            InvalidRequestError: No position can have that name.
            ProglogError: No agent answered.
        """
        check_name(name)
        answers = await asyncio.gather(
            *(self._positions_at([link], name) for link in self._links), return_exceptions=True
        )
        known: NamedPosition | None = None
        failed = [answer for answer in answers if isinstance(answer, BaseException)]
        for error in failed:
            if not isinstance(error, ProglogError) or len(failed) == len(answers):
                raise error
        for answer in answers:
            if not isinstance(answer, BaseException):
                for each in answer:
                    known = each if known is None else known.join(each)
        return known

    async def _positions_at(self, links: Sequence[Link], name: str | None) -> list[NamedPosition]:
        request = batches_pb2.ListPositionsRequest(name=name)
        response = await self._unary.ask(lambda wire: wire.positions.List, request, links=links)
        return [named_position_of(each) for each in response.positions]

    async def status(self, *, segments: bool = False) -> ClusterSnapshot:
        """Return what the agent says about itself and its cluster."""
        request = cluster_pb2.GetStatusRequest(segments=segments)
        return from_message(await self._unary.ask(lambda wire: wire.cluster.GetStatus, request))

    async def watch(
        self, *, min_interval: float = 0.2, segments: bool = False, of_itself: bool = False
    ) -> AsyncGenerator[ClusterSnapshot, None]:
        """Yield a snapshot at once, then whenever something changed, at most one in ``min_interval`` seconds.

        Args:
            min_interval: Seconds.
            segments: With the list of segments.
            of_itself: Without peers and events, which are most of a snapshot in a large cluster.
        """
        request = cluster_pb2.WatchRequest(min_interval_ms=int(min_interval * 1000), segments=segments)
        link = self._links[0]
        reader = SnapshotReader()
        async with link.lease() as wire:
            call = wire.cluster.Watch(request)
            try:
                with failures(link.error_of):
                    async for message in call:
                        status = understood(message, link.addr)
                        if of_itself:
                            status.ClearField("peers")
                            status.ClearField("events")
                        yield reader.read(status)
            finally:
                call.cancel()

    async def history(self) -> AsyncGenerator[list[ClusterSnapshot], None]:
        """Yield the agent's last hour, a snapshot a second without segments, in parts: the newest part first.

        Each part is in order, its oldest snapshot first.

        Raises:
            UnavailableError: A part of it is none.
        """
        link = self._links[0]
        async with link.lease() as wire:
            call = wire.cluster.History(cluster_pb2.HistoryRequest())
            try:
                with failures(link.error_of):
                    async for message in call:
                        async for part in unpacked(understood(message, link.addr).packed, link.addr):
                            yield part
            finally:
                call.cancel()

    async def verify(self, base_offset: int | None = None) -> AsyncGenerator[Verified, None]:
        """Verify one segment of the agent's log, or all of them; yield its progress, the last one ``finished``.

        Args:
            base_offset: Where the segment begins.

        Raises:
            NotFoundError: No segment begins there.
            OverloadedError: Another verification is running.
        """
        link = self._links[0]
        problems: tuple[DamagedRange, ...] = ()
        async with link.lease() as wire:
            call = wire.cluster.Verify(cluster_pb2.VerifyRequest(base_offset=base_offset))
            try:
                with failures(link.error_of):
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
        """Declare that a failed member has left for good; with ``prune``, have all members forget it at once.

        Raises:
            NotFoundError: No member has that name.
            PreconditionError: It is the agent itself, or not gone.
        """
        if not name.isprintable():
            raise NotFoundError(f"no member is called {name!r}")
        request = cluster_pb2.ForceLeaveRequest(name=name, prune=prune)
        await self._unary.ask(lambda wire: wire.cluster.ForceLeave, request)

    async def drain(self, *, resume: bool = False) -> None:
        """Have the agent take no more records, or take them again; others hear that from its refusals, and go on elsewhere.

        What only the agent holds is in the status meanwhile: :func:`proglog.observe.draining.only_here` counts it.
        """
        await self._unary.ask(lambda wire: wire.cluster.Drain, cluster_pb2.DrainRequest(resume=resume))

    async def accept_repairs(self, reason: str) -> int:
        """End the finding about damage that the agent's log had and that was repaired; return how many repairs it was about.

        Args:
            reason: In words, at most 500 characters.

        Raises:
            NotFoundError: Nothing was repaired that is not accepted yet.
            InvalidRequestError: The reason is empty.
        """
        request = losses_pb2.AcceptLossRequest(reason=reason, repaired=True)
        return (await self._unary.ask(lambda wire: wire.losses.Accept, request, links=self._links[:1])).ranges

    async def accept_losses(self, start_offset: int, end_offset: int, reason: str) -> int:
        """Accept the damaged ranges between two offsets of the agent's log as lost; return how many.

        They no longer raise an alarm. If a peer with the records turns up, they are still restored.

        Args:
            start_offset: Damaged ranges that begin here or later...
            end_offset: ...and end here or before: one past the last offset.
            reason: In words, at most 500 characters.

        Raises:
            NotFoundError: Nothing is damaged there.
            InvalidRequestError: The reason is empty, or the range is.
        """
        request = losses_pb2.AcceptLossRequest(start_offset=start_offset, end_offset=end_offset, reason=reason)
        return await self._accept(request)

    async def accept_forks(self, origin: str, reason: str) -> int:
        """Accept that the agent and others hold different histories of an origin; return how many such forks it knew.

        They no longer raise an alarm at this agent, also after a restart.

        Args:
            origin: Its first hexadecimal digits, at least four.
            reason: In words, at most 500 characters.

        Raises:
            NotFoundError: There is no such fork.
            InvalidRequestError: The reason is empty, or these are no such digits.
        """
        return await self._accept(losses_pb2.AcceptLossRequest(origin=origin, reason=reason))

    async def _accept(self, request: losses_pb2.AcceptLossRequest) -> int:
        first = self._links[:1]  # losses are of one agent's log
        return (await self._unary.ask(lambda wire: wire.losses.Accept, request, links=first)).ranges


def _addresses(addrs: str | Sequence[str]) -> list[str]:
    given = addrs.split(",") if isinstance(addrs, str) else list(addrs)
    for addr in given:
        if not isinstance(addr, str):
            raise InvalidRequestError(f"an address is text, HOST:PORT, not {type(addr).__name__}")
    found = list(dict.fromkeys(addr.strip() for addr in given))
    if not 1 <= len(found) <= MAX_ADDRS:
        raise InvalidRequestError(f"expected 1 to {MAX_ADDRS} addresses, HOST:PORT each, not {len(found)}")
    return found
