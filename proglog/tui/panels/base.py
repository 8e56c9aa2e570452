"""What every panel of the main screen does: render its part of the state, and say what it holds."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import ClassVar, cast

from textual.widget import Widget

from proglog.observe.columns import AnyRow
from proglog.observe.frame import Frame
from proglog.observe.safe_text import safe_text
from proglog.observe.spans import Locale
from proglog.tui.dash import Dash
from proglog.tui.state import DashState
from proglog.tui.table import Columns
from proglog.tui.widgets.live_table import Edge, LiveTable
from proglog.tui.widgets.panel import Hints, Panel
from proglog.wire.model import ClusterSnapshot


@dataclass(frozen=True, slots=True, kw_only=True)
class Layout:
    """How the main screen is laid out now."""

    width: int
    """Cells of a line of the screen."""
    wide: bool
    """Whether there is room for two columns of panels."""
    zoomed: bool
    """Whether one panel has the whole screen."""
    plot_seconds: int
    """Time that the plots of a zoomed panel cover."""


class DashPanel(Panel):
    """One panel of the main screen."""

    KEY: ClassVar[str]
    """Its name in ids of bindings and widgets; its title, capitalized."""
    ABOUT: ClassVar[tuple[str, ...]]
    """What the help says about the whole panel."""
    KEYS: ClassVar[tuple[tuple[str, str, str], ...]] = ()
    """What its frame offers: id of a binding of the main screen or of tables, a word, the action."""

    def __init__(self, number: int, *content: Widget) -> None:
        super().__init__(*content, number=number, title=self.KEY.capitalize(), name=self.KEY)

    @property
    def dash(self) -> Dash:
        """The application."""
        return cast("Dash", self.app)

    @property
    def locale(self) -> Locale:
        """How this terminal is drawn on."""
        return self.dash.locale

    @cached_property
    def hints(self) -> Hints:
        """The keys in its frame."""
        owner = type(self.screen)
        return tuple(
            (
                self.dash.key_of(LiveTable if name.startswith("table.") else owner, name),
                word,
                f"screen.hint('{self.KEY}', '{action}')",
            )
            for name, word, action in self.KEYS
        )

    @property
    def table(self) -> LiveTable | None:
        """The table in it, which can be filtered and copied from; ``None``: it has none."""
        return None

    @property
    def row(self) -> AnyRow | None:
        """The row under the cursor."""
        return self.table.row if self.table is not None else None

    def render_state(self, state: DashState, layout: Layout) -> None:
        """Bring the panel up to date."""
        raise NotImplementedError


class TablePanel(DashPanel):
    """A panel around a table, with a caption about its rows."""

    COLUMNS: ClassVar[Columns]
    EMPTY: ClassVar[str]
    """What the table says without rows."""
    STICKY: ClassVar[Edge | None] = None
    """Edge at which the cursor stays when rows come."""

    def __init__(self, number: int) -> None:
        self._table = LiveTable(self.COLUMNS, empty=self.EMPTY, sticky=self.STICKY, id=self.KEY)
        self._summary: tuple[Frame | None, str] = (None, "")
        super().__init__(number, *self.contents())

    @property
    def table(self) -> LiveTable:
        """The table in it."""
        return self._table

    def contents(self) -> tuple[Widget, ...]:
        """Return the widgets in the panel, from the top."""
        return (self._table,)

    def rows(self, state: DashState) -> Sequence[AnyRow]:
        """Return the rows of the table."""
        raise NotImplementedError

    def summarize(self, snapshot: ClusterSnapshot) -> str:
        """Return the panel's summary in a line."""
        del snapshot
        return ""

    def render_state(self, state: DashState, layout: Layout) -> None:
        """Bring table and caption up to date."""
        del layout
        self._table.set_rows(self.rows(state))
        self.render_caption(self.summary(state), *self.notes())

    def summary(self, state: DashState) -> str:
        """Return the panel's summary, computed once a second: a new one repaints the whole panel."""
        frame = state.frames[-1 if state.frame_index is None else state.frame_index] if state.frames else None
        known, summary = self._summary
        if state.shown is not None and frame is not known:
            summary = self.summarize(state.shown)
            self._summary = (frame, summary)
        return summary if state.shown is not None else ""

    def notes(self) -> tuple[str, ...]:
        """Return what stands beside the title."""
        return ()

    def render_caption(self, summary: str, *notes: str) -> None:
        """Show a summary, the filter and the position in the panel's edges."""
        table, ascii_only = self._table, self.locale.ascii_only
        if table.needle:
            notes = (*notes, f"/{safe_text(table.needle, 20, ascii_only=ascii_only)}")
        summary = table.needle_problem or summary
        parts = [summary] if summary else []
        if table.overflows or table.needle:
            parts.append(table.position)
        edge = self.outer_size.width - 6  # what Textual itself cuts ends in no ASCII
        self.caption(
            safe_text(", ".join(parts), max(edge, 1), ascii_only=ascii_only), note=" ".join(notes), hints=self.hints
        )
