"""Every call that the server has, found by reflection, by everybody who may not make it: not a byte of an answer."""

from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta
from pathlib import Path

import grpc
import grpc.aio
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID
from google.protobuf.descriptor_pb2 import FileDescriptorProto
from grpc_reflection.v1alpha import reflection_pb2, reflection_pb2_grpc

import proglog.client
from proglog.agent.agent import Agent
from proglog.agent.config import AgentConfig
from proglog.security.authority import Authority
from proglog.security.devcerts import DevCerts, create_dev_certs
from proglog.security.devrules import MODEL
from proglog.security.tls import TLSFiles, utc_now
from proglog.server.interceptors import ACTIONS, OPEN_SERVICES
from proglog.types import NodeName

POLICY = "p, root, *, produce\np, root, *, consume\np, root, *, operate\n"


def issued(
    certs: DevCerts, stem: str, common_name: str | None, authority: Authority | None = None, **how: bool
) -> TLSFiles:
    """A certificate as no sensible authority signs it."""
    signer, key = authority or certs.authority, ec.generate_private_key(ec.SECP256R1())
    names = [] if common_name is None else [x509.NameAttribute(NameOID.COMMON_NAME, common_name, _validate=False)]
    usage = ExtendedKeyUsageOID.SERVER_AUTH if how.get("server_only") else ExtendedKeyUsageOID.CLIENT_AUTH
    moment = utc_now()
    builder = (
        x509.CertificateBuilder()
        .subject_name(x509.Name(names))
        .issuer_name(signer._certificate.subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(moment - timedelta(days=2))
        .not_valid_after(moment + timedelta(days=-1 if how.get("expired") else 1))
        .add_extension(x509.ExtendedKeyUsage([usage]), critical=False)
    )
    pem = builder.sign(signer._key, hashes.SHA256()).public_bytes(Encoding.PEM)
    files = TLSFiles(
        cert_file=certs.directory / f"{stem}.pem", key_file=certs.directory / f"{stem}-key.pem", ca_file=certs.ca_file
    )
    files.cert_file.write_bytes(pem)
    files.key_file.write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    return files


STRANGERS = ("plain text", "no certificate", "another authority", "expired", "for servers only")
"""Who does not pass the handshake."""
UNNAMED = ("without a rule", "no name", "root and a NUL", "root in capitals", "root and a blank")
"""Who does, and has no right."""


def credentials_of(certs: DevCerts, identity: str) -> grpc.ChannelCredentials | None:
    """A client's credentials; ``None``: plain text."""
    trusted = certs.ca_file.read_bytes()
    match identity:
        case "plain text":
            return None
        case "no certificate":
            return grpc.ssl_channel_credentials(trusted)
        case "another authority":
            files = issued(certs, "other", "root", Authority.create(utc_now()))
        case "expired":
            files = issued(certs, "expired", "root", expired=True)
        case "for servers only":
            files = issued(certs, "server-only", "root", server_only=True)
        case "without a rule":
            files = issued(certs, "mallory", "mallory")
        case "no name":
            files = issued(certs, "nameless", None)
        case "root and a NUL":
            files = issued(certs, "nul", "root\0evil")
        case "root in capitals":
            files = issued(certs, "capitals", "ROOT")
        case "root and a blank":
            files = issued(certs, "blank", "root ")
        case _:
            raise AssertionError(identity)
    return grpc.ssl_channel_credentials(trusted, files.key_file.read_bytes(), files.cert_file.read_bytes())


@asynccontextmanager
async def channel_of(certs: DevCerts, identity: str, addr: str) -> AsyncIterator[grpc.aio.Channel]:
    credentials = credentials_of(certs, identity)
    options = [("grpc.initial_reconnect_backoff_ms", 50), ("grpc.max_reconnect_backoff_ms", 50)]
    if credentials is None:
        channel = grpc.aio.insecure_channel(addr, options=options)
    else:
        channel = grpc.aio.secure_channel(addr, credentials, options=options)
    async with channel:
        yield channel


@pytest.fixture
async def agent(tmp_path: Path) -> AsyncGenerator[tuple[Agent, DevCerts]]:
    certs = create_dev_certs(tmp_path / "certs")
    (tmp_path / "model.conf").write_text(MODEL)
    (tmp_path / "policy.csv").write_text(POLICY)
    config = AgentConfig(
        node_name=NodeName("a"),
        data_dir=tmp_path / "a",
        bind_addr="127.0.0.1:0",
        rpc_port=0,
        server_tls=certs.server,
        peer_tls=certs.peer,
        acl_model_file=tmp_path / "model.conf",
        acl_policy_file=tmp_path / "policy.csv",
    )
    started = await Agent.start(config)
    try:
        async with proglog.client.connect(started.view.rpc_addr, tls=certs.clients["root"]) as client:
            await client.produce_value(b"secret")
        yield started, certs
    finally:
        await started.shutdown()


async def calls_of(certs: DevCerts, addr: str) -> list[str]:
    """Every method that the server says it has."""
    root = certs.clients["root"]
    shown = (certs.ca_file.read_bytes(), root.key_file.read_bytes(), root.cert_file.read_bytes())
    async with grpc.aio.secure_channel(addr, grpc.ssl_channel_credentials(*shown)) as channel:
        stub = reflection_pb2_grpc.ServerReflectionStub(channel)

        async def ask(**question: str) -> reflection_pb2.ServerReflectionResponse:
            requests = iter([reflection_pb2.ServerReflectionRequest(**question)])
            return await anext(aiter(stub.ServerReflectionInfo(requests)))

        services = [each.name for each in (await ask(list_services="")).list_services_response.service]
        found = []
        for service in services:
            answer = await ask(file_containing_symbol=service)
            for data in answer.file_descriptor_response.file_descriptor_proto:
                file = FileDescriptorProto.FromString(data)
                for each in file.service:
                    if f"{file.package}.{each.name}" == service:
                        found += [f"/{service}/{method.name}" for method in each.method]
        return found


async def answer_to(channel: grpc.aio.Channel, method: str) -> tuple[grpc.StatusCode, int]:
    """Code of a call with an empty request, and how many bytes of answers came."""
    call = channel.unary_stream(method)(b"", timeout=20)
    received = 0
    try:
        while (message := await call.read()) is not grpc.aio.EOF:
            received += max(1, len(message))
    except grpc.aio.AioRpcError:
        pass  # the code says what it was
    return await call.code(), received


async def test_reflection_finds_every_call_that_has_an_action(agent: tuple[Agent, DevCerts]) -> None:
    started, certs = agent
    found = await calls_of(certs, started.view.rpc_addr)

    assert {method for method in found if not method.startswith(OPEN_SERVICES)} == set(ACTIONS)


@pytest.mark.parametrize("identity", [*STRANGERS, *UNNAMED])
async def test_nobody_without_a_right_gets_a_byte(agent: tuple[Agent, DevCerts], identity: str) -> None:
    started, certs = agent
    calls = await calls_of(certs, started.view.rpc_addr)
    expected = grpc.StatusCode.UNAVAILABLE if identity in STRANGERS else grpc.StatusCode.PERMISSION_DENIED
    guarded = [each for each in calls if identity in STRANGERS or not each.startswith(OPEN_SERVICES)]
    async with channel_of(certs, identity, started.view.rpc_addr) as channel:
        answers = {method: await answer_to(channel, method) for method in guarded}

    assert {method: each for method, each in answers.items() if each != (expected, 0)} == {}
    assert len(guarded) >= len(ACTIONS)


async def test_open_services_answer_every_caller_that_passed_the_handshake(agent: tuple[Agent, DevCerts]) -> None:
    from grpc_health.v1 import health_pb2, health_pb2_grpc

    started, certs = agent
    async with channel_of(certs, "without a rule", started.view.rpc_addr) as channel:
        stub = health_pb2_grpc.HealthStub(channel)
        serving = health_pb2.HealthCheckResponse.SERVING
        assert (await stub.Check(health_pb2.HealthCheckRequest())).status == serving
        watch = stub.Watch(health_pb2.HealthCheckRequest())
        assert (await watch.read()).status == serving
        watch.cancel()
        listed = (await stub.List(health_pb2.HealthListRequest())).statuses
        assert {"", *started.server.services} <= set(listed)
        assert {each.status for each in listed.values()} == {serving}


@pytest.mark.parametrize("message", [b"\xff", b"\x0a\xff\xff\xff\xff\x7f", b"\x07" * 50])
async def test_what_is_no_message_is_an_invalid_argument_for_who_may_ask_and_for_others_it_is_not_looked_at(
    agent: tuple[Agent, DevCerts], message: bytes
) -> None:
    started, certs = agent
    root = certs.clients["root"]
    shown = (certs.ca_file.read_bytes(), root.key_file.read_bytes(), root.cert_file.read_bytes())
    allowed = [each for each, action in ACTIONS.items() if action != "replicate" or "ReadRange" in each]
    async with grpc.aio.secure_channel(started.view.rpc_addr, grpc.ssl_channel_credentials(*shown)) as channel:
        for method in allowed:
            call = channel.unary_stream(method)(message, timeout=20)
            with pytest.raises(grpc.aio.AioRpcError) as refused:
                while await call.read() is not grpc.aio.EOF:
                    pass
            assert (method, refused.value.code()) == (method, grpc.StatusCode.INVALID_ARGUMENT)
    async with channel_of(certs, "without a rule", started.view.rpc_addr) as channel:
        for method in allowed:
            call = channel.unary_stream(method)(message, timeout=20)
            with pytest.raises(grpc.aio.AioRpcError) as refused:
                await call.read()
            assert refused.value.code() is grpc.StatusCode.PERMISSION_DENIED
