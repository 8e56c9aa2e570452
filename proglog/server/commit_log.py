"""What the services need of a log: the agent passes it in, as in the book."""

from collections.abc import Sequence
from typing import Protocol

from proglog.errors import ProglogError
from proglog.log.log import Log
from proglog.log.model import Appended, LogCursor, LogRead, Outcome
from proglog.record.batch import VerifiedBatch


class Fence:
    """Ties the appends of one stream together: once one has failed, those behind it are not appended either."""

    failure: ProglogError | None = None


class CommitLog(Protocol):
    """A log for coroutines; :class:`proglog.agent.writer.LogWriter` is one."""

    records_served: int
    """Records sent to consumers: counted by the services."""

    @property
    def log(self) -> Log:
        """The log itself: look-ups and states, which do not wait."""
        ...

    async def append(self, batch: VerifiedBatch, fence: Fence | None = None) -> Appended:
        """Append a producer's batch; durable on return. Raises ``StorageError``."""
        ...

    async def append_copies(self, batches: Sequence[VerifiedBatch]) -> list[Outcome]:
        """Append batches of other origins; an outcome for each once all are durable."""
        ...

    async def read(self, cursor: LogCursor, max_bytes: int) -> LogRead:
        """Return whole batches from ``cursor`` on; nothing at the durable end."""
        ...

    async def wait_for_data(self, cursor: LogCursor) -> None:
        """Return once there is something durable at ``cursor``. Raises ``LogClosedError`` when there never will be."""
        ...
