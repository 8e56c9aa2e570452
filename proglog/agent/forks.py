"""Reports forks: where two histories of one origin part, and how many records each side has that the other lacks.

A fork is found where it shows: a checksum differs at a sequence that both logs have. The histories part there or earlier.
A binary search finds the place: the peer is asked for single batches, and each is compared with the one in this log.
"""

import asyncio
from contextlib import suppress
from functools import partial

import grpc.aio

from proglog.agent.origin_change import Dial
from proglog.agent.supervisor import Supervisor
from proglog.agent.writer import LogWriter
from proglog.errors import DataLossError, NotFoundError, OffsetOutOfRangeError, ProglogError, StorageError
from proglog.log.log import Log
from proglog.record.batch import HEADER_BYTES, BatchHeader, parse_header, verify
from proglog.replication.plan import Notice
from proglog.replication.progress import Progress
from proglog.tasks import cancel_and_wait
from proglog.telemetry import events
from proglog.telemetry.emit import Emit
from proglog.types import OriginId, SequenceNumber, half_open
from proglog.wire.replication import fetch_range

SEARCH_TIMEOUT = 5.0
"""Seconds for the search; after that, the fork is reported without the place."""


class Forks:
    """Reports each fork once its place is known. All methods are called on the event loop's thread."""

    def __init__(self, writer: LogWriter, *, dial: Dial, emit: Emit, tasks: Supervisor) -> None:
        """Report through ``emit``; ``tasks`` owns the searches, ``dial`` opens channels to peers."""
        self._writer = writer
        self._dial = dial
        self._emit = emit
        self._tasks = tasks
        self._searches: set[asyncio.Task[None]] = set()

    def found(self, notice: Notice, here: Progress | None, there: Progress | None) -> None:
        """Report the fork of ``notice``, in which this log is at ``here`` and the peer at ``there``."""
        task = self._tasks.start(self._report(notice, here, there), name="search-fork", may_end=True)
        self._searches.add(task)
        task.add_done_callback(self._searches.discard)

    async def close(self) -> None:
        """Stop. Idempotent."""
        await cancel_and_wait(*self._searches)

    async def _report(self, notice: Notice, here: Progress | None, there: Progress | None) -> None:
        detail = f"{notice.detail}; this node has sequences up to {_reach(here)}, {notice.peer} up to {_reach(there)}"
        channel = self._dial(notice.peer) if here is not None and there is not None else None
        if channel is not None and here is not None and there is not None:
            with suppress(TimeoutError, grpc.aio.AioRpcError, ProglogError):
                async with asyncio.timeout(SEARCH_TIMEOUT), channel:
                    parting = await self._parting(channel, here, there)
                    if parting is not None:
                        detail = _sides(notice.peer, parting, here, there)
        self._emit(events.REPLICATION_FORKED, notice.peer, detail, origin=notice.origin.hex()[:8])

    async def _parting(self, channel: grpc.aio.Channel, here: Progress, there: Progress) -> int | None:
        """Return the first sequence of the first batch that differs; ``None``: it cannot be found out."""
        low: int = max(here.floor_sequence, there.floor_sequence)
        high: int = min(here.next_sequence, there.next_sequence)
        end = high
        while low < high:
            header = await _shown(channel, here.origin, (low + high) // 2)
            same = None if header is None else await self._writer.query(partial(_holds, header))
            if header is None or same is None:
                return None
            if same:
                low = header.next_sequence
            else:
                high = min((low + high) // 2, header.base_sequence)
        return high if high < end else None


async def _shown(channel: grpc.aio.Channel, origin: OriginId, sequence: int) -> BatchHeader | None:
    """Return the header of the peer's batch that holds ``sequence``; ``None`` if it has none."""
    async for data in fetch_range(channel, origin, SequenceNumber(sequence), SequenceNumber(sequence + 1)):
        return verify(data).header
    return None


def _holds(header: BatchHeader, log: Log) -> bool | None:
    """Return whether ``log`` holds this very batch; ``None`` if it cannot tell. Reads the log."""
    try:
        at = log.seek_sequence(header.origin, header.base_sequence)
        own = parse_header(log.read(at, HEADER_BYTES).data)
    except (NotFoundError, OffsetOutOfRangeError, DataLossError, StorageError):
        return None
    return (own.base_sequence, own.next_sequence, own.chain_crc) == (
        header.base_sequence,
        header.next_sequence,
        header.chain_crc,
    )


def _reach(progress: Progress | None) -> str:
    return "an unknown one" if progress is None else str(progress.next_sequence - 1)


def _sides(peer: str, parting: int, here: Progress, there: Progress) -> str:
    own, other = here.next_sequence - parting, there.next_sequence - parting
    return (
        f"the histories part at sequence {parting}: {_records(own)}, sequences {half_open(parting, here.next_sequence)}, "
        f"only here; {_records(other)}, sequences {half_open(parting, there.next_sequence)}, only on {peer}"
    )


def _records(count: int) -> str:
    return f"{count:,} record{'s' * (count != 1)}"
