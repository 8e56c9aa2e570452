"""What the cluster service needs of the agent."""

from typing import Protocol

from proglog.wire.model import ClusterSnapshot


class ClusterView(Protocol):
    """What an agent says about itself and its cluster."""

    @property
    def version(self) -> int:
        """Grows with every change worth showing."""
        ...

    def snapshot(self, *, segments: bool) -> ClusterSnapshot:
        """Return everything, with the list of segments if asked."""
        ...

    def servers_alive(self) -> int:
        """Return how many members serve gRPC now, this one included."""
        ...

    def force_leave(self, name: str, *, prune: bool) -> None:
        """Say that a member that failed has left for good; with ``prune``, have everybody forget it at once.

        Raises:
            NotFoundError: Nobody of that name is known.
            PreconditionError: It is this node, or not gone.
        """
        ...

    async def wait_changed(self, version: int) -> int:
        """Return the version once it differs from ``version``."""
        ...
