"""The panel of events."""

from collections.abc import Sequence

from proglog.observe.columns import AnyRow
from proglog.tui.panels.base import TablePanel
from proglog.tui.panels.events import columns, table
from proglog.tui.state import DashState


class EventsPanel(TablePanel):
    """A row for each event, the newest first."""

    KEY = "events"
    ABOUT = ("What the agent saw happen in the cluster, newest first.",)
    COLUMNS = columns.COLUMNS
    EMPTY = "nothing has happened yet"
    STICKY = "first"

    def rows(self, state: DashState) -> Sequence[AnyRow]:
        """Return a row for each event."""
        return table.rows(state, self.locale)
