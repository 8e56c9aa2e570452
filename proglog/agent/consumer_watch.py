"""Keeps how far each named consumer is behind: looked at a few names at a time, those first that were looked at longest ago."""

import asyncio
import time
from collections.abc import Callable
from functools import partial
from typing import NamedTuple

from proglog.errors import StorageError
from proglog.log.named_positions import CommittedPosition
from proglog.server.backlog import Backlog, backlog
from proglog.server.commit_log import CommitLog
from proglog.wire.model import ConsumerStatus

MAX_CONSUMERS = 64
"""Names that are reported: those with the latest commits."""
LOOK_INTERVAL = 1.0
"""Seconds between two looks, or more: looking takes a fiftieth of the time at most."""
_AT_ONCE = 16
"""Names that one look reads the log for."""


class _Known(NamedTuple):
    held: CommittedPosition
    end_offset: int
    """Of the log when it was looked at."""
    backlog: Backlog
    looked_at: float


class ConsumerWatch:
    """Looks while :meth:`run` runs; :meth:`consumers` is what it knows."""

    def __init__(self, log: CommitLog, *, now_ms: Callable[[], int]) -> None:
        """Know nothing yet; ``now_ms`` is the clock of the log's append times."""
        self._log = log
        self._now_ms = now_ms
        self._known: dict[str, _Known] = {}

    async def run(self) -> None:
        """Look until cancelled."""
        while True:
            began = time.monotonic()
            await self._look()
            await asyncio.sleep(max(LOOK_INTERVAL, 50 * (time.monotonic() - began)))

    async def _look(self) -> None:
        held = self._log.named_positions()
        latest = sorted(held.items(), key=lambda item: (-item[1].at_ms, item[0]))[:MAX_CONSUMERS]
        self._known = {name: self._known[name] for name, _ in latest if name in self._known}
        end = self._log.end_offset
        changed = [(name, position) for name, position in latest if not self._is_current(name, position, end)]
        changed.sort(key=lambda item: self._known[item[0]].looked_at if item[0] in self._known else 0.0)
        for name, position in changed[:_AT_ONCE]:
            try:
                found = await self._log.query(partial(backlog, held=position))
            except StorageError:
                return  # a disk that refuses to be read is reported by what reads for others; the last look stays
            self._known[name] = _Known(position, end, found, time.monotonic())

    def _is_current(self, name: str, position: CommittedPosition, end: int) -> bool:
        known = self._known.get(name)
        return known is not None and known.held == position and known.end_offset == end

    def consumers(self) -> tuple[ConsumerStatus, ...]:
        """Return what is known of each name, by name; ages are those of now."""
        now_ms = self._now_ms()
        return tuple(
            ConsumerStatus(
                name=name,
                epoch=known.held.epoch,
                committed_at_ms=known.held.at_ms,
                records_behind=known.backlog.records,
                lag_ms=None if known.backlog.oldest_ms is None else max(now_ms - known.backlog.oldest_ms, 0),
                consumed=sum(known.held.vector.values()),
            )
            for name, known in sorted(self._known.items())
        )
