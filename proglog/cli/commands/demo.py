"""Start three agents on loopback, send a real file through them, and open the dashboard on the running cluster.

Each agent runs in its own process, with TLS and access control on. The file - every line of Python's standard library,
or --input - goes to the first agent, one record per line, and is read back from the third. Without a terminal, or with
--no-dash, it prints the result and stops. Removes everything at the end unless --keep DIR is given.

    proglog demo --no-dash
    proglog demo --input server.log --keep kept
"""

import tempfile
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from proglog.cli import diagnostics, options, output
from proglog.cli.exit_codes import ExitCode
from proglog.cli.output import Format
from proglog.cli.shapes import Shape
from proglog.errors import ConfigError
from proglog.types import counted

if TYPE_CHECKING:
    from proglog.cli.demo.run import Outcome


@dataclass(frozen=True, slots=True, kw_only=True)
class DemoShape:
    """What the demonstration did."""

    agrees: bool
    """Whether what came back is what was sent, byte for byte."""
    produced: int
    """Records."""
    read_back: int
    """Records."""
    bytes: int
    produce_ms: int
    read_ms: int
    sent_sha256: str
    read_sha256: str


DEMO = Shape("demo", DemoShape, many=False)
SHAPES = (DEMO,)


def main(
    input_: Annotated[
        Path | None, typer.Option("--input", metavar="FILE", help="File to send instead, one record per line")
    ] = None,
    no_dash: Annotated[bool, typer.Option("--no-dash", help="Do not open the dashboard")] = False,
    keep: Annotated[
        Path | None, typer.Option("--keep", metavar="DIR", help="Keep data, certificates and telemetry")
    ] = None,
    output_: options.Output = Format.TABLE,
) -> None:
    from proglog.cli.demo.cluster import DemoCluster
    from proglog.cli.demo.corpus import write_standard_library
    from proglog.cli.demo.run import run
    from proglog.cli.interruption import held, interruptible

    if input_ is not None and not input_.is_file():
        raise ConfigError(f"--input {input_}: no such file")
    if keep is not None and keep.exists() and (not keep.is_dir() or any(keep.iterdir())):
        raise ConfigError(f"--keep {keep}: expected an empty directory or one that does not exist yet")
    with interruptible(), ExitStack() as undo:
        source = input_
        if source is None:
            with held():
                scratch = undo.enter_context(tempfile.TemporaryDirectory(prefix="proglog-corpus-"))
            source = Path(scratch) / "standard-library.txt"
            write_standard_library(source)
        diagnostics.note("starting three agents, with TLS and access control")
        cluster = undo.enter_context(DemoCluster(keep=keep))
        outcome = options.run(run(cluster, source))
        if output_ is Format.TABLE:
            _report(outcome)
        else:
            output.one(_shaped(outcome), DEMO, output_)
        if not no_dash and output.is_interactive():
            from proglog.tui.run import run_dash

            run_dash(cluster.nodes[0].rpc_addr, cluster.tls)
    if not outcome.agrees:
        diagnostics.error("what came back is not what was sent", "please report this, with the data: --keep DIR")
        raise typer.Exit(ExitCode.REFUSED)


def _shaped(outcome: "Outcome") -> DemoShape:
    return DemoShape(
        agrees=outcome.agrees,
        produced=outcome.produced,
        read_back=outcome.read_back,
        bytes=outcome.sent_bytes,
        produce_ms=round(outcome.produce_seconds * 1000),
        read_ms=round(outcome.read_seconds * 1000),
        sent_sha256=outcome.sent_digest,
        read_sha256=outcome.read_digest,
    )


def _report(outcome: "Outcome") -> None:
    from proglog.cli import tables
    from proglog.observe.words import bytes_words

    def heading(text: str) -> None:
        output.line(f"\n{text}")

    heading(f"Members, as {outcome.first.node.name} sees them")
    output.as_table(tables.members(outcome.first), tables.MEMBERS)
    heading(f"Replication, as {outcome.last.node.name} sees it")
    output.as_table(tables.lag(outcome.last), tables.LAG)
    heading(f"Segments of {outcome.last.node.name}")
    output.as_table(tables.segments(outcome.last), tables.SEGMENTS)
    heading("Summary")
    size = bytes_words(outcome.sent_bytes)
    output.line(
        f"produced   {counted(outcome.produced, 'record')} ({size}) to {outcome.first.node.name}, {_rate(outcome.produced, outcome.produce_seconds)}"
    )
    output.line(
        f"read back  {counted(outcome.read_back, 'record')} from {outcome.last.node.name}, {_rate(outcome.read_back, outcome.read_seconds)}"
    )
    output.line(f"SHA-256    {outcome.sent_digest} sent")
    verdict = "the digests agree" if outcome.agrees else "THE DIGESTS DIFFER"
    output.line(f"           {outcome.read_digest} read back: {verdict}")
    output.flush()


def _rate(records: int, seconds: float) -> str:
    return f"{seconds:.1f} s ({records / max(seconds, 1e-9):,.0f} records/s)"
