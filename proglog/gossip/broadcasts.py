"""Transmit-limited broadcasts: every message leaves a bounded number of times, the news before the well-worn.

A queue picks, as long as they fit: the message sent least often, of those the longest, of those the newest. With a key
(a node's name), a new message replaces the one before about the same subject.

Source: Das, Gupta, Motivala 2002, "SWIM", section 4.1; memberlist ``queue.go``.
"""

from collections.abc import Callable
from dataclasses import dataclass, field

MAX_QUEUED = 4096
"""Beyond this, what was sent most often is given up: gossip is best effort, memory is not."""


@dataclass(slots=True, eq=False)
class _Item:
    message: bytes
    key: str | None
    order: int
    finished: Callable[[], None] | None
    transmits: int = field(default=0)

    @property
    def rank(self) -> tuple[int, int, int]:
        return self.transmits, -len(self.message), -self.order


class BroadcastQueue:
    """Messages that still have transmits left."""

    def __init__(self, added: Callable[[], None]) -> None:
        """Start empty; ``added`` is called when there is something to send."""
        self._added = added
        self._items: list[_Item] = []
        self._order = 0

    def __len__(self) -> int:
        return len(self._items)

    def add(self, message: bytes, *, key: str | None = None, finished: Callable[[], None] | None = None) -> None:
        """Queue ``message``; ``finished`` is called when it was sent often enough or was replaced."""
        assert message, "an empty part makes older agents exit"
        if key is not None:
            self._remove([item for item in self._items if item.key == key])
        self._items.append(_Item(message, key, self._order, finished))
        self._order += 1
        if len(self._items) > MAX_QUEUED:
            self._remove([max(self._items, key=lambda item: item.rank)])
        self._added()

    def take(self, limit_bytes: int, overhead_bytes: int, transmit_limit: int) -> list[bytes]:
        """Return messages for one packet and count one transmit for each.

        Args:
            limit_bytes: What the packet has room for.
            overhead_bytes: What each message takes beside its own bytes.
            transmit_limit: A message sent this often is done.
        """
        taken: list[_Item] = []
        for item in sorted(self._items, key=lambda item: item.rank):
            if len(item.message) + overhead_bytes <= limit_bytes:
                limit_bytes -= len(item.message) + overhead_bytes
                item.transmits += 1
                taken.append(item)
        self._remove([item for item in taken if item.transmits >= transmit_limit])
        return [item.message for item in taken]

    def _remove(self, gone: list[_Item]) -> None:
        for item in gone:
            self._items.remove(item)
        for item in gone:
            if item.finished is not None:
                item.finished()
