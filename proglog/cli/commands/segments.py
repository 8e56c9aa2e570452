"""List the segments of an agent's log: offsets, records, bytes, time range, index. With --verify, check them.

--verify reads one segment, given by its first offset, or all of them, and checks every batch and the index while the
agent keeps serving. Changes nothing; exits 1 on damage. `proglog verify DIR` checks a stopped agent's directory.
"""

import json
from contextlib import ExitStack
from dataclasses import asdict, replace
from typing import TYPE_CHECKING, Annotated

import typer

from proglog.cli import diagnostics, options, output, tables
from proglog.cli.exit_codes import ExitCode
from proglog.cli.output import Format, Table
from proglog.cli.snapshots import PastFlags, run
from proglog.errors import ConfigError, UnavailableError
from proglog.observe.columns import Column
from proglog.observe.spans import Role
from proglog.wire.model import ClusterSnapshot

if TYPE_CHECKING:
    from proglog.client import Client
    from proglog.wire.model import DamagedRange, Verified

PROBLEMS: Table["DamagedRange"] = Table(
    columns=(
        Column(title="OFFSETS", value=lambda problem: f"{problem.start_offset} to {problem.end_offset}", limit=40),
        Column(title="WHAT", value=lambda problem: problem.detail, limit=200),
    ),
    data=lambda _: {},
    role=lambda _: Role.BAD,
)
_ALL = "all"


def main(
    output_: options.Output = output.Format.TABLE,
    watch: options.Watch = False,
    verify: Annotated[
        str | None,
        typer.Option("--verify", metavar="OFFSET|all", help="Check the segment that begins at OFFSET, or all"),
    ] = None,
    *,
    past: PastFlags,
    agent: options.AgentFlags,
) -> None:
    if verify is not None and (watch or past.replay or past.at):
        raise ConfigError("--verify checks an agent's live log and cannot be combined with --watch, --replay or --at")
    base_offset = _base_offset(verify) if verify is not None else None
    if verify is not None:
        done = agent.with_client(lambda client: _verify(client, base_offset))
        _write(done, output_)
        if done.problems:
            raise typer.Exit(ExitCode.REFUSED)
        return

    def write(snapshot: ClusterSnapshot) -> None:
        output.items(tables.segments(snapshot), tables.SEGMENTS, output_)

    run(write, agent, past, watch=watch, segments=True)


def _base_offset(text: str) -> int | None:
    if text == _ALL:
        return None
    if not (text.isascii() and text.isdigit() and len(text) < 19):
        raise ConfigError(f"--verify {text!r:.40}: expected the first offset of a segment, or all")
    return int(text)


async def _verify(client: "Client", base_offset: int | None) -> "Verified":
    done: Verified | None = None
    with ExitStack() as stack:
        async for following in client.verify(base_offset):
            if done is None:
                progress = diagnostics.progress("verifying", following.bytes_total, unit="bytes")
                meter = stack.enter_context(progress)
            meter.advance(following.bytes_done - (done.bytes_done if done else 0))
            done = following
    if done is None or not done.finished:
        raise UnavailableError(f"{client.addr} ended the verification before it was complete")
    return done


def _write(done: "Verified", format_: Format) -> None:
    if format_ in (Format.JSON, Format.JSONL):
        output.line(json.dumps(asdict(done), indent=2 if format_ is Format.JSON else None))
        return
    whole = f"{done.batches:,} batches, {done.records:,} records: every batch is whole, and the index finds them"
    output.items(done.problems, replace(PROBLEMS, empty=whole), format_)
