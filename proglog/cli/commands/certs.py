"""Create an authority, certificates, rules and a gossip key for development, and show how to use them.

``serve.toml`` (for agents) and ``client-NAME.env`` (for clients) in DIR refer to all of them; DIR without ``ca-key.pem`` can
be carried to other agents' machines. An existing authority, rules,
key and valid certificates are kept; `--renew` reissues the certificates. New clients are added to the rules; clients
that have rules keep them. The authority's key is stored beside the certificates it signs: for a cluster that others can
reach, use your own authority.

    proglog certs certs
    proglog certs certs --host log.example.com --client alice
"""

import json
import shlex
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import typer

from proglog.cli import options, output
from proglog.cli.output import Format, Table
from proglog.cli.shapes import Shape, instant
from proglog.errors import ConfigError
from proglog.observe.columns import Column


@dataclass(frozen=True, slots=True)
class MadeCertificate:
    """A certificate that was made."""

    file: str
    subject: str
    names: Sequence[str]
    """DNS names and addresses that it is good for."""
    expires_at_ms: int


CERTIFICATES_SHAPE = Shape("certs", MadeCertificate, identity=("file",))
SHAPES = (CERTIFICATES_SHAPE,)
CERTIFICATES: Table[MadeCertificate] = Table(
    columns=(
        Column(title="FILE", value=lambda made: made.file, limit=40),
        Column(title="SUBJECT", value=lambda made: made.subject, limit=40),
        Column(title="GOOD FOR", value=lambda made: ", ".join(made.names), limit=60),
        Column(title="EXPIRES", value=lambda made: (instant(made.expires_at_ms) or "-")[:10]),
    ),
    shape=CERTIFICATES_SHAPE,
)


def main(
    directory: Annotated[Path, typer.Argument(metavar="DIR", help="Output directory; created if missing")],
    host: Annotated[
        list[str] | None,
        typer.Option(
            "--host", metavar="NAME", help="DNS name or address that clients dial, in addition to this machine's own"
        ),
    ] = None,
    client: Annotated[
        list[str] | None,
        typer.Option(
            "--client",
            metavar="NAME[=ACTION,...]",
            help="Client to issue a certificate for, and what it may do: alice, or reader=consume,observe",
            show_default="root",
        ),
    ] = None,
    renew: Annotated[bool, typer.Option("--renew", help="Reissue certificates that are still valid")] = False,
    output_: options.Output = Format.TABLE,
) -> None:
    from proglog.cli import diagnostics
    from proglog.security.actions import ACTIONS
    from proglog.security.devcerts import LOCAL_NAMES, PEER_SUBJECT, create_dev_certs
    from proglog.security.devrules import CLIENT_ACTIONS, check_rights, create_gossip_key, create_rules

    asked = dict(_asked(text) for text in client or [PEER_SUBJECT])
    rights = {name: CLIENT_ACTIONS if actions is None else actions for name, actions in asked.items()}
    check_rights(rights)
    certs = create_dev_certs(directory, (*LOCAL_NAMES, *(host or ())), tuple(asked), keep=not renew)
    model, policy, added = create_rules(directory, {**rights, PEER_SUBJECT: ACTIONS})
    for name, actions in asked.items():
        if actions is not None and name not in added:
            diagnostics.note(f"{name} has rules in {policy} already, which stay: edit them there")
    key = create_gossip_key(directory)
    made = [certs.ca_file, certs.server.cert_file, certs.peer.cert_file]
    made += [files.cert_file for files in certs.clients.values()]
    output.items([_certificate(path) for path in made], CERTIFICATES, output_)
    serve = {"acl-model-file": model, "acl-policy-file": policy, "encrypt-file": key}
    for side, files in (("server", certs.server), ("peer", certs.peer)):
        serve |= {f"{side}-tls-cert-file": files.cert_file, f"{side}-tls-key-file": files.key_file}
        serve |= {f"{side}-tls-ca-file": files.ca_file}
    config = directory / "serve.toml"
    _write(config, (f"{flag} = {json.dumps(path.name)}" for flag, path in serve.items()))
    diagnostics.note(f"agents:  proglog serve --config {shlex.quote(str(config))}")
    for name, files in certs.clients.items():
        paths = {"CA": files.ca_file, "CERT": files.cert_file, "KEY": files.key_file}
        variables = directory / f"client-{name}.env"
        _write(variables, (f"export PROGLOG_TLS_{kind}_FILE={_quoted(path)}" for kind, path in paths.items()))
        diagnostics.note(f"{name}:  . {shlex.quote(str(variables))}; proglog status")


def _asked(text: str) -> tuple[str, tuple[str, ...] | None]:
    """Return a client's name, and its actions if any are given: ``alice``, ``reader=consume,observe``, ``nobody=``."""
    name, given, actions = text.partition("=")
    return name, tuple(each.strip() for each in actions.split(",") if each.strip()) if given else None


def _quoted(path: Path) -> str:
    return shlex.quote(str(path.absolute()))


def _write(path: Path, lines: Iterable[str]) -> None:
    try:
        path.write_text("".join(f"{line}\n" for line in lines))
    except OSError as exc:
        raise ConfigError(f"{path} cannot be written: {exc.strerror}") from exc


def _certificate(path: Path) -> MadeCertificate:
    from proglog.security.tls import certificate_summary

    summary = certificate_summary(path.read_bytes())
    return MadeCertificate(str(path), summary.subject, list(summary.names), round(summary.not_after.timestamp() * 1000))
