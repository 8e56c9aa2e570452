"""Check every batch and every index of a stopped agent's data directory. Changes nothing; exits 1 if records are lost."""

import json
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from proglog.cli import options, output
from proglog.cli.exit_codes import ExitCode
from proglog.cli.output import Column, Format, Row

COLUMNS = (
    Column("severity", "SEVERITY"),
    Column("file", "FILE"),
    Column("offsets", "OFFSETS"),
    Column("what", "WHAT", max_cells=100),
)


def main(
    directory: Annotated[Path, typer.Argument(metavar="DIR", help="The data directory")],
    output_: options.Output = Format.TABLE,
) -> None:
    from proglog.cli.offline import read

    report = read(directory)
    if output_ in (Format.JSON, Format.JSONL):
        line = asdict(report) | {"ok": report.ok}
        output.line(json.dumps(line, indent=2 if output_ is Format.JSON else None))
    else:
        rows = [
            Row(
                {
                    "severity": finding.severity,
                    "file": finding.file,
                    "offsets": "-"
                    if finding.start_offset is None
                    else f"{finding.start_offset} to {finding.end_offset}",
                    "what": finding.what,
                },
                {},
                "bad" if finding.severity == "damage" else "warn",
            )
            for finding in report.findings
        ]
        held = f"{report.segment_count} segments, {report.batch_count:,} batches, {report.record_count:,} records"
        output.rows(rows, COLUMNS, output_, empty=f"{held}: every batch and every index is whole")
    if not report.ok:
        raise typer.Exit(ExitCode.REFUSED)
