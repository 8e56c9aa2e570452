"""Appends by who wrote them, lag with the threshold of its warning, reads: above one time axis, a cell for a second.

::

    appended 257/s  27 kB/s  peak 626/s   █ node-1 191/s  █ node-2 40/s
     1.0k ┤/   /   /          ▅
          │/   /   /  ▁▃▄▄▄▅▆▇██▇▅▃
        0 ┤/   /   /  ███████████████
    lag 3.1 s, 1.2k records of node-2  peak 4.0 s
     10 s ┤/   /   /  ┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄ warning
        0 ┤/   /   /       ▁▂▃▅▂▁
           ●                   ✖
          ┴────────-1 min────────┴───now

What is not known is hatched: it is unlike nothing.
"""

from collections.abc import Sequence
from math import isnan

from proglog.observe import charts
from proglog.observe.events import mark_of
from proglog.observe.facts import Limits
from proglog.observe.frame import Frame
from proglog.observe.history import appended, appended_bytes, levels, rate_now, rates, served, written_by
from proglog.observe.spans import Line, Locale, Role, Span, line, width_of
from proglog.observe.words import bytes_words, duration_words, rate_words, short_count
from proglog.telemetry.emit import Weight
from proglog.tui.panels.replication.lag_cells import IN_FLIGHT_MS
from proglog.tui.panels.throughput.lines import latency_line, lines
from proglog.tui.state import DashState

LEAST_WIDTH, LEAST_HEIGHT = 60, 8
_GUTTER = 8
_MOST_WRITERS = 8
_LAG_ROWS, _READ_ROWS = 2, 2
_LAG_FROM, _READS_FROM = 12, 20
"""Lines from which on lag and reads have rows of their own."""
_WARNING_SECONDS = Limits().lag_ms / 1000


def strip(state: DashState, locale: Locale, width: int, height: int) -> list[Line]:
    """Return the charts above one time axis, if there is room for it; else those without."""
    if height < LEAST_HEIGHT or width < LEAST_WIDTH or len(state.shown_frames) < 2:
        return lines(state, locale, width, height)
    cells = width - _GUTTER
    span = state.shown_frames[-cells - 1 :]
    took = latency_line(state.shown, width) if height > LEAST_HEIGHT else ()
    head = [took] if took else []
    lag = [_seconds_behind(value) for value in levels(span, lambda frame: frame.lag.age_ms / 1000)]
    lag_part = _lag(lag, span[-1], locale, cells, _LAG_ROWS if height >= _LAG_FROM else 0)
    reads = rates(span, served)
    busy = any(charts.known(reads)) and height >= _READS_FROM
    read_part = _reads(span, reads, locale, cells, _READ_ROWS if busy else 0)
    tail = [*lag_part, *read_part, _indented(marks(state, locale, cells)), _indented(_time_axis(cells, locale))]
    return [*head, *_appends(span, locale, width, height - len(head) - len(tail)), *tail]


def _appends(span: Sequence[Frame], locale: Locale, width: int, height: int) -> list[Line]:
    """Return title and area of the appended records, each column divided by who wrote them."""
    cells, rows = width - _GUTTER, max(height - 1, 0)
    total = rates(span, appended)
    busiest = sorted(span[-1].written, key=lambda name: -rate_now(span, written_by(name), len(span)))
    writers = sorted(busiest[:_MOST_WRITERS])
    shares = [rates(span, written_by(name)) for name in writers]
    top = charts.rounded_up(max([*charts.known(total), 1.0]))
    drawn = charts.layers(total, shares, cells, rows, top=top, ascii_only=locale.ascii_only)
    roles = [locale.accents.get(name, Role.CHART) for name in writers]
    title = _title("appended", rate_now(span, appended), total, f"  {bytes_words(rate_now(span, appended_bytes))}/s")
    labels = {0: short_count(top), rows // 2: short_count(top / 2)} if rows > 3 else {0: short_count(top)}
    area = [
        (_scale(labels.get(row, "0" if row == rows - 1 and row else ""), locale), *_coloured(parts, roles))
        for row, parts in enumerate(drawn)
    ]
    return [(*title, *_legend(span, writers, locale, width - width_of(title))), *area]


def _legend(span: Sequence[Frame], writers: Sequence[str], locale: Locale, room: int) -> Line:
    """Return the writers with their colours and rates, as many as fit."""
    shown: list[Span] = [Span("   ")]
    for name in writers:
        role = locale.accents.get(name, Role.CHART)
        entry = [
            Span(locale.pick("█ ", "# "), role),
            locale.member(name, 24),
            Span(f" {rate_words(rate_now(span, written_by(name)))}  ", Role.MUTED),
        ]
        if width_of(shown) + width_of(entry) > room:
            break
        shown += entry
    return tuple(shown) if len(shown) > 1 else ()


def _coloured(parts: Sequence[tuple[str, int]], roles: Sequence[Role]) -> Line:
    """Return the cells of a row as spans; an owner of -1 is nobody: hatched, or blank."""
    return tuple(Span(text, roles[owner] if 0 <= owner < len(roles) else Role.MUTED) for text, owner in parts)


def _lag(values: Sequence[float], newest: Frame, locale: Locale, cells: int, rows: int) -> list[Line]:
    now, behind = values[-1], newest.lag
    peak = max(charts.known(values), default=0.0)
    if isnan(now):
        said = Span("not known", Role.WARN)
    elif now == 0:
        said = Span("none", Role.GOOD)
    else:
        said = Span(f"{duration_words(now)}, {short_count(behind.records)} records", Role.WARN)
    worst = max(newest.lag_behind, key=lambda name: newest.lag_behind[name].age_ms, default="") if now else ""
    behind_whom = (Span(" of ", Role.MUTED), locale.member(worst, 30)) if worst else ()
    title = line(
        Span("lag ", Role.MUTED), said, *behind_whom, Span(f"  peak {duration_words(peak)}" if peak else "", Role.MUTED)
    )
    if rows < 1:
        return [title]
    top = max(charts.rounded_up(peak), 1.5 * _WARNING_SECONDS)
    threshold = min(rows - 1, rows - 1 - int(_WARNING_SECONDS / top * rows))
    drawn = charts.layers(values, [values], cells, rows, top=top, ascii_only=locale.ascii_only)
    area = []
    for row, parts in enumerate(drawn):
        dashed = locale.pick("┄", "-")
        if row == threshold:
            area.append(
                (_scale(duration_words(_WARNING_SECONDS), locale), *_with_threshold(parts, dashed, " warning "))
            )
        else:
            area.append((_scale("0" if row == rows - 1 else "", locale), *_coloured(parts, [Role.WARN])))
    return [title, *area]


def _with_threshold(parts: Sequence[tuple[str, int]], dashed: str, label: str) -> Line:
    """Return a row in which blanks are the line of a threshold, its name at the right where that is free."""
    room = parts[-1][0] if parts and not parts[-1][0].strip() else ""
    named = label if len(room) > len(label) + 4 else ""
    spans = []
    for place, (text, owner) in enumerate(parts):
        if text.strip():
            spans.append(Span(text, Role.WARN if owner == 0 else Role.MUTED))
        elif place == len(parts) - 1 and named:
            spans.append(Span(dashed * (len(text) - len(named)) + named, Role.MUTED))
        else:
            spans.append(Span(dashed * len(text), Role.MUTED))
    return tuple(spans)


def _reads(span: Sequence[Frame], values: Sequence[float], locale: Locale, cells: int, rows: int) -> list[Line]:
    title = _title("served", rate_now(span, served), values, "")
    top = charts.rounded_up(max([*charts.known(values), 1.0]))
    drawn = charts.layers(values, [values], cells, rows, top=top, ascii_only=locale.ascii_only)
    return [
        title,
        *(
            (_scale("" if row else short_count(top), locale), *_coloured(parts, [Role.ACCENT]))
            for row, parts in enumerate(drawn)
        ),
    ]


def _scale(label: str, locale: Locale) -> Span:
    tick = locale.pick("┤", "+") if label else locale.pick("│", "|")
    return Span(f"{label[: _GUTTER - 2]:>{_GUTTER - 2}} {tick}", Role.MUTED)


def _indented(spans: Line) -> Line:
    return (Span(" " * _GUTTER), *spans)


def _seconds_behind(value: float) -> float:
    return value if isnan(value) or value * 1000 >= IN_FLIGHT_MS else 0.0


def marks(state: DashState, locale: Locale, width: int) -> Line:
    """Return a line with the marks of what happened, a cell for a second, the newest second at the right."""
    drawn: list[Span] = [Span(" ")] * width
    heaviness = list(_MARK_ROLES)
    weights: dict[int, Weight] = {}
    for event in state.shown.events if state.shown else ():
        mark, weight = mark_of(event.kind)
        cell = width - 1 - int((state.agent_now_ms - event.at_ms) / 1000)
        if not 0 <= cell < width or weight not in heaviness:
            continue
        if cell not in weights or heaviness.index(weight) >= heaviness.index(weights[cell]):
            weights[cell] = weight
            drawn[cell] = Span(locale.shape(mark), _MARK_ROLES[weight])
    return tuple(drawn)


_MARK_ROLES = {Weight.GOOD: Role.GOOD, Weight.WARN: Role.WARN, Weight.BAD: Role.BAD}


def _time_axis(width: int, locale: Locale) -> Line:
    flat, tick = locale.pick("─", "-"), locale.pick("┴", "+")
    cells = [flat] * width
    for seconds in range(0, width - 1, 30):
        label = "now" if not seconds else f"-{duration_words(seconds)}"
        at = width - 1 - seconds
        start = max(min(at - len(label) // 2, width - len(label)), 0)
        cells[at] = tick
        if seconds % 60 == 0 and start >= 0:
            cells[start : start + len(label)] = list(label)
    return line(Span("".join(cells)[:width], Role.MUTED))


def _title(name: str, now: float, values: Sequence[float], extra: str) -> Line:
    peak = max(charts.known(values), default=0.0)
    return line(
        Span(f"{name} ", Role.MUTED),
        Span(rate_words(now), Role.STRONG),
        Span(extra),
        Span(f"  peak {rate_words(peak)}", Role.MUTED),
    )
