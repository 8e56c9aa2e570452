"""Metrics as Prometheus gets them."""

from urllib.request import urlopen

import pytest
from prometheus_client.parser import text_string_to_metric_families

from proglog.errors import ConfigError
from proglog.telemetry.metrics import Metrics


def scrape(metrics: Metrics) -> dict[str, float]:
    """Each sample's value by its name and labels."""
    with urlopen(f"http://{metrics.host}:{metrics.port}/metrics", timeout=5) as answer:
        text = answer.read().decode()
    return {
        f"{sample.name}{sorted(sample.labels.items())}": sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


def test_calls_are_counted_by_method_and_code() -> None:
    with Metrics("127.0.0.1", 0) as metrics:
        metrics.call_ended("/a/B", "OK", 0.003, 10, 20)
        metrics.call_ended("/a/B", "OK", 0.2, 1, 2)
        metrics.call_ended("/a/B", "UNAVAILABLE", 0.2, 0, 0)

        found = scrape(metrics)

    assert found["proglog_rpcs_total[('code', 'OK'), ('method', '/a/B')]"] == 2
    assert found["proglog_rpcs_total[('code', 'UNAVAILABLE'), ('method', '/a/B')]"] == 1
    assert found["proglog_rpc_seconds_count[('method', '/a/B')]"] == 3
    assert found["proglog_rpc_received_bytes_total[('method', '/a/B')]"] == 11
    assert found["proglog_rpc_sent_bytes_total[('method', '/a/B')]"] == 22
    assert found["process_resident_memory_bytes[]"] > 1_000_000
    assert found["proglog_rpc_seconds_bucket[('le', '0.005'), ('method', '/a/B')]"] == 1


def test_a_taken_address_is_one_line() -> None:
    with Metrics("127.0.0.1", 0) as metrics, pytest.raises(ConfigError, match=f"--metrics-addr .*:{metrics.port}: "):
        Metrics("127.0.0.1", metrics.port).__enter__()
