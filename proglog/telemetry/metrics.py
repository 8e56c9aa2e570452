"""Metrics over HTTP, for Prometheus: outcomes of calls, the process, and the collectors that an agent adds.

A registry belongs to one agent, so that agents in one process do not mix. Names come from
:mod:`proglog.telemetry.metric_names`. The HTTP server is prometheus_client's, on its own threads: a hanging scrape blocks
nothing else.
"""

from types import TracebackType
from typing import Self

from prometheus_client import (
    CollectorRegistry,
    Counter,
    GCCollector,
    Histogram,
    PlatformCollector,
    ProcessCollector,
    start_http_server,
)
from prometheus_client.registry import Collector

from proglog.errors import ConfigError
from proglog.telemetry import metric_names

SECONDS_BUCKETS = (
    0.0001,
    0.00025,
    0.0005,
    0.001,
    0.0025,
    0.005,
    0.01,
    0.025,
    0.05,
    0.1,
    0.25,
    0.5,
    1.0,
    2.5,
    5.0,
    10.0,
)
"""Upper bounds that fit a call on loopback as well as one over a bad network."""


class Metrics:
    """One agent's registry, and the endpoint that serves it while it is entered."""

    def __init__(self, host: str, port: int) -> None:
        """Keep the address; nothing listens yet. Port 0: any free one."""
        self.registry = CollectorRegistry()
        self.port = port
        """The one that is served, once entered."""
        self.host = host
        self._calls = Counter(
            metric_names.RPCS.name, metric_names.RPCS.meaning, metric_names.RPCS.labels, registry=self.registry
        )
        self._seconds = Histogram(
            metric_names.RPC_SECONDS.name,
            metric_names.RPC_SECONDS.meaning,
            metric_names.RPC_SECONDS.labels,
            registry=self.registry,
            buckets=SECONDS_BUCKETS,
        )
        self._received, self._sent = (
            Counter(each.name, each.meaning, each.labels, registry=self.registry)
            for each in (metric_names.RPC_RECEIVED_BYTES, metric_names.RPC_SENT_BYTES)
        )
        for collector in (ProcessCollector, PlatformCollector, GCCollector):
            collector(registry=self.registry)

    def add(self, collector: Collector) -> None:
        """Ask ``collector`` at each scrape."""
        self.registry.register(collector)

    def call_ended(self, method: str, code: str, seconds: float, received_bytes: int, sent_bytes: int) -> None:
        """Count one call. Methods are those that the server has, so there are few series."""
        self._calls.labels(method, code).inc()
        self._seconds.labels(method).observe(seconds)
        self._received.labels(method).inc(received_bytes)
        self._sent.labels(method).inc(sent_bytes)

    def __enter__(self) -> Self:
        """Listen.

        Raises:
            ConfigError: The address cannot be bound.
        """
        try:
            self._server, self._thread = start_http_server(self.port, self.host, self.registry)
        except OSError as exc:
            raise ConfigError(f"--metrics-addr {self.host}:{self.port}: {exc.strerror or exc}") from exc
        self.port = self._server.server_port
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Stop listening."""
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()
