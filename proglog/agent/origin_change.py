"""Begins a new origin once it is proved that this node's directory was rolled back or cloned.

A peer's claim is examined: the peer has to show a batch that only a copy of the directory can have made. Nothing else
happens meanwhile. With proof, producers wait until the new origin is durable.
"""

import asyncio
import time
from collections.abc import Callable
from functools import partial

import grpc.aio

from proglog.agent.supervisor import Supervisor
from proglog.agent.writer import LogWriter
from proglog.client.channel import error_of
from proglog.errors import LogClosedError, LogPoisonedError, ProglogError, StorageError
from proglog.record.batch import verify
from proglog.server.own_origin import DoubleClaim, OwnOrigin, proves_double
from proglog.tasks import cancel_and_wait
from proglog.telemetry import events
from proglog.telemetry.emit import Emit, EventKind
from proglog.types import OriginId, SequenceNumber
from proglog.wire.replication import fetch_range

_ORIGIN_LOST = "origin lost"
ORIGIN_INTERVAL = 5.0
"""Seconds between two origins that this node begins, whatever peers say."""
EXAMINE_INTERVAL = 1.0
"""Seconds between two looks at what one peer has to show for its claims to this node's origin: see
:mod:`proglog.record.seal`."""
EXAMINE_TIMEOUT = 5.0
"""Seconds that a peer has to show it."""

Dial = Callable[[str], grpc.aio.Channel | None]
"""Opens a channel to a followed server, by name; ``None`` if it is not followed."""


class OriginChange:
    """Examines claims, and begins origins. All methods are called on the event loop's thread."""

    def __init__(
        self,
        writer: LogWriter,
        own_origin: OwnOrigin,
        *,
        dial: Dial,
        emit: Emit,
        tasks: Supervisor,
        on_begun: Callable[[OriginId], None],
    ) -> None:
        """Listen to ``own_origin``.

        Args:
            writer: Of the log whose origin it is.
            own_origin: Detects that the origin is lost.
            dial: Opens a channel to the peer that claims it.
            emit: Reports its events.
            tasks: Owns its tasks.
            on_begun: Called with each new origin once it is durable.
        """
        self.reason = writer.recovery.new_origin_reason
        """Why the directory continues under a new origin; empty: it does not."""
        self._writer = writer
        self._own_origin = own_origin
        self._dial = dial
        self._emit = emit
        self._tasks = tasks
        self._on_begun = on_begun
        self._examining: dict[str, asyncio.Task[None]] = {}
        self._examined_at: dict[str, float] = {}
        self._beginning: asyncio.Task[None] | None = None
        self._begun_at = float("-inf")
        self._closed = False
        own_origin.on_lost = self._origin_lost
        own_origin.on_claim = self._examine

    @property
    def underway(self) -> bool:
        """Whether this node's origin was lost, or may have been, and what comes of it is not known or not durable yet."""
        return bool(self._examining) or (self._beginning is not None and not self._beginning.done())

    async def close(self) -> None:
        """Stop. Idempotent."""
        self._closed = True
        beginning = [] if self._beginning is None else [self._beginning]
        await cancel_and_wait(*beginning, *self._examining.values())

    def _examine(self, claim: DoubleClaim) -> None:
        """See whether a peer can prove that this node's directory has a double; nothing else happens meanwhile."""
        now = time.monotonic()
        too_soon = now < self._examined_at.get(claim.peer, float("-inf")) + EXAMINE_INTERVAL
        if self._closed or claim.peer in self._examining or too_soon:
            return
        channel = self._dial(claim.peer)
        if channel is None:
            return
        self._examined_at[claim.peer] = now
        task = self._tasks.start(self._look_for_proof(claim, channel), name="examine-claim", may_end=True)
        self._examining[claim.peer] = task
        task.add_done_callback(lambda _: self._examining.pop(claim.peer, None))

    async def _look_for_proof(self, claim: DoubleClaim, channel: grpc.aio.Channel) -> None:
        shown = "it shows nothing that only this node's directory can have made"
        try:
            async with channel, asyncio.timeout(EXAMINE_TIMEOUT):
                proved = bool(claim.sequence) and await self._shows_double(claim, channel)
        except TimeoutError:
            proved, shown = False, f"it showed nothing within {EXAMINE_TIMEOUT:g} s"
        except grpc.aio.AioRpcError as exc:
            proved, shown = False, str(error_of(exc, claim.peer, None))
        except ProglogError as exc:
            proved, shown = False, str(exc)
        if proved:
            self._own_origin.lose(claim)
        elif not self._closed:
            self._emit(events.OWN_ORIGIN_CLAIMED, claim.peer, f"{claim.detail}, it says; {shown}")

    async def _shows_double(self, claim: DoubleClaim, channel: grpc.aio.Channel) -> bool:
        end = SequenceNumber(claim.sequence + 1)
        async for data in fetch_range(channel, claim.origin, claim.sequence, end):
            return bool(data) and await self._writer.query(partial(proves_double, verify(data)))
        return False

    def _origin_lost(self, event: EventKind, peer: str, detail: str) -> None:
        """A peer proved that the directory was rolled back or cloned: new records need a new origin."""
        if self._closed:
            return
        origin = self._writer.origin.hex()[:8]
        self._emit(event, peer, detail, origin=origin)
        self._writer.hold_producers(_ORIGIN_LOST)
        self._beginning = self._tasks.start(self._begin_origin(peer, detail), name="begin-origin", may_end=True)

    async def _begin_origin(self, peer: str, detail: str) -> None:
        """Go on under a new origin, as soon as the disk takes it; a peer that lies cannot cause them by the second."""
        self.reason = f"{peer}: {detail}"
        await asyncio.sleep(max(0.0, self._begun_at + ORIGIN_INTERVAL - time.monotonic()))
        try:
            origin = await self._begin_when_the_disk_takes_it(peer)
        except (LogClosedError, LogPoisonedError):
            return  # nothing more is written under the lost origin either
        finally:
            self._writer.release_producers(_ORIGIN_LOST)
        self._begun_at = time.monotonic()
        self._emit(events.ORIGIN_STARTED, "", self.reason)
        self._on_begun(origin)

    async def _begin_when_the_disk_takes_it(self, peer: str) -> OriginId:
        while True:
            try:
                return await self._writer.begin_origin(self.reason)
            except (LogClosedError, LogPoisonedError):
                raise
            except StorageError as exc:
                self._writer.hold_producers(_ORIGIN_LOST, exc)
                self._emit(events.REPLICATION_ERROR, peer, str(exc), retry_in=ORIGIN_INTERVAL)
                await asyncio.sleep(ORIGIN_INTERVAL)
