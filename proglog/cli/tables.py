"""What members, status, lag and segments print of a snapshot, with the columns of the dashboard's panels."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace

from proglog.cli.output import Table
from proglog.observe.columns import Column, Item
from proglog.observe.copies_view import held_here, verdict
from proglog.observe.health import Finding, Severity, copy_words, findings, worst
from proglog.observe.lag import of_node
from proglog.observe.spans import Role
from proglog.observe.words import age_words, bytes_words, count_words, duration_words, origin_id
from proglog.tui.panels.members import columns as member
from proglog.tui.panels.members.columns import MemberFacts, status_role
from proglog.tui.panels.replication import columns as replication
from proglog.tui.panels.replication.columns import OriginCopy
from proglog.tui.panels.replication.lag_cells import lag_text
from proglog.tui.panels.segments import columns as segment
from proglog.tui.panels.segments.columns import SegmentFacts
from proglog.types import half_open
from proglog.wire.model import ClusterSnapshot, IndexState, LogState, MemberStatus, NodeStatus, PeerState


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


def _member_data(facts: MemberFacts) -> Mapping[str, object]:
    each = facts.member
    return {
        "name": each.name,
        "status": each.status.value,
        "addr": each.addr,
        "rpc_addr": each.rpc_addr,
        "rtt_ms": each.rtt_ms,
        "status_since_ms": each.status_since_ms,
        "incarnation": each.incarnation,
        "local": each.local,
        "tags": each.tags,
    }


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
    data=_member_data,
    role=lambda facts: status_role(facts.member.status),
    empty="no members",
)


def segments(snapshot: ClusterSnapshot) -> list[SegmentFacts]:
    """Return the segments, in order."""
    return [SegmentFacts(segment=each, now_ms=snapshot.taken_at_ms) for each in snapshot.segments]


SEGMENTS = Table(
    columns=(
        printed(segment.OFFSETS),
        printed(segment.RECORDS),
        printed(segment.SIZE),
        printed(segment.BATCHES, rank=3),
        printed(segment.FIRST_RECORD, rank=2),
        printed(segment.LAST_RECORD, rank=1),
        printed(segment.INDEX, rank=4),
        printed(segment.STATE),
    ),
    data=lambda facts: asdict(facts.segment),
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


def _copy_data(copy: OriginCopy) -> Mapping[str, object]:
    peer, origin = copy.peer, copy.origin
    data: dict[str, object] = {"peer": peer.name, "state": peer.state.value, "error": peer.error}
    if origin is not None:
        data |= asdict(origin) | {"origin": origin.origin.hex(), "lag_trend": round(origin.lag_trend, 3)}
    return data


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
    data=_copy_data,
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
    data=lambda _: {},
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
            f"{log.state}: {count_words(log.end_offset - log.start_offset)} records, {offsets}",
            Role.TEXT if log.state is LogState.OK else Role.BAD,
        ),
        Fact("size", f"{bytes_words(log.bytes)} in {log.segment_count} segments, fsync {log.fsync}"),
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
            f"{origin.node_name or '?'} {origin_id(origin.origin)}: {count_words(origin.next_sequence - 1)} sequences, "
            f"{bytes_words(origin.bytes)}, last {age_words(origin.last_append_at_ms, snapshot.taken_at_ms)}"
            + (f", from {origin.source}" if origin.source else ""),
        )
        for origin in snapshot.origins
    ]


def status_data(snapshot: ClusterSnapshot) -> dict[str, object]:
    """Return an agent's status as one JSON object, segments and events left out."""
    node = asdict(snapshot.node) | {"origin": snapshot.node.origin.hex()}
    return {
        "node": node,
        "health": worst(findings(snapshot)).name.lower(),
        "log": asdict(snapshot.log),
        "members": [dict(_member_data(facts)) for facts in members(snapshot)],
        "origins": [asdict(origin) | {"origin": origin.origin.hex()} for origin in snapshot.origins],
        "replication": [dict(_copy_data(copy)) for copy in lag(snapshot)],
        "taken_at_ms": snapshot.taken_at_ms,
        "uptime_ms": snapshot.up_ms,
    }
