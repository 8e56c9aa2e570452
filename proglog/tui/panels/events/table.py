"""The rows of the panel of events: what happened in the cluster, newest first."""

from proglog.observe.columns import Row
from proglog.observe.events import Level, shown_events
from proglog.observe.spans import Locale
from proglog.tui.panels.events.columns import COLUMNS, EventFacts
from proglog.tui.state import DashState


def rows(state: DashState, locale: Locale, level: Level = Level.ALL) -> list[Row[EventFacts]]:
    """Return a row for each event of a level."""
    if state.shown is None:
        return []
    now_ms = state.agent_now_ms
    return [
        Row(
            key=f"{event.at_ms}/{event.kind}/{event.subject}",
            item=EventFacts(shown=shown, now_ms=now_ms),
            columns=COLUMNS,
            locale=locale,
            name=f"{event.kind} {event.subject} {event.detail}",
            source=event,
        )
        for shown in shown_events(state.shown.events, now_ms, level)
        for event in (shown.event,)
    ]
