"""The rows of the panel of segments, and the map of all of them in one line."""

import math
from collections.abc import Sequence
from functools import partial
from itertools import pairwise

from proglog.observe.columns import Row
from proglog.observe.frame import Frame
from proglog.observe.plausible import free_share
from proglog.observe.spans import Line, Locale, Role, Span
from proglog.observe.words import bytes_words, duration_words
from proglog.tui.panels.segments import verification_view
from proglog.tui.panels.segments.columns import COLUMNS, SegmentFacts
from proglog.tui.panels.segments.verification import SegmentId, Verifier
from proglog.tui.state import DashState
from proglog.types import counted
from proglog.wire.model import ClusterSnapshot, IndexState, Segment


def rows(state: DashState, locale: Locale, verifier: Verifier | None = None) -> list[Row[SegmentFacts]]:
    """Return a row for each segment, the newest first; with the result of its verification in place of its index."""
    if state.shown is None:
        return []
    shown = state.shown
    segments, now_ms, node_name = shown.segments, state.agent_now_ms, shown.node.name
    largest = max((segment.bytes for segment in segments), default=0) or 1

    def facts(segment: Segment) -> SegmentFacts:
        verification = verifier.of(SegmentId(node_name, segment.base_offset)) if verifier else None
        checked = partial(verification_view.cell, verification) if verification else None
        return SegmentFacts(
            segment=segment,
            now_ms=now_ms,
            share=segment.bytes / largest,
            damaged=damaged_in(shown, segment),
            checked=checked,
        )

    return [
        Row(key=str(segment.base_offset), item=facts(segment), columns=COLUMNS, locale=locale, source=segment)
        for segment in reversed(segments)
    ]


def damaged_in(snapshot: ClusterSnapshot, segment: Segment) -> int:
    """Return how many offsets of a segment cannot be read, a control batch that is damaged counted as one."""
    return sum(
        max(min(each.end_offset, segment.end_offset) - max(each.start_offset, segment.base_offset), 1)
        for each in snapshot.log.damaged
        if each.start_offset < segment.end_offset and each.end_offset >= segment.base_offset
    )


def segment_map(snapshot: ClusterSnapshot, locale: Locale, width: int) -> Line:
    """Return all segments on one line: each as wide as its share of the bytes; of very many, several to a cell.

    ``█`` is sound, ``✖`` damaged, ``▲`` without an index, and the last one grows. What shares a cell with something worse is
    not drawn.
    """
    segments = snapshot.segments
    total = sum(segment.bytes for segment in segments)
    if not total or width < 4:
        return ()
    marks = [_mark(snapshot, segment, locale) for segment in segments]
    if len(segments) > width // 4:
        cells = min(width, len(segments))
        edges = [cell * len(segments) // cells for cell in range(cells + 1)]
        return tuple(max(marks[start:end], key=_badness) for start, end in pairwise(edges))
    spans: list[Span] = []
    room = width - 2 * len(segments)
    seen = 0
    for segment, mark in zip(segments, marks, strict=True):
        fill = 1 + (seen + segment.bytes) * room // total - seen * room // total
        seen += segment.bytes
        spans += [Span(mark.text * fill, mark.role), Span(locale.pick("▏", "|"), Role.MUTED)]
    return tuple(spans)


def _mark(snapshot: ClusterSnapshot, segment: Segment, locale: Locale) -> Span:
    if damaged_in(snapshot, segment):
        return Span(locale.pick("✖", "x"), Role.BAD)
    if segment.index_state is IndexState.MISSING:
        return Span(locale.pick("▲", "!"), Role.WARN)
    return Span(locale.pick("█", "#"), Role.ACCENT if segment.active else Role.CHART)


def _badness(mark: Span) -> int:
    return (Role.CHART, Role.ACCENT, Role.WARN, Role.BAD).index(mark.role)


LEAST_SECONDS, _WINDOW = 60.0, 600
_SOON = 30 * 86_400


def filling(frames: Sequence[Frame]) -> str:
    """Return whether the log's disk fills, by what became of its free bytes in the last ten minutes; empty: not known."""
    if not frames or free_share(frames[-1].outline.log) is None:
        return ""
    span = [frame for frame in frames[-_WINDOW:] if frame.live and free_share(frame.outline.log) is not None]
    span = [frame for frame in span if frame.outline.node.name == span[-1].outline.node.name]
    if not span or (seconds := span[-1].at - span[0].at) < LEAST_SECONDS:
        return ""
    before, free = (span[at].outline.log.disk_free_bytes for at in (0, -1))
    left = free * seconds / (before - free) if before > free else math.inf
    return f"full in about {duration_words(left)}" if left < _SOON else "not filling"


def summary(snapshot: ClusterSnapshot) -> str:
    """Return the panel's subtitle."""
    log = snapshot.log
    share = free_share(log)
    free = "" if share is None else f", disk {share:.0%} free"
    return f"{counted(log.segment_count, 'segment')}, {bytes_words(log.bytes)}, fsync {log.fsync}{free}"
