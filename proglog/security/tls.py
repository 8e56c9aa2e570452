"""Mutual TLS: the three files of one side, checked, as gRPC credentials.

::

    server_credentials                          channel_credentials
      shows     cert_file + key_file              shows     cert_file + key_file
      demands   a certificate of ca_file          demands   a server of ca_file, with the dialled name in its SANs

A server looks at its files before each handshake (three ``stat`` calls, 4 us) and takes a new set without a restart.
A set that fails its checks is reported once, and the last good one stays. A connection takes no new calls after an
hour (:mod:`proglog.server.server`). Streams outlive that, until their certificate ends or its authority is withdrawn
(:mod:`proglog.security.trust`). A client reads its files when it makes its channel.

Source: gRPC's ``dynamic_ssl_server_credentials``; RFC 8446, RFC 5280.
"""

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple, cast

from proglog.errors import ConfigError
from proglog.security.certificates import (
    CertificateSummary,
    certificate_summary,
    check_pair,
    check_period,
    parse_certificates,
    parse_private_key,
    pem_of,
    pem_of_key,
    summary_of,
)
from proglog.security.files import FileVersion, Watched, check_secret, file_version, read_bounded

if TYPE_CHECKING:
    import grpc

__all__ = [
    "CertificateSummary",
    "RotatingMaterial",
    "TLSFiles",
    "TLSMaterial",
    "certificate_summary",
    "channel_credentials",
    "server_credentials",
]

MAX_PEM_BYTES = 4 << 20
"""Most that a file may have: the bundle of all public authorities has 220 KB."""


SETTLING_SECONDS = 0.2
"""How long after a change a certificate without its key is read again: the other file of the pair is on its way."""


def utc_now() -> datetime:
    """Return this machine's clock."""
    return datetime.now(UTC)


@dataclass(frozen=True, slots=True, kw_only=True)
class TLSMaterial:
    """The contents of one side's files, PEM, checked."""

    certificate_chain: bytes
    """The own certificate, then those between it and its authority."""

    private_key: bytes
    """The key of the first certificate in the chain."""

    authorities: bytes
    """Whose certificates the other side may show."""

    summary: CertificateSummary
    """What the own certificate says."""

    def __repr__(self) -> str:
        """Leave the key out of telemetry and tracebacks."""
        return f"TLSMaterial(summary={self.summary!r})"


@dataclass(frozen=True, slots=True, kw_only=True)
class TLSFiles:
    """Where one side's certificate, key and trusted authorities are, in PEM."""

    cert_file: Path
    """Own certificate, followed by intermediates if there are any."""

    key_file: Path
    """Its private key, not encrypted: RSA, or EC on P-256 or P-384."""

    ca_file: Path
    """Certificates of the authorities that the other side's certificate has to come from; several while they change."""

    def load(self, *, now: Callable[[], datetime] = utc_now) -> TLSMaterial:
        """Read and check the three files.

        Raises:
            ConfigError: A file cannot be read or parsed, the key is of another certificate, or a certificate is
                not valid now; names the file, what is wrong, and what to do.
        """
        while True:
            version, settled = self.version(), time.time() - SETTLING_SECONDS
            chain, key, authorities = (
                read_bounded(path, MAX_PEM_BYTES) for path in (self.cert_file, self.key_file, self.ca_file)
            )
            try:
                shown, secret = parse_certificates(chain, self.cert_file), parse_private_key(key, self.key_file)
                leaf = shown[0]
                check_pair(leaf, secret, self.cert_file, self.key_file)
                break
            except ConfigError:
                if max(each.changed_ns for each in version) / 1e9 < settled:
                    raise
            time.sleep(SETTLING_SECONDS / 10)  # one of the two is being replaced
        check_secret(self.key_file)
        moment = now()
        check_period(leaf, self.cert_file, moment)
        _check_authorities(authorities, self.ca_file, moment)
        trusted = parse_certificates(authorities, self.ca_file)
        # Written anew: gRPC parses with another library, which refuses some of what this one has read, such as a BOM.
        return TLSMaterial(
            certificate_chain=pem_of(shown),
            private_key=pem_of_key(secret),
            authorities=pem_of(trusted),
            summary=summary_of(leaf),
        )

    def certificate_ends(self) -> datetime:
        """Return when the own certificate ends; errors as :meth:`authorities_end`."""
        return parse_certificates(read_bounded(self.cert_file, MAX_PEM_BYTES), self.cert_file)[0].not_valid_after_utc

    def authorities_end(self) -> datetime:
        """Return when the last of the authorities ends.

        Raises:
            ConfigError: The file cannot be read, or holds no certificate.
        """
        held = parse_certificates(read_bounded(self.ca_file, MAX_PEM_BYTES), self.ca_file)
        return max(each.not_valid_after_utc for each in held)

    def version(self) -> tuple[FileVersion, FileVersion, FileVersion]:
        """Return what the files are now; equal while none was written or replaced."""
        return file_version(self.cert_file), file_version(self.key_file), file_version(self.ca_file)


class Generations(NamedTuple):
    """Which set of files is in use, and which one is wanted."""

    in_use: int
    """1: the first."""
    wanted: int
    """What the files hold; another one than that in use: it was refused."""
    since: float
    """When the one in use was taken, on the clock."""
    refused: str
    """Why the wanted one is not in use; empty: it is."""
    refused_since: float


class RotatingMaterial:
    """The newest good set of one side's files. Any thread may ask.

    ``on_reload`` gets the summary of each set taken later, ``on_error`` the reason of each one refused: once per set and
    reason, on the asking thread. One that was refused is tried again: its reason may pass.
    """

    def __init__(
        self,
        files: TLSFiles,
        *,
        on_reload: Callable[[CertificateSummary], None],
        on_error: Callable[[str], None],
        now: Callable[[], datetime] = utc_now,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Load the first set.

        Raises:
            ConfigError: It is not good.
        """
        self._files = files
        self._on_reload = on_reload
        self._on_error = on_error
        self._now = now
        self._lock = threading.Lock()
        self._clock = clock
        self._seen = files.version()
        self.generations = Generations(1, 1, clock(), "", 0.0)
        self._watched = Watched(self._seen, clock)  # before reading: a change while reading is seen the next time
        self.current = files.load(now=now)

    def retry(self) -> None:
        """Try what was refused again at the next handshake."""
        self._watched.retry()

    def poll(self) -> TLSMaterial | None:
        """Return the files' new contents; ``None`` while they are the same, or not good."""
        with self._lock:
            version = self._files.version()
            if not self._watched.is_due(version):
                return None
            before, now = self.generations, self._clock()
            wanted, self._seen = before.wanted + (version != self._seen), version
            try:
                material = self._files.load(now=self._now)
            except ConfigError as exc:
                since = before.refused_since if before.refused else now
                self.generations = before._replace(wanted=wanted, refused=str(exc), refused_since=since)
                if self._watched.refuse(version, str(exc)):
                    self._on_error(f"{exc}; the certificate loaded before stays in use")
                return None
            self._watched.take(version)
            self.generations = Generations(wanted, wanted, now, "", 0.0)
            self.current = material
            self._on_reload(material.summary)
            return material


def server_credentials(
    files: TLSFiles,
    *,
    on_reload: Callable[[CertificateSummary], None] = lambda _: None,
    on_error: Callable[[str], None] = lambda _: None,
) -> "grpc.ServerCredentials":
    """Return credentials that demand a client certificate and follow the files without a restart.

    Args:
        files: The server's certificate and key, and the authorities of its clients.
        on_reload: Told of each new certificate, on a thread of gRPC.
        on_error: Told why new files were refused, on a thread of gRPC.

    Raises:
        ConfigError: The files are not good now.
    """
    return rotating_credentials(RotatingMaterial(files, on_reload=on_reload, on_error=on_error))


def rotating_credentials(material: RotatingMaterial) -> "grpc.ServerCredentials":
    """Return credentials that show whatever ``material`` has at each handshake, and demand a client certificate."""
    import grpc

    shown, lock = material.current, threading.Lock()

    def fetch() -> grpc.ServerCertificateConfiguration | None:
        nonlocal shown
        material.poll()
        with lock:  # handshakes are on several threads, and one of them takes the new set for all
            before, shown = shown, material.current
            return None if shown is before else _server_configuration(shown)

    # The library documents None as "no change"; its stubs leave that out.
    fetcher = cast("Callable[[], grpc.ServerCertificateConfiguration]", fetch)
    return grpc.dynamic_ssl_server_credentials(
        _server_configuration(material.current), fetcher, require_client_authentication=True
    )


def channel_credentials(files: TLSFiles) -> "grpc.ChannelCredentials":
    """Return credentials for a client or a peer; a new channel is what takes new files.

    Raises:
        ConfigError: The files are not good now.
    """
    import grpc

    material = files.load()
    return grpc.ssl_channel_credentials(
        root_certificates=material.authorities,
        private_key=material.private_key,
        certificate_chain=material.certificate_chain,
    )


def _server_configuration(material: TLSMaterial) -> "grpc.ServerCertificateConfiguration":
    import grpc

    pair = (material.private_key, material.certificate_chain)
    return grpc.ssl_server_certificate_configuration([pair], root_certificates=material.authorities)


def _check_authorities(pem: bytes, ca_file: Path, now: datetime) -> None:
    """Check that one of the authorities is valid now: while they change, an old one may lie beside a new one."""
    refused: ConfigError | None = None
    for authority in parse_certificates(pem, ca_file):
        try:
            return check_period(authority, ca_file, now)
        except ConfigError as exc:
            refused = exc
    assert refused is not None, "parsing returns at least one certificate"
    raise refused
