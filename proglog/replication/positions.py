"""Snapshots of one log's progress in each origin, and what moved between two of them.

Each new data directory is a new origin, and a log may see a hundred thousand of them. A follower must find the one that
moved without scanning all, and the next snapshot must not copy all. So a snapshot is a value in two parts, and the
next one shares nearly all of both::

    buckets   {a: .., b: ..}  {c: ..}  {d: ..}      by hash; the next value copies only buckets that changed
    moves     (1, a) (2, c) (3, a) (4, d) ...       in order; later values append, each knows its own end

Changes since a version are at the end of the moves. Once the moves outgrow the origins several times over, they are
compacted to the last move of each origin. One thread derives new values; any thread reads them.
"""

from collections.abc import Iterable, Iterator, Mapping
from typing import Self

from proglog.replication.progress import Progress
from proglog.types import OriginId

_MAX_IN_BUCKET = 64
"""Mean number of origins in a bucket beyond which the number of buckets grows."""
_MORE = 16
_SPARE_MOVES = 1024


class Positions(Mapping[OriginId, Progress]):
    """Progress by origin, as of one moment. Never changes."""

    __slots__ = ("_buckets", "_count", "_moves", "_moves_end", "version")

    def __init__(self, positions: Iterable[Progress] = ()) -> None:
        """Hold ``positions``, of different origins; each counts as a move."""
        held = list(positions)
        self._fill(held)
        self._moves = [(number, position.origin) for number, position in enumerate(held, 1)]
        self._moves_end = self.version = len(held)
        """The number of the last move."""

    def _fill(self, held: list[Progress]) -> None:
        count = 1
        while len(held) > count * _MAX_IN_BUCKET:
            count *= _MORE
        buckets: list[dict[OriginId, Progress]] = [{} for _ in range(count)]
        for position in held:
            buckets[hash(position.origin) % count][position.origin] = position
        self._buckets = tuple(buckets)
        self._count = len(held)

    def __getitem__(self, origin: OriginId) -> Progress:
        return self._buckets[hash(origin) % len(self._buckets)][origin]

    def __iter__(self) -> Iterator[OriginId]:
        for bucket in self._buckets:
            yield from bucket

    def __len__(self) -> int:
        return self._count

    def since(self, version: int) -> list[Progress]:
        """Return what moved since :attr:`version` was ``version``, in order; 0: everything."""
        moved: dict[OriginId, Progress] = {}
        at = self._moves_end
        while at and self._moves[at - 1][0] > version:
            at -= 1
            origin = self._moves[at][1]
            if origin not in moved and (position := self.get(origin)) is not None:
                moved[origin] = position
        return list(moved.values())[::-1]

    def latest(self, count: int) -> list[Progress]:
        """Return the ``count`` origins that moved last, the last first. Costs as much as these moved."""
        found: dict[OriginId, Progress] = {}
        for at in range(self._moves_end - 1, -1, -1):
            origin = self._moves[at][1]
            if origin not in found and (position := self.get(origin)) is not None:
                found[origin] = position
                if len(found) >= count:
                    break
        return list(found.values())

    def moved(self, positions: Iterable[Progress]) -> Self:
        """Return the next value, with ``positions`` in place of the previous ones of their origins."""
        after = type(self).__new__(type(self))
        buckets, fresh = list(self._buckets), set[int]()
        after._moves = self._moves
        after.version, after._count = self.version, self._count
        for position in positions:
            number = hash(position.origin) % len(buckets)
            if number not in fresh:
                fresh.add(number)
                buckets[number] = dict(buckets[number])
            after._count += position.origin not in buckets[number]
            buckets[number][position.origin] = position
            after.version += 1
            after._moves.append((after.version, position.origin))
        after._buckets, after._moves_end = tuple(buckets), len(after._moves)
        return after._in_shape()

    def without(self, origins: Iterable[OriginId]) -> Self:
        """Return the next value, without ``origins``."""
        gone = set(origins)
        return self._anew({origin: position for origin, position in self.items() if origin not in gone})

    def _in_shape(self) -> Self:
        crowded = self._count > len(self._buckets) * _MAX_IN_BUCKET
        return self._anew(dict(self)) if crowded or self._moves_end > 4 * self._count + _SPARE_MOVES else self

    def _anew(self, held: Mapping[OriginId, Progress]) -> Self:
        """Return this value with only ``held``, in as many buckets as fit, and each origin's last move."""
        after = type(self).__new__(type(self))
        after._fill(list(held.values()))
        last: dict[OriginId, int] = {}
        for number, origin in self._moves[: self._moves_end]:
            last.pop(origin, None)
            last[origin] = number
        after._moves = [(number, origin) for origin, number in last.items() if origin in held]
        after._moves_end, after.version = len(after._moves), self.version
        return after
