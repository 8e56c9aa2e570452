"""The words for numbers and states, the same in the command line and in the dashboard.

Sizes are decimal (1 kB = 1,000 bytes) with up to three digits; durations name their units. A state is never only a
colour: it has a shape, a shape for ASCII terminals and a word.
"""

import math
from dataclasses import dataclass

from proglog.observe.lag import LagTotal, Trend
from proglog.types import counted
from proglog.wire.model import MemberStatus, PeerState

_BYTE_UNITS = ("B", "kB", "MB", "GB", "TB", "PB", "EB")
_COUNT_UNITS = ("", "k", "M", "G", "T", "P", "E")
_DURATION_UNITS = (("d", 86_400, "h", 3_600), ("h", 3_600, "min", 60), ("min", 60, "s", 1))


@dataclass(frozen=True, slots=True, kw_only=True)
class Mark:
    """A state as a reader sees it."""

    shape: str
    """One cell; different for each state, so it survives without colour."""
    ascii_shape: str
    """The same for terminals without Unicode."""
    word: str

    def text(self, *, ascii_only: bool = False) -> str:
        """Return shape and word: ``● alive``."""
        return f"{self.ascii_shape if ascii_only else self.shape} {self.word}"


_MEMBER_MARKS = {
    MemberStatus.ALIVE: Mark(shape="●", ascii_shape="+", word="alive"),
    MemberStatus.LEAVING: Mark(shape="◌", ascii_shape="~", word="leaving"),
    MemberStatus.LEFT: Mark(shape="○", ascii_shape="-", word="left"),
    MemberStatus.FAILED: Mark(shape="✖", ascii_shape="x", word="failed"),
}
_PEER_MARKS = {
    PeerState.STREAMING: Mark(shape="●", ascii_shape="+", word="streaming"),
    PeerState.CONNECTING: Mark(shape="◐", ascii_shape="~", word="connecting"),
    PeerState.BACKING_OFF: Mark(shape="✖", ascii_shape="x", word="backing off"),
    PeerState.STOPPED: Mark(shape="○", ascii_shape="-", word="stopped"),
}
_TREND_MARKS = {
    Trend.GROWING: Mark(shape="↗", ascii_shape="/", word="growing"),
    Trend.STEADY: Mark(shape="→", ascii_shape="-", word="steady"),
    Trend.SHRINKING: Mark(shape="↘", ascii_shape="\\", word="shrinking"),
}


def member_mark(status: MemberStatus) -> Mark:
    """Return shape and word of a member's status."""
    return _MEMBER_MARKS[status]


def peer_mark(state: PeerState) -> Mark:
    """Return shape and word of a replication stream's state."""
    return _PEER_MARKS[state]


def trend_mark(trend: Trend) -> Mark:
    """Return shape and word of where a lag is going."""
    return _TREND_MARKS[trend]


def count_words(count: int) -> str:
    """Return an exact count with separators: ``1,204``."""
    return f"{count:,}"


def short_count(count: float) -> str:
    """Return a count in at most five characters: ``987``, ``1.2k``, ``34M``."""
    value, unit = _scaled(count, _COUNT_UNITS)
    return f"{value}{unit}"


def count_within(count: int, width: int) -> str:
    """Return a count that fits into ``width`` cells: exact, or abbreviated, never cut."""
    exact = count_words(count)
    return exact if len(exact) <= width else short_count(count)


def bytes_words(size_bytes: float) -> str:
    """Return a size in decimal units: ``0 B``, ``310 kB``, ``1.2 GB``."""
    value, unit = _scaled(size_bytes, _BYTE_UNITS)
    return f"{value} {unit}"


def rate_words(per_second: float) -> str:
    """Return records per second: ``1.2k/s``."""
    return f"{short_count(per_second)}/s"


def duration_words(seconds: float) -> str:
    """Return a duration in its two largest units: ``0.3 s``, ``12 s``, ``2 min 5 s``, ``3 h 12 min``, ``4 d 2 h``."""
    seconds = max(seconds, 0.0)
    if seconds < 9.95:
        return f"{seconds:.1f} s" if round(seconds, 1) else "0 s"
    whole = round(seconds)
    for name, size, lower_name, lower in _DURATION_UNITS:
        if whole >= size:
            rest = whole % size // lower
            return f"{whole // size:,} {name}" + (f" {rest} {lower_name}" if rest else "")
    return f"{whole} s"


def micro_words(microseconds: float) -> str:
    """Return a short time in two digits: ``80 us``, ``1.2 ms``, ``24 ms``, ``1.5 s``."""
    value, unit = _scaled(microseconds, ("us", "ms", "s"))
    return f"{value} {unit}"


def short_duration(seconds: float) -> str:
    """Return a duration in only its largest unit, for a narrow column: ``0.3 s``, ``12 min``, ``4 d``."""
    whole = round(max(seconds, 0.0))
    for name, size, _, _ in _DURATION_UNITS:
        if whole >= size:
            return f"{whole // size:,} {name}"
    return duration_words(seconds)


def age_words(at_ms: int, now_ms: int) -> str:
    """Return how long ago something was: ``just now``, ``12 s ago``; clocks that disagree read as ``just now``."""
    seconds = (now_ms - at_ms) / 1000
    return "just now" if seconds < 1 else f"{duration_words(seconds)} ago"


def lag_words(lag: LagTotal, peer: str = "") -> str:
    """Return a lag as a sentence.

    ::

        trails by 1,204 records, 310 kB, 3.1 s; caught up in about 8 s
        trails node-b by 1,204 records, 310 kB, 3.1 s; growing by 40 records/s
        in step

    What is not known is left out, and a lag that neither grows nor shrinks makes no claim.

    Args:
        lag: How far a copy trails.
        peer: Named in the sentence, if given. Foreign text stays foreign.
    """
    if lag.records <= 0:
        return f"in step with {peer}" if peer else "in step"
    trails = f"trails {peer} by " if peer else "trails by "
    return trails + lag_amounts(lag)[0]


def lag_amounts(lag: LagTotal) -> tuple[str, ...]:
    """Return how much a copy lacks, in fewer and fewer words: for columns that may be narrow.

    ``1,204 records, 310 kB, 3.1 s; caught up in about 8 s``, ... ``1,204 records, 3.1 s``, ``1,204 records``, ``1.2k``.
    """
    records = counted(lag.records, "record")
    size = [bytes_words(lag.size_bytes)] if lag.size_bytes > 0 else []
    age = [duration_words(lag.age_ms / 1000)] if lag.age_ms > 0 else []
    ahead = forecast_words(lag)
    all_of_it = ", ".join([records, *size, *age])
    in_time = ", ".join([records, *age])
    with_forecast = [f"{all_of_it}; {ahead}", f"{in_time}; {ahead}"] if ahead else []
    return tuple(dict.fromkeys([*with_forecast, all_of_it, in_time, records, short_count(lag.records)]))


def forecast_words(lag: LagTotal) -> str:
    """Return ``caught up in about 8 s``, ``growing by 40 records/s``; nothing where nothing can be said."""
    if lag.records <= 0 or lag.trend is Trend.STEADY:
        return ""
    if lag.trend is Trend.GROWING:
        return f"growing by {counted(max(round(lag.per_second), 1), 'record')}/s"
    seconds = math.ceil((lag.catch_up_ms or 0) / 1000)
    about = f"{seconds} s" if seconds < 60 else duration_words(seconds)
    return f"caught up in about {about}" if seconds > 0 else ""


def origin_id(origin: bytes) -> str:
    """Return the eight hex digits that people call an origin by."""
    return origin.hex()[:8]


def _scaled(amount: float, units: tuple[str, ...]) -> tuple[str, str]:
    """Return ``amount`` in the unit that leaves 1 to 3 digits before the point, two significant ones below 10."""
    value = float(amount)
    for unit in units[:-1]:
        if value < 9.95 and unit != units[0]:
            return f"{value:.1f}", unit
        if value < 999.5:
            return f"{value:.0f}", unit
        value /= 1000
    return f"{value:,.1f}", units[-1]
