"""The rows of the panel of segments, and the map of all of them in one line."""

from functools import partial

from proglog.observe.columns import Row
from proglog.observe.spans import Line, Locale, Role, Span, line
from proglog.observe.words import bytes_words
from proglog.tui.panels.segments import verification_view
from proglog.tui.panels.segments.columns import COLUMNS, SegmentFacts
from proglog.tui.panels.segments.verification import SegmentId, Verifier
from proglog.tui.state import DashState
from proglog.wire.model import ClusterSnapshot, Segment


def rows(state: DashState, locale: Locale, verifier: Verifier | None = None) -> list[Row[SegmentFacts]]:
    """Return a row for each segment, the newest first; with the result of its verification in place of its index."""
    if state.shown is None:
        return []
    segments, now_ms, node_name = state.shown.segments, state.agent_now_ms, state.shown.node.name
    largest = max((segment.bytes for segment in segments), default=0) or 1

    def facts(segment: Segment) -> SegmentFacts:
        verification = verifier.of(SegmentId(node_name, segment.base_offset)) if verifier else None
        checked = partial(verification_view.cell, verification) if verification else None
        return SegmentFacts(segment=segment, now_ms=now_ms, share=segment.bytes / largest, checked=checked)

    return [
        Row(key=str(segment.base_offset), item=facts(segment), columns=COLUMNS, locale=locale, source=segment)
        for segment in reversed(segments)
    ]


def segment_map(snapshot: ClusterSnapshot, locale: Locale, width: int) -> Line:
    """Return all segments on one line: each as wide as its share of the bytes; of very many, each as high."""
    segments = snapshot.segments
    total = sum(segment.bytes for segment in segments)
    if not total or width < 4:
        return ()
    if len(segments) > width // 4:
        return line(locale.spark([segment.bytes for segment in segments], min(width, len(segments))))
    spans: list[Span] = []
    room = width - 2 * len(segments)
    seen = 0
    for segment in segments:
        fill = 1 + (seen + segment.bytes) * room // total - seen * room // total
        seen += segment.bytes
        role = Role.ACCENT if segment.active else (Role.CHART if segment.index == "ok" else Role.WARN)
        spans += [Span(locale.pick("█", "#") * fill, role), Span(locale.pick("▏", "|"), Role.MUTED)]
    return tuple(spans)


def summary(snapshot: ClusterSnapshot) -> str:
    """Return the panel's subtitle."""
    log = snapshot.log
    free = f", disk {log.disk_free_bytes / log.disk_total_bytes:.0%} free" if log.disk_total_bytes else ""
    count = f"{log.segment_count} segment{'' if log.segment_count == 1 else 's'}"
    return f"{count}, {bytes_words(log.bytes)}, fsync {log.fsync}{free}"
