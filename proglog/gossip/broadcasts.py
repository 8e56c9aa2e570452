"""Transmit-limited broadcasts: every message is sent a bounded number of times, the newest first.

A queue picks messages while they fit: those sent least often, then the longest, then the newest. With a key (a node's
name), a new message replaces the previous one about the same subject. A message that fits no packet is refused.

Source: Das, Gupta, Motivala 2002, "SWIM", section 4.1; memberlist ``queue.go``.
"""

import heapq
from collections.abc import Callable
from dataclasses import dataclass, field

LEAST_BOUND, QUEUED_PER_NODE = 4096, 2
"""Beyond so many messages, and so many for each node, those sent most often are dropped: gossip is best effort, memory is not."""
_MAX_PASSED_OVER = 64
"""Messages that don't fit the rest of a packet before the packet counts as full."""


@dataclass(slots=True, eq=False)
class _Item:
    message: bytes
    key: str | None
    order: int
    finished: Callable[[], None] | None
    transmits: int = field(default=0)
    gone: bool = field(default=False)

    @property
    def rank(self) -> tuple[int, int, int]:
        return self.transmits, -len(self.message), -self.order


class BroadcastQueue:
    """Messages that still have transmits left."""

    def __init__(self, added: Callable[[], None], max_bytes: int, nodes: Callable[[], int] = lambda: 0) -> None:
        """Start empty.

        Args:
            added: Called when there is something to send.
            max_bytes: The longest message that fits a packet.
            nodes: Returns the number of known nodes.
        """
        self._added = added
        self._max_bytes = max_bytes
        self._nodes = nodes
        self._heap: list[tuple[tuple[int, int, int], _Item]] = []
        self._by_key: dict[str, _Item] = {}
        self._order = 0
        self._size = 0

    def __len__(self) -> int:
        return self._size

    @property
    def bound(self) -> int:
        """Most messages: in a large cluster, all may have news of all."""
        return max(LEAST_BOUND, QUEUED_PER_NODE * self._nodes())

    def add(self, message: bytes, *, key: str | None = None, finished: Callable[[], None] | None = None) -> bool:
        """Queue ``message``; return whether it fits a packet and could be queued.

        Args:
            message: Not empty.
            key: Replaces the message with the same one.
            finished: Called when it was sent often enough, replaced, dropped or refused.
        """
        assert message, "an empty part makes older agents exit"
        if len(message) > self._max_bytes:
            _finish([] if finished is None else [_Item(message, key, 0, finished)])
            return False
        replaced = self._by_key.get(key) if key is not None else None
        item = _Item(message, key, self._order, finished)
        self._order += 1
        if key is not None:
            self._by_key[key] = item
        self._push(item)
        self._size += 1
        gone = [] if replaced is None else [replaced]
        self._drop(gone)
        if self._size > self.bound:
            worn = sorted((item for _, item in self._heap if not item.gone), key=lambda item: item.rank)
            given_up = worn[-self.bound // 8 :]
            gone += given_up
            self._drop(given_up)
        if len(self._heap) > 2 * self._size + 64:
            self._heap = [entry for entry in self._heap if not entry[1].gone]
            heapq.heapify(self._heap)
        self._added()
        _finish(gone)
        return True

    def take(self, limit_bytes: int, overhead_bytes: int, transmit_limit: int) -> list[bytes]:
        """Return messages for one packet and count one transmit for each.

        Args:
            limit_bytes: Room in the packet.
            overhead_bytes: Framing of each message.
            transmit_limit: Sends after which a message is done.
        """
        taken: list[_Item] = []
        passed_over: list[_Item] = []
        while self._heap and limit_bytes > overhead_bytes and len(passed_over) < _MAX_PASSED_OVER:
            item = heapq.heappop(self._heap)[1]
            if item.gone:
                continue
            if len(item.message) + overhead_bytes > limit_bytes:
                passed_over.append(item)
                continue
            limit_bytes -= len(item.message) + overhead_bytes
            item.transmits += 1
            taken.append(item)
        done = [item for item in taken if item.transmits >= transmit_limit]
        self._drop(done)
        for item in taken + passed_over:
            if not item.gone:
                self._push(item)
        _finish(done)
        return [item.message for item in taken]

    def _push(self, item: _Item) -> None:
        heapq.heappush(self._heap, (item.rank, item))  # ranks are unique: items are never compared

    def _drop(self, gone: list[_Item]) -> None:
        for item in gone:
            item.gone = True
            self._size -= 1
            if item.key is not None and self._by_key.get(item.key) is item:
                del self._by_key[item.key]


def _finish(gone: list[_Item]) -> None:
    for item in gone:
        if item.finished is not None:
            item.finished()
