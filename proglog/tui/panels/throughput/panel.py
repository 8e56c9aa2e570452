"""The panel of throughput: charts, and plots with scales when it has the whole screen."""

from proglog.observe.words import duration_words
from proglog.tui.panels.base import DashPanel, Layout
from proglog.tui.panels.throughput import lines
from proglog.tui.panels.throughput.strip import strip
from proglog.tui.state import DashState
from proglog.tui.widgets.lines import Lines


class Charts(Lines, can_focus=True):
    """The charts, which take the focus for the panel."""


class ThroughputPanel(DashPanel):
    """Appends, lag and reads over time."""

    KEY = "throughput"
    KEYS = (("main.zoom", "scales", "zoom"),)
    ABOUT = (
        "appended: records that became durable here, a second, copies included. served: records sent to consumers.",
        "latency: append from a batch's arrival to its durability here, fsync of that, and the wait for acknowledged copies.",
        "lag: records that peers hold and this agent does not yet.",
        "Each column is the maximum of its time: a spike is never averaged away.",
        "appended at 0 while producers write: the log is full or its disk hangs; the second line of the screen says so.",
    )

    def __init__(self, number: int) -> None:
        self._charts = Charts(id=self.KEY)
        super().__init__(number, self._charts)

    def render_state(self, state: DashState, layout: Layout) -> None:
        """Draw the charts anew."""
        width, height = self._charts.size
        if layout.zoomed:
            took = lines.latency_line(state.shown, width)
            plots = lines.plots(state, self.locale, width, height - bool(took), layout.plot_seconds)
            self._charts.set_lines([took, *plots] if took else plots)
            self.caption(f"last {duration_words(layout.plot_seconds)}, + and - change it")
        else:
            self._charts.set_lines(strip(state, self.locale, width, height))
            self.caption(lines.axis(state, width), hints=self.hints)
