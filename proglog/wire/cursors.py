"""Position vectors on the wire: the ``Cursor`` message, both ways."""

from collections.abc import Mapping

from proglog.api.v1 import batches_pb2
from proglog.errors import InvalidRequestError
from proglog.replication.progress import FIRST_SEQUENCE
from proglog.types import MAX_ORDINAL, ORIGIN_BYTES, OriginId, SequenceNumber
from proglog.wire.contract import MAX_CURSOR_ORIGINS


def cursor_message(positions: Mapping[OriginId, SequenceNumber]) -> batches_pb2.Cursor:
    """Return a vector as it is on the wire."""
    return batches_pb2.Cursor(
        positions=[
            batches_pb2.NextSequence(origin=origin, next_sequence=sequence) for origin, sequence in positions.items()
        ]
    )


def positions_of(message: batches_pb2.Cursor) -> dict[OriginId, SequenceNumber]:
    """Return a vector from the wire.

    Raises:
        InvalidRequestError: Too many origins, or something that is no origin or no sequence.
    """
    if len(message.positions) > MAX_CURSOR_ORIGINS:
        raise InvalidRequestError(f"a cursor has at most {MAX_CURSOR_ORIGINS} origins, not {len(message.positions)}")
    for each in message.positions:
        if len(each.origin) != ORIGIN_BYTES or not FIRST_SEQUENCE <= each.next_sequence <= MAX_ORDINAL:
            raise InvalidRequestError(
                f"a cursor cannot hold sequence {each.next_sequence} of origin {each.origin.hex()[:40]!r}"
            )
    return {OriginId(each.origin): SequenceNumber(each.next_sequence) for each in message.positions}
