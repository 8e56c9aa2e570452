"""The columns of replication: what the dashboard's panel shows by peer and by origin, and `proglog lag` prints.

Who holds what is the panel of copies: :mod:`proglog.tui.panels.copies`.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property

from proglog.observe.columns import Cell, Column, Help
from proglog.observe.frame import Frame, records_in
from proglog.observe.history import lag_behind, levels
from proglog.observe.lag import IN_STEP, LagTotal, of_origin, of_peer
from proglog.observe.spans import Line, Locale, Role, Span, line
from proglog.observe.words import count_words, duration_words, lag_words, origin_id, peer_mark, short_count
from proglog.tui.panels.replication.lag_cells import lag_cell, lag_text, missing_role, origin_name
from proglog.wire.model import PeerOrigin, PeerState, PeerStatus

_ROLES = {
    PeerState.STREAMING: Role.GOOD,
    PeerState.CONNECTING: Role.WARN,
    PeerState.BACKING_OFF: Role.BAD,
    PeerState.STOPPED: Role.MUTED,
}


def stream_role(state: PeerState) -> Role:
    """Return the role of a replication stream's state."""
    return _ROLES[state]


@dataclass(kw_only=True, eq=False)
class PeerFacts:
    """A peer, and what its origins add up to."""

    peer: PeerStatus
    frames: Sequence[Frame] = ()
    """The past, up to the moment that is shown."""

    @cached_property
    def here(self) -> int:
        """Records that the agent holds of what the peer has."""
        return sum(records_in(origin.next_sequence) for origin in self.peer.origins)

    @cached_property
    def there(self) -> int:
        """Records that the peer holds."""
        return sum(records_in(origin.peer_next_sequence) for origin in self.peer.origins)

    @cached_property
    def peer_lag_records(self) -> int:
        """Records that the peer has not confirmed."""
        return sum(origin.peer_lag_records for origin in self.peer.origins)

    @cached_property
    def lags(self) -> Sequence[float]:
        """Records that the agent lacked over the last two minutes, second by second."""
        return levels(self.frames[-120:], lag_behind(self.peer.name))


@dataclass(kw_only=True, eq=False)
class OriginCopy:
    """One origin on both ends of a stream."""

    peer: PeerStatus
    origin: PeerOrigin | None
    """``None``: nothing is known of the peer's origins yet."""

    @property
    def node_name(self) -> str | None:
        """The writer's name; ``None``: no origin is known."""
        return self.origin.node_name if self.origin else None

    @property
    def here(self) -> int | None:
        """Records that the agent holds."""
        return records_in(self.origin.next_sequence) if self.origin else None

    @property
    def there(self) -> int | None:
        """Records that the peer holds."""
        return records_in(self.origin.peer_next_sequence) if self.origin else None

    @property
    def lag(self) -> LagTotal:
        """How far the agent trails the peer."""
        return of_origin(self.origin) if self.origin else IN_STEP

    @property
    def peer_lag_records(self) -> int | None:
        """Records that the peer has not confirmed."""
        return self.origin.peer_lag_records if self.origin else None

    @property
    def pulled(self) -> bool:
        """Whether the origin is pulled from this peer."""
        return self.origin is not None and self.origin.source


def _draw_stream(facts: PeerFacts, locale: Locale) -> Line:
    mark = peer_mark(facts.peer.state)
    return line(Span(f"{locale.shape(mark)} {mark.word}", stream_role(facts.peer.state)))


def _draw_peer_lag(facts: PeerFacts, locale: Locale) -> Cell:
    peer = facts.peer
    if peer.state is PeerState.BACKING_OFF:
        retry = "" if peer.retry_in_ms is None else f"again in {duration_words(peer.retry_in_ms / 1000)}: "
        return line(Span(retry, Role.WARN), locale.safe(peer.error, 200, role=Role.WARN))
    return lag_cell(of_peer(peer), locale)


def _draw_lags(facts: PeerFacts, locale: Locale) -> Cell:
    return lambda width: line(locale.spark(facts.lags, width))


PEER_COLUMNS: Sequence[Column[PeerFacts]] = (
    Column(
        title="PEER",
        value=lambda facts: facts.peer.name,
        draw=lambda facts, locale: line(locale.member(facts.peer.name)),
        width=8,
        flex=1,
        limit=20,
        help=Help(means="The member that this agent copies from.", judge="Every other living member is listed."),
    ),
    Column(
        title="STREAM",
        value=lambda facts: peer_mark(facts.peer.state).word,
        draw=_draw_stream,
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
        value=lambda facts: facts.here,
        words=count_words,
        width=9,
        right=True,
        rank=2,
        help=Help(
            means="How far this agent reaches, in records of all writers, in what this peer has. What it holds: Copies.",
            judge="Equal to THERE when in step.",
        ),
    ),
    Column(
        title="THERE",
        value=lambda facts: facts.there,
        words=count_words,
        width=9,
        right=True,
        rank=2,
        help=Help(
            means="How far the peer reaches, in records of all writers, as it said last.",
            judge="Above HERE: the difference is under way.",
        ),
    ),
    Column(
        title="WE TRAIL BY",
        value=lambda facts: facts.peer.lag_records,
        draw=_draw_peer_lag,
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
        value=lambda facts: facts.peer.lag_records,
        draw=_draw_lags,
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
        value=lambda facts: facts.peer_lag_records,
        words=short_count,
        role=lambda facts: missing_role(facts.peer_lag_records),
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
        value=lambda facts: facts.peer.records_copied,
        words=short_count,
        role=Role.MUTED,
        width=7,
        right=True,
        rank=5,
        help=Help(
            means="Records copied over this stream since it began.",
            judge="It grows whenever the peer has something new.",
        ),
    ),
)
"""Those of the panel by peer."""


def _draw_origin(copy: OriginCopy, locale: Locale) -> Line:
    return origin_name(copy.node_name or "", copy.origin.origin if copy.origin else b"", locale)


def _origin_text(copy: OriginCopy) -> str:
    return f"{copy.node_name or '?'} {origin_id(copy.origin.origin)}" if copy.origin else "-"


def _lag_text(copy: OriginCopy) -> str:
    return lag_text(copy.lag) if copy.origin else copy.peer.error


def _lag_brief(copy: OriginCopy) -> str:
    return lag_text(replace(copy.lag, size_bytes=0, per_second=0.0)) if copy.origin else copy.peer.error


def _peer_lag_text(copy: OriginCopy) -> str:
    return lag_words(LagTotal(records=copy.peer_lag_records)) if copy.peer_lag_records is not None else "-"


def _draw_pulled(copy: OriginCopy, locale: Locale) -> Line:
    return line(Span(locale.pick("◂ yes", "< yes"), Role.ACCENT) if copy.pulled else Span("no", Role.MUTED))


PEER: Column[OriginCopy] = Column(
    title="PEER",
    value=lambda copy: copy.peer.name,
    draw=lambda copy, locale: line(locale.member(copy.peer.name)),
    width=10,
    flex=1,
    limit=24,
    help=Help(
        means="The member that this agent copies from.", judge="Every origin may come from any peer that has it."
    ),
)
ORIGIN: Column[OriginCopy] = Column(
    title="ORIGIN",
    value=lambda copy: copy.node_name,
    draw=_draw_origin,
    text=_origin_text,
    width=17,
    flex=1,
    limit=33,
    help=Help(
        means="The writer of the records: a node's name and the id of its directory.",
        judge="Two ids for one name: that node lost its directory and began a new one.",
        act="The records of the old id are kept, and copied on.",
    ),
)
HERE: Column[OriginCopy] = Column(
    title="HERE",
    value=lambda copy: copy.here,
    words=count_words,
    width=9,
    right=True,
    rank=1,
    help=Help(means="How far this agent reaches in this origin, in records.", judge="Equal to THERE when in step."),
)
THERE: Column[OriginCopy] = Column(
    title="THERE",
    value=lambda copy: copy.there,
    words=count_words,
    width=9,
    right=True,
    rank=1,
    help=Help(
        means="How far the peer reaches in this origin, in records, as it said last.",
        judge="Above HERE: the difference is under way.",
    ),
)
LAG: Column[OriginCopy] = Column(
    title="WE TRAIL BY",
    value=lambda copy: copy.lag.records,
    draw=lambda copy, locale: lag_cell(copy.lag, locale),
    text=_lag_text,
    brief=_lag_brief,
    width=24,
    flex=4,
    limit=70,
    help=Help(
        means="What the peer holds of this origin and this agent does not yet: records, bytes, seconds.",
        judge="In step, or small and changing.",
        act="If it grows: see the processor and disk of this agent, then the link.",
    ),
)
PEER_LAG: Column[OriginCopy] = Column(
    title="IT TRAILS",
    value=lambda copy: copy.peer_lag_records,
    words=short_count,
    role=lambda copy: missing_role(copy.peer_lag_records or 0),
    text=_peer_lag_text,
    width=9,
    right=True,
    rank=3,
    help=Help(
        means="What this agent holds of this origin and the peer has not confirmed yet.",
        judge="0, or small and changing.",
        act="If it does not move, watch from the peer.",
    ),
)
STREAM: Column[OriginCopy] = Column(
    title="STREAM",
    value=lambda copy: peer_mark(copy.peer.state).word,
    text=lambda copy: peer_mark(copy.peer.state).text(),
)
ORIGIN_COLUMNS: Sequence[Column[OriginCopy]] = (
    PEER,
    ORIGIN,
    HERE,
    THERE,
    LAG,
    PEER_LAG,
    Column(
        title="PULLED",
        value=lambda copy: int(copy.pulled),
        draw=_draw_pulled,
        width=6,
        rank=2,
        help=Help(
            means="Whether the records of this origin come from this peer now: one peer is chosen for each origin.",
            judge="Exactly one peer for each origin that is not this agent itself.",
        ),
    ),
)
"""Those of the panel by origin."""
