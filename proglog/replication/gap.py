"""The gap batch: the placeholder that a log writes for sequences that no reachable node could supply.

It precedes the next available batch, and carries the chain checksum that this batch continues. CRCs can be computed
backwards, so the gap's checksum is known: after the gap the chain is the origin's own again, and forks are still detected.
"""

from proglog.record import control
from proglog.record.batch import VerifiedBatch, chain_before, stamp_gap, verify
from proglog.types import SequenceNumber


def gap_before(batch: VerifiedBatch, next_sequence: SequenceNumber, *, now_ms: int, reason: str) -> VerifiedBatch:
    """Return the gap batch for the sequences from ``next_sequence`` up to ``batch``.

    Args:
        batch: The first available batch.
        next_sequence: The next sequence that the log needs; before ``batch``.
        now_ms: Milliseconds since 1970.
        reason: Explanation for operators, in words.
    """
    header = batch.header
    assert next_sequence < header.base_sequence
    gap = verify(control.gap(header.base_sequence - next_sequence, now_ms=now_ms, reason=reason))
    stamped = stamp_gap(
        gap,
        origin=header.origin,
        base_sequence=next_sequence,
        chain_crc=chain_before(batch),
        append_time_ms=now_ms,
    )
    return verify(stamped + gap.payload)
