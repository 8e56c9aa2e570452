"""A box that asks for a name to be typed before something is done that cannot be taken back."""

from collections.abc import Sequence
from typing import ClassVar

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Container
from textual.content import Content
from textual.widgets import Input

from proglog.observe.spans import Line, Locale, Role, Span, line, wrap
from proglog.tui.screens.base import DashModal
from proglog.tui.state import DashState
from proglog.tui.widgets.lines import Lines


def question(consequences: Sequence[str], name: str, error: str, locale: Locale, width: int) -> list[Line]:
    """Return what the box says above its input: what comes of it, the name to be typed, why the last try failed."""
    parts = [part for each in consequences for part in wrap(line(each), width)]
    asked = line("Type its name, ", locale.safe(name, 80, role=Role.STRONG), ", to continue:")
    return [*parts, (), *wrap(asked, width), *(wrap(line(Span(error, Role.BAD)), width) if error else [])]


class Confirm(DashModal[bool]):
    """Ends with True when the name was typed exactly, with False when it was left."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape", "dismiss(False)", "Cancel", id="confirm.cancel", tooltip="Leave everything as it is")
    ]

    def __init__(self, title: str, words: Sequence[str], name: str) -> None:
        """Prepare the box.

        Args:
            title: What is to be done.
            words: What comes of it. Foreign text only if made safe before.
            name: What has to be typed. Foreign text.
        """
        super().__init__()
        self._title = title
        self._words = words
        self._wanted = name
        self._error = ""

    def compose(self) -> ComposeResult:
        """Build the box."""
        with Container(id="confirm") as box:
            box.border_title = Content(self._title)
            box.border_subtitle = Content(f"enter: go, {self.dash.key_of(Confirm, 'confirm.cancel')}: cancel")
            yield Lines()
            yield Input(id="name", compact=True)

    def render_state(self, state: DashState) -> None:
        """Lay the text out anew for the width."""
        del state  # the box asks about one moment
        body = self.query_one(Lines)
        parts = question(self._words, self._wanted, self._error, self.locale, max(body.size.width, 10))
        body.styles.height = len(parts)
        body.set_lines(parts)

    def on_input_submitted(self, event: Input.Submitted) -> None:
        """Go on if the name is right."""
        if event.value == self._wanted:
            self.dismiss(True)
            return
        self._error = f"{self.locale.pick('✖', 'x')} that is not its name: nothing was done"
        self.render_state(self.dash.state)
