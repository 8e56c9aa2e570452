"""Bounds the memory of index entries: an LRU cache of sealed segments' entries, which are read again when needed."""

import threading
from collections import OrderedDict
from collections.abc import Iterable

from proglog.log.segment import Segment
from proglog.types import Offset

MAX_INDEX_MEMORY = 32 * 1024 * 1024
"""Bytes of index entries of sealed segments kept in memory; the least recently used go first."""


class IndexCache:
    """Which segments have their entries in memory, the least recently used first."""

    def __init__(self, limit_bytes: int = MAX_INDEX_MEMORY) -> None:
        """Start with none."""
        self._limit_bytes = limit_bytes
        self._used: OrderedDict[Offset, Segment] = OrderedDict()
        self._bytes: dict[Offset, int] = {}
        """Memory of each when it was last looked into, and their sum: a look must not cost a look at all of them."""
        self._sum = 0
        self._mutex = threading.Lock()

    @property
    def memory_bytes(self) -> int:
        """Memory of the entries that are kept."""
        with self._mutex:
            return sum(segment.index.memory_bytes for segment in self._used.values())

    def use(self, segment: Segment) -> None:
        """Note that the index is looked into; let go of others if there are too many."""
        if segment.active:
            return
        with self._mutex:
            used = self._used
            latest = next(reversed(used), None)
            if latest is not None and latest != segment.base_offset:
                self._count(used[latest])  # its entries came into memory after it was noted
            used[segment.base_offset] = segment
            used.move_to_end(segment.base_offset)
            self._count(segment)
            while self._sum > self._limit_bytes and len(used) > 1:
                base_offset, oldest = used.popitem(last=False)
                oldest.forget_entries()
                self._sum -= self._bytes.pop(base_offset)

    def _count(self, segment: Segment) -> None:
        memory_bytes = segment.index.memory_bytes
        self._sum += memory_bytes - self._bytes.get(segment.base_offset, 0)
        self._bytes[segment.base_offset] = memory_bytes

    def forget(self, segments: Iterable[Segment]) -> None:
        """Drop segments that retention removes."""
        with self._mutex:
            for segment in segments:
                self._used.pop(segment.base_offset, None)
                self._sum -= self._bytes.pop(segment.base_offset, 0)
