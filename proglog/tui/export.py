"""An incident as one HTML file: a recording that any browser plays, without a network and without proglog.

::

    frames --> the panels' own lines, by role --> each line once --> JSON in the page --> the page's script
                                                                     "<" escaped          textContent alone

What the screen says of a moment, the page says, in the same words: the lines are those of the panels. Foreign text is
made harmless where lines are made, as for the terminal; in the page it is never markup, and a policy in it lets nothing
run but its own script and nothing be fetched.
"""

import base64
import hashlib
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from html import escape
from importlib.resources import files

from proglog import __version__
from proglog.observe import copies_view
from proglog.observe.columns import AnyRow
from proglog.observe.frame import Frame
from proglog.observe.spans import Line, Locale, Role, Span, accents_of
from proglog.tui.panels.consumers import columns as consumers
from proglog.tui.panels.copies import columns as copies
from proglog.tui.panels.events import columns as event_columns
from proglog.tui.panels.events import table as events
from proglog.tui.panels.members import columns as member_columns
from proglog.tui.panels.members import table as members
from proglog.tui.panels.replication import columns as replication_columns
from proglog.tui.panels.replication import table as replication
from proglog.tui.panels.segments import columns as segment_columns
from proglog.tui.panels.segments import table as segments
from proglog.tui.panels.throughput.strip import strip
from proglog.tui.state import DashState, Loaded, Sought, reduce
from proglog.tui.table import Columns, column_widths, render_cells
from proglog.tui.themes import THEMES, accent_variables
from proglog.tui.views import alerts, header, scrubber

MOST_MOMENTS = 900
"""Moments in a page: of a longer recording every second one, every third ..., and those at which something happened."""
_LEFT, _RIGHT, _FULL = 76, 62, 142
_STRIP_HEIGHT = 14
_MOST_ROWS = 40
_INK = {
    Role.MUTED: "foreground",
    Role.TEXT: "foreground",
    Role.STRONG: "foreground",
    Role.GOOD: "success",
    Role.WARN: "warning",
    Role.BAD: "error",
    Role.ACCENT: "accent",
    Role.LOCAL: "accent",
    Role.CHART: "primary",
    Role.MATCH: "warning",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """A panel of the page."""

    key: str
    title: str
    width: int
    """In characters."""
    lines: Callable[[DashState, Locale, int], Sequence[Line]]


def page(target: str, frames: Sequence[Frame], locale: Locale) -> str:
    """Return the page of a recording that has a frame at least. Takes some milliseconds for each moment.

    Args:
        target: What was watched. Foreign text.
        frames: Oldest first.
        locale: In which time zone its times are.
    """
    state = reduce(DashState(target=target, now=frames[-1].at), Loaded(tuple(frames)))
    names = (member.name for frame in frames for member in frame.outline.members)
    locale = replace(locale, accents=accents_of(names, {}), now=lambda: frames[-1].at)
    marks = scrubber.marks(state, locale)
    places = moments(len(frames), [place for place, _, _ in marks])
    lines: dict[Line, int] = {}
    shown = [_moment(reduce(state, Sought(place)), locale, lines) for place in places]
    data = {
        "parts": [[part.key, part.title, part.width] for part in PARTS],
        "lines": [[[span.role.value, span.text] for span in each] for each in lines],
        "frames": [[locale.date_clock(frames[place].at), *moment] for place, moment in zip(places, shown, strict=True)],
        "marks": [[_nearest(places, place), shape, weight.value] for place, shape, weight in marks],
    }
    return _filled(data, locale.safe(target, 120).text)


def moments(count: int, wanted: Sequence[int]) -> list[int]:
    """Return which of ``count`` frames are shown: evenly many, the last one, and as many of ``wanted`` as there is room for."""
    step = -(-count // MOST_MOMENTS)
    even = {*range(0, count, step), count - 1}
    return sorted(even | set(wanted[-MOST_MOMENTS:]))


def _nearest(places: Sequence[int], place: int) -> int:
    return min(range(len(places)), key=lambda index: abs(places[index] - place))


def _moment(state: DashState, locale: Locale, lines: dict[Line, int]) -> list[list[int]]:
    """Return the numbers of each part's lines at one moment; lines that are new are added."""
    return [[lines.setdefault(each, len(lines)) for each in part.lines(state, locale, part.width)] for part in PARTS]


def _table(rows: Sequence[AnyRow], columns: Columns, width: int) -> Iterator[Line]:
    widths = column_widths(columns, width)
    if not rows:
        return
    yield render_cells([(Span(column.title, column.heading),) for column in columns], columns, widths)
    for row in rows[:_MOST_ROWS]:
        yield render_cells(row.cells, columns, widths)
    if len(rows) > _MOST_ROWS:
        yield (Span(f"and {len(rows) - _MOST_ROWS:,} more", Role.MUTED),)


def _head(state: DashState, locale: Locale, width: int) -> list[Line]:
    lost = (Span("   the agent could not be reached: its last word", Role.WARN),) if state.stale else ()
    first = (*header.watched_line(state, locale), *header.totals_line(state, locale), *lost)
    return [first] if state.alerts else [first, header.health_line(state, locale, width)]


def _why(state: DashState, locale: Locale, width: int) -> list[Line]:
    return alerts.lines(state, locale, width) if state.alerts else []


def _copies(state: DashState, locale: Locale, width: int) -> list[Line]:
    verdict = copies_view.verdict(state.shown.copies) if state.shown else ""
    said = [(locale.safe(verdict, width),)] if verdict else []
    return [*said, *_table(copies.table_rows(state, locale, width), copies.columns(state, locale, width), width)]


def _segments(state: DashState, locale: Locale, width: int) -> list[Line]:
    drawn = [segments.segment_map(state.shown, locale, width)] if state.shown else []
    return [*drawn, *_table(segments.rows(state, locale)[:12], segment_columns.COLUMNS, width)]


PARTS = (
    Part(key="head", title="", width=_FULL, lines=_head),
    Part(key="why", title="Why", width=_FULL, lines=_why),
    Part(
        key="members",
        title="Members",
        width=_LEFT,
        lines=lambda state, locale, width: [*_table(members.rows(state, locale), member_columns.COLUMNS, width)],
    ),
    Part(
        key="replication",
        title="Replication",
        width=_RIGHT,
        lines=lambda state, locale, width: [
            *_table(replication.peer_rows(state, locale), replication_columns.PEER_COLUMNS, width)
        ],
    ),
    Part(key="copies", title="Copies", width=_FULL, lines=_copies),
    Part(
        key="throughput",
        title="Throughput",
        width=_FULL,
        lines=lambda state, locale, width: strip(state, locale, width, _STRIP_HEIGHT),
    ),
    Part(
        key="consumers",
        title="Consumers",
        width=_FULL,
        lines=lambda state, locale, width: [*_table(consumers.rows(state, locale), consumers.COLUMNS, width)],
    ),
    Part(key="segments", title="Segments", width=_LEFT, lines=_segments),
    Part(
        key="events",
        title="Events",
        width=_RIGHT,
        lines=lambda state, locale, width: [*_table(events.rows(state, locale), event_columns.COLUMNS, width)],
    ),
)
"""In the order of the page. A part without lines takes no room."""


def _filled(data: Mapping[str, object], target: str) -> str:
    template = files("proglog.tui").joinpath("replay.html").read_text(encoding="utf-8")
    script = template.partition("<script>")[2].partition("</script>")[0]
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    fills = {
        "@POLICY@": f"default-src 'none'; style-src 'unsafe-inline'; script-src 'sha256-{digest}'",
        "@TITLE@": escape(f"proglog: {target}"),
        "@VERSION@": escape(__version__),
        "@STYLES@": f"{_styles('proglog-dark')} @media (prefers-color-scheme: light) {{ {_styles('proglog-light')} }}",
        "@DATA@": _inert(json.dumps(data, separators=(",", ":"), ensure_ascii=False)),
    }
    for mark, text in fills.items():
        template = template.replace(mark, text, 1)
    return template


def _inert(text: str) -> str:
    """Return JSON, whose texts have no control characters, in which no parser of HTML finds a tag, an entity or a comment."""
    return text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")


def _styles(name: str) -> str:
    theme = next(each for each in THEMES if each.name == name)
    inks = {role.value: str(getattr(theme, part)) for role, part in _INK.items()}
    inks |= {
        part: colour
        for part, colour in (accent_variables(theme) | theme.variables).items()
        if part.startswith("member-")
    }
    rules = [
        f":root {{ --ground: {theme.background}; --ink: {theme.foreground}; --panel: {theme.panel}; --accent: {theme.accent}; }}"
    ]
    rules += [f".{role} {{ color: {colour}; }}" for role, colour in inks.items()]
    return " ".join(rules)
