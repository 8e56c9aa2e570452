"""Cells about what a copy lacks: a lag in as many words as fit, its role, the name of an origin."""

from functools import partial

from proglog.observe.columns import Cell
from proglog.observe.lag import LagTotal, Trend
from proglog.observe.spans import Line, Locale, Role, Span, line
from proglog.observe.words import lag_amounts, lag_words, origin_id, short_count, trend_mark

IN_FLIGHT_MS = 2_000
"""What is younger is on its way, and no lag."""
MANY = 1_000


def missing_role(records: int) -> Role:
    """Return the role of a number of records that a peer has not confirmed: a few always are, many are a lag."""
    return Role.MUTED if records == 0 else Role.TEXT if records < MANY else Role.WARN


def lag_cell(lag: LagTotal, locale: Locale) -> Cell:
    """Return a lag for a column that names it."""
    return partial(lag_line, lag, locale) if lag.records > 0 else lag_line(lag, locale, 0)


def lag_line(lag: LagTotal, locale: Locale, width: int) -> Line:
    """Return ``↘ 1,204 records, 310 kB, 3.1 s; caught up in about 8 s``, in as many words as there is room for."""
    if lag.records <= 0:
        return line(Span(locale.pick("✓ ", "= ") + lag_words(lag), Role.GOOD))
    if lag.age_ms < IN_FLIGHT_MS:
        return line(Span(f"{locale.pick('≈', '~')} {short_count(lag.records)} on their way", Role.MUTED))
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
    return line(locale.member(node_name or "?", 40), Span(" " + origin_id(origin), Role.MUTED))
