"""Measure produce, consume and replication: rates in a closed loop, latencies at a fixed rate in an open loop.

`bench produce` sends as fast as it can, one record at a time, and then at --rate (by default half of what it reached);
`consume` reads; `replicate` counts until the other agents have the records; `e2e` counts from a record's due time until a
consumer of the last agent has it. Latencies are free of coordinated omission: a stall counts against every record that
was due meanwhile. `bench compare A B` compares two results of -o json.

Without --addr, starts agents with TLS and access rules in a temporary directory, measures them, and removes them. With
--addr the records stay in that agent's log, so --yes is required. Figures describe this machine at this moment: compare
them only with others from the same run.

    proglog bench produce --records 20k -o json
    proglog bench e2e --records 10k --rate 5k --nodes 2
"""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from proglog.cli import diagnostics, options, output
from proglog.cli.measure import FigureShape, MachineShape
from proglog.cli.output import Format, Table
from proglog.cli.serve_config import choice
from proglog.cli.shapes import Shape
from proglog.client import DEFAULT_TIMEOUT
from proglog.errors import ConfigError
from proglog.observe.columns import Column
from proglog.observe.words import bytes_words, count_words
from proglog.quantities import count, size
from proglog.types import counted

if TYPE_CHECKING:
    from proglog.client import Client

WHATS = ("all", "produce", "consume", "replicate", "e2e", "compare")
SINGLES = 200
"""Records that are sent one by one."""
_OPEN_SECONDS = 10
"""An open loop lasts at most so long by default."""


@dataclass(frozen=True, slots=True, kw_only=True)
class BenchShape:
    """The result of a run."""

    machine: MachineShape
    nodes: int
    value_bytes: int
    figures: tuple[FigureShape, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class ComparisonShape:
    """A figure in two results."""

    name: str
    """The figure and what of it: produce closed records_per_s, produce open p99_ms."""
    a: float
    b: float
    change_percent: float | None
    """From A to B."""
    better: bool | None
    """Whether B is; null: the same."""


BENCH = Shape("bench", BenchShape, many=False)
COMPARISON = Shape("bench-comparison", ComparisonShape)
SHAPES = (BENCH, COMPARISON)


def _ms(value: float) -> str:
    return f"{value:,.1f} ms" if value >= 1 else f"{value:.2f} ms"


def _percentile(name: str) -> Any:
    return lambda figure: None if figure.latency is None else getattr(figure.latency, name)


FIGURES: Table[FigureShape] = Table(
    columns=(
        Column(title="WHAT", value=lambda figure: f"{figure.name}, {figure.loop}", limit=60),
        Column(title="RECORDS/S", value=lambda figure: round(figure.records_per_s), words=count_words, right=True),
        Column(title="VALUES/S", value=lambda figure: figure.value_bytes_per_s, words=bytes_words, right=True, rank=2),
        Column(title="P50", value=_percentile("p50_ms"), words=_ms, right=True),
        Column(title="P99", value=_percentile("p99_ms"), words=_ms, right=True),
        Column(title="P99.9", value=_percentile("p999_ms"), words=_ms, right=True, rank=1),
        Column(title="MAX", value=_percentile("max_ms"), words=_ms, right=True, rank=3),
    ),
    shape=Shape("figures", FigureShape),
)
COMPARED: Table[ComparisonShape] = Table(
    columns=(
        Column(title="WHAT", value=lambda row: row.name, limit=60),
        Column(title="A", value=lambda row: row.a, words=lambda value: f"{value:,.1f}", right=True),
        Column(title="B", value=lambda row: row.b, words=lambda value: f"{value:,.1f}", right=True),
        Column(title="CHANGE", value=lambda row: row.change_percent, words=lambda value: f"{value:+.1f}%", right=True),
        Column(title="", value=lambda row: {True: "better", False: "worse", None: "the same"}[row.better]),
    ),
    shape=COMPARISON,
    empty="the two results have no figure in common",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class BenchFlags(options.AgentFlags):
    """The agent is measured only where it is named."""

    addr: Annotated[
        str | None,
        typer.Option(
            "--addr",
            envvar="PROGLOG_BENCH_ADDR",  # not the one of the other verbs: a benchmark writes
            metavar="HOST:PORT",
            help="Agent to measure; the records stay in its log",
        ),
    ] = None  # type: ignore[assignment]  # left out, agents are started


def main(
    words: Annotated[
        list[str] | None,
        typer.Argument(metavar="[all|produce|consume|replicate|e2e|compare A B]", help="What to measure; default: all"),
    ] = None,
    records: Annotated[str, typer.Option("--records", metavar="N", help="Records to send: 500k, 1M")] = "1M",
    value_bytes: Annotated[str, typer.Option("--value-bytes", metavar="SIZE", help="Size of each value")] = "100",
    rate: Annotated[
        str,
        typer.Option("--rate", metavar="N", help="Records a second of the open loop; default: half of the closed one"),
    ] = "",
    nodes: Annotated[int, typer.Option("--nodes", metavar="N", help="Agents to start when --addr is not given")] = 0,
    output_: options.Output = Format.TABLE,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Confirm writing to the agent at --addr")] = False,
    *,
    agent: BenchFlags,
) -> None:
    what, *files = words or ["all"]
    choice("WHAT", what, WHATS)
    if what == "compare":
        _compare(files, output_)
        return
    if files:
        raise ConfigError(f"{files[0]!r:.60}: expected one of {', '.join(WHATS)}; only compare takes files")
    plan = _Plan(
        what=what,
        records=_within("--records", count("--records", records), 10**9),
        value_bytes=_within("--value-bytes", size("--value-bytes", value_bytes), 1 << 20),
        nodes=_within("--nodes", nodes or (2 if what in ("replicate", "e2e") else 1), 9),
        rate=count("--rate", rate) if rate else 0,
    )
    if agent.addr is not None and not yes:
        raise ConfigError(
            f"this leaves {plan.records:,} records in the log of {agent.addr}: pass --yes, or omit --addr"
        )
    if agent.addr is not None:
        figures = agent.with_clients(lambda clients: _measure(clients, plan))
    else:
        figures = _measure_own(plan)
    _write(figures, plan, output_)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Plan:
    what: str
    records: int
    value_bytes: int
    nodes: int
    rate: int


def _within(flag: str, value: int, most: int) -> int:
    if not 1 <= value <= most:
        raise ConfigError(f"{flag} {value}: expected 1 to {most:,}")
    return value


def _measure_own(plan: _Plan) -> list[FigureShape]:
    from proglog.cli.demo.cluster import DemoCluster
    from proglog.cli.interruption import interruptible

    diagnostics.note(f"starting {counted(plan.nodes, 'agent')} with TLS in a temporary directory")
    with interruptible(), DemoCluster(size=plan.nodes) as cluster:
        addrs = [node.rpc_addr for node in cluster.nodes]
        return options.with_clients(addrs, cluster.tls, DEFAULT_TIMEOUT, lambda clients: _measure(clients, plan))


async def _measure(clients: "list[Client]", plan: _Plan) -> list[FigureShape]:
    import time

    from proglog.cli import measure

    first, others = clients[0], clients[1:]
    size_, everything = plan.value_bytes, plan.what == "all"
    figures: list[FigureShape] = []
    start = (await first.status()).log.end_offset
    if plan.what in ("all", "produce"):
        figures.append(await measure.one_by_one(first, min(SINGLES, plan.records), size_))
    began = time.perf_counter()
    bulk = await measure.produce(first, plan.records, size_)
    if plan.what in ("all", "produce"):
        figures.append(bulk)
    end = (await first.status()).log.end_offset
    for other in others:  # also before an open loop: it would measure how they catch up
        copy = await measure.copied(other, f"replicate to {other.addr}", end, plan.records, size_, began)
        figures += [copy] if plan.what in ("all", "replicate") else []
    if plan.what in ("all", "consume"):
        figures.append(await measure.consume(first, start, end - start, size_))
    rate = plan.rate or max(1.0, round(bulk.records_per_s / 2))
    timed = max(1, min(plan.records, round(rate * _OPEN_SECONDS)))
    if everything or plan.what == "produce":
        figures.append(await measure.produce_at(first, rate, timed, size_))
    if plan.what == "e2e" or (everything and others):
        figures.append(await measure.end_to_end(first, clients[-1], rate, timed, size_))
    return figures


def _write(figures: list[FigureShape], plan: _Plan, format_: Format) -> None:
    from proglog.cli.measure import machine

    facts = machine()
    if format_ is not Format.TABLE:
        made = BenchShape(machine=facts, nodes=plan.nodes, value_bytes=plan.value_bytes, figures=tuple(figures))
        output.one(made, BENCH, format_)
        return
    output.items(figures, FIGURES, format_)
    diagnostics.note(
        f"{plan.value_bytes:,} bytes a value; {facts.cpus} CPUs, load {facts.load_1m}, {facts.system}, Python {facts.python}"
    )


def _compare(files: list[str], format_: Format) -> None:
    if len(files) != 2:
        raise ConfigError("expected `proglog bench compare A B`: two results of `proglog bench -o json`")
    first, second = (_figures(Path(file)) for file in files)
    rows = [_row(name, first[name], second[name]) for name in first if name in second]
    output.items(rows, COMPARED, format_)


def _row(name: str, a: float, b: float) -> ComparisonShape:
    change = round((b - a) / a * 100, 2) if a else None
    better = None if a == b else (b > a) is name.endswith("_per_s")
    return ComparisonShape(name=name, a=a, b=b, change_percent=change, better=better)


def _figures(path: Path) -> dict[str, float]:
    """Return the figures of a result that can be compared, by name.

    Raises:
        ConfigError: It is no result.
    """
    try:
        content = json.loads(path.read_bytes())
        if content["schema"] != BENCH.id:
            raise ConfigError(f"{path} has the schema {content['schema']!r:.60}; expected {BENCH.id!r}")
        found = {}
        for each in content["figures"]:
            name = f"{each['name'].partition(' to ')[0]} {each['loop']}"
            found[f"{name} records_per_s"] = float(each["records_per_s"])
            for key in ("p50_ms", "p99_ms", "p999_ms") if each["latency"] else ():
                found[f"{name} {key}"] = float(each["latency"][key])
    except OSError as exc:
        raise ConfigError(f"{path}: {exc.strerror}") from exc
    except (ValueError, KeyError, TypeError, RecursionError) as exc:
        raise ConfigError(f"{path} is no result of `proglog bench -o json`: {exc!r:.100}") from exc
    return found
