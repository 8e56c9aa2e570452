"""The membership: drives the pure gossip core over real sockets, and tells its handler who serves and who no longer does.

The book's shape: a handler with ``join(name, addr)`` and ``leave(name)``, called for every *other* member that carries
an ``rpc_addr`` tag. Feed the core, then pump: send what it wants sent, open the streams it wants, publish its events,
wake up at its next deadline.
"""

import asyncio
import contextlib
import ipaddress
import socket
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from random import Random, SystemRandom
from typing import Protocol

from proglog.addr import RPC_ADDR_TAG, join_addr, split_addr
from proglog.agent.supervisor import Supervisor
from proglog.agent.transport import Transport
from proglog.errors import ConfigError
from proglog.gossip.config import GossipConfig
from proglog.gossip.errors import MalformedMessageError
from proglog.gossip.events import (
    Event,
    Ignored,
    JoinFinished,
    KeyringChanged,
    LeaveFinished,
    MemberEvent,
    MemberEventKind,
    NameConflict,
)
from proglog.gossip.framing import StreamMessage
from proglog.gossip.keyring import Keyring
from proglog.gossip.member import Member, Status
from proglog.gossip.serf import Serf
from proglog.tasks import cancel_and_wait
from proglog.telemetry import events
from proglog.telemetry.events import Emit, log_event

LEAVE_TIMEOUT = 3.0
MAX_CONFLICTS = 1000
MIN_JOIN_RETRY, MAX_JOIN_RETRY = 0.5, 10.0
"""Seconds between two rounds over the seeds while none has answered."""


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
    start_join_addrs: tuple[str, ...] = ()
    """Members to join through; one that answers is enough."""
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
        self._timer: asyncio.TimerHandle | None = None
        self._joining: asyncio.Task[None] | None = None
        self._joins: dict[int, asyncio.Future[str]] = {}
        self._left = asyncio.Event()
        self._serving: dict[str, str] = {}
        self._conflicts: dict[tuple[str, str], None] = {}
        self._closed = False

    @property
    def started(self) -> bool:
        """Whether gossip is bound, so that :attr:`addr` is known."""
        return self._transport is not None

    @property
    def addr(self) -> str:
        """HOST:PORT that gossip is bound to."""
        assert self._transport is not None, "the membership has not been started"
        return join_addr(*self._transport.address)

    async def start(self) -> None:
        """Bind and begin; joining goes on in the background until a seed has answered.

        Raises:
            ConfigError: The address cannot be bound, or the tags are too long.
        """
        host, port = split_addr(self.config.bind_addr, "--bind-addr")
        config = self.config
        transport = Transport(
            await _resolve(host, "--bind-addr"),
            port,
            keyring=config.keyring,
            timeout=config.gossip.tcp_timeout,
            on_datagram=self._received,
            answer=self._answer,
        )
        self._transport = await self._parts.enter_async_context(transport)
        bound_host, bound_port = transport.address
        try:
            self._serf = Serf(
                name=config.node_name,
                address=(_advertised(bound_host), bound_port),
                tags=config.tags,
                config=config.gossip,
                keyring=config.keyring,
                random=self._random,
                now=time.monotonic(),
            )
        except MalformedMessageError as exc:
            await self.close()
            raise ConfigError(f"this node's tags: {exc}") from exc
        self._serf.start(time.monotonic())
        self._pump()
        if config.start_join_addrs:
            self._joining = self._tasks.start(self._join_seeds(), name="gossip-join")

    def members(self) -> list[Member]:
        """Return the members, by name, this node included."""
        return self._serf.members() if self._serf else []

    def set_tags(self, tags: Mapping[str, str]) -> None:
        """Tell everybody this node's new tags.

        Raises:
            ConfigError: They need more than 512 bytes.
        """
        assert self._serf is not None, "the membership has not been started"
        try:
            self._serf.set_tags(tags, time.monotonic())
        except MalformedMessageError as exc:
            raise ConfigError(f"this node's tags: {exc}") from exc
        self._pump()

    def force_leave(self, name: str, *, prune: bool) -> None:
        """Say that a member that failed has left for good; with ``prune``, have everybody forget it at once.

        Raises:
            NotFoundError: Nobody of that name is known.
            PreconditionError: It is this node, or not gone.
        """
        assert self._serf is not None, "the membership has not been started"
        self._serf.force_leave(name, time.monotonic(), prune=prune)
        self._pump()

    async def leave(self) -> None:
        """Leave gracefully: the others see *left*, not *failed*. Idempotent, and bounded to ``LEAVE_TIMEOUT`` seconds."""
        if self._serf is None or self._closed:
            return
        if self._joining is not None:
            self._joining.cancel()
        self._serf.leave(time.monotonic())
        self._pump()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(LEAVE_TIMEOUT):
                await self._left.wait()

    async def close(self) -> None:
        """Let go of the sockets. Idempotent."""
        self._closed = True
        if self._joining is not None:
            await cancel_and_wait(self._joining)
        if self._timer is not None:
            self._timer.cancel()
        self._serf = None
        await self._parts.aclose()

    async def _join_seeds(self) -> None:
        """Join; then call, from time to time, on a seed that nobody here has heard of.

        Parts of a cluster that were restarted while they were cut off do not know each other. Only an address that
        somebody was given brings them together again.
        """
        await self._join_one()
        while True:
            await asyncio.sleep(self.config.gossip.reconnect_interval * self._random.uniform(0.8, 1.2))
            unheard_of = await self._unheard_of()
            if unheard_of:
                addr = self._random.choice(unheard_of)
                error = await self._join(addr)
                if error:
                    self._emit(events.JOIN_ATTEMPT_FAILED, "", error, addr=addr)

    async def _unheard_of(self) -> list[str]:
        """Return the seeds at whose address no member is known, in whatever state."""
        known = {(member.addr, member.port) for member in self.members()}
        found = []
        for addr in self.config.start_join_addrs:
            host, port = split_addr(addr, "--start-join-addrs")
            with contextlib.suppress(ConfigError):  # a name that is not in the DNS now
                if (await _resolve(host, "--start-join-addrs"), port) not in known:
                    found.append(addr)
        return found

    async def _join_one(self) -> None:
        """Try the seeds, again and again, until one has answered."""
        delay = MIN_JOIN_RETRY
        while True:
            results = await asyncio.gather(*(self._join(addr) for addr in self.config.start_join_addrs))
            if not all(results):
                return
            self._emit(events.JOIN_FAILED, "", results[0], addrs=list(self.config.start_join_addrs))
            await asyncio.sleep(delay * self._random.uniform(0.8, 1.2))
            delay = min(delay * 2, MAX_JOIN_RETRY)

    async def _join(self, addr: str) -> str:
        """Return why joining through ``addr`` failed; nothing if it did not."""
        host, port = split_addr(addr, "--start-join-addrs")
        try:
            address = (await _resolve(host, "--start-join-addrs"), port)
        except ConfigError as exc:
            return str(exc)
        if self._serf is None:
            return "closed"
        if join_addr(*address) == self.addr and len(self.config.start_join_addrs) > 1:
            return "this node itself"  # the same list on every node is fine: another one has to answer
        answer: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        self._joins[self._serf.join(address, time.monotonic())] = answer
        self._pump()
        return await answer

    def _received(self, data: bytes, source: tuple[str, int]) -> None:
        serf = self._serf
        if serf is not None:
            self._contained(lambda: serf.receive_datagram(data, source, time.monotonic()))

    def _answer(self, request: StreamMessage | MalformedMessageError) -> bytes | None:
        if self._serf is None:
            return None
        try:
            if isinstance(request, MalformedMessageError):
                raise request
            return self._serf.answer_stream(request, time.monotonic())
        except MalformedMessageError as exc:
            self._emit(events.GOSSIP_IGNORED, "", str(exc))
            return self._serf.error_reply(str(exc))
        finally:
            self._pump()

    def _wake(self) -> None:
        self._timer = None
        if self._serf is None or self._transport is None:
            return
        self._transport.drain()  # an answer that has arrived counts, however late this process is
        serf = self._serf
        if serf is not None:
            self._contained(lambda: serf.handle_timer(time.monotonic()))

    def _contained(self, step: Callable[[], None]) -> None:
        """Run a step of the core, then send what it wants sent: a fault in one must not end the membership."""
        try:
            step()
        except Exception as exc:  # noqa: BLE001 - a bug in one step must not end the membership
            self._emit(events.GOSSIP_STEP_FAILED, exc_info=exc)
        self._pump()

    def _pump(self) -> None:
        serf, transport = self._serf, self._transport
        if serf is None or transport is None:
            return
        for data, address in serf.datagrams_to_send():
            transport.send(data, address)
        for stream in serf.streams_to_open():
            done = self._stream_done(stream.id)
            transport.exchange(stream.data, stream.address, stream.timeout, done)
        for event in serf.events():
            self._publish(event)
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        deadline = serf.next_deadline()
        if deadline is not None and not self._closed:
            delay = max(0.0, deadline - time.monotonic())
            self._timer = asyncio.get_running_loop().call_later(delay, self._wake)

    def _stream_done(self, stream_id: int) -> Callable[[StreamMessage | None, str], None]:
        def done(message: StreamMessage | None, error: str) -> None:
            serf = self._serf
            if serf is None:
                return
            now = time.monotonic()
            if message is None:
                self._contained(lambda: serf.stream_failed(stream_id, error, now))
            else:
                self._contained(lambda: serf.stream_answered(stream_id, message, now))

        return done

    def _publish(self, event: Event) -> None:
        match event:
            case MemberEvent():
                self._member_changed(event)
            case JoinFinished(call_id=call_id, error=error):
                answer = self._joins.pop(call_id, None)
                if answer is not None and not answer.done():
                    answer.set_result(error)
            case LeaveFinished():
                self._left.set()
            case NameConflict(name=name, address=address, local=local):
                self._report_conflict(name, join_addr(*address), local=local)
            case KeyringChanged(operation=operation):
                self._emit(events.KEYRING_CHANGED, "", operation)
            case Ignored(reason=reason, source=source):
                self._emit(events.GOSSIP_IGNORED, "", reason, source=source and join_addr(*source))

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


async def _resolve(host: str, flag: str) -> str:
    """Return an IP address of ``host``: IPv4 where there is one, as agents prefer."""
    try:
        ipaddress.ip_address(host)
    except ValueError:
        try:
            found = await asyncio.get_running_loop().getaddrinfo(host, None, type=socket.SOCK_STREAM)
        except OSError as exc:
            raise ConfigError(f"{flag}: {host} cannot be resolved: {exc.strerror or exc}") from exc
        return str(min(found, key=lambda each: each[0] != socket.AF_INET)[4][0])
    return host


def _advertised(host: str) -> str:
    """Return the address that others are told: of ``0.0.0.0`` the one this machine would send from."""
    if not ipaddress.ip_address(host).is_unspecified:
        return host
    family, probe = (socket.AF_INET6, "2001:db8::1") if ":" in host else (socket.AF_INET, "192.0.2.1")
    with socket.socket(family, socket.SOCK_DGRAM) as udp:
        try:
            udp.connect((probe, 9))  # sends nothing: it only chooses the address
        except OSError:
            return "::1" if ":" in host else "127.0.0.1"
        return str(udp.getsockname()[0])
