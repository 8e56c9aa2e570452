"""What happened in the cluster, newest first."""

from proglog.client.model import ClusterEvent
from proglog.client.words import short_duration
from proglog.tui.spans import Look, Role, Span, line
from proglog.tui.state import DashState
from proglog.tui.table import Column, Help, Row

COLUMNS = (
    Column(title="TIME", width=8, help=Help(means="When it happened, on the agent's clock, in your time zone.")),
    Column(
        title="AGO",
        width=10,
        right=True,
        rank=3,
        help=Help(means="How long ago that was, at the moment on the screen."),
    ),
    Column(
        title="EVENT",
        width=15,
        flex=3,
        limit=24,
        help=Help(
            means="What happened, in Serf's words for membership.",
            judge="member-failed came without a word; member-leave is a goodbye; many of them at once are a network that parted.",
            act="Go back in time to the second before, and look at the members' round trips.",
        ),
    ),
    Column(
        title="WHO",
        width=8,
        flex=1,
        limit=24,
        help=Help(means="The member that it happened to.", judge="One name again and again: that node comes and goes."),
    ),
    Column(title="WHAT", width=12, flex=2, rank=1, help=Help(means="More about it: an address, a reason.")),
)

_ROLES = {
    "failed": Role.BAD,
    "leave": Role.WARN,
    "reap": Role.MUTED,
    "join": Role.GOOD,
    "update": Role.ACCENT,
    "started": Role.GOOD,
    "stopped": Role.MUTED,
    "error": Role.BAD,
}


def rows(state: DashState, look: Look) -> list[Row]:
    """Returns a row for each event."""
    if state.shown is None:
        return []
    return [_row(event, state.agent_now_ms, look) for event in reversed(state.shown.events)]


def _row(event: ClusterEvent, now_ms: int, look: Look) -> Row:
    role = _ROLES.get(event.kind.rpartition("-")[2], Role.TEXT)
    return Row(
        key=f"{event.at_ms}/{event.kind}/{event.subject}",
        cells=(
            line(Span(look.clock(event.at_ms / 1000), Role.MUTED)),
            line(Span(f"{short_duration((now_ms - event.at_ms) / 1000)} ago", Role.MUTED)),
            line(look.safe(event.kind, 40, role=role)),
            line(look.safe(event.subject, 60, role=Role.STRONG)),
            line(look.safe(event.detail, 200)),
        ),
        sort=(event.at_ms, -event.at_ms, event.kind, event.subject, event.detail),
        name=f"{event.kind} {event.subject} {event.detail}",
        source=event,
    )
