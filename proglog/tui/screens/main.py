"""The main screen: members, replication, segments, throughput and events, as many as the terminal has room for."""

import asyncio
import json
from collections.abc import Callable
from typing import ClassVar

from textual import work
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Container
from textual.events import DescendantFocus
from textual.widget import Widget
from textual.widgets import Footer, Input

from proglog.client.place import Place
from proglog.errors import ProglogError
from proglog.observe.frame import Frame
from proglog.observe.plain import to_plain
from proglog.observe.safe_text import safe_text
from proglog.observe.words import duration_words
from proglog.tui.checks import Check, Checks, SegmentId
from proglog.tui.screens.base import DashScreen
from proglog.tui.screens.reader import Reader
from proglog.tui.screens.records import TAIL, RecordsScreen
from proglog.tui.spans import Line, plain
from proglog.tui.state import DashState
from proglog.tui.table import AnyRow
from proglog.tui.views import checks, events, header, matrix, member, members, plots, replication, segments, throughput
from proglog.tui.widgets.live_table import LiveTable
from proglog.tui.widgets.painted import Lines
from proglog.tui.widgets.panel import Panel
from proglog.wire.model import ClusterSnapshot, Member, PeerStatus, Segment

PANELS = ("members", "throughput", "replication", "segments", "events")
REPAIR_SECONDS = 2.0
"""Between two looks at whether what a verification found has been repaired."""
_REPAIR_LOOKS = 30
_REPLICATION_MODES = ("peers", "origins", "matrix")


class Charts(Lines, can_focus=True):
    """The charts, as a panel that can be focused."""


class MainScreen(DashScreen[None]):
    """The panels."""

    BINDINGS: ClassVar[list[BindingType]] = [
        *(
            Binding(str(number), f"panel('{name}')", name.capitalize(), show=False, id=f"main.{name}")
            for number, name in enumerate(PANELS, 1)
        ),
        Binding("z,f10", "zoom", "Zoom", id="main.zoom", tooltip="One panel on the whole screen, and back"),
        Binding("slash", "filter", "Filter", key_display="/", id="main.filter", tooltip="Rows that match; !text: not"),
        Binding("m", "mode", "By origin", show=False, id="main.mode", tooltip="Replication by peer, origin, matrix"),
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
            tooltip="Plots of a zoomed panel cover more time, up to 10 min",
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
        Binding("y", "copy", "Copy", show=False, id="main.copy", tooltip="Copy the name under the cursor"),
        Binding("Y", "copy_json", "Copy JSON", show=False, id="main.copy-json", tooltip="Copy the row as JSON"),
        Binding("escape", "back", "Back", show=False, id="main.back", tooltip="Leave filter, zoom, pause"),
        Binding("q", "app.quit", "Quit", id="main.quit"),
    ]

    def __init__(self) -> None:
        super().__init__()
        self._checks = Checks(self._begin_check)
        self._active = PANELS[0]
        self._mode = _REPLICATION_MODES[0]
        self._window = plots.WINDOWS[1]
        self._summaries: dict[str, tuple[Frame | None, str]] = {}

    def compose(self) -> ComposeResult:
        """Builds the screen."""
        yield Lines(id="header")
        yield Lines(id="health")
        tables = {
            "members": LiveTable(members.COLUMNS, empty="no members yet", id="members"),
            "replication": LiveTable(replication.PEER_COLUMNS, empty="no peers yet", id="replication"),
            "segments": LiveTable(segments.COLUMNS, empty="no segments yet", sticky="first", id="segments"),
            "events": LiveTable(events.COLUMNS, empty="nothing has happened yet", sticky="first", id="events"),
        }
        contents: dict[str, tuple[Widget, ...]] = {name: (table,) for name, table in tables.items()}
        contents["segments"] = (Lines(id="segment-map"), tables["segments"])
        contents["replication"] = (tables["replication"], Lines(id="below-peers"))
        contents["throughput"] = (Charts(id="throughput"),)
        with Container(id="panels"):
            for number, name in enumerate(PANELS, 1):
                yield Panel(*contents[name], number=number, title=name.capitalize(), name=name)
        yield Input(id="filter", placeholder="text that rows contain, !text that they do not", compact=True)
        yield Footer(show_command_palette=False, compact=True)

    def on_mount(self) -> None:
        """Starts on the members."""
        super().on_mount()
        self.query_one("#filter").display = False
        self._activate(PANELS[0])

    def show(self, state: DashState) -> None:
        """Brings header and panels up to date."""
        width, look = self.size.width, self.look
        self.set_class(state.stale, "-stale")
        self.set_class(state.paused, "-paused")
        self.query_one("#header", Lines).show([header.header_line(state, look, width)])
        self.query_one("#health", Lines).show([header.health_line(state, look, width)])
        for name, show in self._shows().items():
            if self.panel(name).display:
                show(state)

    def _shows(self) -> dict[str, Callable[[DashState], None]]:
        return {
            "members": self._show_members,
            "replication": self._show_replication,
            "segments": self._show_segments,
            "throughput": self._show_throughput,
            "events": self._show_events,
        }

    def panel(self, name: str) -> Panel:
        """Returns a panel."""
        return self.query_one(f"#panel-{name}", Panel)

    def table(self, name: str) -> LiveTable:
        """Returns the table of a panel."""
        return self.query_one(f"#{name}", LiveTable)

    def _show_members(self, state: DashState) -> None:
        self.table("members").show(members.rows(state, self.look))
        self._caption("members", "")

    def _show_replication(self, state: DashState) -> None:
        table = self.table("replication")
        if self._mode == "peers":
            table.show(replication.peer_rows(state, self.look), replication.PEER_COLUMNS)
        elif self._mode == "origins":
            table.show(replication.origin_rows(state, self.look), replication.ORIGIN_COLUMNS)
        else:
            table.show(matrix.rows(state, self.look), matrix.columns(state, self.look))
        self._show_below_peers(state)
        self._caption("replication", self._summary("replication", state, replication.summary))

    def _show_below_peers(self, state: DashState) -> None:
        """Uses the room below the peers: for the matrix; when the panel has the screen, for the lags over time."""
        area = self.query_one("#below-peers", Lines)
        peers = len(state.shown.peers) if state.shown else 0
        room, width = self.panel("replication").size.height - min(peers, 8) - 2, max(self.size.width - 7, 1)
        lines: list[Line] = []
        if self._mode == "peers" and self._zoomed and room >= plots.LEAST_ROWS:
            lines = replication.plots(state, self.look, width, room, self._window)
        elif self._mode == "peers" and self.has_class("-wide"):
            lines = matrix.lines(state, self.look, width, room)
        area.display = bool(lines)
        if lines:
            area.styles.height = room if self._zoomed else len(lines)
            area.styles.padding = (0, 0, 0, 3)
            area.show(lines)

    def _show_segments(self, state: DashState) -> None:
        table = self.table("segments")
        table.show(segments.rows(state, self.look, self._checks))
        strip = self.query_one("#segment-map", Lines)
        strip.show([segments.segment_map(state.shown, self.look, strip.size.width)] if state.shown else [])
        source = table.row.source if table.row else None
        told = self._checks.of(self._id_of(source)) if isinstance(source, Segment) else None
        summary = self._summary("segments", state, segments.summary)
        self._caption("segments", plain(checks.summary(told, self.look)) if told else summary)

    def _show_throughput(self, state: DashState) -> None:
        charts = self.query_one("#throughput", Lines)
        width, height = charts.size.width, charts.size.height
        if self._zoomed:
            charts.show(throughput.plots(state, self.look, width, height, self._window))
            self.panel("throughput").caption(f"last {duration_words(self._window)}, + and - change it")
        else:
            charts.show(throughput.lines(state, self.look, width, height))
            self.panel("throughput").caption(throughput.axis(state))

    def _show_events(self, state: DashState) -> None:
        self.table("events").show(events.rows(state, self.look))
        self._caption("events", "")

    def _summary(self, name: str, state: DashState, text: Callable[[ClusterSnapshot], str]) -> str:
        """Returns a panel's summary, new once a second: with the edge of a panel all of it is painted again."""
        frame = state.frames[-1 if state.cursor is None else state.cursor] if state.frames else None
        known, summary = self._summaries.get(name, (None, ""))
        if state.shown is not None and frame is not known:
            summary = text(state.shown)
            self._summaries[name] = (frame, summary)
        return summary if state.shown is not None else ""

    def _caption(self, name: str, summary: str) -> None:
        table = self.table(name)
        notes = [f"by {self._mode}"] if name == "replication" and self._mode != "peers" else []
        if table.needle:
            notes.append(f"/{safe_text(table.needle, 20, ascii_only=self.look.ascii_only)}")
        parts = [summary] if summary else []
        if table.overflows or table.needle:
            parts.append(table.position)
        edge = self.panel(name).outer_size.width - 6  # what Textual itself cuts ends in no ASCII
        text = safe_text(", ".join(parts), max(edge, 1), ascii_only=self.look.ascii_only)
        self.panel(name).caption(text, note=" ".join(notes))

    def on_live_table_arranged(self) -> None:
        """Brings the captions up to date."""
        self.dash.mark_dirty()

    def action_panel(self, name: str) -> None:
        """Goes to a panel; one that has no room takes the whole screen."""
        self._activate(name)
        if not self.panel(name).display:
            self._zoom(on=True)

    def _activate(self, name: str) -> None:
        self._active = name
        for other in PANELS:
            self.panel(other).set_class(other == name, "-active")
        self.set_focus(self.query_one(f"#{name}"))  # at once: the next key may be here already
        self.dash.mark_dirty()

    def _zoom(self, *, on: bool) -> None:
        self.query_one("#panels").set_class(on, "-zoom")
        self.call_after_refresh(self._after_zoom)

    def _after_zoom(self) -> None:
        if not self.panel(self._active).display:
            self._activate(PANELS[0])
        self.query_one(f"#{self._active}").focus()
        self.show(self.dash.state)

    def on_descendant_focus(self, event: DescendantFocus) -> None:
        """Makes the panel active whose content has the focus."""
        if event.widget.id in PANELS and event.widget.id != self._active:
            self._activate(event.widget.id)

    def action_zoom(self) -> None:
        """Gives the active panel the whole screen, or shows all again."""
        self._zoom(on=not self.query_one("#panels").has_class("-zoom"))

    @property
    def _zoomed(self) -> bool:
        return self.query_one("#panels").has_class("-zoom")

    def action_window(self, step: int) -> None:
        """Plots cover more time, or less."""
        place = plots.WINDOWS.index(self._window) + step
        self._window = plots.WINDOWS[min(max(place, 0), len(plots.WINDOWS) - 1)]
        self.show(self.dash.state)

    def action_mode(self) -> None:
        """Shows replication by peer, by origin, as a matrix."""
        following = _REPLICATION_MODES.index(self._mode) + 1
        self._mode = _REPLICATION_MODES[following % len(_REPLICATION_MODES)]
        self.action_panel("replication")
        self.show(self.dash.state)

    @property
    def topic(self) -> str:
        """What the help explains: the active panel."""
        return self._active

    def on_live_table_opened(self, event: LiveTable.Opened) -> None:
        """Opens a member; a segment."""
        source = event.row.source
        if isinstance(source, Member | PeerStatus):
            name = source.name
            title = safe_text(name, 60, ascii_only=self.look.ascii_only)
            self.dash.push_screen(Reader(title, lambda state, look, width: member.lines(name, state, look, width)))
        elif isinstance(source, Segment):
            self._open_segment(source)

    def _open_segment(self, segment: Segment) -> None:
        from proglog.tui.screens.segment import SegmentScreen  # needs the format of batches, which takes its time

        trail = ("Segments", segments.title(segment, self.look))
        self.dash.push_screen(SegmentScreen(self._id_of(segment), trail, self._checks))

    def _id_of(self, segment: Segment) -> SegmentId:
        shown = self.dash.state.shown
        return SegmentId(shown.node.name if shown else "", segment.base_offset)

    def action_verify(self) -> None:
        """Has the agent read and check every batch of the segment under the cursor."""
        source = self._row.source if self._row else None
        if self._active != "segments" or not isinstance(source, Segment):
            self.dash.tell("nothing to verify here: expected a segment under the cursor", severity="warning")
        elif not self._checks.begin(self._id_of(source)):
            self.dash.tell("a verification runs: one at a time", severity="warning")

    def _begin_check(self, segment_id: SegmentId, *, again: bool = False) -> None:
        self._checks.tell(segment_id, Check(at=self.dash.clock()))
        self._check(segment_id, again=again)
        self.dash.mark_dirty()

    @work(group="verify")
    async def _check(self, segment_id: SegmentId, *, again: bool) -> None:
        """Follows a verification to its end; it goes on when its segment's screen is left."""
        done = None
        error = "the agent ended it"
        latest = self.dash.state.latest
        if latest is None or latest.node.name != segment_id.node_name:
            self._checks.tell(segment_id, Check(at=self.dash.clock(), error="another node is watched now"))
            return
        try:
            async for done in self.dash.source.verify(segment_id.base_offset):
                self._checks.tell(segment_id, Check(at=self.dash.clock(), done=done))
                self.dash.mark_dirty()
        except ProglogError as problem:
            error = str(problem)
        if done is None or not done.finished:
            self._checks.tell(segment_id, Check(at=self.dash.clock(), done=done, error=error))
            self.dash.mark_dirty()
        elif done.problems and not again:
            await self._check_repair(segment_id)

    async def _check_repair(self, segment_id: SegmentId) -> None:
        """Has a damaged segment verified once more when the agent lists no damage in it: what it told is old then."""
        told = self._checks.of(segment_id)
        for _ in range(_REPAIR_LOOKS):
            await asyncio.sleep(REPAIR_SECONDS)
            latest = self.dash.state.latest
            segment = segments.named(latest, segment_id)
            if segment is None or self._checks.of(segment_id) is not told or self._checks.running is not None:
                return
            if not segments.has_damage(latest, segment):
                self._begin_check(segment_id, again=True)
                return

    def action_tail(self) -> None:
        """Follows the end of the log."""
        self.dash.push_screen(RecordsScreen(Place.before_end(TAIL)))

    def action_watch(self) -> None:
        """Watches the cluster from the member under the cursor."""
        source = self._row.source if self._row else None
        if isinstance(source, Member | PeerStatus):
            self.dash.watch_from(source.rpc_addr)

    def action_remove(self) -> None:
        """Removes the failed member under the cursor from the cluster, once its name was typed."""
        source = self._row.source if self._row else None
        if self._active == "members" and isinstance(source, Member):
            self.dash.remove_member(source)
        else:
            self.dash.tell("only a member can be removed: choose one in the panel of members", severity="warning")

    def action_copy(self) -> None:
        """Copies the name of the row under the cursor."""
        row = self._row
        if row is not None:
            name = safe_text(row.name or row.key)
            self.dash.copy(name, name)

    def action_copy_json(self) -> None:
        """Copies the row under the cursor as JSON."""
        row = self._row
        if row is not None:
            self.dash.copy(json.dumps(to_plain(row.source)), "the row as JSON")

    @property
    def _row(self) -> AnyRow | None:
        return None if self._active == "throughput" else self.table(self._active).row

    def action_filter(self) -> None:
        """Asks for the text that rows of the active panel must contain."""
        if self._active == "throughput":
            return
        box = self.query_one("#filter", Input)
        box.display = True
        box.value = self.table(self._active).needle
        box.focus()

    def on_input_changed(self, event: Input.Changed) -> None:
        """Filters while the text is typed."""
        if event.input.display and self._active != "throughput":
            self.table(self._active).filter(event.value)

    def on_input_submitted(self) -> None:
        """Keeps the filter and goes back to its table."""
        self._close_filter()

    def _close_filter(self) -> None:
        self.query_one("#filter").display = False
        self.set_focus(self.query_one(f"#{self._active}"))

    def action_back(self) -> None:
        """Leaves the innermost of filter, zoom and pause."""
        if self.query_one("#filter").display or self._filtered:
            self.table(self._active).filter("")
            self._close_filter()
        elif self.query_one("#panels").has_class("-zoom"):
            self._zoom(on=False)
        elif not self.dash.state.recorded:
            self.dash.action_resume()

    @property
    def _filtered(self) -> bool:
        return self._active != "throughput" and bool(self.table(self._active).needle)
