"""Round trips, and rubbish in."""

import hypothesis.strategies as st
from hypothesis import given, settings

from proglog.errors import MalformedBatchError
from proglog.record import columns, scan
from proglog.record.batch import chain_start, encode, stamp_local, verify
from proglog.record.record import Record
from proglog.types import Offset, OriginId, SequenceNumber

TIMES = st.integers(-(1 << 60), 1 << 60)
RECORDS = st.lists(
    st.builds(
        Record,
        value=st.binary(max_size=200),
        key=st.none() | st.binary(max_size=20),
        timestamp_ms=TIMES,
        headers=st.lists(st.tuples(st.text(max_size=8), st.binary(max_size=8)), max_size=3).map(tuple),
    ),
    min_size=1,
    max_size=20,
)


@given(RECORDS, st.integers(0, 1 << 40), st.integers(1, 1 << 40))
@settings(max_examples=150, deadline=None)
def test_records_come_back_as_they_went_in(records: list[Record], offset: int, sequence: int) -> None:
    times = [record.timestamp_ms or 0 for record in records]
    batch = verify(
        encode(
            columns.from_records(records, times),
            count=len(records),
            first_timestamp_ms=times[0],
            max_timestamp_ms=max(times),
        )
    )
    origin = OriginId(b"o" * 16)
    header = stamp_local(
        batch,
        origin=origin,
        base_sequence=SequenceNumber(sequence),
        previous_chain=chain_start(origin),
        base_offset=Offset(offset),
        append_time_ms=0,
    )
    stored = list(scan.records(verify(header + bytes(batch.payload))))
    assert [(each.value, each.key, each.timestamp_ms, each.headers) for each in stored] == [
        (each.value, each.key, each.timestamp_ms, each.headers) for each in records
    ]
    assert [each.offset for each in stored] == list(range(offset, offset + len(records)))
    assert [each.sequence for each in stored] == list(range(sequence, sequence + len(records)))


@given(st.binary(max_size=600))
@settings(max_examples=300, deadline=None)
def test_rubbish_is_refused_and_nothing_else_happens(data: bytes) -> None:
    try:
        verify(data)
    except MalformedBatchError:
        return
    raise AssertionError("rubbish passed for a batch")


@given(st.lists(st.binary(max_size=100), min_size=1, max_size=10), st.data())
@settings(max_examples=150, deadline=None)
def test_any_changed_byte_is_noticed(values: list[bytes], data: st.DataObject) -> None:
    batch = bytearray(encode(columns.from_values(values), count=len(values), first_timestamp_ms=0, max_timestamp_ms=0))
    position = data.draw(st.integers(4, len(batch) - 1))  # the mark is for stores to check
    batch[position] ^= data.draw(st.integers(1, 255))
    try:
        verify(bytes(batch))
    except MalformedBatchError:
        return
    raise AssertionError(f"a change at byte {position} was not noticed")
