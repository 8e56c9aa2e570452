"""The panel of copies: who holds what of each origin, and in its frame how many copies there are of every record."""

from collections.abc import Sequence

from textual.widget import Widget

from proglog.observe.columns import AnyRow
from proglog.observe.copies_view import rows, verdict
from proglog.observe.safe_text import safe_text
from proglog.tui.panels.base import Layout, TablePanel
from proglog.tui.panels.copies import columns
from proglog.tui.state import DashState
from proglog.tui.widgets.lines import Lines

_FRAME = 7
"""Cells of a line that are not the table's: frame, padding, the cursor's mark."""


class CopiesPanel(TablePanel):
    """A row for each origin, a drawing for each member."""

    KEY = "copies"
    KEYS = (("table.open", "stretches", "open"),)
    ABOUT = (
        "What each member says it can serve of each origin, from its oldest record to its newest.",
        "A member that failed or left keeps its column, as of its last word. enter shows who has what, and what brings it back.",
    )
    COLUMNS = columns.first_columns(14)
    EMPTY = "no records yet: proglog produce appends some"

    def __init__(self, number: int) -> None:
        self._width = 0
        self._legend = Lines(id="copies-legend")
        super().__init__(number)

    def contents(self) -> tuple[Widget, ...]:
        """Return the table, and what its drawings mean."""
        return (*super().contents(), self._legend)

    def rows(self, state: DashState) -> Sequence[AnyRow]:
        """Return a row for each origin, the worst first."""
        return columns.table_rows(state, self.locale, self._width)

    def render_state(self, state: DashState, layout: Layout) -> None:
        """Bring table, legend and frame up to date."""
        self._width = max(layout.width - _FRAME, 1)
        self._table.set_rows(self.rows(state), columns.columns(state, self.locale, self._width))
        shown = rows(state.shown) if state.shown else ()
        found = {claim for row in shown[:50] for claim in columns.claims_of(row)}
        legend = columns.legend(found, self.locale, self._width) if self.size.height > min(len(shown), 8) + 1 else ()
        self._legend.display = bool(legend)
        self._legend.set_lines([legend])
        said = verdict(state.shown.copies) if state.shown else ""
        room = max(self.outer_size.width - 20, 1)
        dot = self.locale.pick("· ", "| ")
        self.render_caption("", *([dot + safe_text(said, room, ascii_only=self.locale.ascii_only)] if said else []))
