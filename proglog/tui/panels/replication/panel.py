"""The panel of replication: by peer or by origin."""

from collections.abc import Sequence

from textual.widget import Widget

from proglog.observe.columns import AnyRow
from proglog.observe.spans import Line
from proglog.tui import plots
from proglog.tui.panels.base import Layout, TablePanel
from proglog.tui.panels.replication import columns, lag_plots, table
from proglog.tui.state import DashState
from proglog.tui.table import Columns
from proglog.tui.widgets.lines import Lines
from proglog.wire.model import ClusterSnapshot

_MODES = ("peers", "origins")


class ReplicationPanel(TablePanel):
    """A row for each peer, or for each origin of each peer."""

    KEY = "replication"
    KEYS = (("table.open", "more", "open"), ("main.mode", "by origin", "mode"))
    ABOUT = ("Every node copies from every other what it lacks. There are views by peer and by origin.",)
    COLUMNS = columns.PEER_COLUMNS
    EMPTY = "no peers yet: proglog serve --start-join-addrs joins one"

    def __init__(self, number: int) -> None:
        self._mode = _MODES[0]
        self._below = Lines(id="below-peers")
        super().__init__(number)

    def contents(self) -> tuple[Widget, ...]:
        """Return the table, and the room below it."""
        return (*super().contents(), self._below)

    def next_mode(self) -> None:
        """Change from peers to origins and back."""
        self._mode = _MODES[(_MODES.index(self._mode) + 1) % len(_MODES)]

    def rows(self, state: DashState) -> Sequence[AnyRow]:
        """Return the rows of the mode."""
        if self._mode == "peers":
            return table.peer_rows(state, self.locale)
        return table.origin_rows(state, self.locale)

    def summarize(self, snapshot: ClusterSnapshot) -> str:
        """Return how many streams run and how much is missing."""
        return table.summary(snapshot)

    def render_state(self, state: DashState, layout: Layout) -> None:
        """Bring the table of the mode up to date, and what is below it."""
        tables: dict[str, Columns] = {"peers": columns.PEER_COLUMNS, "origins": columns.ORIGIN_COLUMNS}
        self._table.set_rows(self.rows(state), tables[self._mode])
        self._render_below(state, layout)
        self.render_caption(self.summary(state), *([f"by {self._mode}"] if self._mode != "peers" else []))

    def _render_below(self, state: DashState, layout: Layout) -> None:
        """Use the room below the peers, when zoomed, for the lags over time."""
        peers = len(state.shown.peers) if state.shown else 0
        room, width = self.size.height - min(peers, 8) - 2, max(layout.width - 7, 1)
        lines: list[Line] = []
        if self._mode == "peers" and layout.zoomed and room >= plots.LEAST_ROWS:
            lines = lag_plots.plots(state, self.locale, width, room, layout.plot_seconds)
        self._below.display = bool(lines)
        if lines:
            self._below.styles.height = room
            self._below.styles.padding = (0, 0, 0, 3)
            self._below.set_lines(lines)
