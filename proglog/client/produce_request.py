"""A produce request, serialized around its batch.

protobuf would copy a batch twice, each time into memory new from the kernel: a quarter of what sending it costs. A message
is its fields in any order, so the batch is joined with the serialized rest.
"""

from proglog.api.v1.batches_pb2 import ProduceBatchRequest
from proglog.client import varint
from proglog.client.copies_asked import Acks, ask_copies

_LENGTH_DELIMITED = 2
_BATCH_TAG = varint.encode(ProduceBatchRequest.BATCH_FIELD_NUMBER << 3 | _LENGTH_DELIMITED)


class ProduceRequests:
    """Makes the requests of one producer."""

    def __init__(self, acks: Acks, ack_timeout_ms: int | None) -> None:
        """Ask for ``acks`` nodes in each, as :func:`ask_copies` does."""
        rest = ProduceBatchRequest()
        ask_copies(rest, acks, ack_timeout_ms)
        self._rest = rest.SerializeToString()

    def serialize(self, batch: bytes) -> bytes:
        """Return the request that appends ``batch``."""
        return b"".join((_BATCH_TAG, varint.encode(len(batch)), batch, self._rest))
