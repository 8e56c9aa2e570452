"""Who is calling."""

import pytest

from proglog.security.subject import NO_SUBJECT, subject_of


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
