"""A consumer's named position while it works: found at the start, committed as it goes and at the end.

::

    async with PositionCommitter(clients, "nightly") as committer:
        consumer = Consumer(clients, committer.cursor)         None: nothing was committed yet
        async for fetched in consumer:
            ...                                             deal with it, durably
            committer.dealt_with(consumer.cursor)

What was dealt with and not committed when the consumer or its node dies is handed out again: *at least once*. A consumer
that ends in order has committed everything: then nothing is repeated. One consumer at a time may use a name: two would
not hinder each other, but share one position.
"""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from types import TracebackType
from typing import Self, TypeVar

from proglog.client.client import Client
from proglog.client.cursor import Cursor
from proglog.client.positions import NamedPosition, check_name
from proglog.errors import ProglogError, TooManyCallsError, is_out_of_reach
from proglog.tasks import TaskScope
from proglog.wire.contract import ALL_ACKS

Answer = TypeVar("Answer")

DEFAULT_INTERVAL = 5.0
COPY_TIMEOUT = 1.0
"""Seconds that a commit waits for other nodes: beyond that it is durable on one and on its way."""


class PositionCommitter:
    """Keeps one named position. ``async with`` finds it, commits every few seconds, and at the end."""

    def __init__(
        self,
        clients: Sequence[Client],
        name: str,
        *,
        reset: bool = False,
        interval: float = DEFAULT_INTERVAL,
        on_problem: Callable[[ProglogError], None] = lambda _: None,
    ) -> None:
        """Nothing is asked yet.

        Raises:
            InvalidRequestError: A position cannot have that name.

        Args:
            clients: Whoever answers of them is asked, and told.
            name: 1 to 128 printable characters.
            reset: Start over: forget what was committed.
            interval: Seconds between two commits.
            on_problem: Told of a commit on the way that did not succeed: the next one makes up for it.
        """
        self.cursor: Cursor | None = None
        """Where to start; ``None``: nothing was committed yet, or it was to be forgotten."""
        self._clients = clients
        self._name = check_name(name)
        self._reset = reset
        self._interval = interval
        self._on_problem = on_problem
        self._epoch = 0
        self._dealt_with: Cursor | None = None
        self._committed: Cursor | None = None
        self._committing = asyncio.Lock()
        self._tasks = TaskScope()

    async def __aenter__(self) -> Self:
        """Find the position: what all agents that can be reached know together.

        Raises:
            ProglogError: No agent could be asked.
        """
        found = await self._found()
        if found is not None:
            self._epoch = found.epoch + self._reset
            self.cursor = None if self._reset else found.cursor
        self._committed = self.cursor
        self._tasks.start(self._tick(), name="position-committer")
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Commit what was dealt with, to every server alive.

        Raises:
            ProglogError: That did not succeed, and nothing else has failed: what came last will be handed out again.
        """
        await self._tasks.close()
        try:
            await self.commit(acks=ALL_ACKS)
        except ProglogError as exc:
            if error is None:
                raise
            self._on_problem(exc)

    def dealt_with(self, cursor: Cursor | None) -> None:
        """Everything before ``cursor`` needs not be handed out again."""
        self._dealt_with = cursor

    async def commit(self, acks: int = 2) -> None:
        """Commit what was dealt with, if that is more than the last time.

        Raises:
            PreconditionError: Somebody has started the name over.
            ProglogError: No agent took it.
        """
        async with self._committing:
            cursor = self._dealt_with
            if cursor is None or cursor == self._committed:
                return
            await self._anybody(
                lambda client: client.commit_position(
                    self._name, cursor, epoch=self._epoch, acks=acks, ack_timeout=COPY_TIMEOUT
                )
            )
            self._committed = cursor

    async def _tick(self) -> None:
        while True:
            await asyncio.sleep(self._interval)
            try:
                await self.commit()
            except ProglogError as exc:
                self._on_problem(exc)

    async def _found(self) -> NamedPosition | None:
        answers = await asyncio.gather(
            *(client.positions(self._name) for client in self._clients), return_exceptions=True
        )
        known: NamedPosition | None = None
        for answer in answers:
            if not isinstance(answer, BaseException):
                for each in answer:
                    known = each if known is None else known.join(each)
            elif not isinstance(answer, ProglogError):
                raise answer
        if all(isinstance(answer, BaseException) for answer in answers):
            assert isinstance(answers[0], BaseException)
            raise answers[0]
        return known

    async def _anybody(self, ask: Callable[[Client], Awaitable[Answer]]) -> Answer:
        """Return the answer of the first client that can be reached."""
        failure: ProglogError | None = None
        for client in self._clients:
            try:
                return await ask(client)
            except ProglogError as exc:
                if not is_out_of_reach(exc) and not isinstance(exc, TooManyCallsError):
                    raise
                failure = failure or exc
        assert failure is not None  # there is a client
        raise failure
