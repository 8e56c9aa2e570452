"""User events received by this node: the latest, and each new one for followers."""

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass

from proglog.gossip.events import UserEventReceived

MAX_KEPT = 256
"""A follower that is further behind misses the oldest."""


@dataclass(frozen=True, slots=True)
class FedEvent:
    """An event, and when this node received it."""

    event: UserEventReceived
    at_ms: int


class EventFeed:
    """Keeps the latest ``MAX_KEPT``."""

    def __init__(self, now_ms: Callable[[], int]) -> None:
        """Start empty; ``now_ms`` is the wall clock."""
        self._now_ms = now_ms
        self._kept: deque[tuple[int, FedEvent]] = deque(maxlen=MAX_KEPT)
        self._count = 0
        self._grown = asyncio.Event()

    def add(self, event: UserEventReceived) -> None:
        """Add an event."""
        self._count += 1
        self._kept.append((self._count, FedEvent(event, self._now_ms())))
        self._grown.set()

    async def follow(self, *, wait: bool, only_new: bool) -> AsyncIterator[FedEvent]:
        """Yield the kept events, unless ``only_new``; with ``wait``, each new one as it arrives."""
        told = self._count if only_new else 0
        while True:
            for number, fed in [each for each in self._kept if each[0] > told]:
                told = number
                yield fed
            if not wait:
                return
            while told >= self._count:
                self._grown.clear()
                await self._grown.wait()
