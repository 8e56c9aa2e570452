"""Tables without a terminal: columns that give way, rows that sort and filter, cells that become lines of spans."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from proglog.observe.columns import AnyRow, Cell, Column, SortValue
from proglog.observe.spans import Line, Role, Span, fit_line
from proglog.tui.needle import accepts

GAP = 2
"""Blank cells between columns."""

Columns = Sequence[Column[Any]]


def column_widths(columns: Columns, total: int) -> dict[int, int]:
    """Return the width of each column that fits into ``total`` cells, by index.

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


def _grown(columns: dict[int, Column[Any]], widths: dict[int, int], spare: int) -> dict[int, int]:
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


def render_cells(cells: Sequence[Cell], columns: Columns, widths: dict[int, int], *, role: Role | None = None) -> Line:
    """Return the cells of one row as one line; ``role`` overrides theirs."""
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
    """Return the rows that match ``needle``, sorted.

    Args:
        rows: All rows.
        needle: What a row must pass, as :mod:`proglog.tui.needle` has it. Empty: all rows.
        order: Column and direction.
    """
    found = [row for row in rows if accepts(row, needle)] if needle else list(rows)
    column = order.column
    if column is None:
        return found
    return sorted(found, key=lambda row: _sort_key(row.sort[column]), reverse=order.descending)


def _sort_key(value: SortValue | None) -> tuple[int, float, str]:
    """Return a key by which what is unknown comes first, then numbers, then texts in any case."""
    if value is None:
        return (-1, 0.0, "")
    return (1, 0.0, value.casefold()) if isinstance(value, str) else (0, float(value), "")
