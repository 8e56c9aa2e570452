"""The grammar of RANGE: one way to say which records, everywhere.

::

    start  end  47        a place: the oldest record, after the newest, an offset
    +2  -3                two after the start; the last three
    @1h  @2026-01-02T03:04:05Z  @1767323045     by time: ago, or a moment
    5:10  5:  :end  @2h:@1h                     from one place to another, half-open: [5, 10)
    cursor:AbCd...        what a consumer has not had yet, at any node: as --print-cursor printed it

A single offset with nothing after it reads to the end of the log. ``:`` inside a time belongs to the time.
"""

import re
from datetime import UTC, datetime

from proglog.client.cursor import Cursor
from proglog.client.place import Place
from proglog.errors import ConfigError, InvalidRequestError

MAX_OFFSET = (1 << 63) - 1
_UNITS = {"ms": 1, "s": 1000, "m": 60_000, "h": 3_600_000, "d": 86_400_000, "w": 604_800_000}
_AGO = re.compile(r"(\d{1,12})(ms|s|m|h|d|w)")
_EXAMPLES = "expected start, end, 47, +2, -3, 5:10, :end, @1h, @2026-01-02T03:04:05Z, @2h:@1h or cursor:TOKEN"
CURSOR = "cursor:"


def parse_start(text: str, now_ms: int) -> tuple[Place | Cursor, Place | None]:
    """As :func:`parse_range`, with cursors.

    Raises:
        ConfigError: It is not in the grammar, or the cursor is none.
    """
    if not text.startswith(CURSOR):
        return parse_range(text, now_ms)
    try:
        return Cursor.parse(text.removeprefix(CURSOR)), None
    except InvalidRequestError as exc:
        raise ConfigError(f"RANGE: {exc}") from exc


def parse_range(text: str, now_ms: int) -> tuple[Place, Place | None]:
    """Return where to start and where to end; ``None``: where the log ends.

    Args:
        text: What the user typed.
        now_ms: What ``@1h`` counts back from, milliseconds since 1970.

    Raises:
        ConfigError: It is not in the grammar, or ends before it starts.
    """
    first, colon, last = _split(text)
    if not first and not colon:
        raise ConfigError(f"RANGE is empty: {_EXAMPLES}")
    start = _place(first, text, now_ms) if first else Place.after_start(0)
    if not colon or last in ("", "end"):
        return start, None
    end = _place(last, text, now_ms)
    if start.kind is end.kind and _comparable(start) > _comparable(end):
        raise ConfigError(f"RANGE {text!r} ends before it starts")
    return start, end


def _split(text: str) -> tuple[str, str, str]:
    """Cut at the colon that is not part of a time: the first one that a place follows."""
    for at in (index for index, char in enumerate(text) if char == ":"):
        rest = text[at + 1 :]
        if not text.startswith("@") or not rest or rest[0] in "@+-" or rest == "end":
            return text[:at], ":", rest
        if "T" not in text[:at]:
            return text[:at], ":", rest
    return text, "", ""


def _comparable(place: Place) -> int:
    return -place.value if place.kind.value == "before_end" else place.value


def _place(text: str, whole: str, now_ms: int) -> Place:
    if text == "start":
        return Place.after_start(0)
    if text == "end":
        return Place.before_end(0)
    if text.startswith("@"):
        return Place.at_time(_time(text[1:], whole, now_ms))
    sign, digits = (text[0], text[1:]) if text[:1] in ("+", "-") else ("", text)
    if not (digits.isascii() and digits.isdigit()) or int(digits) > MAX_OFFSET:
        raise ConfigError(f"RANGE {whole!r}: {text!r} is no place; {_EXAMPLES}")
    match sign:
        case "+":
            return Place.after_start(int(digits))
        case "-":
            return Place.before_end(int(digits))
        case _:
            return Place.offset(int(digits))


def _time(text: str, whole: str, now_ms: int) -> int:
    ago = _AGO.fullmatch(text)
    if ago:
        return now_ms - int(ago[1]) * _UNITS[ago[2]]
    if text.isascii() and text.isdigit() and len(text) <= 16:
        return int(text) * (1 if len(text) >= 12 else 1000)  # seconds reach 12 digits in the year 33658
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise ConfigError(
            f"RANGE {whole!r}: {text!r} is no time; expected 90s, 1h, 2d or 2026-01-02T03:04:05Z"
        ) from None
    return int((moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp() * 1000)
