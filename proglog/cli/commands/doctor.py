"""Say in words what is wrong with a stopped agent's data directory, which records that concerns, and what to do."""

from pathlib import Path
from typing import Annotated

import typer

from proglog.cli import output
from proglog.cli.exit_codes import ExitCode


def main(directory: Annotated[Path, typer.Argument(metavar="DIR", help="The data directory")]) -> None:
    from proglog.cli.offline import read
    from proglog.client.safe_text import safe_text
    from proglog.log.verify import diagnose

    report = read(directory)
    for line in diagnose(report):
        output.line(safe_text(line))
    if not report.ok:
        raise typer.Exit(ExitCode.REFUSED)
