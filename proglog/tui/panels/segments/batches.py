"""The batches of one segment: facts about the segment, and a row for each batch with what its header says."""

from collections.abc import Sequence

from proglog.observe.columns import Column, FixedRow, Help, Row, unknown
from proglog.observe.spans import Line, Locale, Role, Span, line, wrap
from proglog.observe.words import bytes_words, count_words, origin_id, short_duration
from proglog.record.batch import CODEC_NONE, BatchHeader
from proglog.tui.panels.segments.verification import SegmentId
from proglog.tui.state import DashState
from proglog.wire.model import IndexState, Segment


def _draw_offsets(header: BatchHeader, locale: Locale) -> Line:
    return line(Span(locale.range_words(header.base_offset, header.end_offset), Role.ACCENT))


def _clock(at_ms: int, locale: Locale) -> Line:
    return line(Span(locale.moment(at_ms / 1000), Role.MUTED))


COLUMNS: Sequence[Column[BatchHeader]] = (
    Column(
        title="OFFSETS",
        value=lambda header: header.base_offset,
        draw=_draw_offsets,
        width=17,
        flex=1,
        limit=30,
        help=Help(means="Of its records; the last one is not in it."),
    ),
    Column(
        title="RECORDS",
        value=lambda header: header.record_count,
        words=count_words,
        width=7,
        right=True,
        help=Help(means="Records in the batch."),
    ),
    Column(
        title="SIZE",
        value=lambda header: header.batch_bytes,
        words=bytes_words,
        width=7,
        right=True,
        help=Help(
            means="Bytes in the store, the header's 128 included.",
            judge="Batches of a few hundred bytes spend most of the disk on headers.",
            act="Let producers linger a few milliseconds, so that records travel together.",
        ),
    ),
    Column(
        title="PER RECORD",
        value=lambda header: header.batch_bytes / header.record_count,
        words=lambda size: bytes_words(round(size)),
        role=Role.MUTED,
        width=10,
        right=True,
        rank=4,
        help=Help(means="Bytes in the store for each record."),
    ),
    Column(
        title="CODEC",
        value=lambda header: "none" if header.codec == CODEC_NONE else str(header.codec),
        role=Role.MUTED,
        width=5,
        rank=6,
        help=Help(means="How the payload is compressed."),
    ),
    Column(
        title="ORIGIN",
        value=lambda header: origin_id(header.origin),
        role=Role.MUTED,
        width=8,
        rank=2,
        help=Help(means="The node that took the batch from its producer."),
    ),
    Column(
        title="SEQUENCE",
        value=lambda header: header.base_sequence,
        words=count_words,
        role=Role.MUTED,
        width=9,
        right=True,
        flex=1,
        limit=14,
        rank=3,
        help=Help(means="Of its first record, among those of its origin."),
    ),
    Column(
        title="TIME",
        value=lambda header: header.first_timestamp_ms,
        draw=lambda header, locale: _clock(header.first_timestamp_ms, locale),
        width=8,
        rank=1,
        help=Help(means="What the producer said of its first record."),
    ),
    Column(
        title="APPENDED",
        value=lambda header: header.append_time_ms,
        draw=lambda header, locale: _clock(header.append_time_ms, locale),
        width=8,
        rank=5,
        help=Help(means="When this agent wrote it, by its own clock."),
    ),
)


def row(header: BatchHeader, locale: Locale) -> Row[BatchHeader]:
    """Return the row of a batch."""
    return Row(key=str(header.base_offset), item=header, columns=COLUMNS, locale=locale, source=header)


def damaged_row(start: int, end: int, locale: Locale) -> FixedRow:
    """Return the row for offsets that could not be read."""
    words = f"{locale.pick('✖', 'x')} damaged {locale.range_words(start, end)}"
    rest = len(COLUMNS) - 2
    return FixedRow(
        key=f"damaged-{start}",
        cells=(line(Span(words, Role.BAD)), line(count_words(end - start)), *([unknown(locale)] * rest)),
        sort=(start, end - start, *([None] * rest)),
    )


def facts(state: DashState, wanted: SegmentId, locale: Locale, width: int | None) -> list[Line]:
    """Return what is known of a segment without reading it, wrapped to ``width``; ``None``: a line each."""
    if state.shown is not None and state.shown.node.name != wanted.node_name:
        watched, owner = locale.safe(state.shown.node.name, 40), locale.safe(wanted.node_name, 40)
        return [line(watched, Span(" is watched now; this is a segment of ", Role.WARN), owner)]
    segment, now_ms = wanted.find(state.shown), state.agent_now_ms
    if segment is None:
        return [line(Span("this segment is not there any more: retention removed it", Role.WARN))]
    index_role = Role.GOOD if segment.index_state is IndexState.OK else Role.WARN
    held = f"{count_words(segment.record_count)} records in {count_words(segment.batch_count)} batch{'' if segment.batch_count == 1 else 'es'}"
    lines = [
        line(Span("size ", Role.MUTED), f"{bytes_words(segment.bytes)}, {held}", *_average(segment)),
        line(
            Span("index ", Role.MUTED),
            locale.safe(segment.index_state, 12, role=index_role),
            f", {bytes_words(segment.index_bytes)}",
            Span("   compression ", Role.MUTED),
            "none",
            Span("   takes appends", Role.ACCENT) if segment.active else Span(""),
        ),
        _ages(segment, now_ms, locale),
    ]
    return lines if width is None else [part for each in lines for part in wrap(each, max(width, 1))]


def _average(segment: Segment) -> list[Span]:
    if not segment.record_count:
        return []
    return [Span(f", {bytes_words(round(segment.bytes / segment.record_count))} a record", Role.MUTED)]


def _ages(segment: Segment, now_ms: int, locale: Locale) -> Line:
    if not segment.record_count:
        return line(Span("no records yet", Role.MUTED))
    first, last = segment.first_timestamp_ms / 1000, segment.max_timestamp_ms / 1000
    start, end = locale.date_clock(first), locale.date_clock(last)
    return line(
        Span("written ", Role.MUTED),
        f"{start} to {end if end[:10] != start[:10] else end[11:]}",
        Span(f", over {short_duration(last - first)}, the last " if last - first >= 1 else ", the last ", Role.MUTED),
        f"{short_duration(max(now_ms / 1000 - last, 0))} ago",
    )
