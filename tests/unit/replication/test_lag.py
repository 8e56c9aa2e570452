"""Lag between two logs: how much, since when, whether it grows, and until when, on a clock that the test holds."""

from dataclasses import replace
from random import Random

import pytest

from proglog.replication.lag import LEVEL, MAX_CATCH_UP, LagClock, LagMeter, TrendMeter, bytes_behind, records_behind
from proglog.replication.progress import Progress
from proglog.types import OriginId, SequenceNumber

A = OriginId(b"a" * 16)


def at(next_sequence: int, *, floor: int = 1, size: int = 0) -> Progress:
    return Progress(A, SequenceNumber(next_sequence), 7, floor_sequence=SequenceNumber(floor), bytes=size)


def test_lag_is_in_records_bytes_and_seconds_since_the_oldest_missing_was_heard_of() -> None:
    meter = LagMeter()
    meter.there(at(9, size=300), at(5, size=100), 10.0)
    meter.there(at(12, size=400), at(5, size=100), 11.0)

    lag = meter.read(12.0)
    assert (lag.records, lag.bytes, lag.seconds) == (7, 300, 2.0)

    meter.here(at(9, size=300), 12.0)
    assert meter.read(12.0).seconds == 1.0

    meter.here(at(12, size=400), 12.0)
    assert meter.read(12.0) == LEVEL


def test_what_the_other_log_no_longer_keeps_is_not_lag() -> None:
    expired, meter = at(90, floor=90), LagMeter()

    meter.there(expired, None, 0.0)

    assert meter.read(5.0) == LEVEL
    assert meter.behind_since is None
    assert records_behind(at(5), at(90, floor=80)) == 10
    assert records_behind(None, at(90, floor=80)) == 10


def test_lag_counts_records_that_are_kept_there_and_missing_here_and_no_sequences_that_both_lack() -> None:
    here = replace(at(50, floor=5), gaps=((10, 20),), damaged=((30, 35),))
    assert records_behind(here, at(50)) == 15
    assert records_behind(here, at(60)) == 25
    assert records_behind(here, at(12)) == 2
    assert records_behind(here, replace(at(60), gaps=((10, 18), (55, 58)))) == 2 + 5 + 7
    assert records_behind(None, replace(at(60), damaged=((1, 41),))) == 19

    meter = LagMeter()
    meter.there(at(50), here, 1.0)
    assert (meter.read(4.0).records, meter.read(4.0).seconds) == (15, 3.0)
    meter.here(at(50, floor=5), 5.0)
    assert meter.read(6.0) == LEVEL


def test_a_log_that_is_ahead_does_not_trail() -> None:
    assert records_behind(at(9), at(5)) == bytes_behind(at(9, size=90), at(5, size=50)) == 0


def test_bytes_are_exact_where_both_kept_the_same_and_in_proportion_where_not() -> None:
    assert bytes_behind(at(5, size=100), at(9, size=300)) == 200
    assert bytes_behind(at(50, floor=1, size=9_000), at(100, floor=40, size=6_000)) == 5_000
    assert bytes_behind(None, at(9, size=300)) == 300


def test_the_clock_moves_on_while_the_log_keeps_up_with_what_it_heard_of() -> None:
    clock = LagClock()
    for second in range(1, 60):
        clock.there(SequenceNumber(10 * second + 1), float(second))
        clock.here(SequenceNumber(10 * second - 4))
        assert clock.behind_since is not None
        assert second - clock.behind_since <= 2


def test_nothing_is_said_of_a_trend_in_the_first_second() -> None:
    trend = TrendMeter()
    trend.observe(1000, 5.0)
    trend.observe(900, 5.5)

    assert (trend.slope(5.9), trend.until_level(5.9)) == (0.0, None)
    assert trend.slope(6.1) < 0


def test_a_lag_that_shrinks_at_a_steady_rate_has_that_trend_and_an_end_in_sight() -> None:
    trend = TrendMeter()
    for step in range(100):
        trend.observe(10_000 - 50 * step, 0.1 * step)

    assert trend.slope(9.9) == pytest.approx(-500, rel=0.05)
    assert trend.until_level(9.9) == pytest.approx(10.1, rel=0.05)


def test_it_does_not_matter_how_often_a_lag_is_heard_of() -> None:
    random, often, seldom = Random(1), TrendMeter(), TrendMeter()
    now = 0.0
    for step in range(2000):
        now += random.expovariate(200)
        value = 50_000 - int(1000 * now)
        often.observe(value, now)
        if step % 20 == 0:
            seldom.observe(value, now)

    assert often.slope(now) == pytest.approx(-1000, rel=0.02)
    assert seldom.slope(now) == pytest.approx(often.slope(now), rel=0.05)


def test_a_burst_does_not_look_like_falling_behind_while_it_is_worked_off() -> None:
    trend = TrendMeter()
    for step in range(50):
        trend.observe(10, 0.1 * step)
    for step in range(15):
        trend.observe(10_000 - 100 * step, 5.0 + 0.1 * step)

    assert trend.slope(6.4) == pytest.approx(-1000, rel=0.1)


def test_a_lag_that_grows_without_a_jump_is_falling_behind() -> None:
    trend = TrendMeter()
    for step in range(200):
        trend.observe(1000 + 10 * step, 0.1 * step)

    assert trend.slope(19.9) == pytest.approx(100, rel=0.05)
    assert trend.until_level(19.9) is None


def test_a_lag_that_does_not_move_comes_to_have_no_trend_and_no_end() -> None:
    trend = TrendMeter()
    for step in range(100):
        trend.observe(10_000 - 10 * step, 0.1 * step)

    assert abs(trend.slope(40.0)) < 1.0
    assert trend.until_level(9.9 + MAX_CATCH_UP) is None


def test_level_is_level_at_once() -> None:
    trend = TrendMeter()
    for step in range(100):
        trend.observe(1000 - 10 * step, 0.1 * step)
    trend.observe(0, 10.0)

    assert (trend.slope(10.0), trend.until_level(10.0)) == (0.0, 0.0)
