"""Replication between the agent and each peer: by peer and by origin. The matrix is :mod:`proglog.tui.panels.replication.matrix`."""

from functools import partial

from proglog.observe.frame import records_in
from proglog.observe.history import lag_age_behind, lag_behind, levels
from proglog.observe.lag import IN_STEP, Lag, Trend, of_node, of_origin, of_peer
from proglog.observe.words import (
    bytes_words,
    count_words,
    duration_words,
    lag_amounts,
    lag_words,
    origin_id,
    peer_mark,
    short_count,
    short_duration,
    trend_mark,
)
from proglog.tui.plots import LEAST_ROWS, Series, stacked
from proglog.tui.spans import Line, Look, Role, Span, line
from proglog.tui.state import DashState
from proglog.tui.table import Cell, Column, Help, LazyRow, Row, column_widths
from proglog.wire.model import ClusterSnapshot, PeerOrigin, PeerState, PeerStatus

ON_THE_WAY = 1_000
"""Fewer missing records than that are on their way, and no warning."""
PEER_COLUMNS = (
    Column(
        title="PEER",
        width=8,
        flex=1,
        limit=20,
        help=Help(means="The member that this agent copies from.", judge="Every other living member is listed."),
    ),
    Column(
        title="STREAM",
        width=13,
        rank=1,
        help=Help(
            means="State of the stream that records arrive on.",
            judge="streaming is well. Anything else on a living peer: nothing is copied from it now.",
            act="Open the peer: its last error says why. Usual ones are certificates, rules, an address that cannot be reached.",
        ),
    ),
    Column(
        title="HERE",
        width=9,
        right=True,
        rank=2,
        help=Help(
            means="Records, of all writers, that this agent holds of what this peer has.",
            judge="Equal to THERE when in step.",
        ),
    ),
    Column(
        title="THERE",
        width=9,
        right=True,
        rank=2,
        help=Help(
            means="Records, of all writers, that the peer holds, as it said last.",
            judge="Above HERE: the difference is under way.",
        ),
    ),
    Column(
        title="WE TRAIL BY",
        width=26,
        flex=6,
        limit=70,
        help=Help(
            means="What the peer holds and this agent does not yet: records, bytes, seconds. The arrow is its trend, the estimate is made from the last ten seconds.",
            judge="In step, or a few hundred records that change all the time, is well. Growing for a minute: copies arrive slower than records are written.",
            act="Look at the processor and disk of this agent, then at the link. Over 10,000 records or 10 s it is an alert.",
        ),
    ),
    Column(
        title="LAST 2 MIN",
        width=10,
        right=True,
        rank=4,
        help=Help(
            means="The lag over the last two minutes, the newest at the right, scaled to its own peak.",
            judge="Teeth are bursts that were caught up; a slope does not end by itself.",
        ),
    ),
    Column(
        title="IT TRAILS",
        width=9,
        right=True,
        rank=3,
        help=Help(
            means="What this agent holds and the peer has not confirmed yet.",
            judge="0, or small and changing. Standing still while this agent writes: the peer does not read.",
            act="Watch from the peer: there it is what that one trails by.",
        ),
    ),
    Column(
        title="COPIED",
        width=7,
        right=True,
        rank=5,
        help=Help(
            means="Records copied over this stream since it began.",
            judge="It grows whenever the peer has something new.",
        ),
    ),
)
ORIGIN_COLUMNS = (
    Column(
        title="PEER",
        width=10,
        flex=1,
        limit=24,
        help=Help(
            means="The member that this agent copies from.", judge="Every origin may come from any peer that has it."
        ),
    ),
    Column(
        title="ORIGIN",
        width=17,
        flex=1,
        limit=33,
        help=Help(
            means="The writer of the records: a node's name and the id of its directory.",
            judge="Two ids for one name: that node lost its directory and began a new one.",
            act="The records of the old id are kept, and copied on.",
        ),
    ),
    Column(
        title="HERE",
        width=9,
        right=True,
        rank=1,
        help=Help(means="The records of this origin at this agent.", judge="Equal to THERE when in step."),
    ),
    Column(
        title="THERE",
        width=9,
        right=True,
        rank=1,
        help=Help(
            means="The records of this origin at this peer, as it said last.",
            judge="Above HERE: the difference is under way.",
        ),
    ),
    Column(
        title="WE TRAIL BY",
        width=24,
        flex=4,
        limit=70,
        help=Help(
            means="What the peer holds of this origin and this agent does not yet: records, bytes, seconds.",
            judge="In step, or small and changing.",
            act="If it grows: see the processor and disk of this agent, then the link.",
        ),
    ),
    Column(
        title="IT TRAILS",
        width=9,
        right=True,
        rank=3,
        help=Help(
            means="What this agent holds of this origin and the peer has not confirmed yet.",
            judge="0, or small and changing.",
            act="If it stands still, watch from the peer.",
        ),
    ),
    Column(
        title="PULLED",
        width=6,
        rank=2,
        help=Help(
            means="Whether the records of this origin come from this peer now: one peer is chosen for each origin.",
            judge="Exactly one peer for each origin that is not this agent itself.",
        ),
    ),
)

_ROLES = {
    PeerState.STREAMING: Role.GOOD,
    PeerState.CONNECTING: Role.WARN,
    PeerState.BACKING_OFF: Role.BAD,
    PeerState.STOPPED: Role.MUTED,
}


def stream_role(state: PeerState) -> Role:
    """Returns the role of a replication stream's state."""
    return _ROLES[state]


def peer_rows(state: DashState, look: Look) -> list[LazyRow]:
    """Returns a row for each peer."""
    peers = state.shown.peers if state.shown else ()
    return [LazyRow(key=peer.name, make=partial(_peer_row, peer, state, look), source=peer) for peer in peers]


def _peer_row(peer: PeerStatus, state: DashState, look: Look) -> Row:
    here = sum(records_in(origin.next_sequence) for origin in peer.origins)
    there = sum(records_in(origin.peer_next_sequence) for origin in peer.origins)
    peer_lag = sum(origin.peer_lag_records for origin in peer.origins)
    lags = levels(state.shown_frames[-120:], lag_behind(peer.name))
    mark = peer_mark(peer.state)
    return Row(
        key=peer.name,
        cells=(
            line(look.safe(peer.name, 60, role=Role.STRONG)),
            line(Span(f"{look.shape(mark)} {mark.word}", stream_role(peer.state))),
            line(count_words(here)),
            line(count_words(there)),
            _peer_lag_cell(peer, look),
            lambda width: line(look.spark(lags, width)),
            _peer_lag(peer_lag),
            line(Span(short_count(peer.records_copied), Role.MUTED)),
        ),
        sort=(peer.name, mark.word, here, there, peer.lag_records, peer.lag_records, peer_lag, peer.records_copied),
        source=peer,
    )


def _peer_lag(records: int) -> Line:
    """Returns how much a peer lacks."""
    return line(Span(short_count(records), missing_role(records) if records else Role.MUTED))


def missing_role(records: int) -> Role:
    """Returns the role of what is missing: a few records are on their way, many are a lag."""
    return Role.TEXT if records < ON_THE_WAY else Role.WARN


def _peer_lag_cell(peer: PeerStatus, look: Look) -> Cell:
    if peer.state is PeerState.BACKING_OFF:
        retry = f"again in {duration_words(peer.retry_in_ms / 1000)}: " if peer.retry_in_ms else ""
        return line(Span(retry, Role.WARN), look.safe(peer.error, 200, role=Role.WARN))
    return lag_cell(of_peer(peer), look)


def lag_cell(lag: Lag, look: Look) -> Cell:
    """Returns a lag for a column that names it."""
    return partial(lag_line, lag, look) if lag.records > 0 else lag_line(lag, look, 0)


def lag_line(lag: Lag, look: Look, width: int) -> Line:
    """Returns ``↘ 1,204 records, 310 kB, 3.1 s; caught up in about 8 s``, in as many words as there is room for."""
    if lag.records <= 0:
        return line(Span(look.pick("✓ ", "= ") + lag_words(lag), Role.GOOD))
    amounts = lag_amounts(lag)
    words = next((words for words in amounts if len(words) + 2 <= width), amounts[-1])
    amount, semicolon, ahead = words.partition(";")
    growing = Role.WARN if lag.trend is Trend.GROWING else Role.MUTED
    return line(Span(f"{look.shape(trend_mark(lag.trend))} {amount}", Role.WARN), Span(semicolon + ahead, growing))


def origin_rows(state: DashState, look: Look) -> list[LazyRow]:
    """Returns a row for each origin of each peer."""
    if state.shown is None:
        return []
    return [
        LazyRow(key=f"{peer.name}/{origin.origin.hex()}", make=partial(origin_row, peer, origin, look), source=origin)
        for peer in state.shown.peers
        for origin in peer.origins
    ]


def origin_widths(width: int) -> dict[int, int]:
    """Returns the widths of the origins' columns without the peer's name."""
    return column_widths(ORIGIN_COLUMNS[1:], width)


def origin_row(peer: PeerStatus, origin: PeerOrigin, look: Look) -> Row:
    """Returns the row of one origin on both ends of a stream."""
    return Row(
        key=f"{peer.name}/{origin.origin.hex()}",
        cells=(
            line(look.safe(peer.name, 60, role=Role.STRONG)),
            origin_name(origin.node_name, origin.origin, look),
            line(count_words(records_in(origin.next_sequence))),
            line(count_words(records_in(origin.peer_next_sequence))),
            lag_cell(of_origin(origin), look),
            _peer_lag(origin.peer_lag_records),
            line(Span(look.pick("◂ yes", "< yes"), Role.ACCENT) if origin.source else Span("no", Role.MUTED)),
        ),
        sort=(
            peer.name,
            origin.node_name,
            origin.next_sequence,
            origin.peer_next_sequence,
            origin.lag_records,
            origin.peer_lag_records,
            int(origin.source),
        ),
        name=origin.origin.hex(),
        source=origin,
    )


def origin_name(node_name: str, origin: bytes, look: Look) -> Line:
    """Returns the writer's name and the short id of an origin."""
    return line(look.safe(node_name or "?", 40), Span(" " + origin_id(origin), Role.MUTED))


def plots(state: DashState, look: Look, width: int, height: int, seconds: int) -> list[Line]:
    """Returns the lag behind each peer in records and in seconds, those that trail most first, as many as fit."""
    frames = state.shown_frames[-seconds:]
    if not frames or state.shown is None:
        return []
    series = []
    behind = {peer.name: (levels(frames, lag_behind(peer.name)), peer) for peer in state.shown.peers}
    for name in sorted(behind, key=lambda name: -max(behind[name][0])):
        records, peer = behind[name]
        ages = levels(frames, lag_age_behind(name))
        shown = look.safe(name, 30).text
        series += [
            Series(
                name=f"behind {shown}",
                now=f"{short_count(records[-1])} records" if records[-1] else lag_words(IN_STEP),
                values=records,
                words=short_count,
                role=Role.WARN if peer.lag_records else Role.CHART,
                least=100.0,
            ),
            Series(
                name=f"behind {shown}, in time",
                now=duration_words(ages[-1]),
                values=ages,
                words=short_duration,
                role=Role.ACCENT,
                least=1.0,
            ),
        ]
    fitting = max(height // LEAST_ROWS, 1)
    return stacked(series[:fitting], seconds, look, width, height)


def summary(snapshot: ClusterSnapshot) -> str:
    """Returns the panel's subtitle: how many streams run and how much is missing, here and there."""
    peers = snapshot.peers
    if not peers:
        return "no peers"
    streaming = sum(peer.state is PeerState.STREAMING for peer in peers)
    behind = of_node(snapshot)
    there = sum(origin.peer_lag_records for peer in peers for origin in peer.origins)
    parts = [f"{streaming} of {len(peers)} streaming"]
    if behind.records:
        parts.append(f"{short_count(behind.records)} records, {bytes_words(behind.size_bytes)} missing here")
    if there:
        parts.append(f"{short_count(there)} missing at peers")
    return ", ".join(parts if behind.records or there else [*parts, "all in step"])
