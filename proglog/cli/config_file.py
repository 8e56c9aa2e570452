"""Flags from a TOML file: below flags and environment, above defaults.

One file may hold everything::

    node-name = "one"            flags of serve
    [dash]
    theme = "proglog-contrast"   flags of dash
    [dash.keys]
    "main.zoom" = ["f2", "z"]    keys of the dashboard

A relative path of a ``-file`` flag is relative to this file: a directory with both can be carried to another machine.
"""

import os
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import typer
from typer.core import TyperOption

from proglog.cli.front import nearest
from proglog.errors import ConfigError

DASH = "dash"
KEYS = "keys"
_FROM_DEFAULT = ("DEFAULT", "DEFAULT_MAP")


def reader_file(given: Path | None) -> Path | None:
    """Return the file that a reader's programs use: ``given``, or the one in the user's directory, if it is there."""
    path = Path(os.environ.get("XDG_CONFIG_HOME") or "~/.config").expanduser() / "proglog" / "config.toml"
    return given or (path if path.is_file() else None)


def dash_keys(path: Path | None) -> dict[str, Any]:
    """Return the table of keys, unchecked.

    Raises:
        ConfigError: The file cannot be read, or has something else in its place.
    """
    table = _table(path, DASH).get(KEYS, {}) if path else {}
    if not isinstance(table, dict):
        raise ConfigError(f'{path}: [{DASH}] {KEYS} = {table!r}: expected a table such as "main.zoom" = "f2"')
    return table


def with_file(
    context: typer.Context, path: Path | None, given: Mapping[str, Any], *, table: str | None = None
) -> dict[str, Any]:
    """Return a verb's parameters, those left at their default taken from a file.

    Args:
        context: Of the verb: knows where each parameter came from.
        path: The file; ``None``: there is none.
        given: The parameters as the verb got them.
        table: Table of the verb's flags in the file; ``None``: outside all tables.

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
    flat = {key: value for key, value in _table(path, table).items() if not (table == DASH and key == KEYS)}
    for key, value in flat.items():
        parameter = flags.get(key.replace("_", "-"))
        if parameter is None or parameter.name is None:
            meant = nearest(key, flags)
            hint = f"did you mean {meant}?" if meant else f"known: {', '.join(flags)}"
            raise ConfigError(f"{path}: {key!r} is no flag of this verb; {hint}")
        source = context.get_parameter_source(parameter.name)
        if source is not None and source.name in _FROM_DEFAULT:
            values[parameter.name] = _of_type(path, key, value, parameter, context)
    return values


def _table(path: Path, name: str | None) -> dict[str, Any]:
    """Return the flags in the file, or in a table of it."""
    whole = _read(path)
    if name is None:
        return {key: value for key, value in whole.items() if not (key == DASH and isinstance(value, dict))}
    table = whole.get(name, {})
    if not isinstance(table, dict):
        raise ConfigError(f"{path}: {name} = {table!r}: expected a table, [{name}]")
    return table


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
    if parameter.type.name not in ("path", "file"):
        return value
    return path.parent / value if parameter.opts[0].endswith("-file") else Path(value)  # its files are beside it
