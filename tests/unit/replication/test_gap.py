"""Gap batches: what stands in a log for sequences that nobody could give."""

import pytest

from proglog.record import batch, columns
from proglog.record.batch import VerifiedBatch, chain_agrees, chain_before, stamp_local, verify
from proglog.replication.gap import gap_before
from proglog.types import Offset, OriginId, SequenceNumber

ORIGIN = OriginId(b"o" * 16)


def stamped(base_sequence: int, previous_chain: int) -> VerifiedBatch:
    payload = columns.from_values([b"one", b"two"])
    data = batch.encode(payload, count=2, first_timestamp_ms=1, max_timestamp_ms=1)
    header = stamp_local(
        verify(data),
        origin=ORIGIN,
        base_sequence=SequenceNumber(base_sequence),
        previous_chain=previous_chain,
        base_offset=Offset(0),
        append_time_ms=1,
    )
    return verify(header + payload)


@pytest.mark.parametrize("chain", [0, 1, 0x80000000, 0xDEADBEEF, 0xFFFFFFFF])
def test_the_chain_before_a_batch_can_be_had_from_the_batch(chain: int) -> None:
    assert chain_before(stamped(50, chain)) == chain


def test_a_gap_ends_where_the_batch_begins_and_the_chain_goes_on_after_it() -> None:
    following = stamped(50, 0xDEADBEEF)

    gap = gap_before(following, SequenceNumber(3), now_ms=5, reason="retention")

    assert gap.header.is_gap
    assert (gap.header.origin, gap.header.base_sequence, gap.header.next_sequence) == (ORIGIN, 3, 50)
    assert chain_agrees(following, gap.header.chain_crc)
