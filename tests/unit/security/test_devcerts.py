"""Certificates for development: who may read them, what they are good for, and what stays."""

from pathlib import Path

import pytest
from cryptography import x509
from cryptography.x509.oid import ExtendedKeyUsageOID

from proglog.errors import ConfigError
from proglog.security.devcerts import DevCerts, create_dev_certs
from proglog.security.tls import TLSFiles, certificate_summary


@pytest.fixture
def certs(tmp_path: Path) -> DevCerts:
    return create_dev_certs(tmp_path / "new" / "certs", clients=("root", "alice"))


def certificate(files: TLSFiles) -> x509.Certificate:
    return x509.load_pem_x509_certificate(files.cert_file.read_bytes())


def usages(files: TLSFiles) -> set[x509.ObjectIdentifier]:
    return set(certificate(files).extensions.get_extension_for_class(x509.ExtendedKeyUsage).value)


def test_all_of_one_directory_are_signed_by_its_authority(certs: DevCerts) -> None:
    authority = x509.load_pem_x509_certificate(certs.ca_file.read_bytes())

    for files in (certs.server, certs.peer, *certs.clients.values(), certs.add_client("late"), certs.add_server("two")):
        certificate(files).verify_directly_issued_by(authority)
        assert files.ca_file == certs.ca_file
        files.load()


def test_subjects_are_the_names_asked_for_and_a_peer_is_root(certs: DevCerts) -> None:
    subjects = [
        certificate_summary(files.cert_file.read_bytes()).subject for files in (certs.peer, *certs.clients.values())
    ]

    assert subjects == ["root", "root", "alice"]


def test_a_server_certificate_also_serves_as_a_client_and_a_clients_does_not_serve(certs: DevCerts) -> None:
    assert usages(certs.server) == {ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH}
    assert usages(certs.clients["root"]) == usages(certs.peer) == {ExtendedKeyUsageOID.CLIENT_AUTH}


def test_a_server_certificate_has_the_names_and_addresses_asked_for(tmp_path: Path) -> None:
    certs = create_dev_certs(tmp_path, ("node-1.example.com", "10.0.0.1", "fe80::1"))

    assert certificate_summary(certs.server.cert_file.read_bytes()).names == (
        "node-1.example.com",
        "10.0.0.1",
        "fe80::1",
    )


def test_only_the_owner_can_read_keys_and_no_draft_stays(certs: DevCerts) -> None:
    modes = {path.name: path.stat().st_mode & 0o777 for path in certs.directory.iterdir()}

    assert {mode for name, mode in modes.items() if name.endswith("-key.pem")} == {0o600}
    assert {mode for name, mode in modes.items() if not name.endswith("-key.pem")} == {0o644}
    assert [name for name in modes if name.startswith(".")] == []
    assert certs.directory.stat().st_mode & 0o777 == 0o700


def test_a_second_call_keeps_the_authority_and_issues_anew(certs: DevCerts) -> None:
    authority, server = certs.ca_file.read_bytes(), certs.server.cert_file.read_bytes()

    again = create_dev_certs(certs.directory, clients=("bob",))

    assert again.ca_file.read_bytes() == authority
    assert again.server.cert_file.read_bytes() != server
    certs.clients["alice"].load()
    again.clients["bob"].load()


def test_half_an_authority_is_not_overwritten(certs: DevCerts) -> None:
    (certs.directory / "ca-key.pem").unlink()

    with pytest.raises(ConfigError, match=r"ca\.pem is there, but .*ca-key\.pem is not"):
        create_dev_certs(certs.directory)


@pytest.mark.parametrize("name", ["", "../root", "a/b", ".hidden", "with space", "x" * 65, "root\n", "ro\x00ot"])
def test_a_name_that_would_leave_the_directory_or_the_certificate_is_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(ConfigError, match="expected 1 to 64 letters"):
        create_dev_certs(tmp_path / "certs", clients=(name,))

    assert not (tmp_path / "certs").exists()


@pytest.mark.parametrize("stem", ["ca", "ca-key", "peer", "client-root", "server-key"])
def test_a_further_server_cannot_take_the_place_of_another_certificate(certs: DevCerts, stem: str) -> None:
    before = certs.ca_file.read_bytes()

    with pytest.raises(ConfigError, match="belongs to another certificate"):
        certs.add_server(stem)

    assert certs.ca_file.read_bytes() == before


@pytest.mark.parametrize("names", [(), ("",), ("bad name",), ("exämple.com",)])
def test_a_server_without_a_usable_name_is_refused(tmp_path: Path, names: tuple[str, ...]) -> None:
    with pytest.raises(ConfigError, match="name"):
        create_dev_certs(tmp_path, names)


def test_a_directory_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")

    with pytest.raises(ConfigError, match=r"file/certs cannot be written: Not a directory"):
        create_dev_certs(tmp_path / "file" / "certs")
