"""A box that asks for a name to be typed before something is done that cannot be taken back."""

from collections.abc import Sequence
from typing import ClassVar

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Container
from textual.content import Content
from textual.widgets import Input

from proglog.observe.spans import Line, Role, Span, line, wrap
from proglog.tui.screens.base import DashModal
from proglog.tui.state import DashState
from proglog.tui.widgets.painted import Lines


class Confirm(DashModal[bool]):
    """Ends with True when the name was typed exactly, with False when it was left."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape", "dismiss(False)", "Cancel", id="confirm.cancel", tooltip="Leave everything as it is")
    ]

    def __init__(self, title: str, words: Sequence[str], name: str) -> None:
        """Prepares the box.

        Args:
            title: What is to be done.
            words: What comes of it. Foreign text only if made safe before.
            name: What has to be typed. Foreign text.
        """
        super().__init__()
        self._title = title
        self._words = words
        self._wanted = name
        self._trouble = ""

    def compose(self) -> ComposeResult:
        """Builds the box."""
        with Container(id="confirm") as box:
            box.border_title = Content(self._title)
            box.border_subtitle = Content(f"enter: go, {self.dash.key_of(Confirm, 'confirm.cancel')}: cancel")
            yield Lines()
            yield Input(id="name", compact=True)

    def render_state(self, state: DashState) -> None:
        """Lays the text out anew for the width."""
        del state  # the box asks about one moment
        body = self.query_one(Lines)
        told = self._lines(max(body.size.width, 10))
        body.styles.height = len(told)
        body.show(told)

    def _lines(self, width: int) -> list[Line]:
        told = [part for words in self._words for part in wrap(line(words), width)]
        asked = line("Type its name, ", self.locale.safe(self._wanted, 80, role=Role.STRONG), ", to go on:")
        trouble = wrap(line(Span(self._trouble, Role.BAD)), width) if self._trouble else []
        return [*told, (), *wrap(asked, width), *trouble]

    def on_input_submitted(self, event: Input.Submitted) -> None:
        """Goes on if the name is right."""
        if event.value == self._wanted:
            self.dismiss(True)
            return
        self._trouble = f"{self.locale.pick('✖', 'x')} that is not its name: nothing was done"
        self.render_state(self.dash.state)
