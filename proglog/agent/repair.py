"""Repairs damage: fetches lost records from peers, and has the log restore them in place.

The log reports what it lost, :mod:`proglog.replication.repair` chooses the peer, and the log checks that the records are
the lost ones. This module only polls, fetches and reports. It needs neither a restart nor an operator.
"""

import asyncio
import time
from collections.abc import AsyncIterator, Callable

import grpc.aio

from proglog.agent.replicator import Replicator
from proglog.agent.writer import LogWriter
from proglog.client.channel import error_of
from proglog.errors import (
    ForkedOriginError,
    LogClosedError,
    MalformedBatchError,
    ProglogError,
    StorageError,
    UnavailableError,
)
from proglog.log.model import DamagedRange
from proglog.record.batch import VerifiedBatch, verify
from proglog.replication.repair import Attempt, RepairPlan, SequenceRange
from proglog.telemetry import events
from proglog.telemetry.emit import Emit, log_event
from proglog.types import half_open
from proglog.wire.replication import fetch_range

LOOK_INTERVAL = 1.0
"""Seconds between two looks at what is damaged; a look at a whole log costs next to nothing."""
ANSWER_TIMEOUT = 10.0
"""Seconds without anything from a peer after which another is asked."""
REPAIR_BOUND = 5.0
"""Seconds without anything from a peer that are longer than it should take."""
GROUP_BYTES = 4 * 1024 * 1024
"""Fetched batches that are given to the log at a time."""


class Repairer:
    """Watches the log while :meth:`run` runs."""

    def __init__(
        self,
        writer: LogWriter,
        replicator: Replicator,
        *,
        channel_factory: Callable[[str], grpc.aio.Channel],
        emit: Emit = log_event,
    ) -> None:
        """Keep what is needed.

        Args:
            writer: Of the log that is watched.
            replicator: Knows who can be reached, and how far their logs go.
            channel_factory: Opens a channel to an address.
            emit: Reports its events.
        """
        self._writer = writer
        self._replicator = replicator
        self._open_channel = channel_factory
        self._emit = emit
        self._plan = RepairPlan()

    async def run(self) -> None:
        """Watch until the log is closed."""
        unseen = ""
        while True:
            try:
                attempted, unseen = await self._look(), ""
            except LogClosedError:
                return
            except StorageError as exc:  # damage cannot be looked at now: no descriptor is left, or no header is read
                if str(exc) != unseen:
                    self._emit(events.DAMAGE_UNSEEN, "", str(exc))
                attempted, unseen = False, str(exc)
            if not attempted:
                await asyncio.sleep(LOOK_INTERVAL)

    async def _look(self) -> bool:
        """Return whether there was something to fetch, and it was tried.

        Raises:
            StorageError: What the log lacks cannot be found out.
        """
        attempt = await self._next_attempt()
        if attempt is None:
            return False
        try:
            await self._try(attempt)
        except LogClosedError:
            raise
        except ForkedOriginError as exc:
            self._say_failed(attempt, exc)
            self._replicator.forked(attempt.peer, attempt.part.origin, str(exc))
        except ProglogError as exc:
            self._say_failed(attempt, exc)
        if attempt.missing in await self._missing():
            self._plan.failed(attempt, time.monotonic())
        return True

    async def _next_attempt(self) -> Attempt | None:
        missing = await self._missing()
        peers = {name: positions for name, (_, positions) in self._replicator.reachable().items()} if missing else {}
        return self._plan.next_attempt(missing, peers, time.monotonic())

    async def _missing(self) -> list[SequenceRange]:
        return [SequenceRange(*lost) for lost in await self._writer.missing()]

    async def _try(self, attempt: Attempt) -> None:
        """Fetch one range from one peer and give it to the log, a bounded group at a time."""
        addr, _ = self._replicator.reachable()[attempt.peer]
        group: list[VerifiedBatch] = []
        group_bytes = 0
        async for batch in self._fetch(attempt.peer, addr, attempt.part):
            group.append(batch)
            group_bytes += batch.header.batch_bytes
            if group_bytes >= GROUP_BYTES:
                self._tell(attempt, await self._writer.refill(group))
                group, group_bytes = [], 0
        if group:
            self._tell(attempt, await self._writer.refill(group))

    async def _fetch(self, peer: str, addr: str, part: SequenceRange) -> AsyncIterator[VerifiedBatch]:
        """Yield the batches of ``part`` in order: an answer is as bounded as the question."""
        reached = part.start
        async with self._open_channel(addr) as channel:
            parts = aiter(fetch_range(channel, part.origin, part.start, part.end))
            while True:
                try:
                    with self._writer.underway.during("repair", waits_for=peer, bound=REPAIR_BOUND):
                        data = await asyncio.wait_for(anext(parts, b""), ANSWER_TIMEOUT)
                except TimeoutError:
                    raise UnavailableError(f"{addr} sent nothing for {ANSWER_TIMEOUT:g} s") from None
                except grpc.aio.AioRpcError as exc:
                    raise error_of(exc, addr, None) from exc
                if not data:
                    return
                position = 0
                while position < len(data):
                    batch = verify(data, position)
                    position += batch.header.batch_bytes
                    header = batch.header
                    in_order = header.next_sequence > reached and header.base_sequence < part.end
                    if header.origin != part.origin or not in_order:
                        raise MalformedBatchError(f"{addr} sent a batch that was not asked for")
                    reached = header.next_sequence
                    yield batch

    def _say_failed(self, attempt: Attempt, error: ProglogError) -> None:
        origin, start, end = attempt.part
        self._emit(events.RANGE_REFILL_FAILED, attempt.peer, str(error), origin=origin.hex()[:8], start=start, end=end)

    def _tell(self, attempt: Attempt, healed: list[DamagedRange]) -> None:
        for each in healed:
            what = f"offsets {half_open(each.start, each.end)}" if each.end > each.start else "a control batch"
            detail = f"{what} are whole again, from {attempt.peer}"
            self._emit(events.RANGE_REFILLED, attempt.peer, detail)
            if not each.gap:
                self._emit(events.DAMAGE_REPAIRED, "", detail)
