"""What happened in the cluster, newest first."""

from proglog.observe.happenings import Happening, Weight, happenings
from proglog.observe.words import short_duration
from proglog.tui.spans import Line, Look, Role, Span, line
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
        width=16,
        flex=1,
        limit=24,
        help=Help(
            means="What happened. ● is good, · is news, ▲ wants a look, ✖ is bad.",
            judge="A member that failed came without a word; one that left said goodbye; many at once are a network that parted.",
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
    Column(
        title="LASTED",
        width=8,
        right=True,
        rank=2,
        help=Help(
            means="How long what began with it went on; + : it still does.",
            judge="Short ones that come again and again are a link or a machine that is overloaded.",
        ),
    ),
    Column(title="WHAT", width=12, flex=4, rank=1, help=Help(means="More about it: an address, offsets, a reason.")),
    Column(
        title="KIND",
        width=20,
        rank=4,
        limit=30,
        help=Help(means="Its name in the agent's telemetry, in recordings and scripts; of members in Serf's words."),
    ),
)

_ROLES = {Weight.GOOD: Role.GOOD, Weight.NEWS: Role.TEXT, Weight.WARN: Role.WARN, Weight.BAD: Role.BAD}


def rows(state: DashState, look: Look) -> list[Row]:
    """Returns a row for each event."""
    if state.shown is None:
        return []
    now_ms = state.agent_now_ms
    return [_row(told, now_ms, look) for told in happenings(state.shown.events, now_ms)]


def happening(told: Happening, look: Look) -> Line:
    """Returns shape and words of an event."""
    return line(
        Span(look.shape(told.mark) + " ", _ROLES[told.weight]), look.safe(told.mark.word, 40, role=_ROLES[told.weight])
    )


def lasted_words(told: Happening) -> str:
    """Returns how long what began with an event went on; nothing for one that begins nothing."""
    if told.lasted_ms is None:
        return ""
    return short_duration(told.lasted_ms / 1000) + (" +" if told.still else "")


def _row(told: Happening, now_ms: int, look: Look) -> Row:
    event = told.event
    return Row(
        key=f"{event.at_ms}/{event.kind}/{event.subject}",
        cells=(
            line(Span(look.clock(event.at_ms / 1000), Role.MUTED)),
            line(Span(f"{short_duration((now_ms - event.at_ms) / 1000)} ago", Role.MUTED)),
            happening(told, look),
            line(look.safe(event.subject, 60, role=Role.STRONG)),
            line(Span(lasted_words(told), Role.WARN if told.still else Role.MUTED)),
            line(look.safe(event.detail, 200)),
            line(look.safe(event.kind, 40, role=Role.MUTED)),
        ),
        sort=(
            event.at_ms,
            -event.at_ms,
            told.mark.word,
            event.subject,
            -1 if told.lasted_ms is None else told.lasted_ms,
            event.detail,
            event.kind,
        ),
        name=f"{event.kind} {event.subject} {event.detail}",
        source=event,
    )
