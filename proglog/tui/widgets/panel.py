"""A framed part of a screen, with a title, a one-line summary and, on the main screen, a number to jump to it."""

from textual.app import ComposeResult
from textual.containers import Container
from textual.content import Content
from textual.widget import Widget


class Panel(Container):
    """A frame around one widget."""

    DEFAULT_CSS = """
    Panel {
        border: round $foreground 25%;
        border-title-color: $foreground 70%;
        border-subtitle-color: $foreground 55%;
        padding: 0 1 0 0;
        &.-warn { border: round $warning 60%; border-title-color: $warning; }
        &.-bad { border: round $error 70%; border-title-color: $error; }
        &:focus-within {
            border: round $accent;
            border-title-color: $accent;
            border-title-style: bold;
        }
    }
    """

    def __init__(self, *content: Widget, number: int | None, title: str, name: str) -> None:
        super().__init__(id=f"panel-{name}")
        self._content = content
        self._title = title if number is None else f"{number} {title}"
        self._shown = ("", "")
        self.border_title = Content(self._title)

    def compose(self) -> ComposeResult:
        """Put the content into the frame."""
        yield from self._content

    def caption(self, summary: str, *, note: str = "") -> None:
        """Show a summary in the lower edge and a note beside the title. May be foreign text, made safe before."""
        shown_summary, shown_note = self._shown
        self._shown = (summary, note)
        if note != shown_note:  # each of the two paints the whole panel again
            self.border_title = Content(f"{self._title} {note}".rstrip())
        if summary != shown_summary:
            self.border_subtitle = Content(summary)
