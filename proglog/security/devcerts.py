"""Development certificates in one directory: an authority, a server, a peer, and clients by name.

::

    ca.pem      ca-key.pem         the authority; made once, then reused
    server.pem  server-key.pem     what agents show; names and addresses of this machine
    peer.pem    peer-key.pem       what agents are to each other: the subject ``root``, as in the book
    client-NAME.pem  client-NAME-key.pem

Keys are readable by their owner only. Each file is replaced in one step, the key before its certificate, so an agent
that looks in between finds a pair that does not match, keeps what it has, and takes the whole pair the next time.

Not for production: the authority's key lies beside the certificates it signs.
"""

import os
import re
import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path

from proglog.errors import ConfigError
from proglog.security.authority import LEAF_LIFETIME, Authority, Issued
from proglog.security.files import read_bounded
from proglog.security.tls import MAX_PEM_BYTES, TLSFiles, utc_now

LOCAL_NAMES = ("localhost", "127.0.0.1", "::1")
PEER_SUBJECT = "root"
SERVER_SUBJECT = "proglog-server"

_FILE_SAFE = re.compile(r"[A-Za-z0-9][A-Za-z0-9._@-]{0,63}")
_RESERVED_STEMS = re.compile(r"ca|peer|client-.*|.*-key")
_CERTIFICATE_MODE = 0o644
_KEY_MODE = 0o600


@dataclass(frozen=True, slots=True, kw_only=True)
class DevCerts:
    """What :func:`create_dev_certs` made, and more of the same authority."""

    directory: Path
    """Where all files are."""

    ca_file: Path
    """The authority's certificate: what everybody trusts."""

    server: TLSFiles
    """For agents as servers."""

    peer: TLSFiles
    """For agents as clients of their peers; the subject is ``root``."""

    clients: Mapping[str, TLSFiles]
    """By common name."""

    authority: Authority
    """Signs more."""

    def add_client(self, common_name: str, *, lifetime: timedelta = LEAF_LIFETIME) -> TLSFiles:
        """Issue a client certificate, replacing an earlier one of that name; a negative ``lifetime`` has expired.

        Raises:
            ConfigError: The name cannot stand in a certificate and a file name, or the files cannot be written.
        """
        _check_file_safe(common_name)
        issued = self.authority.issue(common_name, utc_now(), lifetime=lifetime)
        return _write_pair(self.directory, f"client-{common_name}", issued)

    def add_server(
        self,
        file_stem: str = "server",
        *,
        server_names: Sequence[str] = LOCAL_NAMES,
        common_name: str = SERVER_SUBJECT,
        lifetime: timedelta = LEAF_LIFETIME,
    ) -> TLSFiles:
        """Issue a server certificate; with the default ``file_stem`` it replaces the first, and agents rotate to it.

        Raises:
            ConfigError: A name cannot stand in a certificate or file name, or the files cannot be written.
        """
        _check_file_safe(file_stem)
        if _RESERVED_STEMS.fullmatch(file_stem):
            raise ConfigError(f"file name {file_stem!r} belongs to another certificate: choose one such as 'server-2'")
        issued = self.authority.issue(common_name, utc_now(), server_names=server_names, lifetime=lifetime)
        return _write_pair(self.directory, file_stem, issued)


def create_dev_certs(
    directory: Path,
    server_names: Sequence[str] = LOCAL_NAMES,
    clients: Sequence[str] = ("root",),
    *,
    keep: bool = False,
) -> DevCerts:
    """Make certificates in ``directory``, which is created if missing; its authority is reused if it has one.

    Args:
        directory: Receives all files.
        server_names: DNS names and IP addresses that clients dial, at least one.
        clients: Common names, one certificate each.
        keep: Whether certificates that are there and good now stay; a server's that lacks a name is made anew with its
            old names and the new ones.

    Raises:
        ConfigError: A name cannot stand in a certificate, or the directory cannot be written.
    """
    if not server_names:
        raise ConfigError("a server certificate needs a name: give a DNS name or an IP address that clients dial")
    for name in clients:
        _check_file_safe(name)
    now = utc_now()
    authority = _take_up_authority(directory, now)
    had = _good(directory, "server") if keep else None
    names = tuple(dict.fromkeys((*(had.load().summary.names if had else ()), *server_names)))
    if had is None or set(had.load().summary.names) < set(names):
        had = _write_pair(directory, "server", authority.issue(SERVER_SUBJECT, now, server_names=names))

    def client(stem: str, name: str) -> TLSFiles:
        held = _good(directory, stem) if keep else None
        return held or _write_pair(directory, stem, authority.issue(name, now))

    return DevCerts(
        directory=directory,
        ca_file=directory / "ca.pem",
        server=had,
        peer=client("peer", PEER_SUBJECT),
        clients={name: client(f"client-{name}", name) for name in clients},
        authority=authority,
    )


def _good(directory: Path, stem: str) -> TLSFiles | None:
    """Return the pair in ``directory`` if it can be used now."""
    files = _files(directory, stem)
    try:
        files.load()
    except ConfigError:  # missing, expired, or half of it: it is made anew
        return None
    return files


def _files(directory: Path, stem: str) -> TLSFiles:
    return TLSFiles(
        cert_file=directory / f"{stem}.pem", key_file=directory / f"{stem}-key.pem", ca_file=directory / "ca.pem"
    )


def _take_up_authority(directory: Path, now: datetime) -> Authority:
    """Return the directory's authority, made if there is none: a new one would make strangers of all it signed."""
    cert_file, key_file = directory / "ca.pem", directory / "ca-key.pem"
    if cert_file.exists() != key_file.exists():
        present, missing = (cert_file, key_file) if cert_file.exists() else (key_file, cert_file)
        raise ConfigError(f"{present} is there, but {missing} is not: restore it, or use an empty directory")
    if cert_file.exists():
        pair = Issued(certificate=read_bounded(cert_file, MAX_PEM_BYTES), key=read_bounded(key_file, MAX_PEM_BYTES))
        return Authority.load(pair, cert_file)
    authority = Authority.create(now)
    _write_pair(directory, "ca", authority.pair)
    return authority


def _check_file_safe(name: str) -> None:
    if not _FILE_SAFE.fullmatch(name):
        raise ConfigError(
            f"certificate name {name!r}: expected 1 to 64 letters, digits and . _ @ -, beginning with a letter or digit"
        )


def _write_pair(directory: Path, stem: str, issued: Issued) -> TLSFiles:
    files = _files(directory, stem)
    try:
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        _replace(files.key_file, issued.key, _KEY_MODE)
        _replace(files.cert_file, issued.certificate, _CERTIFICATE_MODE)
    except OSError as exc:
        raise ConfigError(f"{directory} cannot be written: {exc.strerror}; choose another directory") from exc
    return files


def _replace(path: Path, content: bytes, mode: int) -> None:
    """Put ``content`` in place in one step, never readable by more than ``mode`` says."""
    draft = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        draft.replace(path)
    except OSError:
        draft.unlink(missing_ok=True)
        raise
