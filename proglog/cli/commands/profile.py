"""Manage named sets of client flags: agents, certificates, timeout.

create NAME saves the flags given with it, use NAME selects it, edit NAME changes only the flags given.
`proglog VERB --profile NAME` and PROGLOG_PROFILE select another for one command. A profile with --warning prints that on
stderr before each verb, in its --colour. A .proglog.toml in this directory or a parent overrides the current profile.

    proglog profile create staging --addr 10.0.0.1:8400,10.0.0.2:8400 --timeout 5s
    proglog profile use staging
    proglog profile edit staging --warning "careful" --colour red
"""

from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from proglog.addr import split_addr
from proglog.cli import options, output, profiles
from proglog.cli.output import Format, Table
from proglog.cli.profiles import Profiles, Values
from proglog.cli.shapes import Shape
from proglog.errors import ConfigError
from proglog.observe.columns import Column


class ProfileStep(StrEnum):
    """What is done with a profile."""

    LIST = "list"
    SHOW = "show"
    CREATE = "create"
    USE = "use"
    EDIT = "edit"
    REMOVE = "remove"


@dataclass(frozen=True, slots=True, kw_only=True)
class ProfileShape:
    """A profile. Values that it does not set are null."""

    name: str
    current: bool
    addr: str
    tls_ca_file: str | None
    tls_cert_file: str | None
    tls_key_file: str | None
    timeout_ms: int | None
    colour: str
    warning: str


@dataclass(frozen=True, slots=True)
class ChangedShape:
    """What was done with a profile."""

    step: str
    """create, use, edit or remove."""
    name: str
    file: str


PROFILES_SHAPE = Shape("profiles", ProfileShape)
CHANGED = Shape("profile-step", ChangedShape, many=False)
SHAPES = (PROFILES_SHAPE, CHANGED)
Row = tuple[str, Values, bool]
PROFILES: Table[Row] = Table(
    columns=(
        Column(title="PROFILE", value=lambda row: f"{row[0]}{' (current)' if row[2] else ''}", limit=80),
        Column(title="ADDR", value=lambda row: str(row[1].get("addr", "-")), limit=80),
        Column(title="TLS", value=lambda row: "yes" if "tls-ca-file" in row[1] else "no", rank=1),
        Column(title="WARNING", value=lambda row: str(row[1].get("warning", "")), limit=60, rank=2),
    ),
    shape=PROFILES_SHAPE,
    data=lambda row: _shaped(*row),
    empty="no profiles: `proglog profile create NAME --addr HOST:PORT` makes one",
)


def main(
    action: Annotated[ProfileStep, typer.Argument(metavar="[list|show|create|use|edit|remove]")] = ProfileStep.LIST,
    name: Annotated[str, typer.Argument(metavar="[NAME]", help="Name of the profile")] = "",
    addr: Annotated[str, typer.Option("--addr", metavar="HOST:PORT[,...]", help="Agent addresses")] = "",
    tls_ca_file: options.TLSCa = None,
    tls_cert_file: options.TLSCert = None,
    tls_key_file: options.TLSKey = None,
    timeout: Annotated[
        float | None, options.seconds_flag("timeout", "How long to wait for an answer: 5s, 500ms")
    ] = None,
    colour: Annotated[
        str, typer.Option("--colour", metavar="|".join(profiles.COLOURS), help="Colour of the warning")
    ] = "",
    warning: Annotated[str, typer.Option("--warning", metavar="TEXT", help="Warning to print before each verb")] = "",
    output_: options.Output = Format.TABLE,
) -> None:
    known = Profiles.load()
    if action is ProfileStep.LIST:
        output.items(_rows(known, sorted(known.profiles)), PROFILES, output_)
        return
    if not name:
        raise ConfigError(f"profile {action}: expected the NAME of a profile")
    if action is ProfileStep.SHOW:
        known.get(name)
        output.items(_rows(known, [name]), PROFILES, output_)
        return
    files = {"tls-ca-file": tls_ca_file, "tls-cert-file": tls_cert_file, "tls-key-file": tls_key_file}
    given = {
        "addr": addr,
        **{key: str(path.absolute()) if path else "" for key, path in files.items()},
        "timeout": timeout,
        "colour": colour,
        "warning": warning,
    }
    _change(known, action, profiles.check_name(name), {key: value for key, value in given.items() if value})
    known.save()
    shaped = ChangedShape(action.value, name, str(known.path))
    output.done(shaped, CHANGED, output_, f"{action.value}: {name}, in {known.path}")


def _change(known: Profiles, action: ProfileStep, name: str, given: Values) -> None:
    match action:
        case ProfileStep.CREATE:
            if name in known.profiles:
                raise ConfigError(f"profile {name} exists: `proglog profile edit {name}` changes it")
            known.profiles[name] = _usable(given)
            known.current = known.current or name
        case ProfileStep.EDIT:
            known.profiles[name] = _usable(known.get(name) | dict(given))
        case ProfileStep.USE:
            known.get(name)
            known.current = name
        case ProfileStep.REMOVE:
            known.get(name)
            del known.profiles[name]
            known.current = "" if known.current == name else known.current


def _usable(values: Values) -> dict[str, str | float]:
    """Return the values of a profile if a client could be made of them."""
    for addr in str(values["addr"]).split(",") if "addr" in values else ():
        split_addr(addr, "--addr")
    ca, cert, key = (Path(str(values[name])) if name in values else None for name in profiles.FLAGS[1:4])
    options.tls_files(ca, cert, key)
    return profiles.checked(values)


def _shaped(name: str, values: Values, current: bool) -> ProfileShape:
    def text(key: str) -> str | None:
        return str(values[key]) if key in values else None

    return ProfileShape(
        name=name,
        current=current,
        addr=text("addr") or "",
        tls_ca_file=text("tls-ca-file"),
        tls_cert_file=text("tls-cert-file"),
        tls_key_file=text("tls-key-file"),
        timeout_ms=round(float(values["timeout"]) * 1000) if "timeout" in values else None,
        colour=text("colour") or "",
        warning=text("warning") or "",
    )


def _rows(known: Profiles, names: list[str]) -> list[Row]:
    return [(name, known.profiles[name], name == known.current) for name in names]
