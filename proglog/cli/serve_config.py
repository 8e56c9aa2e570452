"""Defaults and choices of ``serve`` that need more than a flag's type."""

import os
from collections.abc import Collection
from pathlib import Path

from proglog.cli.front import nearest
from proglog.errors import ConfigError


def user_data_dir() -> Path:
    """Return where this user's data goes (XDG base directory specification)."""
    return Path(os.environ.get("XDG_DATA_HOME") or Path.home() / ".local/share") / "proglog"


def choice(flag: str, value: str, choices: Collection[str]) -> str:
    """Return ``value`` if it is one of ``choices``.

    Raises:
        ConfigError: It is not.
    """
    if value not in choices:
        *others, last = choices
        meant = nearest(value, choices)
        hint = f"; did you mean {meant}?" if meant else ""
        raise ConfigError(f"{flag} {value!r:.80}: expected {', '.join(others)} or {last}{hint}")
    return value


def tag_of(text: str) -> tuple[str, str]:
    """Return the name and value of a tag.

    Raises:
        ConfigError: It has none.
    """
    name, equals, value = text.partition("=")
    if not equals or not name.strip():
        raise ConfigError(f"tag {text!r:.100}: expected NAME=VALUE")
    return name.strip(), value
