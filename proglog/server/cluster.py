"""The interface that the cluster service needs of the agent."""

from collections.abc import Iterable
from typing import Protocol

from proglog.wire.model import ClusterSnapshot


class ClusterView(Protocol):
    """What an agent says about itself and its cluster."""

    @property
    def version(self) -> int:
        """Grows with every change worth showing."""
        ...

    def snapshot(self, *, segments: bool) -> ClusterSnapshot:
        """Return the whole state; include the list of segments only with ``segments``."""
        ...

    def history(self) -> Iterable[tuple[int, int, bytes]]:
        """Return the last hour in packed blocks, the newest first: first and last millisecond, and statuses."""
        ...

    def servers_alive(self) -> int:
        """Return how many members serve gRPC now, this one included."""
        ...

    def force_leave(self, name: str, *, prune: bool) -> None:
        """Mark a failed member as having left for good; with ``prune``, make all members forget it at once.

        Raises:
            NotFoundError: There is no member of that name.
            PreconditionError: It is this node, or is still alive.
        """
        ...

    def drain(self, *, resume: bool) -> None:
        """Take no more records of producers; with ``resume``, take them again."""
        ...

    async def accept_forks(self, origin: str, *, by: str, reason: str) -> int:
        """End the alarm about the forks of the origins that begin with these hexadecimal digits; return how many.

        Raises:
            NotFoundError: There is none.
            StorageError: The decision could not be saved.
        """
        ...

    async def accept_repairs(self, *, by: str, reason: str) -> int:
        """End the finding about damage that was repaired, on the word of ``by``; return how many repairs it was about.

        Raises:
            NotFoundError: There was none.
            StorageError: The decision could not be saved.
        """
        ...

    async def wait_changed(self, version: int) -> int:
        """Return the version once it differs from ``version``."""
        ...
