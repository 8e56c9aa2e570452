"""The batches of one segment: facts about the segment, and a row for each batch with what its header says."""

from proglog.observe.words import bytes_words, count_words, origin_id, short_duration
from proglog.record.batch import CODEC_NONE, BatchHeader
from proglog.tui.panels.segments.table import offsets
from proglog.tui.panels.segments.verification import SegmentId
from proglog.tui.spans import Line, Look, Role, Span, line, wrap
from proglog.tui.state import DashState
from proglog.tui.table import Column, Help, Row
from proglog.wire.model import Segment

COLUMNS = (
    Column(title="OFFSETS", width=17, flex=1, limit=30, help=Help(means="Of its records; the last one is not in it.")),
    Column(title="RECORDS", width=7, right=True, help=Help(means="Records in the batch.")),
    Column(
        title="SIZE",
        width=7,
        right=True,
        help=Help(
            means="Bytes in the store, the header's 128 included.",
            judge="Batches of a few hundred bytes spend most of the disk on headers.",
            act="Let producers linger a few milliseconds, so that records travel together.",
        ),
    ),
    Column(title="PER RECORD", width=10, right=True, rank=4, help=Help(means="Bytes in the store for each record.")),
    Column(title="CODEC", width=5, rank=6, help=Help(means="How the payload is compressed.")),
    Column(title="ORIGIN", width=8, rank=2, help=Help(means="The node that took the batch from its producer.")),
    Column(
        title="SEQUENCE",
        width=9,
        right=True,
        flex=1,
        limit=14,
        rank=3,
        help=Help(means="Of its first record, among those of its origin."),
    ),
    Column(title="TIME", width=8, rank=1, help=Help(means="What the producer said of its first record.")),
    Column(title="APPENDED", width=8, rank=5, help=Help(means="When this agent wrote it, by its own clock.")),
)


def row(header: BatchHeader, look: Look) -> Row:
    """Returns the row of a batch."""
    each = header.batch_bytes / header.record_count
    codec = "none" if header.codec == CODEC_NONE else str(header.codec)
    return Row(
        key=str(header.base_offset),
        cells=(
            line(Span(offsets(header.base_offset, header.end_offset, look), Role.ACCENT)),
            line(count_words(header.record_count)),
            line(bytes_words(header.batch_bytes)),
            line(Span(bytes_words(round(each)), Role.MUTED)),
            line(Span(codec, Role.MUTED)),
            line(Span(origin_id(header.origin), Role.MUTED)),
            line(Span(count_words(header.base_sequence), Role.MUTED)),
            line(Span(look.clock(header.first_timestamp_ms / 1000), Role.MUTED)),
            line(Span(look.clock(header.append_time_ms / 1000), Role.MUTED)),
        ),
        sort=(
            header.base_offset,
            header.record_count,
            header.batch_bytes,
            each,
            codec,
            origin_id(header.origin),
            header.base_sequence,
            header.first_timestamp_ms,
            header.append_time_ms,
        ),
        source=header,
    )


def damaged_row(start: int, end: int, look: Look) -> Row:
    """Returns the row that stands for offsets that could not be read."""
    nothing = line(Span(look.pick("·", "-"), Role.MUTED))
    words = f"{look.pick('✖', 'x')} damaged {offsets(start, end, look)}"
    return Row(
        key=f"damaged-{start}",
        cells=(line(Span(words, Role.BAD)), line(count_words(end - start)), *([nothing] * 7)),
        sort=(start, end - start, 0, 0, "", "", 0, 0, 0),
    )


def facts(state: DashState, wanted: SegmentId, look: Look, width: int | None) -> list[Line]:
    """Returns what is known of a segment without reading it, wrapped to ``width``; ``None``: a line each."""
    if state.shown is not None and state.shown.node.name != wanted.node_name:
        watched, owner = look.safe(state.shown.node.name, 40), look.safe(wanted.node_name, 40)
        return [line(watched, Span(" is watched now; this is a segment of ", Role.WARN), owner)]
    segment, now_ms = wanted.find(state.shown), state.agent_now_ms
    if segment is None:
        return [line(Span("this segment is not there any more: retention removed it", Role.WARN))]
    index_role = Role.GOOD if segment.index == "ok" else Role.WARN
    held = f"{count_words(segment.record_count)} records in {count_words(segment.batch_count)} batch{'' if segment.batch_count == 1 else 'es'}"
    told = [
        line(Span("size ", Role.MUTED), f"{bytes_words(segment.bytes)}, {held}", *_average(segment)),
        line(
            Span("index ", Role.MUTED),
            look.safe(segment.index, 12, role=index_role),
            f", {bytes_words(segment.index_bytes)}",
            Span("   compression ", Role.MUTED),
            "none",
            Span("   takes appends", Role.ACCENT) if segment.active else Span(""),
        ),
        _ages(segment, now_ms, look),
    ]
    return told if width is None else [part for each in told for part in wrap(each, max(width, 1))]


def _average(segment: Segment) -> list[Span]:
    if not segment.record_count:
        return []
    return [Span(f", {bytes_words(round(segment.bytes / segment.record_count))} a record", Role.MUTED)]


def _ages(segment: Segment, now_ms: int, look: Look) -> Line:
    if not segment.record_count:
        return line(Span("no records yet", Role.MUTED))
    first, last = segment.first_timestamp_ms / 1000, segment.max_timestamp_ms / 1000
    return line(
        Span("written ", Role.MUTED),
        f"{look.clock(first)} to {look.clock(last)}",
        Span(f", over {short_duration(last - first)}, the last " if last - first >= 1 else ", the last ", Role.MUTED),
        f"{short_duration(max(now_ms / 1000 - last, 0))} ago",
    )
