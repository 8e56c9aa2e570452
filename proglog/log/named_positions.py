"""The positions of named consumers, derived on every node from the position commits in its log. Pure.

A join-semilattice: commits may arrive in any order and any number of times, with the same result::

    epochs differ    the higher one wins: it may go backwards
    equal epochs     the higher next sequence of each origin; the first owner, by name

Each value also knows which part of the log it comes from: retention commits a value again before removing its commits.

Source: Shapiro et al. 2011 ("Conflict-free Replicated Data Types") for the join.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from operator import itemgetter
from typing import Any

from proglog.record.columns_pb2 import PositionCommit
from proglog.record.control import MAX_POSITION_ORIGINS, MAX_VECTOR_ORIGINS, commit_problem
from proglog.types import Offset, OriginId, SequenceNumber

MAX_NAMES = 4096
"""Most names in use; beyond it a node refuses new ones from its own clients, unless one has expired."""
MAX_HELD_NAMES = 4 * MAX_NAMES
"""Most names remembered, when partitioned nodes have added new ones: then the oldest is evicted."""
MAX_ORIGINS_IN_ALL = 196_608
"""Most origins of all positions together; beyond it a node refuses commits of its own clients that add some."""
MAX_HELD_ORIGINS = 3 * MAX_ORIGINS_IN_ALL // 2
"""Most remembered: then the oldest name is evicted. As many fit into one answer that lists them."""
EXPIRY_MS = 30 * 86_400_000
"""Time without a commit after which a name may be evicted for a new one when all are in use."""


@dataclass(frozen=True, slots=True)
class CommittedPosition:
    """The position of one named consumer."""

    epoch: int
    vector: Mapping[OriginId, SequenceNumber]
    """The next sequence of each origin."""
    at_ms: int
    """When it was committed last, milliseconds since 1970."""
    owner: str = ""
    """The subject that may commit it; empty: any."""

    def join(self, other: "CommittedPosition") -> "CommittedPosition":
        """Return the later of two, origin by origin."""
        if self.epoch != other.epoch:
            return max(self, other, key=lambda each: each.epoch)
        vector = dict(self.vector)
        for origin, following in other.vector.items():
            vector[origin] = max(following, vector.get(origin, following))
        owner = min(filter(None, (self.owner, other.owner)), default="")
        return CommittedPosition(self.epoch, _bounded(vector), max(self.at_ms, other.at_ms), owner)

    def to_commit(self, epoch: int, vector: Mapping[OriginId, SequenceNumber]) -> Mapping[OriginId, SequenceNumber]:
        """Return what to commit so that this position becomes ``vector``: all of it, or of a large one what moved.

        A commit of everything frees the log of the earlier ones; a large one would write megabytes each time.
        """
        if epoch != self.epoch or len(self.vector) <= MAX_POSITION_ORIGINS >= len(vector):
            return vector
        held = self.vector
        return {origin: following for origin, following in vector.items() if following > held.get(origin, 0)}


@dataclass(slots=True)
class _Held:
    value: CommittedPosition
    rests_on: Offset
    """Base offset of a segment: only the commits in it and after it make the value."""


@dataclass(slots=True)
class NamedPositions:
    """See the module."""

    forgotten: list[str] = field(default_factory=list)
    """Names evicted since the log was opened."""
    _held: dict[str, _Held] = field(default_factory=dict)
    _origins: int = 0
    """Of all positions together."""

    def __len__(self) -> int:
        return len(self._held)

    def takes(self, name: str, origins: int, at_ms: int) -> bool:
        """Return whether a commit of ``name`` with so many origins finds room: among the names, and among all origins."""
        held = self._held.get(name)
        more = origins - (len(held.value.vector) if held else 0)
        if more > 0 and self._origins + more > MAX_ORIGINS_IN_ALL:
            return False
        return held is not None or len(self._held) < MAX_NAMES or self._has_expired(self._oldest(), at_ms)

    def values(self) -> dict[str, CommittedPosition]:
        """Return every named position."""
        return {name: held.value for name, held in self._held.items()}

    def observe(self, commit: PositionCommit, segment: Offset) -> None:
        """Add a commit from the segment of that base offset. Ignore one out of bounds."""
        if commit_problem(commit):
            return
        vector = {OriginId(each.origin): SequenceNumber(each.next_sequence) for each in commit.positions}
        value = CommittedPosition(commit.epoch, vector, commit.at_ms, commit.owner)
        held = self._held.get(commit.name)
        if held is None:
            self._make_room(value.at_ms, len(vector))
            self._held[commit.name] = _Held(value, segment)
            self._origins += len(vector)
            return
        joined = held.value.join(value)
        self._origins += len(joined.vector) - len(held.value.vector)
        if joined == value:
            held.rests_on = max(held.rests_on, segment) if held.value == value else segment
        elif joined != held.value:
            held.rests_on = min(held.rests_on, segment)
        held.value = joined
        while self._origins > MAX_HELD_ORIGINS and len(self._held) > 1:
            self._evict(self._oldest())

    def resting_before(self, start: Offset) -> dict[str, CommittedPosition]:
        """Return what would be lost with the segments before ``start``."""
        return {name: held.value for name, held in self._held.items() if held.rests_on < start}

    def rest_on(self, names: Iterable[str], segment: Offset) -> None:
        """Take in that everything of these names was committed again, from the segment of that base offset on."""
        for name in names:
            self._held[name].rests_on = max(self._held[name].rests_on, segment)

    def largest(self) -> tuple[str, int]:
        """Return the name with the most origins, and their number; none: an empty name."""
        sizes = ((name, len(held.value.vector)) for name, held in self._held.items())
        return max(sizes, key=itemgetter(1), default=("", 0))

    def to_json(self) -> list[Any]:
        """Return what :meth:`from_json` takes."""
        return [_to_json(name, held) for name, held in self._held.items()]

    @classmethod
    def from_json(cls, content: list[Any]) -> "NamedPositions":
        """Return what was written.

        Raises:
            ValueError, TypeError: It was not.
        """
        positions = cls()
        for name, epoch, at_ms, rests_on, vector, *owner in content:  # the first release wrote no owner
            known = {OriginId(bytes.fromhex(origin)): SequenceNumber(following) for origin, following in vector}
            value = CommittedPosition(epoch, known, at_ms, str(*owner))
            positions._held[name] = _Held(value, Offset(rests_on))
            positions._origins += len(known)
        return positions

    def _make_room(self, at_ms: int, origins: int) -> None:
        while self._held and self._origins + origins > MAX_HELD_ORIGINS:
            self._evict(self._oldest())
        if len(self._held) < MAX_NAMES:
            return
        oldest = self._oldest()
        if len(self._held) >= MAX_HELD_NAMES or self._has_expired(oldest, at_ms):
            self._evict(oldest)

    def _evict(self, name: str) -> None:
        self._origins -= len(self._held.pop(name).value.vector)
        self.forgotten.append(name)

    def _oldest(self) -> str:
        return min(self._held, key=lambda name: (self._held[name].value.at_ms, name))

    def _has_expired(self, name: str, at_ms: int) -> bool:
        return self._held[name].value.at_ms < at_ms - EXPIRY_MS


def _to_json(name: str, held: _Held) -> list[Any]:
    vector = [[origin.hex(), following] for origin, following in held.value.vector.items()]
    return [name, held.value.epoch, held.value.at_ms, held.rests_on, vector, held.value.owner]


def _bounded(vector: dict[OriginId, SequenceNumber]) -> dict[OriginId, SequenceNumber]:
    """Return at most as many origins as a cursor may have; what is left out is read again from its start."""
    if len(vector) <= MAX_VECTOR_ORIGINS:
        return vector
    kept = sorted(vector, key=lambda origin: (vector[origin], origin), reverse=True)[:MAX_VECTOR_ORIGINS]
    return {origin: vector[origin] for origin in kept}
