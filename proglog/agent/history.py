"""The last hour of this agent, a status a second, packed: what a dashboard that is opened later starts with.

::

    a minute      a minute      the open minute
    [60 packed]   [60 packed]   s s s s s s
     '-- zlib, each status behind its length -'

A minute is packed as a whole: statuses of one cluster are much alike, so that a status takes some hundred bytes. The
oldest minutes give way when there are more than an hour of them, or more than 16 MiB.

Gossip decides how many members there are: of a cluster with more than ``_MEMBERS`` those are kept that have answered this
node, and what it knows of them as peers and followers.
"""

import asyncio
import struct
import zlib
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import NamedTuple

from proglog.errors import UnavailableError
from proglog.wire.convert import to_message
from proglog.wire.model import ClusterSnapshot

SECONDS = 3_600
MAX_BYTES = 16 * 1024 * 1024
"""Of packed minutes. An hour of three members takes 2.4 MB, of fifty 9 MB, and a status 0.6 or 2 ms of a core."""
BLOCK = 60
MAX_OPEN_BYTES = 8 * 1024 * 1024
"""Of statuses that are not packed yet: of a large cluster fewer than a minute."""
_EVENTS = 64
"""The newest events of a status that are kept: those before are in the statuses before."""
_MEMBERS = 256
_POSITIONS = 400
"""What peers have of each origin is kept up to so many: in a large cluster it is most of a status."""


class Block(NamedTuple):
    """Statuses of some seconds."""

    first_ms: int
    last_ms: int
    """On the agent's clock."""
    packed: bytes


class HistoryRing:
    """Takes statuses, gives back blocks. Pure."""

    def __init__(self) -> None:
        """Start empty."""
        self._blocks: deque[Block] = deque(maxlen=SECONDS // BLOCK)
        self._open: list[tuple[int, bytes]] = []
        self._open_bytes = 0

    @property
    def size_bytes(self) -> int:
        """Bytes that it holds."""
        return sum(len(block.packed) for block in self._blocks) + self._open_bytes

    def add(self, at_ms: int, status: bytes) -> None:
        """Take the status of a second."""
        self._open.append((at_ms, status))
        self._open_bytes += len(status)

    @property
    def is_full(self) -> bool:
        """Whether the open minute is one."""
        return len(self._open) >= BLOCK or self._open_bytes >= MAX_OPEN_BYTES

    def take_open(self) -> list[tuple[int, bytes]]:
        """Return the open minute, and begin another."""
        taken, self._open, self._open_bytes = self._open, [], 0
        return taken

    def close(self, block: Block) -> None:
        """Take a packed minute; the oldest make room."""
        self._blocks.append(block)
        while len(self._blocks) > 1 and sum(len(each.packed) for each in self._blocks) > MAX_BYTES:
            self._blocks.popleft()

    def blocks(self) -> Iterator[Block]:
        """Yield all there is, the newest first."""
        if self._open:
            yield packed(self._open)
        yield from reversed(tuple(self._blocks))


def packed(statuses: list[tuple[int, bytes]]) -> Block:
    """Return statuses as a block; takes some milliseconds."""
    whole = b"".join(struct.pack(">I", len(status)) + status for _, status in statuses)
    return Block(statuses[0][0], statuses[-1][0], zlib.compress(whole, 6))


class HistoryKeeper:
    """Adds a status a second, while :meth:`run` runs."""

    def __init__(self, snapshot: Callable[[], ClusterSnapshot]) -> None:
        """Keep what ``snapshot`` returns."""
        self._snapshot = snapshot
        self._ring = HistoryRing()

    def blocks(self) -> Iterator[Block]:
        """As :meth:`HistoryRing.blocks`."""
        return self._ring.blocks()

    async def run(self) -> None:
        """Keep until cancelled."""
        while True:
            try:
                snapshot = self._snapshot()
            except UnavailableError:  # the agent is starting
                await asyncio.sleep(1.0)
                continue
            self._ring.add(snapshot.taken_at_ms, to_message(_slim(snapshot)).SerializeToString())
            if self._ring.is_full:
                self._ring.close(await asyncio.to_thread(packed, self._ring.take_open()))
            await asyncio.sleep(1.0)


def _slim(snapshot: ClusterSnapshot) -> ClusterSnapshot:
    if len(snapshot.members) > _MEMBERS:
        snapshot = _without_strangers(snapshot)
    peers = snapshot.peers
    if sum(len(peer.origins) for peer in peers) > _POSITIONS:
        peers = tuple(replace(peer, origins=()) for peer in peers)
    return replace(snapshot, peers=peers, events=snapshot.events[-_EVENTS:])


def _without_strangers(snapshot: ClusterSnapshot) -> ClusterSnapshot:
    """Leave out the members that never answered: each costs as much as a real one, and anybody can invent them."""
    known = [each for each in snapshot.members if each.local or each.rtt_ms is not None][:_MEMBERS]
    names = {each.name for each in known}
    return replace(
        snapshot,
        members=tuple(known),
        peers=tuple(each for each in snapshot.peers if each.name in names),
        followers=tuple(each for each in snapshot.followers if each.name in names),
    )
