"""The panel of events."""

from collections.abc import Sequence

from proglog.tui.panels.base import TablePanel
from proglog.tui.panels.events import table
from proglog.tui.state import DashState
from proglog.tui.table import AnyRow


class EventsPanel(TablePanel):
    """A row for each event, the newest first."""

    KEY = "events"
    ABOUT = ("What the agent saw happen in the cluster, newest first.",)
    COLUMNS = table.COLUMNS
    EMPTY = "nothing has happened yet"
    STICKY = "first"

    def rows(self, state: DashState) -> Sequence[AnyRow]:
        """Return a row for each event."""
        return table.rows(state, self.look)
