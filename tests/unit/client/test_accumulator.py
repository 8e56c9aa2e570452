"""What a producer holds before it is sent: records as they were handed over, counted to the byte."""

import asyncio

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proglog.api.v1.batches_pb2 import ProduceBatchRequest
from proglog.client import connect
from proglog.client.copies_asked import Acks
from proglog.client.produce_request import ProduceRequests
from proglog.client.sizes import VALUE_BYTES, checked_parts
from proglog.clock import now_ms
from proglog.errors import InvalidRequestError
from proglog.record import scan
from proglog.record.batch import verify
from proglog.record.record import Record
from proglog.wire.contract import EVERY_SERVER_OF_FIRST_RELEASE


async def gathered(records: list[Record]) -> tuple[bytes, int]:
    """Return the batch that a producer makes of them, and the bytes that it counts."""
    async with connect("127.0.0.1:1") as client:
        producer = client.producer(linger=60)
        await producer.open()
        for record in records:
            await producer.send(record)
        sent = producer._accumulator.next_to_send(0.0, all_of_it=True)
        assert sent is not None
        made = sent.data, sent.size - sent.padding
        await producer.close(drain=0)
    return made


@given(
    st.lists(
        st.tuples(
            st.binary(max_size=5),
            st.none() | st.binary(max_size=3),
            st.none() | st.integers(0, 3),
            st.lists(st.tuples(st.text(max_size=3), st.binary(max_size=3)), max_size=2),
        ),
        min_size=1,
        max_size=12,
    )
)
def test_records_of_every_kind_share_a_batch_and_come_out_as_they_went_in(
    given: list[tuple[bytes, bytes | None, int | None, list[tuple[str, bytes]]]],
) -> None:
    records = [Record(value=value, key=key, timestamp_ms=ms, headers=headers) for value, key, ms, headers in given]
    before_ms = now_ms()
    data, counted = asyncio.run(gathered(records))
    after_ms = now_ms()

    stored = list(scan.records(verify(data)))
    assert [(each.value, each.key, each.headers) for each in stored] == [
        (each.value, each.key, each.headers) for each in records
    ]
    for each, record in zip(stored, records, strict=True):
        if record.timestamp_ms is None:
            assert before_ms <= each.timestamp_ms <= after_ms
        else:
            assert each.timestamp_ms == record.timestamp_ms
    assert counted == sum(
        len(each.value) + len(each.key or b"") + sum(len(name.encode()) + len(value) for name, value in each.headers)
        for each in records
    )


@pytest.mark.parametrize("batch_bytes", [1, 40, 10_000])
@given(values=st.lists(st.binary(max_size=30), max_size=40))
def test_parts_are_all_values_in_order_with_their_size(values: list[bytes], batch_bytes: int) -> None:
    found = list(checked_parts(values, batch_bytes))

    assert [value for part, _ in found for value in part] == values
    assert all(size == sum(map(len, part)) + VALUE_BYTES * len(part) for part, size in found)
    assert all(len(part) == 1 or size <= 2 * batch_bytes + 60 for part, size in found)


def test_values_are_taken_as_they_are_at_the_call() -> None:
    values = [b"a", b"b"]
    ((part, _),) = checked_parts(values, 1 << 20)
    values.clear()

    assert part == [b"a", b"b"]


def test_one_wrong_value_among_many_is_refused_before_any_is_taken() -> None:
    with pytest.raises(InvalidRequestError, match="not str"):
        checked_parts([b"a"] * 100 + ["b"], 1)  # type: ignore[list-item]


@pytest.mark.parametrize("acks", [1, 3, "all"])
@pytest.mark.parametrize("length", [0, 1, 127, 128, 70_000])
def test_a_request_is_what_protobuf_would_serialize(acks: Acks, length: int) -> None:
    batch = bytes(length)
    request = ProduceBatchRequest.FromString(ProduceRequests(acks, 1500).serialize(batch))

    assert (request.batch, request.ack_timeout_ms) == (batch, 1500)
    assert (request.acks, request.every_server) == (
        (EVERY_SERVER_OF_FIRST_RELEASE, True) if acks == "all" else (acks, False)
    )
