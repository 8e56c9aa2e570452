"""Who holds how much of whose records: a row for each origin, a column for each node that is known of it."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import takewhile

from proglog.observe.columns import Column, Help, Row
from proglog.observe.frame import records_in
from proglog.observe.spans import Line, Locale, Role, Span, line
from proglog.observe.words import short_count
from proglog.tui.panels.replication.lag_cells import ON_THE_WAY, missing_role, origin_name
from proglog.tui.state import DashState
from proglog.tui.table import column_widths, render_cells
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


@dataclass(kw_only=True, eq=False)
class OriginHoldings:
    """How many records of one origin each node holds."""

    origin: OriginStatus
    names: Sequence[str]
    held: Sequence[int]
    """In the order of the names."""
    first_hand: Sequence[bool]
    """Whether each node says so itself; otherwise it is hearsay."""

    @property
    def most(self) -> int:
        """Records at the node that has most."""
        return max(self.held)

    @property
    def whole(self) -> int:
        """Nodes that hold all that is known of."""
        return sum(count >= self.most for count in self.held)

    @property
    def whole_role(self) -> Role:
        """Role of that number."""
        if self.whole == len(self.held):
            return Role.GOOD
        second = sorted(self.held)[-2] if len(self.held) > 1 else self.most
        alone = Role.BAD if self.most - second >= ON_THE_WAY else Role.WARN
        return alone if self.most - min(self.held) >= ON_THE_WAY else Role.TEXT


def columns(state: DashState, locale: Locale) -> tuple[Column[OriginHoldings], ...]:
    """Return the columns of the matrix: the fewer nodes, the more is said of each.

    Up to five have counts, up to twelve the share that they hold; of more, those that miss something are named.
    """
    names = _holders(state)
    first: tuple[Column[OriginHoldings], ...] = (
        Column(
            title="ORIGIN",
            value=lambda row: row.origin.node_name,
            draw=lambda row, locale: origin_name(row.origin.node_name, row.origin.origin, locale),
            width=14,
            flex=1,
            limit=30,
            help=_ORIGIN,
        ),
        Column(
            title="WHOLE ON",
            value=lambda row: row.whole,
            draw=lambda row, _: line(Span(f"{row.whole} of {len(row.held)}", row.whole_role)),
            width=8,
            right=True,
            help=_WHOLE_ON,
        ),
    )
    if len(names) > _SHARES_UP_TO:
        missing: Column[OriginHoldings] = Column(
            title="MISSING AT",
            value=lambda row: row.most - min(row.held),
            draw=_missing_at,
            width=12,
            flex=6,
            help=_MISSING_AT,
        )
        return (*first, missing)
    cut = 0 if len(names) <= _COUNTS_UP_TO else len(_common_start(names))
    return (*first, *(_node_column(name[cut:] or name, index, len(names), locale) for index, name in enumerate(names)))


def _node_column(name: str, index: int, nodes: int, locale: Locale) -> Column[OriginHoldings]:
    """Return the column of one node."""
    counts = nodes <= _COUNTS_UP_TO
    width, limit = (10, 16) if counts else (5, 8)
    return Column(
        title=locale.safe(name, limit).text,
        value=lambda row: row.held[index],
        draw=lambda row, locale: _cell(row.held[index], row.most, row.first_hand[index], counts, locale),
        width=width,
        flex=1,
        right=True,
        rank=index + 1,
        limit=limit,
        help=_HOLDER,
    )


def _common_start(names: list[str]) -> str:
    """Return what all names begin with, up to a hyphen or dot: ``node-`` says nothing at the head of a column."""
    ends = zip(min(names), max(names), strict=False)
    start = "".join(left for left, _ in takewhile(lambda pair: pair[0] == pair[1], ends))
    return start[: max(start.rfind("-"), start.rfind(".")) + 1]


def rows(state: DashState, locale: Locale) -> list[Row[OriginHoldings]]:
    """Return a row for each origin: how many of its records each node holds, and how far that is behind the most.

    What a node says itself counts, or what the watched agent knows of it if that is newer: sequences only grow. A cell
    of a node that does not speak for itself is marked as hearsay.
    """
    names, shown = _holders(state), columns(state, locale)
    known = [_known_of(name, state) for name in names]
    first_hand = [state.first_hand(name) is not None for name in names]
    return [
        Row(
            key=origin.origin.hex(),
            item=OriginHoldings(
                origin=origin,
                names=names,
                held=[records_in(sequences.get(origin.origin, 0)) for sequences in known],
                first_hand=first_hand,
            ),
            columns=shown,
            locale=locale,
            source=origin,
        )
        for origin in _all_origins(state)
    ]


def _holders(state: DashState) -> list[str]:
    """Return the watched agent, its peers, and whoever else speaks for itself."""
    if state.shown is None:
        return []
    node = state.shown.node.name
    others = (name for name in sorted(state.others) if state.first_hand(name))
    return list(dict.fromkeys([node, *(peer.name for peer in state.shown.peers), *others]))


def _all_origins(state: DashState) -> list[OriginStatus]:
    """Return the origins that the watched agent holds, then those that only others hold."""
    if state.shown is None:
        return []
    snapshots = [state.shown, *(other for name in sorted(state.others) if (other := state.first_hand(name)))]
    known = {origin.origin: origin for snapshot in reversed(snapshots) for origin in snapshot.origins}
    own = [origin.origin for origin in state.shown.origins]
    return [known[origin] for origin in dict.fromkeys([*own, *sorted(known)])]


def _known_of(name: str, state: DashState) -> dict[bytes, int]:
    """Return the next sequence of each origin at a node, from the best source there is."""
    assert state.shown is not None  # it has holders
    known: dict[bytes, int] = {}
    for peer in state.shown.peers:
        if peer.name == name:
            known = {origin.origin: origin.peer_next_sequence for origin in peer.origins}
    own = state.shown if state.shown.node.name == name else state.first_hand(name)
    for origin in own.origins if own else ():
        known[origin.origin] = max(known.get(origin.origin, 0), origin.next_sequence)
    return known


def _cell(count: int, most: int, first_hand: bool, counts: bool, locale: Locale) -> Line:
    """Return a count, or what is missing; ``~`` and dimmed when another node says so."""
    if count >= most:
        text, role = locale.pick("✓", "=") + (f" {short_count(count)}" if counts else ""), Role.GOOD
    else:
        text, role = (
            (f"-{short_count(most - count)} " if counts else "") + _share(count, most),
            missing_role(most - count),
        )
    return line(Span(text, role)) if first_hand else line(Span("~" + text, Role.MUTED if count >= most else role))


def _share(count: int, most: int) -> str:
    """Return a share that is never rounded up to all, nor down to nothing."""
    return f"{min(max(100 * count // most, 1 if count else 0), 99)}%"


def lines(state: DashState, locale: Locale, width: int, height: int) -> list[Line]:
    """Return the whole matrix below a blank line, for where there is room to spare; nothing where it does not fit."""
    origins = len(state.shown.origins) if state.shown else 0
    if not 2 <= origins <= height - 2:
        return []
    chosen = columns(state, locale)
    widths = column_widths(chosen, width)
    titles = render_cells([line(column.title) for column in chosen], chosen, widths, role=Role.MUTED)
    return [(), titles, *(render_cells(row.cells, chosen, widths) for row in rows(state, locale))][:height]


def _missing_at(row: OriginHoldings, locale: Locale) -> Line:
    most, nodes = row.most, zip(row.names, row.held, row.first_hand, strict=True)
    missing = sorted((count, name, own) for name, count, own in nodes if count < most)
    if not missing:
        return line(Span("nobody", Role.GOOD))
    named: list[Span] = []
    for count, name, own in missing[:_NAMED]:
        named += [
            Span(", " if named else ""),
            locale.safe(name, 24, role=Role.WARN),
            Span(f" {'' if own else '~'}{_share(count, most)}", Role.MUTED),
        ]
    more = len(missing) - _NAMED
    return line(*named, Span(f" and {more} more" if more > 0 else "", Role.MUTED))
