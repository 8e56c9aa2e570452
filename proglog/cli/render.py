"""Formats a batch for ``consume``: values with a separator, JSON, plain columns, a table, or a template."""

import json
import os
from collections.abc import Callable, Iterator
from itertools import islice

from proglog.cli import output, zone
from proglog.cli.shapes import ITEMS, SCHEMA
from proglog.cli.templates import template
from proglog.client import jsonl
from proglog.client.fetched import FetchedBatch
from proglog.errors import ConfigError
from proglog.observe.safe_text import fit, safe_text
from proglog.record.record import StoredRecord

Keep = Callable[[StoredRecord], bool]
SEPARATORS = {"line": b"\n", "null": b"\0"}
_OFFSET, _TIME, _KEY = 12, 29, 16
"""Cells of the columns of a table; the value has the rest."""


class Renderer:
    """Turns batches into bytes. ``head`` comes first, and :meth:`tail` last."""

    head = b""
    is_safe = True
    """Whether nothing in its output controls a terminal."""

    def __init__(self, record: Callable[[StoredRecord], bytes], keep: Keep | None = None) -> None:
        self._record = record
        self._keep = keep

    def batch(self, fetched: FetchedBatch, most: int | None = None) -> tuple[bytes, int]:
        """Return the bytes of at most so many records of a batch, and how many they are."""
        wanted = fetched.records() if self._keep is None else filter(self._keep, fetched.records())
        parts = [self._record(record) for record in islice(wanted, most)]
        return b"".join(parts), len(parts)

    def records(self, records: Iterator[StoredRecord]) -> bytes:
        """Return the bytes of records, kept or not."""
        return b"".join(map(self._record, records))

    def tail(self) -> bytes:
        """Return what ends the output."""
        return b""


class _Values(Renderer):
    """The fast path: values as they are, without their records."""

    is_safe = False

    def __init__(self, separator: bytes, *, harmless: bool, keep: Keep | None) -> None:
        super().__init__(lambda record: self._made(record.value) + separator, keep)
        self._separator = separator
        self._harmless = harmless

    def _made(self, value: bytes) -> bytes:
        return safe_text(value).encode() if self._harmless else value

    def batch(self, fetched: FetchedBatch, most: int | None = None) -> tuple[bytes, int]:
        if self._keep is not None:
            return super().batch(fetched, most)
        values = fetched.values() if most is None else fetched.values()[:most]
        if self._harmless:
            return b"".join(self._made(value) + self._separator for value in values), len(values)
        return (self._separator.join(values) + self._separator if values else b""), len(values)


class _Document(Renderer):
    """One JSON document of all records."""

    head = f'{{"{SCHEMA}": "{jsonl.SCHEMA}", "{ITEMS}": ['.encode()

    def __init__(self, keep: Keep | None) -> None:
        super().__init__(self._item, keep)
        self._some = False

    def _item(self, record: StoredRecord) -> bytes:
        before, self._some = b",\n  " if self._some else b"\n  ", True
        return before + json.dumps(jsonl.as_object(record)).encode()

    def tail(self) -> bytes:
        return b"\n]}\n" if self._some else b"]}\n"


def renderer(format_: str, *, harmless: bool, keep: Keep | None = None) -> Renderer:
    """Return what writes a ``--format``.

    Args:
        format_: ``line``, ``null`` or a template with fields in braces.
        harmless: Output goes to a terminal: make control characters visible.
        keep: Which records to write; left out: all.

    Raises:
        ConfigError: It is none of those, or names a field that there is not.
    """
    separator = SEPARATORS.get(format_)
    if separator is None:
        if format_ in ("json", "jsonl"):
            raise ConfigError(f"--format {format_}: -o json writes one document, -o jsonl a line per record")
        return Renderer(template(format_, harmless=harmless), keep)
    return _Values(separator, harmless=harmless, keep=keep)


def machine_renderer(format_: output.Format, keep: Keep | None = None) -> Renderer:
    """Return what writes an ``-o``."""
    match format_:
        case output.Format.JSON:
            return _Document(keep)
        case output.Format.JSONL:
            return Renderer(lambda record: jsonl.encode(record) + b"\n", keep)
        case output.Format.PLAIN:
            return Renderer(_plain, keep)
    return Renderer(_row, keep)


def _plain(record: StoredRecord) -> bytes:
    cells = "\t".join(map(output.bare, jsonl.as_object(record).values()))
    return f"{cells}\n".encode("utf-8", "backslashreplace")


def _row(record: StoredRecord) -> bytes:
    parts = (
        fit(f"{record.offset:,}", _OFFSET, right=True),
        fit(zone.clock(record.timestamp_ms), _TIME),
        fit(safe_text(record.key or b"", _KEY), _KEY),
    )
    room = max(output.terminal_width() - _OFFSET - _TIME - _KEY - 6, 20)
    return "  ".join((*parts, safe_text(record.value, room))).rstrip().encode() + b"\n"


def heading() -> bytes:
    """Return the heading of a table."""
    titles = (fit("OFFSET", _OFFSET, right=True), fit("TIME", _TIME), fit("KEY", _KEY), "VALUE")
    return "  ".join(titles).encode() + b"\n"


def encoded(text: str) -> bytes:
    """Return text of the command line as bytes, whatever it was."""
    return os.fsencode(text)
