"""The agent: wires log, server, membership and replicator in the book's order, and takes them apart in the book's.

::

    start     log -> server -> membership, with the replicator as its handler
    shutdown  leave the cluster -> close the replicator -> stop the server gracefully -> close the log

Shutting down is idempotent and bounded, runs when the server fails, and no failing step keeps the next from running.

Source: *Distributed Services with Go*, chapter 7, ``internal/agent/agent.go``.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from functools import partial
from typing import TYPE_CHECKING

import grpc
import structlog

from proglog.addr import RPC_ADDR_TAG, join_addr, split_addr
from proglog.agent.cluster_view import AgentView
from proglog.agent.config import AgentConfig
from proglog.agent.events import Timeline
from proglog.agent.first_contact import release_when_met
from proglog.agent.known_members import KnownMembers
from proglog.agent.log_watch import BAD, LogChange, LogWatch
from proglog.agent.membership import Membership, MembershipConfig
from proglog.agent.repair import Repairer
from proglog.agent.replicator import Replicator
from proglog.agent.writer import LogWriter
from proglog.client.channel import open_channel
from proglog.clock import now_ms
from proglog.errors import ConfigError, ProglogError
from proglog.gossip.events import MemberEvent
from proglog.gossip.keyring import Keyring, parse_keys
from proglog.log.log import Log
from proglog.security.authorizer import AllowAll, Authorizer, CasbinAuthorizer
from proglog.security.tls import CertificateExpiry
from proglog.server.acks import Acks
from proglog.server.followers import Followers
from proglog.server.own_origin import OwnOrigin
from proglog.server.replication_service import ReplicationService
from proglog.server.server import Server
from proglog.telemetry import names

if TYPE_CHECKING:
    from proglog.telemetry.metrics import Metrics

LEAVE_TIMEOUT = 2.5
"""Seconds for telling the others; with the grace below, a stop stays under five."""
SERVER_GRACE = 1.0
"""Seconds for calls under way."""
LOOK_INTERVAL = 2.0
"""Seconds between two looks for damage."""
CERTIFICATE_WARNING_DAYS = 14
CERTIFICATE_INTERVAL = 86_400.0
"""Seconds between two warnings of a certificate that runs out."""


class Agent:
    """One node of a cluster. ``await start()``, then ``await shutdown()``; ``stopped`` is set when it is over."""

    def __init__(self, config: AgentConfig) -> None:
        """Keep ``config``; nothing is opened yet."""
        self.config = config
        self.stopped = asyncio.Event()
        self.log: Log
        self.writer: LogWriter
        self.server: Server
        self.replicator: Replicator
        self.membership: Membership
        self.view: AgentView
        self._logger: structlog.stdlib.BoundLogger = structlog.get_logger().bind(node=config.node_name)
        self._timeline = Timeline(now_ms)
        self._own_origin: OwnOrigin
        self._followers = Followers()
        self._undo: list[tuple[str, Callable[[], Awaitable[object]]]] = []
        self._shutting_down: asyncio.Task[None] | None = None
        self._watch_server: asyncio.Task[None] | None = None
        self._saying_unhealthy: asyncio.Task[None] | None = None
        self._log_watch: LogWatch
        self._known: KnownMembers
        self._certificate_expiry: CertificateExpiry | None = None
        self._metrics: Metrics | None = None

    async def start(self) -> None:
        """Set up log, server, membership; on return the agent serves and gossips.

        Raises:
            ProglogError: A step failed, in one line; what had been set up was shut down again.
        """
        try:
            if self.config.server_tls is not None:
                self._certificate_expiry = CertificateExpiry(self.config.server_tls)
            await self._set_up_log()
            await self._set_up_server()
            await self._set_up_membership()
        except BaseException:
            await self.shutdown()
            raise
        metrics = {"metrics": join_addr(self._metrics.host, self._metrics.port)} if self._metrics else {}
        self._logger.info("agent_started", rpc=self.view.rpc_addr, gossip=self.membership.addr, **metrics)

    async def shutdown(self) -> None:
        """Leave, close the replicator, stop the server, close the log. Any number of callers wait for the same end."""
        if self._shutting_down is None:
            self._shutting_down = asyncio.create_task(self._take_down(), name="agent-shutdown")
        await asyncio.shield(self._shutting_down)

    async def _take_down(self) -> None:
        self._logger.info("agent_stopping")
        while self._undo:
            step, undo = self._undo.pop()
            try:
                await undo()
            except Exception as exc:  # noqa: BLE001 - the steps after this one have to run
                self._logger.warning("agent_stop_step_failed", step=step, error=str(exc) or repr(exc))
        self._logger.info("agent_stopped")
        self.stopped.set()

    async def _set_up_log(self) -> None:
        config = self.config
        opening = partial(Log.open, config.data_dir, config.log, node_name=config.node_name, now_ms=now_ms)
        self.log = await asyncio.to_thread(opening)
        self._undo.append(("log", lambda: asyncio.to_thread(self.log.close)))
        self.writer = LogWriter(self.log)
        await self.writer.__aenter__()
        self._undo.append(("log writer", self.writer.close))
        self._known = KnownMembers(config.data_dir, config.node_name)
        self._undo.append(("known members", self._known.close))
        if self.log.end_offset and (config.start_join_addrs or self._known.addrs):
            self.writer.hold_producers()
        self._log_watch = LogWatch(self.log)
        self.writer.add_listener(self._log_advanced)
        self._logger.info("log_opened", end_offset=self.log.end_offset)
        self._tell(self._log_watch.opened())
        looking = asyncio.create_task(self._look_around(), name="agent-look-around")
        self._undo.append(("looking around", partial(_end, looking)))

    def _set_up_metrics(self, addr: str) -> None:
        from proglog.telemetry.metrics import Metrics  # 20 ms that an agent without metrics need not pay

        metrics = Metrics(*split_addr(addr, "--metrics-addr")).__enter__()
        self._undo.append(("metrics", partial(asyncio.to_thread, metrics.__exit__, None, None, None)))
        self._metrics = metrics

    async def _set_up_server(self) -> None:
        config = self.config
        if config.metrics_addr is not None:
            self._set_up_metrics(config.metrics_addr)
        self._own_origin = OwnOrigin(self.log)
        service = ReplicationService(
            self.writer, self._followers, node_name=config.node_name, own_origin=self._own_origin
        )
        self.server = Server(
            commit_log=self.writer,
            authorizer=self._authorizer(),
            tls=config.server_tls,
            on_call_end=self._metrics.call_ended if self._metrics else lambda *_: None,
            extra_services=(service,),
            acks=Acks(self._followers, self._servers_alive, self.log.holds),
        )
        port = await self.server.start(config.rpc_addr)
        self._undo.append(("server", partial(self.server.stop, SERVER_GRACE)))
        self._rpc_addr = join_addr(config.host, port)
        self._watch_server = asyncio.create_task(self._shut_down_when_the_server_ends(), name="agent-server-watch")

    async def _set_up_membership(self) -> None:
        config = self.config
        self.replicator = Replicator(
            self.writer,
            node_name=config.node_name,
            channel_factory=self._open_peer_channel,
            on_event=self._timeline.record,
            own_origin=self._own_origin,
        )
        self._undo.append(("replicator", self.replicator.close))
        repairer = Repairer(
            self.writer, self.replicator, channel_factory=self._open_peer_channel, on_event=self._timeline.record
        )
        repairer.start()
        self._undo.append(("repairer", repairer.close))

        def member_changed(event: MemberEvent) -> None:
            self._timeline.record(event.kind, event.member.name)
            self._known.changed(event)

        self.membership = Membership(
            MembershipConfig(
                node_name=config.node_name,
                bind_addr=config.bind_addr,
                tags={RPC_ADDR_TAG: self._rpc_addr},
                start_join_addrs=tuple(dict.fromkeys((*config.start_join_addrs, *self._known.addrs))),
                keyring=load_keyring(config),
            ),
            self.replicator,
            observer=member_changed,
        )
        self._undo.append(("membership", self._leave))
        self.view = AgentView(
            config=config,
            writer=self.writer,
            timeline=self._timeline,
            membership=self.membership,
            replicator=self.replicator,
            rpc_addr=self._rpc_addr,
            started_at_ms=now_ms(),
            now_ms=now_ms,
            monotonic=time.monotonic,
            certificate_expires_at_ms=self._certificate_expires_at_ms,
        )
        self.server.set_cluster(self.view)
        if self._metrics is not None:
            from proglog.agent.metrics import ClusterCollector

            self._metrics.add(ClusterCollector(self.view, asyncio.get_running_loop()))
        await self.membership.start()
        meeting = asyncio.create_task(self._meet_the_others(), name="agent-first-contact")
        self._undo.append(("first contact", partial(_end, meeting)))

    async def _meet_the_others(self) -> None:
        if self.writer.producers_held and not await release_when_met(self.writer, self.membership, self.replicator):
            self._logger.warning("first_contact_missed")

    def _log_advanced(self) -> None:
        """Show what was appended; tell what else became of the log."""
        self._timeline.touch()
        self._tell(self._log_watch.look())

    async def _look_around(self) -> None:
        """Look for what comes without anybody's doing: damage on the disk, certificates that run out."""
        warned_at = 0.0
        while True:
            self._tell(self._log_watch.look_for_damage())
            if time.monotonic() >= warned_at + CERTIFICATE_INTERVAL or not warned_at:
                warned_at = time.monotonic()
                self._warn_of_expiry()
            await asyncio.sleep(LOOK_INTERVAL)

    def _tell(self, changes: list[LogChange]) -> None:
        for change in changes:
            tell = self._logger.warning if change.event in BAD else self._logger.info
            tell(change.event, **({"detail": change.detail} if change.detail else {}))
            self._timeline.record(change.event.replace("_", "-"), self.config.node_name, change.detail)
            if change.event == names.LOG_POISONED:
                self._saying_unhealthy = asyncio.create_task(self.server.set_serving(False), name="agent-unhealthy")

    def _warn_of_expiry(self) -> None:
        expires_at_ms = self._certificate_expires_at_ms()
        days = (expires_at_ms - now_ms()) / 86_400_000
        if not expires_at_ms or days > CERTIFICATE_WARNING_DAYS:
            return
        not_after = datetime.fromtimestamp(expires_at_ms / 1000, UTC).isoformat()
        self._logger.warning("certificate_expires", not_after=not_after, days=round(days, 1))
        self._timeline.record("certificate-expires", self.config.node_name, f"at {not_after}, in {days:.1f} days")

    async def _leave(self) -> None:
        try:
            async with asyncio.timeout(LEAVE_TIMEOUT):
                await self.membership.leave()
        except TimeoutError:
            self._logger.warning("leave_timed_out", seconds=LEAVE_TIMEOUT)
        finally:
            await self.membership.close()

    async def _shut_down_when_the_server_ends(self) -> None:
        await self.server.wait_for_termination()
        if self._shutting_down is None:
            self._logger.error("server_failed")
            await self.shutdown()

    def _open_peer_channel(self, addr: str) -> grpc.aio.Channel:
        return open_channel(addr, self.config.peer_tls)

    def _authorizer(self) -> Authorizer:
        config = self.config
        if config.acl_model_file is None or config.acl_policy_file is None:
            return AllowAll()
        return CasbinAuthorizer(
            config.acl_model_file,
            config.acl_policy_file,
            on_error=lambda message: self._logger.error("policy_rejected", error=message),
        )

    def _servers_alive(self) -> int:
        """Return how many members serve gRPC now, this one included."""
        view = getattr(self, "view", None)  # calls may come before membership runs
        return 1 if view is None else view.servers_alive()

    def _certificate_expires_at_ms(self) -> int:
        """Return when the server certificate ends, milliseconds since 1970; 0 without one."""
        expiry = self._certificate_expiry
        return 0 if expiry is None else int(expiry.not_after().timestamp() * 1000)


async def _end(task: asyncio.Task[None]) -> None:
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


def load_keyring(config: AgentConfig) -> Keyring | None:
    """Return the gossip keys of ``--encrypt-file``; ``None`` without one.

    Raises:
        ConfigError: The file cannot be read, or holds no keys.
    """
    if config.encrypt_file is None:
        return None
    try:
        return parse_keys(config.encrypt_file.read_bytes())
    except OSError as exc:
        raise ConfigError(f"--encrypt-file {config.encrypt_file}: {exc.strerror}") from exc
    except ProglogError as exc:
        raise ConfigError(f"--encrypt-file {config.encrypt_file}: {exc}") from exc
