"""The panel of segments: a map of all above a row for each."""

from collections.abc import Sequence

from textual.widget import Widget

from proglog.observe.columns import AnyRow
from proglog.observe.spans import plain
from proglog.tui.panels.base import Layout, TablePanel
from proglog.tui.panels.segments import columns, table, verification_view
from proglog.tui.panels.segments.verification import SegmentId
from proglog.tui.state import DashState
from proglog.tui.widgets.lines import Lines
from proglog.wire.model import ClusterSnapshot, Segment


class SegmentsPanel(TablePanel):
    """A row for each segment, the newest first."""

    KEY = "segments"
    ABOUT = ("The log is a row of segments; appends go to the last one. Offsets are half-open: the end is not in it.",)
    COLUMNS = columns.COLUMNS
    EMPTY = "no segments yet"
    STICKY = "first"

    def __init__(self, number: int) -> None:
        self._map = Lines(id="segment-map")
        super().__init__(number)

    def contents(self) -> tuple[Widget, ...]:
        """Return the map and the table."""
        return (self._map, *super().contents())

    def rows(self, state: DashState) -> Sequence[AnyRow]:
        """Return a row for each segment."""
        return table.rows(state, self.locale, self.dash.verifier)

    def summarize(self, snapshot: ClusterSnapshot) -> str:
        """Return how many segments there are and how large they are."""
        return table.summary(snapshot)

    def render_state(self, state: DashState, layout: Layout) -> None:
        """Bring map and table up to date; the caption is about the verification under the cursor, if there is one."""
        super().render_state(state, layout)
        self._map.set_lines([table.segment_map(state.shown, self.locale, self._map.size.width)] if state.shown else [])
        source = self.row.source if self.row else None
        if state.shown is not None and isinstance(source, Segment):
            verification = self.dash.verifier.of(SegmentId(state.shown.node.name, source.base_offset))
            if verification is not None:
                self.render_caption(plain(verification_view.summary(verification, self.locale)))
