"""An offset as clients specify it, and as people write it: the server resolves it when the call arrives."""

import re
from dataclasses import dataclass
from datetime import tzinfo
from enum import Enum

from proglog.client.times import CLOCK, MOMENT, last_time_ms, moment_ms
from proglog.errors import ConfigError
from proglog.quantities import seconds
from proglog.types import MAX_ORDINAL


class OffsetSpecKind(Enum):
    """What the value counts from."""

    OFFSET = "offset"
    AFTER_START = "after_start"
    BEFORE_END = "before_end"
    TIME_MS = "time_ms"


@dataclass(frozen=True, slots=True)
class OffsetSpec:
    """An offset, or how to find one. Made by one of the class methods."""

    kind: OffsetSpecKind
    value: int
    log: bytes = b""
    """Of an offset: the log that it was read from; empty: not known."""

    @classmethod
    def offset(cls, offset: int, log: bytes = b"") -> "OffsetSpec":
        """At this offset; of another log than ``log``, if that is given, it is refused."""
        return cls(OffsetSpecKind.OFFSET, offset, log)

    @classmethod
    def after_start(cls, records: int) -> "OffsetSpec":
        """So many records after the oldest kept."""
        return cls(OffsetSpecKind.AFTER_START, records)

    @classmethod
    def before_end(cls, records: int) -> "OffsetSpec":
        """So many records before the end; the start if there are fewer."""
        return cls(OffsetSpecKind.BEFORE_END, records)

    @classmethod
    def at_time(cls, time_ms: int) -> "OffsetSpec":
        """The first record with this timestamp or a later one, milliseconds since 1970."""
        return cls(OffsetSpecKind.TIME_MS, time_ms)


MINUTE_MS, HOUR_MS, DAY_MS = 60_000, 3_600_000, 86_400_000
_DATE = re.compile(r"(19|20)\d\d(0[1-9]|1[0-2])(0[1-9]|[12]\d|3[01])", re.ASCII)


def parse_offset_spec(text: str, now_ms: int, zone: tzinfo | None = None) -> OffsetSpec:
    """Return the place that ``text`` names, in the one grammar of commands and dashboard.

    ::

        start  end  47  +2  -3    the oldest record, after the newest, an offset, from the start, from the end
        @1h  @1767323045          by time: so long ago; seconds or milliseconds since 1970
        @2026-01-02T03:04:05Z     a moment; a blank may stand for the T
        @14:13:20  @14:13         a time of day: the last one that there was

    Args:
        text: As typed by the user.
        now_ms: What ``@1h`` and ``@14:13`` count back from, milliseconds since 1970.
        zone: Of times that name none; ``None``: that of the machine.

    Raises:
        ConfigError: It is not in the grammar.
    """
    if text == "start":
        return OffsetSpec.after_start(0)
    if text == "end":
        return OffsetSpec.before_end(0)
    if text.startswith("@"):
        return OffsetSpec.at_time(parse_time_ms(text[1:], now_ms, zone))
    sign, digits = (text[0], text[1:]) if text[:1] in ("+", "-") else ("", text)
    if not (digits.isascii() and digits.isdigit()) or len(digits) > 19 or int(digits) > MAX_ORDINAL:
        raise ConfigError(
            f"{text!r:.60} is no place; expected start, end, 47, +2, -3, @1h, @14:13 or @2026-01-02T03:04Z"
        )
    make = {"+": OffsetSpec.after_start, "-": OffsetSpec.before_end}.get(sign, OffsetSpec.offset)
    return make(int(digits))


def parse_time_ms(text: str, now_ms: int, zone: tzinfo | None = None) -> int:
    """Return the moment that ``text`` names, milliseconds since 1970: what follows ``@`` in the grammar above.

    Args:
        text: As typed by the user.
        now_ms: What ``1h`` and ``14:13`` count back from, milliseconds since 1970.
        zone: Of times that name none; ``None``: that of the machine.

    Raises:
        ConfigError: It is no time.
    """
    ago = seconds(text)
    if ago is not None:
        return max(now_ms - round(ago * 1000), 0)
    if text.isascii() and text.isdigit() and len(text) <= 16:
        if _DATE.fullmatch(text):
            day = f"{text[:4]}-{text[4:6]}-{text[6:]}"
            raise ConfigError(f"{text!r} is no time: write @{day} for the date; seconds since 1970 have ten digits")
        return int(text) * (1 if len(text) >= 12 else 1000)  # seconds reach 12 digits in the year 33658
    clock = CLOCK.fullmatch(text)
    try:
        return max(last_time_ms(clock, now_ms, zone) if clock else moment_ms(text, zone), 0)
    except ConfigError as exc:
        if MOMENT.fullmatch(text):
            raise
        raise ConfigError(f"{text!r:.60} is no time; expected 90s, 1h, 2d, 14:13:20 or 2026-01-02T03:04:05Z") from exc
