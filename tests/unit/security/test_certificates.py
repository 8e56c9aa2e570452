"""Certificates and keys that are damaged, or that gRPC would not take: one clear line, never a traceback."""

import base64
import random
import warnings
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.utils import CryptographyDeprecationWarning

from proglog.errors import ConfigError
from proglog.security.authority import Authority
from proglog.security.certificates import check_pair, parse_certificates, parse_private_key

NOW = datetime(2030, 1, 1, tzinfo=UTC)
SOURCE = Path("/etc/proglog/server.pem")


def der(pem: bytes) -> bytes:
    return base64.b64decode(b"".join(line for line in pem.splitlines() if b"-----" not in line))


def as_pem(content: bytes, label: bytes) -> bytes:
    return b"-----BEGIN %b-----\n%b-----END %b-----\n" % (label, base64.encodebytes(content), label)


def damaged(content: bytes, dice: random.Random) -> bytes:
    spoiled = bytearray(content)
    spoiled[dice.randrange(len(spoiled))] ^= dice.randrange(1, 256)
    return bytes(spoiled)


def private_key_on(curve: ec.EllipticCurve) -> bytes:
    key = ec.generate_private_key(curve)
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())


def test_a_pair_with_any_damaged_byte_is_read_or_refused_in_one_line() -> None:
    issued = Authority.create(NOW).issue("proglog-server", NOW, server_names=("localhost", "127.0.0.1"))
    dice = random.Random(7)
    refusals: list[str] = []

    for _ in range(600):
        certificate = as_pem(damaged(der(issued.certificate), dice), b"CERTIFICATE")
        key = as_pem(damaged(der(issued.key), dice), b"PRIVATE KEY")
        try:
            with warnings.catch_warnings():
                # The library warns of a serial number that is not positive, and reads on.
                warnings.simplefilter("ignore", CryptographyDeprecationWarning)
                leaf = parse_certificates(certificate, SOURCE)[0]
            check_pair(leaf, parse_private_key(issued.key, SOURCE), SOURCE, SOURCE)
            parse_private_key(key, SOURCE)
        except ConfigError as exc:
            refusals.append(str(exc))

    assert len(refusals) > 500
    assert [line for line in refusals if str(SOURCE) not in line or not line.isprintable()] == []


def test_a_certificate_with_an_unreadable_extension_is_refused() -> None:
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "odd")])
    names = x509.UnrecognizedExtension(x509.SubjectAlternativeName.oid, b"not ASN.1")
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(NOW)
        .not_valid_after(NOW + timedelta(days=1))
        .add_extension(names, critical=False)
        .sign(key, hashes.SHA256())
    )

    with pytest.raises(ConfigError, match=r"server\.pem holds a damaged certificate \(.+\): issue a new certificate"):
        parse_certificates(certificate.public_bytes(Encoding.PEM), SOURCE)


@pytest.mark.parametrize("curve", [ec.SECP256R1(), ec.SECP384R1()])
def test_keys_on_the_curves_of_grpc_are_taken(curve: ec.EllipticCurve) -> None:
    assert isinstance(parse_private_key(private_key_on(curve), SOURCE), ec.EllipticCurvePrivateKey)


@pytest.mark.parametrize("curve", [ec.SECP521R1(), ec.SECP224R1(), ec.SECP256K1(), ec.BrainpoolP256R1()])
def test_a_key_on_a_curve_whose_handshakes_would_all_fail_is_refused(curve: ec.EllipticCurve) -> None:
    with pytest.raises(ConfigError, match=rf"on the curve {curve.name}: gRPC takes P-256 and P-384"):
        parse_private_key(private_key_on(curve), SOURCE)
