"""The membership: drives the pure gossip core over real sockets, and tells its handler who serves and who no longer does.

The book's shape: a handler with ``join(name, addr)`` and ``leave(name)``, called for every *other* member that carries
an ``rpc_addr`` tag. Feed the core, then pump: send what it wants sent, open the streams it wants, publish its events,
wake up at its next deadline.
"""

import asyncio
import contextlib
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from random import Random, SystemRandom
from typing import Protocol

from proglog.addr import RPC_ADDR_TAG, is_wildcard, join_addr, split_addr
from proglog.agent.advertise import own_addresses, private_address
from proglog.agent.config import DEFAULT_GOSSIP_PORT
from proglog.agent.resolver import Resolver
from proglog.agent.supervisor import Supervisor
from proglog.agent.transport import Transport
from proglog.errors import ConfigError
from proglog.gossip.address_book import KnownAddress
from proglog.gossip.config import GossipConfig
from proglog.gossip.errors import MalformedMessageError
from proglog.gossip.events import (
    CallFinished,
    Event,
    Ignored,
    KeyringChanged,
    LeaveFinished,
    MemberEvent,
    MemberEventKind,
    NameConflict,
)
from proglog.gossip.framing import StreamMessage
from proglog.gossip.keyring import Keyring
from proglog.gossip.member import Address, Member, Status
from proglog.gossip.serf import Serf
from proglog.telemetry import events
from proglog.telemetry.emit import Emit, log_event
from proglog.wire.model import MembershipProblem

LEAVE_TIMEOUT = 3.0
MAX_CONFLICTS = 1000
ALONE_SECONDS, UNANSWERED_SECONDS = 10.0, 60.0
"""How long a node may be alone, or without an answer from one of its seeds, before that is a problem."""
COMPLAINT_INTERVAL = 60.0
"""Seconds between two lines about malformed traffic: it is others that decide how much there is."""
MAX_LATE = 0.25
"""Seconds by which timers wait for datagrams that have arrived: an answer counts, however late this process reads it."""


class Handler(Protocol):
    """Told of the servers of the cluster: the replicator."""

    def join(self, name: str, addr: str) -> None:
        """A server is there."""
        ...

    def leave(self, name: str) -> None:
        """A server failed or left."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class MembershipConfig:
    """One member."""

    node_name: str
    """Unique in the cluster."""
    bind_addr: str
    """HOST:PORT of gossip."""
    tags: Mapping[str, str] = field(default_factory=dict)
    """``rpc_addr``, and what else others should know; at most 512 bytes."""
    advertise_addr: str = ""
    """HOST[:PORT] of gossip as others reach it; empty: where it is bound. Port 0: the one that is bound."""
    start_join_addrs: tuple[str, ...] = ()
    """Members to join through; one that answers is enough."""
    remembered: tuple[KnownAddress, ...] = ()
    """Where members were in the last life."""
    keyring: Keyring | None = None
    """Seals all gossip; ``None``: plain text."""
    gossip: GossipConfig = field(default_factory=GossipConfig.lan)
    """Timing."""


class Membership:
    """Takes part in the cluster. ``await start()``, then ``await leave()`` and ``await close()``."""

    def __init__(
        self,
        config: MembershipConfig,
        handler: Handler,
        *,
        observer: Callable[[MemberEvent], None] = lambda event: None,  # noqa: ARG005 - nobody watches
        random: Random | None = None,
        emit: Emit = log_event,
        tasks: Supervisor | None = None,
    ) -> None:
        """Keep what is needed; nothing is bound yet.

        Args:
            config: Who this is.
            handler: Told of other members' servers.
            observer: Told of every change of membership, this node's own included.
            random: All chance; the system's unless a test gives its own.
            emit: Reports its events.
            tasks: Owns this object's tasks; ``None``: an owner that only reports.
        """
        self.config = config
        self._tasks = tasks or Supervisor(node_name=config.node_name)
        self._parts = contextlib.AsyncExitStack()
        self._handler = handler
        self._observer = observer
        self._random = random or SystemRandom()
        self._emit = emit
        self._serf: Serf | None = None
        self._transport: Transport | None = None
        self._advertised_address: Address | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._resolver = Resolver()
        self._complained_at, self._complaints = -COMPLAINT_INTERVAL, 0
        self._left = asyncio.Event()
        self._serving: dict[str, str] = {}
        self._conflicts: dict[tuple[str, str], None] = {}
        self._started_at = time.monotonic()
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
        """Bind and begin; calling the others goes on in the background.

        Raises:
            ConfigError: The address cannot be bound or advertised, or the tags are too long.
        """
        host, port = split_addr(self.config.bind_addr, "--bind-addr")
        config = self.config
        transport = Transport(
            (await own_addresses(host, "--bind-addr", self._resolver))[0],
            port,
            keyring=config.keyring,
            timeout=config.gossip.tcp_timeout,
            on_datagram=self._received,
            answer=self._answer,
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
                random=self._random,
                now=time.monotonic(),
                known=self._known(),
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
        """Return what others are told: an IP address, as the protocol carries no names."""
        if not self.config.advertise_addr:
            return (private_address(bound[0]) if is_wildcard(bound[0]) else bound[0]), bound[1]
        host, port = split_addr(self.config.advertise_addr, "--advertise-addr", default_port=0)
        return (await own_addresses(host, "--advertise-addr", self._resolver))[0], port or bound[1]

    def members(self) -> list[Member]:
        """Return the members, by name, this node included."""
        return self._serf.members() if self._serf else []

    def set_tags(self, tags: Mapping[str, str]) -> None:
        """Tell everybody this node's new tags.

        Raises:
            ConfigError: They need more than 512 bytes.
        """
        try:
            self._step(lambda serf, now: serf.set_tags(tags, now))
        except MalformedMessageError as exc:
            raise ConfigError(f"this node's tags: {exc}") from exc

    def known_addresses(self) -> list[KnownAddress]:
        """Return where others are or were: what the next life may start with."""
        return self._serf.known_addresses() if self._serf else []

    def problems(self) -> list[MembershipProblem]:
        """Return why this node may not be in the cluster that it is meant for."""
        serf, age = self._serf, time.monotonic() - self._started_at
        if serf is None:
            return []
        found = []
        unanswered = [join_addr(*address) for address in serf.unanswered()]
        alone = len(serf.members()) == 1
        if alone and unanswered and age > ALONE_SECONDS:
            detail = f"is alone: nobody has answered at {', '.join(unanswered)}"
            found.append(MembershipProblem(key="alone", detail=detail, critical=True))
        elif not alone and age > UNANSWERED_SECONDS:
            found += [
                MembershipProblem(
                    key=f"seed/{addr}",
                    detail=f"has had no answer from its seed {addr} since it started",
                    critical=False,
                )
                for addr in unanswered
            ]
        rival = serf.contested_by()
        if rival is not None:
            detail = f"is not in the cluster: others know its name at {join_addr(*rival)}"
            found.append(MembershipProblem(key="name", detail=detail, critical=True))
        return found

    def force_leave(self, name: str, *, prune: bool) -> None:
        """Say that a member that failed has left for good; with ``prune``, have everybody forget it at once.

        Raises:
            NotFoundError: Nobody of that name is known.
            PreconditionError: It is this node, or not gone.
        """
        self._step(lambda serf, now: serf.force_leave(name, now, prune=prune))

    async def leave(self) -> None:
        """Leave gracefully: the others see *left*, not *failed*. Idempotent, and bounded to ``LEAVE_TIMEOUT`` seconds."""
        if self._serf is None or self._closed:
            return
        self._step(lambda serf, now: serf.leave(now))
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(LEAVE_TIMEOUT):
                await self._left.wait()

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
                self._complain(str(exc), source)
                reply[0] = serf.error_reply(str(exc))

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
                self._publish(event)
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

    def _publish(self, event: Event) -> None:
        match event:
            case MemberEvent():
                self._member_changed(event)
            case CallFinished(error=error) if error:
                self._report_call(event)
            case LeaveFinished():
                self._left.set()
            case NameConflict(name=name, address=address, local=local):
                self._report_conflict(name, join_addr(*address), local=local)
            case KeyringChanged(operation=operation):
                self._emit(events.KEYRING_CHANGED, "", operation)
            case Ignored(reason=reason, source=source, malformed=True):
                self._complain(reason, source)
            case Ignored(reason=reason, source=source):
                self._emit(events.GOSSIP_IGNORED, "", reason, source=source and join_addr(*source))
            case _:
                return  # nobody here asks for it

    def _report_call(self, call: CallFinished) -> None:
        """Warn while this node is alone, more and more rarely; with others, one that is away is no news."""
        warn = call.alone and call.failures & (call.failures - 1) == 0
        if warn:
            self._emit(events.JOIN_FAILED, "", call.error, addrs=[join_addr(*call.address)])
        else:
            self._emit(events.JOIN_ATTEMPT_FAILED, "", call.error, addr=join_addr(*call.address))

    def _complain(self, reason: str, source: Address | None) -> None:
        """Log what makes no sense, at a rate that others do not decide."""
        self._complaints += 1
        now = time.monotonic()
        if now - self._complained_at < COMPLAINT_INTERVAL:
            return
        self._complained_at, count, self._complaints = now, self._complaints, 0
        self._emit(
            events.GOSSIP_MALFORMED, "", reason, source=None if source is None else join_addr(*source), messages=count
        )

    def _report_conflict(self, name: str, claimed_by: str, *, local: bool) -> None:
        """Say it once: the claim comes again with every exchange."""
        if (name, claimed_by) not in self._conflicts and len(self._conflicts) < MAX_CONFLICTS:
            self._conflicts[name, claimed_by] = None
            self._emit(events.MEMBER_NAME_CONFLICT, name, claimed_by, local=local)

    def _member_changed(self, event: MemberEvent) -> None:
        member = event.member
        kind = events.EVENTS[event.kind.value.replace("-", "_")]
        self._emit(kind, member.name, status=member.status.value)
        try:
            self._observer(event)
            if member.name != self.config.node_name:
                self._tell_handler(event.kind, member)
        except Exception as exc:  # noqa: BLE001 - somebody else's fault must not end the membership
            self._emit(events.MEMBER_HANDLER_FAILED, member.name, exc_info=exc)

    def _tell_handler(self, kind: MemberEventKind, member: Member) -> None:
        serving = self._serving.get(member.name)
        gone = kind in (MemberEventKind.LEAVE, MemberEventKind.FAILED, MemberEventKind.REAP)
        addr = "" if gone or member.status in (Status.LEFT, Status.FAILED) else member.tags.get(RPC_ADDR_TAG, "")
        if serving == addr or (not serving and not addr):
            return
        if serving:
            del self._serving[member.name]
            self._handler.leave(member.name)
        if addr:
            self._serving[member.name] = addr
            self._handler.join(member.name, addr)
