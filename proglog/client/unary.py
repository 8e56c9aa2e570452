"""Calls with one answer: to one agent after the other, within one timeout for all of them."""

import asyncio
import time
from collections.abc import Awaitable, Callable, Sequence
from typing import TypeVar

from proglog.client.channel import BUSY_INTERVAL, failures, understood
from proglog.client.failover import Kind, kind_of
from proglog.client.link import Link, Wire
from proglog.errors import ProglogError, TooManyCallsError

Answer = TypeVar("Answer")


class UnaryCalls:
    """Asks the agents of one client."""

    def __init__(self, links: Sequence[Link], timeout: float) -> None:
        """Ask in the order of ``links``; ``timeout`` seconds for each call in all."""
        self._links = links
        self._timeout = timeout

    async def ask(
        self,
        method: Callable[[Wire], Callable[..., Awaitable[Answer]]],
        request: object,
        more_time: float = 0.0,
        links: Sequence[Link] | None = None,
    ) -> Answer:
        """Ask one agent after the other, in one timeout for all: those that are away, or take nothing now, are passed.

        Raises:
            ProglogError: What says most about why none has answered.
        """
        asked = self._links if links is None else links
        until = time.monotonic() + self._timeout + more_time
        causes: list[ProglogError] = []
        for index, link in enumerate(asked):
            share = (until - time.monotonic()) / (len(asked) - index)
            try:
                return await self._answer(link, method, request, time.monotonic() + share)
            except ProglogError as exc:
                if kind_of(exc) not in (Kind.AWAY, Kind.FULL):
                    raise
                causes.append(exc)
        raise max(causes, key=kind_of)

    async def _answer(
        self, link: Link, method: Callable[[Wire], Callable[..., Awaitable[Answer]]], request: object, until: float
    ) -> Answer:
        """Call, and call again while the server has too many calls under way."""
        while True:
            try:
                async with link.lease() as wire:
                    with failures(link.error_of):
                        left = max(until - time.monotonic(), 0.001)
                        return understood(await method(wire)(request, timeout=left), link.addr)
            except TooManyCallsError:
                if time.monotonic() + BUSY_INTERVAL >= until:
                    raise
            await asyncio.sleep(BUSY_INTERVAL)
