"""Explain what is wrong with a stopped agent's data directory, which records are affected, and how to fix it.

proglog doctor data
proglog doctor data -o json
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import typer

from proglog.cli import options, output
from proglog.cli.exit_codes import ExitCode
from proglog.cli.output import Format
from proglog.cli.shapes import Shape
from proglog.cli.verified import VerifiedShape, verified_shape


@dataclass(frozen=True, slots=True, kw_only=True)
class DoctorShape(VerifiedShape):
    """A verification, explained."""

    diagnosis: tuple[str, ...]
    """What is wrong, which records it affects and how to fix it, in words."""


DOCTOR = Shape("doctor", DoctorShape, many=False)
SHAPES = (DOCTOR,)


def main(
    directory: Annotated[Path, typer.Argument(metavar="DIR", help="The data directory")],
    output_: options.Output = Format.TABLE,
) -> None:
    from proglog.cli.offline import read
    from proglog.log.verify import diagnose
    from proglog.observe.safe_text import safe_text

    report = read(directory)
    words = [safe_text(line) for line in diagnose(report)]
    output.one(DoctorShape(**verified_shape(report), diagnosis=tuple(words)), DOCTOR, output_, words)
    if not report.ok:
        raise typer.Exit(ExitCode.REFUSED)
