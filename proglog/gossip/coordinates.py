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
from collections.abc import Sequence
from random import Random
from typing import Any, NamedTuple, Self

from proglog.gossip.errors import MalformedMessageError
from proglog.gossip.wire import decode, encode_ordered

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


class Coordinate(NamedTuple):
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
        vec, part = fields.each("Vec"), fields.content.get
        if len(vec) != DIMENSIONS:
            raise MalformedMessageError(f"a coordinate has {DIMENSIONS} dimensions; this one has {len(vec)}")
        read = cls(
            tuple([each if type(each) is float else _number(each) for each in vec]),
            _number(part(b"Error", 0.0)),
            _number(part(b"Adjustment", 0.0)),
            _number(part(b"Height", 0.0)),
        )
        if not read.is_sane:
            raise MalformedMessageError("a coordinate that is out of bounds")
        return read

    @property
    def is_sane(self) -> bool:
        """Whether all of it is a number, and within bounds."""
        return (
            (math.hypot(*self.vec) <= MAX_SECONDS or all(-MAX_SECONDS <= each <= MAX_SECONDS for each in self.vec))
            and -MAX_SECONDS <= self.adjustment <= MAX_SECONDS
            and 0 <= self.height <= MAX_SECONDS
            and 0 <= self.error <= MAX_ERROR
        )

    def encode(self) -> bytes:
        """Return it as an acknowledgement carries it."""
        return encode_ordered(_VERSION, self.fields())

    def fields(self) -> dict[str, Any]:
        """Return it by Serf's names of its parts."""
        return {"Adjustment": self.adjustment, "Error": self.error, "Height": self.height, "Vec": list(self.vec)}

    def distance(self, other: "Coordinate") -> float:
        """Return the estimated round trip to ``other``, in seconds."""
        raw = self.raw_distance(other)
        adjusted = raw + self.adjustment + other.adjustment
        return adjusted if adjusted > 0 else raw

    def raw_distance(self, other: "Coordinate") -> float:
        """Return the distance without the adjustments, in seconds."""
        return math.dist(self.vec, other.vec) + self.height + other.height


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
        own, seconds = self.own, max(self._filtered(name, seconds), _NOTHING)
        distance, error = own.distance(other), own.error
        weight = error / max(error + other.error, _NOTHING)
        force = _STEP_SHARE * weight * (seconds - distance)
        disproved = distance > _DOUBTFUL_FACTOR * seconds + _DOUBTFUL_SECONDS
        if disproved:
            force = max(force, -_MAX_DOUBTFUL_STEP)
        else:
            share = _ERROR_SHARE * weight
            error = min(MAX_ERROR, share * abs(distance - seconds) / seconds + error * (1 - share))
        vec, height = self._pushed(own, other, force)
        if not disproved:
            self._samples.append(seconds - math.dist(vec, other.vec) - height - other.height)
        self._settle(vec, error, sum(self._samples) / (2 * _ADJUSTMENT_WINDOW), height)

    def forget(self, name: str) -> None:
        """Forget the round trips of a member that is gone."""
        self._round_trips.pop(name, None)

    def _filtered(self, name: str, seconds: float) -> float:
        if name not in self._round_trips and len(self._round_trips) >= _MAX_FILTERED:
            return seconds
        kept = self._round_trips.get(name)
        if kept is None:
            kept = self._round_trips[name] = deque(maxlen=_MEDIAN_OF)
        kept.append(seconds)
        return sorted(kept)[len(kept) // 2]

    def _settle(self, vec: Sequence[float], error: float, adjustment: float, height: float) -> None:
        """Take this place after gravity: a weak pull to the origin keeps all coordinates from drifting together."""
        away = math.hypot(*vec)
        raw = away + height + MIN_HEIGHT
        to_origin = raw + adjustment if raw + adjustment > 0 else raw
        if away > _NOTHING:
            pull = (to_origin / _GRAVITY_SECONDS) ** 2 / away
            height = max(MIN_HEIGHT, height - (height + MIN_HEIGHT) * pull)
            vec = [part * (1 - pull) for part in vec]
        settled = Coordinate(tuple(vec), error, adjustment, height)
        if settled.is_sane:
            self.own = settled
        else:
            self.own, self.resets = Coordinate(), self.resets + 1
            self._samples.extend([0.0] * _ADJUSTMENT_WINDOW)

    def _pushed(self, own: Coordinate, other: Coordinate, force: float) -> tuple[list[float], float]:
        """Return a place and height after a push of ``force`` seconds away from ``other``."""
        apart = math.dist(own.vec, other.vec)
        if apart <= _NOTHING:
            away, length = _any_direction(self._random)
            return [here + part * force / length for here, part in zip(own.vec, away, strict=True)], own.height
        scale = force / apart
        vec = [here + (here - there) * scale for here, there in zip(own.vec, other.vec, strict=True)]
        return vec, max(MIN_HEIGHT, own.height + (own.height + other.height) * scale)


def _any_direction(random: Random) -> tuple[list[float], float]:
    """Return a random vector and its length."""
    while True:
        vector = [random.uniform(-0.5, 0.5) for _ in range(DIMENSIONS)]
        length = math.hypot(*vector)
        if length > _NOTHING:
            return vector, length


def _number(value: object) -> float:
    if type(value) is float:
        return value
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise MalformedMessageError("a coordinate's part that is no number")
    try:
        return float(value)
    except OverflowError:
        raise MalformedMessageError("a coordinate that is out of bounds") from None
