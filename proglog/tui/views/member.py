"""One member in full: who it is, how fast it writes, how its copies stand, what happened to it."""

from proglog.client.happenings import happenings
from proglog.client.history import lag_behind, levels, rate_now, rates, written_by
from proglog.client.lag import of_peer
from proglog.client.model import ClusterSnapshot, Member, PeerStatus
from proglog.client.words import (
    age_words,
    bytes_words,
    count_words,
    duration_words,
    member_mark,
    peer_mark,
    rate_words,
    short_count,
)
from proglog.tui import charts
from proglog.tui.spans import Line, Look, Role, Span, line
from proglog.tui.state import DashState
from proglog.tui.table import render_cells
from proglog.tui.views import events, header, members, replication

_LABEL = 12
_CHART_ROWS = 4
_EVENTS = 8


def lines(name: str, state: DashState, look: Look, width: int) -> list[Line]:
    """Returns everything that is known about the member ``name``."""
    snapshot = state.shown
    member = next((member for member in snapshot.members if member.name == name), None) if snapshot else None
    if snapshot is None or member is None:
        return [line(Span("no longer a member", Role.MUTED))]
    return [
        *_identity(member, state, look),
        *(_agent(snapshot, state, look) if member.local else ()),
        *_alerts(name, state, look),
        *_writes(name, state, look, width),
        *_replication(name, snapshot, state, look, width),
        *_events(name, state, snapshot, look),
    ]


def _fact(label: str, *parts: Span | str) -> Line:
    return line(Span(label.ljust(_LABEL), Role.MUTED), *parts)


def heading(title: str) -> list[Line]:
    """Returns a blank line and a section's title."""
    return [(), line(Span(title, Role.ACCENT))]


def _identity(member: Member, state: DashState, look: Look) -> list[Line]:
    mark = member_mark(member.status)
    since = duration_words(members.status_seconds(member, state))
    rtt = f"{member.rtt_ms:.1f} ms round trip, " if member.rtt_ms else ""
    facts = [
        _fact("status", Span(f"{look.shape(mark)} {mark.word}", members.status_role(member.status)), f" for {since}"),
        _fact("gossip", look.safe(member.addr), f", {rtt}incarnation {member.incarnation}"),
    ]
    for key, value in sorted(member.tags.items())[:40]:
        facts.append(_fact("tag", look.safe(key, 40), Span(" = ", Role.MUTED), look.safe(value)))
    return facts


def _agent(snapshot: ClusterSnapshot, state: DashState, look: Look) -> list[Line]:
    """Returns what only the agent itself knows."""
    node, log = snapshot.node, snapshot.log
    up = duration_words((state.agent_now_ms - node.started_at_ms) / 1000)
    ends = node.certificate_expires_at_ms
    certificate = f", certificate ends in {duration_words((ends - state.agent_now_ms) / 1000)}" if ends else ""
    gossip = "encrypted" if node.gossip_encrypted else "in clear"
    served, appended = short_count(log.records_served), short_count(log.records_appended)
    return [
        *heading("the agent that answers"),
        _fact("runs", "proglog ", look.safe(node.version, 40), f" for {up}"),
        _fact("listens", look.safe(node.rpc_addr), " for gRPC, ", look.safe(node.bind_addr), " for gossip"),
        _fact(
            "security",
            f"{'TLS' if node.tls else 'no TLS'}, {'ACL' if node.acl else 'no ACL'}, gossip {gossip}",
            certificate,
        ),
        _fact("origin", node.origin.hex()),
        _fact("log", look.safe(node.data_dir), f", {bytes_words(log.bytes)}, fsync ", look.safe(log.fsync, 20)),
        _fact("since start", f"{appended} records appended, {served} served"),
    ]


def _alerts(name: str, state: DashState, look: Look) -> list[Line]:
    about = [alert for alert in state.alerts if alert.subject == name]
    if not about:
        return []
    told = [[header.alert_words(alert, look), header.advice_words(alert, look)] for alert in about]
    return [*heading("needs attention"), *(spans for pair in told for spans in pair)]


def _writes(name: str, state: DashState, look: Look, width: int) -> list[Line]:
    counter = written_by(name)
    series = rates(state.shown_frames, counter)
    now = rate_words(rate_now(state.shown_frames, counter))
    peak = rate_words(max(series, default=0.0))
    return [
        *heading("writes, as they arrive here"),
        line(Span(now, Role.STRONG), Span(f"  peak {peak}", Role.MUTED)),
        *_chart(series, Role.CHART, look, width),
    ]


def _chart(values: list[float], role: Role, look: Look, width: int) -> list[Line]:
    """Returns an area, or nothing when there is nothing to see."""
    if not any(values):
        return []
    return [line(Span(text, role)) for text in charts.area(values, width, _CHART_ROWS, ascii_only=look.ascii_only)]


def _replication(name: str, snapshot: ClusterSnapshot, state: DashState, look: Look, width: int) -> list[Line]:
    peer = next((peer for peer in snapshot.peers if peer.name == name), None)
    if peer is None:
        return []
    lags = levels(state.shown_frames, lag_behind(name))
    peak = short_count(max(lags, default=0.0))
    return [
        *heading("replication from it"),
        *_stream(peer, look),
        line(*replication.lag_line(of_peer(peer), look, width), Span(f"  peak {peak}", Role.MUTED)),
        *_chart(lags, Role.WARN, look, width),
        *_origins(peer, look, width),
    ]


def _stream(peer: PeerStatus, look: Look) -> list[Line]:
    mark = peer_mark(peer.state)
    copied = f"{count_words(peer.records_copied)} records, {bytes_words(peer.bytes_copied)}"
    facts = [
        _fact("stream", Span(f"{look.shape(mark)} {mark.word}", replication.stream_role(peer.state))),
        _fact("from", look.safe(peer.rpc_addr)),
        _fact("copied", f"{copied}; {count_words(peer.records_dropped)} were here already"),
    ]
    if peer.error:
        facts.append(_fact("error", look.safe(peer.error, 300, role=Role.WARN)))
    return facts


def _origins(peer: PeerStatus, look: Look, width: int) -> list[Line]:
    rows = [replication.origin_row(peer, origin, look) for origin in peer.origins]
    columns = replication.ORIGIN_COLUMNS[1:]
    titles = [line(Span(column.title, Role.MUTED)) for column in columns]
    cells = [titles, *(row.cells[1:] for row in rows)]
    widths = replication.origin_widths(width)
    return [(), *(render_cells(row, columns, widths) for row in cells)]


def _events(name: str, state: DashState, snapshot: ClusterSnapshot, look: Look) -> list[Line]:
    now_ms = state.agent_now_ms
    about = [told for told in happenings(snapshot.events, now_ms) if told.event.subject == name][:_EVENTS]
    if not about:
        return []
    lines = []
    for told in about:
        lasted = events.lasted_words(told)
        lines.append(
            line(
                Span(look.clock(told.event.at_ms / 1000) + " ", Role.MUTED),
                *events.happening(told, look),
                Span(f"  for {lasted}" if lasted else "", Role.MUTED),
                Span("  "),
                look.safe(told.event.detail),
                Span(f"  {age_words(told.event.at_ms, now_ms)}", Role.MUTED),
            )
        )
    return [*heading("events"), *lines]
