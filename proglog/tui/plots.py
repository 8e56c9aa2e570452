"""A series with its scale: what a zoomed panel shows, where a sparkline is not enough.

::

lag behind node-b  1.3k records   min 0  median 1.1k  max 4.0k
 5.0k |          ##
      |          ####
 2.5k |          ######
      |   ##     ########
    0 +---------------------------
      -2 min       -1 min      now
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from statistics import median

from proglog.observe import charts
from proglog.observe.spans import Line, Locale, Role, Span, line
from proglog.observe.words import duration_words

WINDOWS = (60, 120, 300, 600, 1_800, 3_600)
"""Seconds that a plot can cover."""
LEAST_ROWS = 5
"""Of a plot: title, two of the area, axis, times."""
_SCALE = 8


@dataclass(frozen=True, slots=True, kw_only=True)
class Series:
    """What is plotted."""

    name: str
    """Printable text."""
    now: str
    """The newest value, in words."""
    values: Sequence[float]
    """One a second, the newest last."""
    words: Callable[[float], str]
    """A value in a few characters."""
    role: Role
    least: float = 0.0
    """The top of the scale at least: what is small for this quantity looks small."""


def plot(series: Series, seconds: int, locale: Locale, width: int, height: int) -> list[Line]:
    """Return ``height`` lines: title, area with a scale, axis, times; what has no room for a scale is its title alone."""
    recent = charts.known(series.values[-seconds:])
    if height < LEAST_ROWS or width < _SCALE + 12:
        return [_title(series, recent)][:height]
    rows, cells = height - 3, width - _SCALE - 1
    top = charts.rounded_up(max([*recent, series.least]))
    drawn = charts.area(
        charts.spread_out(series.values, seconds, cells), cells, rows, top=top, ascii_only=locale.ascii_only
    )
    labels = {rows // 2: series.words(top * (rows - rows // 2) / rows)[: _SCALE - 1]} if rows > 3 else {}
    labels[0] = series.words(top)[: _SCALE - 1]
    if labels.get(rows // 2) == labels[0]:
        labels = {0: labels[0]}
    bar, corner, flat = locale.pick("│", "|"), locale.pick("└", "+"), locale.pick("─", "-")
    area = [
        line(Span(labels.get(row, "").rjust(_SCALE - 1) + bar, Role.MUTED), Span(text, series.role))
        for row, text in enumerate(drawn)
    ]
    axis = Span("0".rjust(_SCALE - 1) + corner + flat * cells, Role.MUTED)
    return [_title(series, recent), *area, line(axis), _times(seconds, cells)]


def _title(series: Series, recent: Sequence[float]) -> Line:
    spread = ""
    if recent:
        low, middle, high = (series.words(value) for value in (min(recent), median(recent), max(recent)))
        spread = f"   min {low}  median {middle}  max {high}"
    return line(Span(f"{series.name} ", Role.MUTED), Span(series.now, Role.STRONG), Span(spread, Role.MUTED))


def _times(seconds: int, cells: int) -> Line:
    start, middle = (f"-{duration_words(ago)}" for ago in (seconds, seconds / 2))
    left = start + middle.center(max(cells - len(start) - len("now"), 0))
    return line(Span(" " * _SCALE + left[: cells - 3].ljust(cells - 3) + "now", Role.MUTED))


def stacked(series: Sequence[Series], seconds: int, locale: Locale, width: int, height: int) -> list[Line]:
    """Return as many plots, one below the other, as ``height`` has room for.

    Those without a plot, since nothing but 0 is in it or there is no room, are their titles alone.
    """
    busy = [each for each in series if any(charts.known(each.values[-seconds:]))]
    full = busy[: max((height - len(series)) // (LEAST_ROWS - 1), 0)]
    room = height - (len(series) - len(full))
    drawn: list[Line] = []
    for each in series:
        if each in full:
            place = full.index(each)
            drawn += plot(each, seconds, locale, width, room // len(full) + (place < room % len(full)))
        else:
            drawn += plot(each, seconds, locale, width, 1)
    return drawn[:height]
