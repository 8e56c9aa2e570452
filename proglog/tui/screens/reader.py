"""A box with lines to read: help, alerts, one member. Its text is a function of the state, so it is live."""

from collections.abc import Callable, Sequence
from typing import ClassVar

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import VerticalScroll
from textual.content import Content

from proglog.observe.spans import Line, Locale, plain
from proglog.tui.keymap import key_label
from proglog.tui.screens.base import DashModal
from proglog.tui.state import DashState
from proglog.tui.widgets.lines import Lines

Text = Callable[[DashState, Locale, int], Sequence[Line]]
"""Lines for a state, a look and a width in cells."""


class Page(VerticalScroll, can_focus=True):
    """The part of the box that scrolls."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("up,k", "scroll_up", "Up", show=False, id="reader.up"),
        Binding("down,j", "scroll_down", "Down", show=False, id="reader.down"),
        Binding("pageup,ctrl+u", "page_up", "Page up", show=False, id="reader.page-up"),
        Binding("pagedown,ctrl+d", "page_down", "Page down", show=False, id="reader.page-down"),
        Binding("home,g", "scroll_home", "Top", show=False, id="reader.top"),
        Binding("end,G", "scroll_end", "Bottom", show=False, id="reader.bottom"),
    ]


class Reader(DashModal[None]):
    """Shows lines until it is closed."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape,q", "dismiss", "Back", id="reader.back"),
        Binding("y", "copy", "Copy", id="reader.copy", tooltip="Copy the text"),
    ]

    def __init__(self, title: str, text: Text, *, live: bool = True) -> None:
        """Prepare a box.

        Args:
            title: Shown in its upper edge. Foreign text only if made safe before.
            text: What it says.
            live: It changes with the state; False: only with the width.
        """
        super().__init__()
        self._title = title
        self._text = text
        self._live = live
        self._width = -1
        self._lines: list[Line] = []

    def compose(self) -> ComposeResult:
        """Build the box."""
        with Page() as page:
            page.border_title = Content(self._title)
            yield Lines()

    def on_mount(self) -> None:
        """Show the text, and how to leave it."""
        super().on_mount()
        keys = {active.binding.id: key_label(key) for key, active in reversed(self.active_bindings.items())}
        hint = f"{keys['reader.back']}: back, {keys['reader.copy']}: copy"
        self.query_one(Page).border_subtitle = Content(hint)

    def render_state(self, state: DashState) -> None:
        """Bring the text up to date."""
        body = self.query_one(Lines)
        width = self.query_one(Page).scrollable_content_region.width
        if not self._live and width == self._width:
            return
        self._width = width
        self._lines = list(self._text(state, self.locale, width))
        body.styles.height = max(len(self._lines), 1)
        body.set_lines(self._lines)

    def action_copy(self) -> None:
        """Copy the text."""
        self.dash.copy("\n".join(plain(spans).rstrip() for spans in self._lines), "the text")
