"""Sets up an agent: in phases, each of complete objects, and each with its shutdown step."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack, ExitStack
from dataclasses import dataclass
from functools import partial
from typing import Any

import grpc.aio

from proglog.addr import RPC_ADDR_TAG, join_addr, split_addr
from proglog.agent.advertise import addresses
from proglog.agent.certificate_watch import CertificateWatch
from proglog.agent.cluster_view import AgentView
from proglog.agent.condition_file import ConditionFile
from proglog.agent.config import AgentConfig
from proglog.agent.consumer_watch import ConsumerWatch
from proglog.agent.copies_watch import CopiesWatch
from proglog.agent.event_handlers import EventHandlers, parse_handlers
from proglog.agent.follower_watch import FollowerWatch
from proglog.agent.keyring_file import KeyringFile
from proglog.agent.known_members import KnownMembers
from proglog.agent.membership import Membership
from proglog.agent.membership_config import MembershipConfig
from proglog.agent.monitor import Monitor
from proglog.agent.peer_check import NAME_CHECK, PEER_CHECK, release_when_met
from proglog.agent.policy_watch import PolicyWatch
from proglog.agent.readiness import Readiness
from proglog.agent.repair import Repairer
from proglog.agent.replicator import Replicator
from proglog.agent.resolver import Resolver
from proglog.agent.retention_watch import RetentionWatch
from proglog.agent.serf_calls import SerfCalls
from proglog.agent.serf_events import SerfEvents
from proglog.agent.supervisor import Supervisor
from proglog.agent.timeline import Timeline
from proglog.agent.writer import LogWriter
from proglog.client.channel import open_channel
from proglog.clock import now_ms
from proglog.errors import NameTakenError
from proglog.gossip.config import GossipConfig
from proglog.gossip.events import NameStanding, NameVoted
from proglog.gossip.keyring import SealMode
from proglog.gossip.label import parse_label
from proglog.gossip.member import Member
from proglog.gossip.member_rules import MemberRules, parse_networks
from proglog.log.log import Log
from proglog.observe.words import duration_words
from proglog.security.authorizer import AllowAll, Authorizer
from proglog.server.event_feed import EventFeed
from proglog.server.followers import Followers
from proglog.server.introductions import Introductions
from proglog.server.membership_service import MembershipService
from proglog.server.own_origin import OwnOrigin
from proglog.server.replication_service import ReplicationService
from proglog.server.server import Server
from proglog.tasks import cancel_and_wait
from proglog.telemetry import events
from proglog.telemetry.emit import Emit
from proglog.telemetry.tracing import Tracing

LEAVE_TIMEOUT = 2.5
"""Seconds for telling the others; with the grace below, a stop stays under five."""
SERVER_GRACE = 1.0
"""Seconds for calls under way."""
_NAME_CONTEST = "name contest"
"""Why producers are held while another node claims this node's name."""


class Steps:
    """Shutdown steps, run in reverse order. A failing step is reported; the others still run."""

    def __init__(self, emit: Emit) -> None:
        """Start with none."""
        self._emit = emit
        self._stack = AsyncExitStack()

    def add(self, name: str, end: Callable[[], Awaitable[object]]) -> None:
        """Run ``end`` before the steps that were added earlier."""
        self._stack.push_async_callback(self._run, name, end)

    async def aclose(self) -> None:
        """Run them all."""
        self._emit(events.AGENT_STOPPING)
        await self._stack.aclose()
        self._emit(events.AGENT_STOPPED)

    async def _run(self, name: str, end: Callable[[], Awaitable[object]]) -> None:
        try:
            await end()
        except (Exception, asyncio.CancelledError) as exc:  # noqa: BLE001 - the steps after this one have to run
            self._emit(events.AGENT_STOP_STEP_FAILED, name, str(exc) or repr(exc))


@dataclass(frozen=True, slots=True, kw_only=True)
class Parts:
    """An agent's, all of them running."""

    config: AgentConfig
    log: Log
    writer: LogWriter
    server: Server
    replicator: Replicator
    membership: Membership
    view: AgentView


async def open_parts(config: AgentConfig, tasks: Supervisor, steps: Steps, stop: Callable[[], None]) -> Parts:
    """Set up log, server and membership, in the book's order.

    Args:
        config: Of the agent.
        tasks: Owns every task.
        steps: Takes the step that ends each part, also of those set up before one that fails.
        stop: Ends the agent, in order.

    Raises:
        ProglogError: A part cannot be set up, in one line.
    """
    steps.add("tasks", tasks.close)
    timeline = Timeline(now_ms, config.node_name)
    emit = timeline.emit

    tracing = None if config.trace_endpoint is None else Tracing(config.trace_endpoint, config.node_name)
    if tracing is not None:
        steps.add("tracing", partial(asyncio.to_thread, tracing.close))
    log = await _open_log(config)
    steps.add("log", lambda: asyncio.to_thread(log.close))
    writer = LogWriter(log, tasks)
    writer.tracing = tracing
    steps.add("log writer", writer.close)
    writer.start()
    emit(events.LOG_OPENED, end_offset=log.end_offset)
    kept = ConditionFile(config.data_dir, timeline.lasting, tasks, emit)
    steps.add("conditions", kept.close)
    known = KnownMembers(config.data_dir, config.node_name, tasks, emit)
    keys = KeyringFile(config.encrypt_file, config.data_dir, tasks, emit, SealMode(config.encrypt_mode))
    if config.start_join_addrs or known.remembered:
        writer.hold_producers(NAME_CHECK)
        if log.end_offset:
            writer.hold_producers(PEER_CHECK)

    metrics = None
    if config.metrics_addr is not None:
        from proglog.telemetry.metrics import Metrics  # 20 ms that an agent without metrics need not pay

        endpoint = ExitStack()
        metrics = endpoint.enter_context(Metrics(*split_addr(config.metrics_addr, "--metrics-addr")))
        steps.add("metrics", lambda: asyncio.to_thread(endpoint.close))
    own_origin, followers, policy = OwnOrigin(writer), Followers(), _policy(config, emit)
    authorizer: Authorizer = policy.authorizer if policy else AllowAll()
    introductions = Introductions(authorizer)
    service = ReplicationService(
        writer, followers, node_name=config.node_name, own_origin=own_origin, introductions=introductions
    )
    writer.add_progress_listener(service.moved)
    server = Server(
        commit_log=writer,
        authorizer=authorizer,
        emit=emit,
        tls=config.server_tls,
        on_call_end=metrics.call_ended if metrics else lambda *_: None,
        extra_services=(service,),
        followers=followers,
        tracing=tracing,
    )
    own = await addresses(config, server.bind(config.rpc_addr), Resolver())
    rpc_addr = own.rpc
    steps.add("server", lambda: server.stop(SERVER_GRACE))

    dial = partial(_dial, config)
    replicator = Replicator(
        writer,
        node_name=config.node_name,
        channel_factory=dial,
        emit=emit,
        own_origin=own_origin,
        others=lambda: {each.name: _state_of(each) for each in membership.servers()},
        introductions=introductions,
        tasks=tasks,
        tracing=tracing,
    )
    steps.add("replicator", replicator.close)

    membership = Membership(
        MembershipConfig(
            node_name=config.node_name,
            bind_addr=config.bind_addr,
            advertise_addr=own.gossip,
            tags={**config.tags, RPC_ADDR_TAG: rpc_addr},
            start_join_addrs=config.start_join_addrs,
            remembered=known.remembered,
            keyring=keys.keyring,
            label=parse_label(config.gossip_label, "--gossip-label"),
            rules=MemberRules(
                parse_networks(config.gossip_allow, "--gossip-allow"), strict_names=config.validate_node_names
            ),
            gossip=GossipConfig.profile(config.gossip_profile),
            clocks=known.clocks,
            replay_events=config.replay_events,
        ),
        replicator,
        observer=lambda _event: known.changed(),
        on_name=partial(_name_voted, config, writer, tasks),
        emit=emit,
        tasks=tasks,
    )
    feed = EventFeed(now_ms)
    calls = SerfCalls(membership, feed, stop)
    server.add_service(MembershipService(calls))
    scripts = EventHandlers(
        tuple(handler for text in config.event_handlers for handler in parse_handlers(text)),
        config.node_name,
        tags=membership.tags,
        respond=calls.respond,
        emit=emit,
    )
    copies = CopiesWatch(writer, replicator, membership.members, name=config.node_name)
    consumers = ConsumerWatch(writer, now_ms=now_ms)
    view = AgentView(
        config=config,
        log=log,
        writer=writer,
        timeline=timeline,
        conditions=kept,
        membership=membership,
        replicator=replicator,
        followers=FollowerWatch(writer, followers, name=config.node_name),
        copies=copies,
        consumers=consumers,
        rpc_addr=rpc_addr,
        started_at_ms=now_ms(),
        now_ms=now_ms,
        monotonic=time.monotonic,
        server=server,
        policy=policy,
        started_at=time.monotonic(),
    )
    if metrics is not None:
        from proglog.agent.metrics import ClusterCollector, MetricSources

        sources = MetricSources(view=view, latencies=view.windows, admission=server.admission, events=timeline.counts)
        metrics.add(ClusterCollector(sources, asyncio.get_running_loop()))
    await server.serve(view)

    def run(name: str, task: asyncio.Task[None]) -> None:
        steps.add(name, partial(cancel_and_wait, task))

    # No step ends it: cancelling it would cancel what `stop` of the server waits for. It ends with the server.
    tasks.start(server.watch(), name="agent-server-watch", may_end=True)
    retention = RetentionWatch(
        name=config.node_name,
        log=writer,
        config=config.log,
        stored_bytes=lambda: log.stored_bytes,
        followers=followers,
        members=membership.members,
        emit=emit,
    )
    monitor = Monitor(
        log,
        timeline,
        certificate_expires_at_ms=server.certificate_expires_at_ms,
        now_ms=now_ms,
        also=retention.look,
    )
    writer.add_listener(monitor.log_advanced)
    certificates = CertificateWatch(config.server_tls, config.peer_tls, emit)
    run("certificates", tasks.start(certificates.run(), name="agent-certificates", may_end=True))
    run("monitor", tasks.start(monitor.run(), name="agent-monitor"))
    repairer = Repairer(writer, replicator, channel_factory=dial, emit=emit)
    run("repair", tasks.start(repairer.run(), name="repair", may_end=True))
    steps.add("kept keyring", keys.close)
    run("keyring", tasks.start(keys.run(), name="keyring-save"))
    await _open_serf_rpc(config, timeline, membership, calls, steps)
    run("event handlers", tasks.start(scripts.run(), name="event-handlers"))
    steps.add("event script", scripts.close)
    membership.listen(SerfEvents(feed, scripts, known, keys, emit).take)
    steps.add("membership", partial(_leave, membership, emit))
    await membership.start()
    run("history", tasks.start(view.kept.run(), name="agent-history"))
    run("consumers", tasks.start(consumers.run(), name="agent-consumers"))
    run("copies", tasks.start(copies.run(), name="agent-copies"))
    readiness = Readiness(partial(view.snapshot, segments=False), server.set_serving, timeline.touch)
    writer.add_listener(lambda: readiness.log_changed(log.state))
    run("readiness", tasks.start(readiness.run(), name="agent-readiness"))
    known.follow(membership.known_addresses, membership.clocks)
    steps.add("known members", known.close)
    meeting = _meet_the_others(writer, membership, replicator, emit)
    run("peer check", tasks.start(meeting, name="agent-peer-check", may_end=True))
    addrs: dict[str, Any] = {"metrics": join_addr(metrics.host, metrics.port)} if metrics else {}
    emit(events.AGENT_STARTED, rpc=rpc_addr, gossip=membership.addr, **addrs)
    return Parts(
        config=config,
        log=log,
        writer=writer,
        server=server,
        replicator=replicator,
        membership=membership,
        view=view,
    )


async def _open_serf_rpc(
    config: AgentConfig, timeline: Timeline, membership: Membership, calls: SerfCalls, steps: Steps
) -> None:
    if config.serf_rpc_addr is None:
        return
    from proglog.agent.serf_rpc import SerfRpc, read_token
    from proglog.agent.serf_rpc_commands import Commands
    from proglog.agent.serf_rpc_streams import Streams

    streams = Streams()
    timeline.on_line = streams.take_line
    membership.listen(streams.take)
    commands = Commands(membership, calls, handlers=config.event_handlers)
    host, port = split_addr(config.serf_rpc_addr, "--serf-rpc-addr")
    token = "" if config.serf_rpc_auth_file is None else read_token(config.serf_rpc_auth_file)
    rpc = SerfRpc(host, port, token=token, calls=calls, commands=commands, streams=streams)
    stack = AsyncExitStack()
    await stack.enter_async_context(rpc)
    steps.add("serf rpc", stack.aclose)
    timeline.emit(events.SERF_RPC_OPENED, "", rpc.addr)


async def _open_log(config: AgentConfig) -> Log:
    """Open the log on a thread; where the start is called off meanwhile, close it again."""
    opening = asyncio.get_running_loop().run_in_executor(
        None, partial(Log.open, config.data_dir, config.log, node_name=config.node_name, now_ms=now_ms)
    )
    try:
        return await asyncio.shield(opening)
    except asyncio.CancelledError:
        (await opening).close()
        raise


def _name_voted(config: AgentConfig, writer: LogWriter, tasks: Supervisor, vote: NameVoted) -> None:
    """Acknowledge nothing while the name is contested; end when it is lost."""
    if vote.standing is NameStanding.HELD:
        writer.release_producers(_NAME_CONTEST)
    else:
        writer.hold_producers(_NAME_CONTEST)
    if vote.standing is NameStanding.LOST and vote.rival is not None:
        votes = f"{vote.matching} of {vote.answers} for this one"
        tasks.end(NameTakenError(config.node_name, join_addr(*vote.rival), votes, str(config.data_dir)))


async def _meet_the_others(writer: LogWriter, membership: Membership, replicator: Replicator, emit: Emit) -> None:
    if writer.is_held(NAME_CHECK) and not await release_when_met(writer, membership, replicator):
        emit(events.PEER_CHECK_INCOMPLETE)


async def _leave(membership: Membership, emit: Emit) -> None:
    try:
        async with asyncio.timeout(LEAVE_TIMEOUT):
            await membership.leave()
    except TimeoutError:
        emit(events.LEAVE_TIMED_OUT, seconds=LEAVE_TIMEOUT)
    finally:
        await membership.close()


def _dial(config: AgentConfig, addr: str) -> grpc.aio.Channel:
    return open_channel(addr, config.peer_tls)


def _policy(config: AgentConfig, emit: Emit) -> PolicyWatch | None:
    if config.acl_model_file is None or config.acl_policy_file is None:
        return None
    return PolicyWatch(config.acl_model_file, config.acl_policy_file, emit)


def _state_of(member: Member) -> str:
    """Return how a member is, and since when, in words."""
    return f"{member.status} {duration_words(time.monotonic() - member.since)} ago"
