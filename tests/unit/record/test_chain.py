"""The chain checksum that a batch continues, computed from the batch."""

import pytest

from proglog.record import batch, columns
from proglog.record.batch import VerifiedBatch, chain_before, stamp_local, verify
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
