"""The root of the command line: verbs that are imported when they run, and what an ending means.

``proglog --help`` imports neither gRPC nor Textual: starting quickly is a feature.
"""

import errno
import importlib
import os
import sys
from collections.abc import Sequence
from typing import Any, NoReturn

import typer
from typer.core import TyperGroup

from proglog import __version__
from proglog.cli import diagnostics, output
from proglog.cli.exit_codes import ExitCode, exit_code_of
from proglog.cli.stdout import ReaderGoneError
from proglog.errors import ProglogError

VERBS: dict[str, str] = {
    "demo": "Start three agents, send a real file through them, open the dashboard",
    "serve": "Run an agent",
    "produce": "Append records: a line each, from files or stdin",
    "consume": "Read records",
    "dash": "Watch a cluster in a dashboard",
    "members": "List the members of the cluster",
    "status": "Show one agent: its log, and what it has of whom",
    "lag": "Show how far copies trail their sources",
    "check": "Say whether anything needs attention, for cron and monitoring",
    "positions": "List how far named consumers are",
    "segments": "List the segments of an agent's log",
    "losses": "List what an agent's log lost, or accept that nobody can give it back",
    "join": "Have an agent call members",
    "leave": "Have an agent leave the cluster, and end",
    "force-leave": "Remove a member that failed and will not come back",
    "tags": "Show or change what an agent says about itself",
    "rtt": "Estimate the round trip between two members",
    "event": "Tell every member something",
    "events": "List what members were told, or follow it",
    "query": "Ask the members something",
    "keys": "Make, list and exchange the gossip keys",
    "verify": "Check every batch and index of a stopped agent's directory",
    "doctor": "Say what is wrong with such a directory, and what to do",
    "certs": "Make certificates, rules and a gossip key for development",
    "acl": "Ask access rules who may do what",
    "config": "Show what serve would run with, and where each value comes from",
    "bench": "Measure producing, consuming and copying",
    "completion": "Print the completion script of a shell",
}
"""Verb to what it does: the order of the help."""

GREETING = f"""proglog {__version__} - a distributed commit log that you can run, see and trust from a terminal

  proglog demo               three agents, a real file, the dashboard: try it all
  proglog serve              run an agent here
  seq 1000 | proglog produce     append a record a line
  proglog consume            read them back
  proglog dash               watch it

  proglog --help             every verb
  proglog VERB --help        what one takes
"""

HELP = f"""A distributed commit log, run from a terminal.

Data goes to stdout, everything else to stderr. Every flag also comes from PROGLOG_<FLAG>.

Exit codes: {
    ", ".join(
        f"{code.value} {text}"
        for code, text in {
            ExitCode.OK: "ok",
            ExitCode.REFUSED: "refused",
            ExitCode.USAGE: "usage",
            ExitCode.CANNOT_CONNECT: "cannot connect",
            ExitCode.TIMED_OUT: "timed out",
            ExitCode.DENIED: "denied",
            ExitCode.NOT_FOUND: "not found",
            ExitCode.BUG: "bug",
            ExitCode.INTERRUPTED: "interrupted",
            ExitCode.BROKEN_PIPE: "broken pipe",
            ExitCode.TERMINATED: "terminated",
        }.items()
    )
}."""


class Verbs(TyperGroup):
    """Knows the verbs' names and one-line helps; imports a verb's module when it is run or asked for its help."""

    def list_commands(self, ctx: Any) -> list[str]:
        del ctx
        return list(VERBS)

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        del ctx
        if cmd_name not in VERBS:
            return None
        return verb(cmd_name)

    def format_commands(self, ctx: Any, formatter: Any) -> None:
        del ctx
        with formatter.section("Verbs"):
            formatter.write_dl(list(VERBS.items()))


def verb(name: str) -> Any:
    """Return the command of a verb, whose module is imported now."""
    from proglog.cli.options import expanded

    module = importlib.import_module(f"proglog.cli.commands.{name.replace('-', '_')}")
    app = typer.Typer(add_completion=False, pretty_exceptions_enable=False, rich_markup_mode=None)
    # A range such as -3 is an argument, though it looks like a flag; and config hands flags on.
    settings = CONTEXT | {"ignore_unknown_options": name in ("consume", "config")}
    own_class = getattr(module, "Command", None)
    app.command(name, cls=own_class, help=module.__doc__, context_settings=settings)(expanded(module.main))
    return typer.main.get_command(app)


CONTEXT = {"help_option_names": ["-h", "--help"], "max_content_width": 100}
app = typer.Typer(
    cls=Verbs,
    add_completion=False,  # static scripts are in completions/: no process a TAB, no edit of anybody's .bashrc
    pretty_exceptions_enable=False,
    rich_markup_mode=None,  # rich's help costs 60 ms
    invoke_without_command=True,
    context_settings=CONTEXT,
    help=HELP,
)


@app.callback()
def root(
    context: typer.Context,
    version: bool = typer.Option(False, "--version", help="Print the version and exit", is_eager=True),
) -> None:
    """Greet when no verb is given."""
    if version:
        typer.echo(__version__)
        raise typer.Exit
    if context.invoked_subcommand is None:
        typer.echo(GREETING, nl=False)


def run(arguments: Sequence[str] | None = None) -> NoReturn:
    """Run the command line and exit with its code; never shows a traceback."""
    output.install()
    sys.exit(invoke(sys.argv[1:] if arguments is None else list(arguments)))


def invoke(arguments: Sequence[str]) -> int:
    """Run one command line; return its exit code."""
    result: object = None
    ending: BaseException | None = None
    try:
        result = typer.main.get_command(app).main(list(arguments), prog_name="proglog", standalone_mode=True)
    except SystemExit as exc:
        result = exc.code
    except KeyboardInterrupt:
        result = ExitCode.INTERRUPTED
    except Exception as exc:  # noqa: BLE001 - the one place where they end
        ending = exc
    try:
        if result in (ExitCode.INTERRUPTED, ExitCode.TERMINATED):
            output.flush_interrupted()
        else:
            sys.stdout.flush()  # the data first, then what went wrong
    except (ReaderGoneError, BrokenPipeError, ProglogError) as exc:
        ending = ending or exc
    return _code(result) if ending is None else _told(ending)


def _code(result: object) -> int:
    return result if isinstance(result, int) else ExitCode.OK if result is None else ExitCode.REFUSED


def _told(exc: BaseException) -> int:
    """Say what ended a verb, and return its exit code."""
    if isinstance(exc, ReaderGoneError | BrokenPipeError):
        return ExitCode.BROKEN_PIPE  # quietly: whoever read us has read enough
    if isinstance(exc, ProglogError):
        diagnostics.error(str(exc), diagnostics.hint_for(exc))
        return exit_code_of(exc)
    if isinstance(exc, OSError) and exc.errno not in _OURS:
        what = f"{os.fsdecode(exc.filename)}: " if exc.filename else ""
        diagnostics.error(f"{what}{exc.strerror}")
        return ExitCode.REFUSED
    report = diagnostics.bug_report(exc)
    where = f"; the report is in {report}" if report else ""
    diagnostics.error(f"this is a bug in proglog: {type(exc).__name__}: {exc}{where}")
    return ExitCode.BUG


_OURS = (None, errno.EBADF, errno.EINVAL, errno.EFAULT, errno.ENOTSOCK, errno.EDOM, errno.ENOSYS)
"""What the system says to a mistake of this program; anything else is the state of a disk, a file, a network."""
