"""Numbers and states read the same everywhere."""

from dataclasses import replace

import pytest

from proglog.observe.lag import IN_STEP, LagTotal
from proglog.observe.words import (
    age_words,
    bytes_words,
    count_words,
    duration_words,
    lag_amounts,
    lag_words,
    member_mark,
    origin_id,
    peer_mark,
    rate_words,
    short_count,
    short_duration,
    trend_mark,
)
from proglog.wire.model import MemberStatus, PeerState


@pytest.mark.parametrize(
    ("size", "words"),
    [(0, "0 B"), (999, "999 B"), (1_000, "1.0 kB"), (9_949, "9.9 kB"), (9_960, "10 kB"), (310_400, "310 kB"),
     (999_600, "1.0 MB"), (128 * 2**20, "134 MB"), (10**21, "1,000.0 EB")],
)  # fmt: skip
def test_sizes_have_at_most_three_digits(size: int, words: str):
    assert bytes_words(size) == words


@pytest.mark.parametrize(
    ("seconds", "words"),
    [(0, "0 s"), (-3, "0 s"), (0.31, "0.3 s"), (9.96, "10 s"), (59.4, "59 s"), (59.6, "1 min"), (125, "2 min 5 s"),
     (3_600, "1 h"), (11_530, "3 h 12 min"), (86_400 * 4 + 7_300, "4 d 2 h"), (86_400 * 1_200, "1,200 d")],
)  # fmt: skip
def test_durations_name_their_two_largest_units(seconds: float, words: str):
    assert duration_words(seconds) == words


def test_narrow_columns_get_one_unit():
    assert [short_duration(s) for s in (-1, 0.31, 59.6, 719, 7_300, 90_000)] == [
        "0 s", "0.3 s", "1 min", "11 min", "2 h", "1 d"
    ]  # fmt: skip


LAG = LagTotal(records=1_204, size_bytes=310_000, age_ms=3_100)


def test_lag_is_a_sentence():
    assert lag_words(LAG) == "trails by 1,204 records, 310 kB, 3.1 s"
    assert lag_words(LAG, "node-b") == "trails node-b by 1,204 records, 310 kB, 3.1 s"
    assert lag_words(LagTotal(records=1)) == "trails by 1 record"
    assert lag_words(IN_STEP) == "in step"


@pytest.mark.parametrize(
    ("per_second", "catch_up_ms", "words", "shape"),
    [
        (-150.0, 8_000, "; caught up in about 8 s", "↘"),
        (-150.0, 7_100, "; caught up in about 8 s", "↘"),
        (-150.0, -1, "", "↘"),
        (40.2, -1, "; growing by 40 records/s", "↗"),
        (0.9, -1, "", "→"),
        (0.0, -1, "", "→"),
        (-0.4, 90_000, "", "→"),
    ],
)
def test_a_lag_says_where_it_goes_unless_that_is_noise(per_second, catch_up_ms, words, shape):
    lag = replace(LAG, per_second=per_second, catch_up_ms=catch_up_ms)
    assert lag_words(lag) == "trails by 1,204 records, 310 kB, 3.1 s" + words
    assert trend_mark(lag.trend).shape == shape


def test_a_lag_gets_shorter_with_its_column():
    amounts = lag_amounts(replace(LAG, per_second=-150.0, catch_up_ms=8_000))
    assert amounts == (
        "1,204 records, 310 kB, 3.1 s; caught up in about 8 s", "1,204 records, 3.1 s; caught up in about 8 s",
        "1,204 records, 310 kB, 3.1 s", "1,204 records, 3.1 s", "1,204 records", "1.2k",
    )  # fmt: skip


def test_counts_are_exact_and_rates_are_short():
    assert count_words(1_204_999) == "1,204,999"
    assert [short_count(n) for n in (0, 987, 1_204, 34_400_000)] == ["0", "987", "1.2k", "34M"]
    assert rate_words(1_204.4) == "1.2k/s"


def test_an_age_never_is_in_the_future():
    assert age_words(10_000, 22_000) == "12 s ago"
    assert age_words(22_000, 10_000) == "just now"


def test_every_state_has_its_own_shape_with_and_without_unicode():
    marks = [member_mark(status) for status in MemberStatus]
    peers = [peer_mark(state) for state in PeerState]
    for group in (marks, peers):
        assert len({mark.shape for mark in group}) == len({mark.ascii_shape for mark in group}) == len(group)
        assert all(mark.ascii_shape.isascii() for mark in group)
    assert member_mark(MemberStatus.ALIVE).text() == "● alive"
    assert member_mark(MemberStatus.FAILED).text(ascii_only=True) == "x failed"


def test_an_origin_is_called_by_eight_digits():
    assert origin_id(bytes.fromhex("c0ffee00112233445566778899aabbcc")) == "c0ffee00"
