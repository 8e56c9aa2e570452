"""Text with a meaning instead of a colour: what views return, widgets paint and tables print.

A view builds lines of spans; a span is plain text and a :class:`Role`. Only the widgets know which style a role has
in the current theme, and nothing on the way parses markup. Foreign text enters only through :class:`Locale`, whose
``safe`` leaves no control character in it.
"""

import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, tzinfo
from enum import StrEnum
from typing import NamedTuple

from proglog.observe import charts
from proglog.observe.safe_text import cells, fit, safe_text
from proglog.observe.words import Mark
from proglog.types import half_open


class Role(StrEnum):
    """What a piece of text means to its reader."""

    TEXT = "text"
    MUTED = "muted"
    STRONG = "strong"
    GOOD = "good"
    WARN = "warn"
    BAD = "bad"
    ACCENT = "accent"
    LOCAL = "local"
    CHART = "chart"
    MATCH = "match"
    MEMBER_1 = "member-1"
    MEMBER_2 = "member-2"
    MEMBER_3 = "member-3"
    MEMBER_4 = "member-4"
    MEMBER_5 = "member-5"
    MEMBER_6 = "member-6"
    MEMBER_7 = "member-7"
    MEMBER_8 = "member-8"


ACCENTS = tuple(role for role in Role if role.startswith("member-"))
"""What tells members apart wherever their names are; of more members than these, some share one."""


class Span(NamedTuple):
    """A run of text in one role. Printable characters only."""

    text: str
    role: Role = Role.TEXT


Line = tuple[Span, ...]


def line(*parts: Span | str) -> Line:
    """Return a line of ``parts``, plain strings in the role TEXT."""
    return tuple(part if isinstance(part, Span) else Span(part) for part in parts)


def plain(spans: Iterable[Span]) -> str:
    """Return the text of a line without its roles."""
    return "".join(span.text for span in spans)


def width_of(spans: Iterable[Span]) -> int:
    """Return the cells that a line takes."""
    return sum(cells(span.text) for span in spans)


def fit_line(spans: Sequence[Span], width: int, *, right: bool = False) -> Line:
    """Return ``spans`` cut or padded to exactly ``width`` cells."""
    missing = width - width_of(spans)
    if missing >= 0:
        pad = (Span(" " * missing),) if missing else ()
        return (*pad, *spans) if right else (*spans, *pad)
    kept: list[Span] = []
    for span in spans:
        taken = cells(span.text)
        if taken >= width:
            return (*kept, Span(_cut(span.text, width), span.role))
        kept.append(span)
        width -= taken
    return tuple(kept)


def _cut(text: str, width: int) -> str:
    """Cut even a text that would fit: more spans follow it, so the ellipsis is due."""
    return fit(text + "  ", width) if width > 0 else ""


def wrap(spans: Sequence[Span], width: int, *, indent: int = 2) -> list[Line]:
    """Return ``spans`` broken between words into lines of ``width`` cells, all but the first indented."""
    lines: list[Line] = []
    current: list[Span] = []
    room = width
    for span in spans:
        for word in _words(span.text, max(width - indent, 2)):
            if cells(word.rstrip()) > room and current:
                lines.append((*current[:-1], Span(current[-1].text.rstrip(), current[-1].role)))
                current = [Span(" " * min(indent, width - 1))]
                room = width - min(indent, width - 1)
            current.append(Span(word, span.role))
            room -= cells(word)
    return [*lines, tuple(current)]


def _words(text: str, width: int) -> Iterator[str]:
    """Yield words with the blank behind them; one that is longer than a line in pieces."""
    for word in text.replace(" ", " \0").split("\0"):
        if cells(word.rstrip()) <= width:
            yield word
        else:
            yield from (plain(part) for part in fold([Span(word)], width))


def fold(spans: Sequence[Span], width: int, *, indent: int = 0) -> list[Line]:
    """Return ``spans`` broken into lines of ``width`` cells wherever a line is full: nothing is left out, blanks neither.

    All lines but the first are indented.
    """
    indent = min(indent, max(width - 2, 0))
    lines: list[Line] = []
    current: list[Span] = []
    room = max(width, 2)
    for span in spans:
        start = 0
        for at, char in enumerate(span.text):
            taken = cells(char)
            if taken > room:
                current.append(Span(span.text[start:at], span.role))
                lines.append(tuple(current))
                current, start = ([Span(" " * indent)] if indent else []), at
                room = max(width, 2) - indent
            room -= taken
        current.append(Span(span.text[start:], span.role))
    return [*lines, tuple(current)]


def spread(left: Sequence[Span], right: Sequence[Span], width: int) -> Line:
    """Return ``left`` and ``right`` at the two ends of ``width`` cells; the right side is kept when they collide."""
    room = width - width_of(right)
    return (*fit_line(left, room), *right) if room > 0 else fit_line(right, width)


@dataclass(frozen=True, slots=True, kw_only=True)
class Locale:
    """What a terminal can show, and in which time zone."""

    ascii_only: bool = False
    """Keep to ASCII: shapes, charts and foreign text."""
    timezone: tzinfo | None = None
    """Of the times that are shown; ``None``: where the reader is."""
    now: Callable[[], float] = time.time
    """What today is: seconds since 1970."""
    accents: Mapping[str, Role] = field(default_factory=dict, hash=False)
    """The role of each member's name, the same wherever the name is."""

    def clock(self, at: float) -> str:
        """Return a moment (seconds since 1970) as ``HH:MM:SS``; of what no calendar holds, ``--:--:--``."""
        try:
            return datetime.fromtimestamp(at, UTC).astimezone(self.timezone).strftime("%H:%M:%S")
        except (OverflowError, ValueError, OSError):
            return "--:--:--"

    def date_clock(self, at: float) -> str:
        """Return a moment with its date: ``2026-09-21 14:13:20``."""
        try:
            return datetime.fromtimestamp(at, UTC).astimezone(self.timezone).strftime("%Y-%m-%d %H:%M:%S")
        except (OverflowError, ValueError, OSError):
            return "---------- --:--:--"

    def moment(self, at: float) -> str:
        """Return a moment in eight cells: ``14:13:20`` of today, else the date, ``Sep 21``, or the year, ``2024-09``."""
        try:
            then = datetime.fromtimestamp(at, UTC).astimezone(self.timezone)
        except (OverflowError, ValueError, OSError):
            return "--:--:--"
        today = datetime.fromtimestamp(self.now(), UTC).astimezone(self.timezone)
        if then.date() == today.date():
            return then.strftime("%H:%M:%S")
        months = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")
        if abs((today - then).days) < 300:
            return f"{months[then.month - 1]} {then.day}"
        return f"{then.year:04}-{then.month:02}"

    def safe(self, value: str | bytes, max_cells: int | None = 120, *, role: Role = Role.TEXT) -> Span:
        """Return foreign text as a span."""
        return Span(safe_text(value, max_cells, ascii_only=self.ascii_only), role)

    def member(self, name: str, max_cells: int | None = 60) -> Span:
        """Return a member's name in its own accent; foreign text."""
        return self.safe(name, max_cells, role=self.accents.get(name, Role.STRONG))

    def shape(self, mark: Mark) -> str:
        """Return the shape of a state, one cell."""
        return mark.ascii_shape if self.ascii_only else mark.shape

    def pick(self, unicode_text: str, ascii_text: str) -> str:
        """Return the text that this terminal can show."""
        return ascii_text if self.ascii_only else unicode_text

    def range_words(self, start: int, end: int) -> str:
        """Return a half-open range of offsets or sequences, for people: ``[32,000 … 34,850)``."""
        return half_open(start, end, to=self.pick("…", ".."))

    def spark(self, values: Sequence[float], width: int, *, role: Role = Role.CHART) -> Span:
        """Return ``values`` as a sparkline of ``width`` cells, the newest at the right."""
        return Span(charts.sparkline(values, width, ascii_only=self.ascii_only), role)

    def bar(self, share: float, width: int, *, role: Role = Role.CHART) -> Span:
        """Return a bar that fills ``share`` of ``width`` cells."""
        return Span(charts.bar(share, width, ascii_only=self.ascii_only), role)


def accents_of(names: Iterable[str], before: Mapping[str, Role]) -> Mapping[str, Role]:
    """Return an accent for each name: those of ``before`` stay, new names take the free ones in their order."""
    fresh = [name for name in sorted(set(names)) if name not in before]
    if not fresh:
        return before
    kept = dict(before)
    for name in fresh:
        used = Counter(kept.values())
        kept[name] = min(ACCENTS, key=lambda role: used[role])
    return kept
