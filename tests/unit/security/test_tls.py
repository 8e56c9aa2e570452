"""Mutual TLS over real connections, and what is said about files that cannot work."""

import shutil
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import grpc
import grpc.aio
import pytest

from proglog.errors import ConfigError
from proglog.security.authority import Authority
from proglog.security.devcerts import DevCerts, create_dev_certs
from proglog.security.files import RETRY_SECONDS
from proglog.security.subject import subject_of
from proglog.security.tls import (
    MAX_PEM_BYTES,
    RotatingMaterial,
    TLSFiles,
    certificate_summary,
    channel_credentials,
    server_credentials,
    utc_now,
)

WHO = "/test.Who/Am"
EXPIRED = timedelta(days=-1)


@pytest.fixture
def certs(tmp_path: Path) -> DevCerts:
    return create_dev_certs(tmp_path / "certs", clients=("root", "nobody"))


@asynccontextmanager
async def answering(credentials: grpc.ServerCredentials) -> AsyncGenerator[str]:
    """A server that tells each caller its subject; yields its address."""

    async def who(request: bytes, context: grpc.aio.ServicerContext[bytes, bytes]) -> bytes:
        return subject_of(context.auth_context()).encode()

    server = grpc.aio.server(options=(("grpc.so_reuseport", 0),))
    handler: grpc.RpcMethodHandler[bytes, bytes] = grpc.unary_unary_rpc_method_handler(who)
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler("test.Who", {"Am": handler}),))
    port = server.add_secure_port("127.0.0.1:0", credentials)
    await server.start()
    try:
        yield f"127.0.0.1:{port}"
    finally:
        await server.stop(0)


def asking(channel: grpc.aio.Channel) -> grpc.aio.UnaryUnaryMultiCallable[bytes, bytes]:
    return channel.unary_unary(WHO)


async def who_am_i(addr: str, credentials: grpc.ChannelCredentials) -> str:
    # Without a pool of its own a channel may reuse another's connection, and no handshake would happen.
    options = (("grpc.use_local_subchannel_pool", 1),)
    async with grpc.aio.secure_channel(addr, credentials, options=options) as channel:
        return (await asking(channel)(b"", timeout=10)).decode()


async def refused(addr: str, credentials: grpc.ChannelCredentials) -> bool:
    """Whether the handshake failed: the call never reached the handler."""
    with pytest.raises(grpc.aio.AioRpcError) as failed:
        await who_am_i(addr, credentials)
    return failed.value.code() is grpc.StatusCode.UNAVAILABLE


async def test_a_clients_common_name_arrives_as_its_subject(certs: DevCerts) -> None:
    async with answering(server_credentials(certs.server)) as addr:
        assert await who_am_i(addr, channel_credentials(certs.clients["root"])) == "root"
        assert await who_am_i(addr, channel_credentials(certs.clients["nobody"])) == "nobody"
        assert await who_am_i(addr, channel_credentials(certs.peer)) == "root"


async def test_a_client_without_a_certificate_is_refused_at_the_handshake(certs: DevCerts) -> None:
    async with answering(server_credentials(certs.server)) as addr:
        assert await refused(addr, grpc.ssl_channel_credentials(certs.ca_file.read_bytes()))


async def test_a_client_of_another_authority_is_refused_at_the_handshake(certs: DevCerts, tmp_path: Path) -> None:
    other = create_dev_certs(tmp_path / "other").clients["root"]

    async with answering(server_credentials(certs.server)) as addr:
        assert await refused(addr, channel_credentials(replace(other, ca_file=certs.ca_file)))


async def test_a_server_of_another_authority_is_refused_by_the_client(certs: DevCerts, tmp_path: Path) -> None:
    other = create_dev_certs(tmp_path / "other")

    async with answering(server_credentials(replace(other.server, ca_file=certs.ca_file))) as addr:
        assert await refused(addr, channel_credentials(certs.clients["root"]))


async def test_a_server_whose_certificate_has_another_name_is_refused_by_the_client(certs: DevCerts) -> None:
    elsewhere = certs.add_server("elsewhere", server_names=("example.com", "127.0.0.2"))

    async with answering(server_credentials(elsewhere)) as addr:
        assert await refused(addr, channel_credentials(certs.clients["root"]))


async def test_a_client_certificate_does_not_pass_for_a_server(certs: DevCerts) -> None:
    async with answering(server_credentials(certs.clients["root"])) as addr:
        assert await refused(addr, channel_credentials(certs.clients["root"]))


async def test_a_plaintext_client_is_refused(certs: DevCerts) -> None:
    async with answering(server_credentials(certs.server)) as addr, grpc.aio.insecure_channel(addr) as channel:
        with pytest.raises(grpc.aio.AioRpcError) as failed:
            await asking(channel)(b"", timeout=10)

    assert failed.value.code() is grpc.StatusCode.UNAVAILABLE


async def test_a_client_whose_certificate_has_expired_is_refused_at_the_handshake(certs: DevCerts) -> None:
    late = certs.add_client("late", lifetime=EXPIRED)
    credentials = grpc.ssl_channel_credentials(  # past the check of its own files, as another program would be
        certs.ca_file.read_bytes(), late.key_file.read_bytes(), late.cert_file.read_bytes()
    )

    async with answering(server_credentials(certs.server)) as addr:
        assert await refused(addr, credentials)


async def test_a_server_takes_a_new_certificate_and_authority_without_a_restart(
    certs: DevCerts, tmp_path: Path
) -> None:
    later = create_dev_certs(tmp_path / "later", clients=("alice",))
    reloaded: list[str] = []
    credentials = server_credentials(certs.server, on_reload=lambda summary: reloaded.append(summary.issuer))

    async with answering(credentials) as addr:
        assert await who_am_i(addr, channel_credentials(certs.clients["root"])) == "root"
        assert await refused(addr, channel_credentials(later.clients["alice"]))

        for new, old in zip(files_of(later.server), files_of(certs.server), strict=True):
            shutil.copy(new, old)

        assert await who_am_i(addr, channel_credentials(later.clients["alice"])) == "alice"
        assert await refused(addr, channel_credentials(replace(certs.clients["root"], ca_file=later.ca_file)))
    assert reloaded == ["CN=proglog development CA"]


async def test_what_was_checked_is_what_is_served_whatever_stands_around_it(certs: DevCerts) -> None:
    """Files as some editors leave them: gRPC's own parser takes neither a byte order mark nor the text before it."""
    for path in files_of(certs.server) + files_of(certs.clients["root"]):
        path.write_bytes(b"\xef\xbb\xbf" + path.read_bytes().replace(b"\n", b"\r\n"))

    async with answering(server_credentials(certs.server)) as addr:
        assert await who_am_i(addr, channel_credentials(certs.clients["root"])) == "root"


async def test_an_open_connection_lives_through_a_rotation(certs: DevCerts) -> None:
    async with (
        answering(server_credentials(certs.server)) as addr,
        grpc.aio.secure_channel(addr, channel_credentials(certs.clients["root"])) as channel,
    ):
        ask = asking(channel)
        assert await ask(b"", timeout=10) == b"root"
        for _ in range(5):
            certs.add_server()
            assert await who_am_i(addr, channel_credentials(certs.clients["nobody"])) == "nobody"
            assert await ask(b"", timeout=10) == b"root"


@pytest.mark.parametrize("spoiled", ["", "-----BEGIN CERTIFICATE-----\nnonsense\n-----END CERTIFICATE-----\n"])
async def test_a_server_keeps_its_last_good_certificate_and_says_so_once(certs: DevCerts, spoiled: str) -> None:
    errors: list[str] = []
    root = channel_credentials(certs.clients["root"])

    async with answering(server_credentials(certs.server, on_error=errors.append)) as addr:
        assert await who_am_i(addr, root) == "root"
        certs.server.cert_file.write_text(spoiled)
        for _ in range(3):
            assert await who_am_i(addr, root) == "root"

    assert len(errors) == 1
    assert str(certs.server.cert_file) in errors[0]
    assert "stays in use" in errors[0]


def files_of(files: TLSFiles) -> tuple[Path, Path, Path]:
    return files.cert_file, files.key_file, files.ca_file


def test_material_that_was_half_replaced_is_taken_once_it_is_whole(certs: DevCerts) -> None:
    errors: list[str] = []
    reloaded: list[str] = []
    material = RotatingMaterial(
        certs.server, on_error=errors.append, on_reload=lambda summary: reloaded.append(summary.subject)
    )
    other = certs.add_server("other", common_name="newer")

    shutil.copy(other.key_file, certs.server.key_file)
    assert material.poll() is None
    assert "is not the key of" in errors[0]
    assert material.generations[:2] == (1, 2)
    assert "is not the key of" in material.generations.refused
    shutil.copy(other.cert_file, certs.server.cert_file)
    taken = material.poll()
    assert (*material.generations[:2], material.generations.refused) == (3, 3, "")

    assert taken is not None
    assert (taken.summary.subject, reloaded, len(errors)) == ("newer", ["newer"], 1)
    assert material.poll() is None


def test_files_that_vanish_leave_the_last_good_ones_in_use(certs: DevCerts) -> None:
    errors: list[str] = []
    material = RotatingMaterial(certs.server, on_error=errors.append, on_reload=lambda _: None)
    before = material.current

    certs.server.key_file.unlink()

    assert material.poll() is None
    assert material.poll() is None
    assert material.current is before
    assert len(errors) == 1


def spoil_nothing(certs: DevCerts) -> TLSFiles:
    return certs.server


def missing(certs: DevCerts) -> TLSFiles:
    return replace(certs.server, cert_file=certs.directory / "nowhere.pem")


def directory(certs: DevCerts) -> TLSFiles:
    return replace(certs.server, ca_file=certs.directory)


def huge(certs: DevCerts) -> TLSFiles:
    certs.server.ca_file.write_bytes(b"x" * (MAX_PEM_BYTES + 1))
    return certs.server


def no_certificate(certs: DevCerts) -> TLSFiles:
    return replace(certs.server, cert_file=certs.server.key_file)


def no_key(certs: DevCerts) -> TLSFiles:
    return replace(certs.server, key_file=certs.server.cert_file)


def other_key(certs: DevCerts) -> TLSFiles:
    return replace(certs.server, key_file=certs.clients["root"].key_file)


def no_authority(certs: DevCerts) -> TLSFiles:
    certs.ca_file.write_text("")
    return certs.server


def locked_key(certs: DevCerts) -> TLSFiles:
    from cryptography.hazmat.primitives.serialization import (
        BestAvailableEncryption,
        Encoding,
        PrivateFormat,
        load_pem_private_key,
    )

    key = load_pem_private_key(certs.server.key_file.read_bytes(), None)
    form = (Encoding.PEM, PrivateFormat.PKCS8, BestAvailableEncryption(b"secret"))
    certs.server.key_file.write_bytes(key.private_bytes(*form))
    return certs.server


def strange_key(certs: DevCerts) -> TLSFiles:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
    from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

    form = (Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    certs.server.key_file.write_bytes(Ed25519PrivateKey.generate().private_bytes(*form))
    return certs.server


def expired(certs: DevCerts) -> TLSFiles:
    return certs.add_server(lifetime=EXPIRED)


def expired_authority(certs: DevCerts) -> TLSFiles:
    old = Authority.create(utc_now() - timedelta(days=20), lifetime=timedelta(days=10))
    certs.ca_file.write_bytes(old.pair.certificate)
    return certs.server


@pytest.mark.parametrize(
    ("spoil", "file", "said"),
    [
        (missing, "nowhere.pem", "cannot be read: No such file or directory; check the path"),
        (directory, "certs", "is not a regular file"),
        (huge, "ca.pem", "has more than 4,194,304 bytes"),
        (no_certificate, "server-key.pem", "holds no certificate in PEM form: expected"),
        (no_key, "server.pem", "holds no private key in PEM form: expected"),
        (other_key, "client-root-key.pem", "is not the key of"),
        (no_authority, "ca.pem", "holds no certificate in PEM form"),
        (locked_key, "server-key.pem", "is encrypted with a password: decrypt it"),
        (strange_key, "server-key.pem", "gRPC takes RSA and elliptic-curve keys"),
        (expired, "server.pem", "expired at 20"),
        (expired_authority, "ca.pem", "expired at 20"),
    ],
)
def test_files_that_cannot_work_are_refused_in_one_line_that_names_the_file(
    certs: DevCerts, spoil: Callable[[DevCerts], TLSFiles], file: str, said: str
) -> None:
    files = spoil(certs)

    for use in (TLSFiles.load, server_credentials, channel_credentials):
        with pytest.raises(ConfigError) as failed:
            use(files)
        message = str(failed.value)
        assert f"/{file} " in message
        assert said in message
        assert "\n" not in message


def test_a_certificate_from_the_future_points_at_the_clock(certs: DevCerts) -> None:
    with pytest.raises(ConfigError, match=r"server\.pem is not valid before .*check this machine's clock"):
        certs.server.load(now=lambda: utc_now() - timedelta(days=2))


def test_an_old_authority_may_lie_beside_a_new_one_while_they_change(certs: DevCerts) -> None:
    old = Authority.create(utc_now() - timedelta(days=20), lifetime=timedelta(days=10))
    certs.ca_file.write_bytes(old.pair.certificate + certs.ca_file.read_bytes())

    assert certs.server.load().authorities.count(b"BEGIN CERTIFICATE") == 2


def test_a_certificate_is_summed_up_for_operators(certs: DevCerts) -> None:
    summary = certificate_summary(certs.server.cert_file.read_bytes())

    assert summary.subject == "proglog-server"
    assert summary.issuer == "CN=proglog development CA"
    assert summary.names == ("localhost", "127.0.0.1", "::1")
    assert timedelta(days=364) < summary.not_after - utc_now() <= timedelta(days=365)


def test_a_summary_of_no_certificate_is_refused() -> None:
    with pytest.raises(ConfigError, match="holds no certificate"):
        certificate_summary(b"hello")


def test_keys_do_not_show_in_the_representation(certs: DevCerts) -> None:
    assert "PRIVATE" not in repr(certs.server.load())
    assert "PRIVATE" not in repr(certs.authority.pair)


def test_a_certificate_that_is_not_valid_yet_is_taken_when_it_is(certs: DevCerts) -> None:
    errors: list[str] = []
    hours, seconds = 0.0, 0.0
    material = RotatingMaterial(
        certs.server,
        on_error=errors.append,
        on_reload=lambda _: None,
        now=lambda: utc_now() + timedelta(hours=hours),
        clock=lambda: seconds,
    )
    hours = -5.0  # this machine's clock is late
    certs.add_server(common_name="newer")
    assert material.poll() is None
    hours = 0.0
    assert material.poll() is None  # it is not read at every handshake
    seconds += RETRY_SECONDS
    taken = material.poll()
    assert (taken and taken.summary.subject, len(errors)) == ("newer", 1)
