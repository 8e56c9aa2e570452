"""Series drawn with characters: sparklines, bars and areas.

Block elements have one cell in every font; Braille does not, so it is not used. ASCII has its own ramps. A series
that is longer than the chart is resampled by the maximum of each bucket, so a spike is never averaged away. What is not
known, ``nan``, is drawn as a broken line, unlike 0.
"""

import math
from bisect import bisect_left
from collections.abc import Iterable, Sequence
from itertools import accumulate, groupby, pairwise

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
    """Return the next of 1, 2, 3, 4, 6, 8, 10, 20 ... that is not below ``value``: the top of a scale."""
    if not 1e-300 < value < 1e300:
        return 1.0
    unit = 10.0 ** math.floor(math.log10(value))
    return next((step * unit for step in (1, 2, 3, 4, 6, 8) if step * unit >= value), 10 * unit)


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


_STRIPE = 4
"""Cells from one stroke of a hatching to the next."""
BLANK, HATCHED = -1, -2
"""Owners of cells that no series fills: nothing is there, or what was there is not known."""


def layers(
    total: Sequence[float],
    series: Sequence[Sequence[float]],
    width: int,
    height: int,
    *,
    top: float,
    ascii_only: bool = False,
) -> list[list[tuple[str, int]]]:
    """Return ``height`` rows of an area of ``total``, top row first, each column divided among ``series``.

    A row is runs of text, each with the index of the series that fills most of it, BLANK or HATCHED; together
    ``width`` cells, the newest value at the right. One value a cell; what is older than ``total`` is not known.
    """
    ramp = _ASCII_RAMP if ascii_only else _BLOCKS
    padded = [math.nan] * (width - len(total)) + list(total[-width:] if width else ())
    columns: list[list[tuple[str, int]]] = []
    for at, value in enumerate(padded, len(total) - len(padded)):
        if math.isnan(value):
            columns.append([(_hatched(len(columns), row, height, ascii_only), HATCHED) for row in range(height)])
            continue
        level = _level(min(value / top, 1.0), height, len(ramp) - 1)
        bounds = _bounds([each[at] for each in series], level)
        columns.append([_layer(level, row, ramp, bounds) for row in range(height - 1, -1, -1)])
    return [_runs(column[row] for column in columns) for row in range(height)]


def _hatched(column: int, row: int, height: int, ascii_only: bool) -> str:
    """Return a cell of what is not known: a broken line at the foot, strokes above it."""
    if row == height - 1:
        return "~" if ascii_only else "╌"
    stroke = "/" if ascii_only else "\u2571"
    return stroke if (column + row) % _STRIPE == 0 else " "


def _bounds(values: Sequence[float], level: int) -> list[float]:
    """Return where each value's part of a column ends, in steps from its foot."""
    parts = [0.0 if math.isnan(value) else value for value in values]
    whole = sum(parts) or 1.0
    return [end / whole * level for end in accumulate(parts)]


def _layer(level: int, row: int, ramp: str, bounds: Sequence[float]) -> tuple[str, int]:
    steps = len(ramp) - 1
    filled = min(max(level - row * steps, 0), steps)
    if not filled:
        return " ", BLANK
    middle = row * steps + filled / 2
    return ramp[filled], min(bisect_left(bounds, middle), len(bounds) - 1)


def _runs(cells: Iterable[tuple[str, int]]) -> list[tuple[str, int]]:
    return [("".join(text for text, _ in run), owner) for owner, run in groupby(cells, key=lambda cell: cell[1])]


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
