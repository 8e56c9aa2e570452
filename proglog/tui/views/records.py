"""Records: a row for each in the browser, everything about one in the reader. All of it is foreign."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from itertools import groupby

from proglog.client import jsonl
from proglog.observe import json_text
from proglog.observe.columns import Cell, Column, FixedRow, Help, Row, unknown
from proglog.observe.copies import Claim
from proglog.observe.copies_view import where
from proglog.observe.safe_text import safe_text
from proglog.observe.spans import Line, Locale, Role, Span, fold, line, width_of
from proglog.observe.words import bytes_words, count_words, origin_id
from proglog.record.record import StoredRecord
from proglog.tui.panels.replication.lag_cells import origin_name
from proglog.wire.model import ClusterSnapshot, MemberStatus

_PREVIEW_CELLS = 240
_SHOWN_BYTES = 64 * 1024
_HEX_BYTES = 4 * 1024
_HEX_ROW = 16
_JSON_NAME = re.compile(r'"(?:[^"\\]|\\.){0,200}"(?=:)')


class Mode(StrEnum):
    """How values stand in their column."""

    TEXT = "text"
    HEX = "hex"
    JSON = "json"

    @property
    def following(self) -> "Mode":
        """The one after it, round and round."""
        modes = list(Mode)
        return modes[(modes.index(self) + 1) % len(modes)]


@dataclass(kw_only=True, eq=False)
class ShownRecord:
    """A record, and how its value is shown."""

    record: StoredRecord
    mode: Mode
    writer: str = ""
    """Name of the node that took it from its producer; empty: unknown. Foreign text."""

    @property
    def key(self) -> str:
        """The key as text; empty without one."""
        return safe_text(self.record.key or b"", 40)


def _draw_time(shown: ShownRecord, locale: Locale) -> Line:
    return line(Span(locale.moment(shown.record.timestamp_ms / 1000), Role.MUTED))


def _draw_origin(shown: ShownRecord, locale: Locale) -> Cell:
    if not shown.writer:
        return line(Span(origin_id(shown.record.origin), Role.MUTED))
    full = origin_name(shown.writer, shown.record.origin, locale)
    return lambda width: full if width_of(full) <= width else full[:1]


def _draw_key(shown: ShownRecord, locale: Locale) -> Line:
    return line(locale.safe(shown.record.key or b"", 40, role=Role.STRONG))


def _draw_value(shown: ShownRecord, locale: Locale) -> Line:
    return _preview(shown.record.value, locale, shown.mode)


COLUMNS: Sequence[Column[ShownRecord]] = (
    Column(
        title="OFFSET",
        value=lambda shown: shown.record.offset,
        words=count_words,
        role=Role.ACCENT,
        width=9,
        right=True,
        flex=1,
        limit=14,
        help=Help(
            means="Its place in this agent's log. Other nodes have the same record at another offset.",
            act="Name a record by ORIGIN and SEQUENCE when you speak of it across nodes.",
        ),
    ),
    Column(
        title="TIME",
        value=lambda shown: shown.record.timestamp_ms,
        draw=_draw_time,
        width=8,
        rank=1,
        help=Help(
            means="What the producer said the time was.",
            judge="Out of order where producers' clocks differ, or copies arrive late.",
        ),
    ),
    Column(
        title="ORIGIN",
        value=lambda shown: shown.writer or origin_id(shown.record.origin),
        draw=_draw_origin,
        width=8,
        flex=1,
        limit=24,
        rank=4,
        help=Help(means="The node that took the record from its producer: its name, and the id of its directory."),
    ),
    Column(
        title="SEQUENCE",
        value=lambda shown: shown.record.sequence,
        words=count_words,
        role=Role.MUTED,
        width=12,
        right=True,
        rank=5,
        help=Help(
            means="Its number among the records of its origin, from 1 on, without gaps; the same on every node.",
            judge="A gap is a record that retention removed, or that no node holds any more.",
            act="The cluster fills gaps by itself from any node that has them.",
        ),
    ),
    Column(
        title="KEY",
        value=lambda shown: shown.key,
        draw=_draw_key,
        width=8,
        flex=2,
        rank=3,
        limit=24,
        help=Help(means="What the producer named it by; may be absent."),
    ),
    Column(
        title="SIZE",
        value=lambda shown: len(shown.record.value),
        words=bytes_words,
        role=Role.MUTED,
        width=6,
        right=True,
        rank=2,
        help=Help(means="Bytes of the value."),
    ),
    Column(
        title="VALUE",
        value=lambda shown: safe_text(shown.record.value[:200], 40),
        draw=_draw_value,
        width=12,
        flex=20,
        help=Help(
            means="The beginning of the value; control characters as visible glyphs.",
            act="Open it for all of it, as JSON, text and bytes.",
        ),
    ),
)


def row(record: StoredRecord, locale: Locale, mode: Mode = Mode.TEXT, writer: str = "") -> Row[ShownRecord]:
    """Return the row of a record that the node ``writer`` took."""
    shown = ShownRecord(record=record, mode=mode, writer=writer)
    return Row(key=str(record.offset), item=shown, columns=COLUMNS, locale=locale, source=record)


def _preview(value: bytes, locale: Locale, mode: Mode) -> Line:
    """Return what of a value has room in its column."""
    if mode is Mode.HEX:
        return line(value[: _PREVIEW_CELLS // 3].hex(" "))
    text = _json_of(value) if mode is Mode.JSON else None
    if text is None:
        return line(locale.safe(value, _PREVIEW_CELLS, role=Role.MUTED if mode is Mode.JSON else Role.TEXT))
    return _painted_json(locale.safe(json_text.compact(text), _PREVIEW_CELLS).text)


def _painted_json(text: str) -> Line:
    """Return JSON with its names told apart from its values."""
    spans: list[Span] = []
    end = 0
    for name in _JSON_NAME.finditer(text):
        spans += [Span(text[end : name.start()]), Span(name[0], Role.ACCENT)]
        end = name.end()
    return (*spans, Span(text[end:]))


def damaged_row(start: int, end: int, locale: Locale) -> FixedRow:
    """Return the row for offsets that could not be read."""
    words = f"{locale.pick('✖', 'x')} damaged {locale.range_words(start, end)}"
    between = len(COLUMNS) - 2
    return FixedRow(
        key=f"damaged-{start}",
        cells=(line(Span(count_words(start), Role.BAD)), *([unknown(locale)] * between), line(Span(words, Role.BAD))),
        sort=(start, *([None] * (between + 1))),
    )


def as_json(record: StoredRecord) -> str | None:
    """Return a record as a line of JSON, as ``consume -o jsonl`` writes it; ``None``: too large to be copied."""
    return jsonl.encode(record).decode("ascii") if len(record.value) <= _SHOWN_BYTES else None


def copied(record: StoredRecord) -> str:
    """Return a value as text that is safe to paste: of a long one the beginning."""
    return safe_text(record.value, _SHOWN_BYTES)


def lines(
    record: StoredRecord, locale: Locale, width: int, snapshot: ClusterSnapshot | None = None, *, cursor: int = 0
) -> list[Line]:
    """Return everything about a record; of a long value the beginning; with a snapshot, which members hold it.

    ``cursor`` is the byte of the value that is marked, in its digits, its character, and in the text above.
    """
    value = record.value[:_SHOWN_BYTES]
    cut = len(record.value) - len(value)
    facts = [
        _fact("offset", Span(count_words(record.offset), Role.ACCENT)),
        _fact(
            "timestamp", locale.date_clock(record.timestamp_ms / 1000), Span(f"  {record.timestamp_ms} ms", Role.MUTED)
        ),
        _fact(
            "origin",
            *_writer(record, locale, snapshot),
            record.origin.hex() if width >= 60 else origin_id(record.origin),
            Span("  sequence ", Role.MUTED),
            count_words(record.sequence),
        ),
        *_holders(record, locale, snapshot),
        _fact("key", Span("none", Role.MUTED) if record.key is None else locale.safe(record.key, _SHOWN_BYTES)),
        _fact("value", bytes_words(len(record.value)), Span(f"  {cut:,} bytes not shown" if cut else "", Role.WARN)),
    ]
    for name, content in record.headers[:100]:
        facts.append(
            _fact("header", locale.safe(name, 1_000), Span(" = ", Role.MUTED), locale.safe(content, _SHOWN_BYTES))
        )
    folded = [part for fact in facts for part in fold(fact, width, indent=_LABEL)]
    dumped = record.value[:_HEX_BYTES]
    return [*folded, (), *_value(value, locale, width, cursor), (), *_hex_dump(dumped, locale, width, cursor)]


def _writer(record: StoredRecord, locale: Locale, snapshot: ClusterSnapshot | None) -> Line:
    """Return the name of the node that took the record from its producer, where it is known."""
    origins = snapshot.origins if snapshot is not None else ()
    name = next((each.node_name for each in origins if each.origin == record.origin and each.node_name), "")
    return line(locale.member(name, 40), Span(" ")) if name else ()


def _holders(record: StoredRecord, locale: Locale, snapshot: ClusterSnapshot | None) -> list[Line]:
    """Return which members hold the record, and which do not and why."""
    told = where(snapshot, record.origin, record.sequence) if snapshot is not None else ()
    parts: list[Span] = []
    for holder, claim in told:
        gone = holder.status in (MemberStatus.FAILED, MemberStatus.LEFT)
        held = claim is Claim.HELD
        shape = locale.pick("✓", "+") if held else locale.pick("✖", "x")
        role = Role.MUTED if gone and held else Role.GOOD if held else Role.WARN
        words = f" ({holder.status.value})" if gone else ""
        parts += [
            Span(f"{shape} ", role),
            locale.member(holder.name, 30),
            Span(f"{words}{'' if held else f' {claim.value}'}  ", Role.MUTED),
        ]
    return [_fact("held by", *parts)] if parts else []


_LABEL = 11


def _fact(label: str, *parts: Span | str) -> Line:
    return line(Span(label.ljust(_LABEL), Role.MUTED), *parts)


def _value(value: bytes, locale: Locale, width: int, cursor: int) -> list[Line]:
    text = _json_of(value)
    if text is None:
        shown = [line(locale.safe(part, None)) for part in value.split(b"\n")]
        title = "as text"
    else:
        shown = [_painted_json(locale.safe(part, None).text) for part in json_text.indented(text)]
        title = "as JSON, laid out anew: every character but blanks is as it was written"
    before, at = _inked(value, cursor, locale, of_json=text is not None)
    folded = [part for each in shown[:5_000] for part in fold(each, width)]
    return [line(Span(title, Role.ACCENT)), *_with_mark(folded, before, at)]


def _inked(value: bytes, cursor: int, locale: Locale, *, of_json: bool) -> tuple[int, int]:
    """Return how many characters that are no blanks are shown before the byte at ``cursor``, and how many for it."""
    start, end = _character(value, cursor)
    blanks = bytes.maketrans(b"\n\r\t" if of_json else b"\n", b"   " if of_json else b" ")
    counts = [
        sum(not char.isspace() for char in locale.safe(value[:stop].translate(blanks), None).text)
        for stop in (start, end)
    ]
    return counts[0], counts[1] - counts[0]


def _character(value: bytes, at: int) -> tuple[int, int]:
    """Return the range of bytes of the UTF-8 character that has a byte at ``at``; of none such, that byte's."""
    for start in range(at, max(at - 4, -1), -1):
        lead = value[start] if start < len(value) else 0
        if not 0x80 <= lead < 0xC0:
            end = start + (1 if lead < 0xC0 else 2 if lead < 0xE0 else 3 if lead < 0xF0 else 4)
            if end > at and safe_text(value[start:end])[:2] != "\\x":
                return start, end
            break
    return at, at + 1


def _with_mark(lines: Sequence[Line], before: int, count: int) -> list[Line]:
    """Return lines in which so many characters, after so many that are no blanks, are marked."""
    marked: list[Line] = []
    for each in lines:
        spans: list[Span] = []
        for span in each:
            for is_mark, run in groupby(span.text, key=_Counter(before, count)):
                spans.append(Span("".join(run), Role.MATCH if is_mark else span.role))
            inked = sum(not char.isspace() for char in span.text)
            count -= min(max(inked - before, 0), count)
            before = max(before - inked, 0)
        marked.append(tuple(spans))
    return marked


class _Counter:
    """Says of each character in turn whether it is among ``count`` after ``before``, blanks left out."""

    def __init__(self, before: int, count: int) -> None:
        self._place, self._first, self._last = 0, before, before + count

    def __call__(self, char: str) -> bool:
        if char.isspace():
            return False
        self._place += 1
        return self._first < self._place <= self._last


def _json_of(value: bytes) -> str | None:
    """Return the text of an object or a list; ``None`` for anything else, and what is very large."""
    if len(value) > _SHOWN_BYTES or value.lstrip()[:1] not in {b"{", b"["}:
        return None
    try:
        text = value.decode("utf-8")
    except UnicodeDecodeError:
        return None
    return text if json_text.is_json(text) else None


def per_row(width: int) -> int:
    """Return how many bytes a row of the dump has."""
    return max(min(_HEX_ROW, (width - 9) // 4), 1)


def dumped(record: StoredRecord) -> int:
    """Return how many bytes of a value the dump shows: those that a cursor can be on."""
    return min(len(record.value), _HEX_BYTES)


def _hex_dump(value: bytes, locale: Locale, width: int, cursor: int) -> list[Line]:
    """Return rows of offset, hex digits and printable ASCII, as many bytes in a row as fit, the one at ``cursor`` marked."""
    row = per_row(width)
    at = f"  byte {cursor} is {value[cursor]:#04x}, {value[cursor]}" if cursor < len(value) else ""
    rows = [line(Span("as bytes", Role.ACCENT), Span(at, Role.MUTED))]
    for start in range(0, len(value), row):
        part = value[start : start + row]
        text = "".join(chr(byte) if 0x20 <= byte < 0x7F else locale.pick("·", ".") for byte in part)
        digits, here = part.hex(" ").ljust(row * 3), cursor - start
        shown = (
            [*_split(digits, here * 3, 2, Role.TEXT), *_split(text, here, 1, Role.CHART)]
            if 0 <= here < len(part)
            else [Span(digits), Span(text, Role.CHART)]
        )
        rows.append(line(Span(f"{start:06x}  ", Role.MUTED), *shown))
    return rows


def _split(text: str, start: int, length: int, role: Role) -> Line:
    """Return a text of which a part is marked."""
    end = start + length
    return (Span(text[:start], role), Span(text[start:end], Role.MATCH), Span(text[end:], role))
