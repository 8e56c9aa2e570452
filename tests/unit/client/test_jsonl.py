"""consume -o jsonl | produce --format jsonl is an identity."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proglog.client import jsonl
from proglog.errors import InvalidRequestError
from proglog.record.record import StoredRecord

RECORDS = st.builds(
    StoredRecord,
    value=st.binary(max_size=20) | st.text(max_size=10).map(lambda text: text.encode("utf-8", "ignore")),
    key=st.none() | st.binary(max_size=5),
    timestamp_ms=st.integers(-(2**63), 2**63 - 1),
    headers=st.lists(
        st.tuples(st.text(st.characters(exclude_categories=["Cs"]), max_size=5), st.binary(max_size=5))
    ).map(tuple),
    offset=st.integers(0, 2**62),
    origin=st.binary(min_size=16, max_size=16),
    sequence=st.integers(1, 2**62),
)


@given(RECORDS)
def test_a_record_comes_back_whole(record: StoredRecord) -> None:
    line = jsonl.encode(record)
    back = jsonl.decode(line)

    assert b"\n" not in line
    assert line.isascii()
    assert (back.value, back.key, back.timestamp_ms, back.headers) == (
        record.value,
        record.key,
        record.timestamp_ms,
        record.headers,
    )


@pytest.mark.parametrize(
    "line",
    [
        b"",
        b"x",
        b"[]",
        b"{}",
        b'{"value": 1}',
        b'{"value": {"base64": "*"}}',
        b'{"value": "x", "timestamp_at": "1"}',
        b'{"value": "x", "timestamp_at": "2026-01-02T03:04:05"}',
        b'{"value": "x", "timestamp_at": "2026-13-02T03:04:05Z"}',
        b'{"value": "x", "timestamp_at": true}',
        b'{"value": "x", "timestamp_ms": 1}',
        b'{"value": "x", "keey": "k"}',
        b'{"value": "x", "schema": "proglog/record/2"}',
        b'{"value": "x", "headers": {"a": "b"}}',
        b'{"value": "x", "headers": [["a"]]}',
        b'{"value": "\\ud800"}',
        b"[" * 100_000,
    ],
)
def test_what_is_no_record_is_an_error_with_words(line: bytes) -> None:
    with pytest.raises(InvalidRequestError):
        jsonl.decode(line)
