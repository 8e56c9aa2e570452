"""Replication between the agent and each peer: by peer, by origin, and as a matrix of who holds how much."""

from functools import partial
from itertools import takewhile

from proglog.client.frame import records_in
from proglog.client.history import lag_age_behind, lag_behind, levels
from proglog.client.lag import IN_STEP, Lag, Trend, of_node, of_origin, of_peer
from proglog.client.model import ClusterSnapshot, OriginStatus, PeerOrigin, PeerState, PeerStatus
from proglog.client.words import (
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
from proglog.tui.spans import Line, Look, Role, Span, line
from proglog.tui.state import DashState
from proglog.tui.table import Cell, Column, Help, LazyRow, Row, column_widths, render_cells
from proglog.tui.views.plots import LEAST_ROWS, Series, stacked

_ON_THE_WAY = 1_000
_COUNTS_UP_TO = 5
_SHARES_UP_TO = 12
_NAMED = 12
"""Nodes that are named in one row of a matrix."""
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
    return line(Span(short_count(records), _missing_role(records) if records else Role.MUTED))


def _missing_role(records: int) -> Role:
    """Returns the role of what is missing: a few records are on their way, many are a lag."""
    return Role.TEXT if records < _ON_THE_WAY else Role.WARN


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


_MATRIX_ORIGIN = Help(
    means="The writer of the records: a node's name and the id of its directory.",
    judge="Two ids for one name: that node lost its directory and began a new one.",
)
_MATRIX_HOLDER = Help(
    means="What this node holds of the origin: ✓ if it is all that is known of, or how much is missing and the share that is there. ~ is hearsay: the node does not say so itself now.",
    judge="✓ in every column is safe: the loss of one node loses nothing. A row with one ✓ alone stands on one disk.",
    act="Where something is missing for minutes, watch from that node and read what it trails by.",
)


_WHOLE_ON = Help(
    means="On how many of the known nodes all records of this origin are.",
    judge="All of them is well. 1: the records stand on one disk alone.",
    act="See who misses some: it says so itself when you watch from there.",
)
_MISSING_AT = Help(
    means="The nodes that miss records of this origin, the worst first, with the share that they have.",
    judge="nobody is well; the same name in every row is a node that is ill, or new.",
)


def matrix_columns(state: DashState, look: Look) -> tuple[Column, ...]:
    """Returns the columns of the matrix: the fewer nodes, the more is said of each.

    Up to five have counts, up to twelve the share that they hold; of more, those that miss something are named.
    """
    names = _holders(state)
    first = (
        Column(title="ORIGIN", width=14, flex=1, limit=30, help=_MATRIX_ORIGIN),
        Column(title="WHOLE ON", width=8, right=True, help=_WHOLE_ON),
    )
    if len(names) > _SHARES_UP_TO:
        return (*first, Column(title="MISSING AT", width=12, flex=6, help=_MISSING_AT))
    counts = len(names) <= _COUNTS_UP_TO
    width, limit, cut = (10, 16, 0) if counts else (5, 8, len(_common_start(names)))
    titles = [look.safe(name[cut:] or name, limit).text for name in names]
    return (
        *first,
        *(
            Column(title=title, width=width, flex=1, right=True, rank=rank, limit=limit, help=_MATRIX_HOLDER)
            for rank, title in enumerate(titles, 1)
        ),
    )


def _common_start(names: list[str]) -> str:
    """Returns what all names begin with, up to a hyphen or dot: ``node-`` says nothing at the head of a column."""
    ends = zip(min(names), max(names), strict=False)
    start = "".join(left for left, _ in takewhile(lambda pair: pair[0] == pair[1], ends))
    return start[: max(start.rfind("-"), start.rfind(".")) + 1]


def matrix_rows(state: DashState, look: Look) -> list[Row]:
    """Returns a row for each origin: how many of its records each node holds, and how far that is behind the most.

    What a node says itself counts, or what the watched agent knows of it if that is newer: sequences only grow. A cell
    of a node that does not speak for itself is marked as hearsay.
    """
    names = _holders(state)
    told = {name: _told_by(name, state) for name in names}
    first_hand = [state.first_hand(name) is not None for name in names]
    rows = []
    for origin in _all_origins(state):
        held = [records_in(told[name].get(origin.origin, 0)) for name in names]
        rows.append(_matrix_row(origin, names, held, first_hand, look))
    return rows


def _holders(state: DashState) -> list[str]:
    """Returns the watched agent, its peers, and whoever else speaks for itself."""
    if state.shown is None:
        return []
    node = state.shown.node.name
    others = (name for name in sorted(state.others) if state.first_hand(name))
    return list(dict.fromkeys([node, *(peer.name for peer in state.shown.peers), *others]))


def _all_origins(state: DashState) -> list[OriginStatus]:
    """Returns the origins that the watched agent holds, then those that only others hold."""
    if state.shown is None:
        return []
    snapshots = [state.shown, *(other for name in sorted(state.others) if (other := state.first_hand(name)))]
    known = {origin.origin: origin for snapshot in reversed(snapshots) for origin in snapshot.origins}
    own = [origin.origin for origin in state.shown.origins]
    return [known[origin] for origin in dict.fromkeys([*own, *sorted(known)])]


def _told_by(name: str, state: DashState) -> dict[bytes, int]:
    """Returns the next sequence of each origin at a node, from the best word there is."""
    assert state.shown is not None  # it has holders
    told: dict[bytes, int] = {}
    for peer in state.shown.peers:
        if peer.name == name:
            told = {origin.origin: origin.peer_next_sequence for origin in peer.origins}
    own = state.shown if state.shown.node.name == name else state.first_hand(name)
    for origin in own.origins if own else ():
        told[origin.origin] = max(told.get(origin.origin, 0), origin.next_sequence)
    return told


def _matrix_row(origin: OriginStatus, names: list[str], held: list[int], first_hand: list[bool], look: Look) -> Row:
    most = max(held)
    whole = sum(count >= most for count in held)
    cells = [_matrix_cell(count, most, own, len(names), look) for count, own in zip(held, first_hand, strict=True)]
    if len(names) > _SHARES_UP_TO:
        cells = [_missing_at(names, held, first_hand, look)]
    second = sorted(held)[-2] if len(held) > 1 else most
    alone = Role.BAD if most - second >= _ON_THE_WAY else Role.WARN
    role = Role.GOOD if whole == len(held) else alone if most - min(held) >= _ON_THE_WAY else Role.TEXT
    return Row(
        key=origin.origin.hex(),
        cells=(
            origin_name(origin.node_name, origin.origin, look),
            line(Span(f"{whole} of {len(held)}", role)),
            *cells,
        ),
        sort=(origin.node_name, whole, *(held if len(names) <= _SHARES_UP_TO else [most - min(held)])),
        source=origin,
    )


def _matrix_cell(count: int, most: int, first_hand: bool, nodes: int, look: Look) -> Line:
    """Returns a count, or what is missing; ``~`` and dimmed when another node says so."""
    counts = nodes <= _COUNTS_UP_TO
    if count >= most:
        text, role = look.pick("✓", "=") + (f" {short_count(count)}" if counts else ""), Role.GOOD
    else:
        text, role = (
            (f"-{short_count(most - count)} " if counts else "") + _share(count, most),
            _missing_role(most - count),
        )
    return line(Span(text, role)) if first_hand else line(Span("~" + text, Role.MUTED if count >= most else role))


def _share(count: int, most: int) -> str:
    """Returns a share that is never rounded up to all, nor down to nothing."""
    return f"{min(max(100 * count // most, 1 if count else 0), 99)}%"


def matrix_lines(state: DashState, look: Look, width: int, height: int) -> list[Line]:
    """Returns the whole matrix below a blank line, for where there is room to spare; nothing where it does not fit."""
    origins = len(state.shown.origins) if state.shown else 0
    if not 2 <= origins <= height - 2:
        return []
    columns = matrix_columns(state, look)
    widths = column_widths(columns, width)
    titles = render_cells([line(column.title) for column in columns], columns, widths, role=Role.MUTED)
    return [(), titles, *(render_cells(row.cells, columns, widths) for row in matrix_rows(state, look))][:height]


def _missing_at(names: list[str], held: list[int], first_hand: list[bool], look: Look) -> Line:
    most = max(held)
    missing = sorted(
        (count, name, own) for name, count, own in zip(names, held, first_hand, strict=True) if count < most
    )
    if not missing:
        return line(Span("nobody", Role.GOOD))
    told: list[Span] = []
    for count, name, own in missing[:_NAMED]:
        told += [
            Span(", " if told else ""),
            look.safe(name, 24, role=Role.WARN),
            Span(f" {'' if own else '~'}{_share(count, most)}", Role.MUTED),
        ]
    more = len(missing) - _NAMED
    return line(*told, Span(f" and {more} more" if more > 0 else "", Role.MUTED))


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
