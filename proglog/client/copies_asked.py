"""How many nodes must have a batch before it is acknowledged: as an argument, in words, and in a request."""

from typing import Literal, TypeAlias

from proglog.api.v1.batches_pb2 import CommitPositionRequest, ProduceBatchRequest
from proglog.client.arguments import whole
from proglog.wire.contract import EVERY_SERVER_OF_FIRST_RELEASE

Acks: TypeAlias = int | Literal["all"]
"""Nodes, 1 or more; ``"all"``: every server alive when the batch arrives."""
MAX_ACKS = 1024


def checked_acks(acks: Acks) -> Acks:
    """Return ``acks``.

    Raises:
        InvalidRequestError: It is neither a number of nodes nor ``"all"``.
    """
    return "all" if acks == "all" else whole("acks", acks, 1, MAX_ACKS)


def nodes_words(acks: Acks) -> str:
    """Return how many nodes ``acks`` means."""
    return "every server alive" if acks == "all" else f"{acks} nodes"


def ask_copies(request: ProduceBatchRequest | CommitPositionRequest, acks: Acks, ack_timeout_ms: int | None) -> None:
    """Write into ``request`` how many nodes, and how long to wait for them; ``None``: as long as the agent likes."""
    if acks == "all":
        request.every_server, request.acks = True, EVERY_SERVER_OF_FIRST_RELEASE
    else:
        request.acks = acks
    if ack_timeout_ms is not None:
        request.ack_timeout_ms = ack_timeout_ms
