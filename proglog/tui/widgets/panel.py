"""A framed part of a screen, with a title, a one-line summary and, on the main screen, a number to jump to it."""

from collections.abc import Iterator

from textual.app import ComposeResult
from textual.containers import Container
from textual.content import Content
from textual.style import Style
from textual.widget import Widget

from proglog.observe.safe_text import cells

Hints = tuple[tuple[str, str, str], ...]
"""Keys as readers see them, a word for what each does, and the action that a click runs."""


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
        self._shown: tuple[str, str, Hints] = ("", "", ())
        self.border_title = Content(self._title)

    def compose(self) -> ComposeResult:
        """Put the content into the frame."""
        yield from self._content

    def caption(self, summary: str, *, note: str = "", hints: Hints = ()) -> None:
        """Show a summary in the lower edge, and beside the title a note and keys that a click presses, as far as they fit.

        Summary and note may be foreign text, made safe before.
        """
        shown_summary, shown_note, shown_hints = self._shown
        self._shown = (summary, note, hints)
        if (note, hints) != (shown_note, shown_hints):  # each of the two paints the whole panel again
            title = f"{self._title} {note}".rstrip()
            room = self.outer_size.width - 6 - cells(title)
            self.border_title = Content.assemble(title, *self._keys(hints, room))
        if summary != shown_summary:
            self.border_subtitle = Content(summary)

    @staticmethod
    def _keys(hints: Hints, room: int) -> Iterator[Content | str]:
        for key, word, action in hints:
            room -= len(key) + len(word) + 3
            if room < 0:
                return
            press = Style.from_meta({"@click": action})
            yield "  "
            yield Content.assemble((key, "bold $accent"), f" {word}").stylize(press)
