"""Copies everything that a running agent holds, over one ``Replicate`` stream: what a backup is made of.

The agent's first report of each origin is the copy's end: everything that was durable when the copy began. One pass over
the agent's log serves up to ``MAX_ASKED`` origins; an origin that reached its end makes room for the next. Nothing is
reported back, so the copy never counts for ``--acks``.
"""

import asyncio
import os
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import grpc.aio

from proglog.client.channel import error_of, failures, open_channel
from proglog.errors import ForkedOriginError, UnavailableError
from proglog.log.copying import LACKED, REMOVED, Copier
from proglog.record.batch import verify
from proglog.replication.holes import Over
from proglog.replication.progress import Progress, Refusal, RefusalKind
from proglog.security.tls import TLSFiles
from proglog.types import NO_ORIGIN, NodeName, OriginId
from proglog.wire.replication import PORTION, Hello, Received, ReplicationStream, fetch_range

MAX_ASKED = 1024
"""Origins requested at a time."""
SILENCE = 60.0
"""Seconds without a message after which the agent counts as gone. It may read that long through what is not wanted."""
_NAME = NodeName("proglog backup")
"""In the hello. No member has a space in its name."""


@dataclass(frozen=True, slots=True)
class Pulled:
    """What was copied from."""

    node_name: str
    """Foreign text."""
    origins: int
    lacked: int
    """Sequences at the end of origins that the agent reports but cannot supply."""


@dataclass(slots=True)
class _Pull:
    """One stream's state."""

    copier: Copier
    stream: ReplicationStream
    check: Callable[[set[OriginId]], None]
    ends: dict[OriginId, Progress] = field(default_factory=dict)
    """The agent's first report of each origin."""
    all_told: bool = False
    waiting: deque[OriginId] = field(default_factory=deque)
    asked: dict[OriginId, Over] = field(default_factory=dict)
    """Why sequences before the next batch may be missing."""
    lacked: int = 0

    @property
    def done(self) -> bool:
        return self.all_told and not self.waiting and not self.asked

    def hear(self, received: Received) -> None:
        """Take in what one message reports."""
        if self.all_told:
            return
        for position in received.positions:
            if position.origin not in self.ends:
                self.ends[position.origin] = position
                self.waiting.append(position.origin)
        if len(received.positions) < PORTION:
            self.all_told = True
            self.check(set(self.ends))

    def take(self, batches: bytes) -> None:
        """Copy what one message holds; runs on a thread of its own."""
        position = 0
        while position < len(batches):
            batch = verify(batches, position)
            position += batch.header.batch_bytes
            if batch.header.origin in self.asked:
                self.copier.take(batch, self.asked[batch.header.origin])
        self.copier.flush()

    def refused(self, event: Refusal) -> None:
        """Continue an origin after what the agent lacks."""
        if event.origin not in self.asked:
            return
        if event.kind is RefusalKind.FORKED:
            raise ForkedOriginError(event.origin, event.sequence)
        end = self.ends[event.origin].next_sequence
        if event.sequence >= end:
            self.lacked += end - self.copier.next_of(event.origin)
            del self.asked[event.origin]
            return
        self.asked[event.origin] = REMOVED if event.kind is RefusalKind.BELOW_FLOOR else LACKED
        self.stream.want(event.origin, event.sequence, 0)

    def ask(self) -> None:
        """Drop the origins that reached their end; request others."""
        for origin in [each for each in self.asked if self._reached(each)]:
            del self.asked[origin]
            self.stream.unwant(origin)
        while self.waiting and len(self.asked) < MAX_ASKED:
            origin = self.waiting.popleft()
            held = self.copier.log.progress(origin)
            if self._reached(origin):
                self._compare(held, self.ends[origin])
                continue
            self.asked[origin] = LACKED
            self.stream.want(origin, self.copier.next_of(origin), held.chain_crc if held else 0)

    def _reached(self, origin: OriginId) -> bool:
        return self.copier.next_of(origin) >= self.ends[origin].next_sequence

    @staticmethod
    def _compare(held: Progress | None, end: Progress) -> None:
        if held and end.chain_crc and held.next_sequence == end.next_sequence and held.chain_crc != end.chain_crc:
            raise ForkedOriginError(end.origin, end.next_sequence)


async def pull(
    copier: Copier,
    addr: str,
    tls: TLSFiles | None,
    *,
    check: Callable[[set[OriginId]], None],
    on_progress: Callable[[int], None],
    first_within: float,
) -> Pulled:
    """Copy everything durable at the agent at ``addr``.

    Args:
        copier: Of the log that takes it.
        addr: HOST:PORT.
        tls: What to show and trust; ``None``: no TLS.
        check: Called with the agent's origins before anything is copied; what it raises ends the copy.
        on_progress: Called with the bytes of each message.
        first_within: Seconds until the agent's first message.

    Raises:
        AccessError: The certificate may not replicate.
        ForkedOriginError: The copy holds another history of an origin than the agent.
        StorageError: The copy's disk refused.
        UnavailableError: The agent cannot be reached, or the connection broke: what was copied is kept.
    """
    with failures(lambda exc: error_of(exc, addr, tls)):
        async with open_channel(addr, tls) as channel:
            stream = ReplicationStream(channel, Hello(_NAME, NO_ORIGIN, os.urandom(16)))
            state = _Pull(copier, stream, check)
            try:
                node_name = await _follow(state, addr, on_progress, first_within)
            finally:
                stream.close()
            await _heal(copier, channel, state.ends)
    return Pulled(node_name, len(state.ends), state.lacked)


async def _follow(state: _Pull, addr: str, on_progress: Callable[[int], None], first_within: float) -> str:
    messages, node_name = aiter(state.stream), ""
    while not state.done:
        try:
            async with asyncio.timeout(SILENCE if node_name else first_within):
                received = await anext(messages, None)
        except TimeoutError:
            raise UnavailableError(f"{addr} stopped sending: run the backup again, it resumes where it ended") from None
        if received is None:
            raise UnavailableError(f"{addr} ended the stream: run the backup again, it resumes where it ended")
        node_name = received.hello.node_name if received.hello else node_name
        state.hear(received)
        if received.batches:
            await asyncio.to_thread(state.take, received.batches)
            on_progress(len(received.batches))
        for event in received.events:
            state.refused(event)
        state.ask()
    return node_name


async def _heal(copier: Copier, channel: grpc.aio.Channel, ends: Mapping[OriginId, Progress]) -> None:
    """Restore what an earlier copy had to leave out, if the agent has it now."""
    for hole in copier.holes:
        if hole.origin not in ends or not ends[hole.origin].kept(hole.start, hole.end):
            continue
        async for batches in fetch_range(channel, hole.origin, hole.start, hole.end):
            position = 0
            while position < len(batches):
                batch = verify(batches, position)
                position += batch.header.batch_bytes
                await asyncio.to_thread(copier.take, batch)
    await asyncio.to_thread(copier.flush)
