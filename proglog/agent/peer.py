"""One server that is followed: its stream, what of it is on its way to the disk, and how it goes, for operators."""

import asyncio
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from heapq import nlargest
from itertools import islice

from proglog.errors import UnavailableError
from proglog.log.model import ImportAppend, Outcome
from proglog.replication.lag import LEVEL, Lag, records_behind
from proglog.replication.planner import Planner
from proglog.replication.progress import FIRST_SEQUENCE, Progress
from proglog.types import OriginId
from proglog.wire.model import PeerOrigin, PeerState, PeerStatus
from proglog.wire.replication import ReplicationStream

MAX_LISTED_ORIGINS = 1024
"""Of each list of origins in a status: a log may have a hundred thousand."""
MAX_BACKOFF = 5.0
"""Seconds, at most, before a broken stream is opened again."""
MAX_ORIGINS_OF_PEER = 64
"""Of a peer that writes under ever new ones."""
MAX_QUEUED_BYTES = 16 * 1024 * 1024
"""Of batches taken from one stream and not yet durable: they wait in the writer's queue, or are on their way. Beyond,
the stream is not read, and its source has to wait."""


class Unsettled:
    """Batches of one stream that the writer has queued, up to a number of bytes, oldest first."""

    def __init__(self) -> None:
        self._copies: asyncio.Queue[tuple[list[ImportAppend], list[asyncio.Future[Outcome]], float]] = asyncio.Queue()
        self._bytes = 0
        self._room = asyncio.Event()

    async def put(self, copies: list[ImportAppend], outcomes: list[asyncio.Future[Outcome]]) -> None:
        """Add what one message held; return when there is room for another."""
        self._copies.put_nowait((copies, outcomes, time.monotonic()))
        self._bytes += _size(copies)
        while self._bytes >= MAX_QUEUED_BYTES:
            self._room.clear()
            await self._room.wait()

    async def settled(self) -> tuple[list[ImportAppend], list[Outcome], float]:
        """Return the oldest once they are durable, or refused, and how many seconds that took."""
        copies, outcomes, since = await self._copies.get()
        settled = [await outcome for outcome in outcomes]
        self._bytes -= _size(copies)
        self._room.set()
        return copies, settled, time.monotonic() - since


def _size(copies: list[ImportAppend]) -> int:
    return sum(copy.batch.header.batch_bytes for copy in copies)


@dataclass(slots=True)
class FollowedPeer:
    """One server that is followed."""

    name: str
    addr: str
    state: PeerState = PeerState.CONNECTING
    error: str = ""
    failing_since: float | None = None
    failure: str = ""
    retry_at: float = 0.0
    calling_since: float = 0.0
    """When the last attempt to open the stream began."""
    opened_at: float | None = None
    spared_until: float = float("-inf")
    """Until when it is asked for less, or nothing: it sent bytes that cannot be read."""
    records_copied: int = 0
    bytes_copied: int = 0
    stream: ReplicationStream | None = None
    reached: bool = False
    """Whether its server has ever said hello under the right name."""
    task: asyncio.Task[None] | None = None
    origins: dict[OriginId, None] = field(default_factory=dict)
    """Under which it has written since it is followed, the latest last: how far these reach here is all that it counts."""

    hung: "asyncio.Future[str] | None" = None
    """Why the open stream is to be closed, once it is."""
    compared: set[OriginId] = field(default_factory=set)
    """Origins whose history was compared on the open stream: a fork comes with a restored directory, so with a new one."""
    tokens: list[bytes] = field(default_factory=list)
    """To be handed back once the stream is open."""

    def hang_up(self, reason: str) -> None:
        """Close the open stream; another one is opened after a pause."""
        if self.hung is not None and not self.hung.done():
            self.hung.set_result(reason)

    async def hung_up(self) -> None:
        """Wait for :meth:`hang_up`.

        Raises:
            UnavailableError: It was called.
        """
        if self.hung is not None:
            raise UnavailableError(await self.hung)

    def write_under(self, origin: OriginId) -> None:
        """It said hello under ``origin``."""
        self.origins.pop(origin, None)
        self.origins[origin] = None
        if len(self.origins) > MAX_ORIGINS_OF_PEER:
            del self.origins[next(iter(self.origins))]

    def hand_back(self, token: bytes) -> None:
        """Hand back the token of a stream that was opened here under this server's name."""
        if self.stream is not None:
            self.stream.hand_back(token)
        else:
            self.tokens.append(token)

    def hand_back_all(self) -> None:
        """Hand back those that came before the stream was open."""
        tokens, self.tokens = self.tokens, []
        for token in tokens:
            self.hand_back(token)

    def holds(self, now: float) -> bool:
        """Whether the stream has been open, and used, for so long that it does not fail as the one before it did."""
        return self.opened_at is not None and now - max(self.opened_at, self.spared_until) > MAX_BACKOFF


def status_of(peer: FollowedPeer, planner: Planner, latest: Iterable[OriginId], now: float) -> PeerStatus:
    """Return how replication from ``peer`` goes at ``now``; ``latest`` are the origins that moved last in this log."""
    retrying = peer.state is PeerState.BACKING_OFF
    since = None if peer.holds(now) else peer.failing_since
    lags = planner.lags_behind(peer.name, now) if peer.state is PeerState.STREAMING else {}
    most = nlargest(MAX_LISTED_ORIGINS, lags, key=lambda origin: lags[origin].records)
    listed = list(islice(dict.fromkeys((*most, *latest)), MAX_LISTED_ORIGINS))
    unlisted = [lag for origin, lag in lags.items() if origin not in most] if len(most) < len(lags) else []
    return PeerStatus(
        name=peer.name,
        rpc_addr=peer.addr,
        state=peer.state,
        error=peer.error,
        origins=_origins_with(peer, planner, listed, lags),
        origin_count=len(planner.held) + sum(origin not in planner.held for origin in lags),
        unlisted_lag_records=sum(lag.records for lag in unlisted),
        unlisted_lag_bytes=sum(lag.bytes for lag in unlisted),
        records_copied=peer.records_copied,
        bytes_copied=peer.bytes_copied,
        records_dropped=planner.dropped.get(peer.name, 0),
        retry_in_ms=max(0, int((peer.retry_at - now) * 1000)) if retrying else None,
        failing=since is not None,
        failing_ms=0 if since is None else int((now - since) * 1000),
        failure="" if since is None else peer.failure,
    )


def _origins_with(
    peer: FollowedPeer, planner: Planner, listed: Iterable[OriginId], lags: Mapping[OriginId, Lag]
) -> tuple[PeerOrigin, ...]:
    if peer.state is not PeerState.STREAMING:
        return ()
    sources = planner.sources()
    rows = []
    for origin in listed:
        held, told = planner.held.get(origin, Progress(origin, FIRST_SEQUENCE)), planner.position_of(peer.name, origin)
        lag = lags.get(origin, LEVEL)
        rows.append(
            PeerOrigin(
                origin=origin,
                node_name=held.node_name or (told.node_name if told else ""),
                next_sequence=held.next_sequence,
                peer_next_sequence=told.next_sequence if told else FIRST_SEQUENCE,
                lag_records=lag.records,
                lag_bytes=lag.bytes,
                lag_ms=int(lag.seconds * 1000),
                peer_lag_records=records_behind(told, held),
                source=sources.get(origin) == peer.name,
                lag_trend=lag.trend,
                catch_up_ms=None if lag.catch_up is None else int(lag.catch_up * 1000),
            )
        )
    return tuple(rows)
