"""The dashboard: one event loop, one worker for the stream of changes, one state, at most five paints a second."""

import asyncio
import os
from collections.abc import Callable, Coroutine, Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from textual import work
from textual.app import App
from textual.binding import Binding, BindingType
from textual.dom import DOMNode
from textual.driver import Driver
from textual.notifications import SeverityLevel
from textual.screen import Screen

from proglog.clock import steady
from proglog.errors import ConfigError, ProglogError
from proglog.observe.health import Severity
from proglog.observe.recording import Recorder, file_name, save
from proglog.observe.safe_text import safe_text
from proglog.observe.spans import Locale, accents_of
from proglog.tui import incident, keymap, removal
from proglog.tui.notify import Notify
from proglog.tui.palette import Palette
from proglog.tui.panels.segments.verification import Verifier
from proglog.tui.screens.base import StateScreen
from proglog.tui.screens.confirm import Confirm
from proglog.tui.screens.jump import Jump
from proglog.tui.screens.main import MainScreen
from proglog.tui.screens.reader import Reader
from proglog.tui.source import Source
from proglog.tui.state import (
    Change,
    ConnectionLost,
    DashState,
    Paused,
    Resumed,
    Retargeted,
    SnapshotArrived,
    Stepped,
    Tick,
    reduce,
)
from proglog.tui.tabs import Tab
from proglog.tui.terminal import TerminalDriver
from proglog.tui.themes import DEFAULT_THEME, THEMES, accent_variables
from proglog.tui.views import help_page
from proglog.tui.widgets.live_table import LiveTable
from proglog.wire.model import Member

if TYPE_CHECKING:
    from proglog.tui.dash import Dash

REFRESH_SECONDS = 0.2
"""Between two paints at least: faster ones are not seen, and cost a slow link dearly."""

_WIDTHS = [(0, "-narrow"), (60, "-medium"), (110, "-wide")]
_HEIGHTS = [(0, "-tiny"), (8, "-flat"), (16, "-short"), (30, "-tall")]


class DashApp(App[None]):
    """A live view of one agent and its cluster."""

    TITLE = "proglog"
    CSS_PATH = "dash.tcss"
    ENABLE_COMMAND_PALETTE = True
    HORIZONTAL_BREAKPOINTS = _WIDTHS
    VERTICAL_BREAKPOINTS = _HEIGHTS
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("space", "pause", "Pause", id="app.pause", tooltip="Hold the screen; the arrows walk through time"),
        Binding("left", "step(-1)", "Back in time", show=False, id="app.back-1", tooltip="One second back"),
        Binding("right", "step(1)", "Forward", show=False, id="app.forward-1", tooltip="One second forward"),
        Binding("left_square_bracket", "step(-30)", "Back 30 s", show=False, id="app.back-30"),
        Binding("right_square_bracket", "step(30)", "Forward 30 s", show=False, id="app.forward-30"),
        Binding(
            "colon,ctrl+p",
            "command_palette",
            "Commands",
            show=False,
            id="app.commands",
            tooltip="Every action, by name",
        ),
        Binding("comma", "jump", "Jump", show=False, id="app.jump", tooltip="A letter for each row in view: to it"),
        Binding("w", "save", "Save", show=False, id="app.save", tooltip="Write the last hour to a file"),
        Binding(
            "b",
            "bundle",
            "Bundle",
            show=False,
            id="app.bundle",
            tooltip="All that is known of this moment, in one file",
        ),
        Binding("a", "alerts", "Alerts", show=False, id="app.alerts", tooltip="What needs attention, and what to do"),
        Binding("question_mark,f1", "help", "Help", id="app.help", tooltip="The number under the cursor, and the keys"),
        Binding("ctrl+q", "quit", "Quit", show=False, priority=True, id="app.quit", tooltip="Leave, from anywhere"),
        Binding("ctrl+c", "help_quit", "How to leave", show=False, system=True, id="app.interrupt"),
    ]

    def __init__(
        self,
        source: Source,
        *,
        locale: Locale | None = None,
        clock: Callable[[], float] = steady,
        recorder: Recorder | None = None,
        live: bool = True,
        allow_writes: bool = False,
        others: Sequence[tuple[str, Source]] = (),
        notify: Notify = Notify.OFF,
    ) -> None:
        """Prepare the dashboard.

        Args:
            source: Where changes come from.
            locale: What the terminal can show, and in which time zone.
            clock: Seconds since 1970, which do not jump.
            recorder: Where every frame is written.
            live: Read the source and paint by itself; False: changes come through :meth:`dispatch` alone, for tests.
            allow_writes: Offer actions that change the cluster; False: every one says which flag it needs.
            others: More clusters, by the names of their profiles: each is a tab.
            notify: What a finding that is new does beside being shown.
        """
        super().__init__()
        self.locale = locale or Locale()
        self.clock = clock
        self.tabs = [
            Tab(name, each, DashState(target=each.target, now=clock())) for name, each in (("", source), *others)
        ]
        self.tab = self.tabs[0]
        """The cluster that is shown."""
        self._notify = notify
        self._known_alerts: dict[Tab, set[str]] = {}
        self._named: object = None
        self.failure: Exception | None = None
        """What ended the dashboard, when it was not the reader."""
        self._recorder = recorder
        self._live = live
        self.allow_writes = allow_writes
        self._warnings: tuple[str, ...] = ()
        self._dirty = True
        self._covered_dirty = False
        self.verifier = Verifier(self, self._run_verification)
        for theme in THEMES:
            self.register_theme(theme)
        self.theme = DEFAULT_THEME
        self.set_class(self.locale.ascii_only, "-ascii")

    @property
    def state(self) -> DashState:
        """Everything that is shown."""
        return self.tab.state

    @state.setter
    def state(self, state: DashState) -> None:
        self.tab.state = state

    @property
    def source(self) -> Source:
        """Where the changes of the cluster that is shown come from."""
        return self.tab.source

    @source.setter
    def source(self, source: Source) -> None:
        self.tab.source = source

    def get_theme_variable_defaults(self) -> dict[str, str]:
        """Return the members' accents for themes that have none."""
        return accent_variables(self.current_theme)

    def get_driver_class(self) -> type[Driver]:
        """Return what draws: this module's own terminal, unless a browser does."""
        return super().get_driver_class() if "TEXTUAL_DRIVER" in os.environ else TerminalDriver

    def _handle_exception(self, error: Exception) -> None:
        """Remember the bug that ends the dashboard: it is reported like that of any other verb."""
        self.failure = self.failure or error
        super()._handle_exception(error)

    def _print_error_renderables(self) -> None:
        """Print nothing: Textual's traceback has the values of locals in it, and those are other people's."""
        self._exit_renderables.clear()

    def get_default_screen(self) -> Screen[None]:
        """Start on the panels."""
        return MainScreen()

    def on_mount(self) -> None:
        """Start the stream and the clocks."""
        for warning in self._warnings:
            self.announce(warning, severity="warning")
        if self._live:
            for tab in self.tabs:
                self._watch(tab)
            self.set_interval(1.0, self._tick)
            self.set_interval(REFRESH_SECONDS, self.flush)
            if self._recorder is not None:
                self._record(self._recorder)

    def _tick(self) -> None:
        for tab in self.tabs:
            self.dispatch(Tick(self.clock()), tab)

    def _watch(self, tab: Tab) -> None:
        """Watch a cluster; what was watched in its tab before is left."""
        self.run_worker(self._follow(tab), group=f"source-{self.tabs.index(tab)}", exclusive=True)

    async def _follow(self, tab: Tab) -> None:
        try:
            async for change in tab.source.changes():
                self.dispatch(change, tab)
        except ProglogError as error:
            self.failure = error
            self.exit(return_code=1)

    @work(group="record")
    async def _record(self, recorder: Recorder) -> None:
        """Write each new frame."""
        written = 0.0
        while True:
            await asyncio.sleep(1.0)
            fresh = [frame for frame in self.tabs[0].state.frames if frame.at > written]
            try:
                await asyncio.to_thread(recorder.add, fresh)
            except ProglogError as error:
                self.announce(f"recording stopped: {error}", severity="error")
                return
            written = fresh[-1].at if fresh else written

    def _run_verification(self, verification: Coroutine[Any, Any, None]) -> None:
        self.run_worker(verification, group="verify")

    def watch_from(self, addr: str) -> None:
        """Watch the agent at ``addr`` from now on."""
        try:
            self.source = self.source.at(addr)
        except ProglogError as error:
            self.announce(str(error), severity="error")
            return
        self._apply_now(Retargeted(addr, self.clock()))
        if self._live:
            self._watch(self.tab)

    def remove_member(self, member: Member) -> None:
        """Ask for the name of a failed member and remove it from the cluster for good."""
        name = safe_text(member.name, 60, ascii_only=self.locale.ascii_only)
        refusal = removal.refusal(member, self.state, allow_writes=self.allow_writes)
        if refusal:
            self.announce(refusal, severity="warning")
            return

        def answered(sure: bool | None) -> None:
            if sure:
                self._remove(member.name)

        self.push_screen(Confirm(f"Remove {name} from the cluster", removal.CONSEQUENCES, member.name), answered)

    @work(group="remove")
    async def _remove(self, name: str) -> None:
        try:
            await self.source.remove(name)
        except ProglogError as error:
            self.announce(str(error), severity="error")
        else:
            self.announce(f"{name} is removed")

    def use_theme(self, name: str) -> None:
        """Take a theme by its name.

        Raises:
            ConfigError: There is no such theme.
        """
        if name not in self.available_themes:
            raise ConfigError(f"no theme {name!r}; expected one of {', '.join(sorted(self.available_themes))}")
        self.theme = name

    def use_keys(self, chosen: Mapping[str, str], warnings: Sequence[str] = ()) -> None:
        """Take checked keys of the reader's own; what is wrong with them is reported when the screen is there."""
        self.set_keymap(dict(chosen))
        self._warnings = tuple(warnings)

    def get_key_display(self, binding: Binding) -> str:
        """Name a key in the footer."""
        return binding.key_display or keymap.key_label(binding.key)

    def dispatch(self, change: Change, tab: Tab | None = None) -> None:
        """Apply a change to a cluster's state, by default the shown cluster's; the next paint shows it."""
        tab = tab or self.tab
        before, tab.state = tab.state, reduce(tab.state, change)
        self._dirty = True
        self._name_members()
        if self._notify is not Notify.OFF and isinstance(change, SnapshotArrived | ConnectionLost):
            self._ring(tab)
        if tab is self.tab and isinstance(change, SnapshotArrived) and before.stand_in != change.stand_in:
            self._announce_source(change)

    def _ring(self, tab: Tab) -> None:
        """Say that something is new that needs attention; what was there at first is on the screen."""
        serious = {each.key: each for each in tab.state.alerts_now if each.severity > Severity.INFO}
        known = self._known_alerts.get(tab)
        self._known_alerts[tab] = set(serious)
        fresh = [each for key, each in serious.items() if known is not None and key not in known]
        if not fresh:
            return
        self.bell()
        if self._notify is Notify.DESKTOP and isinstance(self._driver, TerminalDriver):
            words = safe_text(f"proglog: {fresh[0].subject} {fresh[0].cause}", 160, ascii_only=self.locale.ascii_only)
            self._driver.write(f"\x1b]9;{words}\x07")

    def show_tab(self, number: int) -> None:
        """Show another cluster."""
        self.tab = self.tabs[number % len(self.tabs)]
        self._name_members()
        self.mark_dirty()
        self.flush()

    def _name_members(self) -> None:
        """Give each member that is new its accent; those that are known keep theirs."""
        shown = self.state.shown
        if shown is None or self._named is shown.members:
            return
        self._named = shown.members
        names = [member.name for member in shown.members]
        self.locale = replace(self.locale, accents=accents_of(names, self.locale.accents))

    def _announce_source(self, change: SnapshotArrived) -> None:
        """Say that another member speaks from now on, or the watched agent again."""
        if change.stand_in:
            gone = self.state.home or self.state.target
            self.announce(f"{gone} is gone: watching from {change.snapshot.node.name}", severity="warning")
        else:
            self.announce(f"{change.snapshot.node.name} is back")

    def mark_dirty(self, *, covered: bool = False) -> None:
        """Ask for a paint; ``covered``: also of the screens under the open box."""
        self._dirty = True
        self._covered_dirty = self._covered_dirty or covered

    def flush(self) -> None:
        """Paint what changed."""
        if not self._dirty:
            return
        # What a box covers waits, unless its size changed: painting it again under the box costs ten times the bytes.
        screens = list(self.screen_stack) if self._covered_dirty else [self.screen]
        self._dirty = self._covered_dirty = False
        for screen in screens:
            if isinstance(screen, StateScreen) and screen.is_mounted:
                screen.render_state(self.state)

    def _apply_now(self, change: Change) -> None:
        """Take a key's change into the state and paint at once."""
        self.dispatch(change)
        self.flush()

    def copy(self, text: str, what: str) -> None:
        """Copy ``text`` through the terminal (OSC 52), which works over SSH too, and say so."""
        self.copy_to_clipboard(text)
        self.announce(f"copied {what}")

    def announce(self, words: str, *, severity: SeverityLevel = "information") -> None:
        """Show a short message. Foreign text may be in it."""
        self.notify(
            safe_text(words, 300, ascii_only=self.locale.ascii_only), markup=False, severity=severity, timeout=3
        )

    def action_alerts(self) -> None:
        """Show what needs attention and what to do."""
        from proglog.tui.screens.why import Why  # the first frame does not wait for it

        self.push_screen(Why())

    def show_panel(self, name: str) -> None:
        """Close what is open over the main screen, and go to a panel of it."""
        while len(self.screen_stack) > 1 and not isinstance(self.screen, MainScreen):
            self.pop_screen()
        if isinstance(self.screen, MainScreen):
            self.screen.action_panel(name)

    def action_help(self) -> None:
        """Show what the number under the cursor means, and the keys that work here."""
        screen = self.screen
        if isinstance(screen, Reader):
            return
        bindings = dict(screen.active_bindings)
        self.push_screen(Reader("Help", partial(help_page.lines, bindings, self._help_topic(screen))))

    @staticmethod
    def _help_topic(screen: Screen[Any]) -> help_page.HelpTopic:
        """Return what the cursor is on."""
        topic = help_page.HelpTopic()
        if isinstance(screen, StateScreen):
            topic = replace(topic, panel=screen.topic, about=screen.about)
        table = screen.focused
        if not isinstance(table, LiveTable):
            return topic
        row = table.row
        subject = row.name or getattr(row.source, "name", "") if row is not None else ""
        return replace(topic, columns=table.columns, column=table.column, subject=subject, value=table.cell)

    def key_of(self, owner: type[DOMNode], name: str) -> str:
        """Return the first key of the action ``name`` of ``owner``, as readers see it."""
        return keymap.first_key(owner, name, self._keymap)

    def action_jump(self) -> None:
        """Give each row in view a letter: the next key goes there."""
        if isinstance(self.screen, StateScreen):
            self.push_screen(Jump(self.screen))

    def action_command_palette(self) -> None:
        """Show the palette."""
        if not any(isinstance(screen, Palette) for screen in self.screen_stack):
            self.push_screen(Palette(self, self.screen))

    def action_pause(self) -> None:
        """Hold the screen, or show the present again."""
        if isinstance(self.screen, StateScreen) and self.screen.toggle_pause():
            return
        held = self.state.paused and not self.state.playing
        self._apply_now(Resumed() if held else Paused())

    def action_resume(self) -> None:
        """Show the present."""
        self._apply_now(Resumed())

    @work(group="save", exclusive=True)
    async def action_save(self) -> None:
        """Write the last minutes to a file in the working directory."""
        if self.state.shown is None or self.state.recorded:
            self.announce("nothing to save: only what was seen live is recorded", severity="warning")
            return
        path = Path.cwd() / file_name(self.state.shown.node.name, self.clock())
        try:
            await asyncio.to_thread(save, path, self.state.target, self.state.frames)
        except ProglogError as error:
            self.announce(str(error), severity="error")
        else:
            self.announce(f"saved {len(self.state.frames)} seconds to {path}")

    @work(group="bundle", exclusive=True)
    async def action_bundle(self) -> None:
        """Write an incident bundle into the working directory."""
        if self.state.shown is None:
            self.announce("nothing to bundle yet: the agent has not spoken", severity="warning")
            return
        screen = self._picture()
        started = {
            "target": self.state.target,
            "tls": list(self.source.tls_flags),
            "replay": self.source.replay,
            "theme": self.theme,
            "keys": dict(self._keymap),
            "ascii_only": self.locale.ascii_only,
            "size": [self.size.width, self.size.height],
        }
        try:
            path = await asyncio.to_thread(incident.write, Path.cwd(), self.state, screen, started)
        except ProglogError as error:
            self.announce(str(error), severity="error")
        else:
            self.announce(f"wrote {path}" + ("" if screen else ", without the screen: it shows records"))

    def _picture(self) -> dict[str, str]:
        """Return the screen as text and as SVG; nothing where values of records are on it."""
        if not all(isinstance(screen, MainScreen | Reader) for screen in self.screen_stack[:2]):
            return {}
        strips = self.screen._compositor.render_strips()
        text = "\n".join("".join(segment.text for segment in strip).rstrip() for strip in strips)
        return {"txt": text + "\n", "svg": self.export_screenshot(title=f"proglog dash {self.state.target}")}

    def action_step(self, frames: int) -> None:
        """Walk through time."""
        if isinstance(self.screen, StateScreen) and self.screen.step_time(frames):
            return
        self._apply_now(Stepped(frames))


if TYPE_CHECKING:
    _dash: type[Dash] = DashApp
