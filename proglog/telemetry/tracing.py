"""Spans of calls, appends and copies for OpenTelemetry: off unless ``serve --trace-endpoint`` names a collector.

The one module that imports OpenTelemetry, and only then. A span is recorded when what it shows has ended, on a bounded queue
that a thread of the library empties: a collector that is slow or gone costs spans, never a call. A call's span continues the
trace of its caller's ``traceparent``. Spans name methods, subjects, sizes and outcomes; never keys, values or addresses.
"""

import time
from collections.abc import Mapping
from functools import partial
from typing import TYPE_CHECKING, Any

from proglog import __version__
from proglog.addr import split_addr
from proglog.errors import ConfigError

if TYPE_CHECKING:
    from opentelemetry.sdk.trace.export import SpanExporter

EXPORT_SECONDS = 2
"""How long one export may take, and the last one when the agent stops."""
TRACEPARENT = "traceparent"


def check_endpoint(endpoint: str) -> None:
    """Return if ``endpoint`` is http://HOST:PORT or https://HOST:PORT.

    Raises:
        ConfigError: It is not.
    """
    scheme, _, addr = endpoint.partition("://")
    if scheme not in ("http", "https"):
        raise ConfigError(f"--trace-endpoint {endpoint!r}: expected http://HOST:PORT, or https:// for TLS")
    split_addr(addr, "--trace-endpoint")


class Tracing:
    """Spans of one agent."""

    def __init__(self, endpoint: str, node_name: str) -> None:
        """Send spans to ``endpoint``, as :func:`check_endpoint` takes it, over OTLP/gRPC.

        Raises:
            ConfigError: The extra is not installed.
        """
        try:
            from opentelemetry.exporter.otlp.proto.grpc.trace_exporter import OTLPSpanExporter
            from opentelemetry.sdk.resources import Resource
            from opentelemetry.sdk.trace import TracerProvider
            from opentelemetry.sdk.trace.export import BatchSpanProcessor
            from opentelemetry.trace import SpanKind, Status, StatusCode
            from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator
        except ImportError as exc:
            raise ConfigError(
                "--trace-endpoint needs OpenTelemetry: install proglog-cluster with the extra `tracing`"
            ) from exc
        exporter: SpanExporter = OTLPSpanExporter(
            endpoint=endpoint, insecure=endpoint.startswith("http://"), timeout=EXPORT_SECONDS
        )
        resource = Resource.create({"service.name": "proglog", "service.instance.id": node_name})
        self._provider = TracerProvider(resource=resource, shutdown_on_exit=False)
        self._provider.add_span_processor(BatchSpanProcessor(exporter))
        self._tracer = self._provider.get_tracer("proglog", __version__)
        self._propagator = TraceContextTextMapPropagator()
        self._kinds = {True: SpanKind.SERVER, False: SpanKind.INTERNAL}
        self._failed = partial(Status, StatusCode.ERROR)

    def ended(self, name: str, seconds: float, **attributes: str | float) -> None:
        """Record what has just ended after so many seconds."""
        self._record(name, seconds, attributes)

    def call_ended(self, method: str, code: str, seconds: float, traceparent: str, **attributes: str | float) -> None:
        """Record a call, below the span that its caller named."""
        service, _, name = method.strip("/").rpartition("/")
        facts = {"rpc.system": "grpc", "rpc.service": service, "rpc.method": name, "rpc.grpc.status": code}
        error = "" if code in ("OK", "CANCELLED") else code
        self._record(method.strip("/"), seconds, {**facts, **attributes}, traceparent, error, is_call=True)

    def close(self) -> None:
        """Send what waits, for a while, and end. Blocks."""
        self._provider.shutdown()

    def _record(
        self,
        name: str,
        seconds: float,
        attributes: Mapping[str, str | float],
        traceparent: str = "",
        error: str = "",
        *,
        is_call: bool = False,
    ) -> None:
        end = time.time_ns()
        context: Any = self._propagator.extract({TRACEPARENT: traceparent}) if traceparent else None
        span = self._tracer.start_span(
            name, context, self._kinds[is_call], attributes, start_time=end - int(seconds * 1e9)
        )
        if error:
            span.set_status(self._failed(error))
        span.end(end)
