"""Who is calling."""

from datetime import UTC, datetime

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import NameOID

from proglog.security.subject import NO_SUBJECT, subject_of

KEY = ec.generate_private_key(ec.SECP256R1())
MOMENT = datetime(2026, 1, 1, tzinfo=UTC)


def shown(*names: str) -> bytes:
    """A certificate with these common names, in PEM."""
    attributes = [x509.NameAttribute(NameOID.COMMON_NAME, name, _validate=False) for name in names]
    name = x509.Name(attributes)
    builder = x509.CertificateBuilder().subject_name(name).issuer_name(name).public_key(KEY.public_key())
    builder = builder.serial_number(1).not_valid_before(MOMENT).not_valid_after(MOMENT)
    return builder.sign(KEY, hashes.SHA256()).public_bytes(Encoding.PEM)


def context(*names: str) -> dict[str, list[bytes]]:
    """As gRPC reports such a certificate: names as C strings."""
    as_c = [name.encode().split(b"\0")[0] for name in names]
    return {"x509_common_name": as_c, "x509_pem_cert": [shown(*names)]}


def test_the_subject_is_the_common_name_in_the_certificate() -> None:
    assert subject_of(context("root")) == "root"


def test_the_first_common_name_counts() -> None:
    assert subject_of(context("first", "second")) == "first"


def test_a_name_that_is_read_in_two_ways_is_no_subject() -> None:
    assert context("root\0evil")["x509_common_name"] == [b"root"]
    assert subject_of(context("root\0evil")) == NO_SUBJECT
    assert subject_of({"x509_common_name": [b"root"], "x509_pem_cert": [shown("other")]}) == NO_SUBJECT
    assert subject_of({"x509_common_name": [b"root"], "x509_pem_cert": [b"no certificate"]}) == NO_SUBJECT
    assert subject_of({"x509_common_name": [b"root"]}) == NO_SUBJECT


@pytest.mark.parametrize("without", [None, {}, {"x509_common_name": []}, {"transport_security_type": [b"ssl"]}])
def test_without_a_certificate_there_is_no_subject(without: dict[str, list[bytes]] | None) -> None:
    assert subject_of(without) == NO_SUBJECT == ""
    assert subject_of({"x509_pem_cert": [shown()]}) == NO_SUBJECT


@pytest.mark.filterwarnings("ignore:Attribute's length")
@pytest.mark.parametrize("name", ["root\n", "\x1b[2J", "\u202etoor", "r" * 65])
def test_a_name_that_cannot_be_shown_or_compared_is_no_subject(name: str) -> None:
    assert subject_of(context(name)) == NO_SUBJECT
