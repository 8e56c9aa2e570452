"""A certificate that passed a handshake is judged by the authorities of now."""

from datetime import timedelta
from pathlib import Path

import pytest

from proglog.errors import UnauthenticatedError
from proglog.security.authority import Authority
from proglog.security.devcerts import create_dev_certs
from proglog.security.tls import RotatingMaterial, utc_now
from proglog.security.trust import LOOK_INTERVAL, PeerTrust


class Clock:
    now = 0.0

    def __call__(self) -> float:
        self.now += LOOK_INTERVAL
        return self.now


def test_what_an_authority_of_now_signed_is_trusted_until_it_ends_or_the_authority_goes(tmp_path: Path) -> None:
    certs, moment = create_dev_certs(tmp_path / "certs"), utc_now()
    material = RotatingMaterial(certs.server, on_reload=lambda _: None, on_error=lambda _: None)
    trust = PeerTrust(material, now=lambda: moment, clock=Clock())
    shown = {"x509_pem_cert": [certs.authority.issue("root", moment, lifetime=timedelta(minutes=5)).certificate]}

    trust.check(shown)
    moment += timedelta(minutes=6)
    with pytest.raises(UnauthenticatedError, match="expired at"):
        trust.check(shown)
    moment -= timedelta(minutes=6)
    trust.check(shown)
    other = Authority.create(moment)
    certs.ca_file.write_bytes(other.pair.certificate + certs.authority.pair.certificate)
    trust.check(shown)
    certs.ca_file.write_bytes(other.pair.certificate)
    with pytest.raises(UnauthenticatedError, match="no authority"):
        trust.check(shown)
    trust.check({"x509_pem_cert": [other.issue("root", moment).certificate]})


@pytest.mark.parametrize("shown", [None, {}, {"x509_pem_cert": [b"rubbish"]}])
def test_what_cannot_be_read_is_not_trusted(tmp_path: Path, shown: dict[str, list[bytes]] | None) -> None:
    certs = create_dev_certs(tmp_path / "certs")
    trust = PeerTrust(RotatingMaterial(certs.server, on_reload=lambda _: None, on_error=lambda _: None))
    with pytest.raises(UnauthenticatedError):
        trust.check(shown)
