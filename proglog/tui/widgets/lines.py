"""The base of every widget that shows spans: roles become the styles of the current theme, and nothing else does.

Lines go to the screen through Textual's line API as segments, so no text is ever parsed as markup; control characters
were replaced where the text came in (:mod:`proglog.observe.spans`).
"""

from collections.abc import Sequence
from typing import ClassVar

from rich.segment import Segment
from rich.style import Style
from textual.strip import Strip
from textual.widget import Widget

from proglog.observe.spans import Line, Role, Span, fit_line


class SpanWidget(Widget):
    """A widget that paints lines of spans."""

    COMPONENT_CLASSES: ClassVar[set[str]] = {
        *(f"role--{role}" for role in Role),
        "role--heading",
        "role--cursor",
        "role--cursor-idle",
    }
    DEFAULT_CSS = """
    SpanWidget {
        & .role--text { color: $foreground; }
        & .role--muted { color: $foreground 72%; }
        & .role--strong { color: $foreground; text-style: bold; }
        & .role--good { color: $success; }
        & .role--warn { color: $warning; }
        & .role--bad { color: $error; text-style: bold; }
        & .role--accent { color: $accent; }
        & .role--local { color: $accent; text-style: bold; }
        & .role--chart { color: $primary; }
        & .role--match { color: $warning; text-style: bold underline; }
        & .role--member-1 { color: $member-1; text-style: bold; }
        & .role--member-2 { color: $member-2; text-style: bold; }
        & .role--member-3 { color: $member-3; text-style: bold; }
        & .role--member-4 { color: $member-4; text-style: bold; }
        & .role--member-5 { color: $member-5; text-style: bold; }
        & .role--member-6 { color: $member-6; text-style: bold; }
        & .role--member-7 { color: $member-7; text-style: bold; }
        & .role--member-8 { color: $member-8; text-style: bold; }
        & .role--heading { color: $foreground 72%; text-style: bold; }
        & .role--cursor { background: $primary 16%; text-style: bold; }
        & .role--cursor-idle { background: $foreground 8%; }
    }
    """

    def __init__(self, *, id: str | None = None, classes: str | None = None) -> None:  # noqa: A002  Textual's own name
        self._styles: dict[tuple[Role, str | None], Style] = {}
        super().__init__(id=id, classes=classes)

    @property
    def ascii_only(self) -> bool:
        """Whether the terminal shows ASCII alone."""
        return self.app.has_class("-ascii")

    def paint(self, spans: Sequence[Span], width: int, *, under: str | None = None) -> Strip:
        """Return ``spans`` as a strip of ``width`` cells, over the background of the component class ``under``."""
        fitted = fit_line(spans, width)
        if self.ascii_only:
            fitted = tuple(Span(text.replace("…", "~"), role) for text, role in fitted)
        return Strip([Segment(text, self._style(role, under)) for text, role in fitted], width)

    def _style(self, role: Role, under: str | None) -> Style:
        """Return the style of a role over a background: the same ones for every line, until the theme changes."""
        style = self._styles.get((role, under))
        if style is None:
            style = self._styles[role, under] = self.role_style(role) + self._background(under)
        return style

    def notify_style_update(self) -> None:
        """Forget the styles that were: the theme changed, or what is shown grew old."""
        self._styles.clear()
        super().notify_style_update()

    def role_style(self, role: Role) -> Style:
        """Return the style of a role in the current theme."""
        style = self.get_component_rich_style(f"role--{role}")  # colours with an alpha are blended by now
        return Style(color=style.color, bold=style.bold, underline=style.underline)

    def _background(self, component: str | None) -> Style:
        if component is None:
            return self.rich_style.background_style
        return self.get_component_rich_style(component).background_style


class Lines(SpanWidget):
    """A block of lines, replaced as a whole; only the lines that changed are painted again."""

    def __init__(self, *, id: str | None = None, classes: str | None = None) -> None:  # noqa: A002  Textual's own name
        super().__init__(id=id, classes=classes)
        self._shown: tuple[Line, ...] = ()

    def set_lines(self, lines: Sequence[Line]) -> None:
        """Show ``lines``."""
        new = tuple(lines)
        if new != self._shown:
            self._shown = new
            self.refresh()

    def render_line(self, y: int) -> Strip:
        """Return one line of the widget."""
        width = self.size.width
        return self.paint(self._shown[y] if y < len(self._shown) else (), width)
