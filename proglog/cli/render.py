"""Formats a batch for ``consume``: values with a separator, JSON lines, or a template."""

import os
import string
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from itertools import islice

from proglog.client import jsonl
from proglog.client.fetched import FetchedBatch
from proglog.errors import ConfigError
from proglog.observe.safe_text import safe_text
from proglog.record.record import StoredRecord

Renderer = Callable[[FetchedBatch, int | None], tuple[bytes, int]]
"""Takes a batch and the most records to write of it; returns the bytes and how many records they are."""

FIELDS = ("value", "key", "offset", "timestamp", "timestamp_ms", "origin", "sequence", "headers")


def renderer(format_: str, *, harmless: bool) -> Renderer:
    """Return what writes a format.

    Args:
        format_: ``line``, ``null``, ``json``, or a template with fields in braces.
        harmless: Output goes to a terminal: make control characters visible.

    Raises:
        ConfigError: It is none of those, or names a field that there is not.
    """
    match format_:
        case "line":
            return _harmless(b"\n") if harmless else _separated(b"\n")
        case "null":
            return _harmless(b"\0") if harmless else _separated(b"\0")
        case "json" | "jsonl":  # the other verbs' word for it
            return _by_record(lambda record: jsonl.encode(record) + b"\n")
        case _:
            return _by_record(_template(format_, harmless=harmless))


def _separated(separator: bytes) -> Renderer:
    def render(fetched: FetchedBatch, most: int | None) -> tuple[bytes, int]:
        values = fetched.values() if most is None else fetched.values()[:most]
        return (separator.join(values) + separator if values else b""), len(values)

    return render


def _harmless(separator: bytes) -> Renderer:
    def render(fetched: FetchedBatch, most: int | None) -> tuple[bytes, int]:
        values = fetched.values() if most is None else fetched.values()[:most]
        return b"".join(safe_text(value).encode() + separator for value in values), len(values)

    return render


def _by_record(write: Callable[[StoredRecord], bytes]) -> Renderer:
    def render(fetched: FetchedBatch, most: int | None) -> tuple[bytes, int]:
        lines = [write(record) for record in islice(fetched.records(), most)]
        return b"".join(lines), len(lines)

    return render


def _template(template: str, *, harmless: bool) -> Callable[[StoredRecord], bytes]:
    parts = list(_parse(template.replace("\\n", "\n").replace("\\t", "\t")))
    ending = b"" if template.endswith("\\n") else b"\n"

    def write(record: StoredRecord) -> bytes:
        out = b"".join(literal + (_field(record, field) if field else b"") for literal, field in parts)
        return (safe_text(out).encode() if harmless else out) + ending

    return write


def _parse(template: str) -> Iterator[tuple[bytes, str]]:
    example = "such as '{offset} {key} {value}'"
    try:
        parsed = list(string.Formatter().parse(template))
    except ValueError as exc:
        raise ConfigError(f"--format {template!r}: {exc}; expected line, null, json or a template {example}") from exc
    if not any(field for _, field, _, _ in parsed):
        raise ConfigError(f"--format {template!r} is no format; expected line, null, json or a template {example}")
    for literal, field, spec, conversion in parsed:
        if field is not None and (field not in FIELDS or spec or conversion):
            raise ConfigError(f"--format: {{{field}}} is no field; there are {', '.join(FIELDS)}")
        yield os.fsencode(literal), field or ""


def _field(record: StoredRecord, field: str) -> bytes:
    match field:
        case "value":
            return record.value
        case "key":
            return record.key or b""
        case "timestamp":
            return _moment(record.timestamp_ms).encode()
        case "origin":
            return record.origin.hex().encode()
        case "headers":
            return b",".join(name.encode() + b"=" + value for name, value in record.headers)
        case _:
            return str(getattr(record, field)).encode()


def _moment(timestamp_ms: int) -> str:
    try:
        return (
            datetime.fromtimestamp(timestamp_ms / 1000, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
        )
    except (OverflowError, ValueError, OSError):
        return str(timestamp_ms)  # beyond the calendar
