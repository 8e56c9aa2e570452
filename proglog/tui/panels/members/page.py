"""One member in full: who it is, how fast it writes, how its copies stand, what happened to it."""

from collections.abc import Iterator

from proglog.observe import charts
from proglog.observe.events import shown_events
from proglog.observe.frame import records_in
from proglog.observe.health import Limits
from proglog.observe.history import lag_behind, levels, rate_now, rates, written_by
from proglog.observe.lag import of_peer
from proglog.observe.plausible import free_share
from proglog.observe.spans import Line, Locale, Role, Span, line, wrap
from proglog.observe.words import (
    age_words,
    bytes_words,
    count_words,
    duration_words,
    member_mark,
    origin_id,
    peer_mark,
    rate_words,
    short_count,
)
from proglog.tui.panels.events import columns as events
from proglog.tui.panels.members.columns import status_role
from proglog.tui.panels.members.table import status_seconds
from proglog.tui.panels.replication.columns import ORIGIN_COLUMNS, stream_role
from proglog.tui.panels.replication.lag_cells import lag_line, origin_name
from proglog.tui.panels.replication.table import origin_row
from proglog.tui.state import DashState
from proglog.tui.table import column_widths, render_cells
from proglog.tui.views import header
from proglog.wire.model import ClusterSnapshot, LogState, Member, PeerStatus

_LABEL = 12
_CHART_ROWS = 4
_EVENTS = 8
_DAMAGED = 8
_EARLIER = 8
_HOLDS = 16
_SKEW_SECONDS = 2.0
"""Clocks that differ by less than words are under way at most."""
_LIMITS = Limits()


def lines(name: str, state: DashState, locale: Locale, width: int) -> list[Line]:
    """Return everything that is known about the member ``name``."""
    snapshot = state.shown
    member = next((member for member in snapshot.members if member.name == name), None) if snapshot else None
    if snapshot is None or member is None:
        return [line(Span("no longer a member", Role.MUTED))]
    return [
        *_wrapped(_identity(member, state, locale), width, _LABEL),
        *_wrapped(_alerts(name, state, locale), width, 2),
        *_wrapped(_own_word(member, snapshot, state, locale), width, _LABEL),
        *_writes(name, state, locale, width),
        *_replication(name, snapshot, state, locale, width),
        *_events(name, state, snapshot, locale),
    ]


def _wrapped(lines: list[Line], width: int, indent: int) -> Iterator[Line]:
    for each in lines:
        yield from wrap(each, width, indent=min(indent, width // 3))


def _fact(label: str, *parts: Span | str) -> Line:
    return line(Span(label.ljust(_LABEL), Role.MUTED), *parts)


def heading(title: str) -> list[Line]:
    """Return a blank line and a section's title."""
    return [(), line(Span(title, Role.ACCENT))]


def _identity(member: Member, state: DashState, locale: Locale) -> list[Line]:
    mark = member_mark(member.status)
    since = duration_words(status_seconds(member, state))
    rtt = f"{member.rtt_ms:.1f} ms round trip, " if member.rtt_ms is not None else ""
    facts = [
        _fact("status", Span(f"{locale.shape(mark)} {mark.word}", status_role(member.status)), f" for {since}"),
        _fact("gossip", locale.safe(member.addr), f", {rtt}incarnation {member.incarnation}"),
    ]
    for key, value in sorted(member.tags.items())[:40]:
        facts.append(_fact("tag", locale.safe(key, 40), Span(" = ", Role.MUTED), locale.safe(value)))
    return facts


def _own_word(member: Member, snapshot: ClusterSnapshot, state: DashState, locale: Locale) -> list[Line]:
    """Return what the member says of itself; that it says nothing, if so."""
    own = snapshot if member.local else state.first_hand(member.name)
    if own is None:
        speaker = locale.safe(snapshot.node.name, 40).text
        hearsay = (
            f"{locale.pick('◌', '~')} it does not speak for itself now: what follows is what {speaker} knows of it"
        )
        return [*heading("by its own word"), line(Span(hearsay, Role.WARN))]
    return [
        *heading("by its own word"),
        *_runs(own, snapshot, locale),
        *_clock(member, own, state),
        *_log(own, locale),
        *_holds(member, own, locale),
    ]


def _runs(own: ClusterSnapshot, shown: ClusterSnapshot, locale: Locale) -> list[Line]:
    node, log = own.node, own.log
    up = duration_words(own.up_ms / 1000)
    watched = shown.node
    differs = node.version != watched.version
    other = f"; {locale.safe(watched.name, 40).text} runs {locale.safe(watched.version, 20).text}" if differs else ""
    served, appended = short_count(log.records_served), short_count(log.records_appended)
    gossip = "encrypted" if node.gossip_encrypted else "in clear"
    return [
        _fact("runs", "proglog ", locale.safe(node.version, 40), f" for {up}", Span(other, Role.WARN)),
        _fact("listens", locale.safe(node.rpc_addr), " for gRPC, ", locale.safe(node.bind_addr), " for gossip"),
        _fact("security", f"{'TLS' if node.tls else 'no TLS'}, {'ACL' if node.acl else 'no ACL'}, gossip {gossip}"),
        *_certificate(own),
        _fact("since start", f"{appended} records appended, {served} served"),
    ]


def _certificate(own: ClusterSnapshot) -> list[Line]:
    ends = own.node.certificate_expires_at_ms
    if not ends:
        return []
    left_s = (ends - own.taken_at_ms) / 1000
    role = Role.WARN if left_s < _LIMITS.certificate_days * 86_400 else Role.TEXT
    return [_fact("certificate", Span(f"ends in {duration_words(left_s)}" if left_s > 0 else "has ended", role))]


def _clock(member: Member, own: ClusterSnapshot, state: DashState) -> list[Line]:
    """Return by how much the member's clock differs from that of the watched one, where that is more than a delay."""
    if member.local or state.latest is None or member.name not in state.others:
        return []
    ahead = (own.taken_at_ms - state.latest.taken_at_ms) / 1000
    ahead -= state.others[member.name][1] - state.received_at
    if abs(ahead) < _SKEW_SECONDS:
        return []
    words = (
        f"about {duration_words(abs(ahead))} {'ahead of' if ahead > 0 else 'behind'} the watched one's: check its NTP"
    )
    return [_fact("clock", Span(words, Role.WARN))]


def _log(own: ClusterSnapshot, locale: Locale) -> list[Line]:
    log = own.log
    records = count_words(log.end_offset - log.start_offset)
    facts = [
        _fact(
            "log",
            Span(f"{records} records, {bytes_words(log.bytes)} in {log.segment_count} segments, fsync "),
            locale.safe(log.fsync, 20),
            Span(", "),
            locale.safe(log.state, 20, role=Role.GOOD if log.state is LogState.OK else Role.BAD),
        ),
        _fact("directory", locale.safe(own.node.data_dir)),
    ]
    share = free_share(log)
    if share is not None:
        role = Role.WARN if share < _LIMITS.disk_free_ratio else Role.CHART
        free = f"  {share:.0%} free, {bytes_words(log.disk_free_bytes)} of {bytes_words(log.disk_total_bytes)}"
        facts.append(_fact("disk", locale.bar(1 - share, 20, role=role), free))
    if log.state_detail:
        facts.append(_fact("", locale.safe(log.state_detail, 300, role=Role.BAD)))
    for problem in log.problems:
        words = f"{problem.detail}, for {duration_words(problem.since_ms / 1000)}"
        facts.append(_fact("problem", locale.safe(words, 300, role=Role.WARN)))
    for lost in log.damaged[:_DAMAGED]:
        where = (
            f"{locale.pick('✖', 'x')} offsets {locale.range_words(lost.start_offset, lost.end_offset)} cannot be read: "
        )
        facts.append(_fact("damaged", Span(where, Role.BAD), locale.safe(lost.detail)))
    if len(log.damaged) > _DAMAGED:
        facts.append(_fact("", f"and {len(log.damaged) - _DAMAGED:,} more ranges"))
    for accepted in log.accepted[:_DAMAGED]:
        where = f"offsets {locale.range_words(accepted.start_offset, accepted.end_offset)}, by "
        facts.append(
            _fact(
                "accepted loss", where, locale.safe(accepted.accepted_by, 40), ": ", locale.safe(accepted.reason, 300)
            )
        )
    if log.recovery:
        facts.append(_fact("repaired", locale.safe(log.recovery, 300)))
    return facts


def _holds(member: Member, own: ClusterSnapshot, locale: Locale) -> list[Line]:
    """Return how much the member has of whose records, and which directories of its own there have been."""
    facts = [_fact("origin", f"{own.node.origin.hex()}")]
    if own.node.origin_reason:
        facts.append(_fact("", "new because ", locale.safe(own.node.origin_reason, 300, role=Role.WARN)))
    earlier = [each for each in own.origins if each.node_name == member.name and each.origin != own.node.origin]
    facts += [
        _fact("earlier", f"{origin_id(each.origin)}, {count_words(records_in(each.next_sequence))} records")
        for each in earlier[:_EARLIER]
    ]
    for each in sorted(own.origins, key=lambda origin: (origin.node_name, origin.origin))[:_HOLDS]:
        source = ("  pulled from ", locale.safe(each.source, 40)) if each.source else ()
        facts.append(
            _fact(
                "has of",
                *origin_name(each.node_name, each.origin, locale),
                f"  {count_words(records_in(each.next_sequence))} records, {bytes_words(each.bytes)}",
                *source,
            )
        )
    more = len(own.origins) + own.unlisted_origins - _HOLDS
    if more > 0:
        facts.append(_fact("", f"and of {more:,} more origins"))
    return facts


def _alerts(name: str, state: DashState, locale: Locale) -> list[Line]:
    about = [alert for alert in state.alerts if alert.subject == name]
    if not about:
        return []
    sentences = [(header.alert_words(alert, locale), header.advice_words(alert, locale)) for alert in about]
    return [*heading("needs attention"), *(spans for pair in sentences for spans in pair)]


def _writes(name: str, state: DashState, locale: Locale, width: int) -> list[Line]:
    counter = written_by(name)
    series = rates(state.shown_frames, counter)
    now = rate_words(rate_now(state.shown_frames, counter))
    peak = rate_words(max(charts.known(series), default=0.0))
    return [
        *heading("writes, as they arrive here"),
        line(Span(now, Role.STRONG), Span(f"  peak {peak}", Role.MUTED)),
        *_chart(series, Role.CHART, locale, width),
    ]


def _chart(values: list[float], role: Role, locale: Locale, width: int) -> list[Line]:
    """Return an area, or nothing when there is nothing to see."""
    if not any(charts.known(values)):
        return []
    return [line(Span(text, role)) for text in charts.area(values, width, _CHART_ROWS, ascii_only=locale.ascii_only)]


def _replication(name: str, snapshot: ClusterSnapshot, state: DashState, locale: Locale, width: int) -> list[Line]:
    peer = next((peer for peer in snapshot.peers if peer.name == name), None)
    if peer is None:
        return []
    lags = levels(state.shown_frames, lag_behind(name))
    peak = short_count(max(charts.known(lags), default=0.0))
    return [
        *heading("replication from it"),
        *_stream(peer, locale),
        line(*lag_line(of_peer(peer), locale, width), Span(f"  peak {peak}", Role.MUTED)),
        *_chart(lags, Role.WARN, locale, width),
        *_origins(peer, locale, width),
    ]


def _stream(peer: PeerStatus, locale: Locale) -> list[Line]:
    mark = peer_mark(peer.state)
    copied = f"{count_words(peer.records_copied)} records, {bytes_words(peer.bytes_copied)}"
    facts = [
        _fact("stream", Span(f"{locale.shape(mark)} {mark.word}", stream_role(peer.state))),
        _fact("from", locale.safe(peer.rpc_addr)),
        _fact("copied", f"{copied}; {count_words(peer.records_dropped)} were here already"),
    ]
    if peer.error:
        facts.append(_fact("error", locale.safe(peer.error, 300, role=Role.WARN)))
    return facts


def _origins(peer: PeerStatus, locale: Locale, width: int) -> list[Line]:
    rows = [origin_row(peer, origin, locale) for origin in peer.origins]
    columns = ORIGIN_COLUMNS[1:]
    titles = [line(Span(column.title, Role.MUTED)) for column in columns]
    cells = [titles, *(row.cells[1:] for row in rows)]
    widths = column_widths(columns, width)
    return [(), *(render_cells(row, columns, widths) for row in cells)]


def _events(name: str, state: DashState, snapshot: ClusterSnapshot, locale: Locale) -> list[Line]:
    now_ms = state.agent_now_ms
    about = [each for each in shown_events(snapshot.events, now_ms) if each.event.subject == name][:_EVENTS]
    if not about:
        return []
    lines = []
    for each in about:
        lasted = events.lasted_words(each)
        lines.append(
            line(
                Span(locale.moment(each.event.at_ms / 1000).ljust(8) + " ", Role.MUTED),
                *events.event_line(each, locale),
                Span(f"  for {lasted}" if lasted else "", Role.MUTED),
                Span("  "),
                locale.safe(each.event.detail),
                Span(f"  {age_words(each.event.at_ms, now_ms)}", Role.MUTED),
            )
        )
    return [*heading("events"), *lines]
