"""An offset as clients specify it, and as people write it: the server resolves it when the call arrives."""

import re
from dataclasses import dataclass
from datetime import datetime, timedelta, tzinfo
from enum import Enum

from proglog.errors import ConfigError
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
_UNITS = {"ms": 1, "s": 1000, "m": MINUTE_MS, "h": HOUR_MS, "d": DAY_MS, "w": 7 * DAY_MS}
_AGO = re.compile(r"(\d{1,12})(ms|s|m|h|d|w)", re.ASCII)
CLOCK = re.compile(r"([01]\d|2[0-3]):([0-5]\d)(?::([0-5]\d))?", re.ASCII)
"""A time of day."""


def parse_offset_spec(text: str, now_ms: int, zone: tzinfo | None = None) -> OffsetSpec:
    """Return the place that ``text`` names, in the one grammar of commands and dashboard.

    ::

        start  end  47  +2  -3    the oldest record, after the newest, an offset, from the start, from the end
        @1h  @1767323045          by time: so long ago; seconds or milliseconds since 1970
        @2026-01-02T03:04:05Z     a moment
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
    ago = _AGO.fullmatch(text)
    if ago:
        return max(now_ms - int(ago[1]) * _UNITS[ago[2]], 0)
    if text.isascii() and text.isdigit() and len(text) <= 16:
        return int(text) * (1 if len(text) >= 12 else 1000)  # seconds reach 12 digits in the year 33658
    try:
        clock = CLOCK.fullmatch(text)
        if clock:
            return max(_last_ms(clock, now_ms, zone), 0)
        moment = datetime.fromisoformat(text)
        local = moment if moment.tzinfo else moment.replace(tzinfo=zone)
        return max(int(local.timestamp() * 1000), 0)
    except (ValueError, OverflowError, OSError):
        raise ConfigError(f"{text!r:.60} is no time; expected 90s, 1h, 2d, 14:13:20 or 2026-01-02T03:04:05Z") from None


def _last_ms(clock: re.Match[str], now_ms: int, zone: tzinfo | None) -> int:
    """Return the last moment with this time of day that is not after now: of one that comes twice, the later one."""
    now = datetime.fromtimestamp(now_ms / 1000, zone)
    hour, minute, second = (int(part or 0) for part in clock.groups())
    moments = [
        int(day.replace(hour=hour, minute=minute, second=second, microsecond=0, fold=fold).timestamp() * 1000)
        for day in (now, now - timedelta(days=1))
        for fold in (0, 1)
    ]
    return max(moment for moment in moments if moment <= now_ms)
