"""The agent's view of itself and its cluster: one snapshot from log, membership and replicator."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from functools import partial

from proglog import __version__
from proglog.addr import join_addr, rpc_addr_of
from proglog.agent.condition_file import ConditionFile
from proglog.agent.config import AgentConfig
from proglog.agent.consumer_watch import ConsumerWatch
from proglog.agent.copies_watch import CopiesWatch
from proglog.agent.follower_watch import FollowerWatch
from proglog.agent.history import Block, HistoryKeeper
from proglog.agent.log_reader import READ
from proglog.agent.membership import Membership
from proglog.agent.peer import MAX_LISTED_ORIGINS
from proglog.agent.policy_watch import PolicyWatch
from proglog.agent.replicator import Replicator
from proglog.agent.timeline import Timeline
from proglog.agent.writer import LogWriter
from proglog.errors import DrainingError, NotFoundError, UnavailableError
from proglog.gossip.member import Member as GossipMember
from proglog.gossip.member import Status
from proglog.log.log import Log
from proglog.record.batch import FIRST_VERSION, VERSION
from proglog.server.server import Server
from proglog.telemetry import events
from proglog.telemetry.latency import LatencyWindow
from proglog.wire import model
from proglog.wire.contract import FEATURES, LOWEST_PROTOCOL_VERSION, PROTOCOL_VERSION

MAX_OPERATIONS = 256
"""Most operations that a snapshot names."""


DRAIN = "draining"
"""The hold of producers."""
DRAINED = "takes no records: it is being drained; `proglog drain --resume` ends that"


@dataclass(slots=True)
class AgentView:
    """The agent's :class:`proglog.server.cluster.ClusterView`. Reads what the components hold; keeps nothing itself."""

    config: AgentConfig
    log: Log
    writer: LogWriter
    timeline: Timeline
    membership: Membership
    replicator: Replicator
    followers: FollowerWatch
    conditions: ConditionFile
    copies: CopiesWatch
    consumers: ConsumerWatch
    rpc_addr: str
    started_at_ms: int
    now_ms: Callable[[], int]
    monotonic: Callable[[], float]
    server: Server
    kept: HistoryKeeper = field(init=False)
    policy: PolicyWatch | None
    """``None``: there are no access rules."""
    started_at: float
    """On the ``monotonic`` clock."""

    def __post_init__(self) -> None:
        """Keep its own history, once :meth:`HistoryKeeper.run` runs."""
        self.kept = HistoryKeeper(partial(self.snapshot, segments=False))

    @property
    def version(self) -> int:
        """Grows with every change worth showing."""
        return self.timeline.version

    async def wait_changed(self, version: int) -> int:
        """Return the version once it differs from ``version``."""
        return await self.timeline.wait_changed(version)

    def snapshot(self, *, segments: bool) -> model.ClusterSnapshot:
        """Return everything, with the list of segments if asked.

        Raises:
            UnavailableError: The agent is starting.
        """
        self._check_started()
        return model.ClusterSnapshot(
            node=self._node(),
            log=self._log(),
            members=tuple(self._member(member) for member in self.membership.members()),
            origins=self._origins(),
            origin_count=len(self.log.origins()),
            peers=tuple(self.replicator.peers()),
            segments=self._segments() if segments else (),
            events=self.timeline.events,
            taken_at_ms=self.now_ms(),
            followers=self.followers.look(self.membership.members()),
            conditions=self.timeline.conditions(),
            copies=self.copies.copies,
            consumers=self.consumers.consumers(),
            latencies=self._latencies(),
            uptime_ms=self._uptime_ms(),
        )

    def history(self) -> Iterable[Block]:
        """Return the last hour, the newest block first."""
        return self.kept.blocks()

    def force_leave(self, name: str, *, prune: bool) -> None:
        """Declare that a failed member has left for good; errors as the membership's and :meth:`snapshot`'s."""
        self._check_started()
        self.membership.force_leave(name, prune=prune)

    def drain(self, *, resume: bool) -> None:
        """Take no more records of producers; with ``resume``, take them again. Errors as :meth:`snapshot`'s."""
        self._check_started()
        if resume:
            self.writer.release_producers(DRAIN)
        else:
            self.writer.hold_producers(DRAIN, DrainingError())
        self.timeline.touch()

    async def accept_forks(self, origin: str, *, by: str, reason: str) -> int:
        """End the alarm about forks; see :class:`proglog.server.cluster.ClusterView`."""
        self._check_started()
        alarms = [each for each in self.timeline.conditions() if each.kind == events.REPLICATION_FORKED.status_name]
        forks = [each for each in alarms if each.origin.startswith(origin.lower())]
        if not forks:
            raise NotFoundError(f"no fork that is not accepted yet has an origin that begins with {origin!r}")
        for each in forks:
            detail = each.detail.removeprefix(f"origin {each.origin}: ")
            self.timeline.emit(
                events.FORK_ACCEPTED, each.subject, f"accepted by {by}: {reason}; {detail}", origin=each.origin
            )
        await self.conditions.saved()
        return len(forks)

    async def accept_repairs(self, *, by: str, reason: str) -> int:
        """End the finding about repaired damage; see :class:`proglog.server.cluster.ClusterView`."""
        kind = events.DAMAGE_REPAIRED.status_name
        repairs = sum(each.count for each in self.timeline.conditions() if each.kind == kind)
        if not repairs:
            raise NotFoundError("no damage was repaired in this log that is not accepted yet")
        self.timeline.emit(events.REPAIRS_ACCEPTED, "", f"by {by}: {reason}")
        await self.conditions.saved()
        return repairs

    def _drained(self) -> tuple[model.MembershipProblem, ...]:
        if not self.writer.is_held(DRAIN):
            return ()
        return (model.MembershipProblem(key=DRAIN, detail=DRAINED, critical=False, unready=True),)

    def servers_alive(self) -> int:
        """Return how many members serve gRPC now, this one included."""
        return sum(
            member.status is Status.ALIVE and bool(rpc_addr_of(member.tags)) for member in self.membership.members()
        )

    def _check_started(self) -> None:
        if not self.membership.started:
            raise UnavailableError("the agent is starting: its membership is not up yet")

    def _node(self) -> model.NodeStatus:
        config = self.config
        return model.NodeStatus(
            name=config.node_name,
            version=__version__,
            origin=self.log.origin,
            rpc_addr=self.rpc_addr,
            bind_addr=self.membership.addr,
            data_dir=str(config.data_dir),
            started_at_ms=self.started_at_ms,
            tls=config.server_tls is not None,
            acl=config.acl_policy_file is not None,
            gossip_encrypted=self.membership.sealed,
            certificate_expires_at_ms=self.server.certificate_expires_at_ms(),
            origin_reason=self.replicator.origin_change.reason,
            membership_problems=(*self.membership.problems(), *self._half_sealed(), *self._drained()),
            gossip=self.membership.gossip_status(),
            policy=self.policy.status() if self.policy else None,
            certificate=self.server.certificate(),
            replication_protocol=model.VersionRange(lowest=LOWEST_PROTOCOL_VERSION, highest=PROTOCOL_VERSION),
            batch_format=model.VersionRange(lowest=FIRST_VERSION, highest=VERSION),
            features=FEATURES,
        )

    @property
    def windows(self) -> Mapping[str, LatencyWindow]:
        """How long appends, syncs and acknowledgements took, as they are counted."""
        return {**self.writer.latencies, "ack": self.followers.ack_latency}

    def _latencies(self) -> tuple[model.LatencyStatus, ...]:
        now = self.monotonic()
        found = ((what, window.quantiles(now)) for what, window in self.windows.items())
        return tuple(
            model.LatencyStatus(
                what=what,
                count=took.taken,
                median_us=round(took.median * 1e6),
                p99_us=round(took.p99 * 1e6),
                max_us=round(took.highest * 1e6),
            )
            for what, took in found
            if took.taken
        )

    def _half_sealed(self) -> list[model.MembershipProblem]:
        """Return that gossip is on its way from plain to sealed, if it is."""
        mode = self.config.encrypt_mode
        if self.config.encrypt_file is None or mode == "required":
            return []
        sends = "also sends it" if mode == "accept" else "sends only sealed gossip"
        detail = f"takes plain gossip (--encrypt-mode {mode}), and {sends}: the last step is `required`, at every agent"
        return [model.MembershipProblem(key="encryption", detail=detail, critical=False, since_ms=self._uptime_ms())]

    def _uptime_ms(self) -> int:
        return max(1, int((self.monotonic() - self.started_at) * 1000))

    def _log(self) -> model.LogStatus:
        log = self.log
        free, total = log.disk_usage()
        damaged = log.damaged()
        return model.LogStatus(
            start_offset=log.start_offset,
            end_offset=log.end_offset,
            bytes=log.stored_bytes,
            segment_count=log.segment_count,
            fsync=model.FsyncPolicy(log.config.fsync.value),
            state=model.LogState(log.state),
            disk_free_bytes=free,
            disk_total_bytes=total,
            records_appended=self.writer.records_appended,
            bytes_appended=self.writer.bytes_appended,
            records_served=self.writer.records_served,
            damaged=tuple(
                model.DamagedRange(
                    start_offset=lost.start,
                    end_offset=lost.end,
                    detail=lost.detail,
                    found_at_ms=lost.found_ms or None,
                    gap=lost.gap,
                )
                for lost in damaged
                if lost.accepted is None
            ),
            accepted=tuple(
                model.AcceptedLoss(
                    start_offset=lost.start,
                    end_offset=lost.end,
                    detail=lost.detail,
                    found_at_ms=lost.found_ms or None,
                    accepted_by=lost.accepted.by,
                    accepted_at_ms=lost.accepted.at_ms,
                    reason=lost.accepted.reason,
                    gap=lost.gap,
                )
                for lost in damaged
                if lost.accepted is not None
            ),
            recovery=log.recovery.describe(),
            state_detail=log.state_detail,
            problems=tuple(
                model.LogProblem(
                    key=problem.key,
                    detail=problem.detail,
                    since_ms=max(0, int((self.monotonic() - problem.since) * 1000)),
                )
                for problem in log.problems()
            ),
            operations=self._operations(),
        )

    def _operations(self) -> tuple[model.Operation, ...]:
        """Return what is under way: on the disk, and what others owe."""
        now = self.monotonic()
        on_disk = self.writer.underway.operations()
        current = next((work for work in on_disk if not work.waits_for and work.what != READ), None)
        under_way = (*on_disk, *self.replicator.operations(), *self.membership.operations())
        return tuple(
            model.Operation(
                what=work.what,
                since_ms=max(0, int((now - work.began) * 1000)),
                waits_for=work.waits_for,
                bound_ms=int(work.bound * 1000),
                step=self.log.step if work is current else "",
            )
            for work in under_way[:MAX_OPERATIONS]
        )

    def _origins(self) -> tuple[model.OriginStatus, ...]:
        """Return what the log has of the origins that moved last: this directory's own first, then by the node's name."""
        log = self.log
        sources, own = self.replicator.sources(), log.origin
        latest = {state.origin: state for state in log.origins().latest(MAX_LISTED_ORIGINS)}
        if (state := log.origins().get(own)) is not None:
            latest[own] = state
        held = sorted(latest.items(), key=lambda item: (item[0] != own, item[1].node_name, item[0]))
        return tuple(
            model.OriginStatus(
                origin=origin,
                node_name=state.node_name,
                next_sequence=state.next_sequence,
                floor_sequence=state.floor_sequence,
                bytes=state.bytes,
                last_append_at_ms=state.last_append_ms,
                local=origin == own,
                source=sources.get(origin, ""),
            )
            for origin, state in held
        )

    def _segments(self) -> tuple[model.Segment, ...]:
        return tuple(
            model.Segment(
                base_offset=segment.base_offset,
                end_offset=segment.end_offset,
                bytes=segment.bytes,
                record_count=segment.record_count,
                batch_count=segment.batch_count,
                first_timestamp_ms=segment.first_timestamp_ms,
                max_timestamp_ms=segment.max_timestamp_ms,
                active=segment.active,
                index_bytes=segment.index_bytes,
                index_state=model.IndexState(segment.index),
            )
            for segment in self.log.segments()
        )

    def _member(self, member: GossipMember) -> model.Member:
        return model.Member(
            name=member.name,
            addr=join_addr(member.addr, member.port),
            status=model.MemberStatus(member.status),
            tags=dict(member.tags),
            rtt_ms=member.rtt_ms,
            status_since_ms=max(0, int((self.monotonic() - member.since) * 1000)),
            incarnation=member.incarnation,
            local=member.name == self.config.node_name,
        )
