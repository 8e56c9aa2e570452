"""Tracing: spans of calls, appends and copies reach a collector; a caller's trace continues; without the flag, nothing is imported."""

import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import grpc
import pytest
from opentelemetry.proto.collector.trace.v1 import trace_service_pb2 as pb
from opentelemetry.proto.collector.trace.v1 import trace_service_pb2_grpc

from proglog.agent.config import AgentConfig
from proglog.api.v1 import log_pb2, log_pb2_grpc
from proglog.errors import ConfigError
from proglog.testing.cluster import LocalCluster
from proglog.testing.processes import AgentProcess
from proglog.types import NodeName

Eventually = Callable[..., None]
TRACE = "0af7651916cd43dd8448eb211c80319c"


class Collector(trace_service_pb2_grpc.TraceServiceServicer):
    """Keeps what agents send: (node, span)."""

    def __init__(self) -> None:
        self.spans: list[tuple[str, Any]] = []

    def Export(  # noqa: N802 - gRPC's name
        self, request: pb.ExportTraceServiceRequest, context: object
    ) -> pb.ExportTraceServiceResponse:
        del context
        for resource in request.resource_spans:
            node = next(
                each.value.string_value for each in resource.resource.attributes if each.key == "service.instance.id"
            )
            self.spans += [(node, span) for scope in resource.scope_spans for span in scope.spans]
        return pb.ExportTraceServiceResponse()

    def named(self, node: str, name: str) -> list[Any]:
        return [span for each, span in self.spans if (each, span.name) == (node, name)]


@contextmanager
def collector() -> Iterator[tuple[Collector, str]]:
    server, made = grpc.server(ThreadPoolExecutor(2)), Collector()
    trace_service_pb2_grpc.add_TraceServiceServicer_to_server(made, server)
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    try:
        yield made, f"http://127.0.0.1:{port}"
    finally:
        server.stop(0)


def produce(agent: AgentProcess, value: bytes, parent: str = "") -> None:
    with grpc.insecure_channel(agent.rpc_addr) as channel:
        request = log_pb2.ProduceRequest(record=log_pb2.Record(value=value))
        metadata = (("traceparent", parent),) if parent else ()
        log_pb2_grpc.LogStub(channel).Produce(request, metadata=metadata, timeout=10)


def test_calls_appends_and_copies_are_spans_and_a_callers_trace_continues(
    tmp_path: Path, eventually_sync: Eventually
) -> None:
    with collector() as (collected, endpoint), LocalCluster(tmp_path, "ab", flags={"trace-endpoint": endpoint}) as both:
        produce(both["a"], b"secret", parent=f"00-{TRACE}-b7ad6b7169203331-01")
        with pytest.raises(grpc.RpcError), grpc.insecure_channel(both["a"].rpc_addr) as channel:
            log_pb2_grpc.LogStub(channel).Consume(log_pb2.ConsumeRequest(offset=1 << 40), timeout=10)
        eventually_sync(lambda: bool(collected.named("b", "replicate")), timeout=30)
        eventually_sync(lambda: bool(collected.named("a", "log.v1.Log/Consume")), timeout=30)
        both["a"].stop()  # sends what waits

    (call,) = collected.named("a", "log.v1.Log/Produce")
    assert (call.trace_id.hex(), call.parent_span_id.hex()) == (TRACE, "b7ad6b7169203331")
    assert call.end_time_unix_nano > call.start_time_unix_nano
    (refused,) = collected.named("a", "log.v1.Log/Consume")
    assert (refused.status.code, refused.status.message) == (2, "OUT_OF_RANGE")
    assert collected.named("a", "append")
    assert not any(b"secret" in span.SerializeToString() for _, span in collected.spans)


def test_a_collector_that_is_away_costs_no_call_and_no_stop(tmp_path: Path, free_port: Callable[[], int]) -> None:
    flags = {"trace-endpoint": f"http://127.0.0.1:{free_port()}"}
    with AgentProcess("a", tmp_path, flags=flags) as agent:
        for number in range(50):
            produce(agent, b"%d" % number)
        assert agent.stop(timeout=15) < 10


@pytest.mark.parametrize(
    ("endpoint", "words"),
    [
        ("collector:4317", "expected http://HOST:PORT"),
        ("http://", "--trace-endpoint '': expected HOST:PORT"),
        ("http://collector", "--trace-endpoint 'collector': expected HOST:PORT"),
        ("https://collector:4317/v1", "--trace-endpoint 'collector:4317/v1': expected HOST:PORT"),
    ],
)
def test_what_is_no_endpoint_is_refused_before_anything_is_opened(endpoint: str, words: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=re.escape(words)):
        AgentConfig(
            node_name=NodeName("a"), data_dir=tmp_path / "data", bind_addr="127.0.0.1:0", trace_endpoint=endpoint
        )
    assert not (tmp_path / "data").exists()


def test_nothing_is_imported_while_it_is_off() -> None:
    script = (
        "import sys, proglog.agent.opening, proglog.agent.run, proglog.cli.commands.serve\n"
        "sys.exit(any(name.startswith('opentelemetry') for name in sys.modules))"
    )
    assert subprocess.run([sys.executable, "-c", script], timeout=60, check=False).returncode == 0
