"""Make a data directory of a backup, for `serve` to start on. The backup is not changed.

Every batch is checked on the way. If records are damaged or missing, nothing is restored and the error names them; --lossy
restores the rest. The agent that starts on DIR begins an origin of its own, and peers supply what came after the backup.

    proglog restore backups/main restored
    proglog restore backups/main rest --lossy -o json
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import typer

from proglog.cli import options, output
from proglog.cli.output import Format
from proglog.cli.shapes import Shape


@dataclass(frozen=True, slots=True)
class RestoredShape:
    """What was restored."""

    directory: str
    source: str
    """What was backed up: an agent's name, or a directory."""
    finished_at_ms: int
    """When the backup was complete last."""
    records: int
    bytes: int
    """Of their batches."""
    origins: int
    missing_records: int
    """Records and control batches that are not there."""


RESTORED = Shape("restore", RestoredShape, many=False)
SHAPES = (RESTORED,)


def main(
    backup: Annotated[Path, typer.Argument(metavar="TARGET", help="The backup's directory")],
    directory: Annotated[Path, typer.Argument(metavar="DIR", help="The data directory to make: new, or empty")],
    lossy: Annotated[bool, typer.Option("--lossy", help="Restore what there is, even if records are missing")] = False,
    output_: options.Output = Format.TABLE,
) -> None:
    from proglog.cli.offline import meter_of
    from proglog.log.backup import LOG, restore

    with meter_of("restoring", backup / LOG) as on_progress:
        done = restore(backup, directory, lossy=lossy, on_progress=on_progress)
    made = RestoredShape(
        str(directory), done.of.source, done.of.finished_ms, done.records, done.bytes, done.origins, done.missing
    )
    lacks = f"; {made.missing_records:,} are missing" if made.missing_records else ""
    output.done(
        made,
        RESTORED,
        output_,
        f"{directory} holds {made.records:,} records of {made.source} as of {done.of.at}{lacks}:"
        f" start an agent with `proglog serve --data-dir {directory}`",
    )
