"""A record as a line of JSON, and back: ``consume --format json | produce --format json`` loses nothing.

``{"value": "text", "key": "text", "headers": [["name", "text"]], "timestamp_ms": 1, "offset": 5, ...}``. Bytes that are
no UTF-8 become ``{"base64": "..."}``. Reading ignores offsets and sequences: they are assigned anew.
"""

import base64
import binascii
import json
from typing import Any

from proglog.errors import InvalidRequestError
from proglog.record.record import Record, StoredRecord


def encode(record: StoredRecord) -> bytes:
    """Return a record as one line, without the newline."""
    line: dict[str, Any] = {"value": _text(record.value)}
    if record.key is not None:
        line["key"] = _text(record.key)
    if record.headers:
        line["headers"] = [[name, _text(value)] for name, value in record.headers]
    line |= {
        "timestamp_ms": record.timestamp_ms,
        "offset": record.offset,
        "origin": record.origin.hex(),
        "sequence": record.sequence,
    }
    return json.dumps(line, ensure_ascii=True).encode()


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
    timestamp_ms = content.get("timestamp_ms")
    if timestamp_ms is not None and (not isinstance(timestamp_ms, int) or isinstance(timestamp_ms, bool)):
        raise InvalidRequestError(f'"timestamp_ms" is {timestamp_ms!r}; expected a whole number')
    headers = content.get("headers", [])
    if not isinstance(headers, list) or not all(
        isinstance(each, list) and len(each) == 2 and isinstance(each[0], str) for each in headers
    ):
        raise InvalidRequestError('"headers": expected a list of [name, value]')
    return Record(
        value=_bytes("value", content["value"]),
        key=None if content.get("key") is None else _bytes("key", content["key"]),
        timestamp_ms=timestamp_ms,
        headers=tuple((name, _bytes("headers", value)) for name, value in headers),
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
