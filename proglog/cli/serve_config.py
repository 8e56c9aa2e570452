"""Defaults and choices of ``serve`` that need more than a flag's type."""

import os
from collections.abc import Sequence
from pathlib import Path

from proglog.errors import ConfigError


def user_data_dir() -> Path:
    """Return where this user's data goes (XDG base directory specification)."""
    return Path(os.environ.get("XDG_DATA_HOME") or Path.home() / ".local/share") / "proglog"


def choice(flag: str, value: str, choices: Sequence[str]) -> str:
    """Return ``value`` if it is one of ``choices``.

    Raises:
        ConfigError: It is not.
    """
    if value not in choices:
        raise ConfigError(f"{flag} {value!r}: expected {', '.join(choices[:-1])} or {choices[-1]}")
    return value
