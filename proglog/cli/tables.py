"""What members, status, lag and segments show: snapshots as rows, in the words of the dashboard."""

from dataclasses import replace
from datetime import UTC, datetime

from proglog.cli.output import Column, Row
from proglog.observe.frame import records_in
from proglog.observe.lag import Lag, of_node, of_origin
from proglog.observe.words import (
    age_words,
    bytes_words,
    count_words,
    duration_words,
    lag_words,
    member_mark,
    origin_id,
    peer_mark,
    trend_mark,
)
from proglog.wire.model import ClusterSnapshot, MemberStatus, PeerOrigin, PeerState

MEMBERS = (
    Column("name", "MEMBER"),
    Column("status", "STATUS"),
    Column("addr", "GOSSIP", drop=2),
    Column("rpc_addr", "RPC", drop=1),
    Column("rtt", "RTT", right=True, drop=3),
    Column("since", "SINCE", right=True, drop=4),
    Column("tags", "TAGS", drop=5, max_cells=60),
)
SEGMENTS = (
    Column("range", "OFFSETS"),
    Column("records", "RECORDS", right=True),
    Column("bytes", "SIZE", right=True),
    Column("batches", "BATCHES", right=True, drop=3),
    Column("first", "FIRST RECORD", drop=2),
    Column("last", "LAST RECORD", drop=1),
    Column("index", "INDEX", drop=4),
    Column("state", "STATE"),
)
LAG = (
    Column("peer", "PEER"),
    Column("state", "STREAM", drop=1),
    Column("origin", "ORIGIN"),
    Column("have", "HERE", right=True, drop=4),
    Column("there", "THERE", right=True, drop=3),
    Column("lag", "THIS NODE", max_cells=100, shorter="lag_short"),
    Column("peer_lag", "THE PEER", drop=2, max_cells=60),
)
STATUS = (Column("what", "WHAT"), Column("value", "", max_cells=100))


def members(snapshot: ClusterSnapshot) -> list[Row]:
    """Return a row per member, this node first, then by name."""
    styles = {MemberStatus.ALIVE: "good", MemberStatus.FAILED: "bad", MemberStatus.LEAVING: "warn"}
    return [
        Row(
            {
                "name": member.name + (" (this)" if member.local else ""),
                "status": member_mark(member.status).text(),
                "addr": member.addr,
                "rpc_addr": member.rpc_addr or "-",
                "rtt": f"{member.rtt_ms:.1f} ms" if member.rtt_ms else "-",
                "since": duration_words(member.status_since_ms / 1000),
                "tags": ",".join(f"{key}={value}" for key, value in sorted(member.tags.items())),
            },
            {
                "name": member.name,
                "status": member.status.value,
                "addr": member.addr,
                "rpc_addr": member.rpc_addr,
                "rtt_ms": member.rtt_ms,
                "status_since_ms": member.status_since_ms,
                "incarnation": member.incarnation,
                "local": member.local,
                "tags": member.tags,
            },
            styles.get(member.status, ""),
        )
        for member in sorted(snapshot.members, key=lambda member: (not member.local, member.name))
    ]


def segments(snapshot: ClusterSnapshot) -> list[Row]:
    """Return a row per segment, in order."""
    return [
        Row(
            {
                "range": f"{segment.base_offset} to {segment.end_offset}",
                "records": count_words(segment.record_count),
                "bytes": bytes_words(segment.bytes),
                "batches": count_words(segment.batch_count),
                "first": _moment(segment.first_timestamp_ms, segment.record_count),
                "last": _moment(segment.max_timestamp_ms, segment.record_count),
                "index": segment.index,
                "state": "active" if segment.active else "sealed",
            },
            {
                "base_offset": segment.base_offset,
                "end_offset": segment.end_offset,
                "record_count": segment.record_count,
                "bytes": segment.bytes,
                "batch_count": segment.batch_count,
                "first_timestamp_ms": segment.first_timestamp_ms,
                "max_timestamp_ms": segment.max_timestamp_ms,
                "index": segment.index,
                "index_bytes": segment.index_bytes,
                "active": segment.active,
            },
            "warn" if segment.index == "missing" else "",
        )
        for segment in snapshot.segments
    ]


def lag(snapshot: ClusterSnapshot) -> list[Row]:
    """Return a row per peer and origin; one for a peer of which nothing is known yet."""
    rows: list[Row] = []
    for peer in sorted(snapshot.peers, key=lambda peer: peer.name):
        state = peer_mark(peer.state).text()
        facts: dict[str, object] = {"peer": peer.name, "state": peer.state.value, "error": peer.error}
        if not peer.origins:
            rows.append(Row({"peer": peer.name, "state": state, "lag": peer.error}, facts, _peer_style(peer.state)))
        rows += [
            _origin_row(origin, {"peer": peer.name, "state": state}, facts, _peer_style(peer.state))
            for origin in sorted(peer.origins, key=lambda origin: (origin.node_name, origin.origin))
        ]
    return rows


def _origin_row(origin: PeerOrigin, cells: dict[str, str], facts: dict[str, object], style: str) -> Row:
    return Row(
        cells
        | {
            "origin": f"{origin.node_name or '?'} {origin_id(origin.origin)}",
            "have": count_words(records_in(origin.next_sequence)),
            "there": count_words(records_in(origin.peer_next_sequence)),
            "lag": _lag_text(of_origin(origin)),
            "lag_short": _lag_text(of_origin(origin), short=True),
            "peer_lag": lag_words(Lag(records=origin.peer_lag_records)),
        },
        facts
        | {
            "origin": origin.origin.hex(),
            "node_name": origin.node_name,
            "next_sequence": origin.next_sequence,
            "peer_next_sequence": origin.peer_next_sequence,
            "lag_records": origin.lag_records,
            "lag_bytes": origin.lag_bytes,
            "lag_ms": origin.lag_ms,
            "lag_trend": round(origin.lag_trend, 3),
            "catch_up_ms": origin.catch_up_ms,
            "peer_lag_records": origin.peer_lag_records,
            "source": origin.source,
        },
        "warn" if origin.lag_records else style,
    )


def _lag_text(behind: Lag, *, short: bool = False) -> str:
    """Return a lag in words after the arrow of its trend; ``short``: in time and records alone."""
    if behind.records <= 0:
        return lag_words(behind)
    told = lag_words(replace(behind, size_bytes=0, per_second=0.0) if short else behind)
    return f"{trend_mark(behind.trend).shape} {told}"


def status(snapshot: ClusterSnapshot) -> list[Row]:
    """Return a row per thing that is good to know of one agent."""
    node, log = snapshot.node, snapshot.log
    alive = sum(member.status is MemberStatus.ALIVE for member in snapshot.members)
    behind = of_node(snapshot)
    security = ", ".join(
        word
        for word in (
            "TLS" if node.tls else "no TLS",
            "access control" if node.acl else "no access control",
            "gossip encrypted" if node.gossip_encrypted else "gossip in plain text",
        )
    )
    records = log.end_offset - log.start_offset
    lines: list[tuple[str, str, str]] = [
        (
            "node",
            f"{node.name}, proglog {node.version}, up {duration_words((snapshot.taken_at_ms - node.started_at_ms) / 1000)}",
            "",
        ),
        ("gRPC", node.rpc_addr, ""),
        ("gossip", node.bind_addr, ""),
        ("security", security, ""),
        ("origin", node.origin.hex(), ""),
        ("data", node.data_dir, ""),
        (
            "log",
            f"{log.state}: {count_words(records)} records, offsets {log.start_offset} to {log.end_offset}",
            "" if log.state == "ok" else "bad",
        ),
        ("size", f"{bytes_words(log.bytes)} in {log.segment_count} segments, fsync {log.fsync}", ""),
        ("disk", f"{bytes_words(log.disk_free_bytes)} free of {bytes_words(log.disk_total_bytes)}", ""),
        ("members", f"{alive} alive of {len(snapshot.members)}", "" if alive == len(snapshot.members) else "warn"),
        ("replication", _lag_text(behind), "warn" if behind.records else ""),
    ]
    if log.recovery:
        lines.append(("repaired", log.recovery, "warn"))
    lines += [
        ("damaged", f"offsets {lost.start_offset} to {lost.end_offset - 1}: {lost.detail}", "bad")
        for lost in log.damaged
    ]
    lines += [
        (
            "has of",
            f"{origin.node_name or '?'} {origin_id(origin.origin)}: {count_words(origin.next_sequence - 1)} sequences, "
            f"{bytes_words(origin.bytes)}, last {age_words(origin.last_append_at_ms, snapshot.taken_at_ms)}"
            + (f", from {origin.source}" if origin.source else ""),
            "",
        )
        for origin in snapshot.origins
    ]
    return [Row({"what": what, "value": value}, {}, style) for what, value, style in lines]


def status_data(snapshot: ClusterSnapshot) -> dict[str, object]:
    """Return an agent's status as one JSON object, segments and events left out."""
    from dataclasses import asdict

    node = asdict(snapshot.node) | {"origin": snapshot.node.origin.hex()}
    return {
        "node": node,
        "log": asdict(snapshot.log),
        "members": [dict(row.data) for row in members(snapshot)],
        "origins": [asdict(origin) | {"origin": origin.origin.hex()} for origin in snapshot.origins],
        "replication": [dict(row.data) for row in lag(snapshot)],
        "taken_at_ms": snapshot.taken_at_ms,
    }


def _peer_style(state: PeerState) -> str:
    return "good" if state is PeerState.STREAMING else "bad" if state is PeerState.BACKING_OFF else "warn"


def _moment(timestamp_ms: int, records: int) -> str:
    if not records:
        return "-"
    try:
        return datetime.fromtimestamp(timestamp_ms / 1000, UTC).strftime("%Y-%m-%d %H:%M:%SZ")
    except (OverflowError, ValueError, OSError):
        return str(timestamp_ms)  # beyond the calendar
