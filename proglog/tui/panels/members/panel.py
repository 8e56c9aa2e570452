"""The panel of members."""

from collections.abc import Sequence

from proglog.observe.columns import AnyRow
from proglog.tui.panels.base import TablePanel
from proglog.tui.panels.members import columns, table
from proglog.tui.state import DashState


class MembersPanel(TablePanel):
    """A row for each member."""

    KEY = "members"
    KEYS = (("table.open", "more", "open"), ("main.watch", "watch from", "watch"))
    ABOUT = ("The members of the cluster, as the agent that is watched sees them.",)
    COLUMNS = columns.COLUMNS
    EMPTY = "no members yet"

    def rows(self, state: DashState) -> Sequence[AnyRow]:
        """Return a row for each member."""
        return table.rows(state, self.locale)
