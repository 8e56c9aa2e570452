"""Where the dashboard's changes and records come from: an agent, or a recording."""

from collections.abc import AsyncGenerator, AsyncIterator, Callable, Sequence
from contextlib import aclosing
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from proglog.addr import split_addr
from proglog.client import DEFAULT_TIMEOUT, connect
from proglog.client.offset_spec import OffsetSpec
from proglog.clock import steady
from proglog.errors import NotFoundError
from proglog.observe.recording import load
from proglog.record.record import StoredRecord
from proglog.tui.state import Change, Loaded
from proglog.tui.watcher import Watcher
from proglog.types import OriginId, SequenceNumber

if TYPE_CHECKING:
    from proglog.client import Client
    from proglog.client.cursor import Cursor
    from proglog.record.batch import BatchHeader
    from proglog.security.tls import TLSFiles
    from proglog.wire.model import Verified

_PAGE_BYTES = 64 * 1024
"""Of the log in one message, when only headers are looked at."""


@dataclass(frozen=True, slots=True)
class Unread:
    """The records that a named consumer has not had yet, as the agent's log has them."""

    name: str


@dataclass(frozen=True, slots=True)
class OriginRange:
    """Records of one origin: ``[start, end)`` of its sequence."""

    origin: bytes
    start: int
    end: int


Place = OffsetSpec | Unread | OriginRange
"""Where reading records begins."""


class Source(Protocol):
    """What a dashboard watches."""

    @property
    def target(self) -> str:
        """Its name, for the header. Foreign text."""
        ...

    @property
    def tls_flags(self) -> tuple[str, ...]:
        """The flags of its TLS files; empty: plain text, or no agent."""
        ...

    @property
    def replay(self) -> str:
        """The recording that it reads; empty: none."""
        ...

    def at(self, addr: str) -> "Source":
        """Return the same kind of source for another agent.

        Raises:
            ProglogError: ``addr`` is none, or this source knows only itself.
        """
        ...

    def changes(self) -> AsyncIterator[Change]:
        """Yield changes for as long as there are any; an agent out of reach is a change, not an error.

        Raises:
            ProglogError: What no waiting mends, such as TLS files that cannot be read.
        """
        ...

    async def remove(self, name: str) -> None:
        """Have the cluster know that a member that failed has left for good.

        Raises:
            ProglogError: It refuses.
        """
        ...

    def records(self, start: Place) -> AsyncIterator[tuple[Sequence[StoredRecord], OffsetSpec]]:
        """Yield the records from ``start`` on, then those that are appended, in portions, each with the place after it.

        That place is one of the log that was read: of another one it is refused. A stretch ends.

        Raises:
            ProglogError: They cannot be had.
        """
        ...

    def batches(self, start: OffsetSpec, end: OffsetSpec | None) -> AsyncIterator[tuple["BatchHeader", OffsetSpec]]:
        """Yield what the headers of the batches in a range say; without an end, of those that are appended, too.

        Each with the place after it, as :meth:`records`.

        Raises:
            ProglogError: They cannot be had.
        """
        ...

    def verify(self, base_offset: int) -> AsyncIterator["Verified"]:
        """Have the agent read and check a segment; yields how far it is, and what it found.

        Raises:
            ProglogError: It cannot, or may not, or does so for somebody else now.
        """
        ...


class LiveSource:
    """An agent, over the client that everybody uses."""

    replay = ""

    def __init__(
        self,
        addr: str,
        tls: "TLSFiles | None" = None,
        *,
        timeout: float = DEFAULT_TIMEOUT,
        clock: Callable[[], float] = steady,
    ) -> None:
        self.target = addr
        self._tls = tls
        self._timeout = timeout
        self._clock = clock
        self._watcher: Watcher | None = None

    @property
    def tls_flags(self) -> tuple[str, ...]:
        """The flags that name the same files to the command line."""
        if self._tls is None:
            return ()
        files = {"ca": self._tls.ca_file, "cert": self._tls.cert_file, "key": self._tls.key_file}
        return tuple(part for name, path in files.items() for part in (f"--tls-{name}-file", str(path)))

    def at(self, addr: str) -> "LiveSource":
        """Return the source for another agent, with the same credentials.

        Raises:
            ConfigError: ``addr`` is not HOST:PORT. It may come from gossip, and gRPC knows other kinds of targets.
        """
        split_addr(addr, "agent")
        return LiveSource(addr, self._tls, timeout=self._timeout, clock=self._clock)

    async def changes(self) -> AsyncIterator[Change]:
        """Yield snapshots and what happens to the connection, for ever.

        Tries again at least once a second, watches from another member meanwhile, and asks all of them what they hold.
        """
        self._watcher = Watcher(self.target, self._dial, self._clock)
        async with aclosing(self._watcher.changes()) as changes:
            async for event in changes:
                yield event

    def _dial(self, addr: str) -> "Client":
        """Return a client; errors as those of :meth:`at`, for any address but that which the reader gave."""
        source = self if addr == self.target else self.at(addr)
        return connect(source.target, tls=self._tls, timeout=self._timeout)

    async def remove(self, name: str) -> None:
        """Ask the agent that is watched now; errors as those of :meth:`proglog.client.Client.force_leave`."""
        speaker = self._watcher.speaker if self._watcher else self.target
        async with self._dial(speaker) as client:
            await client.force_leave(name)

    async def records(self, start: Place) -> AsyncIterator[tuple[Sequence[StoredRecord], OffsetSpec]]:
        """Yield a portion for each batch, from the agent that is watched now."""
        speaker = self._watcher.speaker if self._watcher else self.target
        async with self._dial(speaker) as client:
            if isinstance(start, OriginRange):
                async with aclosing(_stretch(client, start)) as portions:
                    async for portion in portions:
                        yield portion
                return
            stream = client.consume(await _begin(client, start), follow=True)
            async for fetched in stream:
                yield tuple(fetched.records()), OffsetSpec.offset(fetched.end_offset, stream.log)

    async def batches(
        self, start: OffsetSpec, end: OffsetSpec | None
    ) -> AsyncIterator[tuple["BatchHeader", OffsetSpec]]:
        """Yield headers as batches arrive; the agent sends on as far as they are taken."""
        speaker = self._watcher.speaker if self._watcher else self.target
        async with self._dial(speaker) as client:
            stream = client.consume(start, end, follow=end is None, max_bytes=_PAGE_BYTES)
            async for fetched in stream:
                yield fetched.batch.header, OffsetSpec.offset(fetched.batch.header.end_offset, stream.log)

    async def verify(self, base_offset: int) -> AsyncIterator["Verified"]:
        """Yield what the agent says that is watched now."""
        speaker = self._watcher.speaker if self._watcher else self.target
        async with self._dial(speaker) as client, aclosing(client.verify(base_offset)) as progress:
            async for done in progress:
                yield done


async def _begin(client: "Client", start: OffsetSpec | Unread) -> "OffsetSpec | Cursor":
    """Return where to consume from.

    Raises:
        NotFoundError: There is no consumer of that name.
    """
    if isinstance(start, OffsetSpec):
        return start
    held = await client.positions(start.name)
    if not held:
        raise NotFoundError(f"{start.name!r:.140} has no position at this agent any more")
    return held[0].cursor


async def _stretch(
    client: "Client", stretch: OriginRange
) -> AsyncGenerator[tuple[Sequence[StoredRecord], OffsetSpec], None]:
    """Yield the records of a stretch: a cursor at its start, and at the end of all other origins, meets no others."""
    from proglog.client.cursor import Cursor  # loads protobuf, which the first frame need not wait for

    status = await client.status()
    ends = {OriginId(each.origin): SequenceNumber(each.next_sequence) for each in status.origins}
    cursor = Cursor({**ends, OriginId(stretch.origin): SequenceNumber(stretch.start)})
    stream = client.consume(cursor, skip_gone=True)
    async for fetched in stream:
        records = tuple(
            each
            for each in fetched.records()
            if each.origin == stretch.origin and stretch.start <= each.sequence < stretch.end
        )
        if records:
            yield records, OffsetSpec.offset(fetched.end_offset, stream.log)
        if fetched.batch.header.origin == stretch.origin and fetched.batch.header.next_sequence >= stretch.end:
            return


class RecordedSource:
    """A file that a dashboard wrote."""

    tls_flags = ()

    def __init__(self, path: Path) -> None:
        """Read the file.

        Raises:
            ProglogError: It is no recording.
        """
        recording = load(path)
        self.target = f"{recording.target} in {path.name}"
        self.replay = str(path)
        self._frames = recording.frames

    def at(self, addr: str) -> "Source":
        """Refuse: a recording is of one agent."""
        raise NotFoundError(f"a recording is of one agent; asked for {addr!r:.80}")

    async def remove(self, name: str) -> None:
        """Refuse: the past cannot be changed."""
        raise NotFoundError(f"a recording has no cluster; asked to remove {name!r:.80}")

    async def changes(self) -> AsyncIterator[Change]:
        """Yield everything at once."""
        yield Loaded(self._frames)

    def records(self, start: Place) -> AsyncIterator[tuple[Sequence[StoredRecord], OffsetSpec]]:
        """Refuse: a recording is about the log, not of it."""
        raise NotFoundError(f"a recording holds no records; asked for {start}")

    def batches(self, start: OffsetSpec, end: OffsetSpec | None) -> AsyncIterator[tuple["BatchHeader", OffsetSpec]]:
        """Refuse: a recording is about the log, not of it."""
        raise NotFoundError(f"a recording holds no batches; asked for {start.value} to {end.value if end else 'now'}")

    def verify(self, base_offset: int) -> AsyncIterator["Verified"]:
        """Refuse: a recording is about the log, not of it."""
        raise NotFoundError(f"a recording holds no log to verify; asked for the segment at {base_offset}")
