"""Writes to stdout: items and documents as a table, JSON, JSON lines or plain columns; and values byte for byte.

The one module that renders for programs: a verb says what (a :class:`~proglog.cli.shapes.Shape`), this says how.
"""

import json
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Generic, Self

from proglog.cli import diagnostics
from proglog.cli.shapes import ITEMS, SCHEMA, Shape, instant, value_of
from proglog.cli.stdout import Stdout
from proglog.errors import ConfigError
from proglog.observe.columns import Column, Item
from proglog.observe.safe_text import cells, fit, safe_text
from proglog.observe.spans import Role

TERMINAL_WIDTH_WHEN_PIPED = 1000
END_WAIT = 1.0
"""Seconds that a program waits, once asked to end, for the reader of its output."""


class Format(StrEnum):
    """The format of data, with one meaning for all verbs."""

    TABLE = "table"
    """For people."""
    JSON = "json"
    """One document."""
    JSONL = "jsonl"
    """A line of JSON per item, and per change."""
    PLAIN = "plain"
    """Bare values between tabs: no headings, units, glyphs or grouping; nothing for ``null``."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Table(Generic[Item]):
    """What is printed of items: columns for people, a shape for programs."""

    columns: Sequence[Column[Item]]
    shape: Shape
    data: Callable[[Item], object] = lambda item: item
    """The item as an instance of the shape's dataclass."""
    empty: str = ""
    """Printed when there are no items."""
    role: Callable[[Item], Role] = lambda _: Role.TEXT
    """What the line means: a colour beside the words, never instead."""


_COLOURS = {Role.GOOD: "\x1b[32m", Role.WARN: "\x1b[33m", Role.BAD: "\x1b[31m"}


def items(items: Sequence[Item], table: Table[Item], format_: Format) -> None:
    """Write items in a format."""
    if format_ is Format.TABLE:
        as_table(items, table)
    else:
        with Listing(table.shape, format_) as listing:
            for item in items:
                listing.add(table.data(item))
    flush()


def one(value: object, shape: Shape, format_: Format, words: Iterable[str] = ()) -> None:
    """Write one thing: for people, ``words``; in plain columns, a line per key and its value, as in ``log.bytes``."""
    match format_:
        case Format.TABLE:
            for each in words:
                line(each)
        case Format.JSON:
            line(json.dumps(shape.document(value), indent=2))
        case Format.JSONL:
            line(json.dumps(shape.document(value)))
        case Format.PLAIN:
            for key, each in _flat(value_of(value)):
                line(f"{key}\t{bare(each)}")
    flush()


def done(value: object, shape: Shape, format_: Format, words: str) -> None:
    """Report what a verb did: to people on stderr, since it is no data; to programs as a document."""
    if format_ is Format.TABLE:
        diagnostics.note(words)
    else:
        one(value, shape, format_)


class Listing:
    """Writes items one by one, as a document that ends with it, or as lines that are seen at once."""

    def __init__(self, shape: Shape, format_: Format) -> None:
        assert format_ is not Format.TABLE, "a table is made of all its items"
        self._shape = shape
        self._format = format_
        self._count = 0

    def __enter__(self) -> Self:
        if self._format is Format.JSON:
            sys.stdout.write(f'{{"{SCHEMA}": "{self._shape.id}", "{ITEMS}": [')
        return self

    def __exit__(self, *_: object) -> None:
        if self._format is Format.JSON:
            line("\n]}" if self._count else "]}")

    def add(self, value: object, **more: object) -> None:
        """Write an item, and with lines of JSON ``more`` keys."""
        made = value_of(value)
        match self._format:
            case Format.JSON:
                sys.stdout.write(f"{',' if self._count else ''}\n  {json.dumps(made)}")
            case Format.JSONL:
                line(json.dumps({SCHEMA: self._shape.id, **more, **made}))
            case _:
                line("\t".join(map(bare, made.values())))
        self._count += 1


class Changes(Generic[Item]):
    """Writes the items of a list that is looked at again and again: all at first, then what has changed.

    Each line of JSON says which ``change`` it is - listed, added, changed or removed - and when it was ``seen_at``.
    """

    def __init__(self, table: Table[Item], format_: Format) -> None:
        if format_ is Format.JSON:
            raise ConfigError("--watch has no end and -o json is one document: use -o jsonl, a line per change")
        self._table = table
        self._format = format_
        self._known: dict[tuple[Any, ...], dict[str, Any]] | None = None

    def show(self, items: Sequence[Item], at_ms: int) -> None:
        """Write what is new."""
        if self._format is Format.TABLE:
            clear_screen()
            as_table(items, self._table)
            flush()
            return
        shape, now = self._table.shape, {}
        for item in items:
            made = value_of(self._table.data(item))
            now[tuple(json.dumps(made.get(key)) for key in shape.identity)] = made
        known, first = self._known or {}, self._known is None
        listing = Listing(shape, self._format)
        for key, made in now.items():
            if key not in known:
                listing.add(made, change="listed" if first else "added", seen_at=instant(at_ms))
            elif self._settled(made) != self._settled(known[key]):
                listing.add(made, change="changed", seen_at=instant(at_ms))
            else:
                now[key] = known[key]  # what creeps adds up
        for key in known.keys() - now.keys() if self._format is Format.JSONL else ():
            listing.add(known[key], change="removed", seen_at=instant(at_ms))
        self._known = now
        flush()

    def _settled(self, made: dict[str, Any]) -> dict[str, Any]:
        return {key: value for key, value in made.items() if key not in self._table.shape.restless}


def _flat(value: Any, path: str = "") -> Iterator[tuple[str, Any]]:
    if isinstance(value, dict) and (value or not path):
        for key, each in value.items():
            yield from _flat(each, f"{path}.{key}" if path else key)
    elif isinstance(value, list) and any(isinstance(each, dict) for each in value):
        for number, each in enumerate(value):
            yield from _flat(each, f"{path}.{number}")
    else:
        yield path, value


def bare(value: Any) -> str:
    """Return a value as in plain columns, without anything around it: text escapes what is not printable, and the backslash."""
    match value:
        case None:
            return ""
        case bool():
            return "true" if value else "false"
        case str():
            return "".join(map(_escaped, value))
        case dict() | list():
            return json.dumps(value)
    return str(value)


def _escaped(char: str) -> str:
    if char == "\\":
        return "\\\\"
    return char if char.isprintable() else char.encode("unicode_escape").decode("ascii")


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
