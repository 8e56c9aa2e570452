"""The replicator: the membership's handler that follows every server that joins, until it leaves.

The book's shape - ``join``, ``leave``, ``close``, lazily ready, a second join of a known server does nothing, and so
does a join after close - around the pure planner. One task per server keeps a stream open::

    connecting --> streaming --> (broke) backing-off --> connecting ...        leave, close --> stopped

Batches are checked as they come and go to the writer's queue, up to a bound, while the stream is read on. What has
become durable is reported back on the same stream at once, and to the other servers a moment later.
"""

import asyncio
import time
from collections.abc import Callable, Iterable, Mapping
from functools import partial
from random import Random

import grpc.aio

from proglog.agent.forks import Forks
from proglog.agent.origin_change import OriginChange
from proglog.agent.peer import MAX_BACKOFF, MAX_LISTED_ORIGINS, FollowedPeer, Unsettled, status_of
from proglog.agent.supervisor import Supervisor
from proglog.agent.turns import Turns
from proglog.agent.underway import Work
from proglog.agent.writer import LogWriter
from proglog.client.channel import error_of
from proglog.errors import (
    ForkedOriginError,
    LogClosedError,
    MalformedBatchError,
    ProglogError,
    UnavailableError,
)
from proglog.log.model import Appended, ImportAppend, Outcome
from proglog.record.batch import verify
from proglog.replication.holes import Others
from proglog.replication.plan import Decision, Patience, Reopen, Unwant, Want
from proglog.replication.planner import Planner
from proglog.replication.progress import Progress
from proglog.server.introductions import Introductions
from proglog.server.own_origin import OwnOrigin, hear, parted_from
from proglog.tasks import TaskScope, cancel_and_wait, ended
from proglog.telemetry import events
from proglog.telemetry.emit import Emit, log_event
from proglog.telemetry.tracing import Tracing
from proglog.types import NodeName, OriginId
from proglog.wire.model import PeerState, PeerStatus
from proglog.wire.replication import Hello, Received, ReplicationStream

MIN_BACKOFF = 0.2
"""Seconds before a broken stream is opened again; doubles, with jitter."""

HELLO_TIMEOUT = 10.0
"""Seconds from opening a stream to the source's first word."""
PROOF_TIMEOUT = 15.0
"""Seconds from there until the source's own follower has called: it may be waiting to try again."""
OPENING_BOUND = 7.5
"""Seconds that a server may take for its first word, and then for its proof: its own follower may wait to try again."""
PULL_BOUND = 5.0
"""Seconds that it may take for anything that this log lacks."""
MAX_LAST_WORDS = 1024
"""Servers whose last word is kept."""
REPORT_INTERVAL = 0.1
"""Seconds in which reports to servers other than the source are gathered."""


class Replicator:
    """Follows peers. All methods are called on the event loop's thread."""

    def __init__(
        self,
        writer: LogWriter,
        *,
        node_name: NodeName,
        channel_factory: Callable[[str], grpc.aio.Channel],
        emit: Emit = log_event,
        random: Random | None = None,
        patience: Patience | None = None,
        own_origin: OwnOrigin | None = None,
        others: Others = dict,
        introductions: Introductions | None = None,
        tasks: Supervisor | None = None,
        tracing: Tracing | None = None,
    ) -> None:
        """Keep what is needed; nothing runs before the first join.

        Args:
            writer: Where copies go.
            node_name: Of this node.
            channel_factory: Opens a channel to an address.
            emit: Reports its events.
            random: Of the jitter.
            patience: How long to wait for a source, and before a gap.
            own_origin: Shared with the serving side, so that either detects when the origin is lost.
            others: Every other member that serves a log, whatever its state: who may hold what cannot be had now.
            introductions: What the serving side has, too: which peers are proved; ``None``: none has to be.
            tasks: Owns this object's tasks; ``None``: an owner that only reports.
            tracing: Records a span of what a message brought; ``None``: none are.
        """
        self._writer = writer
        self._node_name = node_name
        self._tracing = tracing
        self._tasks = tasks or Supervisor(node_name=node_name)
        self._open_channel = channel_factory
        self._emit = emit
        self._random = random or Random()  # noqa: S311 - jitter, not secrecy
        self._peers: dict[str, FollowedPeer] = {}
        self._last_words: dict[str, tuple[dict[OriginId, Progress], float]] = {}
        """The last reports of servers whose streams have ended, with their time."""
        self._planner = Planner(writer.origin, writer.origins(), patience, others)
        writer.add_progress_listener(self._log_advanced)
        self._timer: asyncio.TimerHandle | None = None
        self._wakes_at: float | None = None
        self._to_report: set[OriginId] = set()
        self._holed: set[OriginId] = set()
        """Origins in which something cannot be served here, as the log last said."""
        self._reporting: asyncio.TimerHandle | None = None
        self._own_origin = own_origin or OwnOrigin(writer)
        self.origin_change = OriginChange(
            writer,
            self._own_origin,
            dial=self._dial,
            emit=emit,
            tasks=self._tasks,
            on_begun=self._origin_begun,
        )
        self._forks = Forks(writer, dial=self._dial, emit=emit, tasks=self._tasks)
        self._introductions = introductions or Introductions()
        self._turns = Turns(self._take_turn)
        self._closed = False
        self._ending: set[asyncio.Task[None]] = set()

    def join(self, name: str, addr: str) -> None:
        """Follow the server ``name`` at ``addr``.

        Nothing happens after close, or if it is followed there already; one that moved is followed where it is now.
        """
        known = self._peers.get(name)
        if self._closed or (known is not None and known.addr == addr):
            return
        self.leave(name)
        self._introductions.joined(name)
        peer = self._peers[name] = FollowedPeer(name, addr)
        self._turns.join(peer)

    def _take_turn(self, peer: FollowedPeer) -> None:
        peer.task = self._tasks.start(self._follow(peer), name=f"replicate-{peer.name}", may_end=True)

    def leave(self, name: str) -> None:
        """Follow the server ``name`` no more. Nothing happens if it is not followed."""
        peer = self._peers.pop(name, None)
        if peer is None:
            return
        self._introductions.left(name)
        if peer.task is not None:
            peer.task.cancel()
            self._ending.add(peer.task)
            peer.task.add_done_callback(self._ending.discard)
        self._turns.end(peer)
        self._remember(name)
        self._plan_with(lambda planner, now: planner.stream_closed(name, now))
        self._planner.peer_left(name)
        self._emit(events.REPLICATION_STOPPED, name)

    async def close(self) -> None:
        """Stop following every server, and ignore later joins. Idempotent."""
        self._closed = True
        self._turns.close()
        for name in list(self._peers):
            self.leave(name)
        for handle in (self._timer, self._reporting):
            if handle is not None:
                handle.cancel()
        await self.origin_change.close()
        await self._forks.close()
        await cancel_and_wait(*self._ending)

    def peers(self) -> tuple[PeerStatus, ...]:
        """Return how replication from each server is going, by name."""
        latest = self._writer.latest_origins(MAX_LISTED_ORIGINS)
        now = time.monotonic()
        return tuple(status_of(self._peers[name], self._planner, latest, now) for name in sorted(self._peers))

    def operations(self) -> list[Work]:
        """Return for each server what is due from it and has not come: its first word, or what this log lacks."""
        calling = [
            Work(what="opening its stream", began=peer.calling_since, waits_for=peer.name, bound=OPENING_BOUND)
            for peer in self._peers.values()
            if peer.state is PeerState.CONNECTING and peer.stream is not None
        ]
        due = self._planner.due().items()
        return calling + [Work(what="pull", began=began, waits_for=name, bound=PULL_BOUND) for name, began in due]

    def reachable(self) -> dict[str, tuple[str, dict[OriginId, Progress]]]:
        """Return address and positions of each server whose stream is open, by name."""
        planner = self._planner
        return {
            peer.name: (peer.addr, planner.positions_of(peer.name))
            for peer in self._peers.values()
            if peer.state is PeerState.STREAMING
        }

    def word_of(self, name: str) -> tuple[Mapping[OriginId, Progress], float] | None:
        """Return what the server ``name`` last said that it has, and for how many seconds it has not been heard.

        ``None``: it never spoke. What one said that is gone is kept.
        """
        peer = self._peers.get(name)
        if peer is not None and peer.state is PeerState.STREAMING:
            positions = self._planner.positions_of(name)
            if positions:
                return positions, 0.0
        if name not in self._last_words:
            return None
        positions, heard_at = self._last_words[name]
        return positions, time.monotonic() - heard_at

    def _remember(self, name: str) -> None:
        """Keep what a server said, before its stream is forgotten."""
        positions = self._planner.positions_of(name)
        if positions:
            self._last_words.pop(name, None)
            self._last_words[name] = positions, time.monotonic()
            if len(self._last_words) > MAX_LAST_WORDS:
                del self._last_words[next(iter(self._last_words))]

    def sources(self) -> dict[OriginId, str]:
        """Return which server each origin is fetched from."""
        return self._planner.sources()

    async def _follow(self, peer: FollowedPeer) -> None:
        backoff = MIN_BACKOFF
        while True:
            peer.state = PeerState.CONNECTING
            started = time.monotonic()
            try:
                await self._stream_from(peer)
                peer.error = "the server ended the stream"
            except grpc.aio.AioRpcError as exc:
                peer.error = str(error_of(exc, peer.addr, None))
            except LogClosedError:
                peer.state = PeerState.STOPPED
                return
            except ProglogError as exc:
                peer.error = str(exc)
            self._remember(peer.name)
            self._plan_with(lambda planner, now: planner.stream_closed(peer.name, now))
            if time.monotonic() - started > MAX_BACKOFF:
                backoff = MIN_BACKOFF
            if peer.failing_since is None or peer.holds(time.monotonic()):
                peer.failing_since = time.monotonic()
            peer.failure, peer.opened_at = peer.error, None
            waits = self._turns.crowded and not peer.reached  # with many that never answer, dials are far between
            delay = (MAX_BACKOFF if waits else backoff) * self._random.uniform(0.8, 1.2)
            backoff = min(backoff * 2, MAX_BACKOFF)
            peer.state, peer.retry_at = PeerState.BACKING_OFF, time.monotonic() + delay
            self._emit(events.REPLICATION_ERROR, peer.name, peer.error, retry_in=round(delay, 1))
            await asyncio.sleep(delay)
            if not peer.reached and self._turns.pass_on(peer):
                peer.state = PeerState.CONNECTING
                return

    async def _stream_from(self, peer: FollowedPeer) -> None:
        """Follow one stream to its end."""
        unsettled = Unsettled()
        peer.calling_since, peer.hung = time.monotonic(), asyncio.Future()
        async with self._open_channel(peer.addr) as channel:
            with self._introductions.dialling(peer.name, peer.hand_back) as token:
                hello = Hello(self._node_name, self._writer.origin, self._own_origin.instance, token=token)
                peer.stream = stream = ReplicationStream(channel, hello)
                peer.hand_back_all()
                try:
                    async with TaskScope() as scope:
                        settling = self._settle_from(peer, stream, unsettled)
                        reading = self._read_from(peer, stream, unsettled)
                        tasks = (
                            scope.start(settling, name=f"settle-from-{peer.name}"),
                            scope.start(reading, name=f"read-from-{peer.name}"),
                            scope.start(peer.hung_up(), name=f"hang-up-{peer.name}"),
                        )
                        try:
                            await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
                        finally:
                            errors = await ended(*tasks)
                finally:
                    peer.stream = None
                    stream.close()
            if errors:  # a bug before the other's broken connection
                raise min(errors, key=lambda error: isinstance(error, ProglogError | grpc.aio.AioRpcError))

    async def _read_from(self, peer: FollowedPeer, stream: ReplicationStream, unsettled: Unsettled) -> None:
        messages = aiter(stream)
        while True:
            try:
                # Keepalives find a dead connection; a server that is reached and says nothing is found here.
                async with asyncio.timeout(HELLO_TIMEOUT if peer.state is PeerState.CONNECTING else None):
                    received = await anext(messages, None)
            except TimeoutError:
                raise UnavailableError(f"{peer.addr} was reached but sent nothing for {HELLO_TIMEOUT:g} s") from None
            if received is None:
                return
            hello = received.hello
            if hello is not None:
                if hello.node_name != peer.name:
                    raise UnavailableError(f"{peer.addr} is the server of {hello.node_name!r:.80}, not of {peer.name}")
                peer.write_under(hello.origin)
                stream.report(self._progress_in(peer.origins))
                peer.reached, peer.calling_since = True, time.monotonic()
                self._turns.end(peer)
                await self._introductions.wait_proved(peer.name, PROOF_TIMEOUT)
                self._own_origin.meet(peer.name, hello.origin, hello.instance, hello.kinship)
            self._introductions.check(peer.name)
            if received.positions:
                await hear(self._own_origin, self._writer, peer.name, received.positions)
            if hello is not None:
                self._opened(peer, hello.origin)
                peer.compared.clear()
            copies = self._take(peer, received)
            if received.positions:
                await self._compare_histories(peer, received.positions)
            if copies:
                await unsettled.put(copies, await self._writer.queue_copies(copies))

    def _opened(self, peer: FollowedPeer, origin: OriginId) -> None:
        # A line once it answers, not for each claim that there is such a server.
        self._emit(events.REPLICATION_RESUMED if peer.error else events.REPLICATION_STARTED, peer.name, peer.addr)
        peer.state, peer.error, peer.opened_at = PeerState.STREAMING, "", time.monotonic()
        self._plan_with(lambda planner, now: planner.stream_opened(peer.name, origin, now))

    def _take(self, peer: FollowedPeer, received: Received) -> list[ImportAppend]:
        """Take in a message; return what to append of it."""
        planner, now = self._planner, time.monotonic()
        if received.positions:
            planner.positions_received(peer.name, received.positions, now)
        try:
            return self._wanted(peer, planner, received.batches, now)
        except MalformedBatchError as exc:
            peer.spared_until = planner.malformed(peer.name, now, str(exc))
            raise
        finally:
            for event in received.events:
                planner.refused_by(peer.name, event, now)
            self._carry_out()

    def _wanted(self, peer: FollowedPeer, planner: Planner, data: bytes, now: float) -> list[ImportAppend]:
        position, wanted = 0, list[ImportAppend]()
        while position < len(data):
            batch = verify(data, position)
            position += batch.header.batch_bytes
            verdict = planner.judge(peer.name, batch.header, now)
            if verdict is Decision.APPEND:
                wanted.append(ImportAppend(batch))
            elif verdict is Decision.APPEND_AFTER_GAP:
                wanted.append(ImportAppend(batch, planner.over(batch.header)))
        return wanted

    async def _settle_from(self, peer: FollowedPeer, stream: ReplicationStream, unsettled: Unsettled) -> None:
        while True:
            copies, outcomes, took = await unsettled.settled()
            if self._tracing is not None:
                size = sum(copy.batch.header.batch_bytes for copy in copies)
                self._tracing.ended("replicate", took, peer=peer.name, batches=len(copies), bytes=size)
            moved = {copy.batch.header.origin for copy in copies}
            stream.report(self._progress_in(moved & peer.origins.keys()))
            self._report_soon(moved)
            self._settle(peer, copies, outcomes)

    def _settle(self, peer: FollowedPeer, copies: list[ImportAppend], outcomes: list[Outcome]) -> None:
        planner, now = self._planner, time.monotonic()
        failure: ProglogError | None = None
        for copy, outcome in zip(copies, outcomes, strict=True):
            origin = copy.batch.header.origin
            if isinstance(outcome, Appended):
                peer.records_copied += outcome.end_offset - outcome.base_offset
                peer.failing_since = None
                peer.bytes_copied += outcome.batch_bytes
            elif isinstance(outcome, ForkedOriginError):
                planner.forked(peer.name, origin, now, str(outcome))
            elif isinstance(outcome, ProglogError):
                planner.append_failed(origin, now)
                failure = failure or outcome
        self._carry_out()
        if failure is not None:
            raise failure  # the stream is opened again after a pause, from what the log holds then

    def _report_soon(self, origins: set[OriginId]) -> None:
        """Report progress to every server, a moment later: the one that counts copies may not be their source."""
        self._to_report |= origins
        if self._reporting is None and not self._closed:
            self._reporting = self._tasks.call_later(REPORT_INTERVAL, self._report, name="replication-report")

    def _report(self) -> None:
        self._reporting = None
        moved, self._to_report = self._to_report, set()
        for peer in self._peers.values():
            if peer.stream is not None and not moved.isdisjoint(peer.origins):
                peer.stream.report(self._progress_in(moved & peer.origins.keys()))

    def _progress_in(self, origins: Iterable[OriginId]) -> list[Progress]:
        return [held for held in map(self._writer.progress, origins) if held is not None]

    def _dial(self, name: str) -> grpc.aio.Channel | None:
        """Return a new channel to a server that is followed; ``None`` if it is not."""
        peer = self._peers.get(name)
        return None if peer is None else self._open_channel(peer.addr)

    def _origin_begun(self, origin: OriginId) -> None:
        self._plan_with(lambda planner, now: planner.local_origin_changed(origin, now))

    def forked(self, name: str, origin: OriginId, reason: str) -> None:
        """Keep what the log holds of ``origin``, copy no more of it, and report the fork."""
        self._plan_with(lambda planner, now: planner.forked(name, origin, now, reason))

    async def _compare_histories(self, peer: FollowedPeer, positions: Iterable[Progress]) -> None:
        """Find the forks in which this log reaches further than ``peer``, which never asks for what it has not."""
        first = [told for told in positions if told.origin not in peer.compared]
        peer.compared |= {told.origin for told in first}
        trailing = [told for told in first if told.origin != self._writer.origin and self._reaches_over(told)]
        for told in await self._writer.query(partial(parted_from, trailing)) if trailing else ():
            self.forked(peer.name, told.origin, f"the histories part before sequence {told.next_sequence}")

    def _reaches_over(self, told: Progress) -> bool:
        held = self._writer.progress(told.origin)
        return held is not None and held.floor_sequence < told.next_sequence < held.next_sequence

    def _log_advanced(self, moved: Mapping[OriginId, Progress]) -> None:
        self._plan_with(lambda planner, now: planner.advanced(moved.values(), now))
        holes = {origin: held for origin, held in moved.items() if held.gaps or held.damaged or origin in self._holed}
        if holes:  # found or restored: who counts copies has to know, though nothing was appended
            self._holed = {each for each in self._holed if each not in holes}
            self._holed |= {origin for origin, held in holes.items() if held.gaps or held.damaged}
            self._report_soon(set(holes))

    def _plan_with(self, step: Callable[[Planner, float], None]) -> None:
        step(self._planner, time.monotonic())
        self._carry_out()

    def _carry_out(self) -> None:
        """Send what the planner wants sent, say what it wants said, and wake it when it wants to be woken."""
        planner = self._planner
        for command in planner.commands():
            peer = self._peers.get(command.peer)
            if peer is None or peer.stream is None:
                continue
            match command:
                case Want(_, origin, next_sequence, chain_crc):
                    peer.stream.want(origin, next_sequence, chain_crc)
                case Unwant(_, origin):
                    peer.stream.unwant(origin)
                case Reopen(_, seconds):
                    peer.hang_up(f"{peer.addr} has records that this node lacks and sent nothing for {seconds:.0f} s")
        for notice in planner.notices():
            if notice.kind == events.REPLICATION_FORKED.name:
                self._forks.found(
                    notice, planner.held.get(notice.origin), planner.position_of(notice.peer, notice.origin)
                )
                continue
            self._emit(events.EVENTS[notice.kind], notice.peer, notice.detail, origin=notice.origin.hex()[:8])
        deadline = planner.next_deadline()
        if deadline == self._wakes_at:
            return
        self._wakes_at = deadline
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if deadline is not None and not self._closed:
            # A millisecond late is on time: loops round timers, and one that fires early would fire again and again.
            delay = max(0.0, deadline - time.monotonic()) + 0.001
            self._timer = self._tasks.call_later(delay, self._wake_planner, name="replication-planner")

    def _wake_planner(self) -> None:
        self._timer = self._wakes_at = None
        self._plan_with(lambda planner, now: planner.handle_timer(now))
