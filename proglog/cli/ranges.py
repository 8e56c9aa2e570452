"""The grammar of RANGE: one way to say which records, everywhere.

::

    start  end  47        a place: the oldest record, after the newest, an offset
    +2  -3                two after the start; the last three
    @1h  @2026-01-02T03:04:05Z  @1767323045     by time: ago, or a moment
    @14:13  @14:13:20     a time of day: the last one that there was
    5:10  5:  :end  @2h:@1h                     from one place to another, half-open: [5, 10)
    cursor:AbCd...        what a consumer has not had yet, at any node: as --print-cursor printed it
    unread:NAME           what the consumer of that name has not had yet; looking at it does not move it

A single offset with nothing after it reads to the end of the log. ``:`` inside a time belongs to the time. Times without
a zone are local, and UTC with ``--utc``.
"""

import re
from datetime import tzinfo
from typing import TYPE_CHECKING

from proglog.client.offset_spec import OffsetSpec, parse_offset_spec
from proglog.client.times import CLOCK, MOMENT
from proglog.errors import ConfigError, InvalidRequestError

if TYPE_CHECKING:
    from proglog.client.cursor import Cursor

_EXAMPLES = (
    "expected start, end, 47, +2, -3, 5:10, :end, @1h, @2026-01-02T03:04:05Z, @2h:@1h, unread:NAME or cursor:TOKEN"
)
CURSOR = "cursor:"
UNREAD = "unread:"
WORDS = ("start", "end", ":end", "@1h", "@1d", CURSOR, UNREAD)
"""What completion offers."""
_TIME = re.compile(f"@(?:{MOMENT.pattern}|{CLOCK.pattern})(?=:|$)", re.ASCII)
_TWO_NUMBERS = re.compile(r"\d+-\d+", re.ASCII)


def parse_start(text: str, now_ms: int, zone: tzinfo | None = None) -> "tuple[OffsetSpec | Cursor, OffsetSpec | None]":
    """As :func:`parse_range`, with cursors.

    Raises:
        ConfigError: It is not in the grammar, or the cursor is none.
    """
    if not text.startswith(CURSOR):
        return parse_range(text, now_ms, zone)
    from proglog.client.cursor import Cursor

    try:
        return Cursor.parse(text.removeprefix(CURSOR)), None
    except InvalidRequestError as exc:
        raise ConfigError(f"RANGE: {exc}") from exc


def parse_range(text: str, now_ms: int, zone: tzinfo | None = None) -> tuple[OffsetSpec, OffsetSpec | None]:
    """Return where to start and where to end; ``None``: where the log ends.

    Args:
        text: What the user typed.
        now_ms: What ``@1h`` counts back from, milliseconds since 1970.
        zone: Of times that name none; ``None``: the machine's.

    Raises:
        ConfigError: It is not in the grammar, or ends before it starts.
    """
    if text.startswith("--"):
        raise ConfigError(f"RANGE {text!r:.60}: no such option, and no range; `--help` lists the flags")
    first, colon, last = _split(text)
    if not first and not colon:
        raise ConfigError(f"RANGE is empty: {_EXAMPLES}")
    start = _place(first, text, now_ms, zone) if first else OffsetSpec.after_start(0)
    if not colon or last in ("", "end"):
        return start, None
    end = _place(last, text, now_ms, zone)
    if start.kind is end.kind and _comparable(start) > _comparable(end):
        raise ConfigError(f"RANGE {text!r} ends before it starts")
    return start, end


def _split(text: str) -> tuple[str, str, str]:
    """Cut at the colon that is not part of a time."""
    time = _TIME.match(text)
    if time:
        return text[: time.end()], text[time.end() :][:1], text[time.end() + 1 :]
    return text.partition(":")


def _comparable(place: OffsetSpec) -> int:
    return -place.value if place.kind.value == "before_end" else place.value


def _place(text: str, whole: str, now_ms: int, zone: tzinfo | None) -> OffsetSpec:
    try:
        return parse_offset_spec(text, now_ms, zone)
    except ConfigError as exc:
        meant = f"; did you mean {text.replace('-', ':')}?" if _TWO_NUMBERS.fullmatch(text) else ""
        raise ConfigError(f"RANGE {whole!r:.80}: {exc}{meant}") from None
