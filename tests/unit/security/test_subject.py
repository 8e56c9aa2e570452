"""Who is calling."""

from datetime import UTC, datetime

import pytest

from proglog.errors import ConfigError
from proglog.security.authority import Authority
from proglog.security.subject import NO_SUBJECT, subject_of, subject_of_certificate


def test_the_subject_is_the_common_name_that_tls_verified() -> None:
    assert subject_of({"x509_common_name": [b"root"], "x509_subject": [b"CN=other"]}) == "root"


def test_the_first_common_name_counts() -> None:
    assert subject_of({"x509_common_name": [b"first", b"second"]}) == "first"


@pytest.mark.parametrize("context", [None, {}, {"x509_common_name": []}, {"transport_security_type": [b"ssl"]}])
def test_without_a_certificate_there_is_no_subject(context: dict[str, list[bytes]] | None) -> None:
    assert subject_of(context) == NO_SUBJECT == ""


@pytest.mark.parametrize("name", [b"\xff", b"root\x00.evil", b"root\n", b"\x1b[2J", "\u202etoor".encode(), b"r" * 65])
def test_a_name_that_cannot_be_shown_or_compared_is_no_subject(name: bytes) -> None:
    assert subject_of({"x509_common_name": [name]}) == NO_SUBJECT


def test_a_certificates_subject_is_the_same_name() -> None:
    now = datetime.now(UTC)

    assert subject_of_certificate(Authority.create(now).issue("alice", now).certificate) == "alice"


def test_what_is_no_certificate_has_no_answer() -> None:
    with pytest.raises(ConfigError):
        subject_of_certificate(b"")
