"""What members, status, lag and segments print of a snapshot, with the columns of the dashboard's panels."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal, cast

from proglog.cli import zone
from proglog.cli.output import Table
from proglog.cli.shapes import Shape
from proglog.observe.columns import Column, Item
from proglog.observe.copies_view import held_here, verdict
from proglog.observe.health import Finding, Severity, copy_words, findings, worst
from proglog.observe.lag import of_node
from proglog.observe.spans import Role
from proglog.observe.words import age_words, bytes_words, duration_words, origin_id
from proglog.tui.panels.members import columns as member
from proglog.tui.panels.members.columns import MemberFacts, status_role
from proglog.tui.panels.replication import columns as replication
from proglog.tui.panels.replication.columns import OriginCopy
from proglog.tui.panels.replication.lag_cells import lag_text
from proglog.tui.panels.segments import columns as segment
from proglog.tui.panels.segments.columns import SegmentFacts
from proglog.types import counted, half_open
from proglog.wire.model import (
    ClusterSnapshot,
    IndexState,
    LogState,
    LogStatus,
    MemberStatus,
    NodeStatus,
    OriginStatus,
    PeerState,
    Segment,
)


def printed(column: Column[Item], *, title: str = "", rank: int = 0, limit: int = 40) -> Column[Item]:
    """Return a column of the dashboard as the command line has it: under another title, giving way in another order."""
    return replace(column, title=title or column.title, rank=rank, limit=limit)


def members(snapshot: ClusterSnapshot) -> list[MemberFacts]:
    """Return the members, this node first, then by name."""
    held = held_here(snapshot)
    return [
        MemberFacts(member=each, status_seconds=each.status_since_ms / 1000, held=held.get(each.name, 0))
        for each in sorted(snapshot.members, key=lambda each: (not each.local, each.name))
    ]


@dataclass(frozen=True, slots=True, kw_only=True)
class MemberShape:
    """A member, for programs."""

    name: str
    status: MemberStatus
    addr: str
    """Gossip address, HOST:PORT."""
    rpc_addr: str
    """Its gRPC server, HOST:PORT; null: it is no proglog agent."""
    rtt_ms: float | None
    """Of the last probe; null: not measured."""
    status_since_ms: int
    """How long it has had this status."""
    incarnation: int
    local: bool
    """Whether it is the agent that answered."""
    tags: dict[str, str]


MEMBERS_SHAPE = Shape("members", MemberShape, restless=frozenset({"rtt_ms", "status_since_ms", "incarnation"}))


def member_shape(facts: MemberFacts) -> MemberShape:
    """Return a member for programs."""
    each = facts.member
    return MemberShape(
        name=each.name,
        status=each.status,
        addr=each.addr,
        rpc_addr=each.rpc_addr,
        rtt_ms=each.rtt_ms,
        status_since_ms=each.status_since_ms,
        incarnation=each.incarnation,
        local=each.local,
        tags=each.tags,
    )


MEMBERS = Table(
    columns=(
        printed(member.MEMBER),
        printed(member.STATUS),
        printed(member.GOSSIP, rank=2),
        printed(member.RPC_ADDRESS, title="RPC", rank=1),
        printed(member.RTT, rank=3),
        printed(replace(member.FOR, words=duration_words), title="SINCE", rank=4),
        printed(member.TAGS, rank=5, limit=60),
    ),
    shape=MEMBERS_SHAPE,
    data=member_shape,
    role=lambda facts: status_role(facts.member.status),
    empty="no members",
)


def segments(snapshot: ClusterSnapshot) -> list[SegmentFacts]:
    """Return the segments, in order."""
    return [SegmentFacts(segment=each, now_ms=snapshot.taken_at_ms) for each in snapshot.segments]


SEGMENTS_SHAPE = Shape("segments", Segment, identity=("base_offset",))
SEGMENTS = Table(
    columns=(
        printed(
            replace(segment.OFFSETS, text=lambda facts: half_open(facts.segment.base_offset, facts.segment.end_offset))
        ),
        printed(segment.RECORDS),
        printed(segment.SIZE),
        printed(segment.BATCHES, rank=3),
        printed(replace(segment.FIRST_RECORD, words=zone.second), rank=2),
        printed(replace(segment.LAST_RECORD, words=zone.second), rank=1),
        printed(segment.INDEX, rank=4),
        printed(segment.STATE),
    ),
    shape=SEGMENTS_SHAPE,
    data=lambda facts: facts.segment,
    role=lambda facts: Role.WARN if facts.segment.index_state is IndexState.MISSING else Role.TEXT,
    empty="no segments",
)


def lag(snapshot: ClusterSnapshot) -> list[OriginCopy]:
    """Return each origin of each peer, by name; a peer of which nothing is known yet once, without an origin."""
    return [
        OriginCopy(peer=peer, origin=origin)
        for peer in sorted(snapshot.peers, key=lambda peer: peer.name)
        for origin in (sorted(peer.origins, key=lambda origin: (origin.node_name, origin.origin)) or (None,))
    ]


@dataclass(frozen=True, slots=True, kw_only=True)
class LagShape:
    """An origin of a peer, for programs."""

    peer: str
    state: PeerState
    """Of the replication stream from the peer."""
    error: str
    """Why it is not streaming."""
    origin: bytes | None
    """null: nothing is known of the peer's origins."""
    node_name: str = ""
    """The node that the origin belongs to."""
    next_sequence: int | None = None
    """Durable at the agent: one past the last."""
    peer_next_sequence: int | None = None
    """Durable at the peer: one past the last."""
    lag_records: int | None = None
    """The agent behind the peer."""
    lag_bytes: int | None = None
    lag_ms: int | None = None
    peer_lag_records: int | None = None
    """The peer behind the agent."""
    is_source: bool | None = None
    """Whether the agent pulls this origin from this peer."""
    lag_trend_records_per_s: float | None = None
    """By which the lag grows; negative: catching up."""
    catch_up_ms: int | None = None
    """Until the agent has caught up; 0: it has, null: unknown, or not catching up."""


LAG_SHAPE = Shape(
    "lag",
    LagShape,
    identity=("peer", "origin"),
    restless=frozenset({"lag_trend_records_per_s", "catch_up_ms"}),
)


def lag_shape(copy: OriginCopy) -> LagShape:
    """Return an origin of a peer for programs."""
    peer, origin = copy.peer, copy.origin
    if origin is None:
        return LagShape(peer=peer.name, state=peer.state, error=peer.error, origin=None)
    return LagShape(
        peer=peer.name,
        state=peer.state,
        error=peer.error,
        origin=origin.origin,
        node_name=origin.node_name,
        next_sequence=origin.next_sequence,
        peer_next_sequence=origin.peer_next_sequence,
        lag_records=origin.lag_records,
        lag_bytes=origin.lag_bytes,
        lag_ms=origin.lag_ms,
        peer_lag_records=origin.peer_lag_records,
        is_source=origin.source,
        lag_trend_records_per_s=round(origin.lag_trend, 3),
        catch_up_ms=origin.catch_up_ms,
    )


def _copy_role(copy: OriginCopy) -> Role:
    if copy.lag.records:
        return Role.WARN
    return {PeerState.STREAMING: Role.GOOD, PeerState.BACKING_OFF: Role.BAD}.get(copy.peer.state, Role.WARN)


LAG = Table(
    columns=(
        printed(replication.PEER),
        printed(replication.STREAM, rank=1),
        printed(replication.ORIGIN),
        printed(replication.HERE, rank=4),
        printed(replication.THERE, rank=3),
        printed(replace(replication.LAG, right=False), title="THIS NODE", limit=100),
        printed(replace(replication.PEER_LAG, right=False), title="THE PEER", rank=2, limit=60),
    ),
    shape=LAG_SHAPE,
    data=lag_shape,
    role=_copy_role,
    empty="no peers: nothing is copied",
)


@dataclass(frozen=True, slots=True)
class Fact:
    """A line of an agent's status."""

    name: str
    words: str
    role: Role = Role.TEXT


STATUS: Table[Fact] = Table(
    columns=(
        Column(title="WHAT", value=lambda fact: fact.name, limit=40),
        Column(title="", value=lambda fact: fact.words, limit=100),
    ),
    shape=Shape("facts", Fact),
    role=lambda fact: fact.role,
)


def status(snapshot: ClusterSnapshot) -> list[Fact]:
    """Return what is good to know of one agent, a fact a line."""
    node, log = snapshot.node, snapshot.log
    alive = sum(each.status is MemberStatus.ALIVE for each in snapshot.members)
    behind, found = of_node(snapshot), findings(snapshot)
    up = duration_words(snapshot.up_ms / 1000)
    offsets = f"offsets {half_open(log.start_offset, log.end_offset)}"
    return [
        Fact("node", f"{node.name}, proglog {node.version}, up {up}"),
        _health(found),
        Fact("gRPC", node.rpc_addr),
        Fact("gossip", node.bind_addr),
        Fact("security", _security(snapshot)),
        Fact("origin", node.origin.hex()),
        Fact("data", node.data_dir),
        Fact(
            "log",
            f"{log.state}: {counted(log.end_offset - log.start_offset, 'record')}, {offsets}",
            Role.TEXT if log.state is LogState.OK else Role.BAD,
        ),
        Fact(
            "size",
            f"{bytes_words(log.bytes)} in {counted(log.segment_count, 'segment')}, fsync {log.fsync}",
        ),
        Fact("disk", f"{bytes_words(log.disk_free_bytes)} free of {bytes_words(log.disk_total_bytes)}"),
        Fact(
            "members",
            f"{alive} alive of {len(snapshot.members)}",
            Role.TEXT if alive == len(snapshot.members) else Role.WARN,
        ),
        Fact(
            "replication",
            lag_text(behind) if behind.records else copy_words(snapshot, found),
            Role.WARN if behind.records else Role.TEXT,
        ),
        *([Fact("copies", verdict(snapshot.copies), _copies_role(found))] if snapshot.copies.holders else []),
        *([Fact(log.state, log.state_detail, Role.BAD)] if log.state_detail else []),
        *_problems(snapshot),
        *([Fact("repaired", log.recovery, Role.WARN)] if log.recovery else []),
        *_damaged(snapshot),
        *_origins(snapshot),
    ]


def _copies_role(found: Sequence[Finding]) -> Role:
    judged = worst(each for each in found if each.verb == "copies")
    return {Severity.CRITICAL: Role.BAD, Severity.WARNING: Role.WARN}.get(judged, Role.TEXT)


def _health(found: Sequence[Finding]) -> Fact:
    serious = [each for each in found if each.severity > Severity.INFO]
    if not serious:
        return Fact("health", "OK")
    more = f"; {len(serious) - 1} more, see `proglog check`" if len(serious) > 1 else ""
    first = serious[0]
    role = Role.BAD if first.severity is Severity.CRITICAL else Role.WARN
    return Fact("health", f"{first.severity.name}: {first.subject} {first.cause}{more}", role)


def _security(snapshot: ClusterSnapshot) -> str:
    node = snapshot.node
    parts = (
        _tls(node) if node.tls else "no TLS",
        _rules(node) if node.acl else "no access control",
        "gossip encrypted" if node.gossip_encrypted else "gossip in plain text",
    )
    return ", ".join(parts)


def _tls(node: NodeStatus) -> str:
    """Return which certificate is in use, once it is not the first: a renewed one, or one that another should replace."""
    held = node.certificate
    if held is None or held.wanted == 1:
        return "TLS"
    wanted = f", {held.wanted} was refused" if held.refused else ""
    return f"TLS (generation {held.generation}{wanted}, for {duration_words(held.age_ms / 1000)})"


def _rules(node: NodeStatus) -> str:
    """Return which access rules are in force; an agent of the first release does not say."""
    policy = node.policy
    if policy is None:
        return "access control"
    wanted = f", {policy.wanted} was refused" if policy.refused else ""
    age = duration_words(policy.age_ms / 1000)
    return f"access control (generation {policy.generation}{wanted}; {policy.rules:,} rules for {age})"


def _problems(snapshot: ClusterSnapshot) -> Sequence[Fact]:
    return [
        Fact("problem", f"{problem.detail}, for {duration_words(problem.since_ms / 1000)}", Role.WARN)
        for problem in snapshot.log.problems
    ]


def _damaged(snapshot: ClusterSnapshot) -> Sequence[Fact]:
    return [
        Fact("damaged", f"offsets {half_open(lost.start_offset, lost.end_offset)}: {lost.detail}", Role.BAD)
        for lost in snapshot.log.damaged
    ] + [
        Fact(
            "accepted",
            f"loss of offsets {half_open(lost.start_offset, lost.end_offset)}, by {lost.accepted_by}: {lost.reason}",
        )
        for lost in snapshot.log.accepted
    ]


def _origins(snapshot: ClusterSnapshot) -> Sequence[Fact]:
    return [
        Fact(
            "has of",
            f"{origin.node_name or '?'} {origin_id(origin.origin)}: sequences {half_open(origin.floor_sequence, origin.next_sequence)}, "
            f"{bytes_words(origin.bytes)}, last {age_words(origin.last_append_at_ms, snapshot.taken_at_ms)}"
            + (f", from {origin.source}" if origin.source else ""),
        )
        for origin in snapshot.origins
    ] + ([Fact("", f"and of {snapshot.unlisted_origins:,} more origins")] if snapshot.unlisted_origins else [])


@dataclass(frozen=True, slots=True, kw_only=True)
class StatusShape:
    """An agent's status, for programs."""

    node: NodeStatus
    health: Literal["ok", "info", "warning", "critical"]
    """The worst finding; `proglog check -o json` lists them."""
    log: LogStatus
    members: tuple[MemberShape, ...]
    origins: tuple[OriginStatus, ...]
    """The 1,024 that moved last, its own first."""
    origin_count: int
    """Of all origins."""
    replication: tuple[LagShape, ...]
    taken_at_ms: int
    """By the agent's clock."""
    uptime_ms: int
    """How long the agent has run, by its steady clock."""


STATUS_SHAPE = Shape("status", StatusShape, many=False)


def status_shape(snapshot: ClusterSnapshot) -> StatusShape:
    """Return an agent's status for programs; segments and events are left out."""
    health = worst(findings(snapshot)).name.lower()
    return StatusShape(
        node=snapshot.node,
        health=cast("Literal['ok', 'info', 'warning', 'critical']", health),
        log=snapshot.log,
        members=tuple(map(member_shape, members(snapshot))),
        origins=snapshot.origins,
        origin_count=max(snapshot.origin_count, len(snapshot.origins)),
        replication=tuple(map(lag_shape, lag(snapshot))),
        taken_at_ms=snapshot.taken_at_ms,
        uptime_ms=snapshot.up_ms,
    )
