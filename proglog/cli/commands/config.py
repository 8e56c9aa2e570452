"""Show the settings serve would use, as TOML for its --config, and where each comes from. Starts nothing.

Takes the flags of serve: proglog config --config FILE --fsync os

`proglog config dash` does the same for the dashboard, including its keys; save it as ~/.config/proglog/config.toml.
"""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any

import typer

from proglog.cli import options, output
from proglog.errors import ConfigError

_SOURCES = {"COMMANDLINE": "flag", "ENVIRONMENT": "environment", "DEFAULT": "default", "DEFAULT_MAP": "default"}


def main(
    context: typer.Context,
    flags: Annotated[
        list[str] | None,
        typer.Argument(metavar="[dash] [FLAGS]", help="Flags of serve, or of dash", show_default=False),
    ] = None,
) -> None:
    from proglog.cli.commands.serve import ServeFlags, agent_config
    from proglog.cli.config_file import DASH, reader_file

    arguments = [*(flags or []), *context.args]
    if arguments[:1] == [DASH]:
        given, parsed = _parsed(DASH, arguments[1:])
        path = reader_file(given["config"])
        output.line("[dash]")
        _show(parsed, given, path, table=DASH)
        _show_keys(path)
        return
    given, parsed = _parsed("serve", arguments)
    # The agent's configuration says what cannot be, as serve would.
    _show(
        parsed,
        given,
        given["config"],
        more=lambda values: {"data_dir": agent_config(options.from_values(ServeFlags, values)).data_dir},
    )


def _parsed(name: str, arguments: list[str]) -> tuple[dict[str, Any], Any]:
    """Return the flags of a verb and what Typer knows of them."""
    from proglog.cli.app import verb

    command = verb(name)
    parsed = command.make_context("proglog config", arguments)
    return {str(each.name): _typed(each, parsed.params.get(str(each.name))) for each in command.params}, parsed


def _show(
    parsed: Any,
    given: dict[str, Any],
    path: Path | None,
    *,
    table: str | None = None,
    more: Callable[[dict[str, Any]], dict[str, Any]] = lambda _: {},
) -> None:
    from proglog.cli.config_file import with_file

    values = with_file(parsed, path, given, table=table)
    effective = values | more(values)
    for parameter in parsed.command.params:
        name = str(parameter.name)
        if name in ("config", "help"):
            continue
        source = parsed.get_parameter_source(name)
        where = _SOURCES[source.name if source else "DEFAULT"] if values[name] == given[name] else path
        output.line(_line(name.replace("_", "-"), effective[name], str(where)))


def _show_keys(path: Path | None) -> None:
    from proglog.cli import diagnostics
    from proglog.cli.config_file import dash_keys
    from proglog.tui.bindings import KEYMAP

    chosen, warnings = KEYMAP.checked(dash_keys(path), f"{path} [dash.keys]")
    output.line("\n[dash.keys]")
    for bound in KEYMAP.actions.values():
        own = chosen[bound.id].split(",") if bound.id in chosen else None
        output.line(
            f"{_toml(bound.id)} = {_toml(own or bound.keys)}  # {path if own else 'default'}; {bound.description}"
        )
    for warning in warnings:
        diagnostics.note(warning)


def _typed(parameter: Any, value: Any) -> Any:
    """Return what Typer would pass to the verb: plain click leaves paths as text."""
    return Path(value) if value is not None and parameter.type.name in ("path", "file") else value


def _line(flag: str, value: Any, where: str) -> str:
    if value in (None, [], ()):
        return f"# {flag} is not set"
    return f"{flag} = {_toml(value)}  # {where}"


def _toml(value: Any) -> str:
    match value:
        case bool():
            return "true" if value else "false"
        case int() | float():
            return str(value)
        case str() | Path():
            return json.dumps(str(value))
        case list() | tuple():
            return f"[{', '.join(_toml(each) for each in value)}]"
    raise ConfigError(f"a value of type {type(value).__name__} has no TOML")  # a flag of serve of a new type
