"""How fast the log grows and is read, and how far the agent lags: areas over the last minutes."""

from collections.abc import Sequence
from math import isnan

from proglog.observe import charts
from proglog.observe.history import appended, appended_bytes, levels, rate_now, rates, served, total_lag
from proglog.observe.spans import Line, Locale, Role, Span, line, width_of
from proglog.observe.words import bytes_words, duration_words, micro_words, rate_words, short_count
from proglog.tui.plots import Series, stacked
from proglog.tui.state import DashState
from proglog.wire.model import ClusterSnapshot

LEAST_LAG = 100.0
"""The top of the scale of a lag at least: a few records on their way look like a few."""
_Chart = tuple[Line, Sequence[float], Role]


def lines(state: DashState, locale: Locale, width: int, height: int) -> list[Line]:
    """Return the charts that fit into ``width`` x ``height``: appends first, then lag, then reads."""
    frames = state.shown_frames
    if not frames or width < 8 or height < 1:
        return [line(Span("no history yet", Role.MUTED))]
    span = frames[-width - 1 :] if width < 300 else frames
    written, lag, read = rates(span, appended), levels(span, total_lag), rates(span, served)
    size = rate_now(frames, appended_bytes)
    charted: Sequence[_Chart] = [
        (_title("appended", rate_now(frames, appended), written, f"{bytes_words(size)}/s"), written, Role.CHART),
        (_level_title("lag", lag), lag, Role.WARN),
        (_title("served", rate_now(frames, served), read, ""), read, Role.ACCENT),
    ][: max(min(3, height // 3), 1)]
    drawn: list[Line] = []
    for (title, values, role), rows in zip(charted, _rows(charted, height), strict=True):
        drawn.append(title)
        least = LEAST_LAG if role is Role.WARN else 0.0
        drawn += [line(Span(text, role)) for text in _area(values, width, rows, locale, least)]
    return drawn


_TOOK = {"append": "append", "sync": "fsync", "ack": "to the copies"}


def latency_line(snapshot: ClusterSnapshot | None, width: int) -> Line:
    """Return how long things took in the last ten seconds: the median of each, and the slowest hundredth if it fits."""
    latencies = {each.what: each for each in snapshot.latencies} if snapshot else {}
    shown = [(word, latencies[what]) for what, word in _TOOK.items() if what in latencies]
    for slowest in (True, False):
        spans = [Span("latency", Role.MUTED)]
        for word, took in shown:
            rest = f" (1 in 100 over {micro_words(took.p99_us)})" if slowest else ""
            spans += [
                Span(f"  {word} ", Role.MUTED),
                Span(micro_words(took.median_us), Role.STRONG),
                Span(rest, Role.MUTED),
            ]
        if width_of(spans) <= width:
            return tuple(spans) if shown else ()
    return ()


def plots(state: DashState, locale: Locale, width: int, height: int, seconds: int) -> list[Line]:
    """Return the same with scales, spread and time axis: for a panel that has the whole screen."""
    frames = state.shown_frames
    if not frames:
        return [line(Span("no history yet", Role.MUTED))]
    span = frames[-seconds - 1 :]
    written, lag, read = rates(span, appended), levels(span, total_lag), rates(span, served)
    size = bytes_words(rate_now(frames, appended_bytes))
    behind = _behind(lag[-1])
    series = (
        Series(
            name="appended",
            now=f"{rate_words(rate_now(frames, appended))}, {size}/s",
            values=written,
            words=rate_words,
            role=Role.CHART,
        ),
        Series(name="lag", now=behind, values=lag, words=short_count, role=Role.WARN, least=LEAST_LAG),
        Series(
            name="served", now=rate_words(rate_now(frames, served)), values=read, words=rate_words, role=Role.ACCENT
        ),
    )
    return stacked(series, seconds, locale, width, height)


def _rows(charted: Sequence[_Chart], height: int) -> list[int]:
    """Return the rows of each area: the room is shared by those with something to show, the first has the rest."""
    busy = [any(charts.known(values)) for _, values, _ in charted]
    room, shares = height - len(charted), max(sum(busy), 1)
    rows = [room // shares if is_busy else 0 for is_busy in busy]
    if any(busy):
        rows[busy.index(True)] += room - sum(rows)
    return rows


def axis(state: DashState, width: int) -> str:
    """Return the panel's subtitle: how much time charts of ``width`` cells cover."""
    frames = state.shown_frames[-width - 1 :] if width < 300 else state.shown_frames
    return f"last {duration_words(frames[-1].at - frames[0].at)}" if len(frames) > 1 else ""


def _area(values: Sequence[float], width: int, height: int, locale: Locale, least: float) -> list[str]:
    return charts.area(values, width, height, top=least, ascii_only=locale.ascii_only) if height > 0 else []


def _title(name: str, now: float, values: Sequence[float], extra: str) -> Line:
    peak = max(charts.known(values), default=0.0)
    more = f"  {extra}" if extra else ""
    return line(Span(f"{name} ", Role.MUTED), Span(rate_words(now), Role.STRONG), Span(more), _peak(rate_words(peak)))


def _level_title(name: str, values: Sequence[float]) -> Line:
    now = values[-1] if values else 0.0
    role = Role.WARN if now else Role.GOOD
    return line(
        Span(f"{name} ", Role.MUTED),
        Span(_behind(now), role),
        _peak(short_count(max(charts.known(values), default=0.0))),
    )


def _behind(records: float) -> str:
    if isnan(records):
        return "not known"
    return f"{short_count(records)} records" if records else "none"


def _peak(words: str) -> Span:
    return Span(f"  peak {words}", Role.MUTED)
