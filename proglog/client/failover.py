"""A consumer of several agents: when the one it reads from goes away, it reads on at the next.

It carries its cursor along, so it misses nothing and repeats nothing: a record is passed over where it was handed out
before, whatever its offset there. What another agent has not received yet is waited for with ``follow``; without it,
the end is that of the agent's log when it is asked. ::

    reading from a --- a goes away ---> b: everything after the cursor --- b goes away ---> c ... a ...
"""

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Sequence

from proglog.client.client import Client
from proglog.client.consumer import ConsumeStream, FetchedBatch, Gone
from proglog.client.cursor import Cursor
from proglog.client.offset_spec import OffsetSpec, OffsetSpecKind
from proglog.errors import (
    DataLossError,
    PositionGoneError,
    ProglogError,
    TooManyCallsError,
    is_out_of_reach,
)

ROUND_INTERVAL = 0.2
"""Seconds between two rounds through agents that all failed."""

_NOT_HERE = (PositionGoneError, DataLossError)
"""Another agent may have it."""


class Consumer:
    """Iterate over it once; :attr:`cursor` says where it is. The clients stay the caller's to close."""

    def __init__(
        self,
        clients: Sequence[Client],
        start: OffsetSpec | Cursor | None = None,
        end: OffsetSpec | None = None,
        *,
        follow: bool = False,
        limit: int | None = None,
        skip_gone: bool = False,
        on_gone: Callable[[Gone], None] = lambda _: None,
        on_move: Callable[[Client, ProglogError], None] = lambda *_: None,
    ) -> None:
        """Read from the first of ``clients``; nothing is sent yet. The rest is :meth:`Client.consume`'s.

        Args:
            clients: In the order in which they are tried; each with the cluster's records.
            start: As :meth:`Client.consume`.
            end: As :meth:`Client.consume`. A place in one agent's log cannot be taken along to another, a time can.
            follow: As :meth:`Client.consume`.
            limit: As :meth:`Client.consume`.
            skip_gone: As :meth:`Client.consume`.
            on_gone: As :meth:`Client.consume`.
            on_move: Told which client reads on, and why the one before does not; not in further rounds through all.
        """
        assert clients, "somebody has to be asked"
        self._clients = clients
        self._at = 0
        self._start = start
        self._end = end
        self._follow = follow
        self._left = limit
        self._skip_gone = skip_gone
        self._on_gone = on_gone
        self._on_move = on_move
        self._stream: ConsumeStream | None = None
        self._failures = 0
        self._failing_since = 0.0

    @property
    def cursor(self) -> Cursor | None:
        """Everything handed out so far; ``None`` until an agent has said where the range starts."""
        if self._stream is not None and self._stream.is_resolved:
            return self._stream.cursor
        return self._start if isinstance(self._start, Cursor) else None

    async def __aiter__(self) -> AsyncIterator[FetchedBatch]:
        """Yield the batches of the range, in order for each origin.

        Raises:
            ProglogError: No agent can go on; the last one's reason.
        """
        while True:
            stream = self._open()
            try:
                async for fetched in stream:
                    self._failures = 0
                    if self._left is not None:
                        self._left -= fetched.end_offset - fetched.start_offset
                    yield fetched
            except ProglogError as exc:
                await self._move(exc)
            else:
                return
            finally:
                stream.cancel()

    def _open(self) -> ConsumeStream:
        self._stream = self._clients[self._at].consume(
            self.cursor or self._start,
            self._end,
            follow=self._follow,
            limit=self._left,
            skip_gone=self._skip_gone,
            on_gone=self._on_gone,
        )
        return self._stream

    async def _move(self, cause: ProglogError) -> None:
        """Turn to the next client, or raise ``cause`` if that cannot help."""
        cursor = self.cursor
        if self._failures == 0:
            self._failing_since = time.monotonic()
        self._failures += 1
        if not self._can_move(cause, cursor):
            raise cause
        self._start = cursor or self._start
        if self._failures % len(self._clients) == 0:
            await asyncio.sleep(ROUND_INTERVAL)
        self._at = (self._at + 1) % len(self._clients)
        if self._failures <= len(self._clients):
            self._on_move(self._clients[self._at], cause)

    def _can_move(self, cause: ProglogError, cursor: Cursor | None) -> bool:
        elsewhere = is_out_of_reach(cause) or isinstance(cause, (*_NOT_HERE, TooManyCallsError))
        if len(self._clients) == 1 or not elsewhere:
            return False
        if _is_of_one_log(self._end) or (cursor is None and _is_of_one_log(self._start)):
            return False
        if self._failures < len(self._clients):
            return True
        waited = time.monotonic() - self._failing_since
        return not isinstance(cause, _NOT_HERE) and waited < self._clients[self._at].timeout


def _is_of_one_log(place: OffsetSpec | Cursor | None) -> bool:
    """Whether a place means something else in another agent's log: all but its two ends and times do."""
    if not isinstance(place, OffsetSpec) or place.kind is OffsetSpecKind.TIME_MS:
        return False
    return place.kind is OffsetSpecKind.OFFSET or place.value != 0
