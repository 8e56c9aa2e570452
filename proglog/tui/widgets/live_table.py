"""A table of live rows: the cursor stays on its row while rows come, go and move.

Built on the line API instead of a grid of cells: only the rows in view are rendered, only the lines that changed are
painted again, and columns give way when the terminal is narrow.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

from textual import events
from textual.binding import Binding, BindingType
from textual.geometry import Region
from textual.message import Message
from textual.strip import Strip

from proglog.observe.columns import AnyRow, Column
from proglog.observe.spans import Line, Role, Span, plain
from proglog.record.record import StoredRecord
from proglog.tui.needle import marked, needle_of
from proglog.tui.table import GAP, Columns, Order, arranged, column_widths, render_cells
from proglog.tui.widgets.lines import SpanWidget

Edge = Literal["first", "last"]

_MARK_WIDTH = 2
_CELL_WIDTH = 60
"""Cells that the text under the cursor is made for, where it follows the width."""


class LiveTable(SpanWidget, can_focus=True):
    """Rows under a heading, with cursor, sorting and filter."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("up,k", "move(-1)", "Up", show=False, id="table.up"),
        Binding("down,j", "move(1)", "Down", show=False, id="table.down"),
        Binding(
            "h", "column(-1)", "Column left", show=False, id="table.left", tooltip="The column before: ? explains it"
        ),
        Binding(
            "l", "column(1)", "Column right", show=False, id="table.right", tooltip="The next column: ? explains it"
        ),
        Binding("ctrl+u", "half(-1)", "Half a page up", show=False, id="table.half-up"),
        Binding("ctrl+d", "half(1)", "Half a page down", show=False, id="table.half-down"),
        Binding("pageup", "half(-2)", "Page up", show=False, id="table.page-up"),
        Binding("pagedown", "half(2)", "Page down", show=False, id="table.page-down"),
        Binding("home,g", "edge(0)", "First row", show=False, id="table.first"),
        Binding("end,G", "edge(-1)", "Last row", show=False, id="table.last"),
        Binding("enter", "open", "Open", key_display="enter", id="table.open"),
        Binding("s", "sort", "Sort", id="table.sort", tooltip="Sort by the next column"),
        Binding("S", "reverse", "Reverse", show=False, id="table.reverse", tooltip="Reverse the order"),
    ]

    @dataclass
    class Opened(Message):
        """The row under the cursor was opened."""

        table: "LiveTable"
        row: AnyRow

    @dataclass
    class Arranged(Message):
        """What is in view changed: how many rows, filter, order or cursor."""

        table: "LiveTable"

    def __init__(
        self,
        columns: Columns,
        *,
        empty: str,
        sticky: Edge | None = None,
        id: str | None = None,  # noqa: A002  Textual's own name
    ) -> None:
        """Prepare a table.

        Args:
            columns: What it shows of a row.
            empty: What it says without rows.
            sticky: A cursor at this edge stays there when rows come; elsewhere it stays on its row.
            id: Textual's.
        """
        super().__init__(id=id)
        self._sticky = sticky
        self._columns = tuple(columns)
        self._empty = empty
        self._rows: list[AnyRow] = []
        self._arranged: list[AnyRow] = []
        self._order = Order()
        self._needle = ""
        self._chosen: set[str] = set()
        self._labels: dict[str, str] = {}
        self._cursor = 0
        self._cursor_key = ""
        self._at_column = 0
        self._top = 0
        self._painted: list[tuple[bool, Line]] = []
        self._told: tuple[str, int, bool, str] | None = None

    @property
    def row(self) -> AnyRow | None:
        """The row under the cursor."""
        return self._arranged[self._cursor] if self._cursor < len(self._arranged) else None

    @property
    def cursor(self) -> int:
        """Which row the cursor is on, from 0."""
        return self._cursor

    @property
    def columns(self) -> tuple[Column[Any], ...]:
        """What it shows of a row, as far as there is room."""
        return tuple(self._columns[index] for index in self._in_view())

    @property
    def column(self) -> int:
        """Which of :attr:`columns` the cursor is in."""
        return min(self._at_column, len(self._in_view()) - 1)

    @property
    def cell(self) -> str:
        """The text under the cursor; empty when that is a picture, or nothing."""
        if self.row is None:
            return ""
        shown = self.row.cells[self._in_view()[self.column]]
        text = plain(shown(_CELL_WIDTH) if callable(shown) else shown)
        return text if any(map(str.isalnum, text)) else ""

    def _in_view(self) -> list[int]:
        return list(column_widths(self._columns, self.size.width - _MARK_WIDTH))

    @property
    def below(self) -> int:
        """How many rows there are below the view."""
        return max(len(self._arranged) - self._top - self._body_height, 0)

    @property
    def needle(self) -> str:
        """The filter; empty: none."""
        return self._needle

    @property
    def needle_problem(self) -> str:
        """What is wrong with the filter; empty: nothing."""
        return needle_of(self._rows[0], self._needle).problem if self._needle and self._rows else ""

    @property
    def position(self) -> str:
        """Where the cursor is: ``3/12``, with filter and order when they are in use."""
        words = f"{min(self._cursor + 1, len(self._arranged))}/{len(self._arranged)}"
        if self._order.column is not None:
            words += f" by {self._columns[self._order.column].title.lower() or 'size'}"
        return words

    @property
    def overflows(self) -> bool:
        """Whether there are rows out of view."""
        return len(self._arranged) > self._body_height

    def set_rows(self, rows: Sequence[AnyRow], columns: Columns | None = None) -> None:
        """Show ``rows``; the cursor stays on the row that it was on.

        Args:
            rows: All rows.
            columns: New columns; ``None``: as before.
        """
        if columns is not None and tuple(columns) != self._columns:
            self._columns = tuple(columns)
            self._order = Order()
        self._rows = list(rows)
        self._arrange()

    def choose(self, wanted: Callable[[AnyRow], bool]) -> bool:
        """Move the cursor to the first row that is wanted; return whether there is one."""
        place = next((index for index, row in enumerate(self._arranged) if wanted(row)), None)
        if place is not None:
            self._move_to(place)
        return place is not None

    @property
    def keys_in_view(self) -> list[str]:
        """The keys of the rows in view."""
        return [row.key for row in self._arranged[self._top : self._top + self._body_height]]

    def label(self, labels: dict[str, str]) -> None:
        """Show a letter before rows, by their keys."""
        self._labels = labels
        self._repaint()

    def stick(self, edge: Edge | None) -> None:
        """Change where the cursor stays, as ``sticky`` when the table was made."""
        self._sticky = edge

    def filter(self, needle: str) -> None:
        """Show only the rows that match ``needle``."""
        self._needle = needle
        self._arrange()

    def _arrange(self) -> None:
        at_first, at_last = self._cursor == 0, self._cursor >= len(self._arranged) - 1
        self._arranged = arranged(self._rows, self._needle, self._order)
        if self._sticky == "last" and at_last:
            self._move_to(len(self._arranged) - 1)
        elif self._sticky == "first" and at_first:
            self._move_to(0)
        else:
            self._move_to(self._same_row())

    def _same_row(self) -> int:
        """Return where the row under the cursor is now; where it was, if it is gone."""
        keys = (index for index, row in enumerate(self._arranged) if row.key == self._cursor_key)
        return next(keys, self._cursor)

    def _move_to(self, cursor: int) -> None:
        self._cursor = min(max(cursor, 0), max(len(self._arranged) - 1, 0))
        if self.row is not None:
            self._cursor_key = self.row.key
        height = max(self._body_height, 1)
        self._top = min(max(self._top, self._cursor - height + 1), self._cursor)
        self._top = max(min(self._top, len(self._arranged) - height), 0)
        self._repaint()
        arranged_as = (self.position, self.below, self.overflows, self._needle)
        if arranged_as != self._told:
            self._told = arranged_as
            self.post_message(self.Arranged(self))

    @property
    def _body_height(self) -> int:
        return max(self.size.height - 1, 0)

    def _repaint(self) -> None:
        """Mark the lines dirty whose content changed."""
        content = [self._content(y) for y in range(self.size.height)]
        if len(content) != len(self._painted):
            self.refresh()
        else:
            dirty = [y for y, (new, old) in enumerate(zip(content, self._painted, strict=True)) if new != old]
            if dirty:
                self.refresh(*(Region(0, y, self.size.width, 1) for y in dirty))
        self._painted = content

    def _content(self, y: int) -> tuple[bool, Line]:
        """Return whether the cursor is on the line ``y`` of the view, and its spans."""
        width = self.size.width - _MARK_WIDTH
        widths = column_widths(self._columns, width)
        if y == 0:
            return False, (Span(" " * _MARK_WIDTH), *self._heading(widths))
        index = self._top + y - 1
        if index >= len(self._arranged):
            hint = f"  {self._hint()}" if y == 1 and not self._arranged else ""
            return False, (Span(hint, Role.MUTED),)
        mark = Span(self._mark(index), Role.ACCENT)
        row = self._arranged[index]
        cells = render_cells(row.cells, self._columns, widths)
        if self._needle:
            cells = marked(cells, self._needle, of_records=isinstance(row.source, StoredRecord))
        return index == self._cursor, (mark, *cells)

    def _hint(self) -> str:
        return "no row matches the filter" if self._rows else self._empty

    def _mark(self, index: int) -> str:
        if label := self._labels.get(self._arranged[index].key):
            return label.ljust(_MARK_WIDTH)
        on_cursor = index == self._cursor and self.has_focus
        cursor = (">" if self.ascii_only else "▎") if on_cursor else " "
        chosen = self._arranged[index].key in self._chosen
        return (cursor + (("*" if self.ascii_only else "▪") if chosen else " ")).ljust(_MARK_WIDTH)

    @property
    def chosen(self) -> list[AnyRow]:
        """The rows that were marked, in their order; those that are gone are not among them."""
        return [row for row in self._rows if row.key in self._chosen]

    @property
    def shown(self) -> Sequence[AnyRow]:
        """The rows that pass the filter, in their order."""
        return self._arranged

    def toggle_chosen(self) -> None:
        """Mark the row under the cursor, or take its mark away, and go to the next."""
        if self.row is not None:
            self._chosen ^= {self.row.key}
            self._move_to(self._cursor + 1)
            self.refresh()

    def clear_chosen(self) -> None:
        """Take all marks away."""
        self._chosen.clear()
        self.refresh()

    def _heading(self, widths: dict[int, int]) -> Line:
        arrow = ("v" if self._order.descending else "^") if self.ascii_only else "▴▾"[self._order.descending]
        at = list(widths)[min(self._at_column, len(widths) - 1)] if self.has_focus else None
        titles = [
            (
                Span(
                    column.title + (arrow if index == self._order.column else ""),
                    Role.LOCAL if index == at else column.heading,
                ),
            )
            for index, column in enumerate(self._columns)
        ]
        return render_cells(titles, self._columns, widths)

    def render_line(self, y: int) -> Strip:
        """Return one line of the table."""
        on_cursor, spans = self._content(y)
        under = ("role--cursor" if self.has_focus else None) if on_cursor else None
        return self.paint(spans, self.size.width, under=under)

    def action_move(self, rows: int) -> None:
        """Move the cursor."""
        self._move_to(self._cursor + rows)

    def action_column(self, columns: int) -> None:
        """Move the cursor to another column."""
        self._at_column = min(max(self.column + columns, 0), len(self._in_view()) - 1)
        self._repaint()

    def action_half(self, pages: int) -> None:
        """Move the cursor by half pages."""
        self._move_to(self._cursor + pages * max(self._body_height // 2, 1))

    def action_edge(self, index: int) -> None:
        """Move the cursor to the first (0) or the last (-1) row."""
        self._move_to(index % max(len(self._arranged), 1))

    def action_open(self) -> None:
        """Open the row under the cursor."""
        if self.row is not None:
            self.post_message(self.Opened(self, self.row))

    def action_sort(self) -> None:
        """Sort by the next column in view; after the last one, not at all."""
        shown = list(column_widths(self._columns, self.size.width - _MARK_WIDTH))
        following = shown if self._order.column not in shown else shown[shown.index(self._order.column) + 1 :]
        self._order = Order(following[0] if following else None, descending=self._order.descending)
        self._arrange()

    def action_reverse(self) -> None:
        """Reverse the order."""
        column = 0 if self._order.column is None else self._order.column
        self._order = Order(column, descending=not self._order.descending)
        self._arrange()

    def on_resize(self) -> None:
        """Keep the cursor in view."""
        self._move_to(self._cursor)

    def on_focus(self) -> None:
        """Show the cursor."""
        self._repaint()
        self.refresh()

    def on_blur(self) -> None:
        """Hide the cursor."""
        self._repaint()
        self.refresh()

    def on_mouse_scroll_down(self, event: events.MouseScrollDown) -> None:
        """Move the cursor down."""
        event.stop()
        self.action_move(1)

    def on_mouse_scroll_up(self, event: events.MouseScrollUp) -> None:
        """Move the cursor up."""
        event.stop()
        self.action_move(-1)

    def on_click(self, event: events.Click) -> None:
        """Move the cursor to a row, open the row it is on, or sort by the heading."""
        offset = event.get_content_offset(self)
        if offset is None:
            return
        column = self._column_at(offset.x)
        if column is not None:
            self._at_column = self._in_view().index(column)
        if offset.y == 0:
            self._sort_by(column)
        elif self._top + offset.y - 1 < len(self._arranged):
            if event.chain > 1:
                self.action_open()
            self._move_to(self._top + offset.y - 1)

    def _sort_by(self, column: int | None) -> None:
        if column is not None:
            self._order = Order(column, descending=self._order.column == column and not self._order.descending)
            self._arrange()

    def _column_at(self, x: int) -> int | None:
        edge = _MARK_WIDTH
        for index, width in column_widths(self._columns, self.size.width - _MARK_WIDTH).items():
            edge += width + GAP
            if x < edge:
                return index
        return None
