"""The columns of the panel of events."""

from collections.abc import Sequence
from dataclasses import dataclass

from proglog.observe.columns import Column, Help
from proglog.observe.events import ShownEvent
from proglog.observe.spans import Line, Locale, Role, Span, line
from proglog.observe.words import short_duration
from proglog.telemetry.emit import Weight
from proglog.wire.model import ClusterEvent


@dataclass(kw_only=True, eq=False)
class EventFacts:
    """An event, and how long ago it was."""

    shown: ShownEvent
    now_ms: int
    """The agent's clock."""

    @property
    def event(self) -> ClusterEvent:
        """The event itself."""
        return self.shown.event

    @property
    def ago_seconds(self) -> float:
        """How long ago it was."""
        return (self.now_ms - self.event.at_ms) / 1000


_ROLES = {Weight.GOOD: Role.GOOD, Weight.NEWS: Role.TEXT, Weight.WARN: Role.WARN, Weight.BAD: Role.BAD}


def event_line(shown: ShownEvent, locale: Locale) -> Line:
    """Return shape and words of an event."""
    mark, role = shown.mark, _ROLES[shown.weight]
    times = f" x{shown.count}" if shown.count > 1 else ""
    return line(Span(locale.shape(mark) + " ", role), locale.safe(mark.word, 40, role=role), Span(times, Role.MUTED))


def lasted_words(shown: ShownEvent) -> str:
    """Return how long what began with an event went on; nothing for one that begins nothing."""
    if shown.lasted_ms is None:
        return ""
    return short_duration(shown.lasted_ms / 1000) + (" +" if shown.still else "")


def _draw_lasted(row: EventFacts, locale: Locale) -> Line:
    del locale  # numbers and units alone
    return line(Span(lasted_words(row.shown), Role.WARN if row.shown.still else Role.MUTED))


COLUMNS: Sequence[Column[EventFacts]] = (
    Column(
        title="TIME",
        value=lambda row: row.event.at_ms,
        draw=lambda row, locale: line(Span(locale.moment(row.event.at_ms / 1000), Role.MUTED)),
        width=8,
        help=Help(means="When it happened, on the agent's clock, in your time zone."),
    ),
    Column(
        title="AGO",
        value=lambda row: row.ago_seconds,
        words=lambda seconds: f"{short_duration(seconds)} ago",
        role=Role.MUTED,
        width=10,
        right=True,
        rank=3,
        help=Help(means="How long ago that was, at the moment on the screen."),
    ),
    Column(
        title="EVENT",
        value=lambda row: row.shown.mark.word,
        draw=lambda row, locale: event_line(row.shown, locale),
        width=19,
        flex=1,
        limit=26,
        help=Help(
            means="What happened, and how often in a row. ● is good, · is news, ▲ wants a look, ✖ is bad.",
            judge="A member that failed came without a word; one that left said goodbye; many at once are a network that parted.",
            act="Go back in time to the second before, and look at the members' round trips.",
        ),
    ),
    Column(
        title="WHO",
        value=lambda row: row.event.subject,
        draw=lambda row, locale: line(locale.member(row.event.subject)),
        width=8,
        flex=1,
        limit=24,
        help=Help(means="The member that it happened to.", judge="One name again and again: that node comes and goes."),
    ),
    Column(
        title="LASTED",
        value=lambda row: row.shown.lasted_ms,
        draw=_draw_lasted,
        width=8,
        right=True,
        rank=2,
        help=Help(
            means="How long what began with it went on; + : it still does.",
            judge="Short ones that come again and again are a link or a machine that is overloaded.",
        ),
    ),
    Column(
        title="WHAT",
        value=lambda row: row.event.detail,
        width=12,
        flex=4,
        rank=1,
        help=Help(means="More about it: an address, offsets, a reason."),
    ),
    Column(
        title="KIND",
        value=lambda row: row.event.kind,
        role=Role.MUTED,
        width=20,
        rank=4,
        limit=30,
        help=Help(means="Its name in the agent's telemetry, in recordings and scripts; of members in Serf's words."),
    ),
)
