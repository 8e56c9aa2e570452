"""Latencies are counted in bounded memory, and a quantile is at most a fifth too high."""

import math

import pytest

from proglog.telemetry.latency import WINDOW_SECONDS, LatencyWindow


def test_quantiles_are_at_most_a_fifth_too_high_and_never_above_the_highest():
    window = LatencyWindow()
    for millisecond in range(1, 1_001):
        window.add(millisecond / 1000, now=5.0)
    found = window.quantiles(5.0)
    assert found.taken == 1_000
    assert 0.5 <= found.median <= 0.5 * 1.2
    assert 0.99 <= found.p99 <= found.highest == pytest.approx(1.0)


def test_what_is_older_than_the_window_does_not_count():
    window = LatencyWindow()
    window.add(3.0, now=1.0)
    window.add(0.001, now=1.0 + WINDOW_SECONDS)
    assert window.quantiles(1.5 + WINDOW_SECONDS).highest == 0.001
    assert window.quantiles(5.0 + 3 * WINDOW_SECONDS).taken == 0


@pytest.mark.parametrize("seconds", [0.0, -1.0, 1e-9, 1e9])
def test_any_duration_has_a_bucket(seconds):
    window = LatencyWindow()
    window.add(seconds, now=0.0)
    assert window.quantiles(0.0).taken == 1


def test_a_histogram_counts_everything_since_the_start_and_each_bucket_the_ones_below():
    window = LatencyWindow()
    for millisecond in range(1, 1_001):
        window.add(millisecond / 1000, now=float(millisecond))
    found = window.histogram()
    assert found.buckets[-1] == (math.inf, 1_000)
    assert [count for _, count in found.buckets] == sorted(count for _, count in found.buckets)
    assert all(count <= bound * 1000 + 1 for bound, count in found.buckets[:-1])
    assert all(count >= min(bound * 1000, 1000) * 0.99 - 1 for bound, count in found.buckets[:-1])
    assert found.seconds == pytest.approx(500.5)
