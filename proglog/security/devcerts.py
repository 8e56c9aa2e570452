"""Certificates for development, demos and tests: an authority of its own, a server, a peer, and clients.

Not for production: the authority's key lies beside the certificates it signs.
"""

import datetime
import ipaddress
import os
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from proglog.security.tls import TLSFiles

DEFAULT_SERVER_NAMES = ("localhost", "127.0.0.1", "::1")
VALID_DAYS = 365
_BACKDATED = datetime.timedelta(hours=1)
"""Clocks of two machines differ."""


@dataclass(frozen=True, slots=True)
class DevCerts:
    """An authority, and what it has signed so far."""

    directory: Path
    server: TLSFiles
    peer: TLSFiles
    """What an agent shows to its peers; its common name is ``root``, so that the book's policy lets it read."""
    clients: dict[str, TLSFiles] = field(hash=False)
    """By common name."""


def create_dev_certs(
    directory: Path,
    *,
    server_names: Sequence[str] = DEFAULT_SERVER_NAMES,
    clients: Sequence[str] = ("root",),
    valid_days: int = VALID_DAYS,
) -> DevCerts:
    """Make an authority and certificates signed by it.

    Args:
        directory: Created if missing; keys in it are readable by the owner only.
        server_names: DNS names and IP addresses of the server.
        clients: Common names; ``root`` is always among them.
        valid_days: From now; negative makes expired ones, for tests.

    Raises:
        OSError: The directory cannot be written.
    """
    directory.mkdir(parents=True, exist_ok=True)
    authority = _Authority(directory, valid_days)
    names = dict.fromkeys(("root", *clients))
    files = {name: authority.issue(f"client-{number}", name) for number, name in enumerate(names)}
    server = authority.issue("server", "server", server_names)
    return DevCerts(directory, server=server, peer=files["root"], clients=files)


class _Authority:
    def __init__(self, directory: Path, valid_days: int) -> None:
        self._directory = directory
        now = datetime.datetime.now(datetime.UTC)
        self._not_after = now + datetime.timedelta(days=valid_days)
        self._not_before = min(now, self._not_after) - _BACKDATED
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "proglog development CA")])
        usage = x509.KeyUsage(
            digital_signature=True,
            key_cert_sign=True,
            crl_sign=True,
            content_commitment=False,
            key_encipherment=False,
            data_encipherment=False,
            key_agreement=False,
            encipher_only=False,
            decipher_only=False,
        )
        certificate = (
            self._builder(self._name, self._key)
            .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
            .add_extension(usage, critical=True)
            .sign(self._key, hashes.SHA256())
        )
        self._ca_file = directory / "ca.pem"
        _write(self._ca_file, certificate.public_bytes(Encoding.PEM), 0o644)
        _write(directory / "ca-key.pem", _pem(self._key), 0o600)

    def issue(self, stem: str, common_name: str, names: Sequence[str] = ()) -> TLSFiles:
        """Make a key and a certificate: a server's and a client's at once, so that an agent can use it for both."""
        key = ec.generate_private_key(ec.SECP256R1())
        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common_name)])
        usages = [ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH]
        builder = (
            self._builder(subject, key)
            .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
            .add_extension(x509.ExtendedKeyUsage(usages), critical=False)
        )
        if names:
            builder = builder.add_extension(
                x509.SubjectAlternativeName([_name(name) for name in names]), critical=False
            )
        certificate = builder.sign(self._key, hashes.SHA256())
        cert_file, key_file = self._directory / f"{stem}.pem", self._directory / f"{stem}-key.pem"
        _write(cert_file, certificate.public_bytes(Encoding.PEM), 0o644)
        _write(key_file, _pem(key), 0o600)
        return TLSFiles(cert_file=cert_file, key_file=key_file, ca_file=self._ca_file)

    def _builder(self, subject: x509.Name, key: ec.EllipticCurvePrivateKey) -> x509.CertificateBuilder:
        return (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(self._name)
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(self._not_before)
            .not_valid_after(self._not_after)
        )


def _name(name: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(name))
    except ValueError:
        return x509.DNSName(name)


def _pem(key: ec.EllipticCurvePrivateKey) -> bytes:
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())


def _write(path: Path, data: bytes, mode: int) -> None:
    """Put ``data`` in the place of ``path`` in one step: an agent may be reading it."""
    draft = path.with_name(path.name + ".tmp")
    with open(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, mode), "wb") as file:  # noqa: PTH123 - with a mode
        file.write(data)
    draft.replace(path)
