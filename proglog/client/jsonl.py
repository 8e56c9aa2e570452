"""A record as a line of JSON, and back: ``consume -o jsonl | produce --format jsonl`` loses nothing.

::

    {"schema": "proglog/record/1", "value": "text", "key": "text", "headers": [["name", "text"]],
     "timestamp_at": "2026-01-02T03:04:05.678Z", "offset": 5, "origin": "f0...", "sequence": 6}

Every key is there in every line; ``key`` is null without one. Bytes that are no UTF-8 become ``{"base64": "..."}``, and
a moment beyond the calendar becomes its milliseconds since 1970. Reading needs a ``value``, and ignores offsets and
sequences: they are assigned anew.
"""

import base64
import binascii
import json
import re
from datetime import UTC, datetime
from typing import Any

from proglog.client.times import moment_ms
from proglog.errors import ConfigError, InvalidRequestError
from proglog.record.record import Record, StoredRecord

SCHEMA = "proglog/record/1"
_ZONED = re.compile(r"([Zz]|[+-]\d\d:?\d\d)$", re.ASCII)
_KEYS = ("schema", "value", "key", "headers", "timestamp_at", "offset", "origin", "sequence")


def encode(record: StoredRecord) -> bytes:
    """Return a record as one line, without the newline."""
    return json.dumps({"schema": SCHEMA, **as_object(record)}).encode()


def as_object(record: StoredRecord) -> dict[str, Any]:
    """Return a record as a JSON object."""
    return {
        "value": _text(record.value),
        "key": None if record.key is None else _text(record.key),
        "headers": [[name, _text(value)] for name, value in record.headers],
        "timestamp_at": _instant(record.timestamp_ms),
        "offset": record.offset,
        "origin": record.origin.hex(),
        "sequence": record.sequence,
    }


def decode(line: bytes) -> Record:
    """Return the record on a line.

    Raises:
        InvalidRequestError: The line is not such a record; the message says what is wrong with it.
    """
    try:
        content = json.loads(line)
    except (ValueError, RecursionError) as exc:
        raise InvalidRequestError(f"not JSON: {exc}") from exc
    if not isinstance(content, dict) or "value" not in content:
        raise InvalidRequestError('expected an object with a "value"')
    strange = next((key for key in content if key not in _KEYS), None)
    if strange is not None:
        raise InvalidRequestError(f"{strange!r:.60} is no key of a record; expected {', '.join(_KEYS[1:5])}")
    if content.get("schema", SCHEMA) != SCHEMA:
        raise InvalidRequestError(f'"schema" is {content["schema"]!r:.60}; expected {SCHEMA!r}')
    headers = content.get("headers") or []
    if not isinstance(headers, list) or not all(
        isinstance(each, list) and len(each) == 2 and isinstance(each[0], str) for each in headers
    ):
        raise InvalidRequestError('"headers": expected a list of [name, value]')
    return Record(
        value=_bytes("value", content["value"]),
        key=None if content.get("key") is None else _bytes("key", content["key"]),
        timestamp_ms=_milliseconds(content.get("timestamp_at")),
        headers=tuple((name, _bytes("headers", value)) for name, value in headers),
    )


def _instant(at_ms: int) -> str | int:
    """Return a moment by RFC 3339; beyond the calendar, its milliseconds."""
    try:
        moment = datetime.fromtimestamp(at_ms // 1000, UTC).replace(microsecond=at_ms % 1000 * 1000)
    except (OverflowError, ValueError, OSError):
        return at_ms
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _milliseconds(value: object) -> int | None:
    if value is None or (isinstance(value, int) and not isinstance(value, bool)):
        return value
    if isinstance(value, str) and _ZONED.search(value):
        try:
            return moment_ms(value, UTC)
        except ConfigError as exc:
            raise InvalidRequestError(f'"timestamp_at": {exc}') from exc
    raise InvalidRequestError(
        f'"timestamp_at" is {value!r:.60}; expected a moment with its zone, such as "2026-01-02T03:04:05Z"'
    )


def _text(data: bytes) -> str | dict[str, str]:
    try:
        return data.decode()
    except UnicodeDecodeError:
        return {"base64": base64.b64encode(data).decode("ascii")}


def _bytes(field: str, value: object) -> bytes:
    match value:
        case str():
            try:
                return value.encode()
            except UnicodeEncodeError as exc:
                raise InvalidRequestError(f'"{field}" holds half a surrogate pair, which is no text') from exc
        case {"base64": str(encoded)}:
            try:
                return base64.b64decode(encoded, validate=True)
            except (binascii.Error, ValueError) as exc:
                raise InvalidRequestError(f'"{field}" is not base64: {exc}') from exc
        case _:
            raise InvalidRequestError(f'"{field}" is {value!r:.60}; expected text or {{"base64": "..."}}')
