"""The producer's own task: it holds one produce call after the other, and sends on each what has no outcome yet.

:mod:`proglog.client.failover` chooses the agent for each call. The courier waits briefly for an agent that left batches
unanswered, since only that agent knows their outcome; then another one takes the rest.
"""

import asyncio
import logging
from collections.abc import Sequence
from typing import Protocol, TypeAlias

import grpc.aio

from proglog.api.v1 import batches_pb2
from proglog.client.accumulator import Accumulator, Acknowledged, Batch, Failed
from proglog.client.channel import failures, send
from proglog.client.copies_asked import Acks, nodes_words
from proglog.client.failover import Failover, placed
from proglog.client.link import Link
from proglog.client.produce_request import ProduceRequests
from proglog.errors import (
    AccessError,
    ConfigError,
    DeadlineError,
    InvalidRequestError,
    LogClosedError,
    LogFullError,
    LogReadOnlyError,
    OtherLogError,
    PreconditionError,
    ProglogError,
    TooManyCallsError,
    UnavailableError,
    UsageError,
)
from proglog.tasks import TaskScope
from proglog.wire.contract import LEAST_WINDOW, LOG_KEY, MAX_WINDOW, WINDOW_KEY

logger = logging.getLogger("proglog.client")

CONTACT_SECONDS = 5.0
"""Longest that an agent may take to say which log it is, before it counts as away."""
MOVE_SECONDS = 2.0
"""Seconds that an agent with unanswered batches is waited for while others could take the rest."""
SHORT_SECONDS = 1.0
"""A connection that breaks within so many brings no news: what is wrong was said."""
_REFUSALS = (InvalidRequestError, PreconditionError)
"""After these nothing of a batch was appended; trying the same again is in vain."""
_IN_VAIN = (AccessError, ConfigError, UsageError, *_REFUSALS)
"""Errors that no retry fixes, once every agent returns one."""

Stream: TypeAlias = "grpc.aio.StreamStreamCall[batches_pb2.ProduceBatchRequest, batches_pb2.ProduceBatchResponse]"


class Host(Protocol):
    """Whose batches a courier carries."""

    def settled(self, batches: Sequence[Batch]) -> None:
        """Report outcomes."""

    def lost(self, batches: list[Batch], cause: ProglogError) -> None:
        """Report that batches were given up."""

    def acknowledged_batch(self, acknowledged: Acknowledged) -> None:
        """Report where a batch is."""

    def broken(self, cause: ProglogError) -> None:
        """Report that the stream broke that is now tried again."""

    def fail(self, cause: ProglogError) -> None:
        """Give up everything."""

    def met_bug(self, exc: Exception) -> None:
        """Give up everything, for a mistake of this program."""


class Courier:
    """Carries the batches of one accumulator, for one opening of a producer."""

    def __init__(
        self,
        host: Host,
        links: Sequence[Link],
        accumulator: Accumulator,
        *,
        acks: Acks,
        ack_timeout: float | None,
        timeout: float,
        patient: bool,
        log: bytes,
    ) -> None:
        """Do nothing before :meth:`run`.

        Args:
            host: Receives the outcomes.
            links: The agents, in the order in which they are preferred.
            accumulator: What there is to send.
            acks: Nodes on which a batch has to be durable.
            ack_timeout: Seconds that the other nodes have for that; ``None``: the agent's default.
            timeout: Seconds after which a batch is given up.
            patient: Never turn from an agent that may have batches without an answer.
            log: The log that was sent to last; empty: none.
        """
        self.trouble: ProglogError | None = None
        """Why the last try failed; ``None`` since the last contact."""
        self.draining = False
        """Whether nothing more comes: ends when everything is settled."""
        self.failed = False
        """Whether the host has given up."""
        self.log = log
        """The log that took the stream."""
        self._host = host
        self._links = links
        self._accumulator = accumulator
        self._acks = acks
        self._requests = ProduceRequests(acks, None if ack_timeout is None else round(ack_timeout * 1000))
        self._timeout = timeout
        self._patient = patient
        self._loop = asyncio.get_running_loop()
        self._failover = Failover(len(links), timeout, self._loop.time())
        self._trouble_since = 0.0
        self._contact_at = float("-inf")
        self._said: ProglogError | None = None
        """The trouble that was reported last."""
        self._may_send = asyncio.Event()
        self._call: Stream | None = None
        self._dropped: ProglogError | None = None
        """Why the call was cancelled from here: nothing more is sent on it, and no answer on it is believed."""

    @property
    def addr(self) -> str:
        """The agent that is asked."""
        return self._links[self._failover.at].addr

    def wake(self) -> None:
        """Check for batches to send."""
        self._may_send.set()

    def drop(self, cause: ProglogError) -> None:
        """End the call, if there is one: what it waits for has been given up."""
        if self._call is not None:
            self._dropped = cause
            self._call.cancel()

    async def run(self) -> None:
        """Hold one call after the other until everything is settled and nothing more comes."""
        try:
            await self._deliver()
        except Exception as exc:  # noqa: BLE001 - a bug must not leave a caller waiting
            self._host.met_bug(exc)

    async def _deliver(self) -> None:
        while True:
            try:
                await self._converse(self._links[self._failover.at])
            except ProglogError as exc:
                self._broke(exc)
            else:
                return
            if self.failed or (self.draining and self._accumulator.empty):
                return
            await asyncio.sleep(self._failover.wait(self._loop.time()))

    def _broke(self, cause: ProglogError) -> None:
        """Take back what was in flight, and decide who is asked next."""
        accumulator = self._accumulator
        if isinstance(cause, _REFUSALS) and accumulator.in_flight:
            self._host.lost(accumulator.refused(cause), cause)
            return
        if isinstance(cause, LogFullError | LogReadOnlyError | LogClosedError | TooManyCallsError):
            accumulator.not_taken()
        else:
            self._host.lost(accumulator.broke(cause), cause)
        if self.failed:
            return
        self._note_trouble(cause)
        at, stays = self._failover.at, self._waits_for_its_log()
        self._failover.failed(cause, self._loop.time())
        if stays:
            self._failover.at = at
        if all(isinstance(row.cause, _IN_VAIN) for row in self._failover.rows):
            self._host.fail(cause)

    def _note_trouble(self, cause: ProglogError) -> None:
        """Report the broken connection, once until the next one succeeds."""
        now = self._loop.time()
        first = self.trouble is None
        if first:
            self._trouble_since = now
        self.trouble = cause
        lasted = first and now > self._contact_at + SHORT_SECONDS
        if self._said is None or lasted or type(cause) is not type(self._said):
            self._said = cause
            logger.warning("%s; trying again", placed(self.addr, cause))
            self._host.broken(cause)

    def _waits_for_its_log(self) -> bool:
        if len(self._links) == 1 or not self._accumulator.sent_records:
            return False
        return self._patient or self._loop.time() < self._trouble_since + MOVE_SECONDS

    async def _converse(self, link: Link) -> None:
        """Hold one call: learn which log this is, then send everything that has no answer yet, in order."""
        met = asyncio.Event()
        self._dropped = None
        async with link.lease() as wire, TaskScope() as tasks:
            call: Stream = wire.batches.Produce()
            self._call = call
            try:
                with failures(link.error_of):
                    tasks.start(self._send_to(call, met), name="producer-send")
                    log, window = await _introduction(call, min(self._timeout, CONTACT_SECONDS))
                    self._meet(log, link)
                    self._accumulator.remember(window)
                    met.set()
                    while isinstance(response := await call.read(), batches_pb2.ProduceBatchResponse):
                        self._answered(response)
            except ProglogError as exc:
                raise self._dropped or exc from exc
            finally:
                self._call = None
                call.cancel()
        if not (self.draining and self._accumulator.empty):
            raise UnavailableError(f"{link.addr} ended the stream with unanswered batches")

    def _meet(self, log: bytes, link: Link) -> None:
        """Remember the log that takes the stream. Another one gets a new life, and nothing that may be in the first."""
        if self.log and self.log != log:
            if self._accumulator.sent_records:
                cause = OtherLogError(
                    f"{link.addr} is another log than the one that was sent to: what was not answered is not sent again,"
                    " since copies of it may be in the cluster"
                )
                self._host.lost(self._accumulator.abandon(cause), cause)
            self._accumulator.begin_life()
        self.log = log
        self.trouble = None
        self._contact_at = self._loop.time()
        self._failover.contact(self._loop.time())

    async def _send_to(self, call: Stream, met: asyncio.Event) -> None:
        await met.wait()
        try:
            await self._send_all(call)
        except Exception as exc:  # noqa: BLE001 - a bug must not leave a caller waiting
            self._host.met_bug(exc)

    async def _send_all(self, call: Stream) -> None:
        accumulator = self._accumulator
        while True:
            self._may_send.clear()
            while (batch := self._next_batch()) is not None:
                if not await send(call, self._requests.serialize(batch.data)):
                    return
            if self.draining and accumulator.empty:
                await call.done_writing()
                return
            await self._may_send.wait()

    def _next_batch(self) -> Batch | None:
        """Return what to send next; nothing on a dropped call, whose batches would count as sent."""
        if self._dropped is not None:
            return None
        return self._accumulator.next_to_send(self._loop.time(), all_of_it=self.draining)

    def _answered(self, response: batches_pb2.ProduceBatchResponse) -> None:
        """Settle the oldest batch in flight, unless the call was dropped since: what this answers has been given up."""
        if self._dropped is not None:
            return
        if not self._accumulator.in_flight:
            raise UnavailableError("the agent sent an answer to no request")
        self._said = None
        if response.unconfirmed:
            cause = DeadlineError(f"durable on {response.copies} nodes, and not confirmed on {nodes_words(self._acks)}")
            self._host.settled([self._accumulator.answered(Failed(cause, unknown=True, unconfirmed=True))])
        else:
            acknowledged = Acknowledged(
                response.base_offset, response.end_offset, response.origin, response.base_sequence, response.copies
            )
            self._host.settled([self._accumulator.answered(acknowledged)])
            self._host.acknowledged_batch(acknowledged)
        self._may_send.set()


async def _introduction(call: Stream, timeout: float) -> tuple[bytes, int]:
    """Return which log takes the stream, and how many batches of a producer it remembers.

    Raises:
        DeadlineError: The agent did not say so in time.
        AioRpcError: It refused.
    """
    try:
        async with asyncio.timeout(timeout):
            said = dict(await call.initial_metadata() or ())
            log = said.get(LOG_KEY)
            if isinstance(log, bytes):
                return log, _window(said.get(WINDOW_KEY))
            await call.code()  # it has failed; reading says how
            await call.read()
    except TimeoutError:
        raise DeadlineError(f"the agent did not answer within {timeout:g} s; nothing was sent") from None
    raise UnavailableError("the server does not identify its log: it is no agent of this version")


def _window(said: str | bytes | None) -> int:
    """Return how many batches an agent remembers; what is no number was not said."""
    text = said if isinstance(said, str) else ""
    if not (text.isascii() and text.isdigit() and len(text) <= 4):
        return LEAST_WINDOW
    return max(1, min(int(text), MAX_WINDOW))
