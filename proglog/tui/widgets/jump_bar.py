"""A bar that announces rows below the view, and goes there when it is clicked."""

from textual import events
from textual.message import Message

from proglog.observe.spans import Role, Span
from proglog.tui.widgets.lines import Lines


class JumpBar(Lines):
    """Visible while it has a text."""

    DEFAULT_CSS = """
    JumpBar { height: 1; margin: 0 1 0 2; background: $accent 30%; display: none; }
    """

    class Clicked(Message):
        """The bar was clicked."""

    def __init__(self) -> None:
        super().__init__()
        self._words = ""

    def set_text(self, words: str) -> None:
        """Show ``words`` in the middle, or hides with none. Printable characters only."""
        self.display = bool(words)
        self._words = words
        self._center()

    def on_resize(self) -> None:
        """Keep the words in the middle."""
        self._center()

    def _center(self) -> None:
        blanks = " " * (max(self.size.width - len(self._words), 0) // 2)
        self.set_lines([(Span(blanks + self._words, Role.STRONG),)] if self._words else [])

    def on_click(self, event: events.Click) -> None:
        """Report the click."""
        event.stop()
        self.post_message(self.Clicked())
