"""The columns of a payload: what a reader may rely on after checking them."""

import pytest

from proglog.client.fetched import FetchedBatch
from proglog.errors import MalformedBatchError
from proglog.record import columns
from proglog.record.batch import encode, verify
from proglog.record.columns_pb2 import Headers, RecordColumns
from proglog.record.record import Record


def test_columns_that_say_nothing_are_left_out() -> None:
    records = [Record(value=b"a", timestamp_ms=5), Record(value=b"b", timestamp_ms=5)]
    assert columns.from_records(records, [5, 5]) == columns.from_values([b"a", b"b"])


def test_no_key_and_an_empty_key_are_two_things() -> None:
    records = [Record(value=b"a", key=b""), Record(value=b"b"), Record(value=b"c", key=b"k")]
    rows = columns.rows(columns.from_records(records, [0, 0, 0]), 3, 0)
    assert [(value, key) for value, key, _, _ in rows] == [(b"a", b""), (b"b", None), (b"c", b"k")]


@pytest.mark.parametrize(
    ("payload", "count"),
    [
        (b"\xff\xff", 1),
        (RecordColumns(values=[b"a"]).SerializeToString(), 2),
        (RecordColumns(values=[b"a", b"b"], keys=[b"k"]).SerializeToString(), 2),
        (RecordColumns(values=[b"a"], timestamp_deltas_ms=[1, 2]).SerializeToString(), 1),
        (RecordColumns(values=[b"a"], headers=[Headers(), Headers()]).SerializeToString(), 1),
        (RecordColumns(values=[b"a"], headers=[Headers(names=["x"])]).SerializeToString(), 1),
        (RecordColumns(values=[b"a"], keyless=[0]).SerializeToString(), 1),
        (RecordColumns(values=[b"a"], keys=[b"k"], keyless=[1]).SerializeToString(), 1),
    ],
)
def test_columns_that_do_not_fit_together_are_refused(payload: bytes, count: int) -> None:
    with pytest.raises(MalformedBatchError):
        columns.check(payload, count)


def test_a_part_of_a_batch_has_the_same_records_and_values() -> None:
    records = [Record(value=b"%d" % each, key=b"k" if each % 2 else None, timestamp_ms=5 + each) for each in range(9)]
    payload = columns.from_records(records, [5 + each for each in range(9)])
    whole = verify(encode(payload, count=9, first_timestamp_ms=5, max_timestamp_ms=13))
    base = whole.header.base_offset

    for start, end in ((0, 9), (3, 7), (8, 9), (4, 4)):
        part = FetchedBatch(whole, base + start, base + end)

        assert [each.value for each in part.records()] == list(part.values())
        assert [each.offset for each in part.records()] == [*range(base + start, base + end)]
        assert [(each.key, each.timestamp_ms) for each in part.records()] == [
            (each.key, each.timestamp_ms) for each in records[start:end]
        ]
