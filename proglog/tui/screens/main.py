"""The main screen: members, replication, copies, throughput, consumers, segments and events, as many as there is room for."""

import json
from bisect import bisect_right
from typing import ClassVar

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Container
from textual.events import Click, DescendantFocus
from textual.widgets import Footer, Input

from proglog.client.offset_spec import OffsetSpec, parse_offset_spec
from proglog.errors import ConfigError
from proglog.observe.columns import AnyRow
from proglog.observe.copies_view import CopiesRow
from proglog.observe.health import Severity
from proglog.observe.json_values import to_json_value
from proglog.observe.safe_text import safe_text
from proglog.tui import plots
from proglog.tui.panels.base import DashPanel, Layout
from proglog.tui.panels.consumers.panel import ConsumersPanel
from proglog.tui.panels.copies.panel import CopiesPanel
from proglog.tui.panels.events.panel import EventsPanel, offset_of
from proglog.tui.panels.events.panel import panel_of as panel_of_event
from proglog.tui.panels.members import page
from proglog.tui.panels.members.panel import MembersPanel
from proglog.tui.panels.replication.panel import ReplicationPanel
from proglog.tui.panels.segments import columns as segments
from proglog.tui.panels.segments.panel import SegmentsPanel
from proglog.tui.panels.segments.verification import SegmentId
from proglog.tui.panels.throughput.panel import ThroughputPanel
from proglog.tui.screens.base import DashScreen
from proglog.tui.screens.copies import CopiesReader
from proglog.tui.screens.reader import Reader
from proglog.tui.screens.records import TAIL, RecordsScreen
from proglog.tui.source import Unread
from proglog.tui.state import DashState, Sought, Sped
from proglog.tui.tabs import tab_at, tab_line
from proglog.tui.views import header, scrubber
from proglog.tui.views.alerts import panel_of
from proglog.tui.widgets.filter_box import FilterBox
from proglog.tui.widgets.lines import Lines
from proglog.tui.widgets.live_table import LiveTable
from proglog.wire.model import ClusterEvent, ConsumerStatus, Member, PeerStatus, Segment

PANELS: tuple[type[DashPanel], ...] = (
    MembersPanel,
    ReplicationPanel,
    CopiesPanel,
    ThroughputPanel,
    SegmentsPanel,
    EventsPanel,
    ConsumersPanel,
)
"""In the order of their numbers."""
_PLACES = ("members", "replication", "copies", "throughput", "consumers", "segments", "events")
"""In the order of the screen."""


def row_heights(height: int, *, tops: int, origins: int, segments: int) -> tuple[int, ...]:
    """Return the lines of the four rows of panels on a wide screen: of ``height`` in all, each as tall as its content.

    Members and replication, as many as ``tops``; copies; throughput, two fifths of the screen if they are free; segments
    and events, as many as ``segments``: a quarter, and what they need of the rest. Throughput has what nobody needs.
    """
    wanted = [
        min(max(tops, 3), 12) + 3,
        min(max(origins, 1), 12) + 4,
        0,
        min(max(segments + 4, 9), max(height // 4, 9)),
    ]
    while sum(wanted) + _LEAST_STRIP > height and max(wanted) > _LEAST_ROW:
        wanted[wanted.index(max(wanted))] -= 1
    spare = max(height - sum(wanted), 1)
    wanted[2] = min(spare, max(_MOST_STRIP, height * 2 // 5))
    grown = min(spare - wanted[2], max(segments + 4 - wanted[3], 0))
    wanted[3] += grown
    wanted[2] = spare - grown
    return tuple(wanted)


_LEAST_ROW, _LEAST_STRIP, _MOST_STRIP = 5, 7, 16


class MainScreen(DashScreen[None]):
    """The panels."""

    BINDINGS: ClassVar[list[BindingType]] = [
        *(
            Binding(
                str(number),
                f"panel('{name}')",
                name.capitalize(),
                show=False,
                id=f"main.{name}",
                tooltip=f"Go to {name}",
            )
            for number, name in enumerate((panel.KEY for panel in PANELS), 1)
        ),
        Binding("z,f10", "zoom", "Zoom", id="main.zoom", tooltip="One panel on the whole screen, and back"),
        Binding("slash", "filter", "Filter", key_display="/", id="main.filter", tooltip="Rows that match; !text: not"),
        Binding(
            "exclamation_mark",
            "severity",
            "Severity",
            show=False,
            key_display="!",
            id="main.severity",
            tooltip="Events: warnings and faults, faults alone, everything, all but sealed segments",
        ),
        Binding(
            "n", "event(1)", "Next event", show=False, id="main.next-event", tooltip="In the past: to the next event"
        ),
        Binding(
            "p", "event(-1)", "Event before", show=False, id="main.event-before", tooltip="Back in time to an event"
        ),
        Binding(
            "at", "seek", "Time", show=False, key_display="@", id="main.seek", tooltip="Back in time to 14:13, 14:13:20"
        ),
        Binding(
            "f", "speed", "Faster", show=False, id="main.speed", tooltip="Play a recording at 1, 4, 16 times its speed"
        ),
        Binding("m", "mode", "By origin", show=False, id="main.mode", tooltip="Replication by peer, by origin"),
        Binding(
            "o", "watch", "Watch from", show=False, id="main.watch", tooltip="Watch from the member under the cursor"
        ),
        Binding(
            "plus,equals_sign",
            "window(1)",
            "More time",
            show=False,
            key_display="+",
            id="main.window-more",
            tooltip="Plots of a zoomed panel cover more time, up to an hour",
        ),
        Binding(
            "minus",
            "window(-1)",
            "Less time",
            show=False,
            key_display="-",
            id="main.window-less",
            tooltip="Plots of a zoomed panel cover less time, down to 1 min",
        ),
        Binding(
            "V",
            "verify",
            "Verify",
            show=False,
            id="main.verify",
            tooltip="Have the agent read and check every batch of the segment under the cursor",
        ),
        Binding("t", "tail", "Tail", id="main.tail", tooltip="The records at the end of the log, as they come"),
        Binding(
            "x", "remove", "Remove", show=False, id="main.remove", tooltip="Remove this failed member from the cluster"
        ),
        Binding(
            "right_curly_bracket",
            "tab(1)",
            "Next cluster",
            show=False,
            key_display="}",
            id="main.tab-next",
            tooltip="The cluster in the next tab",
        ),
        Binding(
            "left_curly_bracket",
            "tab(-1)",
            "Cluster before",
            show=False,
            key_display="{",
            id="main.tab-before",
            tooltip="The cluster in the tab before",
        ),
        Binding("y", "copy", "Copy", show=False, id="main.copy", tooltip="Copy the name under the cursor"),
        Binding("Y", "copy_json", "Copy JSON", show=False, id="main.copy-json", tooltip="Copy the row as JSON"),
        Binding("escape", "back", "Back", show=False, id="main.back", tooltip="Leave filter, zoom, pause"),
        Binding("q", "app.quit", "Quit", id="main.quit"),
    ]

    def __init__(self) -> None:
        super().__init__()
        self._panels = {kind.KEY: kind(number) for number, kind in enumerate(PANELS, 1)}
        self._active = next(iter(self._panels.values()))
        self._plot_seconds = plots.WINDOWS[1]
        self._header, self._health = Lines(id="header"), Lines(id="health")
        self._scrubber = Lines(id="scrubber")
        self._tabs = Lines(id="tabs")
        self._asked = "filter"
        self._heights: tuple[int, ...] = ()
        self._filter = FilterBox("text that rows contain, !text that they do not")

    def compose(self) -> ComposeResult:
        """Build the screen."""
        yield self._tabs
        yield self._header
        yield self._health
        yield self._scrubber
        with Container(id="panels"):
            yield from (self._panels[name] for name in _PLACES)
        yield self._filter
        yield Footer(show_command_palette=False, compact=True)

    def on_mount(self) -> None:
        """Start on the members."""
        super().on_mount()
        self._activate(self._active)

    def render_state(self, state: DashState) -> None:
        """Bring header and panels up to date."""
        width, locale = self.size.width, self.locale
        self.set_class(state.stale, "-stale")
        self.set_class(state.paused, "-paused")
        dash = self.dash
        self._tabs.display = len(dash.tabs) > 1
        self._tabs.set_lines([tab_line(dash.tabs, dash.tabs.index(dash.tab), locale)])
        self._header.set_lines([header.header_line(state, locale, width)])
        self._health.set_lines([header.health_line(state, locale, width)])
        speed = f", f: x{state.speed}" if state.recorded else ""
        hint = f"n p: the next event, the one before, @: a time{speed}"
        self._scrubber.display = state.frame_index is not None
        self._scrubber.set_lines([scrubber.line_of_time(state, locale, width, hint)])
        layout = Layout(width=width, wide=self.has_class("-wide"), zoomed=self._zoomed, plot_seconds=self._plot_seconds)
        consumers = bool(state.shown and state.shown.consumers)
        self.set_class(consumers, "-consumers")
        self._panels[ConsumersPanel.KEY].set_class(not consumers, "-unused")
        self._share_rows(state)
        worst: dict[str, Severity] = {}
        for alert in state.alerts:
            name = panel_of(alert)
            worst[name] = max(worst.get(name, Severity.OK), alert.severity)
        for name, panel in self._panels.items():
            panel.set_class(worst.get(name) is Severity.WARNING, "-warn")
            panel.set_class(worst.get(name) is Severity.CRITICAL, "-bad")
            if panel.display:
                panel.render_state(state, layout)

    def _share_rows(self, state: DashState) -> None:
        """Make panels as tall as what is in them; what is left goes to those that can use it."""
        panels = self.query_one("#panels")
        shown = state.shown
        if not self.has_class("-wide") or panels.size.height < 1:
            return
        heights = row_heights(
            panels.size.height,
            tops=max(len(shown.members), len(shown.peers)) if shown else 3,
            origins=shown.copies.origin_count if shown else 1,
            segments=max(len(shown.segments), len(shown.events) - 1, 5) if shown else 5,
        )
        if heights != self._heights:
            self._heights = heights
            panels.styles.grid_rows = " ".join(map(str, heights))
            self.call_after_refresh(lambda: self.render_state(self.dash.state))  # panels draw for their new sizes

    def table(self, name: str) -> LiveTable:
        """Return the table of a panel that has one."""
        table = self._panels[name].table
        assert table is not None, name
        return table

    @property
    def topic(self) -> str:
        """The active panel."""
        return self._active.KEY

    @property
    def about(self) -> tuple[str, ...]:
        """What the help says about the active panel."""
        return self._active.ABOUT

    def on_live_table_arranged(self) -> None:
        """Bring the captions up to date."""
        self.dash.mark_dirty()

    def action_panel(self, name: str) -> None:
        """Go to a panel; one that has no room takes the whole screen."""
        self._activate(self._panels[name])
        if not self._active.display:
            self._zoom(on=True)

    def _activate(self, panel: DashPanel) -> None:
        self._active = panel
        for other in self._panels.values():
            other.set_class(other is panel, "-active")
        self._focus_active()  # at once: the next key may be here already
        self.dash.mark_dirty()

    def _focus_active(self) -> None:
        self.set_focus(self.query_one(f"#{self._active.KEY}"))

    def on_descendant_focus(self, event: DescendantFocus) -> None:
        """Make the panel active whose content has the focus."""
        panel = self._panels.get(event.widget.id or "")
        if panel is not None and panel is not self._active:
            self._activate(panel)

    @property
    def _zoomed(self) -> bool:
        return self.query_one("#panels").has_class("-zoom")

    def action_hint(self, panel: str, action: str) -> None:
        """Do what a key in the frame of a panel does."""
        self.action_panel(panel)
        if action == "open":
            self.call_later(self.table(panel).action_open)  # not sent by the panel: its own message would end there
        else:
            getattr(self, f"action_{action}")()

    def action_zoom(self) -> None:
        """Give the active panel the whole screen, or show all again."""
        self._zoom(on=not self._zoomed)

    def _zoom(self, *, on: bool) -> None:
        self.query_one("#panels").set_class(on, "-zoom")
        self.call_after_refresh(self._after_zoom)

    def _after_zoom(self) -> None:
        if not self._active.display:
            self._activate(next(iter(self._panels.values())))
        self.query_one(f"#{self._active.KEY}").focus()
        self.render_state(self.dash.state)

    def action_window(self, step: int) -> None:
        """Let plots cover more time, or less."""
        index = plots.WINDOWS.index(self._plot_seconds) + step
        self._plot_seconds = plots.WINDOWS[min(max(index, 0), len(plots.WINDOWS) - 1)]
        self.render_state(self.dash.state)

    def action_mode(self) -> None:
        """Show replication by peer, or by origin."""
        self.query_one(ReplicationPanel).next_mode()
        self.action_panel(ReplicationPanel.KEY)
        self.render_state(self.dash.state)

    def action_event(self, way: int) -> None:
        """Show the moment of the next event, or of the one before."""
        place = scrubber.neighbour(self.dash.state, way)
        if place is None:
            self.dash.announce(f"there is no event {'after' if way > 0 else 'before'} this moment")
        else:
            self._show_frame(place)

    def _show_frame(self, place: int) -> None:
        self.dash.dispatch(Sought(place))
        self.dash.flush()

    def action_seek(self) -> None:
        """Ask for a time."""
        self._asked = "time"
        self._filter.ask("", "a time of what is remembered: 14:13, 14:13:20")

    def _seek(self, text: str) -> None:
        state = self.dash.state
        try:
            spec = parse_offset_spec(
                "@" + text.strip().removeprefix("@"), round(state.now * 1000), self.locale.timezone
            )
        except ConfigError as error:
            self.dash.announce(str(error), severity="warning")
            return
        times = [frame.at for frame in state.frames]
        if times:
            self._show_frame(max(bisect_right(times, spec.value / 1000) - 1, 0))

    def action_speed(self) -> None:
        """Play a recording faster."""
        self.dash.dispatch(Sped())
        self.dash.flush()

    def action_tab(self, by: int) -> None:
        """Show the cluster beside this one."""
        self.dash.show_tab(self.dash.tabs.index(self.dash.tab) + by)

    def on_click(self, event: Click) -> None:
        """Go to what was clicked: a moment on the line of time, a cluster, why something needs attention."""
        dash = self.dash
        if event.widget is self._tabs:
            number = tab_at(dash.tabs, dash.tabs.index(dash.tab), self.locale, event.x)
            if number is not None:
                dash.show_tab(number)
        elif event.widget is self._health and dash.state.alerts:
            dash.action_alerts()
        elif event.widget is self._scrubber:
            place = scrubber.frame_at_cell(self.dash.state, event.x, self.size.width)
            if place is not None:
                self._show_frame(place)

    def action_severity(self) -> None:
        """Show more events, or fewer."""
        panel = self.query_one(EventsPanel)
        panel.next_level()
        self.action_panel(EventsPanel.KEY)
        self.render_state(self.dash.state)
        self.dash.announce(f"events: {panel.level.value}")

    def _go_to_cause(self, event: ClusterEvent) -> None:
        """Go to the row that an event was about."""
        name = panel_of_event(event.kind)
        if not name:
            self.dash.announce("no panel shows more of this; WHAT is all that is known", severity="warning")
            return
        offset = offset_of(event.detail)

        def is_meant(row: AnyRow) -> bool:
            source = row.source
            if isinstance(source, Segment):
                return offset is not None and (
                    source.base_offset <= offset and (source.active or offset < source.end_offset)
                )
            return event.subject in (row.name, getattr(source, "name", None))

        self.action_panel(name)
        self.render_state(self.dash.state)
        if not self.table(name).choose(is_meant):
            self.dash.announce("what it was about is not there any more", severity="warning")

    def on_live_table_opened(self, event: LiveTable.Opened) -> None:
        """Open a member; a segment; the copies of an origin; what a consumer has not had."""
        source = event.row.source
        if isinstance(source, Member | PeerStatus):
            name = source.name
            title = safe_text(name, 60, ascii_only=self.locale.ascii_only)
            self.app.push_screen(Reader(title, lambda state, locale, width: page.lines(name, state, locale, width)))
        elif isinstance(source, Segment):
            self._open_segment(source)
        elif isinstance(source, ClusterEvent):
            self._go_to_cause(source)
        elif isinstance(source, ConsumerStatus):
            name = safe_text(source.name, 40, ascii_only=self.locale.ascii_only)
            self.app.push_screen(RecordsScreen(Unread(source.name), ("Consumers", f"not had by {name}")))
        elif isinstance(source, CopiesRow):
            self.app.push_screen(CopiesReader(source, self.locale))

    def _open_segment(self, segment: Segment) -> None:
        from proglog.tui.screens.segment import SegmentScreen  # needs the format of batches, which takes its time

        self.app.push_screen(SegmentScreen(self._id_of(segment), ("Segments", segments.title(segment, self.locale))))

    def _id_of(self, segment: Segment) -> SegmentId:
        shown = self.dash.state.shown
        return SegmentId(shown.node.name if shown else "", segment.base_offset)

    def action_verify(self) -> None:
        """Have the agent read and check every batch of the segment under the cursor."""
        source = self._source
        if not isinstance(source, Segment):
            self.dash.announce("nothing to verify here: expected a segment under the cursor", severity="warning")
        elif not self.dash.verifier.begin(self._id_of(source)):
            self.dash.announce("a verification runs: one at a time", severity="warning")

    def action_tail(self) -> None:
        """Follow the end of the log."""
        self.app.push_screen(RecordsScreen(OffsetSpec.before_end(TAIL)))

    def action_watch(self) -> None:
        """Watch the cluster from the member under the cursor."""
        source = self._source
        if isinstance(source, Member | PeerStatus):
            self.dash.watch_from(source.rpc_addr)

    def action_remove(self) -> None:
        """Remove the failed member under the cursor from the cluster, once its name was typed."""
        source = self._source
        if isinstance(source, Member):
            self.dash.remove_member(source)
        else:
            self.dash.announce("only a member can be removed: choose one in the panel of members", severity="warning")

    @property
    def _source(self) -> object:
        """What the row under the cursor shows."""
        return self._active.row.source if self._active.row else None

    def action_copy(self) -> None:
        """Copy the name of the row under the cursor."""
        row = self._active.row
        if row is not None:
            name = safe_text(row.name or row.key)
            self.dash.copy(name, name)

    def action_copy_json(self) -> None:
        """Copy the row under the cursor as JSON."""
        row = self._active.row
        if row is not None:
            self.dash.copy(json.dumps(to_json_value(row.source)), "the row as JSON")

    def action_filter(self) -> None:
        """Ask for the text that rows of the active panel must contain."""
        if self._active.table is not None:
            self._asked = "filter"
            self._filter.ask(self._active.table.needle, "text that rows contain, !text that they do not, ~pattern")

    def on_input_changed(self, event: Input.Changed) -> None:
        """Filter while the text is typed."""
        if event.input.display and self._asked == "filter" and self._active.table is not None:
            self._active.table.filter(event.value)

    def on_input_submitted(self, event: Input.Submitted) -> None:
        """Keep the filter and go back to its table; or go to the time that was typed."""
        self._close_filter()
        if self._asked == "time":
            self._seek(event.value)

    def _close_filter(self) -> None:
        self._filter.display = False
        self._focus_active()

    def action_back(self) -> None:
        """Leave the innermost of filter, zoom and pause."""
        table = self._active.table
        if self._filter.display or (table is not None and table.needle):
            if table is not None:
                table.filter("")
            self._close_filter()
        elif self._zoomed:
            self._zoom(on=False)
        elif not self.dash.state.recorded:
            self.dash.action_resume()
