"""The panel of events."""

import re
from collections.abc import Sequence

from proglog.observe.columns import AnyRow
from proglog.observe.events import Level
from proglog.tui.panels.base import TablePanel
from proglog.tui.panels.events import columns, table
from proglog.tui.state import DashState

_OFFSET = re.compile(r"offsets? \[?(\d[\d,]{0,25})", re.ASCII)


class EventsPanel(TablePanel):
    """A row for each event, the newest first."""

    KEY = "events"
    KEYS = (("table.open", "its cause", "open"), ("main.severity", "severity", "severity"))
    ABOUT = (
        "What the agent saw happen in the cluster, newest first. Sealed segments are left out, unless ! asks for everything.",
        "enter goes to the member, the stream or the segment that it was about.",
    )
    COLUMNS = columns.COLUMNS
    EMPTY = "nothing has happened yet"
    STICKY = "first"

    def __init__(self, number: int) -> None:
        self.level = Level.ALL
        super().__init__(number)

    def next_level(self) -> None:
        """Show warnings and faults; faults; everything; all but sealed segments."""
        self.level = self.level.following

    def rows(self, state: DashState) -> Sequence[AnyRow]:
        """Return a row for each event."""
        return table.rows(state, self.locale, self.level)

    def notes(self) -> tuple[str, ...]:
        """Return what is left out."""
        return () if self.level is Level.ALL else (f"{self.locale.pick('·', '|')} {self.level.value}",)


_ABOUT = {
    "members": ("member-", "name-", "suspicion-", "join-"),
    "replication": ("replication-", "origin-", "own-origin"),
    "segments": ("segment", "log-", "range-", "damage-", "retention-"),
}


def panel_of(kind: str) -> str:
    """Return the panel that shows what an event of that kind was about; empty: none."""
    return next((panel for panel, starts in _ABOUT.items() if kind.startswith(starts)), "")


def offset_of(detail: str) -> int | None:
    """Return the first offset that the words of an event name; ``None``: they name none."""
    found = _OFFSET.search(detail)
    return int(found[1].replace(",", "")) if found else None
