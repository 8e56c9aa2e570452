"""A consumer whose named position lives in the cluster: it resumes where the previous one stopped.

::

    async with client.named("nightly") as job:
        async for batch in job:
            ...                                 deal with it, durably
                                                asking for the next batch says that this one is dealt with

What was dealt with is committed every few seconds, and at the end to every server alive. What was handed out and not
committed when a consumer dies is handed out again: *at least once*; one that ends in order repeats nothing. One consumer at
a time may use a name: two would not hinder each other, but share one position.
"""

import asyncio
import logging
from collections.abc import Callable
from types import TracebackType
from typing import Protocol, Self

from proglog.client.arguments import seconds
from proglog.client.consumer import Consumer
from proglog.client.copies_asked import Acks
from proglog.client.cursor import Cursor
from proglog.client.fetched import FetchedBatch
from proglog.client.positions import NamedPosition, check_name
from proglog.errors import ClosedError, InternalError, InvalidRequestError, PreconditionError, ProglogError
from proglog.tasks import TaskScope

logger = logging.getLogger("proglog.client")

DEFAULT_INTERVAL = 5.0
COPY_TIMEOUT = 1.0
"""Seconds that a commit waits for other nodes: beyond that it is durable on one and on its way."""
COMMIT_ACKS = 2
"""Nodes that a commit on the way should be on."""
_FINAL = (PreconditionError, InvalidRequestError)
"""Errors that no retry of a commit fixes: the name was reset elsewhere, or cannot be stored."""


class PositionKeeper(Protocol):
    """Finds and commits positions: a client."""

    async def find_position(self, name: str) -> NamedPosition | None:
        """As :meth:`proglog.client.Client.find_position`."""

    async def commit_position(
        self, name: str, cursor: Cursor, *, epoch: int = 0, acks: Acks = 2, ack_timeout: float = 1.0
    ) -> int:
        """As :meth:`proglog.client.Client.commit_position`."""
        ...


class NamedConsumer:
    """Made by :meth:`Client.named`. ``async with`` finds its position, commits as it goes, and at the end."""

    def __init__(
        self,
        client: PositionKeeper,
        name: str,
        consume: Callable[[Cursor | None], Consumer],
        *,
        reset: bool,
        interval: float,
        by_hand: bool,
        on_problem: Callable[[ProglogError], None] | None,
    ) -> None:
        """See :meth:`Client.named`.

        Raises:
            InvalidRequestError: A position cannot have that name, or the interval is none.
        """
        self.name = check_name(name)
        self._client = client
        self._consume = consume
        self._reset = reset
        self._interval = seconds("interval", interval, 86_400)
        self._by_hand = by_hand
        self._on_problem = on_problem
        self._consumer: Consumer | None = None
        self._epoch = 0
        self._handed_out: Cursor | None = None
        self._processed: Cursor | None = None
        self._committed: tuple[Cursor | None, bool] = None, True
        """What was, and whether to every server alive."""
        self._committing = asyncio.Lock()
        self._final: ProglogError | None = None
        """The error that prevents further commits."""
        self._tasks = TaskScope()

    async def __aenter__(self) -> Self:
        """As :meth:`enter`."""
        await self.enter()
        return self

    async def enter(self) -> None:
        """Find the position: what all agents that can be reached know together.

        Raises:
            ProglogError: No agent could be asked.
        """
        found = await self._client.find_position(self.name)
        cursor = None
        if found is not None:
            self._epoch = found.epoch + self._reset
            cursor = None if self._reset or found.deleted else found.cursor
        self._committed = cursor, True
        self._consumer = self._consume(cursor)
        self._tasks.start(self._tick(), name="named-consumer")

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """As :meth:`leave`."""
        await self.leave(error)

    async def close(self) -> None:
        """As :meth:`leave` in order."""
        await self.leave()

    async def leave(self, error: BaseException | None = None) -> None:
        """Commit what was dealt with, to every server alive. After an error, the last batch handed out was not.

        Raises:
            ProglogError: That did not succeed, and nothing else has failed: what came last will be handed out again.
        """
        await self._tasks.close()
        if error is None and not self._by_hand:
            self._processed = self._handed_out
        try:
            if self._final is None:
                await self.commit(acks="all")
        except ProglogError as exc:
            if error is None:
                raise
            self._report(exc)
        finally:
            if self._consumer is not None:
                await self._consumer.close()

    @property
    def consumer(self) -> Consumer:
        """What reads.

        Raises:
            ClosedError: It was not entered.
        """
        if self._consumer is None:
            raise ClosedError("a named consumer is used with `async with`")
        return self._consumer

    @property
    def cursor(self) -> Cursor | None:
        """Everything handed out so far."""
        return self.consumer.cursor

    @property
    def committed(self) -> Cursor | None:
        """The position that was found or committed last; ``None``: none."""
        return self._committed[0]

    @property
    def ended(self) -> bool:
        """Whether everything in the range was handed out."""
        return self.consumer.ended

    def __aiter__(self) -> Self:
        """Return itself."""
        return self

    async def __anext__(self) -> FetchedBatch:
        """Return the next batch; errors as those of :meth:`get`."""
        batch = await self.get()
        if batch is None:
            raise StopAsyncIteration
        return batch

    async def get(self, timeout: float | None = None) -> FetchedBatch | None:
        """Mark the previous batch as processed; return the next, or ``None``, as :meth:`Consumer.get`.

        Raises:
            PreconditionError: The name was started over elsewhere: nothing can be committed any more.
            PositionGoneError: Records are gone, and were not to be skipped.
            ProglogError: As :meth:`Consumer.get`.
        """
        if not self._by_hand:
            self._processed = self._handed_out
        if self._final is not None:
            raise self._final
        batch = await self.consumer.get(timeout)
        if batch is not None:
            self._handed_out = batch.cursor
        return batch

    def processed(self, cursor: Cursor | None) -> None:
        """Mark everything before ``cursor`` as processed: ``batch.cursor``, ``batch.cursor_after(record)``.

        Together with ``by_hand``; without, asking for the next batch says more.
        """
        self._processed = cursor

    async def commit(self, acks: Acks = COMMIT_ACKS) -> None:
        """Commit what was dealt with, if that is more than the last time, or is to be on more nodes.

        Raises:
            PreconditionError: Another consumer has reset the name.
            ProglogError: No agent took it.
        """
        async with self._committing:
            cursor, everywhere = self._processed, acks == "all"
            known, known_everywhere = self._committed
            if cursor is None or (cursor == known and (known_everywhere or not everywhere)):
                return
            try:
                await self._client.commit_position(
                    self.name, cursor, epoch=self._epoch, acks=acks, ack_timeout=COPY_TIMEOUT
                )
            except _FINAL as exc:
                self._final = exc
                raise
            self._committed = cursor, everywhere

    async def _tick(self) -> None:
        while self._final is None:
            await asyncio.sleep(self._interval)
            try:
                await self.commit()
            except ProglogError as exc:
                self._report(exc)
            except Exception as exc:  # the next call raises it: this task is never awaited
                logger.exception("%s: committing met a bug", self.name)
                self._final = InternalError(f"this is a bug in proglog's client: {exc!r}")

    def _report(self, cause: ProglogError) -> None:
        again = "" if cause is self._final else "; it will be tried again"
        logger.warning("position %s was not committed: %s%s", self.name, cause, again)
        if self._on_problem is not None:
            self._on_problem(cause)
