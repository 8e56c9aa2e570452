"""What records and values take in a batch, checked before they join others. Pure."""

from collections.abc import Iterator, Sequence

from proglog.errors import InvalidRequestError, RecordTooLargeError
from proglog.record import columns
from proglog.record.batch import HEADER_BYTES, MAX_BATCH_BYTES
from proglog.record.record import Record

RECORD_BYTES = 16
"""Most that a record costs in columns beside its value, without key and headers of its own."""
VALUE_BYTES = 8
"""The same of a record that is nothing but a value, among its like."""
_PART_BYTES = 12
"""Most that a key, a header or a timestamp of its own costs beside its bytes."""


def padding_of(record: Record, size: int) -> int:
    """Return what of a record's size is no byte of its value, key or headers."""
    headers = sum(len(name.encode()) + len(value) for name, value in record.headers)
    return size - len(record.value) - len(record.key or b"") - headers


def size_of(record: Record) -> int:
    """Return the most that a record can take in a batch.

    Raises:
        RecordTooLargeError: It fits into none.
        InvalidRequestError: It is no record.
    """
    if not isinstance(record, Record):
        raise InvalidRequestError(f"a producer sends records, not {type(record).__name__}: Record(value=...)")
    size = len(record.value) + RECORD_BYTES
    if record.timestamp_ms is not None:
        size += _PART_BYTES
    if record.key is not None:
        size += len(record.key) + _PART_BYTES
    for name, value in record.headers:
        size += len(name.encode()) + len(value) + _PART_BYTES
    if size + HEADER_BYTES > MAX_BATCH_BYTES:
        needed = HEADER_BYTES + len(columns.from_records([record], [0]))  # exact, where it matters
        if needed > MAX_BATCH_BYTES:
            raise RecordTooLargeError(needed, MAX_BATCH_BYTES)
    return size


def check_fits(value: bytes) -> None:
    """Refuse a value that fits into no batch.

    Raises:
        RecordTooLargeError: It does not.
    """
    needed = HEADER_BYTES + len(columns.from_values([value])) if len(value) > MAX_BATCH_BYTES // 2 else 0
    if needed > MAX_BATCH_BYTES:
        raise RecordTooLargeError(needed, MAX_BATCH_BYTES)


def checked_parts(values: Sequence[bytes], batch_bytes: int) -> Iterator[tuple[list[bytes], int]]:
    """Check all of ``values``; then cut them into runs of about ``batch_bytes``, a value at least.

    Returns:
        Each run, with the most that it takes in a batch.

    Raises:
        RecordTooLargeError: A value does not fit into a batch.
        InvalidRequestError: One is not bytes.
    """
    if isinstance(values, bytes | bytearray | memoryview | str):
        raise InvalidRequestError(f"expected many values, not one {type(values).__name__}")
    values = list(values)  # the caller may change its own at once
    if set(map(type, values)) - {bytes}:
        values = [Record(value=value).value for value in values]  # its refusal names what is wrong
    sizes = list(map(len, values))
    total = sum(sizes) + VALUE_BYTES * len(values)
    if total <= batch_bytes:
        return iter([(values, total)] if values else [])
    largest = max(sizes) + VALUE_BYTES
    if largest > MAX_BATCH_BYTES // 2:
        for value in values:
            check_fits(value)
    if largest * len(values) <= 1.5 * total:
        return _even(values, sizes, max(1, len(values) * batch_bytes // total))
    return _uneven(values, sizes, batch_bytes)


def _even(values: list[bytes], sizes: Sequence[int], step: int) -> Iterator[tuple[list[bytes], int]]:
    """Cut values of about the same size into equal counts, without looking at each."""
    for at in range(0, len(values), step):
        part = values[at : at + step]
        yield part, sum(sizes[at : at + step]) + VALUE_BYTES * len(part)


def _uneven(values: list[bytes], sizes: Sequence[int], batch_bytes: int) -> Iterator[tuple[list[bytes], int]]:
    start = size = 0
    for at, length in enumerate(sizes):
        if at > start and size + length + VALUE_BYTES > batch_bytes:
            yield values[start:at], size
            start, size = at, 0
        size += length + VALUE_BYTES
    yield values[start:], size
