"""Columns that carry their cells: a table is a list of them, on the dashboard and on the command line.

::

    item --value--> 1204 --words--> "1,204" --role--> cell      sorted by value, judged by the help
                                       '--> text                printed by the command line

A cell that is more than words in one role draws itself (``draw``). Rows are made of items when they are looked at: of
thousands a second, few ever are.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Generic, TypeVar

from proglog.observe.spans import Line, Locale, Role, Span, line, plain
from proglog.observe.words import count_within, count_words

Item = TypeVar("Item")
SortValue = str | float
Cell = Line | Callable[[int], Line]
"""What a cell shows; a function of the width that the column gets, for what adapts to it."""
_MAX_CELLS = 200
"""Of the words of one cell: columns are narrower."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Help:
    """What a number means: shown for the one under the cursor."""

    means: str
    """What it is."""
    judge: str = ""
    """How to tell whether its value is well."""
    act: str = ""
    """What to do when it is not."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Column(Generic[Item]):
    """One column of a table of items."""

    title: str
    value: Callable[[Item], SortValue | None]
    """What rows are sorted by, and what the cell says; ``None``: unknown."""
    words: Callable[[Any], str] = str
    """The value in words. Foreign text may come out: it is made safe where it is shown."""
    role: Role | Callable[[Item], Role] = Role.TEXT
    """What the words mean to a reader."""
    draw: Callable[[Item, Locale], Cell] | None = None
    """The cell on the dashboard, where it is more than words in a role."""
    text: Callable[[Item], str] | None = None
    """The cell on the command line, where it is not the words of the value."""
    brief: Callable[[Item], str] | None = None
    """A shorter cell for the command line, used when no column is left to drop."""
    heading: Role = Role.MUTED
    """The role of its title."""
    help: Help | None = None
    """What the dashboard explains about it."""
    width: int = 1
    """Cells it needs at least on the dashboard; the command line takes what its words need."""
    flex: int = 0
    """Its share of the room that is left over; 0: it never grows."""
    limit: int = 1_000
    """Cells it takes at most."""
    right: bool = False
    """Numbers align at their last digit."""
    rank: int = 0
    """On a narrow terminal columns with a higher rank give way first; 0 stays."""

    def cell(self, item: Item, locale: Locale) -> Cell:
        """Return the cell of an item on the dashboard."""
        if self.draw is not None:
            return self.draw(item, locale)
        value = self.value(item)
        if value is None:
            return unknown(locale)
        role = self.role if isinstance(self.role, Role) else self.role(item)
        if self.words is count_words and isinstance(value, int):
            return lambda width: line(Span(count_within(value, width), role))
        return line(locale.safe(self.words(value), _MAX_CELLS, role=role))

    def printed(self, item: Item) -> str:
        """Return the cell of an item on the command line. Foreign text may be in it."""
        if self.text is not None:
            return self.text(item)
        value = self.value(item)
        return "-" if value is None else self.words(value)


def unknown(locale: Locale) -> Line:
    """Return the cell of what is not known."""
    return line(Span(locale.pick("·", "-"), Role.MUTED))


@dataclass(kw_only=True, eq=False)
class Row(Generic[Item]):
    """One row: an item under columns. Its cells are drawn when they are looked at, once."""

    key: str
    """Its identity from one snapshot to the next: the cursor follows it. Never shown."""
    item: Item
    columns: Sequence[Column[Item]]
    locale: Locale
    name: str = ""
    """What is copied for it: a member's name, an offset. Foreign text. Empty: its key."""
    source: object = None
    """The value that it shows, for copying as JSON and for drill-down."""

    @cached_property
    def cells(self) -> tuple[Cell, ...]:
        """A cell for each column."""
        return tuple(column.cell(self.item, self.locale) for column in self.columns)

    @cached_property
    def sort(self) -> tuple[SortValue | None, ...]:
        """A value for each column, to sort by."""
        return tuple(column.value(self.item) for column in self.columns)

    @cached_property
    def text(self) -> str:
        """What a filter searches."""
        return _text(self.cells)


@dataclass(kw_only=True, eq=False)
class FixedRow:
    """A row of given cells, for a source that no item could be read from."""

    key: str
    cells: tuple[Cell, ...]
    sort: tuple[SortValue | None, ...]
    name: str = ""
    source: object = None

    @cached_property
    def text(self) -> str:
        """What a filter searches."""
        return _text(self.cells)


AnyRow = Row[Any] | FixedRow


def _text(cells: Sequence[Cell]) -> str:
    return " ".join(plain(cell(_MAX_CELLS) if callable(cell) else cell) for cell in cells).casefold()
