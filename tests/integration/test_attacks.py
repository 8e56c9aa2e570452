"""What an agent with TLS and rules goes through: rotations, silent connections, garbage and invented members."""

import asyncio
import contextlib
import os
import resource
import socket
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from random import Random

import grpc
import grpc.aio
import pytest
from google.protobuf.message import Message
from google.protobuf.message_factory import GetMessageClass

import proglog.client
from kit.guarded import Guarded, guarded_agent
from kit.patience import LEAST, patience
from proglog.api.v1 import batches_pb2, cluster_pb2, log_pb2, losses_pb2, membership_pb2, replication_pb2
from proglog.client.offset_spec import OffsetSpec
from proglog.gossip.member import VERSIONS
from proglog.gossip.wire import Type, encode, encode_tags
from proglog.record import batch, columns
from proglog.security.authority import Authority
from proglog.security.devcerts import LOCAL_NAMES
from proglog.security.tls import TLSFiles, utc_now
from proglog.server.interceptors import ACTIONS
from proglog.testing.processes import AgentProcess

Eventually = Callable[..., Awaitable[None]]
LONG = os.environ.get("PROGLOG_LONG") == "1"
ROTATING_SECONDS = 60 if LONG else 4
MESSAGES = 1_000_000 if LONG else 8_000
MEMBERS = 2000
SILENT = 2000


@pytest.fixture
def guarded(tmp_path: Path) -> Iterator[Guarded]:
    with guarded_agent(tmp_path) as started:
        yield started


def replace(path: Path, content: bytes) -> None:
    """As an operator does: beside it, then in one step."""
    draft = path.with_name(f".{path.name}.new")
    draft.write_bytes(content)
    draft.chmod(0o600)
    draft.replace(path)


async def rotate(guarded: Guarded, before: Authority) -> Authority:
    """In the order of the guide: the new authority beside the old one; new pairs; the old one goes with the next rotation."""
    certs, moment, after = guarded.certs, utc_now(), Authority.create(utc_now())
    replace(certs.ca_file, before.pair.certificate + after.pair.certificate)
    await asyncio.sleep(0.5)
    pairs: list[tuple[TLSFiles, str, tuple[str, ...]]] = [
        (certs.server, "server", LOCAL_NAMES),
        (certs.peer, "root", ()),
    ]
    for files, subject, names in (*pairs, *((files, name, ()) for name, files in certs.clients.items())):
        issued = after.issue(subject, moment, server_names=names)
        replace(files.key_file, issued.key)
        replace(files.cert_file, issued.certificate)
    await asyncio.sleep(0.5)
    return after


async def test_certificates_and_authorities_rotate_every_second_and_no_call_fails(guarded: Guarded) -> None:
    files, addr, end = guarded.certs.clients["root"], guarded.agent.rpc_addr, time.monotonic() + ROTATING_SECONDS
    done = Counter[str]()

    async def new_connections() -> None:
        while time.monotonic() < end:
            async with proglog.client.connect(addr, tls=files) as client:
                await client.produce_value(b"new")
                done["new"] += 1

    async def one_connection(client: proglog.client.Client) -> None:
        while time.monotonic() < end:
            await client.produce_value(b"kept")
            await client.status()
            done["kept"] += 1
            await asyncio.sleep(0.005)

    async def follower(client: proglog.client.Client) -> None:
        async for fetched in client.consume(OffsetSpec.offset(0), follow=True):
            done["followed"] += len(fetched.values())

    async with proglog.client.connect(addr, tls=files) as kept, proglog.client.connect(addr, tls=files) as reading:
        following = asyncio.create_task(follower(reading))
        load = asyncio.gather(new_connections(), one_connection(kept))
        authority, rotations = guarded.certs.authority, 0
        while time.monotonic() < end - 1:
            authority = await rotate(guarded, authority)
            rotations += 1
        await load
        async with asyncio.timeout(patience(10)):
            while done["followed"] < done["new"] + done["kept"] and not following.done():
                await asyncio.sleep(0.05)
        following.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await following
    assert rotations >= 2
    assert done["followed"] == done["new"] + done["kept"]
    assert done["new"] > rotations < done["kept"]


async def test_silent_connections_do_not_hold_up_a_client(guarded: Guarded) -> None:
    host, port = guarded.agent.rpc_addr.rsplit(":", 1)
    silent = []
    try:
        for _ in range(SILENT):
            silent.append(socket.create_connection((host, int(port))))
        took = []
        for _ in range(3):
            async with proglog.client.connect(guarded.agent.rpc_addr, tls=guarded.certs.clients["root"]) as client:
                started = time.monotonic()
                await client.status()
                took.append(time.monotonic() - started)
    finally:
        for each in silent:
            each.close()
    assert min(took) < patience(0.2) / 2


def requests_of() -> dict[str, list[bytes]]:
    """Sound requests of every call, by method; what mutations start from."""
    data = batch.encode(columns.from_values([b"value"]), count=1, first_timestamp_ms=1, max_timestamp_ms=1)
    sound: dict[str, Message] = {
        "/log.v1.Log/Produce": log_pb2.ProduceRequest(record=log_pb2.Record(value=b"value")),
        "/proglog.v1.Batches/Produce": batches_pb2.ProduceBatchRequest(batch=data),
        "/proglog.v1.Positions/Commit": batches_pb2.CommitPositionRequest(
            name="job",
            cursor=batches_pb2.Cursor(positions=[batches_pb2.NextSequence(origin=b"o" * 16, next_sequence=3)]),
        ),
        "/proglog.v1.Replication/Replicate": replication_pb2.ReplicateRequest(
            hello=replication_pb2.Hello(node_name="b", origin=b"o" * 16, protocol_version=1, instance=b"i" * 16)
        ),
        "/proglog.v1.Replication/ReadRange": replication_pb2.ReadRangeRequest(
            origin=b"o" * 16, start_sequence=1, end_sequence=5
        ),
    }
    modules = (log_pb2, batches_pb2, cluster_pb2, losses_pb2, membership_pb2, replication_pb2)
    found = {}
    for module in modules:
        for service in module.DESCRIPTOR.services_by_name.values():
            for method in service.methods:
                path = f"/{service.full_name}/{method.name}"
                message = sound.get(path) or GetMessageClass(method.input_type)()
                found[path] = [message.SerializeToString()]
    return found


def mutated(chance: Random, data: bytes) -> bytes:
    """``data`` with a few bytes changed, removed, added or repeated; or noise."""
    if chance.random() < 0.2:
        return chance.randbytes(chance.randrange(200))
    changed = bytearray(data or chance.randbytes(4))
    for _ in range(chance.randrange(1, 5)):
        at = chance.randrange(len(changed) + 1)
        match chance.randrange(4):
            case 0 if at < len(changed):
                changed[at] = chance.randrange(256)
            case 1:
                del changed[at : at + chance.randrange(1, 9)]
            case 2:
                changed[at:at] = chance.randbytes(chance.randrange(1, 9))
            case _:
                changed[at:at] = changed[: chance.randrange(64)]
    return bytes(changed)


async def test_garbage_is_the_callers_error(guarded: Guarded) -> None:
    chance, codes = Random(7), Counter[tuple[str, str]]()
    requests = requests_of()
    assert set(requests) == set(ACTIONS)
    methods = [
        method for method in requests if not method.endswith(("/Leave", "/Join"))
    ]  # they end, or leave, this agent

    async def call(channel: grpc.aio.Channel, method: str, message: bytes) -> None:
        made = channel.unary_stream(method)(message, timeout=0.5)
        try:
            await made.read()
        except grpc.aio.AioRpcError as exc:
            codes[method, exc.code().name] += 1
        else:
            codes[method, "OK"] += 1
            made.cancel()

    async def some(channel: grpc.aio.Channel, methods: list[str], count: int) -> None:
        for _ in range(count):
            method = chance.choice(methods)
            await call(channel, method, mutated(chance, requests[method][0]))

    operators = [method for method in methods if ACTIONS[method] == "operate"]
    others = [method for method in methods if ACTIONS[method] != "operate"]
    async with guarded.channels("root", 4) as roots, guarded.channels("operator", 2) as operating:
        await asyncio.gather(*(some(channel, others, 100) for channel in roots))
        guarded.measure()
        await asyncio.gather(
            *(some(roots[number % 4], others, MESSAGES // 64) for number in range(48)),
            *(some(operating[number % 2], operators, MESSAGES // 64) for number in range(16)),
        )
    bad = {key: count for key, count in codes.items() if key[1] in ("INTERNAL", "UNKNOWN")}
    telemetry = guarded.agent.telemetry.read_text()

    assert bad == {}
    assert "rpc_failed" not in telemetry
    assert "Traceback" not in telemetry
    assert guarded.grown_mib() < 20
    assert {method for method, _ in codes} == set(methods)


async def test_datagrams_that_take_long_to_decompress_leave_calls_quick(tmp_path: Path) -> None:
    """150 a second of 60 KB, and as many of 12 KB, which are decompressed as long as the sender's allowance lasts."""
    datagrams = [encode(Type.COMPRESS, {"Algo": 0, "Buf": bytes(size)}) for size in (60_000, 12_000)]
    ended = asyncio.Event()

    async def flood(address: tuple[str, int]) -> int:
        sent = 0
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
            while not ended.is_set():
                for datagram in datagrams:
                    sender.sendto(datagram, address)
                sent += 1
                await asyncio.sleep(1 / 150)
        return sent

    with AgentProcess("a", tmp_path, flags={"fsync": "os"}) as agent:
        host, port = agent.gossip_addr.rsplit(":", 1)
        async with proglog.client.connect(agent.rpc_addr) as client:
            await client.produce_value(b"first")
            flooding = asyncio.create_task(flood((host, int(port))))
            taken = []
            for _ in range(40):
                await asyncio.sleep(0.02)
                began = time.monotonic()
                await client.produce_value(b"value")
                taken.append(time.monotonic() - began)
            ended.set()
            assert await flooding > 40
        told = agent.telemetry.read_text()
    taken.sort()
    print(f"calls took {taken[20] * 1000:.1f} ms, one of ten over {taken[36] * 1000:.1f} ms")
    assert taken[36] < patience(0.05 / LEAST)
    assert told.count("gossip_malformed") == 1, "one line a minute"


async def test_an_agent_without_descriptors_does_not_spin_and_listens_again(
    tmp_path: Path, eventually: Eventually
) -> None:
    def ping(kind: socket.SocketKind) -> bytes:
        with socket.socket(socket.AF_INET, kind) as sock:
            sock.settimeout(1.0)
            sock.connect((host, int(port)))
            sock.sendall(encode(Type.PING, {"SeqNo": 1, "Node": "a", "SourceNode": "somebody"}))
            return sock.recv(100)

    with AgentProcess("a", tmp_path) as agent:
        host, port = agent.gossip_addr.rsplit(":", 1)
        before = resource.prlimit(agent.pid, resource.RLIMIT_NOFILE)
        used = len(list(Path(f"/proc/{agent.pid}/fd").iterdir()))
        resource.prlimit(agent.pid, resource.RLIMIT_NOFILE, (used + 1, before[1]))
        with contextlib.ExitStack() as waiting:
            for _ in range(40):
                waiting.enter_context(socket.create_connection((host, int(port)), timeout=5))
            cpu, began = agent.cpu_seconds(), time.monotonic()
            while time.monotonic() - began < 1.0:
                assert (await asyncio.to_thread(ping, socket.SOCK_DGRAM))[0] == Type.ACK
                await asyncio.sleep(0.1)
            assert agent.cpu_seconds() - cpu < 0.5, "it does nothing but accept"
        resource.prlimit(agent.pid, resource.RLIMIT_NOFILE, before)

        async def answers_streams() -> bool:
            try:
                return (await asyncio.to_thread(ping, socket.SOCK_STREAM))[:1] == bytes((Type.ACK,))
            except OSError:
                return False

        await eventually(answers_streams, timeout=10, what="a ping over TCP that is answered")
        assert agent.telemetry.read_text().count("\n") < 20


@pytest.mark.parametrize("gossip_key", [False, True])
async def test_invented_members_cost_little(tmp_path: Path, gossip_key: bool) -> None:
    with guarded_agent(tmp_path, gossip_key=gossip_key) as guarded:
        await invent_members(guarded, 1 if gossip_key else MEMBERS + 1)


async def invent_members(guarded: Guarded, expected: int) -> None:
    host, port = guarded.agent.gossip_addr.rsplit(":", 1)
    await asyncio.sleep(0.5)  # its own start is over
    guarded.measure()
    claims = [
        encode(
            Type.ALIVE,
            {
                "Incarnation": 1,
                "Node": f"invented-{number}".encode(),
                "Addr": bytes((127, 9, number // 256, number % 256)),
                "Port": 9,
                "Meta": encode_tags({"rpc_addr": f"127.9.{number // 256}.{number % 256}:9"}),
                "Vsn": VERSIONS,
            },
        )
        for number in range(MEMBERS)
    ]
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
        for number, claim in enumerate(claims):
            sender.sendto(claim, (host, int(port)))
            if number % 20 == 19:
                await asyncio.sleep(0.005)  # what the kernel drops was not examined
    files = guarded.certs.clients["root"]
    async with proglog.client.connect(guarded.agent.rpc_addr, tls=files) as client:
        await asyncio.sleep(2)  # what comes once is over
        before, started = guarded.agent.cpu_seconds(), time.monotonic()
        await asyncio.sleep(5)
        used = (guarded.agent.cpu_seconds() - before) / (time.monotonic() - started)
        grown = guarded.grown_mib()
        members = len((await client.status()).members)
        await client.produce_value(b"still here")
    lines = guarded.agent.telemetry.read_text().count("\n")
    assert expected / 2 < members <= expected
    assert used < 0.1 * min(3, patience(1) / 2)  # beside others, the same work takes more processor time
    assert grown < 20
    assert lines < 1.1 * MEMBERS
