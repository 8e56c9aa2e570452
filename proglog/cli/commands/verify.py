"""Check every batch and index of a stopped agent's data directory. Changes nothing; exits 1 if records are lost."""

import json
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from proglog.cli import options, output
from proglog.cli.exit_codes import ExitCode
from proglog.cli.output import Format, Table
from proglog.observe.columns import Column
from proglog.observe.spans import Role

if TYPE_CHECKING:
    from proglog.log.verify import VerifyFinding


def _offsets(finding: "VerifyFinding") -> str:
    return "-" if finding.start_offset is None else f"{finding.start_offset} to {finding.end_offset}"


FINDINGS: Table["VerifyFinding"] = Table(
    columns=(
        Column(title="SEVERITY", value=lambda finding: finding.severity),
        Column(title="FILE", value=lambda finding: finding.file, limit=40),
        Column(title="OFFSETS", value=_offsets),
        Column(title="WHAT", value=lambda finding: finding.what, limit=100),
    ),
    data=lambda _: {},
    role=lambda finding: Role.BAD if finding.severity == "damage" else Role.WARN,
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
        held = f"{report.segment_count} segments, {report.batch_count:,} batches, {report.record_count:,} records"
        output.items(report.findings, replace(FINDINGS, empty=f"{held}: every batch and every index is whole"), output_)
    if not report.ok:
        raise typer.Exit(ExitCode.REFUSED)
