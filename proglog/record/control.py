"""Control batches: what an origin says about itself. They take sequences but no offsets.

The first batch of every origin names the node and the origin before it; a gap batch stands for sequences that no
reachable node could give.
"""

from google.protobuf.message import DecodeError

from proglog.errors import MalformedBatchError
from proglog.record import batch
from proglog.record.columns_pb2 import Control, Gap, OriginStart
from proglog.types import NO_ORIGIN, NodeName, OriginId, Sequence


def origin_start(
    node_name: NodeName,
    *,
    now_ms: int,
    reason: str,
    previous_origin: OriginId = NO_ORIGIN,
    previous_next_sequence: Sequence = Sequence(0),  # noqa: B008 - NewType is the identity
) -> bytes:
    """Return the unstamped first batch of an origin.

    Args:
        node_name: Whose data directory it is.
        now_ms: Milliseconds since 1970.
        reason: Why there is a new origin, in words: "new data directory".
        previous_origin: The directory's origin before, if it had one.
        previous_next_sequence: Where that one ended.
    """
    previous = b"" if previous_origin == NO_ORIGIN else previous_origin
    start = OriginStart(
        node_name=node_name,
        previous_origin=previous,
        previous_next_sequence=previous_next_sequence,
        reason=reason,
    )
    payload = Control(origin_start=start).SerializeToString()
    return batch.encode(
        payload,
        count=0,
        sequence_span=1,
        flags=batch.FLAG_CONTROL,
        first_timestamp_ms=now_ms,
        max_timestamp_ms=now_ms,
    )


def gap(sequence_span: int, *, now_ms: int, reason: str) -> bytes:
    """Return the unstamped batch that stands for ``sequence_span`` sequences nobody could give."""
    payload = Control(gap=Gap(reason=reason)).SerializeToString()
    return batch.encode(
        payload,
        count=0,
        sequence_span=sequence_span,
        flags=batch.FLAG_CONTROL | batch.FLAG_GAP,
        first_timestamp_ms=now_ms,
        max_timestamp_ms=now_ms,
    )


def parse(payload: bytes | memoryview) -> OriginStart | Gap | None:
    """Return what a control batch says; ``None`` for a kind that a newer version wrote.

    Raises:
        MalformedBatchError: The payload is not a ``Control`` message.
    """
    try:
        control = Control.FromString(bytes(payload))
    except DecodeError as exc:
        raise MalformedBatchError("control batch payload is not a Control message") from exc
    match control.WhichOneof("kind"):
        case "origin_start":
            return control.origin_start
        case "gap":
            return control.gap
        case _:
            return None
