"""The columns of members: what the dashboard's panel shows, and `proglog members` prints."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

from proglog.observe.columns import Cell, Column, Help
from proglog.observe.frame import Frame
from proglog.observe.history import rate_now, rates, written_by
from proglog.observe.spans import Line, Locale, Role, Span, line
from proglog.observe.words import bytes_words, count_words, member_mark, rate_words, short_duration
from proglog.wire.model import ClusterSnapshot, Member, MemberStatus


@dataclass(kw_only=True, eq=False)
class MemberFacts:
    """A member, and what is known of it beside what gossip says."""

    member: Member
    status_seconds: float
    """How long it has had its status."""
    held: int = 0
    """Records of its writing that the watched agent holds."""
    frames: Sequence[Frame] = ()
    """The past, up to the moment that is shown."""
    own: ClusterSnapshot | None = None
    """What it says itself; ``None``: it is known from others alone."""

    @cached_property
    def rate(self) -> float:
        """Records of its writing that arrive a second."""
        return rate_now(self.frames, written_by(self.member.name))

    @cached_property
    def rates(self) -> Sequence[float]:
        """The same over the last two minutes, second by second."""
        return rates(self.frames[-120:], written_by(self.member.name))

    @property
    def up_seconds(self) -> float | None:
        """How long its process has run; ``None``: unknown."""
        return self.own.up_ms / 1000 if self.own else None


_ROLES = {
    MemberStatus.ALIVE: Role.GOOD,
    MemberStatus.LEAVING: Role.WARN,
    MemberStatus.LEFT: Role.MUTED,
    MemberStatus.FAILED: Role.BAD,
}


def status_role(status: MemberStatus) -> Role:
    """Return the role of a member's status."""
    return _ROLES[status]


def _draw_name(facts: MemberFacts, locale: Locale) -> Line:
    local = Span(locale.pick(" ◂", " <"), Role.ACCENT) if facts.member.local else Span("")
    return line(locale.member(facts.member.name), local)


def _name_text(facts: MemberFacts) -> str:
    return facts.member.name + (" (this)" if facts.member.local else "")


def _draw_status(facts: MemberFacts, locale: Locale) -> Line:
    mark = member_mark(facts.member.status)
    return line(Span(f"{locale.shape(mark)} {mark.word}", status_role(facts.member.status)))


def _draw_rates(facts: MemberFacts, locale: Locale) -> Cell:
    return lambda width: line(locale.spark(facts.rates, width, role=locale.accents.get(facts.member.name, Role.CHART)))


def _tags(tags: Mapping[str, str]) -> str:
    return ",".join(f"{key}={value}" for key, value in sorted(tags.items()))


MEMBER: Column[MemberFacts] = Column(
    title="MEMBER",
    value=lambda facts: facts.member.name,
    draw=_draw_name,
    text=_name_text,
    width=11,
    flex=1,
    limit=32,
    help=Help(
        means="The name of a node; it never changes. ◂ marks the agent that speaks to you.",
        judge="Every node that should be there is listed once.",
        act="A name that is missing never joined: look at the --start-join-addrs of that node.",
    ),
)
STATUS: Column[MemberFacts] = Column(
    title="STATUS",
    value=lambda facts: member_mark(facts.member.status).word,
    draw=_draw_status,
    text=lambda facts: member_mark(facts.member.status).text(),
    width=9,
    help=Help(
        means="What the failure detector says of it: ● alive, ◐ leaving, ○ left, ✖ failed.",
        judge="alive is well, left is a goodbye that somebody wanted; failed means that it stopped answering probes without a word.",
        act="Start a failed node again with its directory: it comes back by itself. One that never will can be removed.",
    ),
)
FOR: Column[MemberFacts] = Column(
    title="FOR",
    value=lambda facts: facts.status_seconds,
    words=short_duration,
    role=Role.MUTED,
    width=6,
    right=True,
    rank=2,
    help=Help(
        means="How long it has had this status.",
        judge="A few seconds on a node that should be old: it has just restarted, or it comes and goes.",
        act="Of one that comes and goes, read the events (its network) and UP (its process).",
    ),
)
RTT: Column[MemberFacts] = Column(
    title="RTT",
    value=lambda facts: facts.member.rtt_ms if facts.member.status is MemberStatus.ALIVE else None,
    words=lambda rtt_ms: f"{rtt_ms:.1f} ms",
    width=7,
    right=True,
    rank=3,
    help=Help(
        means="Round trip of the last probe that the agent sent it.",
        judge="Under 1 ms on one machine, under 5 ms in one building, 20 to 150 ms between regions. Compare it with the others.",
        act="One member far above the rest: its machine or its link is busy.",
    ),
)
RPC_ADDRESS: Column[MemberFacts] = Column(
    title="RPC ADDRESS",
    value=lambda facts: facts.member.rpc_addr,
    role=Role.MUTED,
    text=lambda facts: facts.member.rpc_addr or "-",
    width=15,
    flex=1,
    rank=9,
    limit=30,
    help=Help(
        means="Where producers and consumers reach it, and other members copy from.",
        judge="An address that the others can reach: not 127.0.0.1 in a cluster of several machines.",
        act="Set --bind-addr of that node to an address that the others see.",
    ),
)
GOSSIP: Column[MemberFacts] = Column(title="GOSSIP", value=lambda facts: facts.member.addr)
TAGS: Column[MemberFacts] = Column(title="TAGS", value=lambda facts: _tags(facts.member.tags))
COLUMNS: Sequence[Column[MemberFacts]] = (
    MEMBER,
    STATUS,
    FOR,
    RTT,
    Column(
        title="RECORDS",
        value=lambda facts: facts.held,
        words=count_words,
        width=9,
        right=True,
        rank=1,
        help=Help(
            means="How many of the records that this member wrote are here, at the agent that is watched.",
            judge="It grows while WRITES is above zero there; if it does not move, copies do not arrive.",
            act="See its row under Replication.",
        ),
    ),
    Column(
        title="WRITES",
        value=lambda facts: facts.rate,
        words=rate_words,
        role=lambda facts: Role.TEXT if facts.rate else Role.MUTED,
        width=7,
        right=True,
        rank=1,
        help=Help(
            means="Records of this member that arrive here, a second, over the last ten seconds.",
            judge="0 on a member that producers write to: they stopped, or its copies do not come through.",
            act="Compare with what the member itself appends: watch it from there.",
        ),
    ),
    Column(
        title="LAST 2 MIN",
        value=lambda facts: facts.rate,
        draw=_draw_rates,
        width=10,
        right=True,
        flex=2,
        rank=4,
        limit=30,
        help=Help(
            means="WRITES over the last two minutes, the newest at the right, scaled to its own peak.",
            judge="Gaps are seconds in which nothing came.",
        ),
    ),
    Column(
        title="HOLDS",
        value=lambda facts: facts.own.log.end_offset - facts.own.log.start_offset if facts.own else None,
        words=count_words,
        width=9,
        right=True,
        rank=5,
        help=Help(
            means="How many records this member says it holds, of all writers.",
            judge="The same everywhere, up to what is under way. A dot: it does not speak for itself now.",
            act="A member that holds less is behind: Replication says by how much.",
        ),
    ),
    Column(
        title="DISK",
        value=lambda facts: facts.own.log.bytes if facts.own else None,
        words=bytes_words,
        width=7,
        right=True,
        rank=6,
        help=Help(
            means="Bytes of its log on its own disk.",
            judge="Copies of the same records take about the same room; different retention makes the difference.",
            act="Growing towards the size of its disk: set --retention-bytes or --retention-age.",
        ),
    ),
    Column(
        title="UP",
        value=lambda facts: facts.up_seconds,
        words=short_duration,
        role=Role.MUTED,
        width=6,
        right=True,
        rank=7,
        help=Help(
            means="How long its process has been running, by its own word.",
            judge="Shorter than FOR of its neighbours: it has restarted.",
            act="If nobody restarted it, read its telemetry of that moment.",
        ),
    ),
    Column(
        title="VERSION",
        value=lambda facts: facts.own.node.version if facts.own else None,
        role=Role.MUTED,
        width=8,
        rank=8,
        limit=16,
        help=Help(
            means="The version of proglog that it runs.",
            judge="One version in a cluster, but for the hours of an upgrade.",
            act="Finish the upgrade.",
        ),
    ),
    RPC_ADDRESS,
)
"""Those of the panel."""
