r"""Templates of ``consume --format``: fields in braces, each with how to write it.

::

    {value} {key} {offset} {sequence} {origin} {headers} {timestamp} {value_bytes} {header.NAME}
    {value:hex}  {key:base64}  {value:json}     bytes, encoded
    {key:<12}  {offset:>8}  {value:hex,<40}     width in cells: padded and cut
    {timestamp:utc}  {timestamp:ms}  {timestamp:s}  {timestamp:%H:%M:%S}     a time: local, or UTC with --utc
    \n  \t  \0  \\                              a line feed, a tab, a NUL, a backslash
"""

import base64
import json
import os
import re
import string
from collections.abc import Callable, Iterator
from datetime import UTC, datetime

from proglog.cli import zone
from proglog.cli.front import nearest
from proglog.cli.shapes import instant
from proglog.errors import ConfigError
from proglog.observe.safe_text import fit, safe_text
from proglog.record.record import StoredRecord

FIELDS = ("value", "key", "offset", "timestamp", "timestamp_ms", "origin", "sequence", "headers", "value_bytes")
HEADER = "header."
_BYTES = ("value", "key", HEADER)
_ENCODINGS: dict[str, Callable[[bytes], bytes]] = {
    "hex": lambda data: data.hex().encode(),
    "base64": base64.b64encode,
    "json": lambda data: json.dumps(data.decode("utf-8", "backslashreplace")).encode(),
    "text": lambda data: data,
}
_TIMES: dict[str, Callable[[int], str]] = {
    "utc": lambda at_ms: instant(at_ms) or str(at_ms),
    "ms": str,
    "s": lambda at_ms: str(at_ms // 1000),
}
_WIDTH = re.compile(r"([<>]?)([1-9]\d{0,3})", re.ASCII)
_ESCAPES = {"n": "\n", "t": "\t", "0": "\0", "\\": "\\"}
_EXAMPLE = "such as '{offset} {key} {value}'"

Field = Callable[[StoredRecord], bytes]


def template(text: str, *, harmless: bool) -> Field:
    """Return what writes a record by a template, with a line feed behind it unless the template ends with one.

    Raises:
        ConfigError: It has no field, or one that does not exist.
    """
    parts = [(_shown(literal) if harmless else literal, field) for literal, field in _parse(text)]
    ending = b"" if text.endswith((r"\n", r"\0")) else b"\n"

    def write(record: StoredRecord) -> bytes:
        out = bytearray()
        for literal, field in parts:
            out += literal
            if field is not None:
                made = field(record)
                out += safe_text(made).encode() if harmless else made
        return bytes(out + ending)

    return write


def _shown(literal: bytes) -> bytes:
    """Return what stands between fields as a terminal may get it: its line feeds and tabs are meant."""
    return b"".join(
        part if part in (b"\n", b"\t") else safe_text(part).encode() for part in re.split(rb"([\n\t])", literal)
    )


def _parse(text: str) -> Iterator[tuple[bytes, Field | None]]:
    try:
        parsed = list(string.Formatter().parse(text))
    except ValueError as exc:
        raise ConfigError(f"--format {text!r}: {exc}; expected line, null or a template {_EXAMPLE}") from exc
    if not any(name for _, name, _, _ in parsed):
        meant = nearest(text, ("line", "null"))
        hint = f"did you mean {meant}?" if meant else f"expected line, null or a template {_EXAMPLE}"
        raise ConfigError(f"--format {text!r} is no format; {hint}")
    for literal, name, spec, conversion in parsed:
        field = None
        if name is not None:
            if conversion:
                raise ConfigError(f"--format: {{{name}!{conversion}}}: write {{{name}:json}}, :hex or :base64")
            field = _field(name, spec or "")
        yield os.fsencode(re.sub(r"\\([nt0\\])", lambda match: _ESCAPES[match[1]], literal)), field


def _field(name: str, spec: str) -> Field:
    if name.startswith(HEADER) and len(name) > len(HEADER):
        get = _header(name.removeprefix(HEADER))
    elif name in FIELDS:
        get = _getter(name, spec)
    else:
        meant = nearest(name, FIELDS)
        hint = f"did you mean {{{meant}}}?" if meant else f"there are {', '.join(FIELDS)}, {HEADER}NAME"
        raise ConfigError(f"--format: {{{name}}} is no field; {hint}")
    if name == "timestamp":
        return get
    for part in filter(None, spec.split(",")):
        get = _styled(name, part, get)
    return get


def _styled(name: str, part: str, get: Field) -> Field:
    """Return a field that is also encoded, or as wide as a part of its specification says."""
    if part in _ENCODINGS and name.startswith(_BYTES) and name != "value_bytes":
        encode = _ENCODINGS[part]
        return lambda record: encode(get(record))
    width = _WIDTH.fullmatch(part)
    if width is None:
        kinds = "hex, base64, json or a width" if name.startswith(_BYTES) else "a width"
        raise ConfigError(f"--format: {{{name}:{part}}}: expected {kinds}, such as {{{name}:<12}}")
    right, cells = width[1] == ">", int(width[2])
    return lambda record: fit(safe_text(get(record)), cells, right=right).encode()


def _getter(name: str, spec: str) -> Field:
    match name:
        case "value":
            return lambda record: record.value
        case "value_bytes":
            return lambda record: b"%d" % len(record.value)
        case "key":
            return lambda record: record.key or b""
        case "timestamp":
            moment = _moment(spec)
            return lambda record: moment(record.timestamp_ms).encode()
        case "origin":
            return lambda record: record.origin.hex().encode()
        case "headers":
            return lambda record: b",".join(head.encode() + b"=" + value for head, value in record.headers)
    return lambda record: str(getattr(record, name)).encode()


def _header(name: str) -> Field:
    return lambda record: next((value for head, value in record.headers if head == name), b"")


def _moment(spec: str) -> Callable[[int], str]:
    if not spec:
        return zone.clock
    if spec in _TIMES:
        return _TIMES[spec]
    if "%" not in spec:
        raise ConfigError(
            f"--format: {{timestamp:{spec}}}: expected utc, ms, s or a format such as {{timestamp:%H:%M:%S}}"
        )

    def clock(at_ms: int) -> str:
        try:
            moment = datetime.fromtimestamp(at_ms // 1000, UTC).replace(microsecond=at_ms % 1000 * 1000)
            return moment.astimezone(zone.current()).strftime(spec)
        except (OverflowError, ValueError, OSError):
            return str(at_ms)

    return clock
