"""The only writer to stdout: rows as a table, JSON, JSON lines or plain columns; and values byte for byte."""

import json
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from proglog.observe.safe_text import cells, fit, safe_text

TERMINAL_WIDTH_WHEN_PIPED = 1000


class ReaderGoneError(Exception):
    """Whoever read stdout has read enough. Not an ``OSError``: Typer would end those with code 1."""


class Format(StrEnum):
    """How rows are written."""

    TABLE = "table"
    JSON = "json"
    JSONL = "jsonl"
    PLAIN = "plain"


@dataclass(frozen=True, slots=True)
class Column:
    """A column: the key of its value in JSON, its heading, and how it stands."""

    key: str
    heading: str
    right: bool = False
    max_cells: int = 40
    drop: int = 0
    """On a narrow terminal columns go, the highest first; 0 never goes."""
    shorter: str = ""
    """Key of a cell in fewer words, which takes its place when no column is left to go; empty: there is none."""


@dataclass(frozen=True, slots=True)
class Row:
    """One row: what people read, and what programs read."""

    cells: Mapping[str, str]
    data: Mapping[str, Any]
    style: str = ""
    """``good``, ``warn``, ``bad`` or empty: colour beside the words, never instead."""


_STYLES = {"good": "\x1b[32m", "warn": "\x1b[33m", "bad": "\x1b[31m"}


def rows(rows: Sequence[Row], columns: Sequence[Column], format_: Format, *, empty: str = "") -> None:
    """Write rows in a format; ``empty`` is what a table of none says."""
    match format_:
        case Format.JSON:
            line(json.dumps([dict(row.data) for row in rows], indent=2, ensure_ascii=True))
        case Format.JSONL:
            for row in rows:
                line(json.dumps(dict(row.data), ensure_ascii=True))
        case Format.PLAIN:
            for row in rows:
                line("\t".join(safe_text(row.cells.get(column.key, "")) for column in columns))
        case Format.TABLE:
            table(rows, columns, empty=empty)
    flush()


def table(rows: Sequence[Row], columns: Sequence[Column], *, empty: str = "") -> None:
    """Write rows under headings, as wide as the terminal allows; nothing in a cell is ever interpreted."""
    if not rows:
        line(empty)
        return
    width = terminal_width()
    shown = list(columns)
    texts = [{column.key: _cell(row, column.key, column) for column in shown} for row in rows]

    def widths() -> list[int]:
        return [max(cells(column.heading), *(cells(text[column.key]) for text in texts)) for column in shown]

    while sum(widths()) + 2 * (len(shown) - 1) > width and any(column.drop for column in shown):
        shown.remove(max(shown, key=lambda column: column.drop))
    if sum(widths()) + 2 * (len(shown) - 1) > width:
        texts = [{column.key: _cell(row, column.shorter or column.key, column) for column in shown} for row in rows]
    sizes = widths()
    colour = sys.stdout.isatty() and not _no_colour()
    heading = "  ".join(
        fit(column.heading, size, right=column.right) for column, size in zip(shown, sizes, strict=True)
    )
    line(f"\x1b[1m{heading.rstrip()}\x1b[0m" if colour else heading.rstrip())
    for row, text in zip(rows, texts, strict=True):
        parts = (fit(text[column.key], size, right=column.right) for column, size in zip(shown, sizes, strict=True))
        written = "  ".join(parts).rstrip()
        line(f"{_STYLES[row.style]}{written}\x1b[0m" if colour and row.style else written)


def _cell(row: Row, key: str, column: Column) -> str:
    return safe_text(row.cells.get(key, row.cells.get(column.key, "")), column.max_cells)


def line(text: str) -> None:
    """Write a line of text that this program made."""
    with _reader():
        sys.stdout.write(text + "\n")


def raw(data: bytes) -> None:
    """Write bytes as they are."""
    with _reader():
        sys.stdout.buffer.write(data)


def flush() -> None:
    """Let what was written so far be seen."""
    with _reader():
        sys.stdout.flush()


def flush_raw() -> None:
    """Let the bytes written so far be seen."""
    with _reader():
        sys.stdout.buffer.flush()


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
    """Return the cells of a line; plenty when nobody looks."""
    import shutil

    return shutil.get_terminal_size().columns if is_terminal() else TERMINAL_WIDTH_WHEN_PIPED


@contextmanager
def _reader() -> Iterator[None]:
    try:
        yield
    except BrokenPipeError as exc:
        raise ReaderGoneError from exc


def _no_colour() -> bool:
    import os

    return bool(os.environ.get("NO_COLOR")) or os.environ.get("TERM") == "dumb"
