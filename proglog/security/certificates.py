"""Reading X.509 certificates and private keys (RFC 5280, PEM of RFC 7468), and what of them an operator wants to see.

Failures are :class:`~proglog.errors.ConfigError` of one line: which file, what is wrong, what to do.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING

from proglog.errors import ConfigError

if TYPE_CHECKING:  # importing it takes 40 ms, which commands without TLS need not pay
    from cryptography.hazmat.primitives.asymmetric.types import PrivateKeyTypes
    from cryptography.x509 import Certificate, Name


@dataclass(frozen=True, slots=True, kw_only=True)
class CertificateSummary:
    """What status, dashboard and telemetry show of a certificate."""

    subject: str
    """Its first common name; empty without one."""

    issuer: str
    """Who signed it, in RFC 4514 notation such as ``CN=proglog development CA``."""

    names: tuple[str, ...]
    """DNS names and IP addresses that it is valid for, in its order."""

    not_before: datetime
    """Valid from, UTC."""

    not_after: datetime
    """Valid until, UTC."""


def certificate_summary(pem: bytes) -> CertificateSummary:
    """Return what the first certificate in ``pem`` says.

    Raises:
        ConfigError: There is no certificate in it.
    """
    return summary_of(parse_certificates(pem, "the certificate")[0])


def summary_of(certificate: "Certificate") -> CertificateSummary:
    """Return what ``certificate`` says."""
    return CertificateSummary(
        subject=_common_name(certificate.subject),
        issuer=certificate.issuer.rfc4514_string(),
        names=_alternative_names(certificate),
        not_before=certificate.not_valid_before_utc,
        not_after=certificate.not_valid_after_utc,
    )


def parse_certificates(pem: bytes, source: object) -> list["Certificate"]:
    """Return all certificates in ``pem``, at least one; ``source`` is the file's name for the error.

    Raises:
        ConfigError: There is none, or one that cannot be parsed.
    """
    from cryptography import x509
    from cryptography.exceptions import UnsupportedAlgorithm

    try:
        certificates = x509.load_pem_x509_certificates(pem)
    except (ValueError, x509.InvalidVersion) as exc:
        raise ConfigError(
            f"{source} holds no certificate in PEM form: expected a text file with '-----BEGIN CERTIFICATE-----'"
        ) from exc
    try:
        for certificate in certificates:  # the library parses a field when it is first asked for: ask here
            summary_of(certificate)
            certificate.public_key()
    except (ValueError, UnsupportedAlgorithm, x509.DuplicateExtension, x509.UnsupportedGeneralNameType) as exc:
        detail = " ".join(str(exc).split())
        raise ConfigError(f"{source} holds a damaged certificate ({detail}): issue a new certificate") from exc
    return certificates


def pem_of(certificates: "Iterable[Certificate]") -> bytes:
    """Return certificates as PEM, in order."""
    from cryptography.hazmat.primitives.serialization import Encoding

    return b"".join(certificate.public_bytes(Encoding.PEM) for certificate in certificates)


def pem_of_key(key: "PrivateKeyTypes") -> bytes:
    """Return a private key as PEM, PKCS#8, not encrypted."""
    from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())


def parse_private_key(pem: bytes, source: object) -> "PrivateKeyTypes":
    """Return the private key in ``pem``; ``source`` is the file's name for the error.

    Raises:
        ConfigError: There is none, it is encrypted, or of a kind that TLS here does not take.
    """
    from cryptography.exceptions import UnsupportedAlgorithm
    from cryptography.hazmat.primitives.asymmetric import ec, rsa
    from cryptography.hazmat.primitives.serialization import load_pem_private_key

    try:
        key = load_pem_private_key(pem, password=None)
    except TypeError as exc:  # the way cryptography says that a password is needed
        raise ConfigError(f"{source} is encrypted with a password: decrypt it (openssl pkey -in FILE)") from exc
    except (ValueError, UnsupportedAlgorithm) as exc:
        raise ConfigError(
            f"{source} holds no private key in PEM form: expected a text file with '-----BEGIN PRIVATE KEY-----'"
        ) from exc
    if not isinstance(key, ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey):
        raise ConfigError(f"{source} holds a {type(key).__name__}: gRPC takes RSA and elliptic-curve keys")
    # gRPC's own clients offer no signature over other curves, and its servers keep the old pair without a word.
    if isinstance(key, ec.EllipticCurvePrivateKey) and not isinstance(key.curve, ec.SECP256R1 | ec.SECP384R1):
        raise ConfigError(f"{source} holds a key on the curve {key.curve.name}: gRPC takes P-256 and P-384")
    return key


def check_pair(leaf: "Certificate", key: "PrivateKeyTypes", cert_source: object, key_source: object) -> None:
    """Check that ``key`` is the one that ``leaf`` was issued for.

    Raises:
        ConfigError: It is another one.
    """
    from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

    form = (Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    if key.public_key().public_bytes(*form) != leaf.public_key().public_bytes(*form):
        raise ConfigError(f"{key_source} is not the key of {cert_source}: give the pair that was issued together")


def check_period(certificate: "Certificate", source: object, now: datetime) -> None:
    """Check that ``certificate`` is valid at ``now``.

    Raises:
        ConfigError: It is not valid yet, or no longer.
    """
    start, end = certificate.not_valid_before_utc, certificate.not_valid_after_utc
    if now >= end:
        raise ConfigError(f"{source} expired at {end:%Y-%m-%dT%H:%M:%SZ}: issue a new certificate")
    if now < start:
        raise ConfigError(
            f"{source} is not valid before {start:%Y-%m-%dT%H:%M:%SZ}:"
            f" check this machine's clock, which says {now:%Y-%m-%dT%H:%M:%SZ}"
        )


def _common_name(name: "Name") -> str:
    from cryptography.x509.oid import NameOID

    found = name.get_attributes_for_oid(NameOID.COMMON_NAME)
    value = found[0].value if found else ""
    return value if isinstance(value, str) else ""


def _alternative_names(certificate: "Certificate") -> tuple[str, ...]:
    from cryptography import x509

    try:
        names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except x509.ExtensionNotFound:
        return ()
    return tuple(str(name.value) for name in names if isinstance(name, x509.DNSName | x509.IPAddress))
