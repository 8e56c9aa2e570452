"""Certificates that no handshake of the server shows end, too."""

from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from proglog.agent.certificate_watch import CertificateWatch
from proglog.security.devcerts import DevCerts, create_dev_certs
from proglog.security.tls import utc_now


class Told:
    """What was reported, as ``event subject: detail``."""

    def __init__(self) -> None:
        self.lines: list[str] = []

    def __call__(self, kind: Any, subject: str = "", detail: str = "", **_: Any) -> None:
        self.lines.append(f"{kind.name} {subject}: {detail}")

    def take(self) -> list[str]:
        lines, self.lines = self.lines, []
        return lines


@pytest.fixture
def certs(tmp_path: Path) -> DevCerts:
    return create_dev_certs(tmp_path)


def test_what_peers_are_shown_and_authorities_are_reported_before_they_end_and_when_they_have(certs: DevCerts) -> None:
    told, days = Told(), 0.0
    watch = CertificateWatch(certs.server, certs.peer, told, now=lambda: utc_now() + timedelta(days=days))  # type: ignore[arg-type]
    watch.tell(watch.look())
    assert told.take() == []  # what is good is no news
    days = 360.0
    watch.tell(watch.look())
    watch.tell(watch.look())
    (line,) = told.take()
    assert line.startswith(f"certificate_aging certificate for peers: {certs.peer.cert_file} ends at ")
    days = 370.0
    watch.tell(watch.look())
    (line,) = told.take()
    assert line.startswith(f"certificate_ended certificate for peers: {certs.peer.cert_file} ended at ")
    days = 0.0
    watch.tell(watch.look())
    assert [line.split(":")[0] for line in told.take()] == ["certificate_fresh certificate for peers"]


def test_a_file_that_cannot_be_read_is_reported_once(certs: DevCerts) -> None:
    told = Told()
    watch = CertificateWatch(None, certs.peer, told)  # type: ignore[arg-type]
    certs.ca_file.unlink()
    watch.tell(watch.look())
    watch.tell(watch.look())
    (line,) = told.take()
    assert line.startswith(f"certificate_ended authority of peers: {certs.ca_file} cannot be read: ")
