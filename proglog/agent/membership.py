"""The membership: drives the pure gossip core over real sockets, and notifies its handler as servers come and go.

The book's shape: a handler with ``join(name, addr)`` and ``leave(name)``, called for every *other* member that carries
an ``rpc_addr`` tag. Feed the core, then pump: send what it wants sent, open the streams it wants, publish its events,
wake up at its next deadline.
"""

import asyncio
import contextlib
import os
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict
from errno import ECONNREFUSED
from functools import partial
from random import Random, SystemRandom
from typing import TypeVar

from proglog.addr import is_wildcard, join_addr, rpc_addr_of, split_addr
from proglog.agent.advertise import own_addresses, private_address
from proglog.agent.config import DEFAULT_GOSSIP_PORT
from proglog.agent.membership_config import MembershipConfig
from proglog.agent.membership_reports import Handler, MembershipReports
from proglog.agent.membership_watch import MembershipWatch
from proglog.agent.resolver import Resolver
from proglog.agent.supervisor import Supervisor
from proglog.agent.transport import Transport
from proglog.agent.underway import BOUND, Work
from proglog.errors import ConfigError, UnavailableError
from proglog.gossip.address_book import KnownAddress
from proglog.gossip.errors import MalformedMessageError
from proglog.gossip.events import (
    Event,
    MemberEvent,
    NameVoted,
)
from proglog.gossip.framing import StreamMessage
from proglog.gossip.lamport import ClockTimes
from proglog.gossip.member import Address, Member, Status
from proglog.gossip.serf import Serf
from proglog.telemetry import events
from proglog.telemetry.emit import Emit, log_event
from proglog.wire.model import GossipStatus, MembershipProblem

Result = TypeVar("Result")

LEAVE_TIMEOUT = 3.0
CLAIM_INTERVAL, CLAIM_TIMEOUT = 2.0, 0.5
"""Seconds between two looks whether those who claim a name are there, and that one takes."""
_PORT_CLOSED = os.strerror(ECONNREFUSED)
EXCHANGE_SHARE = 0.5
"""Of the time after which a full exchange fails: beyond, it takes longer than it should."""
MAX_LATE = 0.25
"""Seconds by which timers wait for datagrams that have arrived: an answer counts, however late this process reads it."""


class Membership:
    """Takes part in the cluster. ``await start()``, then ``await leave()`` and ``await close()``."""

    def __init__(
        self,
        config: MembershipConfig,
        handler: Handler,
        *,
        observer: Callable[[MemberEvent], None] = lambda event: None,  # noqa: ARG005 - no observer
        on_name: Callable[[NameVoted], None] = lambda vote: None,  # noqa: ARG005
        random: Random | None = None,
        emit: Emit = log_event,
        tasks: Supervisor | None = None,
    ) -> None:
        """Keep what is needed; nothing is bound yet.

        Args:
            config: Who this is.
            handler: Receives other members' servers.
            observer: Called for every change of membership, including this node's own.
            on_name: Called when this node's name is contested, held or lost.
            random: All chance; the system's unless a test gives its own.
            emit: Reports its events.
            tasks: Owns this object's tasks; ``None``: an owner that only reports.
        """
        self.config = config
        self._tasks = tasks or Supervisor(node_name=config.node_name)
        self._parts = contextlib.AsyncExitStack()
        self._random = random or SystemRandom()
        self._emit = emit
        self._serf: Serf | None = None
        self._transport: Transport | None = None
        self._advertised_address: Address | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._resolver = Resolver()
        self._watch = MembershipWatch(
            node_name=config.node_name, remembered=config.remembered, started_at=time.monotonic()
        )
        self._reports = MembershipReports(
            config.node_name, self._watch, handler, observer, on_name, emit, known=self._known
        )
        self._claims_seen_at = -CLAIM_INTERVAL
        self._closed = False

    @property
    def started(self) -> bool:
        """Whether gossip is bound, so that :attr:`addr` is known."""
        return self._advertised_address is not None

    @property
    def addr(self) -> str:
        """HOST:PORT of gossip, as the other members know it."""
        assert self._advertised_address is not None, "the membership has not been started"
        return join_addr(*self._advertised_address)

    async def start(self) -> None:
        """Bind and begin; keep calling the others in the background.

        Raises:
            ConfigError: The address cannot be bound or advertised, or is not allowed; or the tags are too long.
        """
        host, port = split_addr(self.config.bind_addr, "--bind-addr")
        config = self.config
        transport = Transport(
            (await own_addresses(host, "--bind-addr", self._resolver))[0],
            port,
            keyring=config.keyring,
            label=config.label,
            rules=config.rules,
            timeout=config.gossip.tcp_timeout,
            on_datagram=self._received,
            answer=self._answer,
            knows=lambda host: self._serf is not None and self._serf.knows(host),
            resolver=self._resolver,
            random=self._random,
        )
        self._transport = await self._parts.enter_async_context(transport)
        try:
            advertised = self._advertised_address = await self._advertised(transport.address)
            transport.own = {transport.address, advertised}
            self._serf = Serf(
                name=config.node_name,
                address=advertised,
                tags=config.tags,
                config=config.gossip,
                keyring=config.keyring,
                label=config.label,
                rules=config.rules,
                random=self._random,
                now=time.monotonic(),
                known=self._known(),
                clocks=config.clocks,
                replay=config.replay_events,
            )
        except MalformedMessageError as exc:
            await self.close()
            raise ConfigError(f"this node's tags: {exc}") from exc
        except ConfigError:
            await self.close()
            raise
        self._step(lambda serf, now: serf.start(now))

    def _known(self) -> list[KnownAddress]:
        given = [
            split_addr(addr, "--start-join-addrs", default_port=DEFAULT_GOSSIP_PORT)
            for addr in self.config.start_join_addrs
        ]
        return [KnownAddress(host=host, port=port, given=True) for host, port in given] + list(self.config.remembered)

    async def _advertised(self, bound: Address) -> Address:
        """Return the advertised address: an IP address, as the protocol carries no names."""
        if not self.config.advertise_addr:
            address = (private_address(bound[0]) if is_wildcard(bound[0]) else bound[0]), bound[1]
        else:
            host, port = split_addr(self.config.advertise_addr, "--advertise-addr", default_port=0)
            address = (await own_addresses(host, "--advertise-addr", self._resolver))[0], port or bound[1]
        if not self.config.rules.allows(address[0]):
            raise ConfigError(
                f"--gossip-allow: this node's own address {address[0]} is in none of the networks; add its network"
            )
        return address

    @property
    def encrypted(self) -> bool:
        """Whether gossip is sealed."""
        return self.config.keyring is not None

    @property
    def sealed(self) -> bool:
        """Whether no plain gossip is sent or taken in."""
        keyring = self.config.keyring
        return keyring is not None and keyring.seals and keyring.requires

    def act(self, action: Callable[[Serf, float], Result]) -> Result:
        """Run ``action`` on the core now, and send its messages; return its result.

        Raises:
            UnavailableError: The membership has not been started, or is closed; or as ``action`` does.
        """
        if self._serf is None:
            raise UnavailableError("the agent is starting or stopping: its membership is not up")
        results: list[Result] = []
        self._step(lambda serf, now: results.append(action(serf, now)))
        return results[0]

    def listen(self, listener: Callable[[Event], None]) -> None:
        """Call ``listener`` for every event of the core, from now on."""
        self._reports.listeners.append(listener)

    @contextlib.contextmanager
    def listening(self, listener: Callable[[Event], None]) -> Iterator[None]:
        """Call ``listener`` for every event of the core, within the block."""
        self._reports.listeners.append(listener)
        try:
            yield
        finally:
            self._reports.listeners.remove(listener)

    def tags(self) -> dict[str, str]:
        """Return what this node says about itself."""
        return dict(self._serf.tags if self._serf else self.config.tags)

    def members(self) -> list[Member]:
        """Return the members, by name, this node included."""
        return self._serf.members() if self._serf else []

    def servers(self) -> list[Member]:
        """Return every other member that serves a log, or did: also those that failed or left, until they are forgotten."""
        name = self.config.node_name
        return [each for each in self.members() if each.name != name and rpc_addr_of(each.tags)]

    def set_tags(self, tags: Mapping[str, str]) -> None:
        """Broadcast this node's new tags.

        Raises:
            ConfigError: They need more than 512 bytes.
        """
        try:
            self._step(lambda serf, now: serf.set_tags(tags, now))
        except MalformedMessageError as exc:
            raise ConfigError(f"this node's tags: {exc}") from exc

    def gossip_status(self) -> GossipStatus:
        """Return how the failure detector is."""
        if self._serf is None or self._transport is None:
            return GossipStatus()
        vitals = self._serf.vitals()
        return GossipStatus(
            health_score=vitals.health_score,
            unsent=self._transport.unsent,
            coordinate_resets=vitals.coordinate_resets,
            **asdict(vitals.counters),
            **asdict(self._transport.traffic),
            **{f"queued_{kind}": count for kind, count in vitals.queues.items()},
        )

    def clocks(self) -> ClockTimes:
        """Return what the next life may start with."""
        return self._serf.clocks() if self._serf else self.config.clocks

    def known_addresses(self) -> list[KnownAddress]:
        """Return where others are or were: what the next life may start with."""
        return self._serf.known_addresses() if self._serf else []

    def operations(self) -> list[Work]:
        """Return the full exchanges under way with members that are alive."""
        bound = max(BOUND, EXCHANGE_SHARE * self.config.gossip.tcp_timeout)
        return [
            Work(what="full exchange", began=each.exchanging_since, waits_for=each.name, bound=bound)
            for each in self.members()
            if each.exchanging_since is not None and each.status is Status.ALIVE
        ]

    def problems(self) -> list[MembershipProblem]:
        """Return why this node may not be in the cluster that it is meant for."""
        return [] if self._serf is None else self._watch.problems(self._serf, time.monotonic())

    async def wait_named(self) -> None:
        """Return once the others have confirmed this node's name, or no member was found to ask."""
        await self._reports.named.wait()

    async def wait_answered(self, within: float) -> None:
        """Return once a member answered and confirmed this node's name, there is none to call, or time is up."""
        if self._serf is not None and self._serf.unanswered():
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(within):
                    await self._reports.answered.wait()
                    await self._reports.named.wait()

    def force_leave(self, name: str, *, prune: bool) -> None:
        """Declare that a failed member has left for good; with ``prune``, have all members forget it at once.

        Raises:
            NotFoundError: No member has that name.
            PreconditionError: It is this node, or not gone.
        """
        self._step(lambda serf, now: serf.force_leave(name, now, prune=prune))

    async def leave(self) -> None:
        """Leave gracefully: the others see *left*, not *failed*. Idempotent, and bounded to ``LEAVE_TIMEOUT`` seconds.

        A node whose name may be another's says nothing: in the others' ears, it would be the other one that leaves.
        """
        if self._serf is None or self._closed or self._serf.rival is not None:
            return
        self._step(lambda serf, now: serf.leave(now))
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(LEAVE_TIMEOUT):
                await self._reports.left.wait()

    async def close(self) -> None:
        """Let go of the sockets. Idempotent."""
        self._closed = True
        if self._timer is not None:
            self._timer.cancel()
        await self._parts.aclose()
        self._serf = None

    # Driving the core

    def _step(self, act: Callable[[Serf, float], None]) -> None:
        """Run one step of the core; then, whatever came of it, do what it wants done and wake at its next deadline."""
        assert self._serf is not None, "the membership has not been started"
        try:
            act(self._serf, time.monotonic())
        finally:
            self._pump(self._serf)

    def _contained(self, act: Callable[[Serf, float], None]) -> None:
        """Run a step that others caused: a fault in one must not end the membership."""
        if self._serf is None:
            return
        try:
            self._step(act)
        except Exception as exc:  # noqa: BLE001 - a bug in one step must not end the membership
            self._emit(events.GOSSIP_STEP_FAILED, exc_info=exc)

    def _received(self, data: bytes, source: Address) -> None:
        self._contained(lambda serf, now: serf.receive_datagram(data, source, now))

    def _answer(self, request: StreamMessage | MalformedMessageError, source: Address) -> bytes | None:
        reply: list[bytes | None] = [None]

        def answer(serf: Serf, now: float) -> None:
            try:
                if isinstance(request, MalformedMessageError):
                    raise request
                reply[0] = serf.answer_stream(request, now)
            except MalformedMessageError as exc:
                reply[0] = serf.refuse_stream(str(exc), source, now)

        self._contained(answer)
        return reply[0]

    def _wake(self) -> None:
        self._timer = None
        serf, transport = self._serf, self._transport
        if serf is None or transport is None:
            return
        deadline = serf.next_deadline()
        late = 0.0 if deadline is None else time.monotonic() - deadline
        if not transport.drain() and late < MAX_LATE:
            self._arm(serf)  # at once, after whatever else waits
            return
        self._contained(lambda serf, now: serf.handle_timer(now))
        self._look_at_claims(transport, time.monotonic())

    def _look_at_claims(self, transport: Transport, now: float) -> None:
        """See whether those who claim another member's name are still there: one that has ended does not say so."""
        if now < self._claims_seen_at + CLAIM_INTERVAL:
            return
        self._claims_seen_at = now
        for name, claimed_by in self._watch.claims(now):
            ended = partial(self._claim_seen, name, claimed_by)
            transport.exchange(b"", split_addr(claimed_by, "claim"), CLAIM_TIMEOUT, ended)

    def _claim_seen(self, name: str, claimed_by: str, _message: StreamMessage | None, error: str) -> None:
        if error == _PORT_CLOSED:
            self._watch.withdrawn(name, claimed_by)

    def _pump(self, serf: Serf) -> None:
        transport = self._transport
        if transport is None:
            return
        try:
            for data, address in serf.datagrams_to_send():
                transport.send(data, address)
            for stream in serf.streams_to_open():
                transport.exchange(stream.data, stream.address, stream.timeout, self._stream_done(stream.id))
            for event in serf.events():
                self._reports.publish(event)
        finally:
            self._arm(serf)

    def _arm(self, serf: Serf) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        deadline = serf.next_deadline()
        if deadline is not None and not self._closed:
            delay = max(0.0, deadline - time.monotonic())
            self._timer = self._tasks.call_later(delay, self._wake, name="gossip-timer")

    def _stream_done(self, stream_id: int) -> Callable[[StreamMessage | None, str], None]:
        def done(message: StreamMessage | None, error: str) -> None:
            if message is None:
                self._contained(lambda serf, now: serf.stream_failed(stream_id, error, now))
            else:
                self._contained(lambda serf, now: serf.stream_answered(stream_id, message, now))

        return done
