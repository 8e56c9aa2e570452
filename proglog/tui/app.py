"""The dashboard: one event loop, one worker for the stream of events, one state, at most five paints a second."""

import time
from collections.abc import Callable
from typing import ClassVar

from textual import work
from textual.app import App
from textual.binding import Binding, BindingType
from textual.screen import Screen

from proglog.tui.screens.base import DashScreen
from proglog.tui.screens.main import MainScreen
from proglog.tui.source import Source
from proglog.tui.spans import Look
from proglog.tui.state import DashState, Event, Paused, Resumed, Stepped, Tick, reduce
from proglog.tui.themes import DEFAULT_THEME, THEMES

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
        Binding("left_square_bracket", "step(-30)", "Back 30 s", show=False, key_display="[", id="app.back-30"),
        Binding("right_square_bracket", "step(30)", "Forward 30 s", show=False, key_display="]", id="app.forward-30"),
        Binding("colon", "command_palette", "Commands", show=False, key_display=":", id="app.commands"),
        Binding("question_mark,f1", "help", "Help", key_display="?", id="app.help"),
        Binding("ctrl+q", "quit", "Quit", show=False, priority=True, id="app.quit"),
    ]

    def __init__(
        self,
        source: Source,
        *,
        look: Look | None = None,
        clock: Callable[[], float] = time.time,
        live: bool = True,
    ) -> None:
        """Prepares the dashboard.

        Args:
            source: Where events come from.
            look: How to draw on this terminal.
            clock: Seconds since 1970.
            live: Read the source and paint by itself; False: events come through :meth:`dispatch` alone, for tests.
        """
        super().__init__()
        self.look = look or Look()
        self.source = source
        self.clock = clock
        self.state = DashState(target=source.target, now=clock())
        self._live = live
        self._dirty = True
        for theme in THEMES:
            self.register_theme(theme)
        self.theme = DEFAULT_THEME
        self.set_class(self.look.ascii_only, "-ascii")

    def get_default_screen(self) -> Screen[None]:
        """Starts on the panels."""
        return MainScreen()

    def on_mount(self) -> None:
        """Starts the stream and the clocks."""
        if self._live:
            self._watch()
            self.set_interval(1.0, lambda: self.dispatch(Tick(self.clock())))
            self.set_interval(REFRESH_SECONDS, self.flush)

    @work(group="source")
    async def _watch(self) -> None:
        async for event in self.source.events():
            self.dispatch(event)

    def dispatch(self, event: Event) -> None:
        """Takes an event into the state; the screen follows at the next paint."""
        self.state = reduce(self.state, event)
        self._dirty = True

    def mark_dirty(self) -> None:
        """Asks for a paint."""
        self._dirty = True

    def flush(self) -> None:
        """Paints what changed."""
        if not self._dirty:
            return
        self._dirty = False
        for screen in self.screen_stack:
            if isinstance(screen, DashScreen) and screen.is_mounted:
                screen.show(self.state)

    def _now(self, event: Event) -> None:
        """Takes a key's event into the state and paints at once."""
        self.dispatch(event)
        self.flush()

    def action_pause(self) -> None:
        """Holds the screen, or shows the present again."""
        self._now(Resumed() if self.state.paused else Paused())

    def action_resume(self) -> None:
        """Shows the present."""
        self._now(Resumed())

    def action_step(self, frames: int) -> None:
        """Walks through time."""
        self._now(Stepped(frames))
