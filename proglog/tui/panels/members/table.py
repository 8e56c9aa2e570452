"""The members of the cluster, as the agent sees them."""

from functools import partial

from proglog.observe.frame import written
from proglog.observe.history import rate_now, rates, written_by
from proglog.observe.words import bytes_words, count_words, member_mark, rate_words, short_duration
from proglog.tui.spans import Line, Look, Role, Span, line
from proglog.tui.state import DashState
from proglog.tui.table import Column, Help, LazyRow, Row
from proglog.wire.model import Member, MemberStatus

COLUMNS = (
    Column(
        title="MEMBER",
        width=11,
        flex=1,
        limit=32,
        help=Help(
            means="The name of a node; it never changes. ◂ marks the agent that speaks to you.",
            judge="Every node that should be there is listed once.",
            act="A name that is missing never joined: look at the --start-join-addrs of that node.",
        ),
    ),
    Column(
        title="STATUS",
        width=9,
        help=Help(
            means="What the failure detector says of it: ● alive, ◐ leaving, ○ left, ✖ failed.",
            judge="alive is well, left is a goodbye that somebody wanted; failed means that it stopped answering probes without a word.",
            act="Start a failed node again with its directory: it comes back by itself. One that never will can be removed.",
        ),
    ),
    Column(
        title="FOR",
        width=6,
        right=True,
        rank=2,
        help=Help(
            means="How long it has had this status.",
            judge="A few seconds on a node that should be old: it has just restarted, or it comes and goes.",
            act="Of one that comes and goes, read the events (its network) and UP (its process).",
        ),
    ),
    Column(
        title="RTT",
        width=7,
        right=True,
        rank=3,
        help=Help(
            means="Round trip of the last probe that the agent sent it.",
            judge="Under 1 ms on one machine, under 5 ms in one building, 20 to 150 ms between regions. Compare it with the others.",
            act="One member far above the rest: its machine or its link is busy.",
        ),
    ),
    Column(
        title="RECORDS",
        width=9,
        right=True,
        rank=1,
        help=Help(
            means="How many of the records that this member wrote are here, at the agent that is watched.",
            judge="It grows while WRITES is above zero there; if it stands still, copies do not arrive.",
            act="See its row under Replication.",
        ),
    ),
    Column(
        title="WRITES",
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
        width=8,
        rank=8,
        limit=16,
        help=Help(
            means="The version of proglog that it runs.",
            judge="One version in a cluster, but for the hours of an upgrade.",
            act="Finish the upgrade.",
        ),
    ),
    Column(
        title="RPC ADDRESS",
        width=15,
        flex=1,
        rank=9,
        limit=30,
        help=Help(
            means="Where producers and consumers reach it, and other members copy from.",
            judge="An address that the others can reach: not 127.0.0.1 in a cluster of several machines.",
            act="Set --bind-addr of that node to an address that the others see.",
        ),
    ),
)

_ROLES = {
    MemberStatus.ALIVE: Role.GOOD,
    MemberStatus.LEAVING: Role.WARN,
    MemberStatus.LEFT: Role.MUTED,
    MemberStatus.FAILED: Role.BAD,
}


def status_role(status: MemberStatus) -> Role:
    """Returns the role of a member's status."""
    return _ROLES[status]


def status_seconds(member: Member, state: DashState) -> float:
    """Returns how long a member has had its status, at the moment on the screen."""
    taken_at_ms = state.shown.taken_at_ms if state.shown else state.agent_now_ms
    return (member.status_since_ms + state.agent_now_ms - taken_at_ms) / 1000


def rows(state: DashState, look: Look) -> list[LazyRow]:
    """Returns a row for each member, the agent itself first."""
    if state.shown is None:
        return []
    members = sorted(state.shown.members, key=lambda member: (not member.local, member.name))
    held = written(state.shown)
    return [
        LazyRow(key=member.name, make=partial(_row, member, held.get(member.name, 0), state, look), source=member)
        for member in members
    ]


def _row(member: Member, held: int, state: DashState, look: Look) -> Row:
    pace = rate_now(state.shown_frames, written_by(member.name))
    trend = rates(state.shown_frames[-120:], written_by(member.name))
    seconds = status_seconds(member, state)
    here = Span(look.pick(" ◂", " <"), Role.ACCENT) if member.local else Span("")
    role = status_role(member.status)
    mark = member_mark(member.status)
    rtt = f"{member.rtt_ms:.1f} ms" if member.rtt_ms else look.pick("·", "-")
    own, holds, disk, up, version = _own_word(member, state, look)
    return Row(
        key=member.name,
        cells=(
            line(look.safe(member.name, 60, role=Role.STRONG), here),
            line(Span(f"{look.shape(mark)} {mark.word}", role)),
            line(Span(short_duration(seconds), Role.MUTED)),
            line(rtt if member.rtt_ms else Span(rtt, Role.MUTED)),
            line(count_words(held)),
            line(Span(rate_words(pace), Role.TEXT if pace else Role.MUTED)),
            lambda width: line(look.spark(trend, width)),
            *own,
            line(look.safe(member.rpc_addr, 60, role=Role.MUTED)),
        ),
        sort=(
            member.name,
            mark.word,
            seconds,
            member.rtt_ms,
            held,
            pace,
            pace,
            holds,
            disk,
            up,
            version,
            member.rpc_addr,
        ),
        source=member,
    )


def _own_word(member: Member, state: DashState, look: Look) -> tuple[tuple[Line, ...], int, int, int, str]:
    """Returns the cells of what a member says of itself, and what they sort by; dots when it says nothing."""
    own = state.first_hand(member.name)
    if own is None:
        return (line(Span(look.pick("·", "-"), Role.MUTED)),) * 4, -1, -1, -1, ""
    holds, size, up_ms = (
        own.log.end_offset - own.log.start_offset,
        own.log.bytes,
        own.taken_at_ms - own.node.started_at_ms,
    )
    cells = (
        line(count_words(holds)),
        line(bytes_words(size)),
        line(Span(short_duration(up_ms / 1000), Role.MUTED)),
        line(look.safe(own.node.version, 20, role=Role.MUTED)),
    )
    return cells, holds, size, up_ms, own.node.version
