"""Named sets of client flags: which agents, which certificates.

``profiles.toml`` in the user's configuration directory::

    current = "staging"

    [staging]
    addr = "10.0.0.1:8400,10.0.0.2:8400"
    tls-ca-file = "/etc/proglog/ca.pem"

    [production]
    addr = "10.1.0.1:8400"
    colour = "red"
    warning = "production"

A project may have a file of its own, ``.proglog.toml``, with the same keys outside of any table; it is looked for in the
working directory and upwards. Precedence: the flag, its variable, the profile that ``--profile`` or ``PROGLOG_PROFILE``
names, the project's file, the current profile, the default.
"""

import json
import os
import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from proglog.cli import names
from proglog.cli.front import nearest, places
from proglog.errors import ConfigError, NotFoundError
from proglog.quantities import duration

CURRENT = "current"
FILE_NAME = "profiles.toml"
PROJECT_FILE = ".proglog.toml"
FLAGS = ("addr", "tls-ca-file", "tls-cert-file", "tls-key-file", "timeout")
LOOKS = ("colour", "warning")
COLOURS = {"red": 31, "green": 32, "yellow": 33, "blue": 34}
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,63}")

Values = Mapping[str, str | float]


@dataclass(frozen=True, slots=True)
class Chosen:
    """The profile that a command line uses."""

    values: Values = field(default_factory=dict)
    name: str = ""
    """Empty: none, or a project's file."""
    where: str = ""
    """The source of the values, in words; empty: none."""

    @property
    def warning(self) -> str:
        """The warning to print first; empty: none."""
        return str(self.values.get("warning", ""))


@dataclass(slots=True)
class Profiles:
    """The user's file."""

    path: Path
    profiles: dict[str, dict[str, str | float]]
    current: str = ""

    @classmethod
    def load(cls, path: Path | None = None) -> "Profiles":
        """Read the file; without one there are no profiles.

        Raises:
            ConfigError: It cannot be read, or holds something else; the message names the key.
        """
        path = path or places()["config"] / FILE_NAME
        table = _read(path)
        current = table.pop(CURRENT, "")
        if not isinstance(current, str):
            raise ConfigError(f"{path}: {CURRENT} = {current!r}: expected a profile's name")
        profiles = {check_name(name): _checked(values, f"{path} [{name}]") for name, values in table.items()}
        return cls(path, profiles, current)

    def save(self) -> None:
        """Write the file anew, whole or not at all; only its owner can read it.

        Raises:
            ConfigError: The directory cannot be written.
        """
        lines = [f"{CURRENT} = {json.dumps(self.current)}"] if self.current else []
        for name, values in sorted(self.profiles.items()):
            lines += ["", f"[{json.dumps(name)}]", *(f"{key} = {json.dumps(value)}" for key, value in values.items())]
        beside = self.path.with_suffix(".new")
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            with os.fdopen(
                os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w", encoding="utf-8"
            ) as file:
                file.write("\n".join(lines) + "\n")
            beside.replace(self.path)
        except OSError as exc:
            raise ConfigError(f"{self.path}: {exc.strerror}") from exc
        names.remember("profiles", self.profiles)

    def get(self, name: str) -> dict[str, str | float]:
        """Return a profile's values.

        Raises:
            NotFoundError: There is none of that name; the message has those that there are.
        """
        if name not in self.profiles:
            meant = nearest(name, self.profiles)
            known = f"did you mean {meant}?" if meant else f"there are: {', '.join(sorted(self.profiles)) or 'none'}"
            raise NotFoundError(f"no profile {name!r:.80}; {known}")
        return self.profiles[name]


def choose(named: str = "", *, path: Path | None = None, directory: Path | None = None) -> Chosen:
    """Return the profile that applies.

    Args:
        named: By ``--profile`` or its variable; empty: neither.
        path: The user's file; ``None``: the one in the configuration directory.
        directory: Where a project's file is looked for, and above; ``None``: the working directory.

    Raises:
        ConfigError: A file is not what it should be.
        NotFoundError: There is no profile ``named``.
    """
    if not named and (project := _project_file(directory)):
        values = _checked(_read(project), str(project))
        return Chosen(values, "", str(project))
    profiles = Profiles.load(path)
    name = named or profiles.current
    return Chosen(profiles.get(name), name, f"profile {name}") if name else Chosen()


def check_name(name: str) -> str:
    """Return ``name`` if a profile can have it.

    Raises:
        ConfigError: It cannot.
    """
    if not _NAME.fullmatch(name) or name == CURRENT:
        raise ConfigError(f"profile {name!r:.80}: expected up to 64 letters, digits, dots, dashes or underscores")
    return name


def checked(values: Values) -> dict[str, str | float]:
    """Return the values of a profile if they are that; errors as :meth:`Profiles.load`."""
    return _checked(values, "profile")


def _checked(values: object, where: str) -> dict[str, str | float]:
    if not isinstance(values, Mapping):
        raise ConfigError(f"{where}: expected a table of flags")
    made = dict(values)
    for key, value in values.items():
        if key not in (*FLAGS, *LOOKS):
            meant = nearest(str(key), (*FLAGS, *LOOKS))
            raise ConfigError(
                f"{where}: {key!r:.60} is no key of a profile" + (f"; did you mean {meant}?" if meant else "")
            )
        if key == "timeout" and isinstance(value, int | float | str) and not isinstance(value, bool):
            made[key] = duration(f"{where}: timeout", str(value), bare="s")
        elif not isinstance(value, str):
            raise ConfigError(
                f"{where}: {key} = {value!r:.60}: expected {'a duration' if key == 'timeout' else 'text'}"
            )
        if key == "colour" and value not in COLOURS:
            raise ConfigError(f"{where}: colour = {value!r:.60}: expected {', '.join(COLOURS)}")
    return made


def _read(path: Path) -> dict[str, object]:
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return {}
    except OSError as exc:
        raise ConfigError(f"{path}: {exc.strerror}") from exc
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as exc:
        raise ConfigError(f"{path} is not TOML: {exc}") from exc


def _project_file(directory: Path | None) -> Path | None:
    try:
        here = directory or Path.cwd()
    except OSError:  # the working directory is gone
        return None
    return next((path for each in (here, *here.parents) if (path := each / PROJECT_FILE).is_file()), None)
