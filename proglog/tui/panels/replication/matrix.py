"""Who holds how much of whose records: a row for each origin, a column for each node that is known of it."""

from itertools import takewhile

from proglog.observe.frame import records_in
from proglog.observe.words import short_count
from proglog.tui.panels.replication.table import ON_THE_WAY, missing_role, origin_name
from proglog.tui.spans import Line, Look, Role, Span, line
from proglog.tui.state import DashState
from proglog.tui.table import Column, Help, Row, column_widths, render_cells
from proglog.wire.model import OriginStatus

_COUNTS_UP_TO = 5
_SHARES_UP_TO = 12
_NAMED = 12
"""Nodes that are named in one row."""
_ORIGIN = Help(
    means="The writer of the records: a node's name and the id of its directory.",
    judge="Two ids for one name: that node lost its directory and began a new one.",
)
_HOLDER = Help(
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


def columns(state: DashState, look: Look) -> tuple[Column, ...]:
    """Returns the columns of the matrix: the fewer nodes, the more is said of each.

    Up to five have counts, up to twelve the share that they hold; of more, those that miss something are named.
    """
    names = _holders(state)
    first = (
        Column(title="ORIGIN", width=14, flex=1, limit=30, help=_ORIGIN),
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
            Column(title=title, width=width, flex=1, right=True, rank=rank, limit=limit, help=_HOLDER)
            for rank, title in enumerate(titles, 1)
        ),
    )


def _common_start(names: list[str]) -> str:
    """Returns what all names begin with, up to a hyphen or dot: ``node-`` says nothing at the head of a column."""
    ends = zip(min(names), max(names), strict=False)
    start = "".join(left for left, _ in takewhile(lambda pair: pair[0] == pair[1], ends))
    return start[: max(start.rfind("-"), start.rfind(".")) + 1]


def rows(state: DashState, look: Look) -> list[Row]:
    """Returns a row for each origin: how many of its records each node holds, and how far that is behind the most.

    What a node says itself counts, or what the watched agent knows of it if that is newer: sequences only grow. A cell
    of a node that does not speak for itself is marked as hearsay.
    """
    names = _holders(state)
    told = {name: _told_by(name, state) for name in names}
    first_hand = [state.first_hand(name) is not None for name in names]
    found: list[Row] = []
    for origin in _all_origins(state):
        held = [records_in(told[name].get(origin.origin, 0)) for name in names]
        found.append(_row(origin, names, held, first_hand, look))
    return found


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


def _row(origin: OriginStatus, names: list[str], held: list[int], first_hand: list[bool], look: Look) -> Row:
    most = max(held)
    whole = sum(count >= most for count in held)
    cells = [_cell(count, most, own, len(names), look) for count, own in zip(held, first_hand, strict=True)]
    if len(names) > _SHARES_UP_TO:
        cells = [_missing_at(names, held, first_hand, look)]
    second = sorted(held)[-2] if len(held) > 1 else most
    alone = Role.BAD if most - second >= ON_THE_WAY else Role.WARN
    role = Role.GOOD if whole == len(held) else alone if most - min(held) >= ON_THE_WAY else Role.TEXT
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


def _cell(count: int, most: int, first_hand: bool, nodes: int, look: Look) -> Line:
    """Returns a count, or what is missing; ``~`` and dimmed when another node says so."""
    counts = nodes <= _COUNTS_UP_TO
    if count >= most:
        text, role = look.pick("✓", "=") + (f" {short_count(count)}" if counts else ""), Role.GOOD
    else:
        text, role = (
            (f"-{short_count(most - count)} " if counts else "") + _share(count, most),
            missing_role(most - count),
        )
    return line(Span(text, role)) if first_hand else line(Span("~" + text, Role.MUTED if count >= most else role))


def _share(count: int, most: int) -> str:
    """Returns a share that is never rounded up to all, nor down to nothing."""
    return f"{min(max(100 * count // most, 1 if count else 0), 99)}%"


def lines(state: DashState, look: Look, width: int, height: int) -> list[Line]:
    """Returns the whole matrix below a blank line, for where there is room to spare; nothing where it does not fit."""
    origins = len(state.shown.origins) if state.shown else 0
    if not 2 <= origins <= height - 2:
        return []
    chosen = columns(state, look)
    widths = column_widths(chosen, width)
    titles = render_cells([line(column.title) for column in chosen], chosen, widths, role=Role.MUTED)
    return [(), titles, *(render_cells(row.cells, chosen, widths) for row in rows(state, look))][:height]


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
