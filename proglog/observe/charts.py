"""Series drawn with characters: sparklines, bars and areas.

Block elements have one cell in every font; Braille does not, so it is not used. ASCII has its own ramps. A series
that is longer than the chart is resampled by the maximum of each bucket, so a spike is never averaged away. What is not
known, ``nan``, is drawn as a broken line, unlike 0.
"""

import math
from collections.abc import Iterable, Sequence
from itertools import pairwise

_BLOCKS = " ▁▂▃▄▅▆▇█"
_ASCII_RAMP = " .:-=+*#@"
_UNKNOWN = -1


def resample(values: Sequence[float], width: int) -> list[float]:
    """Return the newest ``width`` values, or the maxima of ``width`` buckets; short series are not stretched."""
    if len(values) <= width or width <= 0:
        return list(values)
    edges = [index * len(values) // width for index in range(width + 1)]
    return [highest(values[start:end]) for start, end in pairwise(edges)]


def highest(values: Iterable[float]) -> float:
    """Return the largest of the values that are known; ``nan`` if none is."""
    return max(known(values), default=math.nan)


def known(values: Iterable[float]) -> list[float]:
    """Return the values without those that are not known."""
    return [value for value in values if not math.isnan(value)]


def spread_out(values: Sequence[float], seconds: int, width: int) -> list[float]:
    """Return ``width`` values for the last ``seconds``: one value a second, the newest at the right.

    A cell that covers several seconds has their maximum; what is older than the series is not known.
    """
    recent = list(values[-seconds:])
    slots = [math.nan] * (seconds - len(recent)) + recent
    edges = [(cell * seconds // width, -(-(cell + 1) * seconds // width)) for cell in range(width)]
    return [highest(slots[start:end]) for start, end in edges]


def rounded_up(value: float) -> float:
    """Return the next of 1, 2, 5, 10, 20, 50 ... that is not below ``value``: the top of a scale."""
    if not 1e-300 < value < 1e300:
        return 1.0
    unit = 10.0 ** math.floor(math.log10(value))
    return next((step * unit for step in (1, 2, 5) if step * unit >= value), 10 * unit)


def sparkline(values: Sequence[float], width: int, *, top: float | None = None, ascii_only: bool = False) -> str:
    """Return one line of exactly ``width`` characters, the newest value at the right.

    Args:
        values: Not negative; oldest first.
        width: In cells.
        top: The value of a full cell; ``None``: the largest in ``values``.
        ascii_only: Draw with ASCII.
    """
    ramp = _ASCII_RAMP if ascii_only else _BLOCKS[:-1]  # without the full block: rows of a table stay apart
    return _drawn(values, width, 1, ramp, top)[0] if width > 0 else ""


def area(
    values: Sequence[float], width: int, height: int, *, top: float | None = None, ascii_only: bool = False
) -> list[str]:
    """Return ``height`` lines of ``width`` characters, top line first; arguments as in :func:`sparkline`."""
    return _drawn(values, width, height, _ASCII_RAMP if ascii_only else _BLOCKS, top)


def _drawn(values: Sequence[float], width: int, height: int, ramp: str, top: float | None) -> list[str]:
    points = resample(values, width)
    peak = max(top or 0.0, max(known(points), default=0.0)) or 1.0
    levels = [_UNKNOWN if math.isnan(point) else _level(point / peak, height, len(ramp) - 1) for point in points]
    return ["".join(_column(level, row, ramp) for level in levels).rjust(width) for row in range(height - 1, -1, -1)]


def bar(share: float, width: int, *, ascii_only: bool = False) -> str:
    """Return a bar of ``width`` characters filled for ``share`` (0 to 1); more than nothing is always visible."""
    halves = round(min(max(share, 0.0), 1.0) * width * 2)
    if share > 0:
        halves = max(halves, 1)
    full, rest = divmod(halves, 2)
    if ascii_only:
        return ("=" * full + "-" * rest).ljust(width)[:width]
    return ("━" * full + "╸" * rest).ljust(width)[:width]


def _level(share: float, height: int, steps: int) -> int:
    """Return how many steps of a column are filled; more than nothing is always visible."""
    return max(round(share * height * steps), 1) if share > 0 else 0


def _column(level: int, row: int, ramp: str) -> str:
    if level == _UNKNOWN:
        return " " if row else "~" if ramp == _ASCII_RAMP else "╌"
    steps = len(ramp) - 1
    return ramp[min(max(level - row * steps, 0), steps)]
