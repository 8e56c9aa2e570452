"""The root of the command line: verbs that are imported when they run, and what an ending means.

What needs no verb, such as ``proglog --help``, is answered by :mod:`proglog.cli.front` before Typer is imported.
"""

import errno
import importlib
import os
import sys
from collections.abc import Sequence
from typing import Any, NoReturn

import typer
from typer.core import TyperGroup
from typer.exceptions import TyperException

from proglog.cli import diagnostics, environment, everywhere, front, output, variables
from proglog.cli.exit_codes import ExitCode, exit_code_of
from proglog.cli.stdout import ReaderGoneError
from proglog.cli.verbs import VERBS
from proglog.errors import ProglogError


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

    def get_help(self, ctx: Any) -> str:
        del ctx
        return front.help_text()


def verb(name: str) -> Any:
    """Return the command of a verb, whose module is imported now."""
    from proglog.cli.options import expanded

    module = importlib.import_module(f"proglog.cli.commands.{name.replace('-', '_')}")
    app = typer.Typer(add_completion=False, pretty_exceptions_enable=False, rich_markup_mode=None)
    # A range such as -3 is an argument, though it looks like a flag; and config hands flags on.
    settings = CONTEXT | {
        "ignore_unknown_options": name in ("consume", "config", "segments", "copies", "verify", "positions")
    }
    own_class = getattr(module, "Command", None)
    app.command(name, cls=own_class, help=_kept(module.__doc__ or ""), context_settings=settings)(expanded(module.main))
    command = typer.main.get_command(app)
    command.params[-1:] = [*everywhere.options(), *command.params[-1:]]
    variables.give(command)
    return command


def _kept(text: str) -> str:
    """Have the help print examples line by line."""
    return "\n\n".join(f"\b\n{front.indented(each)}" if front.is_example(each) else each for each in text.split("\n\n"))


CONTEXT = {"help_option_names": ["-h", "--help"], "max_content_width": 100}
app = typer.Typer(
    cls=Verbs,
    add_completion=False,  # static scripts are in completions/: no process per TAB, no edit of .bashrc
    pretty_exceptions_enable=False,
    rich_markup_mode=None,  # rich's help costs 60 ms
    context_settings=CONTEXT,
)


@app.callback()
def root() -> None:
    """Make Typer keep the verbs apart, however few there are."""


def run(arguments: Sequence[str] | None = None) -> NoReturn:
    """Run the command line and exit with its code; never shows a traceback."""
    output.install()
    environment.leave_out_unusable()
    sys.exit(invoke(sys.argv[1:] if arguments is None else list(arguments)))


def invoke(arguments: Sequence[str]) -> int:
    """Run one command line; return its exit code."""
    if (answer := front.answer(arguments)) is not None:
        return answer
    for stranger in variables.strangers(os.environ):
        diagnostics.warn(stranger)
    result: object = None
    ending: BaseException | None = None
    try:
        result = typer.main.get_command(app).main(list(arguments), prog_name="proglog", standalone_mode=False)
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
    """Report what ended a verb, and return its exit code."""
    if isinstance(exc, ReaderGoneError | BrokenPipeError):
        return ExitCode.BROKEN_PIPE  # quietly: the reader has read enough
    if diagnostics.level() is diagnostics.Verbosity.DEBUG:
        import traceback

        for line in "".join(traceback.format_exception(exc)).splitlines():
            diagnostics.detail(line)
    if isinstance(exc, TyperException):
        message = " ".join(exc.format_message().split()).rstrip(".").replace("a valid int", "a whole number")
        context = getattr(exc, "ctx", None)
        path = context.command_path if context else "proglog"
        diagnostics.error(message[:1].lower() + message[1:], f"`{path} --help` shows its arguments and flags")
        return exc.exit_code
    if isinstance(exc, typer.Abort):
        return ExitCode.REFUSED  # the input ended where a question was asked
    if isinstance(exc, ProglogError):
        cause = getattr(exc, "cause", None)
        diagnostics.error(str(exc), diagnostics.hint_for(cause if isinstance(cause, ProglogError) else exc))
        return exit_code_of(exc)
    if isinstance(exc, OSError) and exc.errno not in _OURS:
        what = f"{os.fsdecode(exc.filename)}: " if exc.filename else ""
        diagnostics.error(f"{what}{exc.strerror}")
        return ExitCode.REFUSED
    if isinstance(exc, ModuleNotFoundError) and _is_of_another_distribution(exc.name):
        diagnostics.error(
            f"this installation has no {exc.name}, which this verb needs",
            "install proglog-cluster with its dependencies",
        )
        return ExitCode.USAGE
    report = diagnostics.bug_report(exc)
    where = f"; the report is in {report}" if report else ""
    diagnostics.error(f"this is a bug in proglog: {type(exc).__name__}: {exc}{where}")
    return ExitCode.BUG


def _is_of_another_distribution(module: str | None) -> bool:
    first = (module or "proglog").partition(".")[0]
    return first != "proglog" and first not in sys.stdlib_module_names


_OURS = (None, errno.EBADF, errno.EINVAL, errno.EFAULT, errno.ENOTSOCK, errno.EDOM, errno.ENOSYS)
"""What the system says to a mistake of this program; anything else is the state of a disk, a file, a network."""
