"""A bar that says that there is more below, to be clicked."""

from textual import events
from textual.message import Message

from proglog.observe.spans import Role, Span
from proglog.tui.widgets.painted import Lines


class Pill(Lines):
    """Visible while it has something to say."""

    DEFAULT_CSS = """
    Pill { height: 1; margin: 0 1 0 2; background: $accent 30%; display: none; }
    """

    class Clicked(Message):
        """Somebody wants to go there."""

    def __init__(self) -> None:
        super().__init__()
        self._words = ""

    def say(self, words: str) -> None:
        """Shows ``words`` in the middle, or hides with none. Printable characters only."""
        self.display = bool(words)
        self._words = words
        self._center()

    def on_resize(self) -> None:
        """Keeps the words in the middle."""
        self._center()

    def _center(self) -> None:
        blanks = " " * (max(self.size.width - len(self._words), 0) // 2)
        self.show([(Span(blanks + self._words, Role.STRONG),)] if self._words else [])

    def on_click(self, event: events.Click) -> None:
        """Goes there."""
        event.stop()
        self.post_message(self.Clicked())
