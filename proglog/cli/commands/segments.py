"""List the segments of an agent's log: offsets, records, bytes, time range, index. Or have the agent check them.

--verify reads a segment, by its first offset, or all of them, and checks every batch and the index, while the agent goes
on; it changes nothing, and exits 1 if something is wrong. `proglog verify DIR` checks a stopped agent's directory.
"""

import json
from contextlib import ExitStack
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated

import typer

from proglog.cli import diagnostics, options, output, tables
from proglog.cli.exit_codes import ExitCode
from proglog.cli.output import Column, Format, Row
from proglog.cli.show import At, Replay, show
from proglog.client import DEFAULT_ADDR, DEFAULT_TIMEOUT
from proglog.errors import ConfigError, UnavailableError

if TYPE_CHECKING:
    from proglog.client import Client
    from proglog.wire.model import Verified

PROBLEMS = (Column("offsets", "OFFSETS"), Column("what", "WHAT", max_cells=200))
_ALL = "all"


def main(
    output_: options.Output = output.Format.TABLE,
    watch: options.Watch = False,
    verify: Annotated[
        str | None,
        typer.Option("--verify", metavar="OFFSET|all", help="Check the segment that begins at OFFSET, or all"),
    ] = None,
    replay: Replay = None,
    at: At = None,
    addr: options.Addr = DEFAULT_ADDR,
    tls_ca_file: options.TLSCa = None,
    tls_cert_file: options.TLSCert = None,
    tls_key_file: options.TLSKey = None,
    timeout: options.Timeout = DEFAULT_TIMEOUT,
) -> None:
    if verify is not None and (watch or replay or at):
        raise ConfigError("--verify checks an agent's log as it is now: --watch, --replay and --at do not go with it")
    base_offset = _base_offset(verify) if verify is not None else None
    tls = options.tls_files(tls_ca_file, tls_cert_file, tls_key_file)
    if verify is not None:
        done = options.with_client(addr, tls, timeout, lambda client: _verify(client, base_offset))
        _write(done, output_)
        if done.problems:
            raise typer.Exit(ExitCode.REFUSED)
        return
    show(
        addr,
        tls,
        timeout,
        lambda snapshot: output.rows(tables.segments(snapshot), tables.SEGMENTS, output_, empty="no segments"),
        watch=watch,
        replay=replay,
        at=at,
        segments=True,
    )


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
        raise UnavailableError(f"{client.addr} ended the verification before it was through")
    return done


def _write(done: "Verified", format_: Format) -> None:
    if format_ in (Format.JSON, Format.JSONL):
        output.line(json.dumps(asdict(done), indent=2 if format_ is Format.JSON else None))
        return
    rows = [
        Row({"offsets": f"{problem.start_offset} to {problem.end_offset}", "what": problem.detail}, {}, "bad")
        for problem in done.problems
    ]
    whole = f"{done.batches:,} batches, {done.records:,} records: every batch is whole, and the index finds them"
    output.rows(rows, PROBLEMS, format_, empty=whole)
