"""Writes to stdout: rows as a table, JSON, JSON lines or plain columns; and values byte for byte."""

import json
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Generic

from proglog.cli.stdout import Stdout
from proglog.observe.columns import Column, Item
from proglog.observe.safe_text import cells, fit, safe_text
from proglog.observe.spans import Role

TERMINAL_WIDTH_WHEN_PIPED = 1000
END_WAIT = 1.0
"""Seconds that a program waits, once asked to end, for the reader of its output."""


class Format(StrEnum):
    """The format of items."""

    TABLE = "table"
    JSON = "json"
    JSONL = "jsonl"
    PLAIN = "plain"


@dataclass(frozen=True, slots=True, kw_only=True)
class Table(Generic[Item]):
    """What is printed of items: columns for people, an object each for programs."""

    columns: Sequence[Column[Item]]
    data: Callable[[Item], Mapping[str, Any]]
    """The item as a JSON object."""
    empty: str = ""
    """Printed when there are no items."""
    role: Callable[[Item], Role] = lambda _: Role.TEXT
    """What the line means: a colour beside the words, never instead."""


_COLOURS = {Role.GOOD: "\x1b[32m", Role.WARN: "\x1b[33m", Role.BAD: "\x1b[31m"}


def items(items: Sequence[Item], table: Table[Item], format_: Format) -> None:
    """Write items in a format."""
    match format_:
        case Format.JSON:
            line(json.dumps([dict(table.data(item)) for item in items], indent=2, ensure_ascii=True))
        case Format.JSONL:
            for item in items:
                line(json.dumps(dict(table.data(item)), ensure_ascii=True))
        case Format.PLAIN:
            for item in items:
                line("\t".join(safe_text(column.printed(item)) for column in table.columns))
        case Format.TABLE:
            as_table(items, table)
    flush()


def as_table(items: Sequence[Item], table: Table[Item]) -> None:
    """Write items under headings, as wide as the terminal allows; nothing in a cell is ever interpreted."""
    if not items:
        line(table.empty)
        return
    columns, texts = _fitted(items, list(table.columns), terminal_width())
    widths = _widths(columns, texts)
    colour = sys.stdout.isatty() and not _no_colour()
    titles = (fit(column.title, width, right=column.right) for column, width in zip(columns, widths, strict=True))
    heading = "  ".join(titles).rstrip()
    line(f"\x1b[1m{heading}\x1b[0m" if colour else heading)
    for item, cells_ in zip(items, texts, strict=True):
        parts = (
            fit(text, width, right=column.right) for text, column, width in zip(cells_, columns, widths, strict=True)
        )
        written = "  ".join(parts).rstrip()
        start = _COLOURS.get(table.role(item), "") if colour else ""
        line(f"{start}{written}\x1b[0m" if start else written)


def _fitted(
    items: Sequence[Item], columns: list[Column[Item]], room: int
) -> tuple[list[Column[Item]], list[list[str]]]:
    """Return the columns that have room, and their cells: by rank columns give way, then words become fewer."""
    texts = [[safe_text(column.printed(item), column.limit) for column in columns] for item in items]
    while _total(columns, texts) > room and any(column.rank for column in columns):
        worst = max(range(len(columns)), key=lambda index: columns[index].rank)
        del columns[worst]
        for cells_ in texts:
            del cells_[worst]
    if _total(columns, texts) > room:
        texts = [
            [safe_text((column.brief or column.printed)(item), column.limit) for column in columns] for item in items
        ]
    return columns, texts


def _widths(columns: Sequence[Column[Item]], texts: Sequence[Sequence[str]]) -> list[int]:
    return [
        max(cells(column.title), *(cells(cells_[index]) for cells_ in texts)) for index, column in enumerate(columns)
    ]


def _total(columns: Sequence[Column[Item]], texts: Sequence[Sequence[str]]) -> int:
    return sum(_widths(columns, texts)) + 2 * (len(columns) - 1)


def install() -> None:
    """Route everything that this process prints through one writer, :class:`~proglog.cli.stdout.Stdout`."""
    sys.stdout = Stdout(1, getattr(sys.stdout, "encoding", None) or "utf-8")


def line(text: str) -> None:
    """Write a line of text that this program made."""
    sys.stdout.write(text + "\n")


def flush() -> None:
    """Let what was written so far be seen."""
    sys.stdout.flush()


def flush_interrupted() -> None:
    """As :func:`flush`, but drop what is not taken within END_WAIT."""
    if isinstance(sys.stdout, Stdout):
        sys.stdout.flush_within(END_WAIT)
    else:
        sys.stdout.flush()


def values(data: bytes, *, as_is: bool) -> None:
    """Write values of records, in whatever format; :func:`flush_values` lets them be seen.

    Nothing in them reaches a terminal as a control character, unless it is to be ``as_is``.
    """
    stdout = _stdout()
    if stdout.isatty() and not as_is:
        data = "\n".join(map(safe_text, data.split(b"\n"))).encode(stdout.encoding, "backslashreplace")
    stdout.hold(data)


async def flush_values() -> None:
    """Have the kernel take what was written; keep the loop running while it cannot."""
    await _stdout().flush_async()


def values_taken() -> int:
    """Return how many bytes the kernel has taken."""
    return _stdout().taken


def values_written() -> int:
    """Return how many bytes were handed over, whether taken or not."""
    return _stdout().accepted


def _stdout() -> Stdout:
    assert isinstance(sys.stdout, Stdout), "the command line installs it"
    return sys.stdout


def is_terminal() -> bool:
    """Return whether stdout is looked at: then bytes from the log are made harmless first."""
    return sys.stdout.isatty()


def is_interactive() -> bool:
    """Return whether a dashboard has what it needs: keys from a terminal, and both outputs to one."""
    return all(stream is not None and stream.isatty() for stream in (sys.stdin, sys.stdout, sys.stderr))


def clear_screen() -> None:
    """Start a terminal's screen anew, for a table that is written again and again."""
    if is_terminal():
        sys.stdout.write("\x1b[H\x1b[2J")


def terminal_width() -> int:
    """Return the cells of a line; plenty without a terminal."""
    import shutil

    return shutil.get_terminal_size().columns if is_terminal() else TERMINAL_WIDTH_WHEN_PIPED


def _no_colour() -> bool:
    import os

    return bool(os.environ.get("NO_COLOR")) or os.environ.get("TERM") == "dumb"
