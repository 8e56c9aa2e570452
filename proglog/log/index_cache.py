"""Bounded memory for index entries: those of sealed segments stay while they are used, and are read again when needed."""

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
            used[segment.base_offset] = segment
            used.move_to_end(segment.base_offset)
            memory_bytes = sum(each.index.memory_bytes for each in used.values())
            while memory_bytes > self._limit_bytes and len(used) > 1:
                _, oldest = used.popitem(last=False)
                memory_bytes -= oldest.index.memory_bytes
                oldest.forget_entries()

    def forget(self, segments: Iterable[Segment]) -> None:
        """Drop segments that retention removes."""
        with self._mutex:
            for segment in segments:
                self._used.pop(segment.base_offset, None)
