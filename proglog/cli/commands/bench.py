"""Measure produce, consume and replication throughput, on temporary agents or on a running one.

Without --addr, starts agents with TLS and access rules in a temporary directory, measures them, and removes them. With
--addr the records stay in that agent's log, so --yes is required. Figures describe this machine at this moment: compare
them only with others from the same run.
"""

import time
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Annotated, Any

import typer

from proglog.cli import diagnostics, options, output
from proglog.cli.output import Format, Table
from proglog.client import DEFAULT_TIMEOUT
from proglog.errors import ConfigError
from proglog.observe.columns import Column

if TYPE_CHECKING:
    from proglog.client import Client

LATENCY_SAMPLES = 200
CHUNK_RECORDS = 10_000
WATCH_INTERVAL = 0.02


@dataclass(frozen=True, slots=True)
class Figure:
    """One thing that was measured."""

    what: str
    value: float
    unit: str
    detail: str


def _figure_words(figure: Figure) -> str:
    number = f"{figure.value:,.0f}" if figure.value >= 100 else f"{figure.value:,.2f}"
    return f"{number} {figure.unit}"


FIGURES: Table[Figure] = Table(
    columns=(
        Column(title="WHAT", value=lambda figure: figure.what, limit=40),
        Column(title="FIGURE", value=_figure_words, right=True),
        Column(title="DETAIL", value=lambda figure: figure.detail, limit=80),
    ),
    data=asdict,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class BenchFlags(options.AgentFlags):
    """The agent is measured only where it is named."""

    addr: Annotated[
        str | None,
        typer.Option("--addr", metavar="HOST:PORT", help="Agent to measure; the records stay in its log"),
    ] = None  # type: ignore[assignment]  # left out, agents are started


def main(
    records: Annotated[int, typer.Option("--records", metavar="N", help="Records to send")] = 1_000_000,
    value_bytes: Annotated[int, typer.Option("--value-bytes", metavar="N", help="Size of each value")] = 100,
    nodes: Annotated[int, typer.Option("--nodes", metavar="N", help="Agents to start when --addr is not given")] = 1,
    output_: Annotated[Format, typer.Option("--output", "-o", help="How to write the figures")] = Format.TABLE,
    yes: Annotated[bool, typer.Option("--yes", help="Confirm writing to the agent at --addr")] = False,
    *,
    agent: BenchFlags,
) -> None:
    for flag, value, most in (
        ("--records", records, 10**9),
        ("--value-bytes", value_bytes, 1 << 20),
        ("--nodes", nodes, 9),
    ):
        if not 1 <= value <= most:
            raise ConfigError(f"{flag} {value}: expected 1 to {most:,}")
    if agent.addr is not None and not yes:
        raise ConfigError(f"this leaves {records:,} records in the log of {agent.addr}: pass --yes, or omit --addr")
    if agent.addr is not None:
        figures = agent.with_client(lambda client: _measure(client, records, value_bytes))
    else:
        figures = _measure_own(records, value_bytes, nodes)
    output.items(figures, FIGURES, output_)


def _measure_own(records: int, value_bytes: int, nodes: int) -> list[Figure]:
    from proglog.cli.demo.cluster import DemoCluster
    from proglog.cli.interruption import interruptible

    diagnostics.note(f"starting {nodes} agent{'s' if nodes > 1 else ''} with TLS in a temporary directory")
    with interruptible(), DemoCluster(size=nodes) as cluster:
        others = [node.rpc_addr for node in cluster.nodes[1:]]

        async def measure(clients: "list[Client]") -> list[Figure]:
            return await _measure(clients[0], records, value_bytes, others, cluster.tls)

        return options.with_clients([cluster.nodes[0].rpc_addr], cluster.tls, DEFAULT_TIMEOUT, measure)


async def _measure(
    client: "Client", records: int, value_bytes: int, others: "list[str] | None" = None, tls: Any = None
) -> list[Figure]:
    start = (await client.status()).log.end_offset
    figures = [await _latency(client, value_bytes)]
    started = time.perf_counter()
    figures.append(await _produce(client, records, value_bytes))
    end = start + LATENCY_SAMPLES + records
    figures += [await _copied(addr, tls, end, records, started) for addr in others or ()]
    figures.append(await _consume(client, start, records + LATENCY_SAMPLES, value_bytes))
    return figures


async def _latency(client: "Client", value_bytes: int) -> Figure:
    samples = []
    async with client.producer() as producer:
        for _ in range(LATENCY_SAMPLES):
            started = time.perf_counter()
            await producer.send_values([bytes(value_bytes)])
            await producer.flush()
            samples.append((time.perf_counter() - started) * 1000)
    samples.sort()
    late = samples[int(len(samples) * 0.99)]
    return Figure(
        "acknowledged", samples[len(samples) // 2], "ms", f"one record at a time, median; 99 of 100 in {late:.1f} ms"
    )


async def _produce(client: "Client", records: int, value_bytes: int) -> Figure:
    values = [b"%0*d" % (value_bytes, number) for number in range(min(records, CHUNK_RECORDS))]
    values = [value[-value_bytes:] for value in values]
    with diagnostics.progress("producing", records) as meter:
        started = time.perf_counter()
        async with client.producer() as producer:
            left = records
            while left:
                chunk = values[:left]
                await producer.send_values(chunk)
                left -= len(chunk)
                meter.advance(len(chunk))
        seconds = time.perf_counter() - started
    return _rate("produce", records, value_bytes, seconds)


async def _copied(addr: str, tls: Any, end_offset: int, records: int, started: float) -> Figure:
    from proglog.client import connect

    async with connect(addr, tls=tls) as client:
        async for snapshot in client.watch(min_interval=WATCH_INTERVAL):
            if snapshot.log.end_offset >= end_offset:
                break
    seconds = time.perf_counter() - started
    return Figure("copied", records / seconds, "records/s", f"from the first record sent until {addr} had the last")


async def _consume(client: "Client", start: int, records: int, value_bytes: int) -> Figure:
    from proglog.client.offset_spec import OffsetSpec

    count = 0
    with diagnostics.progress("consuming", records) as meter:
        started = time.perf_counter()
        async for fetched in client.consume(OffsetSpec.offset(start), OffsetSpec.offset(start + records)):
            taken = len(fetched.values())
            count += taken
            meter.advance(taken)
        seconds = time.perf_counter() - started
    return _rate("consume", count, value_bytes, seconds)


def _rate(what: str, records: int, value_bytes: int, seconds: float) -> Figure:
    megabytes = records * value_bytes / seconds / 1e6
    detail = f"{records:,} records of {value_bytes} bytes in {seconds:.2f} s: {megabytes:,.0f} MB/s"
    return Figure(what, records / seconds, "records/s", detail)
