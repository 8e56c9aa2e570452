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


def bytes_of(record: Record) -> int:
    """Return the bytes of a record's value, key and headers."""
    if record.key is None and not record.headers:
        return len(record.value)
    headers = sum(len(name.encode()) + len(value) for name, value in record.headers)
    return len(record.value) + len(record.key or b"") + headers


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


def checked(values: Sequence[bytes]) -> tuple[Sequence[bytes], list[int]]:
    """Return these values, all of them ``bytes``, and the length of each.

    Raises:
        RecordTooLargeError: One does not fit into a batch.
        InvalidRequestError: One is not bytes.
    """
    if isinstance(values, bytes | bytearray | memoryview | str):
        raise InvalidRequestError(f"expected many values, not one {type(values).__name__}")
    if set(map(type, values)) - {bytes}:
        values = [Record(value=value).value for value in values]  # its refusal names what is wrong
    sizes = list(map(len, values))
    if max(sizes, default=0) > MAX_BATCH_BYTES // 2:
        for value in values:
            needed = HEADER_BYTES + len(columns.from_values([value])) if len(value) > MAX_BATCH_BYTES // 2 else 0
            if needed > MAX_BATCH_BYTES:
                raise RecordTooLargeError(needed, MAX_BATCH_BYTES)
    return values, sizes


def parts(values: Sequence[bytes], sizes: Sequence[int], batch_bytes: int) -> Iterator[tuple[Sequence[bytes], int]]:
    """Cut ``values`` into runs of about ``batch_bytes``, a value at least; yield each with the most that it takes."""
    count, total = len(values), sum(sizes) + VALUE_BYTES * len(values)
    if not values:
        return
    if total <= batch_bytes or count == 1:
        yield values, total
    elif (max(sizes) + VALUE_BYTES) * count <= 1.5 * total:  # even enough: equal counts, none looked at
        step = max(1, count * batch_bytes // total)
        for at in range(0, count, step):
            part = values[at : at + step]
            yield part, sum(sizes[at : at + step]) + VALUE_BYTES * len(part)
    else:
        start = size = 0
        for at, length in enumerate(sizes):
            if at > start and size + length + VALUE_BYTES > batch_bytes:
                yield values[start:at], size
                start, size = at, 0
            size += length + VALUE_BYTES
        yield values[start:], size
