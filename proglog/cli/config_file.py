"""Flags from a TOML file: below flags and environment, above defaults."""

import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import typer
from typer.core import TyperOption

from proglog.errors import ConfigError

_FROM_DEFAULT = ("DEFAULT", "DEFAULT_MAP")


def with_file(context: typer.Context, path: Path | None, given: Mapping[str, Any]) -> dict[str, Any]:
    """Return a verb's parameters, those left at their default taken from a file.

    Args:
        context: Of the verb: knows where each parameter came from.
        path: The file; ``None``: there is none.
        given: The parameters as the verb got them.

    Raises:
        ConfigError: The file cannot be read, is not TOML, or says something that is no flag, or not of its type.
    """
    values = dict(given)
    if path is None:
        return values
    flags = {
        parameter.opts[0].removeprefix("--"): parameter
        for parameter in context.command.params
        if isinstance(parameter, TyperOption) and parameter.name not in ("config", "help")
    }
    for key, value in _read(path).items():
        parameter = flags.get(key.replace("_", "-"))
        if parameter is None or parameter.name is None:
            raise ConfigError(f"{path}: {key!r} is no flag of this verb; known: {', '.join(flags)}")
        source = context.get_parameter_source(parameter.name)
        if source is not None and source.name in _FROM_DEFAULT:
            values[parameter.name] = _of_type(path, key, value, parameter, context)
    return values


def _read(path: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as exc:
        raise ConfigError(f"--config {path}: {exc.strerror or exc}") from exc
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as exc:
        raise ConfigError(f"--config {path} is not TOML: {exc}") from exc


def _of_type(path: Path, key: str, given: Any, parameter: TyperOption, context: typer.Context) -> Any:
    if isinstance(given, dict):
        raise ConfigError(f"{path}: {key} is a table; expected a value")
    if parameter.is_flag and not isinstance(given, bool):
        raise ConfigError(f"{path}: {key} = {given!r}; expected true or false")
    raw = [str(each) for each in (given if isinstance(given, list) else [given])] if parameter.multiple else str(given)
    try:
        value = parameter.type_cast_value(context, given if parameter.is_flag else raw)
    except typer.BadParameter as exc:
        raise ConfigError(f"{path}: {key} = {given!r}: {exc.message}") from exc
    return Path(value) if parameter.type.name in ("path", "file") else value
