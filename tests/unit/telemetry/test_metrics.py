"""Counting, and saying it in Prometheus' words."""

import threading

import pytest

from proglog.telemetry.metrics import MAX_SERIES, OTHER, Counter, Histogram, Registry
from proglog.telemetry.names import BATCHES_REJECTED, LOG_END_OFFSET, RECORDS_APPENDED, RPCS, SYNC_SECONDS


def test_a_registry_without_series_exposes_nothing() -> None:
    assert Registry().exposition() == ""


def test_the_exposition_is_prometheus_text() -> None:
    registry = Registry()
    registry.counter(RECORDS_APPENDED).inc(41)
    registry.counter(RECORDS_APPENDED).inc()
    registry.gauge(LOG_END_OFFSET).set(2.5)

    assert registry.exposition() == (
        "# HELP proglog_log_end_offset One past the last durable offset.\n"
        "# TYPE proglog_log_end_offset gauge\n"
        "proglog_log_end_offset 2.5\n"
        "# HELP proglog_records_appended_total Records made durable: produced here and copied.\n"
        "# TYPE proglog_records_appended_total counter\n"
        "proglog_records_appended_total 42\n"
    )


def test_labels_are_escaped_so_that_no_value_forges_a_line() -> None:
    registry = Registry()
    registry.counter(BATCHES_REJECTED, 'a"b\\c\nd').inc()

    assert registry.exposition().splitlines()[-1] == 'proglog_batches_rejected_total{reason="a\\"b\\\\c\\nd"} 1'


def test_the_same_labels_are_the_same_series() -> None:
    registry = Registry()

    assert registry.counter(RPCS, "Produce", "OK") is registry.counter(RPCS, "Produce", "OK")
    assert registry.counter(RPCS, "Produce", "OK") is not registry.counter(RPCS, "Consume", "OK")


def test_a_histogram_exposes_cumulative_buckets_sum_and_count() -> None:
    histogram = Histogram((0.1, 1))
    for value in (0.1, 0.5, 7, 7):
        histogram.observe(value)

    assert list(histogram.samples()) == [
        ("_bucket", 'le="0.1"', 1),
        ("_bucket", 'le="1"', 2),
        ("_bucket", 'le="+Inf"', 4),
        ("_sum", "", 14.6),
        ("_count", "", 4),
    ]
    assert histogram.count == 4


def test_histogram_lines_carry_own_labels_before_the_bound() -> None:
    registry = Registry()
    registry.histogram(SYNC_SECONDS).observe(0.2)

    lines = registry.exposition().splitlines()

    assert 'proglog_sync_seconds_bucket{le="0.1"} 0' in lines
    assert 'proglog_sync_seconds_bucket{le="0.25"} 1' in lines
    assert "proglog_sync_seconds_count 1" in lines


def test_a_gauge_can_be_read_when_metrics_are() -> None:
    registry = Registry()
    values = iter((1.0, 2.0))
    registry.gauge(LOG_END_OFFSET).read_from(lambda: next(values))

    first, second = registry.exposition(), registry.exposition()

    assert (first.splitlines()[-1][-1], second.splitlines()[-1][-1]) == ("1", "2")


def test_values_that_are_no_finite_numbers_keep_prometheus_names() -> None:
    registry = Registry()
    spelled = []
    for value in (float("inf"), float("-inf"), float("nan")):
        registry.gauge(LOG_END_OFFSET).set(value)
        spelled.append(registry.exposition().split()[-1])

    assert spelled == ["+Inf", "-Inf", "NaN"]


def test_series_beyond_the_limit_are_counted_together() -> None:
    registry = Registry()
    for number in range(MAX_SERIES + 5):
        registry.counter(BATCHES_REJECTED, f"reason {number}").inc()

    assert registry.counter(BATCHES_REJECTED, OTHER).value == 5
    assert len(registry.exposition().splitlines()) == MAX_SERIES + 1 + 2


def test_no_increment_is_lost_between_threads() -> None:
    counter, histogram = Counter(), Histogram()

    def work() -> None:
        for _ in range(20_000):
            counter.inc()
            histogram.observe(0.1)

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert (counter.value, histogram.count) == (80_000, 80_000)


def test_a_counter_does_not_shrink_and_a_metric_keeps_its_kind_and_labels() -> None:
    registry = Registry()

    with pytest.raises(AssertionError, match="only grows"):
        registry.counter(RECORDS_APPENDED).inc(-1)
    with pytest.raises(AssertionError, match="is a counter"):
        registry.gauge(RECORDS_APPENDED)
    with pytest.raises(AssertionError, match="has the labels"):
        registry.counter(RPCS, "Produce")
