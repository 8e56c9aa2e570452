"""Moments as people write them. One rule for zones: a time is local unless a ``Z`` or an offset says otherwise.

::

    2026-01-02  2026-01-02T03:04  2026-01-02 03:04:05.678  2026-01-02t03:04:05Z  2026-01-02T03:04:05+02:00
    14:13  14:13:20        the last time that the clock showed that

When clocks are set back, a time of day that occurs twice is the last one of the two that has been, a date and time the
first one. When they are set forward, a time that is skipped is refused with a date, and yesterday's without.
"""

import re
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta, tzinfo

from proglog.errors import ConfigError

CLOCK = re.compile(r"([01]\d|2[0-3]):([0-5]\d)(?::([0-5]\d))?", re.ASCII)
"""A time of day."""
MOMENT = re.compile(
    r"(\d{4}-\d{2}-\d{2})(?:[Tt ](\d{2}:\d{2}(?::\d{2}(?:[.,]\d{1,9})?)?) ?([Zz]|[+-]\d{2}(?::?\d{2})?)?)?", re.ASCII
)
"""A date, with or without a time, with or without a zone."""
EXPECTED = "expected 14:13, 14:13:20, 2026-01-02 or 2026-01-02T03:04:05Z"
_DAYS = 3
"""A time of day was shown on one of so many last days: clocks are set forward once in half a year."""


def last_time_ms(clock: re.Match[str], now_ms: int, zone: tzinfo | None) -> int:
    """Return the last moment with this time of day that is not after now.

    Args:
        clock: A match of ``CLOCK``.
        now_ms: Milliseconds since 1970.
        zone: Whose clock; ``None``: the machine's.
    """
    now_ms = int(now_ms)
    hour, minute, second = (int(part or 0) for part in clock.groups())
    now = _local(now_ms, zone)
    return max(
        at_ms
        for days in range(-1, _DAYS)
        for at_ms in _shown_at(
            (now - timedelta(days=days)).replace(hour=hour, minute=minute, second=second, microsecond=0), zone
        )
        if at_ms <= now_ms
    )


def moment_ms(text: str, zone: tzinfo | None) -> int:
    """Return a moment, in milliseconds since 1970.

    Raises:
        ConfigError: It is none, or one that the clocks skipped.
    """
    found = MOMENT.fullmatch(text)
    if found is None:
        raise ConfigError(f"{text!r:.60} is no time; {EXPECTED}")
    day, time, offset = found[1], (found[2] or "00:00").replace(",", "."), (found[3] or "").upper()
    try:
        moment = datetime.fromisoformat(f"{day}T{time}{offset}")
        if moment.tzinfo is not None:
            return _ms(moment)
        shown = list(_shown_at(moment, zone))
    except (ValueError, OverflowError, OSError):
        raise ConfigError(f"{text!r:.60} is no time; {EXPECTED}") from None
    if not shown:
        raise ConfigError(f"{text!r:.60} is no time here: clocks were set forward past it; write an offset or Z")
    return shown[0]


def _shown_at(wall: datetime, zone: tzinfo | None) -> Iterator[int]:
    """Yield the moments at which a clock showed a time: none, one, or two; the earlier one first."""
    for fold in (0, 1):
        moment = wall.replace(tzinfo=zone, fold=fold)
        at_ms = _ms(moment)
        if _local(at_ms, zone).replace(fold=0) == wall.replace(tzinfo=None, fold=0) and (
            fold == 0 or at_ms != _ms(wall.replace(tzinfo=zone, fold=0))
        ):
            yield at_ms


def _local(at_ms: int, zone: tzinfo | None) -> datetime:
    """Return what the clock of a zone shows, without the zone."""
    moment = datetime.fromtimestamp(at_ms // 1000, UTC).replace(microsecond=at_ms % 1000 * 1000)
    return moment.astimezone(zone).replace(tzinfo=None)


def _ms(moment: datetime) -> int:
    return round(moment.timestamp() * 1000)
