"""Moments as people write them, on days on which the clocks change, too."""

from datetime import UTC, datetime
from zoneinfo import ZoneInfo

import pytest

from proglog.client.times import CLOCK, last_time_ms, moment_ms
from proglog.errors import ConfigError

BERLIN = ZoneInfo("Europe/Berlin")
"""Forward at 2026-03-29 02:00, back at 2026-10-25 03:00."""


def ms(text: str) -> int:
    return round(datetime.fromisoformat(text).timestamp() * 1000)


def last(clock: str, now: str) -> str:
    match = CLOCK.fullmatch(clock)
    assert match is not None
    found = last_time_ms(match, ms(now), BERLIN)
    return datetime.fromtimestamp(found / 1000, UTC).strftime("%dT%H:%MZ")


@pytest.mark.parametrize(
    ("clock", "now", "expected"),
    [
        ("02:30", "2026-10-25T02:10+02:00", "24T00:30Z"),  # the first 02:30 of that day is still to come
        ("02:30", "2026-10-25T02:10+01:00", "25T00:30Z"),  # it was 40 minutes ago, by another offset
        ("02:30", "2026-10-25T02:40+01:00", "25T01:30Z"),  # both have been: the last one
        ("02:30", "2026-03-29T04:00+02:00", "28T01:30Z"),  # the clocks skipped today's
        ("03:30", "2026-03-29T04:00+02:00", "29T01:30Z"),
        ("12:00", "2026-06-01T12:00+02:00", "01T10:00Z"),
    ],
)
def test_a_time_of_day_is_the_last_one_that_the_clock_showed(clock: str, now: str, expected: str) -> None:
    assert last(clock, now) == expected


def test_a_date_and_time_that_occurs_twice_is_the_first() -> None:
    assert moment_ms("2026-10-25 02:30", BERLIN) == ms("2026-10-25T02:30+02:00")


def test_a_date_and_time_that_clocks_skip_is_refused() -> None:
    with pytest.raises(ConfigError, match="clocks were set forward past it"):
        moment_ms("2026-03-29T02:30", BERLIN)


@pytest.mark.parametrize(
    "text", ["2026-01-02T03:04Z", "2026-01-02 03:04 Z", "2026-01-02t04:04+01:00", "2026-01-02 03:04+0000"]
)
def test_a_zone_that_is_written_counts(text: str) -> None:
    assert moment_ms(text, BERLIN) == ms("2026-01-02T03:04+00:00")


@pytest.mark.parametrize(
    "text", ["", "2026", "2026-1-2", "2026-02-30", "2026-01-02T25:00", "20260102", "0001-01-01", "x"]
)
def test_what_is_no_moment_is_refused_or_far_away(text: str) -> None:
    try:
        assert moment_ms(text, UTC) < 0
    except ConfigError as exc:
        assert "is no time" in str(exc)
