"""Mutual TLS out of three files: certificate, key, and the authority that the other side's has to come from.

Files are checked before gRPC sees them, because its own complaint about a bad key is a handshake that fails later, on
the other machine. A server's certificate rotates without a restart: the files are looked at with each new connection,
and the last good ones stay in use when the new ones do not load.
"""

import datetime
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from proglog.errors import ConfigError

if TYPE_CHECKING:
    import grpc
    from cryptography import x509

MAX_FILE_BYTES = 1024 * 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class TLSFiles:
    """Where the PEM files are."""

    cert_file: Path
    """What this side shows: a certificate, and those between it and the authority."""

    key_file: Path
    """The certificate's private key, without a passphrase."""

    ca_file: Path
    """The authority that the other side's certificate has to come from."""


@dataclass(frozen=True, slots=True)
class TLSMaterial:
    """The bytes of three PEM files that fit together."""

    cert: bytes
    key: bytes
    ca: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class CertificateSummary:
    """What an operator wants to know of a certificate."""

    subject: str
    """Common name; empty without one."""
    issuer: str
    names: tuple[str, ...]
    """DNS names and IP addresses that it is valid for."""
    not_before: datetime.datetime
    not_after: datetime.datetime


def load(files: TLSFiles) -> TLSMaterial:
    """Read and check three files.

    Raises:
        ConfigError: One cannot be read or parsed, the certificate is not valid now, or the key is another's.
    """
    material = TLSMaterial(_read(files.cert_file), _read(files.key_file), _read(files.ca_file))
    certificate = _parse_certificate(material.cert, files.cert_file)
    _parse_certificate(material.ca, files.ca_file)
    now = datetime.datetime.now(datetime.UTC)
    if certificate.not_valid_after_utc <= now:
        raise ConfigError(f"{files.cert_file}: the certificate expired on {_day(certificate.not_valid_after_utc)}")
    if certificate.not_valid_before_utc > now:
        raise ConfigError(
            f"{files.cert_file}: the certificate is not valid before {_day(certificate.not_valid_before_utc)}"
        )
    _check_key(material.key, certificate, files)
    return material


def server_credentials(
    files: TLSFiles, on_rejected: Callable[[str], None] = lambda message: None
) -> "grpc.ServerCredentials":
    """Return credentials that ask every client for a certificate and pick up renewed files by themselves.

    Args:
        files: Of the server.
        on_rejected: Called with a sentence when renewed files do not load; the last good ones stay in use.

    Raises:
        ConfigError: As :func:`load`.
    """
    import grpc

    configuration = _configuration(load(files))
    seen = _stamps(files)

    def renewed() -> "grpc.ServerCertificateConfiguration | None":
        nonlocal seen
        stamps = _stamps(files)
        if stamps == seen:
            return None
        seen = stamps
        try:
            return _configuration(load(files))
        except ConfigError as exc:
            on_rejected(str(exc))
            return None

    return grpc.dynamic_ssl_server_credentials(configuration, renewed, require_client_authentication=True)


def channel_credentials(files: TLSFiles) -> "grpc.ChannelCredentials":
    """Return credentials for calls to a server whose certificate comes from the files' authority.

    Raises:
        ConfigError: As :func:`load`.
    """
    import grpc

    material = load(files)
    return grpc.ssl_channel_credentials(material.ca, material.key, material.cert)


def certificate_summary(pem: bytes) -> CertificateSummary:
    """Return what a PEM certificate says.

    Raises:
        ConfigError: It is not one.
    """
    from cryptography import x509

    certificate = _parse_certificate(pem, None)
    try:
        names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except x509.ExtensionNotFound:
        names = x509.SubjectAlternativeName([])
    return CertificateSummary(
        subject=common_name(certificate),
        issuer=certificate.issuer.rfc4514_string(),
        names=tuple(str(name.value) for name in names),
        not_before=certificate.not_valid_before_utc,
        not_after=certificate.not_valid_after_utc,
    )


def common_name(certificate: "x509.Certificate") -> str:
    """Return the common name of a certificate's subject; empty without one."""
    from cryptography.x509.oid import NameOID

    found = certificate.subject.get_attributes_for_oid(NameOID.COMMON_NAME)
    return str(found[0].value) if found else ""


def _configuration(material: TLSMaterial) -> "grpc.ServerCertificateConfiguration":
    import grpc

    return grpc.ssl_server_certificate_configuration(((material.key, material.cert),), root_certificates=material.ca)


def _stamps(files: TLSFiles) -> tuple[tuple[int, int], ...]:
    stamps = []
    for path in (files.cert_file, files.key_file, files.ca_file):
        try:
            stat = path.stat()
        except OSError:  # on its way to being replaced: load() says so if it stays away
            stamps.append((0, 0))
        else:
            stamps.append((stat.st_mtime_ns, stat.st_size))
    return tuple(stamps)


def _read(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            data = file.read(MAX_FILE_BYTES + 1)
    except OSError as exc:
        raise ConfigError(f"{path}: {exc.strerror or exc}; expected a PEM file") from exc
    if len(data) > MAX_FILE_BYTES:
        raise ConfigError(f"{path}: more than {MAX_FILE_BYTES} bytes; expected a PEM file")
    return data


def _parse_certificate(pem: bytes, path: Path | None) -> "x509.Certificate":
    from cryptography import x509

    try:
        return x509.load_pem_x509_certificates(pem)[0]
    except (ValueError, IndexError) as exc:
        where = f"{path}: " if path else ""
        raise ConfigError(f"{where}no certificate in PEM form (-----BEGIN CERTIFICATE-----)") from exc


def _check_key(pem: bytes, certificate: "x509.Certificate", files: TLSFiles) -> None:
    from cryptography.exceptions import UnsupportedAlgorithm
    from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat, load_pem_private_key

    try:
        key = load_pem_private_key(pem, None)
    except TypeError as exc:
        raise ConfigError(f"{files.key_file}: the key has a passphrase; expected one without") from exc
    except (ValueError, UnsupportedAlgorithm) as exc:
        raise ConfigError(f"{files.key_file}: no private key in PEM form (-----BEGIN PRIVATE KEY-----)") from exc
    form = (Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    if key.public_key().public_bytes(*form) != certificate.public_key().public_bytes(*form):
        raise ConfigError(f"{files.key_file} is not the key of {files.cert_file}: give the pair that belongs together")


def _day(moment: datetime.datetime) -> str:
    return moment.strftime("%Y-%m-%d %H:%M UTC")
