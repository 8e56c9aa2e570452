"""Print the command tree as JSON: every verb with its help, arguments, flags, defaults and variables, and the exit codes.

For wrappers, completions and generated documentation. With -o plain or table, only the verbs and their summaries.

    proglog spec
    proglog spec -o plain | cut -f 1,2
"""

from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from typing import Any

from proglog import __version__
from proglog.cli import options, output
from proglog.cli.exit_codes import MEANINGS
from proglog.cli.output import Format, Table
from proglog.cli.shapes import Shape
from proglog.cli.verbs import VERBS
from proglog.observe.columns import Column


@dataclass(frozen=True, slots=True, kw_only=True)
class ArgumentShape:
    """An argument of a verb."""

    name: str
    help: str
    required: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class FlagShape:
    """A flag of a verb."""

    names: tuple[str, ...]
    help: str
    takes: str | None
    """What it takes, in words; null: nothing."""
    repeats: bool
    default: object
    variable: str | None
    """The environment variable that also sets it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class VerbShape:
    """A verb."""

    name: str
    summary: str
    help: str
    arguments: tuple[ArgumentShape, ...]
    flags: tuple[FlagShape, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class SpecShape:
    """The command tree."""

    proglog: str
    """The version of the program."""
    exit_codes: dict[str, str]
    verbs: tuple[VerbShape, ...]


SPEC = Shape("spec", SpecShape, many=False)
VERB = Shape("spec-verbs", VerbShape)
SHAPES = (SPEC,)
LISTED: Table[tuple[str, str]] = Table(
    columns=(
        Column(title="VERB", value=lambda each: each[0]),
        Column(title="SUMMARY", value=lambda each: each[1], limit=100),
    ),
    shape=VERB,
)


def main(output_: options.Output = Format.JSON) -> None:
    from proglog.cli.app import verb

    if output_ is Format.TABLE:
        output.items(list(VERBS.items()), LISTED, output_)
        return
    if output_ is Format.PLAIN:
        for name, line in VERBS.items():
            output.line(f"{name}\t{line}")
        return
    tree = SpecShape(
        proglog=__version__,
        exit_codes={str(code.value): meaning for code, meaning in MEANINGS.items()},
        verbs=tuple(_verb(name, line, verb(name)) for name, line in VERBS.items()),
    )
    output.one(tree, SPEC, output_)


def _verb(name: str, line: str, command: Any) -> VerbShape:
    arguments = [each for each in command.params if each.param_type_name == "argument"]
    flags = [each for each in command.params if each.param_type_name == "option"]
    return VerbShape(
        name=name,
        summary=line,
        help=(command.help or "").replace("\b\n", "").strip(),
        arguments=tuple(
            ArgumentShape(name=each.metavar or each.name, help=each.help or "", required=each.required)
            for each in arguments
        ),
        flags=tuple(
            FlagShape(
                names=tuple(each.opts),
                help=each.help or "",
                takes=None if each.is_flag else each.metavar or each.type.name,
                repeats=bool(each.multiple),
                default=_plain(each.default),
                variable=each.envvar,
            )
            for each in flags
        ),
    )


def _plain(value: Any) -> Any:
    """Return a default as JSON knows it."""
    match value:
        case Enum():
            return value.value
        case Path():
            return str(value)
        case None | bool() | int() | float() | str():
            return value
        case list() | tuple():
            return [_plain(each) for each in value]
    return None
