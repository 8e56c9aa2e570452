"""The gap batch: the placeholder that a log writes for sequences that no reachable node could supply.

It precedes the next available batch, and carries the chain checksum that this batch continues. CRCs can be computed
backwards, so the gap's checksum is known: after the gap the chain is the origin's own again, and forks are still detected.
"""

from proglog.record import control
from proglog.record.batch import VerifiedBatch, chain_link, stamp_gap, verify
from proglog.record.crc import crc
from proglog.types import SequenceNumber

_POLYNOMIAL = 0x82F63B78  # CRC-32C, reflected


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


def chain_before(batch: VerifiedBatch) -> int:
    """Return the chain checksum that ``batch`` continues."""
    link = chain_link(batch)
    # crc(link, x) is the checksum of a run of zeros from x, up to a constant: undo the constant, then the zeros.
    return _before_zeros(batch.header.chain_crc ^ crc(link, 0) ^ crc(bytes(len(link)), 0), len(link))


def _before_zeros(value: int, count: int) -> int:
    state = value ^ 0xFFFFFFFF
    for _ in range(8 * count):
        high = state >> 31
        state = ((state ^ (_POLYNOMIAL if high else 0)) << 1 & 0xFFFFFFFF) | high
    return state ^ 0xFFFFFFFF
