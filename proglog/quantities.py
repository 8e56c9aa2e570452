"""Numbers with units as people write them: one grammar for flags, environment, TOML, ranges and the dashboard.

::

    500ms  90s  1.5s  15m  12h  7d  2w      a duration; where seconds are meant, a bare number is seconds
    1048576  512KiB  64MiB  2GB    a size: a bare number is bytes, as the names of the flags say
    1000000  1,000,000  500k  2M   a number of things
"""

import re

from proglog.errors import ConfigError

_SECONDS = {"ms": 0.001, "s": 1, "m": 60, "h": 3600, "d": 86_400, "w": 604_800}
_BYTES = {"": 1, "B": 1} | {
    prefix + suffix: base**power
    for base, suffix in ((1000, "B"), (1024, "iB"))
    for power, prefix in enumerate("kMGT" if base == 1000 else "KMGT", 1)
}
_QUANTITY = re.compile(r"([0-9]{1,15}(?:\.[0-9]{1,9})?) ?([A-Za-z]*)")


def seconds(text: str, *, bare: str = "") -> float | None:
    """Return the seconds of a duration; ``None``: it is none. Arguments as :func:`duration`."""
    number, unit = _parts(text)
    scale = _SECONDS.get(unit or bare)
    return None if number is None or scale is None else float(number * scale)


def duration(flag: str, text: str, *, bare: str = "") -> float:
    """Return the seconds of ``500ms``, ``90s``, ``15m``, ``12h``, ``7d`` or ``2w``.

    Args:
        flag: For messages.
        text: As typed.
        bare: The unit of a bare number; empty: it is refused.

    Raises:
        ConfigError: It is none of those; a number without a unit is not guessed at.
    """
    found = seconds(text, bare=bare)
    if found is not None:
        return found
    if _parts(text)[0] is not None and not _parts(text)[1]:
        raise ConfigError(
            f"{flag} {text!r}: a duration needs a unit: {text.strip()}s is seconds, {text.strip()}d is days"
        )
    raise ConfigError(f"{flag} {text!r:.60}: expected a duration such as 500ms, 90s, 15m, 12h, 7d or 2w")


def size(flag: str, text: str) -> int:
    """Return the bytes of ``1048576``, ``512KiB``, ``64MiB`` or ``2GB``.

    Raises:
        ConfigError: It is none of those.
    """
    number, unit = _parts(text)
    if number is None or unit not in _BYTES or (not unit and number != int(number)):
        raise ConfigError(f"{flag} {text!r:.60}: expected bytes, or a size such as 512KiB, 64MiB or 2GB")
    return int(number * _BYTES[unit])


def count(flag: str, text: str) -> int:
    """Return the number of ``1000000``, ``1,000,000``, ``500k`` or ``2M``.

    Raises:
        ConfigError: It is none of those.
    """
    number, unit = _parts(text.replace(",", "").replace("_", ""))
    scale = {"": 1, "k": 1_000, "M": 1_000_000, "G": 1_000_000_000}.get(unit)
    if number is None or scale is None or number * scale != int(number * scale):
        raise ConfigError(f"{flag} {text!r:.60}: expected a number such as 1000000, 500k or 2M")
    return int(number * scale)


def number(flag: str, text: str) -> float:
    """Return the number of ``14`` or ``2.5``, which the name of the flag gives its unit.

    Raises:
        ConfigError: It is none.
    """
    found, unit = _parts(text)
    if found is None or unit:
        raise ConfigError(f"{flag} {text!r:.60}: expected a number such as 14 or 2.5")
    return float(found)


def _parts(text: str) -> tuple[float | None, str]:
    found = _QUANTITY.fullmatch(text.strip())
    if not found:
        return None, ""
    return float(found[1]) if "." in found[1] else int(found[1]), found[2]
