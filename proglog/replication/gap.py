"""The gap batch: what a log writes for sequences that no reachable node could give.

It stands before a batch that could be had, and carries the chain checksum that this batch continues. Checksums run
backwards, so that one can be computed: after the gap, the chain is the origin's own again, and a fork is still found.
"""

from proglog.record import control
from proglog.record.batch import VerifiedBatch, stamp_local, verify
from proglog.record.crc import crc
from proglog.types import Offset, SequenceNumber

_POLYNOMIAL = 0x82F63B78  # CRC-32C, reflected
_LINK_BYTES = 20  # what a link of the chain hashes: base_sequence, sequence_span, crc of the payload


def gap_before(batch: VerifiedBatch, next_sequence: SequenceNumber, *, now_ms: int, reason: str) -> VerifiedBatch:
    """Return the batch that stands for the sequences from ``next_sequence`` up to ``batch``.

    Args:
        batch: The first that could be had.
        next_sequence: What the log would need next; before ``batch``.
        now_ms: Milliseconds since 1970.
        reason: For who finds it, in words.
    """
    header = batch.header
    assert next_sequence < header.base_sequence
    gap = verify(control.gap(header.base_sequence - next_sequence, now_ms=now_ms, reason=reason))
    stamped = stamp_local(
        gap,
        origin=header.origin,
        base_sequence=next_sequence,
        previous_chain=_chain_that_leads_to(chain_before(batch), gap, next_sequence),
        base_offset=Offset(0),
        append_time_ms=now_ms,
    )
    return verify(stamped + gap.payload)


def chain_before(batch: VerifiedBatch) -> int:
    """Return the chain checksum that ``batch`` continues."""
    header = batch.header
    return _unlink(header.chain_crc, header.base_sequence, header.sequence_span, batch.payload_crc)


def _chain_that_leads_to(chain_crc: int, gap: VerifiedBatch, base_sequence: int) -> int:
    return _unlink(chain_crc, base_sequence, gap.header.sequence_span, gap.payload_crc)


def _unlink(chain_crc: int, base_sequence: int, sequence_span: int, payload_crc: int) -> int:
    """Return what ``chain_next`` was given, from what it returned."""
    link = b"".join(
        (base_sequence.to_bytes(8, "little"), sequence_span.to_bytes(8, "little"), payload_crc.to_bytes(4, "little"))
    )
    assert len(link) == _LINK_BYTES
    # crc(link, x) is the checksum of a run of zeros from x, up to a constant: undo the constant, then the zeros.
    return _before_zeros(chain_crc ^ crc(link, 0) ^ crc(bytes(_LINK_BYTES), 0))


def _before_zeros(value: int) -> int:
    state = value ^ 0xFFFFFFFF
    for _ in range(8 * _LINK_BYTES):
        high = state >> 31
        state = ((state ^ (_POLYNOMIAL if high else 0)) << 1 & 0xFFFFFFFF) | high
    return state ^ 0xFFFFFFFF
