"""The grammar of RANGE: one way to say which records, everywhere.

::

    start  end  47        a place: the oldest record, after the newest, an offset
    +2  -3                two after the start; the last three
    @1h  @2026-01-02T03:04:05Z  @1767323045     by time: ago, or a moment
    @14:13  @14:13:20     a time of day: the last one that there was; without a zone, times are in the reader's
    5:10  5:  :end  @2h:@1h                     from one place to another, half-open: [5, 10)
    cursor:AbCd...        what a consumer has not had yet, at any node: as --print-cursor printed it

A single offset with nothing after it reads to the end of the log. ``:`` inside a time belongs to the time.
"""

from proglog.client.cursor import Cursor
from proglog.client.offset_spec import CLOCK, OffsetSpec, parse_offset_spec
from proglog.errors import ConfigError, InvalidRequestError

_EXAMPLES = "expected start, end, 47, +2, -3, 5:10, :end, @1h, @2026-01-02T03:04:05Z, @2h:@1h or cursor:TOKEN"
CURSOR = "cursor:"


def parse_start(text: str, now_ms: int) -> tuple[OffsetSpec | Cursor, OffsetSpec | None]:
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


def parse_range(text: str, now_ms: int) -> tuple[OffsetSpec, OffsetSpec | None]:
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
    start = _place(first, text, now_ms) if first else OffsetSpec.after_start(0)
    if not colon or last in ("", "end"):
        return start, None
    end = _place(last, text, now_ms)
    if start.kind is end.kind and _comparable(start) > _comparable(end):
        raise ConfigError(f"RANGE {text!r} ends before it starts")
    return start, end


def _split(text: str) -> tuple[str, str, str]:
    """Cut at the colon that is not part of a time: the first one that a place follows."""
    clock = CLOCK.match(text, 1) if text.startswith("@") else None
    if clock:
        return text[: clock.end()], text[clock.end() :][:1], text[clock.end() + 1 :]
    for at in (index for index, char in enumerate(text) if char == ":"):
        rest = text[at + 1 :]
        if not text.startswith("@") or not rest or rest[0] in "@+-" or rest == "end":
            return text[:at], ":", rest
        if "T" not in text[:at]:
            return text[:at], ":", rest
    return text, "", ""


def _comparable(place: OffsetSpec) -> int:
    return -place.value if place.kind.value == "before_end" else place.value


def _place(text: str, whole: str, now_ms: int) -> OffsetSpec:
    try:
        return parse_offset_spec(text, now_ms)
    except ConfigError as exc:
        raise ConfigError(f"RANGE {whole!r}: {exc}") from None
