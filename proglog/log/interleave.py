"""Restores the original order of lost batches from the size of their range and its remaining bytes.

Pure. The order within an origin is known; how the origins were interleaved is not. A batch in its original place matches
the remaining bytes there except for the damage, so this looks for the order that differs in the fewest bits. Most damage
leaves most of the bytes: then one batch at a time matches clearly, since any other differs in half of its bits. Otherwise
a bounded beam search tries the ways to interleave, in steps of a sector. If no bytes remain, any order that fits is as
good: the order within each origin, which cursors rely on, is right in all of them.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from heapq import heappop, heappush, nsmallest
from typing import NamedTuple

from proglog.record.batch import VerifiedBatch

_BUCKET_BYTES = 512
_MAX_WIDTH, _MIN_WIDTH = 2000, 4
_MAX_WAYS = 50_000  # examined at most, roughly a second
_CLEARLY = 4
"""A batch matches clearly if every other one differs from the remaining bytes in this many times as many bits."""
_LOCAL_BYTES = 32  # a header's first bytes are each node's own


@dataclass(frozen=True, slots=True)
class Room:
    """A damaged range: exactly how much fits."""

    size: int | None
    """Bytes; ``None``: no fewer than ``damaged`` has."""
    record_count: int
    damaged: bytes
    """The remaining bytes."""


@dataclass(frozen=True, slots=True)
class Missing:
    """Batches of one origin, consecutive, and the numbers of the rooms, first and one past the last, that may have them."""

    batches: Sequence[VerifiedBatch]
    first: int
    end: int


class _Way(NamedTuple):
    """A way to fill the beginning of the rooms."""

    distance: int
    """Number of bits that differ from the remaining bytes."""
    room: int
    position: int
    """Bytes filled of that room."""
    records: int
    """Records put into that room."""
    taken: tuple[int, ...]
    """Batches taken of each origin."""
    batch: VerifiedBatch | None
    """The last one."""
    before: "_Way | None"


def interleave(rooms: Sequence[Room], missing: Sequence[Missing]) -> list[list[VerifiedBatch]] | None:
    """Return the batches of each room, in order: all of ``missing``, filling each room exactly; ``None`` if none do."""
    search = _Search(rooms, missing)
    return search.obvious() or search.run()


class _Search:
    def __init__(self, rooms: Sequence[Room], missing: Sequence[Missing]) -> None:
        self._rooms = rooms
        self._missing = missing
        size = sum(len(batch.data) for each in missing for batch in each.batches)
        ways = _MAX_WAYS // max(1, len(missing) // 4)  # each way has a step for each origin
        self._width = max(_MIN_WIDTH, min(_MAX_WIDTH, ways * _BUCKET_BYTES // (size + 1)))
        self._bits: dict[tuple[int, int], int] = {}

    def obvious(self) -> list[list[VerifiedBatch]] | None:
        """Return the batches of each room if each of them matches clearly."""
        way = _Way(0, 0, 0, 0, (0,) * len(self._missing), None, None)
        while way.room < len(self._rooms):
            ways = nsmallest(2, self._steps(way), key=lambda each: each.distance)
            if not ways:
                return None
            first = ways[0]
            if len(ways) > 1 and ways[1].distance - way.distance <= _CLEARLY * (first.distance - way.distance):
                return None
            way = first
        return self._batches(way)

    def run(self) -> list[list[VerifiedBatch]] | None:
        start = _Way(0, 0, 0, 0, (0,) * len(self._missing), None, None)
        buckets: dict[tuple[int, int], dict[tuple[object, ...], _Way]] = {}
        order: list[tuple[int, int]] = []
        best: _Way | None = None
        ahead = [start]
        while True:
            for way in ahead:
                bucket = (way.room, way.position // _BUCKET_BYTES)
                if bucket not in buckets:
                    buckets[bucket] = {}
                    heappush(order, bucket)
                state = way.position, way.records, way.taken
                known = buckets[bucket].get(state)
                if known is None or way.distance < known.distance:
                    buckets[bucket][state] = way
            if not order:
                return self._batches(best) if best is not None else None
            ways = nsmallest(self._width, buckets.pop(heappop(order)).values(), key=lambda way: way.distance)
            ahead = []
            for way in ways:
                if way.room < len(self._rooms):
                    ahead += self._steps(way)
                elif best is None or way.distance < best.distance:
                    best = way

    def _steps(self, way: _Way) -> Iterator[_Way]:
        room = self._rooms[way.room]
        full = way.position == room.size if room.size is not None else way.position >= len(room.damaged)
        if full and way.records == room.record_count and self._all_taken(way):
            yield way._replace(room=way.room + 1, position=0, records=0, batch=None, before=way)
        for number, missing in enumerate(self._missing):
            taken = way.taken[number]
            if not missing.first <= way.room < missing.end or taken == len(missing.batches):
                continue
            batch = missing.batches[taken]
            end, records = way.position + len(batch.data), way.records + batch.header.record_count
            if records > room.record_count or (room.size is not None and end > room.size):
                continue
            distance = way.distance + self._distance(number, taken, room.damaged, way.position)
            now_taken = (*way.taken[:number], taken + 1, *way.taken[number + 1 :])
            yield _Way(distance, way.room, end, records, now_taken, batch, way)

    def _all_taken(self, way: _Way) -> bool:
        return all(
            taken == len(missing.batches)
            for taken, missing in zip(way.taken, self._missing, strict=True)
            if missing.end == way.room + 1
        )

    def _distance(self, number: int, taken: int, damaged: bytes, position: int) -> int:
        """Return in how many bits a batch differs from the bytes at ``position``; past the end there are none."""
        data = self._missing[number].batches[taken].data
        bits = self._bits.get((number, taken))
        if bits is None:
            bits = self._bits[number, taken] = int.from_bytes(data[_LOCAL_BYTES:], "little")
        standing = damaged[position + _LOCAL_BYTES : position + len(data)]
        return (bits ^ int.from_bytes(standing, "little")).bit_count()

    def _batches(self, best: _Way) -> list[list[VerifiedBatch]]:
        found: list[list[VerifiedBatch]] = [[] for _ in self._rooms]
        way: _Way | None = best
        while way is not None:
            if way.batch is not None:
                found[way.room].append(way.batch)
            way = way.before
        return [batches[::-1] for batches in found]
