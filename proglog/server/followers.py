"""The followers' durable progress in this node's records, as they report it.

``acks=k`` counts them: a record is on k nodes once k - 1 followers report its origin beyond its sequence.
"""

import asyncio
import contextlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

from proglog.errors import DeadlineError
from proglog.replication.progress import FIRST_SEQUENCE, Progress
from proglog.telemetry.latency import LatencyWindow
from proglog.types import OriginId, SequenceNumber

MAX_FOLLOWERS = 1024
MAX_ORIGINS = 256
"""Origins tracked per follower, the latest ones: more than a node writes under in one lifetime."""


@dataclass(frozen=True, eq=False)
class Following:
    """One stream of a follower."""

    name: str
    positions: dict[OriginId, Progress] = field(default_factory=dict)
    """What it reported on this stream."""


class Followers:
    """Positions by follower and origin, in this node's origins. They outlive the stream: durable stays durable."""

    def __init__(self) -> None:
        self._positions: dict[str, dict[OriginId, Progress]] = {}
        self._streams: dict[str, list[Following]] = {}
        """Those that are open, in the order in which they were opened."""
        self._waiting: dict[OriginId, asyncio.Event] = {}
        self._waiters = 0
        self.hurried = asyncio.Event()
        """Set while a producer waits for copies."""
        self.ack_latency = LatencyWindow()
        """How long batches waited for their copies lately."""

    def begin(self, follower: str) -> "Following":
        """``follower`` opened a stream, and will report all it has: its directory may be another than before.

        Of two streams the later one counts; when it ends, the earlier one does, if it is still open: two nodes may have
        one name for a while.
        """
        if follower not in self._positions and len(self._positions) >= MAX_FOLLOWERS:
            self._positions.pop(next(iter(self._positions)))
        following = Following(follower)
        self._streams.setdefault(follower, []).append(following)
        self._positions[follower] = following.positions
        return following

    @contextlib.contextmanager
    def following(self, follower: str) -> Iterator["Following"]:
        """``follower`` has a stream open for as long as this lasts; see :meth:`begin`."""
        following = self.begin(follower)
        try:
            yield following
        finally:
            self._end(following)

    def _end(self, following: "Following") -> None:
        streams = self._streams[following.name]
        counted = streams[-1] is following
        streams.remove(following)
        if not streams:
            del self._streams[following.name]
        elif counted:
            self._positions[following.name] = streams[-1].positions
            for origin in streams[-1].positions:
                self._wake(origin)

    def connected(self, follower: str) -> bool:
        """Return whether ``follower`` has a stream open."""
        return follower in self._streams

    def report(self, following: "Following", positions: Iterable[Progress]) -> None:
        """Remember what a follower says is durable there, and wake who waits for it; not on a stream that has ended."""
        streams = self._streams.get(following.name, [])
        if following not in streams:
            return
        held = following.positions
        if streams[-1] is following:
            self._positions[following.name] = held
        for position in positions:
            if position.origin not in held and len(held) >= MAX_ORIGINS:
                del held[next(iter(held))]
            held[position.origin] = position
            self._wake(position.origin)

    def position_of(self, follower: str, origin: OriginId) -> Progress | None:
        """Return the last position that ``follower`` reported for ``origin``."""
        return self._positions.get(follower, {}).get(origin)

    def copies(self, origin: OriginId, next_sequence: SequenceNumber) -> int:
        """Return how many followers hold ``origin`` durably up to ``next_sequence``, that one excluded."""
        return sum(
            positions[origin].holds(next_sequence - 1) for positions in self._positions.values() if origin in positions
        )

    async def wait_replicated(
        self, origin: OriginId, next_sequence: SequenceNumber, copies: int, within: float
    ) -> None:
        """Return once ``copies`` followers hold ``origin`` durably up to ``next_sequence``, that one excluded.

        Args:
            origin: Usually this node's.
            next_sequence: One past the record's sequence.
            copies: Besides this node's own.
            within: Seconds.

        Raises:
            DeadlineError: Too few do so far. The record is durable here, and reaches the others later.
        """
        assert next_sequence > FIRST_SEQUENCE
        self._waiters += 1
        self.hurried.set()
        try:
            async with asyncio.timeout(within):
                while self.copies(origin, next_sequence) < copies:
                    await self._waiting.setdefault(origin, asyncio.Event()).wait()
        except TimeoutError:
            there = self.copies(origin, next_sequence)
            raise DeadlineError(
                f"durable here and on {there} of {copies} other nodes after {within:g} s; the copies may still arrive"
            ) from None
        finally:
            self._waiters -= 1
            if not self._waiters:
                self.hurried.clear()

    def _wake(self, origin: OriginId) -> None:
        waiting = self._waiting.pop(origin, None)
        if waiting is not None:
            waiting.set()
