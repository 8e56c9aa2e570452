"""The latest events of this node: logged as they happen, kept for status and dashboard, and the signal that wakes those."""

import asyncio
import time
from collections import Counter, deque
from collections.abc import Callable, Mapping
from typing import Any

from proglog.agent.conditions import Conditions
from proglog.telemetry.emit import EventKind, emitter
from proglog.wire.model import ClusterEvent, Condition

MAX_EVENTS = 256
COUNTED_LEVELS = ("warning", "error")
MAX_DETAIL_CHARS = 500
"""Details may quote what a peer said: cut, so that a status message stays small."""


class Timeline:
    """The newest events, and a version that grows with each change worth showing."""

    def __init__(self, now_ms: Callable[[], int], node_name: str) -> None:
        """Start empty.

        Args:
            now_ms: The wall clock, milliseconds since 1970.
            node_name: Subject of events about the node itself.
        """
        self._now_ms = now_ms
        self._node_name = node_name
        self._log = emitter(node=node_name)
        self._events: deque[ClusterEvent] = deque(maxlen=MAX_EVENTS)
        self.on_line: Callable[[EventKind, str, str, Mapping[str, Any]], None] = lambda *_: None
        """Also receives each line of telemetry."""
        self.counts: Counter[tuple[str, str]] = Counter()
        """Events from level warning on since the start, by name and level."""
        self.lasting = Conditions()
        """The events that nothing has ended yet."""
        self._version = 0
        self._changed = asyncio.Event()

    @property
    def events(self) -> tuple[ClusterEvent, ...]:
        """The newest last, at most ``MAX_EVENTS``."""
        return tuple(self._events)

    def conditions(self) -> tuple[Condition, ...]:
        """Return the events that nothing has ended yet, the oldest first."""
        return self.lasting.standing(time.monotonic())

    @property
    def version(self) -> int:
        """Grows with every event and every :meth:`touch`."""
        return self._version

    def emit(
        self,
        kind: EventKind,
        subject: str = "",
        detail: str = "",
        /,
        *,
        exc_info: BaseException | None = None,
        **facts: Any,
    ) -> None:
        """Log an event, and keep it if its kind is shown; see :class:`proglog.telemetry.emit.Emit`."""
        self._log(kind, subject, detail, exc_info=exc_info, **facts)
        if kind.level in COUNTED_LEVELS:
            self.counts[kind.name, kind.level] += 1
        self.on_line(kind, subject, detail, facts)
        shown = f"origin {facts['origin']}: {detail}" if "origin" in facts else detail
        about = subject or self._node_name
        self.lasting.take(kind, about, shown[:MAX_DETAIL_CHARS], time.monotonic(), facts.get("origin", ""))
        if not kind.words:
            return
        self._events.append(
            ClusterEvent(
                at_ms=self._now_ms(),
                kind=kind.status_name,
                subject=about,
                detail=shown[:MAX_DETAIL_CHARS],
            )
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
