"""Check every batch and index of a stopped agent's data directory. Changes nothing; exits 1 if records are lost.

RANGE limits what is reported, and the exit code, to some offsets: 500:1000, -1000, +0:5000.

proglog verify data
proglog verify data 0: -o json
"""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from proglog.cli import options, output
from proglog.cli.exit_codes import ExitCode
from proglog.cli.output import Format, Table
from proglog.cli.shapes import Shape
from proglog.cli.verified import VerifiedShape, verified_shape
from proglog.errors import ConfigError
from proglog.observe.columns import Column
from proglog.observe.spans import Role
from proglog.types import counted, half_open

if TYPE_CHECKING:
    from proglog.client.offset_spec import OffsetSpec
    from proglog.log.verify import VerifyFinding, VerifyReport


def _offsets(finding: "VerifyFinding") -> str:
    return "-" if finding.start_offset is None else half_open(finding.start_offset, finding.end_offset or 0)


VERIFY = Shape("verify", VerifiedShape, many=False)
FINDINGS: Table["VerifyFinding"] = Table(
    columns=(
        Column(title="SEVERITY", value=lambda finding: finding.severity),
        Column(title="FILE", value=lambda finding: finding.file, limit=40),
        Column(title="OFFSETS", value=_offsets),
        Column(title="WHAT", value=lambda finding: finding.what, limit=100),
    ),
    shape=VERIFY,
    role=lambda finding: Role.BAD if finding.severity == "damage" else Role.WARN,
)


@dataclass(frozen=True, slots=True)
class SpanShape:
    """What a RANGE resolves to, in the log of a directory."""

    range: str
    start_offset: int
    end_offset: int
    """One past the last."""
    records: int


SPAN = Shape("offsets", SpanShape, many=False)
SHAPES = (VERIFY, SPAN)


def _places(text: str) -> "tuple[OffsetSpec, OffsetSpec]":
    from proglog.cli.ranges import parse_range
    from proglog.client.offset_spec import OffsetSpec, OffsetSpecKind

    start, end = parse_range(text or "start", 0)
    for place in (start, end):
        if place is not None and place.kind is OffsetSpecKind.TIME_MS:
            raise ConfigError(f"RANGE {text!r}: verify reads a stopped log and takes offsets: 500:1000, -1000, +0:5000")
    return start, end or OffsetSpec.before_end(0)


def _offset(place: "OffsetSpec", report: "VerifyReport") -> int:
    """Return a place as an offset of the log that was read."""
    value = {
        "offset": place.value,
        "after_start": report.start_offset + place.value,
        "before_end": report.end_offset - place.value,
    }[place.kind.value]
    return min(max(value, report.start_offset), report.end_offset)


def main(
    directory: Annotated[Path, typer.Argument(metavar="DIR", help="The data directory")],
    range_: Annotated[str, typer.Argument(metavar="[RANGE]", help="Offsets; default: all")] = "",
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Print what RANGE resolves to, and read no batch")] = False,
    output_: options.Output = Format.TABLE,
) -> None:
    from proglog.cli.offline import read

    places = _places(range_)
    report = read(directory)
    start, end = (_offset(place, report) for place in places)
    if dry_run:
        shown = SpanShape(range_ or "start", start, end, max(0, end - start))
        output.one(shown, SPAN, output_, [f"{shown.range} is offsets {half_open(start, end)}"])
        return
    if range_:
        report.findings = [
            each
            for each in report.findings
            if each.start_offset is not None and each.start_offset < end and start < (each.end_offset or 0)
        ]
    if output_ is not Format.TABLE:
        output.one(VerifiedShape(**verified_shape(report)), VERIFY, output_)
    else:
        counts = {"segment": report.segment_count, "batch": report.batch_count, "record": report.record_count}
        held = ", ".join(counted(count, noun) for noun, count in counts.items())
        output.items(report.findings, replace(FINDINGS, empty=f"{held}: every batch and every index is whole"), output_)
    if not report.ok:
        raise typer.Exit(ExitCode.REFUSED)
