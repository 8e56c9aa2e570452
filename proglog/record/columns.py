"""The payload of a data batch: all its records as one protobuf message in columns.

Measured with protobuf's C runtime, 1,000 records of 100 bytes: columns are built and serialized in 24 ns a record and
parsed to a list in 31 ns; one message per record costs 605 ns and 140 ns. ``columns.proto`` is the schema.
"""

from collections.abc import Iterator, Sequence

from google.protobuf.message import DecodeError

from proglog.errors import InvalidRequestError, MalformedBatchError
from proglog.record.columns_pb2 import Headers, RecordColumns
from proglog.record.record import Header, Record


def from_values(values: Sequence[bytes]) -> bytes:
    """Serialize records that are nothing but values, all with the batch's first timestamp."""
    return RecordColumns(values=values).SerializeToString()


def from_records(records: Sequence[Record], first_timestamp_ms: int) -> bytes:
    """Serialize ``records``; columns that say nothing are left out.

    Args:
        records: One or more.
        first_timestamp_ms: What the timestamp column counts from: the batch header's first timestamp.

    Raises:
        InvalidRequestError: A header's name is no valid UTF-8 text.
    """
    columns = RecordColumns(values=[record.value for record in records])
    keyless = [index for index, record in enumerate(records) if record.key is None]
    if len(keyless) < len(records):
        columns.keys.extend(record.key or b"" for record in records)
        columns.keyless.extend(keyless)
    deltas = [record.timestamp_ms - first_timestamp_ms for record in records]
    if any(deltas):
        columns.timestamp_deltas_ms.extend(deltas)
    if any(record.headers for record in records):
        columns.headers.extend(_headers_message(record.headers) for record in records)
    return columns.SerializeToString()


def values(payload: bytes | memoryview, count: int) -> Sequence[bytes]:
    """Return the value column: the fast way to read a batch when nothing else is wanted.

    Raises:
        MalformedBatchError: As :func:`check`.
    """
    return _parse(payload, count).values


def records(payload: bytes | memoryview, count: int, first_timestamp_ms: int) -> Iterator[Record]:
    """Yield the batch's records in order.

    Raises:
        MalformedBatchError: As :func:`check`.
    """
    columns = _parse(payload, count)
    keyless = frozenset(columns.keyless)
    for index, value in enumerate(columns.values):
        key = columns.keys[index] if columns.keys and index not in keyless else None
        delta = columns.timestamp_deltas_ms[index] if columns.timestamp_deltas_ms else 0
        headers = columns.headers[index] if columns.headers else None
        yield Record(
            value=value,
            key=key,
            timestamp_ms=first_timestamp_ms + delta,
            headers=tuple(zip(headers.names, headers.values, strict=True)) if headers else (),
        )


def check(payload: bytes | memoryview, count: int) -> None:
    """Check that every column has ``count`` entries, or none where the schema allows it.

    Raises:
        MalformedBatchError: The payload is not a ``RecordColumns`` message, or a column's length is off.
    """
    _parse(payload, count)


def _parse(payload: bytes | memoryview, count: int) -> RecordColumns:
    try:
        # upb takes bytes only; a bytes object passes through without a copy.
        columns = RecordColumns.FromString(bytes(payload))
    except DecodeError as exc:
        raise MalformedBatchError("batch payload is not a RecordColumns message") from exc
    if len(columns.values) != count:
        raise MalformedBatchError(f"batch header says {count} records, its payload has {len(columns.values)}")
    for name, length in (
        ("keys", len(columns.keys)),
        ("timestamp_deltas_ms", len(columns.timestamp_deltas_ms)),
        ("headers", len(columns.headers)),
    ):
        if length not in (0, count):
            raise MalformedBatchError(f"batch column {name} has {length} entries, expected 0 or {count}")
    if columns.keyless and (not columns.keys or max(columns.keyless) >= count):
        raise MalformedBatchError("batch column keyless names a record that has no key entry")
    for entry in columns.headers:
        if len(entry.names) != len(entry.values):
            raise MalformedBatchError(f"a record has {len(entry.names)} header names and {len(entry.values)} values")
    return columns


def _headers_message(headers: tuple[Header, ...]) -> Headers:
    try:
        return Headers(names=[name for name, _ in headers], values=[value for _, value in headers])
    except (UnicodeEncodeError, ValueError) as exc:
        raise InvalidRequestError(f"a header's name must be UTF-8 text: {exc}") from exc
