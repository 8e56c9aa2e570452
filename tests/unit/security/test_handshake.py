"""Why a client and a server do not come to speak, said by the numbers of a handshake, not by gRPC's words."""

import asyncio
import socket
import threading
from collections.abc import AsyncGenerator, Generator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import grpc
import grpc.aio
import pytest

from proglog.security.devcerts import DevCerts, create_dev_certs
from proglog.security.handshake import trouble_with
from proglog.security.tls import TLSFiles, server_credentials


@pytest.fixture(scope="module")
def certs(tmp_path_factory: pytest.TempPathFactory) -> DevCerts:
    return create_dev_certs(tmp_path_factory.mktemp("certs"))


@pytest.fixture(scope="module")
def others(tmp_path_factory: pytest.TempPathFactory) -> DevCerts:
    """Those of another authority."""
    return create_dev_certs(tmp_path_factory.mktemp("others"))


@asynccontextmanager
async def serving(tls: TLSFiles | None) -> AsyncGenerator[int]:
    server = grpc.aio.server()
    credentials = None if tls is None else server_credentials(tls)
    addr = "127.0.0.1:0"
    port = server.add_secure_port(addr, credentials) if credentials else server.add_insecure_port(addr)
    await server.start()
    try:
        yield port
    finally:
        await server.stop(0)


async def trouble(port: int, tls: TLSFiles | None, host: str = "127.0.0.1") -> str:
    return await asyncio.to_thread(trouble_with, f"{host}:{port}", tls)


async def test_those_who_agree_have_none(certs: DevCerts) -> None:
    async with serving(certs.server) as secure, serving(None) as plain:
        assert await trouble(secure, certs.clients["root"]) == ""
        assert await trouble(plain, None) == ""


async def test_tls_against_plain_both_ways(certs: DevCerts) -> None:
    async with serving(certs.server) as secure, serving(None) as plain:
        assert await trouble(secure, None) == (
            f"127.0.0.1:{secure} wants TLS: give the three files (--tls-ca-file, --tls-cert-file, --tls-key-file)"
        )
        assert (await trouble(plain, certs.clients["root"])).startswith(f"127.0.0.1:{plain} does not speak TLS: leave")


async def test_another_authority_on_either_side(certs: DevCerts, others: DevCerts) -> None:
    mine = certs.clients["root"]
    async with serving(certs.server) as port:
        misled = replace(mine, ca_file=others.ca_file)
        assert (await trouble(port, misled)).startswith(
            f"the certificate of 127.0.0.1:{port} is of another authority (CN=proglog development CA) than those in {others.ca_file}"
        )
        stranger = replace(others.clients["root"], ca_file=certs.ca_file)
        assert f"does not trust the certificate in {stranger.cert_file}" in await trouble(port, stranger)


async def test_a_name_that_is_not_in_the_certificate(certs: DevCerts) -> None:
    async with serving(certs.add_server("elsewhere", server_names=("other.example",))) as port:
        told = await trouble(port, certs.clients["root"])
        assert told.startswith(
            f"the certificate of 127.0.0.1:{port} is not for '127.0.0.1': its names are other.example;"
        )


async def test_a_certificate_that_has_ended(certs: DevCerts) -> None:
    files = certs.add_server("short", lifetime=timedelta(seconds=1.5))
    async with serving(files) as port:
        async with asyncio.timeout(10):
            while "has ended: its operator has to renew it" not in (told := await trouble(port, certs.clients["root"])):
                assert told == ""
                await asyncio.sleep(0.1)


@contextmanager
def saying(data: bytes) -> Generator[int]:
    """A server that says this to every caller, and closes."""
    with socket.create_server(("127.0.0.1", 0)) as listening:

        def serve() -> None:
            while True:
                try:
                    connection, _ = listening.accept()
                except OSError:
                    return
                with connection:
                    connection.recv(1024)
                    connection.sendall(data)

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        yield listening.getsockname()[1]
        listening.shutdown(socket.SHUT_RDWR)
    thread.join(5)


@pytest.mark.parametrize("data", [b"", b"\0" * 100, b"HTTP/1.1 400 Bad Request\r\n\r\n", b"\x16\x03\x03\xff\xff" * 9])
async def test_a_server_of_something_else_breaks_nothing(certs: DevCerts, data: bytes) -> None:
    with saying(data) as port:
        for tls in (None, certs.clients["root"]):
            assert isinstance(await trouble(port, tls), str)


def test_nobody_and_nonsense_are_others_to_report(certs: DevCerts, tmp_path: Path) -> None:
    missing = replace(certs.clients["root"], ca_file=tmp_path / "none")
    assert trouble_with("127.0.0.1:1", None) == trouble_with("nonsense", None) == ""
    assert trouble_with("127.0.0.1:1", missing) == ""
