"""The columns of segments: what the dashboard's panel shows, and `proglog segments` prints."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from proglog.observe.columns import Cell, Column, Help, unknown
from proglog.observe.spans import Line, Locale, Role, Span, line
from proglog.observe.words import bytes_words, count_words, short_count, short_duration
from proglog.types import half_open
from proglog.wire.model import IndexState, Segment


@dataclass(kw_only=True, eq=False)
class SegmentFacts:
    """A segment beside the others."""

    segment: Segment
    now_ms: int
    """The agent's clock."""
    share: float = 0.0
    """Its bytes, as a share of the largest one's."""
    damaged: int = 0
    """Offsets of it that cannot be read."""
    checked: Callable[[Locale], Line] | None = None
    """Draws the result of its verification; ``None``: it was not verified."""

    @property
    def last_written_ms(self) -> int | None:
        """When its last record was appended; ``None``: it has none."""
        return self.segment.max_timestamp_ms if self.segment.record_count else None

    @property
    def span_seconds(self) -> float | None:
        """Time from its first record to its last; ``None``: it has none."""
        if not self.segment.record_count:
            return None
        return max(self.segment.max_timestamp_ms - self.segment.first_timestamp_ms, 0) / 1000


_INDEX_ROLES = {IndexState.OK: Role.GOOD, IndexState.REBUILT: Role.ACCENT, IndexState.MISSING: Role.WARN}
_INDEX_SHAPES = {IndexState.OK: ("✓", "+"), IndexState.REBUILT: ("↻", "~"), IndexState.MISSING: ("▲", "!")}


def title(segment: Segment, locale: Locale) -> str:
    """Return the name of a segment: its offsets; of one that grows, where they begin."""
    if segment.active:
        return f"from {segment.base_offset:,}"
    return locale.range_words(segment.base_offset, segment.end_offset)


def _draw_offsets(facts: SegmentFacts, locale: Locale) -> Cell:
    segment = facts.segment
    mark = Span(locale.pick("▸ ", "> "), Role.ACCENT) if segment.active else Span("  ")
    return lambda width: line(mark, _offsets_within(segment.base_offset, segment.end_offset, locale, width - 2))


def _offsets_within(start: int, end: int, locale: Locale, width: int) -> str:
    """Return a range that fits: exact, or its start and how many there are, or abbreviated; never cut."""
    dots = locale.pick("…", "..")
    forms = (
        locale.range_words(start, end),
        f"{start:,} +{short_count(end - start)}",
        f"[{short_count(start)} {dots} {short_count(end)})",
    )
    return next((each for each in forms if len(each) <= width), forms[-1])


def _draw_share(facts: SegmentFacts, locale: Locale) -> Cell:
    role = Role.BAD if facts.damaged else Role.ACCENT if facts.segment.active else Role.CHART
    return lambda width: line(locale.bar(facts.share, width, role=role))


def _draw_age(facts: SegmentFacts, locale: Locale) -> Line:
    if facts.last_written_ms is None:
        return unknown(locale)
    age = (facts.now_ms - facts.last_written_ms) / 1000
    return line(Span("now" if age < 1 else f"{short_duration(age)} ago", Role.MUTED))


def _draw_index(facts: SegmentFacts, locale: Locale) -> Line:
    if facts.damaged:
        return line(Span(locale.pick("✖ ", "x ") + "damaged", Role.BAD))
    if facts.checked is not None:
        return facts.checked(locale)
    index = facts.segment.index_state
    role = _INDEX_ROLES.get(index, Role.WARN)
    return line(Span(locale.pick(*_INDEX_SHAPES.get(index, ("?", "?"))) + " ", role), locale.safe(index, 12, role=role))


def _moment(timestamp_ms: int) -> str:
    try:
        return datetime.fromtimestamp(timestamp_ms / 1000, UTC).strftime("%Y-%m-%d %H:%M:%SZ")
    except (OverflowError, ValueError, OSError):
        return str(timestamp_ms)  # beyond the calendar


OFFSETS: Column[SegmentFacts] = Column(
    title="OFFSETS",
    value=lambda facts: facts.segment.base_offset,
    draw=_draw_offsets,
    text=lambda facts: half_open(facts.segment.base_offset, facts.segment.end_offset),
    width=19,
    flex=1,
    limit=30,
    help=Help(
        means="Where the segment begins and ends in this agent's log; the end is not in it. ▸ is the one that grows.",
        judge="Each begins where the one before ends.",
        act="A gap is a segment that was lost: proglog verify says more.",
    ),
)
RECORDS: Column[SegmentFacts] = Column(
    title="RECORDS",
    value=lambda facts: facts.segment.record_count,
    words=count_words,
    width=8,
    right=True,
    rank=4,
    help=Help(means="How many records are in it."),
)
BATCHES: Column[SegmentFacts] = Column(
    title="BATCHES",
    value=lambda facts: facts.segment.batch_count,
    words=count_words,
    role=Role.MUTED,
    width=7,
    right=True,
    rank=6,
    help=Help(
        means="In how many batches they were appended.",
        judge="Records by batches is the size of a batch: with only a few, producers write one by one, which costs a sync each.",
        act="Let producers send several values at once.",
    ),
)
SIZE: Column[SegmentFacts] = Column(
    title="SIZE",
    value=lambda facts: facts.segment.bytes,
    words=bytes_words,
    width=7,
    right=True,
    help=Help(
        means="Bytes in the file.",
        judge="Up to --segment-bytes, 128 MiB by default.",
        act="Small closed segments come from restarts, and do no harm.",
    ),
)
INDEX: Column[SegmentFacts] = Column(
    title="INDEX",
    value=lambda facts: facts.segment.index_state,
    draw=_draw_index,
    text=lambda facts: facts.segment.index_state,
    width=7,
    flex=1,
    rank=3,
    limit=9,
    help=Help(
        means="State of the index that finds a record without reading the file: ✓ ok, ↻ rebuilt, ▲ missing; after V, what the check says.",
        judge="rebuilt was torn or missing at the start and is whole again; missing makes reads of this segment slow.",
        act="Restart the agent: it writes what is missing. If that fails, proglog doctor says why.",
    ),
)
FIRST_RECORD: Column[SegmentFacts] = Column(
    title="FIRST RECORD",
    value=lambda facts: facts.segment.first_timestamp_ms if facts.segment.record_count else None,
    words=_moment,
)
LAST_RECORD: Column[SegmentFacts] = Column(
    title="LAST RECORD", value=lambda facts: facts.last_written_ms, words=_moment
)
STATE: Column[SegmentFacts] = Column(title="STATE", value=lambda facts: "active" if facts.segment.active else "sealed")
COLUMNS: Sequence[Column[SegmentFacts]] = (
    OFFSETS,
    RECORDS,
    BATCHES,
    SIZE,
    Column(
        title="",
        value=lambda facts: facts.segment.bytes,
        draw=_draw_share,
        width=8,
        flex=2,
        rank=2,
        limit=32,
        help=Help(means="The size as a bar; the longest is the largest segment."),
    ),
    Column(
        title="WRITTEN",
        value=lambda facts: facts.last_written_ms,
        draw=_draw_age,
        width=10,
        right=True,
        rank=1,
        help=Help(
            means="When its last record was appended.",
            judge="now, or seconds, on the last one while producers write.",
            act="Retention by age removes closed segments once this is old enough.",
        ),
    ),
    Column(
        title="SPANS",
        value=lambda facts: facts.span_seconds,
        words=short_duration,
        role=Role.MUTED,
        width=6,
        right=True,
        rank=5,
        help=Help(means="Time from its first record to its last.", judge="Short ones are bursts."),
    ),
    INDEX,
)
"""Those of the panel."""
