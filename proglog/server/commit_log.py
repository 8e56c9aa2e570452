"""The interface that the services need of a log: the agent passes it in, as in the book.

Nothing here waits for the disk on the event loop. In-memory state is a property or a plain method. Reads are coroutines;
a look-up of many steps is one function of the log that :meth:`CommitLog.query` runs as a whole, with a single thread
switch no matter how often it seeks.
"""

import asyncio
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Protocol, TypeVar

from proglog.errors import ProglogError
from proglog.log.log import Log
from proglog.log.model import Appended, DamagedRange, LogPosition, LogRead, Moved, Outcome, SegmentInfo
from proglog.log.named_positions import CommittedPosition
from proglog.record.batch import BatchHeader, VerifiedBatch
from proglog.replication.progress import Progress
from proglog.types import Offset, OriginId

Found = TypeVar("Found")


class Fence:
    """Ties the appends of one stream together: once one has failed, those behind it are not appended either."""

    failure: ProglogError | None = None


class LogView(Protocol):
    """In-memory state of a log: of a :class:`CommitLog`, and of a :class:`~proglog.log.log.Log` itself."""

    @property
    def origin(self) -> OriginId:
        """The origin that this log writes under."""
        ...

    def kinship(self, prover: bytes, verifier: bytes) -> bytes:
        """Return what proves to another process that this one has the key of its origin."""
        ...

    @property
    def start_offset(self) -> Offset:
        """Offset of the oldest record kept."""
        ...

    @property
    def end_offset(self) -> Offset:
        """One past the last durable record."""
        ...

    @property
    def end_position(self) -> LogPosition:
        """The place after the last durable batch."""
        ...

    def progress(self, origin: OriginId) -> Progress | None:
        """Return what the log durably has of one origin; ``None`` if nothing."""
        ...

    def moved_since(self, version: int) -> Moved:
        """Return what has moved since an answer of that version; 0: every origin."""
        ...

    def after_damage(self, at: LogPosition) -> LogPosition:
        """Return the place behind the damage at ``at``."""
        ...

    def origins(self) -> Mapping[OriginId, Progress]:
        """Return what the log durably has of each origin."""
        ...

    def segments(self) -> list[SegmentInfo]:
        """Return the segments in order."""
        ...

    def named_positions(self) -> dict[str, CommittedPosition]:
        """Return the committed positions of named consumers."""
        ...

    def takes_position(self, name: str, origins: int, now_ms: int) -> bool:
        """Return whether a commit under ``name``, with so many origins, would be kept."""
        ...

    def holds(self, appended: Appended) -> bool:
        """Return whether the log still holds a batch: neither removed by retention nor known to be damaged."""
        ...

    def sound_batches(self, at: LogPosition, data: bytes) -> Iterator[tuple[int, BatchHeader]]:
        """Yield place and header of each batch of ``data``, read at ``at``, whose checksums agree."""
        ...


class CommitLog(LogView, Protocol):
    """A log for coroutines; :class:`proglog.agent.writer.LogWriter` is one."""

    records_served: int
    """Records sent to consumers: counted by the services."""

    async def append(self, batch: VerifiedBatch, fence: Fence | None = None) -> Appended:
        """Append a producer's batch; durable on return. Raises ``StorageError``."""
        ...

    async def queue(self, batch: VerifiedBatch, fence: Fence | None = None) -> asyncio.Future[Outcome]:
        """Queue a producer's batch; its outcome comes when it is durable. Raises ``StorageError``."""
        ...

    async def append_copies(self, batches: Sequence[VerifiedBatch]) -> list[Outcome]:
        """Append batches of other origins; an outcome for each once all are durable."""
        ...

    async def accept_losses(self, start: Offset, end: Offset, *, by: str, reason: str) -> list[DamagedRange]:
        """Record damage between two offsets as lost for good; return those ranges.

        Raises:
            NotFoundError: Nothing is damaged there.
            StorageError: The disk refused.
        """
        ...

    async def read(self, at: LogPosition, max_bytes: int) -> LogRead:
        """Return whole batches from ``at`` on; nothing at the durable end."""
        ...

    async def query(self, look: Callable[[Log], Found]) -> Found:
        """Run ``look`` on a reader thread and return its result. It must not change anything else."""
        ...

    async def wait_for_data(self, at: LogPosition) -> None:
        """Wait until there is durable data at ``at``. Raises ``LogClosedError`` if the log closes first."""
        ...
