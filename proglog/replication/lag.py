"""How far one log trails another in one origin: in records, bytes and seconds, whether that grows, and until when.

Lag is a step function: it jumps up with each report from the other log, and down with each append here. Its trend is the
slope of the straight line through the last ten seconds or so, each moment weighing ``exp(-age / MEMORY)``: the least
squares fit of a step function has a closed form, so that five sums are kept instead of samples, and it does not matter
how many reports came in a moment. ::

    records |       ____
            |      |    |___            a burst, or a stream that opened: the fit starts over at the jump,
            |      |        |____       since a line through it would point up while the log catches up
            |  __  |             |_
            |_|  |_|               |    level: trend 0, and the next record starts a new fit
            +------------------------ time
"""

import math
from collections.abc import Container
from dataclasses import dataclass

from proglog.replication.progress import FIRST_SEQUENCE, Progress
from proglog.replication.ranges import Ranges, size, without
from proglog.types import OriginId, SequenceNumber

MEMORY = 10.0 / 3.0
"""Seconds after which a sample weighs a third: after ten its weight is a twentieth."""
MIN_SPAN = 1.0
"""Seconds to observe before reporting a trend."""
JUMP_FACTOR = 2.0
"""A lag that grows by this at once is a burst: the fit starts over."""
MAX_CATCH_UP = 24 * 3600.0
"""Longest catch-up time to report, in seconds."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Lag:
    """How far one log trails another in one origin."""

    records: int = 0
    """Records that the other log still keeps and this one lacks; control batches count as well."""
    bytes: int = 0
    """Size of their batches: exact while both logs kept the same, else by the mean size of what the other keeps."""
    seconds: float = 0.0
    """An upper bound on the age of the oldest missing record."""
    trend: float = 0.0
    """Records a second; negative: catching up."""
    catch_up: float | None = 0.0
    """Seconds until level, at this trend. ``None``: unknown, or not catching up."""


LEVEL = Lag()


def missing(held: Progress | None, there: Progress) -> Ranges:
    """Return the sequences that the log at ``there`` keeps and the one at ``held`` lacks, and did not remove itself."""
    if held is None:
        return there.kept(FIRST_SEQUENCE, there.next_sequence)
    lacks = without(
        held.floor_sequence, max(held.next_sequence, there.next_sequence), held.kept(FIRST_SEQUENCE, held.next_sequence)
    )
    return tuple(part for start, end in lacks for part in there.kept(start, end))


def records_behind(held: Progress | None, there: Progress) -> int:
    """Return how many records the log at ``there`` keeps and the one at ``held`` lacks: no sequence that it lacks too."""
    if there.gaps or there.damaged or (held is not None and (held.gaps or held.damaged)):
        return size(missing(held, there))
    return max(0, there.next_sequence - max(held.next_sequence if held else FIRST_SEQUENCE, there.floor_sequence))


def bytes_behind(held: Progress | None, there: Progress) -> int:
    """Return the approximate size of the batches of these records, in bytes."""
    records = records_behind(held, there)
    kept = there.next_sequence - there.floor_sequence
    if records in (0, kept):
        return there.bytes if records else 0
    if held is not None and held.floor_sequence == there.floor_sequence and held.bytes <= there.bytes:
        return there.bytes - held.bytes
    return there.bytes * records // kept


class LagMeter:
    """Lag in one origin behind one other log. Feed it every change on both sides; it keeps a handful of numbers."""

    def __init__(self) -> None:
        """Start level."""
        self._here: Progress | None = None
        self._there: Progress | None = None
        self._clock = LagClock()
        self._trend = TrendMeter()

    def there(self, position: Progress, held: Progress | None, now: float) -> None:
        """The other log is at ``position``, this one at ``held``."""
        self._there = position
        self._clock.there(position.next_sequence, now)
        self.here(held, now)

    def here(self, held: Progress | None, now: float) -> None:
        """This log is at ``held``."""
        self._here = held
        records = records_behind(held, self._there) if self._there else 0
        if not records and self._there:
            self._clock.here(self._there.next_sequence)  # what it lacks, the other does not keep either
        elif held is not None and self._there is not None and held.next_sequence >= self._there.next_sequence:
            self._clock.here(SequenceNumber(missing(held, self._there)[0][0]))  # in a gap, or damaged
        else:
            self._clock.here(held.next_sequence if held else FIRST_SEQUENCE)
        self._trend.observe(records, now)

    @property
    def behind_since(self) -> float | None:
        """Since when this log trails; ``None`` when level."""
        return self._clock.behind_since

    def read(self, now: float) -> Lag:
        """Return the lag at ``now``."""
        since = self.behind_since
        if self._there is None or since is None:
            return LEVEL
        return Lag(
            records=records_behind(self._here, self._there),
            bytes=bytes_behind(self._here, self._there),
            seconds=max(0.0, now - since),
            trend=self._trend.slope(now),
            catch_up=self._trend.until_level(now),
        )


class Lags:
    """How far this log trails each peer in each origin: a meter only where it does."""

    def __init__(self) -> None:
        """Start level with all."""
        self._meters: dict[OriginId, dict[str, LagMeter]] = {}

    def heard(self, peer: str, position: Progress, held: Progress | None, now: float) -> None:
        """Take in that ``peer`` is at ``position``, and this log at ``held``."""
        if not records_behind(held, position):
            self._drop(peer, position.origin)
            return
        meter = self._meters.setdefault(position.origin, {}).setdefault(peer, LagMeter())
        meter.there(position, held, now)

    def advanced(self, held: Progress, now: float) -> None:
        """Take in that this log is at ``held``."""
        for peer, meter in list(self._meters.get(held.origin, {}).items()):
            meter.here(held, now)
            if meter.behind_since is None:
                self._drop(peer, held.origin)

    def forget(self, peer: str) -> None:
        """Forget the lag behind ``peer``."""
        for origin in list(self._meters):
            self._drop(peer, origin)

    def behind_since(self, origin: OriginId, peers: Container[str], default: float) -> float:
        """Return since when this log has trailed any of ``peers`` in ``origin``; ``default`` if it does not."""
        meters = self._meters.get(origin, {}).items()
        since = [meter.behind_since for name, meter in meters if name in peers and meter.behind_since is not None]
        return min(since, default=default)

    def behind(self, peer: str, now: float) -> dict[OriginId, Lag]:
        """Return the lag behind ``peer``, by origin: only where there is any."""
        return {origin: meters[peer].read(now) for origin, meters in self._meters.items() if peer in meters}

    def _drop(self, peer: str, origin: OriginId) -> None:
        meters = self._meters.get(origin)
        if meters is not None and meters.pop(peer, None) is not None and not meters:
            del self._meters[origin]


class LagClock:
    """For how long one log has trailed another in one origin: an upper bound on the age of what is missing.

    It marks where the other log was when this one began to trail. Once this one gets there and still trails, the mark
    moves to the newest position heard: under steady traffic the lag is that of delivery, not that of all time.
    """

    def __init__(self) -> None:
        """Start level."""
        self._mark: SequenceNumber | None = None
        self._since = 0.0
        self._there = FIRST_SEQUENCE
        self._heard_at = 0.0

    def there(self, next_sequence: SequenceNumber, now: float) -> None:
        """The other log reaches to ``next_sequence``; say :meth:`here` next."""
        if next_sequence != self._there:
            self._there, self._heard_at = next_sequence, now

    def here(self, held: SequenceNumber) -> None:
        """This log reaches to ``held``."""
        if held >= self._there:
            self._mark = None
        elif self._mark is None or held >= self._mark:
            self._mark, self._since = self._there, self._heard_at

    @property
    def behind_since(self) -> float | None:
        """Since when; ``None`` when level."""
        return self._since if self._mark is not None else None


class TrendMeter:
    """The slope of a step function over the last ten seconds or so."""

    def __init__(self) -> None:
        """Start at zero."""
        self._value = 0
        self._started = self._at = 0.0
        self._sums = _Sums()

    def observe(self, value: int, now: float) -> None:
        """From ``now`` on it is ``value``."""
        if value > JUMP_FACTOR * self._value or not value:
            self._started, self._sums = now, _Sums()
        else:
            self._sums = self._sums.after(now - self._at, self._value)
        self._value, self._at = value, now

    def slope(self, now: float) -> float:
        """Return by how much it grows in a second; 0 before ``MIN_SPAN`` has passed, and when it has come to zero."""
        if not self._value or now - self._started < MIN_SPAN:
            return 0.0
        return self._sums.after(now - self._at, self._value).slope()

    def until_level(self, now: float) -> float | None:
        """Return the seconds until it comes to zero; ``None`` if that cannot be said, or will not be."""
        if not self._value:
            return 0.0
        slope = self.slope(now)
        seconds = self._value / -slope if slope < 0 else math.inf
        return seconds if seconds <= MAX_CATCH_UP else None


@dataclass(frozen=True, slots=True)
class _Sums:
    """Integrals over the past of ``exp(-age / MEMORY)`` times 1, age, age squared, value, and age times value."""

    weight: float = 0.0
    age: float = 0.0
    age_squared: float = 0.0
    value: float = 0.0
    age_value: float = 0.0

    def after(self, seconds: float, value: float) -> "_Sums":
        """Return the sums after ``seconds`` at ``value``: all that was grows older, and a stretch is added."""
        if seconds <= 0.0:
            return self
        x = seconds / MEMORY
        fade = math.exp(-x)
        weight = MEMORY * (1 - fade)
        age = MEMORY**2 * (1 - fade * (1 + x))
        age_squared = MEMORY**3 * (2 - fade * (x * x + 2 * x + 2))
        return _Sums(
            fade * self.weight + weight,
            fade * (self.age + seconds * self.weight) + age,
            fade * (self.age_squared + 2 * seconds * self.age + seconds**2 * self.weight) + age_squared,
            fade * self.value + value * weight,
            fade * (self.age_value + seconds * self.value) + value * age,
        )

    def slope(self) -> float:
        """Return the slope of the straight line that fits best; age runs backwards."""
        spread = self.weight * self.age_squared - self.age**2
        return (self.age * self.value - self.weight * self.age_value) / spread if spread > 0 else 0.0
