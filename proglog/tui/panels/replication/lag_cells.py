"""Cells about what a copy lacks: a lag in as many words as fit, its role, the name of an origin."""

from functools import partial

from proglog.observe.columns import Cell
from proglog.observe.lag import LagTotal, Trend
from proglog.observe.spans import Line, Locale, Role, Span, line
from proglog.observe.words import lag_amounts, lag_words, origin_id, trend_mark

ON_THE_WAY = 1_000
"""Fewer missing records than that are on their way, and no warning."""


def missing_role(records: int) -> Role:
    """Return the role of a number of missing records: a few are on their way, many are a lag."""
    return Role.MUTED if records == 0 else Role.TEXT if records < ON_THE_WAY else Role.WARN


def lag_cell(lag: LagTotal, locale: Locale) -> Cell:
    """Return a lag for a column that names it."""
    return partial(lag_line, lag, locale) if lag.records > 0 else lag_line(lag, locale, 0)


def lag_line(lag: LagTotal, locale: Locale, width: int) -> Line:
    """Return ``↘ 1,204 records, 310 kB, 3.1 s; caught up in about 8 s``, in as many words as there is room for."""
    if lag.records <= 0:
        return line(Span(locale.pick("✓ ", "= ") + lag_words(lag), Role.GOOD))
    amounts = lag_amounts(lag)
    words = next((words for words in amounts if len(words) + 2 <= width), amounts[-1])
    amount, semicolon, ahead = words.partition(";")
    growing = Role.WARN if lag.trend is Trend.GROWING else Role.MUTED
    return line(Span(f"{locale.shape(trend_mark(lag.trend))} {amount}", Role.WARN), Span(semicolon + ahead, growing))


def lag_text(lag: LagTotal) -> str:
    """Return a lag in words after the arrow of its trend, for lines without colours."""
    return lag_words(lag) if lag.records <= 0 else f"{trend_mark(lag.trend).shape} {lag_words(lag)}"


def origin_name(node_name: str, origin: bytes, locale: Locale) -> Line:
    """Return the writer's name and the short id of an origin."""
    return line(locale.safe(node_name or "?", 40), Span(" " + origin_id(origin), Role.MUTED))
