"""A connection over TLS grows old: new calls shake hands again, calls under way do not notice."""

import asyncio
from datetime import timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID

from proglog.agent.writer import LogWriter
from proglog.client import connect
from proglog.client.offset_spec import OffsetSpec
from proglog.errors import ProglogError
from proglog.log.log import Log
from proglog.security.authorizer import AllowAll
from proglog.security.devcerts import create_dev_certs
from proglog.security.tls import TLSFiles, utc_now
from proglog.server import interceptors
from proglog.server.server import Server
from proglog.types import NodeName

AGE = 0.3


async def test_calls_and_streams_outlive_their_connection_but_a_withdrawn_certificate_does_not(tmp_path: Path) -> None:
    certs = create_dev_certs(tmp_path / "certs", clients=("root",))
    others = create_dev_certs(tmp_path / "others")
    log = Log.open(tmp_path / "data", node_name=NodeName("a"))
    async with LogWriter(log) as writer:
        server = Server(commit_log=writer, authorizer=AllowAll(), tls=certs.server, connection_age=AGE)
        port = await server.start("127.0.0.1:0")
        async with (
            connect(f"127.0.0.1:{port}", tls=certs.clients["root"], timeout=2) as client,
            connect(f"127.0.0.1:{port}", tls=certs.clients["root"], timeout=2) as follower,
        ):
            following = aiter(follower.consume(OffsetSpec.offset(0), follow=True))
            for number in range(4):
                await client.produce_value(b"%d" % number)
                fetched = await anext(following)
                assert fetched.values() == [b"%d" % number]
                await asyncio.sleep(AGE)

            certs.server.ca_file.write_bytes(others.ca_file.read_bytes())  # nobody we signed is trusted any more
            refused = False
            for _ in range(50):
                try:
                    await client.produce_value(b"late")
                except ProglogError:
                    refused = True
                    break
                await asyncio.sleep(AGE / 3)
            assert refused
            with pytest.raises(ProglogError):
                async with asyncio.timeout(10):
                    async for _ in following:
                        pass
        await server.stop(0.2)
    log.close()


def signed_by_an_intermediate(authority_file: Path, files: TLSFiles) -> None:
    """Replace a client's pair by one whose chain has a link, and the authority by the one at its end."""
    moment = utc_now()
    root, middle, leaf = (ec.generate_private_key(ec.SECP256R1()) for _ in range(3))

    def signed(name: str, key: ec.EllipticCurvePrivateKey, issuer: str, by: ec.EllipticCurvePrivateKey) -> bytes:
        builder = x509.CertificateBuilder(
            subject_name=x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)]),
            issuer_name=x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, issuer)]),
            public_key=key.public_key(),
            serial_number=x509.random_serial_number(),
            not_valid_before=moment - timedelta(hours=1),
            not_valid_after=moment + timedelta(hours=1),
        )
        extension = x509.BasicConstraints(ca=key is not leaf, path_length=None)
        return builder.add_extension(extension, critical=True).sign(by, hashes.SHA256()).public_bytes(Encoding.PEM)

    authority_file.write_bytes(authority_file.read_bytes() + signed("top", root, "top", root))
    files.cert_file.write_bytes(signed("root", leaf, "middle", middle) + signed("middle", middle, "top", root))
    files.key_file.write_bytes(leaf.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))


async def test_a_client_whose_certificate_an_intermediate_signed_keeps_its_streams(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(interceptors, "RECHECK_INTERVAL", 0.05)
    certs = create_dev_certs(tmp_path / "certs", clients=("root",))
    signed_by_an_intermediate(certs.ca_file, certs.clients["root"])
    log = Log.open(tmp_path / "data", node_name=NodeName("a"))
    async with LogWriter(log) as writer:
        server = Server(commit_log=writer, authorizer=AllowAll(), tls=certs.server)
        port = await server.start("127.0.0.1:0")
        async with connect(f"127.0.0.1:{port}", tls=certs.clients["root"], timeout=2) as client:
            following = aiter(client.consume(OffsetSpec.offset(0), follow=True))
            for number in range(3):
                await client.produce_value(b"%d" % number)
                assert (await anext(following)).values() == [b"%d" % number]
                await asyncio.sleep(0.1)  # two looks at the certificate
        await server.stop(0.2)
    log.close()
