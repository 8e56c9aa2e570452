"""What happened lately on this node: a bounded timeline for status and dashboard, and the signal that wakes them."""

import asyncio
from collections import deque
from collections.abc import Callable

from proglog.wire.model import ClusterEvent

MAX_EVENTS = 256
MAX_DETAIL_CHARS = 500
"""Details may quote what a peer said: cut, so that a status message stays small."""


class Timeline:
    """The newest events, and a version that grows with each change worth showing."""

    def __init__(self, now_ms: Callable[[], int]) -> None:
        """Start empty; ``now_ms`` is milliseconds since 1970."""
        self._now_ms = now_ms
        self._events: deque[ClusterEvent] = deque(maxlen=MAX_EVENTS)
        self._version = 0
        self._changed = asyncio.Event()

    @property
    def events(self) -> tuple[ClusterEvent, ...]:
        """The newest last, at most ``MAX_EVENTS``."""
        return tuple(self._events)

    @property
    def version(self) -> int:
        """Grows with every event and every :meth:`touch`."""
        return self._version

    def record(self, kind: str, subject: str, detail: str = "") -> None:
        """Remember that ``kind`` happened to ``subject``."""
        self._events.append(
            ClusterEvent(at_ms=self._now_ms(), kind=kind, subject=subject, detail=detail[:MAX_DETAIL_CHARS])
        )
        self.touch()

    def touch(self) -> None:
        """Wake those who wait: something worth showing changed, though nothing happened."""
        self._version += 1
        self._changed.set()

    async def wait_changed(self, version: int) -> int:
        """Return the current version once it differs from ``version``."""
        while self._version == version:
            self._changed.clear()
            await self._changed.wait()
        return self._version
