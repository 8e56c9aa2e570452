"""What an agent and its client do against the ceiling: a gRPC peer that does nothing with messages of the same size.

Mutual TLS and a sync before each answer, as by default; agent, client and null peer are processes of their own.
"""

import tempfile
from collections.abc import Iterator
from pathlib import Path

from benchmarks import ends
from benchmarks.measure import Comparison, compare, touch_page_cache
from proglog.security.devcerts import DevCerts, create_dev_certs
from proglog.testing.processes import AgentProcess

CALLERS = 100
"""Tasks of a web service that each send a record and wait for it: seconds of one = CALLERS / rate."""


def run(*, full: bool) -> Iterator[Comparison]:
    """Yield a comparison a path."""
    batches, calls, rounds = (2_000, 8_000, 5) if full else (20, 100, 1)
    with tempfile.TemporaryDirectory(prefix="proglog-bench-") as scratch:
        directory = Path(scratch)
        certs = create_dev_certs(directory / "certs")
        touch_page_cache(2 * rounds * batches * ends.BATCH_BYTES, directory)
        with ends.null_peer(certs.directory) as null:
            yield from batches_both_ways(directory, certs, null, batches, rounds)
            with AgentProcess("unary", directory, flags=tls_flags(certs)) as agent:
                paths = [("unary", f"one record a call, {at} in flight", at, calls) for at in (1, 8, 64)]
                paths.append(("awaited", f"one producer, {CALLERS} callers that wait", CALLERS, calls * 4))
                for work, name, at_once, count in paths:
                    yield compare(
                        name,
                        "calls/s",
                        "a null echo",
                        subject=lambda work=work, at=at_once, count=count: ends.rate(
                            work, agent.rpc_addr, certs=certs.directory, count=count, at_once=at
                        ),
                        yardstick=lambda at=at_once: ends.rate(
                            "null-echo", null, certs=certs.directory, count=calls, at_once=at
                        ),
                        rounds=rounds,
                    )


def batches_both_ways(
    directory: Path, certs: DevCerts, null: str, batches: int, rounds: int
) -> tuple[Comparison, Comparison]:
    """Compare with a log of its own each round: a produce pass, then a consume pass over it."""
    up: tuple[list[float], list[float]] = ([], [])
    down: tuple[list[float], list[float]] = ([], [])
    for number in range(rounds):
        up[1].append(ends.rate("null-sink", null, certs=certs.directory, count=batches))
        with AgentProcess(f"batches-{number}", directory, flags=tls_flags(certs)) as agent:
            up[0].append(ends.rate("produce", agent.rpc_addr, certs=certs.directory, count=batches))
            down[1].append(ends.rate("null-source", null, certs=certs.directory, count=batches))
            down[0].append(ends.rate("consume", agent.rpc_addr, certs=certs.directory, count=batches))
    return (
        Comparison("batch produce", "MB/s", "a null sink", *up),
        Comparison("batch consume", "MB/s", "a null source", *down),
    )


def tls_flags(certs: DevCerts) -> dict[str, str]:
    """Return an agent's flags for mutual TLS."""
    files = {"server": certs.server, "peer": certs.peer}
    return {
        f"{side}-tls-{what}-file": str(path)
        for side, tls in files.items()
        for what, path in (("cert", tls.cert_file), ("key", tls.key_file), ("ca", tls.ca_file))
    }
