"""Network coordinates: an estimate of the round trip between any two members, measured or not.

Every acknowledgement carries the coordinate of the member that sends it. A node moves its own a little after each
probe, so that the distance to the other comes closer to the round trip that it measured::

    distance = |vec - vec'| + height + height' + adjustment + adjustment'          seconds
    step     = 0.25 * w * (round trip - distance)      w: this node's share of both errors

A lying node does little harm: a coordinate out of bounds is refused, and one far away from a node that answers at once
moves this node by a millisecond at most.

Source: Dabek et al. 2004, "Vivaldi"; Ledlie et al. 2007, "Network Coordinates in the Wild"; serf ``coordinate/``.
"""

import math
from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass
from random import Random
from typing import Any, Self

from proglog.gossip.errors import MalformedMessageError
from proglog.gossip.wire import decode, encode_map

DIMENSIONS = 8
MAX_SECONDS = 10.0
"""Bound on round trips and on the components of a coordinate."""
MAX_ERROR = 1.5
MIN_HEIGHT = 10e-6
_VERSION = 1
_ERROR_SHARE = _STEP_SHARE = 0.25
_ADJUSTMENT_WINDOW = 20
_MEDIAN_OF = 3
_GRAVITY_SECONDS = 150.0
_NOTHING = 1e-6
_DOUBTFUL_FACTOR, _DOUBTFUL_SECONDS = 3.0, 0.1
_MAX_DOUBTFUL_STEP = 0.001
_MAX_FILTERED = 10_000
"""Members whose last round trips are kept."""


@dataclass(frozen=True, slots=True)
class Coordinate:
    """A place in eight dimensions, in seconds; the height is the way to the network that all others share."""

    vec: tuple[float, ...] = (0.0,) * DIMENSIONS
    error: float = MAX_ERROR
    """Estimated relative error: 0 is exact, 1.5 is unknown."""
    adjustment: float = 0.0
    height: float = MIN_HEIGHT

    @classmethod
    def read(cls, payload: bytes) -> Self | None:
        """Return the coordinate in an acknowledgement; ``None`` if it has none.

        Raises:
            MalformedMessageError: It is none, or out of bounds.
        """
        if not payload:
            return None
        if payload[0] != _VERSION:
            raise MalformedMessageError(f"a coordinate of version {payload[0]}")
        fields = decode(payload[1:])
        vec = fields.each("Vec")
        if len(vec) != DIMENSIONS:
            raise MalformedMessageError(f"a coordinate has {DIMENSIONS} dimensions; this one has {len(vec)}")
        read = cls(
            tuple(_number(each) for each in vec),
            *(_number(fields.content.get(name, 0.0)) for name in (b"Error", b"Adjustment", b"Height")),
        )
        if not read.is_sane:
            raise MalformedMessageError("a coordinate that is out of bounds")
        return read

    @property
    def is_sane(self) -> bool:
        """Whether all of it is a number, and within bounds."""
        within = all(abs(each) <= MAX_SECONDS for each in (*self.vec, self.adjustment))  # false for NaN
        return within and 0 <= self.height <= MAX_SECONDS and 0 <= self.error <= MAX_ERROR

    def encode(self) -> bytes:
        """Return it as an acknowledgement carries it."""
        return bytes((_VERSION,)) + encode_map(self.fields())

    def fields(self) -> dict[str, Any]:
        """Return it by Serf's names of its parts."""
        return {"Vec": list(self.vec), "Error": self.error, "Adjustment": self.adjustment, "Height": self.height}

    def distance(self, other: "Coordinate") -> float:
        """Return the estimated round trip to ``other``, in seconds."""
        raw = self.raw_distance(other)
        adjusted = raw + self.adjustment + other.adjustment
        return adjusted if adjusted > 0 else raw

    def raw_distance(self, other: "Coordinate") -> float:
        """Return the distance without the adjustments, in seconds."""
        return math.dist(self.vec, other.vec) + self.height + other.height

    def pushed(self, force: float, other: "Coordinate", random: Random) -> "Coordinate":
        """Return where this one is after ``force``, in seconds, has pushed it away from ``other``."""
        away, apart = _direction(self.vec, other.vec, random)
        vec = tuple(place + part * force for place, part in zip(self.vec, away, strict=True))
        height = self.height
        if apart > _NOTHING:
            height = max(MIN_HEIGHT, (self.height + other.height) * force / apart + self.height)
        return Coordinate(vec, self.error, self.adjustment, height)


_ORIGIN = Coordinate()


class Vivaldi:
    """Moves one node's coordinate."""

    def __init__(self, random: Random) -> None:
        """Start at the origin; ``random`` chooses a direction where two nodes are at one place."""
        self.own = Coordinate()
        self.resets = 0
        """Times that the coordinate was reset."""
        self._random = random
        self._samples: deque[float] = deque([0.0] * _ADJUSTMENT_WINDOW, _ADJUSTMENT_WINDOW)
        self._round_trips: dict[str, deque[float]] = {}

    def measured(self, name: str, other: Coordinate, seconds: float) -> None:
        """Adjust to a round trip of ``seconds`` to ``name``, whose coordinate is ``other``."""
        if not 0 <= seconds <= MAX_SECONDS:
            return
        seconds = max(self._filtered(name, seconds), _NOTHING)
        distance = self.own.distance(other)
        weight = self.own.error / max(self.own.error + other.error, _NOTHING)
        force = _STEP_SHARE * weight * (seconds - distance)
        if distance > _DOUBTFUL_FACTOR * seconds + _DOUBTFUL_SECONDS:
            # A distance that the round trip disproves: limit its effect.
            moved = self.own.pushed(max(force, -_MAX_DOUBTFUL_STEP), other, self._random)
        else:
            moved = self._learned(weight, abs(distance - seconds) / seconds).pushed(force, other, self._random)
            self._samples.append(seconds - moved.raw_distance(other))
        self._take(moved)

    def forget(self, name: str) -> None:
        """Forget the round trips of a member that is gone."""
        self._round_trips.pop(name, None)

    def _filtered(self, name: str, seconds: float) -> float:
        if name not in self._round_trips and len(self._round_trips) >= _MAX_FILTERED:
            return seconds
        kept = self._round_trips.setdefault(name, deque(maxlen=_MEDIAN_OF))
        kept.append(seconds)
        return sorted(kept)[len(kept) // 2]

    def _learned(self, weight: float, wrongness: float) -> Coordinate:
        own, share = self.own, _ERROR_SHARE * weight
        error = min(MAX_ERROR, share * wrongness + own.error * (1 - share))
        return Coordinate(own.vec, error, own.adjustment, own.height)

    def _take(self, moved: Coordinate) -> None:
        adjustment = sum(self._samples) / (2 * _ADJUSTMENT_WINDOW)
        adjusted = Coordinate(moved.vec, moved.error, adjustment, moved.height)
        to_origin = adjusted.distance(_ORIGIN)
        settled = adjusted.pushed(-((to_origin / _GRAVITY_SECONDS) ** 2), _ORIGIN, self._random)
        if settled.is_sane:
            self.own = settled
        else:
            self.own, self.resets = Coordinate(), self.resets + 1
            self._samples.extend([0.0] * _ADJUSTMENT_WINDOW)


def _direction(here: Iterable[float], there: Iterable[float], random: Random) -> tuple[tuple[float, ...], float]:
    """Return the unit vector from ``there`` to ``here``, and how far apart they are; a random one at one place."""
    difference = tuple(a - b for a, b in zip(here, there, strict=True))
    apart = math.hypot(*difference)
    if apart > _NOTHING:
        return tuple(part / apart for part in difference), apart
    while True:
        difference = tuple(random.uniform(-0.5, 0.5) for _ in difference)
        length = math.hypot(*difference)
        if length > _NOTHING:
            return tuple(part / length for part in difference), 0.0


def _number(value: object) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise MalformedMessageError("a coordinate's part that is no number")
    try:
        return float(value)
    except OverflowError:
        raise MalformedMessageError("a coordinate that is out of bounds") from None
