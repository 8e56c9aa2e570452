"""``acks=k``: wait with the answer until a batch is durable on k nodes.

::

    acks          1   this node                          no waiting; the same when it is absent
                  k   this node and k - 1 followers      refused when the cluster has fewer servers alive
    every_server      every server alive when the batch arrives

A wait that ends without enough copies is not a failure: the batch is durable here and reaches the others later. The
outcome is *unknown* to the producer, and the answer gives the number of nodes that had it by then.

A follower that was refused the batch, since this node lost it to damage or retention first, eventually skips it and then
reports as if it had it. So copies count only while this node still holds the batch.
"""

import time
from collections.abc import Callable

from proglog.api.v1.batches_pb2 import CommitPositionRequest, ProduceBatchRequest
from proglog.errors import DeadlineError, InvalidRequestError, TooFewServersError
from proglog.log.model import Appended
from proglog.server.followers import Followers
from proglog.wire.contract import EVERY_SERVER_OF_FIRST_RELEASE

DEFAULT_TIMEOUT_MS = 10_000
MAX_TIMEOUT_MS = 600_000


class Acks:
    """Waits for copies."""

    def __init__(
        self, followers: Followers, servers_alive: Callable[[], int], is_here: Callable[[Appended], bool]
    ) -> None:
        """Count what followers report.

        Args:
            followers: The followers' progress.
            servers_alive: Number of live servers, this node included; called for each batch.
            is_here: Whether this node's log can still serve a batch to others.
        """
        self._followers = followers
        self._servers_alive = servers_alive
        self._is_here = is_here

    def nodes_for(self, acks: int | None) -> int:
        """Return on how many nodes a batch must be durable, this one included; ``None``: every server alive.

        Raises:
            TooFewServersError: Fewer servers are alive.
        """
        if acks == 1:
            return 1
        alive = max(1, self._servers_alive())
        if acks is None:
            return alive
        if acks > alive:
            raise TooFewServersError(acks, alive)
        return acks

    def nodes_at_most(self, acks: int | None) -> int:
        """Return the same as :meth:`nodes_for`, but at most the number of live servers."""
        alive = max(1, self._servers_alive())
        return alive if acks is None else min(acks, alive)

    async def wait(self, appended: Appended, nodes: int, timeout_ms: int) -> int:
        """Return on how many nodes ``appended`` is durable: ``nodes``, or fewer on a timeout."""
        if nodes <= 1:
            return 1
        origin, end = appended.origin, appended.next_sequence
        began = time.monotonic()
        try:
            await self._followers.wait_replicated(origin, end, nodes - 1, timeout_ms / 1000)
            copies = nodes - 1
            now = time.monotonic()
            self._followers.ack_latency.add(now - began, now)
        except DeadlineError:
            copies = self._followers.copies(origin, end)
        return 1 + copies if self._is_here(appended) else 1


def wanted_of(request: ProduceBatchRequest | CommitPositionRequest) -> tuple[int | None, int]:
    """Return on how many nodes a request has to be durable, ``None``: every server, and how long to wait, in milliseconds.

    Raises:
        InvalidRequestError: 0 nodes, or longer than ``MAX_TIMEOUT_MS``.
    """
    timeout_ms = request.ack_timeout_ms if request.HasField("ack_timeout_ms") else DEFAULT_TIMEOUT_MS
    if timeout_ms > MAX_TIMEOUT_MS:
        raise InvalidRequestError(f"ack_timeout_ms={timeout_ms}: expected at most {MAX_TIMEOUT_MS}")
    if request.every_server or request.acks == EVERY_SERVER_OF_FIRST_RELEASE:
        return None, timeout_ms
    if request.HasField("acks") and not request.acks:
        raise InvalidRequestError("acks=0: expected 1 or more, or no acks at all for this node alone")
    return request.acks or 1, timeout_ms
