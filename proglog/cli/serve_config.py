"""Defaults and choices of ``serve`` that need more than a flag's type."""

import os
from collections.abc import Collection
from pathlib import Path

from proglog.errors import ConfigError

_SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86_400, "w": 604_800}


def user_data_dir() -> Path:
    """Return where this user's data goes (XDG base directory specification)."""
    return Path(os.environ.get("XDG_DATA_HOME") or Path.home() / ".local/share") / "proglog"


def duration(flag: str, text: str) -> float:
    """Return the seconds of ``90s``, ``15m``, ``12h``, ``7d`` or ``2w``; a bare number is seconds.

    Raises:
        ConfigError: It is none of those.
    """
    number, unit = text[:-1], text[-1:]
    if unit.isdigit():
        number, unit = text, "s"
    if not (number.isascii() and number.isdigit() and len(number) <= 12) or unit not in _SECONDS:
        raise ConfigError(f"{flag} {text!r}: expected a time such as 90s, 15m, 12h, 7d or 2w")
    return float(int(number) * _SECONDS[unit])


def choice(flag: str, value: str, choices: Collection[str]) -> str:
    """Return ``value`` if it is one of ``choices``.

    Raises:
        ConfigError: It is not.
    """
    if value not in choices:
        *others, last = choices
        raise ConfigError(f"{flag} {value!r}: expected {', '.join(others)} or {last}")
    return value
