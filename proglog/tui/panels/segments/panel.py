"""The panel of segments: a map of all above a row for each."""

from collections.abc import Sequence

from textual.widget import Widget

from proglog.observe.columns import AnyRow
from proglog.observe.frame import Frame
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
    KEYS = (("table.open", "batches", "open"), ("main.verify", "verify", "verify"))
    ABOUT = ("The log is a row of segments; appends go to the last one. Offsets are half-open: the end is not in it.",)
    COLUMNS = columns.COLUMNS
    EMPTY = "no segments yet"
    STICKY = "first"

    def __init__(self, number: int) -> None:
        self._map = Lines(id="segment-map")
        self._told: tuple[Frame | None, str] = (None, "")
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

    def summary(self, state: DashState) -> str:
        """Return the summary of the verification under the cursor, if there is one; else of all segments."""
        source = self.row.source if self.row else None
        if state.shown is not None and isinstance(source, Segment):
            verification = self.dash.verifier.of(SegmentId(state.shown.node.name, source.base_offset))
            if verification is not None:
                return plain(verification_view.summary(verification, self.locale))
        frames = state.shown_frames
        if frames and frames[-1] is not self._told[0]:
            self._told = (frames[-1], table.filling(frames))
        return ", ".join(filter(None, (super().summary(state), self._told[1])))

    def render_state(self, state: DashState, layout: Layout) -> None:
        """Bring map and table up to date."""
        super().render_state(state, layout)
        self._map.set_lines([table.segment_map(state.shown, self.locale, self._map.size.width)] if state.shown else [])
