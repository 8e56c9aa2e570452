"""Clusters beside each other: each has a source and a state of its own, all are watched, one is shown.

::

    1 staging ✓   2 production ✖ 2   3 lab ◐
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from proglog.observe.health import Severity
from proglog.observe.safe_text import cells
from proglog.observe.spans import Line, Locale, Role, Span
from proglog.tui.source import Source
from proglog.tui.state import DashState

_ROLES = {Severity.WARNING: Role.WARN, Severity.CRITICAL: Role.BAD}


@dataclass(eq=False)
class Tab:
    """A cluster that is watched."""

    name: str
    """Of its profile; empty: the one that flags name."""
    source: Source
    state: DashState


def tab_line(tabs: Sequence[Tab], shown: int, locale: Locale) -> Line:
    """Return the tabs, each with how its cluster is."""
    return tuple(span for _, spans in _pieces(tabs, shown, locale) for span in spans)


def tab_at(tabs: Sequence[Tab], shown: int, locale: Locale, cell: int) -> int | None:
    """Return the tab in a cell of their line; ``None``: there is none."""
    start = 0
    for number, spans in _pieces(tabs, shown, locale):
        start += sum(cells(span.text) for span in spans)
        if cell < start:
            return number
    return None


def _pieces(tabs: Sequence[Tab], shown: int, locale: Locale) -> Iterator[tuple[int, list[Span]]]:
    for number, tab in enumerate(tabs):
        role = Role.LOCAL if number == shown else Role.MUTED
        yield (
            number,
            [
                Span(" "),
                locale.safe(tab.name or tab.source.target, 30, role=role),
                _verdict(tab.state, locale),
                Span("  "),
            ],
        )


def _verdict(state: DashState, locale: Locale) -> Span:
    """Return how a cluster is, in a shape and a number."""
    if state.latest is None or state.stale:
        return Span(locale.pick(" ◐", " ~"), Role.WARN)
    serious = [each for each in state.alerts_now if each.severity > Severity.INFO]
    if not serious:
        return Span(locale.pick(" ✓", " ok"), Role.GOOD)
    shape = locale.pick("✖", "x") if serious[0].severity is Severity.CRITICAL else locale.pick("▲", "!")
    return Span(f" {shape} {len(serious)}", _ROLES[serious[0].severity])
