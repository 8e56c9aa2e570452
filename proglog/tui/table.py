"""Tables without a terminal: columns that give way, rows that sort and filter, cells that are lines of spans."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property

from proglog.tui.spans import Line, Role, Span, fit_line, plain

GAP = 2
"""Blank cells between columns."""

SortValue = str | float
Cell = Line | Callable[[int], Line]
"""What a cell shows; a function of the width that the column gets, for charts."""


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
class Column:
    """One column."""

    title: str
    width: int
    """Cells it needs at least."""
    flex: int = 0
    """Its share of the room that is left over; 0: it never grows."""
    right: bool = False
    """Numbers align at their last digit."""
    rank: int = 0
    """Columns with a higher rank give way first; 0 stays."""
    limit: int = 1_000
    """Cells it takes at most."""
    help: Help | None = None
    """What the help says about it."""


@dataclass(frozen=True, kw_only=True)
class Row:
    """One row: a cell and a sort value for each column."""

    key: str
    """Its identity from one snapshot to the next: the cursor follows it. Never shown."""
    cells: tuple[Cell, ...]
    sort: tuple[SortValue, ...]
    name: str = ""
    """What is copied for it: a member's name, an offset. Foreign text. Empty: its key."""
    source: object = None
    """The value that it shows, for copying as JSON and for drill-down."""

    @cached_property
    def text(self) -> str:
        """What a filter looks at."""
        return " ".join(plain(cell) for cell in self.cells if not callable(cell)).casefold()


@dataclass(kw_only=True, eq=False)
class LazyRow:
    """A row that is made when somebody looks at it: of thousands a second, few are ever seen.

    Not frozen, since that would take most of the time that it takes to make one. Nobody changes it.
    """

    key: str
    make: Callable[[], Row]
    """Makes the row; called once."""
    source: object = None

    @cached_property
    def made(self) -> Row:
        """The row."""
        return self.make()

    @property
    def cells(self) -> tuple[Cell, ...]:
        """As of the row."""
        return self.made.cells

    @property
    def sort(self) -> tuple[SortValue, ...]:
        """As of the row."""
        return self.made.sort

    @property
    def text(self) -> str:
        """As of the row."""
        return self.made.text

    @property
    def name(self) -> str:
        """As of the row."""
        return self.made.name


AnyRow = Row | LazyRow


def column_widths(columns: Sequence[Column], total: int) -> dict[int, int]:
    """Returns the width of each column that fits into ``total`` cells, by index.

    Columns are dropped by rank until the rest fits; what is left over goes to the flexible ones. The columns of
    rank 0 are kept even where they do not fit; the first of them is cut then.
    """
    kept = dict(enumerate(columns))
    while sum(column.width + GAP for column in kept.values()) - GAP > total:
        worst = max(kept, key=lambda index: (kept[index].rank, index))
        if kept[worst].rank == 0:
            break
        del kept[worst]
    widths = {index: column.width for index, column in kept.items()}
    spare = total - sum(widths.values()) - GAP * (len(widths) - 1)
    return _grown(kept, widths, spare) if spare >= 0 else _cut(widths, -spare)


def _grown(columns: dict[int, Column], widths: dict[int, int], spare: int) -> dict[int, int]:
    flexible = sorted((index for index in widths if columns[index].flex), key=lambda index: columns[index].limit)
    for place, index in enumerate(flexible):
        shares = sum(columns[other].flex for other in flexible[place:])
        extra = min(spare * columns[index].flex // shares, max(columns[index].limit - widths[index], 0))
        widths[index] += extra
        spare -= extra
    return widths


def _cut(widths: dict[int, int], missing: int) -> dict[int, int]:
    for index, width in widths.items():
        taken = min(missing, width - 1)
        widths[index] = width - taken
        missing -= taken
    return widths


def render_cells(
    cells: Sequence[Cell], columns: Sequence[Column], widths: dict[int, int], *, role: Role | None = None
) -> Line:
    """Returns the cells of one row as one line; ``role`` overrides theirs."""
    spans: list[Span] = []
    for index, width in widths.items():
        if spans:
            spans.append(Span(" " * GAP))
        cell = cells[index]
        spans.extend(fit_line(cell(width) if callable(cell) else cell, width, right=columns[index].right))
    return tuple(Span(span.text, role) for span in spans) if role else tuple(spans)


@dataclass(frozen=True, slots=True)
class Order:
    """What a table is sorted by."""

    column: int | None = None
    """``None``: the order in which the rows came."""
    descending: bool = False


def arranged(rows: Sequence[AnyRow], needle: str, order: Order) -> list[AnyRow]:
    """Returns the rows that match ``needle``, sorted.

    Args:
        rows: All rows.
        needle: Text that a row must contain, in any case; after ``!`` it must not. Empty: all rows.
        order: Column and direction.
    """
    found = [row for row in rows if matches(row.text, needle)] if needle else list(rows)
    column = order.column
    if column is None:
        return found
    return sorted(found, key=lambda row: _sort_key(row.sort[column]), reverse=order.descending)


def matches(text: str, needle: str) -> bool:
    """Returns whether ``text`` (casefolded) passes the filter."""
    wanted = needle.strip().casefold()
    if wanted.startswith("!"):
        return not wanted[1:] or wanted[1:] not in text
    return wanted in text


def _sort_key(value: SortValue) -> tuple[int, float, str]:
    return (1, 0.0, value.casefold()) if isinstance(value, str) else (0, float(value), "")
