"""Where the dashboard's events and records come from: an agent, or a recording."""

import re
import time
from collections.abc import AsyncIterator, Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from proglog.client import DEFAULT_TIMEOUT, connect
from proglog.client.model import ClusterSnapshot
from proglog.client.recording import load
from proglog.errors import ConfigError, NotFoundError
from proglog.record.record import StoredRecord
from proglog.tui.state import ConnectionLost, Event, Loaded, SnapshotArrived

if TYPE_CHECKING:
    from proglog.client.place import Place
    from proglog.security.tls import TLSFiles

_HOST_PORT = re.compile(r"([A-Za-z0-9._-]{1,253}|\[[0-9A-Fa-f:.]{2,45}\]):[0-9]{1,5}")


class Source(Protocol):
    """What a dashboard watches."""

    @property
    def target(self) -> str:
        """Its name, for the header. Foreign text."""
        ...

    def at(self, addr: str) -> "Source":
        """Returns the same kind of source for another agent.

        Raises:
            ProglogError: ``addr`` is none, or this source knows only itself.
        """
        ...

    def events(self) -> AsyncIterator[Event]:
        """Yields events for as long as there are any; an agent out of reach is an event, not an error.

        Raises:
            ProglogError: What no waiting mends, such as TLS files that cannot be read.
        """
        ...

    def records(self, start: "Place") -> AsyncIterator[Sequence[StoredRecord]]:
        """Yields the records from ``start`` on, then those that are appended, in portions.

        Raises:
            ProglogError: They cannot be had.
        """
        ...


class LiveSource:
    """An agent, over the client that everybody uses."""

    def __init__(
        self,
        addr: str,
        tls: "TLSFiles | None" = None,
        *,
        timeout: float = DEFAULT_TIMEOUT,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self.target = addr
        self._tls = tls
        self._timeout = timeout
        self._clock = clock

    def at(self, addr: str) -> "LiveSource":
        """Returns the source for another agent, with the same credentials.

        Raises:
            ConfigError: ``addr`` is not HOST:PORT. It may come from gossip, and gRPC knows other kinds of targets.
        """
        if not _HOST_PORT.fullmatch(addr):
            raise ConfigError(f"{addr!r:.80} is no address of an agent; expected HOST:PORT")
        return LiveSource(addr, self._tls, timeout=self._timeout, clock=self._clock)

    async def events(self) -> AsyncIterator[Event]:
        """Yields snapshots and what happens to the connection, for ever; tries again at least once a second."""
        async with connect(self.target, tls=self._tls, timeout=self._timeout) as client:
            from proglog.client.client import Reconnecting  # gRPC is imported by now, after the first frame

            async for item in client.watch_forever(segments=True):
                if isinstance(item, ClusterSnapshot):
                    yield SnapshotArrived(item, self._clock())
                elif isinstance(item, Reconnecting):
                    error = str(item.error)
                    yield ConnectionLost(at=self._clock(), attempt=item.attempt, retry_in=item.retry_in, error=error)

    async def records(self, start: "Place") -> AsyncIterator[Sequence[StoredRecord]]:
        """Yields a portion for each batch."""
        async with connect(self.target, tls=self._tls, timeout=self._timeout) as client:
            async for fetched in client.consume(start, follow=True):
                yield tuple(fetched.records())


class RecordedSource:
    """A file that a dashboard wrote."""

    def __init__(self, path: Path) -> None:
        """Reads the file.

        Raises:
            ProglogError: It is no recording.
        """
        recording = load(path)
        self.target = f"{recording.target} in {path.name}"
        self._frames = recording.frames

    def at(self, addr: str) -> "Source":
        """Raises: a recording is of one agent."""
        raise NotFoundError(f"a recording is of one agent; asked for {addr!r:.80}")

    async def events(self) -> AsyncIterator[Event]:
        """Yields everything at once."""
        yield Loaded(self._frames)

    def records(self, start: "Place") -> AsyncIterator[Sequence[StoredRecord]]:
        """Raises: a recording is about the log, not of it."""
        raise NotFoundError(f"a recording holds no records; asked for those from {start.kind.value} {start.value}")
