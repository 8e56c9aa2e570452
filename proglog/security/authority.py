"""A certificate authority small enough to read: one EC P-256 key that signs servers and clients.

For development, tests and demonstrations. Its key lies unencrypted beside what it signs, so anyone who reads the
directory is everybody: a cluster that others can reach takes its certificates from an authority of its operator.

Source: RFC 5280 (profile), RFC 5480 (EC keys).
"""

import ipaddress
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from proglog.errors import ConfigError
from proglog.security.certificates import check_pair, parse_certificates, parse_private_key

AUTHORITY_NAME = "proglog development CA"
AUTHORITY_LIFETIME = timedelta(days=3650)
LEAF_LIFETIME = timedelta(days=365)
CLOCK_SKEW = timedelta(hours=1)
"""Certificates are valid since before they were made: the clocks of other machines may be behind."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Issued:
    """A certificate and its key, PEM."""

    certificate: bytes
    key: bytes

    def __repr__(self) -> str:
        """Leave the key out of telemetry and tracebacks."""
        return "Issued(...)"


class Authority:
    """Signs certificates. ``create`` makes one, ``load`` takes up one that was made."""

    def __init__(self, certificate: x509.Certificate, key: ec.EllipticCurvePrivateKey) -> None:
        """Wrap a pair that belongs together."""
        self._certificate = certificate
        self._key = key

    @classmethod
    def create(
        cls, now: datetime, *, name: str = AUTHORITY_NAME, lifetime: timedelta = AUTHORITY_LIFETIME
    ) -> "Authority":
        """Return a new authority, valid from an hour before ``now`` for ``lifetime``."""
        key = ec.generate_private_key(ec.SECP256R1())
        subject = _name(name)
        builder = _builder(subject, subject, key.public_key(), now - CLOCK_SKEW, now + lifetime)
        certificate = (
            builder.add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
            .add_extension(_key_usage(signs_certificates=True), critical=True)
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
            .sign(key, hashes.SHA256())
        )
        return cls(certificate, key)

    @classmethod
    def load(cls, issued: Issued, source: object) -> "Authority":
        """Return the authority in ``issued``; ``source`` is its place for the errors.

        Raises:
            ConfigError: It is not a pair of certificate and EC key.
        """
        certificate = parse_certificates(issued.certificate, source)[0]
        key = parse_private_key(issued.key, source)
        check_pair(certificate, key, source, source)
        if not isinstance(key, ec.EllipticCurvePrivateKey):
            raise ConfigError(
                f"{source} holds an authority with an RSA key: it was not made here; use another directory"
            )
        return cls(certificate, key)

    @property
    def pair(self) -> Issued:
        """The authority's own certificate and key."""
        return _pem(self._certificate, self._key)

    def issue(
        self,
        common_name: str,
        now: datetime,
        *,
        server_names: Sequence[str] = (),
        lifetime: timedelta = LEAF_LIFETIME,
    ) -> Issued:
        """Return a new certificate for ``common_name`` and its key.

        Args:
            common_name: The subject that policies name: 1 to 64 printable characters.
            now: The certificate is valid from an hour before.
            server_names: DNS names and IP addresses. Given any, a server may show the certificate, and use it as a
                client of its peers; without, only a client may.
            lifetime: Valid until ``now + lifetime``; negative makes one that has expired.

        Raises:
            ConfigError: A name cannot stand in a certificate.
        """
        key = ec.generate_private_key(ec.SECP256R1())
        end = now + lifetime
        start = min(now, end) - CLOCK_SKEW
        builder = _builder(_name(common_name), self._certificate.subject, key.public_key(), start, end)
        usages = [ExtendedKeyUsageOID.CLIENT_AUTH]
        if server_names:
            usages.insert(0, ExtendedKeyUsageOID.SERVER_AUTH)
            names = x509.SubjectAlternativeName([_alternative_name(name) for name in server_names])
            builder = builder.add_extension(names, critical=False)
        certificate = (
            builder.add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
            .add_extension(_key_usage(signs_certificates=False), critical=True)
            .add_extension(x509.ExtendedKeyUsage(usages), critical=False)
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
            .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(self._key.public_key()), critical=False)
            .sign(self._key, hashes.SHA256())
        )
        return _pem(certificate, key)


def _builder(
    subject: x509.Name, issuer: x509.Name, key: ec.EllipticCurvePublicKey, start: datetime, end: datetime
) -> x509.CertificateBuilder:
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(start)
        .not_valid_after(end)
    )


def _name(common_name: str) -> x509.Name:
    if not (1 <= len(common_name) <= 64 and common_name.isprintable()):
        raise ConfigError(f"common name {common_name!r}: expected 1 to 64 printable characters")
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common_name)])


def _alternative_name(name: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(name))
    except ValueError:
        pass  # then it is a DNS name
    if not name or not name.isascii() or not name.isprintable() or " " in name:
        raise ConfigError(f"server name {name!r}: expected a DNS name in ASCII or an IP address")
    return x509.DNSName(name)


def _key_usage(*, signs_certificates: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=True,
        key_cert_sign=signs_certificates,
        crl_sign=signs_certificates,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        encipher_only=False,
        decipher_only=False,
    )


def _pem(certificate: x509.Certificate, key: ec.EllipticCurvePrivateKey) -> Issued:
    return Issued(
        certificate=certificate.public_bytes(Encoding.PEM),
        key=key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()),
    )
