"""Explain what is wrong with a stopped agent's data directory, which records are affected, and how to fix it."""

import json
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from proglog.cli import output
from proglog.cli.exit_codes import ExitCode
from proglog.cli.output import Format


def main(
    directory: Annotated[Path, typer.Argument(metavar="DIR", help="The data directory")],
    output_: Annotated[
        Format,
        typer.Option("--output", "-o", help="Output format; table and plain both give sentences", case_sensitive=False),
    ] = Format.TABLE,
) -> None:
    from proglog.cli.offline import read
    from proglog.log.verify import diagnose
    from proglog.observe.safe_text import safe_text

    report = read(directory)
    words = [safe_text(line) for line in diagnose(report)]
    if output_ in (Format.JSON, Format.JSONL):
        facts = asdict(report) | {"ok": report.ok, "diagnosis": words}
        output.line(json.dumps(facts, indent=2 if output_ is Format.JSON else None))
    else:
        for line in words:
            output.line(line)
    if not report.ok:
        raise typer.Exit(ExitCode.REFUSED)
