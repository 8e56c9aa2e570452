"""Durations and sizes as people write them: one grammar for flags, environment and TOML.

::

    90s  15m  12h  7d  2w          a duration: always with a unit, for 7 could be seconds or days
    1048576  512KiB  64MiB  2GB    a size: a bare number is bytes, as the names of the flags say
"""

import re

from proglog.errors import ConfigError

_SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86_400, "w": 604_800}
_BYTES = {"": 1, "B": 1} | {
    prefix + suffix: base**power
    for base, suffix in ((1000, "B"), (1024, "iB"))
    for power, prefix in enumerate("kMGT" if base == 1000 else "KMGT", 1)
}
_QUANTITY = re.compile(r"([0-9]{1,15}) ?([A-Za-z]*)")


def duration(flag: str, text: str) -> float:
    """Return the seconds of ``90s``, ``15m``, ``12h``, ``7d`` or ``2w``.

    Raises:
        ConfigError: It is none of those; a number without a unit is not guessed at.
    """
    number, unit = _parts(text)
    if number is not None and not unit:
        raise ConfigError(f"{flag} {text!r}: a duration needs a unit: {number}s is seconds, {number}d is days")
    if number is None or unit not in _SECONDS:
        raise ConfigError(f"{flag} {text!r}: expected a duration such as 90s, 15m, 12h, 7d or 2w")
    return float(number * _SECONDS[unit])


def size(flag: str, text: str) -> int:
    """Return the bytes of ``1048576``, ``512KiB``, ``64MiB`` or ``2GB``.

    Raises:
        ConfigError: It is none of those.
    """
    number, unit = _parts(text)
    if number is None or unit not in _BYTES:
        raise ConfigError(f"{flag} {text!r}: expected bytes, or a size such as 512KiB, 64MiB or 2GB")
    return int(number * _BYTES[unit])


def _parts(text: str) -> tuple[int | None, str]:
    found = _QUANTITY.fullmatch(text.strip())
    return (int(found[1]), found[2]) if found else (None, "")
