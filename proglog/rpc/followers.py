"""Who has how much of what this node serves: followers' durable positions, as they report them."""

from collections.abc import Iterable

from proglog.replication.positions import Position
from proglog.types import OriginId

MAX_FOLLOWERS = 1024
MAX_ORIGINS = 4096


class Followers:
    """Positions by follower and origin. A follower that goes away keeps its last: durable stays durable."""

    def __init__(self) -> None:
        self._positions: dict[str, dict[OriginId, Position]] = {}

    def report(self, follower: str, positions: Iterable[Position]) -> None:
        """Remember what ``follower`` says is durable there."""
        if follower not in self._positions and len(self._positions) >= MAX_FOLLOWERS:
            self._positions.pop(next(iter(self._positions)))
        held = self._positions.setdefault(follower, {})
        for position in positions:
            if position.origin in held or len(held) < MAX_ORIGINS:
                held[position.origin] = position

    def positions_of(self, follower: str) -> dict[OriginId, Position]:
        """Return what ``follower`` last said."""
        return dict(self._positions.get(follower, {}))
