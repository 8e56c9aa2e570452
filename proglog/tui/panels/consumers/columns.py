"""The columns of the panel of consumers: named positions, how far each is behind, and whether it catches up."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

from proglog.observe.columns import Cell, Column, Help, Row
from proglog.observe.frame import Frame
from proglog.observe.history import backlog_of, consumed_by, levels, rate_now
from proglog.observe.lag import WINDOW_SECONDS, LagTotal
from proglog.observe.spans import Locale, Role, line
from proglog.observe.words import age_words, rate_words
from proglog.tui.panels.replication.lag_cells import lag_cell
from proglog.tui.state import DashState
from proglog.wire.model import ConsumerStatus

_SILENT_MS = 30_000
"""Since the last commit of a consumer with a backlog: one that runs commits about once a second."""


@dataclass(kw_only=True, eq=False)
class ConsumerFacts:
    """A named consumer, and its last minutes."""

    consumer: ConsumerStatus
    now_ms: int
    """The agent's clock."""
    frames: Sequence[Frame] = ()
    """The past, up to the moment that is shown."""

    @property
    def silent(self) -> bool:
        """Whether it has a backlog and has not committed for a while."""
        return self.consumer.records_behind > 0 and self.now_ms - self.consumer.committed_at_ms > _SILENT_MS

    @cached_property
    def rate(self) -> float:
        """Records a second that it commits as consumed."""
        return rate_now(self.frames, consumed_by(self.consumer.name), WINDOW_SECONDS)

    @cached_property
    def lag(self) -> LagTotal:
        """How far it is behind, and where that is going."""
        consumer = self.consumer
        return LagTotal(
            records=consumer.records_behind,
            age_ms=consumer.lag_ms or 0,
            per_second=self._trend,
            catch_up_ms=round(-1000 * consumer.records_behind / self._trend) if self._trend < 0 else None,
        )

    @cached_property
    def _trend(self) -> float:
        recent = self.frames[-WINDOW_SECONDS - 1 :]
        if len(recent) < 2 or not recent[0].live:
            return 0.0
        seconds = (recent[-1].agent_ms - recent[0].agent_ms) / 1000
        before, after = (backlog_of(self.consumer.name)(frame) for frame in (recent[0], recent[-1]))
        known = before == before and after == after and seconds > 0  # noqa: PLR0124 - only nan differs from itself
        return (after - before) / seconds if known else 0.0

    @cached_property
    def backlogs(self) -> Sequence[float]:
        """Its backlog over the last two minutes, second by second."""
        return levels(self.frames[-120:], backlog_of(self.consumer.name))


def _draw_backlogs(facts: ConsumerFacts, locale: Locale) -> Cell:
    return lambda width: line(locale.spark(facts.backlogs, width))


COLUMNS: Sequence[Column[ConsumerFacts]] = (
    Column(
        title="CONSUMER",
        value=lambda facts: facts.consumer.name,
        role=Role.STRONG,
        width=10,
        flex=1,
        limit=40,
        help=Help(
            means="The name under which a consumer commits its position: `proglog consume --as NAME`.",
            judge="Every program that should read is listed once.",
            act="One that is missing never committed, or has not for thirty days.",
        ),
    ),
    Column(
        title="BEHIND",
        value=lambda facts: facts.consumer.records_behind,
        draw=lambda facts, locale: lag_cell(facts.lag, locale),
        width=12,
        flex=3,
        limit=60,
        help=Help(
            means="Records of this log that it has not committed as consumed, and since when the oldest of them waits.",
            judge="A few, for a second or two, are on their way. One that grows is a consumer that is slower than its producers.",
            act="enter shows the records that it has not had. Growing: start more consumers, or make each record cheaper.",
        ),
    ),
    Column(
        title="RATE",
        value=lambda facts: facts.rate,
        words=rate_words,
        width=7,
        right=True,
        rank=1,
        help=Help(
            means="Records a second by which its position moved, over the last ten seconds.",
            judge="0 with a backlog: it does not run, or it is stuck at one record.",
            act="Look at LAST COMMIT: an old one is a program that ended.",
        ),
    ),
    Column(
        title="LAST COMMIT",
        value=lambda facts: facts.now_ms - facts.consumer.committed_at_ms,
        words=lambda age_ms: age_words(0, age_ms),
        role=lambda facts: Role.WARN if facts.silent else Role.MUTED,
        width=12,
        right=True,
        rank=1,
        help=Help(
            means="When it last said how far it is.",
            judge="A consumer that runs commits about once a second while there is something to consume.",
            act="Minutes ago with a backlog: start it again; it continues where it was.",
        ),
    ),
    Column(
        title="LAST 2 MIN",
        value=lambda facts: facts.consumer.records_behind,
        draw=_draw_backlogs,
        width=10,
        flex=1,
        limit=40,
        rank=2,
        help=Help(means="Its backlog over the last two minutes, a cell for some seconds; ╌ is unknown."),
    ),
)


def rows(state: DashState, locale: Locale) -> list[Row[ConsumerFacts]]:
    """Return a row for each consumer, the one that is furthest behind first."""
    consumers = state.shown.consumers if state.shown else ()
    return [
        Row(
            key=each.name,
            item=ConsumerFacts(consumer=each, now_ms=state.agent_now_ms, frames=state.shown_frames),
            columns=COLUMNS,
            locale=locale,
            name=each.name,
            source=each,
        )
        for each in sorted(consumers, key=lambda each: (-each.records_behind, each.name))
    ]
