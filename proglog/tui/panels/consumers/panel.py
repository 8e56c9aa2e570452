"""The panel of consumers: a row for each named position."""

from collections.abc import Sequence

from proglog.observe.columns import AnyRow
from proglog.tui.panels.base import TablePanel
from proglog.tui.panels.consumers import columns
from proglog.tui.state import DashState
from proglog.types import counted
from proglog.wire.model import ClusterSnapshot


class ConsumersPanel(TablePanel):
    """A row for each named consumer, the one that is furthest behind first."""

    KEY = "consumers"
    KEYS = (("table.open", "backlog", "open"),)
    ABOUT = (
        "Consumers that commit their position under a name, as the log of the watched agent has it.",
        "enter shows the records that one has not had yet.",
    )
    COLUMNS = columns.COLUMNS
    EMPTY = "no named consumers: proglog consume --as NAME makes one"

    def rows(self, state: DashState) -> Sequence[AnyRow]:
        """Return a row for each consumer."""
        return columns.rows(state, self.locale)

    def summarize(self, snapshot: ClusterSnapshot) -> str:
        """Return how many there are, and how far the last of them is."""
        consumers = snapshot.consumers
        if not consumers:
            return ""
        most = max(each.records_behind for each in consumers)
        return f"{len(consumers)} named, " + (
            f"the last is {counted(most, 'record')} behind" if most else "all up to date"
        )
