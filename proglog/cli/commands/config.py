"""Show the settings a verb would use, and where each comes from: flag, variable, file, profile or default.

Without VERB, those of serve, as TOML for its --config; `proglog config dash` does the same for the dashboard, including its
keys: save it as ~/.config/proglog/config.toml. With another verb, its flags, the profile included. Starts nothing.

    proglog config --fsync os
    proglog config members --addr 10.0.0.1:8400
"""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from typing import Annotated, Any, Literal

import typer

from proglog.cli import options, output
from proglog.cli.output import Format
from proglog.cli.shapes import Shape
from proglog.cli.verbs import VERBS
from proglog.errors import ConfigError

Origin = Literal["flag", "variable", "file", "profile", "default"]
_SOURCES: dict[str, Origin] = {
    "COMMANDLINE": "flag",
    "ENVIRONMENT": "variable",
    "DEFAULT": "default",
    "DEFAULT_MAP": "profile",
}
_NOT_IN_FILES = ("output_", "utc")
_NOT_SETTINGS = ("config", "help", "quiet", "verbose", "debug")


@dataclass(frozen=True, slots=True, kw_only=True)
class SettingShape:
    """A setting of a verb."""

    name: str
    """The flag without its dashes."""
    value: object
    """null: not set."""
    origin: Origin
    """Where the value comes from."""
    where: str | None
    """The variable, the file or the profile; null: a flag or the default."""


SETTINGS = Shape("config", SettingShape)
SHAPES = (SETTINGS,)


def main(
    context: typer.Context,
    flags: Annotated[
        list[str] | None,
        typer.Argument(metavar="[VERB] [FLAGS]", help="A verb and its flags; default: serve", show_default=False),
    ] = None,
    output_: options.Output = Format.TABLE,
) -> None:
    from proglog.cli.config_file import DASH, reader_file

    arguments = [*(flags or []), *context.args]
    verb, rest = (arguments[0], arguments[1:]) if arguments and arguments[0] in VERBS else ("serve", arguments)
    if rest and not rest[0].startswith("-") and verb == "serve":
        raise ConfigError(f"{rest[0]!r:.60} is neither a verb nor a flag of serve")
    given, parsed = _parsed(verb, rest)
    path = reader_file(given["config"]) if verb == DASH else given.get("config")
    settings = list(_settings(verb, parsed, given, path))
    if output_ is not Format.TABLE:
        with output.Listing(SETTINGS, output_) as listing:
            for each in settings:
                listing.add(each)
        output.flush()
        return
    if verb == DASH:
        output.line("[dash]")
    for each in settings:
        output.line(_line(each))
    if verb == DASH:
        _show_keys(path)


def _parsed(name: str, arguments: list[str]) -> tuple[dict[str, Any], Any]:
    """Return the flags of a verb and what Typer knows of them."""
    from proglog.cli.app import verb

    command = verb(name)
    for each in command.params:
        each.required = False  # arguments are no settings
    parsed = command.make_context(f"proglog config {name}", arguments)
    return {str(each.name): _typed(each, parsed.params.get(str(each.name))) for each in command.params}, parsed


def _settings(verb: str, parsed: Any, given: dict[str, Any], path: Path | None) -> Iterator[SettingShape]:
    from proglog.cli.config_file import DASH, with_file

    values = with_file(parsed, path, given, table=verb if verb == DASH else None) if "config" in given else given
    effective = dict(values)
    if verb == "serve":  # refuses what serve would
        from proglog.cli.commands.serve import ServeFlags, agent_config

        effective["data_dir"] = agent_config(options.from_values(ServeFlags, values)).data_dir
    for parameter in parsed.command.params:
        name = str(parameter.name)
        if (
            name in _NOT_SETTINGS
            or (verb in ("serve", DASH) and name in _NOT_IN_FILES)
            or parameter.param_type_name != "option"
            or name not in effective
        ):
            continue
        source = parsed.get_parameter_source(name)
        origin = _SOURCES[source.name if source else "DEFAULT"] if values[name] == given[name] else "file"
        where = {"variable": parameter.envvar, "file": str(path), "profile": _profile(given)}.get(origin)
        value = effective[name]
        yield SettingShape(
            name=parameter.opts[0].lstrip("-"),
            value=value if value not in ([], (), "") else None,
            origin=origin,
            where=where,
        )


def _profile(given: dict[str, Any]) -> str:
    from proglog.cli import profiles

    return profiles.choose(given.get("profile") or "").where


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


def _line(setting: SettingShape) -> str:
    if setting.value is None:
        return f"# {setting.name} is not set"
    return f"{setting.name} = {_toml(setting.value)}  # {setting.where or setting.origin}"


def _typed(parameter: Any, value: Any) -> Any:
    """Return what Typer would pass to the verb: plain click leaves paths as text."""
    return Path(value) if value is not None and parameter.type.name in ("path", "file") else value


def _toml(value: Any) -> str:
    match value:
        case Enum():
            return json.dumps(value.value)
        case bool():
            return "true" if value else "false"
        case int() | float():
            return str(value)
        case str() | Path():
            return json.dumps(str(value))
        case list() | tuple():
            return f"[{', '.join(_toml(each) for each in value)}]"
    raise ConfigError(f"a value of type {type(value).__name__} has no TOML")  # a flag of serve of a new type
