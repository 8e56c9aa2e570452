"""The segments of the agent's log: a map of all, a row for each."""

from functools import partial

from proglog.observe.words import bytes_words, count_words, short_duration
from proglog.tui.panels.segments import verification_view
from proglog.tui.panels.segments.verification import SegmentId, Verification, Verifier
from proglog.tui.spans import Line, Look, Role, Span, line
from proglog.tui.state import DashState
from proglog.tui.table import Column, Help, LazyRow, Row
from proglog.wire.model import ClusterSnapshot, Segment

COLUMNS = (
    Column(
        title="OFFSETS",
        width=19,
        flex=1,
        limit=30,
        help=Help(
            means="Where the segment begins and ends in this agent's log; the end is not in it. ▸ is the one that grows.",
            judge="Each begins where the one before ends.",
            act="A gap is a segment that was lost: proglog verify says more.",
        ),
    ),
    Column(title="RECORDS", width=8, right=True, rank=4, help=Help(means="How many records are in it.")),
    Column(
        title="BATCHES",
        width=7,
        right=True,
        rank=6,
        help=Help(
            means="In how many batches they were appended.",
            judge="Records by batches is the size of a batch: with only a few, producers write one by one, which costs a sync each.",
            act="Let producers send several values at once.",
        ),
    ),
    Column(
        title="SIZE",
        width=7,
        right=True,
        help=Help(
            means="Bytes in the file.",
            judge="Up to --segment-bytes, 128 MiB by default.",
            act="Small closed segments come from restarts, and do no harm.",
        ),
    ),
    Column(
        title="",
        width=8,
        flex=2,
        rank=2,
        limit=32,
        help=Help(means="The size as a bar; the longest is the largest segment."),
    ),
    Column(
        title="WRITTEN",
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
        width=6,
        right=True,
        rank=5,
        help=Help(means="Time from its first record to its last.", judge="Short ones are bursts."),
    ),
    Column(
        title="INDEX",
        width=7,
        flex=1,
        rank=3,
        limit=9,
        help=Help(
            means="State of the index that finds a record without reading the file: ✓ ok, ↻ rebuilt, ▲ missing; after V, what the check says.",
            judge="rebuilt was torn or missing at the start and is whole again; missing makes reads of this segment slow.",
            act="Restart the agent: it writes what is missing. If that fails, proglog doctor says why.",
        ),
    ),
)

_INDEX_ROLES = {"ok": Role.GOOD, "rebuilt": Role.ACCENT, "missing": Role.WARN}
_INDEX_SHAPES = {"ok": ("✓", "+"), "rebuilt": ("↻", "~"), "missing": ("▲", "!")}


def rows(state: DashState, look: Look, verifier: Verifier | None = None) -> list[LazyRow]:
    """Returns a row for each segment, the newest first; with the result of its verification in place of its index."""
    if state.shown is None:
        return []
    segments = state.shown.segments
    largest = max((segment.bytes for segment in segments), default=0) or 1
    now_ms, node_name = state.agent_now_ms, state.shown.node.name

    def verification(segment: Segment) -> Verification | None:
        return verifier.of(SegmentId(node_name, segment.base_offset)) if verifier else None

    return [
        LazyRow(
            key=str(segment.base_offset),
            make=partial(_row, segment, segment.bytes / largest, now_ms, look, verification(segment)),
            source=segment,
        )
        for segment in reversed(segments)
    ]


def _row(segment: Segment, share: float, now_ms: int, look: Look, verification: Verification | None) -> Row:
    age = (now_ms - segment.max_timestamp_ms) / 1000
    spans = max(segment.max_timestamp_ms - segment.first_timestamp_ms, 0) / 1000
    empty = segment.record_count == 0
    nothing = Span(look.pick("·", "-"), Role.MUTED)
    return Row(
        key=str(segment.base_offset),
        cells=(
            _offsets(segment, look),
            line(count_words(segment.record_count)),
            line(Span(count_words(segment.batch_count), Role.MUTED)),
            line(bytes_words(segment.bytes)),
            lambda width: line(look.bar(share, width, role=Role.ACCENT if segment.active else Role.CHART)),
            line(nothing if empty else Span("now" if age < 1 else f"{short_duration(age)} ago", Role.MUTED)),
            line(nothing if empty else Span(short_duration(spans), Role.MUTED)),
            verification_view.cell(verification, look) if verification else _index(segment, look),
        ),
        sort=(
            segment.base_offset,
            segment.record_count,
            segment.batch_count,
            segment.bytes,
            segment.bytes,
            segment.max_timestamp_ms,
            spans,
            segment.index,
        ),
        source=segment,
    )


def title(segment: Segment, look: Look) -> str:
    """Returns the name of a segment: its offsets; of one that grows, where they begin."""
    if segment.active:
        return f"from {segment.base_offset:,}"
    return offsets(segment.base_offset, segment.end_offset, look)


def offsets(start: int, end: int, look: Look) -> str:
    """Returns a half-open range in words."""
    return f"{start:,} {look.pick('…', '..')} {end:,}"


def _offsets(segment: Segment, look: Look) -> Line:
    mark = Span(look.pick("▸ ", "> "), Role.ACCENT) if segment.active else Span("  ")
    return line(mark, offsets(segment.base_offset, segment.end_offset, look))


def _index(segment: Segment, look: Look) -> Line:
    unicode_shape, ascii_shape = _INDEX_SHAPES.get(segment.index, ("?", "?"))
    role = _INDEX_ROLES.get(segment.index, Role.WARN)
    return line(Span(look.pick(unicode_shape, ascii_shape) + " ", role), look.safe(segment.index, 12, role=role))


def segment_map(snapshot: ClusterSnapshot, look: Look, width: int) -> Line:
    """Returns all segments on one line: each as wide as its share of the bytes; of very many, each as high."""
    segments = snapshot.segments
    total = sum(segment.bytes for segment in segments)
    if not total or width < 4:
        return ()
    if len(segments) > width // 4:
        return line(look.spark([segment.bytes for segment in segments], min(width, len(segments))))
    spans: list[Span] = []
    room = width - 2 * len(segments)
    seen = 0
    for segment in segments:
        fill = 1 + (seen + segment.bytes) * room // total - seen * room // total
        seen += segment.bytes
        role = Role.ACCENT if segment.active else (Role.CHART if segment.index == "ok" else Role.WARN)
        spans += [Span(look.pick("█", "#") * fill, role), Span(look.pick("▏", "|"), Role.MUTED)]
    return tuple(spans)


def summary(snapshot: ClusterSnapshot) -> str:
    """Returns the panel's subtitle."""
    log = snapshot.log
    free = f", disk {log.disk_free_bytes / log.disk_total_bytes:.0%} free" if log.disk_total_bytes else ""
    count = f"{log.segment_count} segment{'' if log.segment_count == 1 else 's'}"
    return f"{count}, {bytes_words(log.bytes)}, fsync {log.fsync}{free}"
