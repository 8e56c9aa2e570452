"""Show what serve would run with, as TOML for its --config, and where each value comes from. Starts nothing.

Takes the flags of serve: proglog config --config FILE --fsync os
"""

import json
from pathlib import Path
from typing import Annotated, Any

import typer

from proglog.cli import output
from proglog.errors import ConfigError

_SOURCES = {"COMMANDLINE": "flag", "ENVIRONMENT": "environment", "DEFAULT": "default", "DEFAULT_MAP": "default"}


def main(
    context: typer.Context,
    flags: Annotated[
        list[str] | None, typer.Argument(metavar="[FLAGS OF SERVE]", help="As for serve", show_default=False)
    ] = None,
) -> None:
    from proglog.cli.app import verb
    from proglog.cli.commands.serve import agent_config
    from proglog.cli.config_file import with_file

    serve = verb("serve")
    parsed = serve.make_context("proglog config", [*(flags or []), *context.args])
    given = {str(each.name): _typed(each, parsed.params.get(str(each.name))) for each in serve.params}
    values = with_file(parsed, given["config"], given)
    effective = values | {"data_dir": agent_config(values).data_dir}  # which says what cannot be, as serve would
    for parameter in serve.params:
        name = str(parameter.name)
        if name in ("config", "help"):
            continue
        source = parsed.get_parameter_source(name)
        where = _SOURCES[source.name if source else "DEFAULT"] if values[name] == given[name] else given["config"]
        output.line(_line(name.replace("_", "-"), effective[name], str(where)))


def _typed(parameter: Any, value: Any) -> Any:
    """Return what Typer would hand to the verb: click alone leaves paths as text."""
    return Path(value) if value is not None and parameter.type.name in ("path", "file") else value


def _line(flag: str, value: Any, where: str) -> str:
    if value in (None, [], ()):
        return f"# {flag} is not set"
    return f"{flag} = {_toml(value)}  # {where}"


def _toml(value: Any) -> str:
    match value:
        case bool():
            return "true" if value else "false"
        case int():
            return str(value)
        case str() | Path():
            return json.dumps(str(value))
        case list() | tuple():
            return f"[{', '.join(_toml(each) for each in value)}]"
    raise ConfigError(f"a value of type {type(value).__name__} has no TOML")  # a flag of serve of a new type
