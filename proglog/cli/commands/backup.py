"""Copy everything that an agent or a stopped agent's directory holds into a backup; the next copy takes only what is new.

SOURCE is HOST:PORT or a data directory. TARGET is a directory of its own. Any agent of the cluster will do, and another one
the next time: each holds every record. An interrupted copy resumes where it ended. The whole backup is then read back.
Exits 1 if the source lacks records that the cluster had: the backup is complete without them, and says how many.
A client needs the right `replicate`.

    proglog backup "$PROGLOG_ADDR" backups/live
    proglog backup data backups/main --no-verify -o json
"""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from proglog.cli import diagnostics, options, output
from proglog.cli.exit_codes import ExitCode
from proglog.cli.output import Format
from proglog.cli.shapes import Shape
from proglog.errors import ConfigError

if TYPE_CHECKING:
    from proglog.log.backup import Backup, Manifest


@dataclass(frozen=True, slots=True)
class BackupShape:
    """A backup that is complete."""

    target: str
    source: str
    """The agent's name, or the directory."""
    records: int
    """Copied this time."""
    bytes: int
    """Of their batches."""
    origins: int
    """In the backup."""
    missing_records: int
    """Records and control batches that the source lacks."""
    verified: bool
    """Whether the whole backup was read back."""
    finished_at_ms: int


BACKUP = Shape("backup", BackupShape, many=False)
SHAPES = (BACKUP,)


def main(
    source: Annotated[str, typer.Argument(metavar="SOURCE", help="An agent's HOST:PORT, or a data directory")],
    target: Annotated[Path, typer.Argument(metavar="TARGET", help="The backup's directory; made if missing")],
    verify: Annotated[bool, typer.Option("--verify/--no-verify", help="Read the whole backup back")] = True,
    output_: options.Output = Format.TABLE,
    *,
    agent: options.AgentFlags,
) -> None:
    from proglog.log.backup import opened, read_back

    is_directory = Path(source).is_dir()
    if not is_directory and ":" not in source:
        raise ConfigError(f"SOURCE {source!r}: there is no such directory, and an agent is HOST:PORT")
    with opened(target, source) as backup:
        done = _of_directory(Path(source), backup) if is_directory else _of_agent(source, agent, backup)
        copied, lacking = backup.copier, backup.lacking
    if verify:
        from proglog.cli.offline import meter_of

        with meter_of("reading back", target / "log") as on_progress:
            read_back(target, lacking, on_progress)
    made = BackupShape(
        str(target),
        done.source,
        copied.records,
        copied.bytes,
        len(done.origins),
        done.missing,
        verify,
        done.finished_ms,
    )
    output.done(
        made,
        BACKUP,
        output_,
        f"{made.target} holds everything of {made.source}: {made.records:,} new records, {made.bytes:,} bytes;"
        f" {'read back and whole' if verify else 'not read back'}",
    )
    if done.missing:
        diagnostics.error(
            f"{done.missing:,} records are not in the backup: {done.source} lacks them",
            "`proglog losses list` shows them; another agent may hold them: back that one up, too",
        )
        raise typer.Exit(ExitCode.REFUSED)


def _of_directory(source: Path, backup: "Backup") -> "Manifest":
    from proglog.cli.offline import meter_of

    with meter_of("copying", source) as on_progress:
        done, damaged = backup.copy_directory(source, on_progress)
    for finding in damaged:
        diagnostics.warn(f"{source / finding.file}: {finding.what}")
    return done


def _of_agent(source: str, agent: options.AgentFlags, backup: "Backup") -> "Manifest":
    from proglog.agent.pulling import pull
    from proglog.client import Client

    with diagnostics.progress("copying", None, unit="bytes") as meter:

        async def copy(client: Client) -> "Manifest":
            pulled = await pull(
                backup.copier,
                client.addr,
                agent.tls,
                check=lambda origins: backup.check_related(origins, source),
                on_progress=meter.advance,
                first_within=agent.timeout,
            )
            return backup.complete(pulled.node_name, pulled.lacked)

        return replace(agent, addr=source).with_client(copy)
