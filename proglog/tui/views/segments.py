"""The segments of the agent's log: a map of all, a row for each."""

from proglog.client.model import ClusterSnapshot, Segment
from proglog.client.words import bytes_words, count_words, short_duration
from proglog.tui.spans import Line, Look, Role, Span, line
from proglog.tui.state import DashState
from proglog.tui.table import Column, Row

COLUMNS = (
    Column(title="OFFSETS", width=19, flex=1, limit=30),
    Column(title="RECORDS", width=8, right=True, rank=4),
    Column(title="BATCHES", width=7, right=True, rank=6),
    Column(title="SIZE", width=7, right=True),
    Column(title="", width=8, flex=2, rank=2, limit=32),
    Column(title="WRITTEN", width=10, right=True, rank=1),
    Column(title="SPANS", width=6, right=True, rank=5),
    Column(title="INDEX", width=5, flex=1, rank=3, limit=9),
)

_INDEX_ROLES = {"ok": Role.GOOD, "rebuilt": Role.ACCENT, "missing": Role.WARN}
_INDEX_SHAPES = {"ok": ("✓", "+"), "rebuilt": ("↻", "~"), "missing": ("▲", "!")}


def rows(state: DashState, look: Look) -> list[Row]:
    """Returns a row for each segment, the newest first."""
    if state.shown is None:
        return []
    segments = state.shown.segments
    largest = max((segment.bytes for segment in segments), default=0) or 1
    return [_row(segment, segment.bytes / largest, state, look) for segment in reversed(segments)]


def _row(segment: Segment, share: float, state: DashState, look: Look) -> Row:
    age = (state.agent_now_ms - segment.max_timestamp_ms) / 1000
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
            _index(segment, look),
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


def _offsets(segment: Segment, look: Look) -> Line:
    mark = Span(look.pick("▸ ", "> "), Role.ACCENT) if segment.active else Span("  ")
    return line(mark, f"{segment.base_offset:,} {look.pick('…', '..')} {segment.end_offset:,}")


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
