"""The followers' durable progress in this node's records, as they report it.

``acks=k`` counts them: a record is on k nodes once k - 1 followers report its origin beyond its sequence.
"""

import asyncio
import contextlib
from collections import Counter
from collections.abc import Iterable, Iterator

from proglog.errors import DeadlineError
from proglog.replication.progress import FIRST_SEQUENCE, Progress
from proglog.types import OriginId, SequenceNumber

MAX_FOLLOWERS = 1024
MAX_ORIGINS = 256
"""Origins tracked per follower, the latest ones: more than a node writes under in one lifetime."""


class Followers:
    """Positions by follower and origin, in this node's origins. They outlive the stream: durable stays durable."""

    def __init__(self) -> None:
        self._positions: dict[str, dict[OriginId, Progress]] = {}
        self._streams: Counter[str] = Counter()
        self._waiting: dict[OriginId, asyncio.Event] = {}
        self._waiters = 0
        self.hurried = asyncio.Event()
        """Set while a producer waits for copies."""

    def begin(self, follower: str) -> None:
        """Forget the positions of ``follower``: it opened a stream and reports them anew, maybe from another directory."""
        self._positions.pop(follower, None)
        if len(self._positions) >= MAX_FOLLOWERS:
            self._positions.pop(next(iter(self._positions)))
        self._positions[follower] = {}

    @contextlib.contextmanager
    def following(self, follower: str) -> Iterator[None]:
        """Count ``follower`` as connected while the context lasts; see :meth:`begin`."""
        self.begin(follower)
        self._streams[follower] += 1
        try:
            yield
        finally:
            self._streams[follower] -= 1
            if not self._streams[follower]:
                del self._streams[follower]

    def connected(self, follower: str) -> bool:
        """Return whether ``follower`` has a stream open."""
        return follower in self._streams

    def report(self, follower: str, positions: Iterable[Progress]) -> None:
        """Store the durable positions of ``follower``, and wake the waiters."""
        held = self._positions.setdefault(follower, {})
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
