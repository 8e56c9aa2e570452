"""The replicator over real sockets, its peers named by hand: what joins, leaves, breaks and comes back."""

import asyncio
import itertools
import time
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import grpc.aio
import pytest

from proglog.agent import replicator as replicator_module
from proglog.agent.replicator import Replicator
from proglog.agent.writer import LogWriter
from proglog.api.v1 import replication_pb2 as pb
from proglog.api.v1 import replication_pb2_grpc
from proglog.client.channel import open_channel
from proglog.errors import DataLossError, DeadlineError
from proglog.log.config import LogConfig
from proglog.log.log import Log
from proglog.log.model import Appended, LogPosition, LogRead
from proglog.record import batch, columns, scan
from proglog.record.batch import stamp_local, verify
from proglog.replication.plan import Patience
from proglog.replication.progress import FIRST_SEQUENCE
from proglog.security.authorizer import AllowAll
from proglog.server import replication_service
from proglog.server.followers import Followers
from proglog.server.replication_service import ReplicationService
from proglog.server.server import Server
from proglog.types import OriginId, SequenceNumber
from proglog.wire.model import PeerOrigin, PeerState
from proglog.wire.replication import Hello, ReplicationStream, hello_message

Eventually = Callable[..., Awaitable[None]]


@dataclass
class Node:
    """A log, its server and its replicator, without membership."""

    name: str
    log: Log
    writer: LogWriter
    server: Server
    followers: Followers
    replicator: Replicator
    addr: str
    events: list[str]

    async def produce(self, *values: bytes) -> Appended:
        payload = columns.from_values(values)
        data = batch.encode(payload, count=len(values), first_timestamp_ms=1, max_timestamp_ms=1)
        return await self.writer.append(verify(data))

    def values(self) -> list[bytes]:
        found: list[bytes] = []
        cursor = self.log.seek(self.log.start_offset)
        while True:
            try:
                data, cursor = self.log.read(cursor, 1 << 20)
            except DataLossError:
                cursor = self.log.after_damage(cursor)
                continue
            if not data:
                return found
            for stored in scan.batches(data):
                found += scan.values(stored)


@asynccontextmanager
async def node(name: str, data_dir: Path, port: int = 0, patience: Patience | None = None) -> AsyncGenerator[Node]:
    log = Log.open(data_dir / name, LogConfig(segment_bytes=64 * 1024), node_name=name)
    async with LogWriter(log) as writer:
        followers = Followers()
        service = ReplicationService(writer, followers, node_name=name)
        server = Server(commit_log=writer, authorizer=AllowAll(), extra_services=(service,))
        bound = await server.start(f"127.0.0.1:{port}")
        events: list[str] = []
        replicator = Replicator(
            writer,
            node_name=name,
            channel_factory=lambda addr: open_channel(addr, None),
            emit=lambda kind, *_, **__: events.append(kind.status_name),
            patience=patience,
        )
        try:
            yield Node(name, log, writer, server, followers, replicator, f"127.0.0.1:{bound}", events)
        finally:
            await replicator.close()
            await server.stop(0.2)
    log.close()


def copied(node: Node, origin: Node) -> list[PeerOrigin]:
    """What ``node`` says of the copy of ``origin``'s records."""
    rows = [row for peer in node.replicator.peers() for row in peer.origins if row.origin == origin.log.origin]
    assert rows
    return rows


def introduce(*nodes: Node) -> None:
    for one in nodes:
        for other in nodes:
            if one is not other:
                one.replicator.join(other.name, other.addr)


async def test_every_node_gets_every_record_once_and_then_nothing_grows(tmp_path: Path, eventually: Eventually) -> None:
    async with node("a", tmp_path) as a, node("b", tmp_path) as b, node("c", tmp_path) as c:
        introduce(a, b, c)
        for number in range(100):
            for one in (a, b, c):
                await one.produce(b"%s-%d" % (one.name.encode(), number))

        await eventually(lambda: all(one.log.end_offset == 300 for one in (a, b, c)))
        for one in (a, b, c):  # what comes after them comes after any copy too many
            await one.produce(b"last of " + one.name.encode())
        await eventually(lambda: all(one.log.end_offset >= 303 for one in (a, b, c)))

        assert all(one.log.end_offset == 303 for one in (a, b, c))
        assert all(len(set(one.values())) == 303 for one in (a, b, c))
        assert sum(peer.records_dropped for one in (a, b, c) for peer in one.replicator.peers()) == 0


async def test_a_joiner_gets_a_dead_nodes_records_from_a_third(tmp_path: Path, eventually: Eventually) -> None:
    async with node("b", tmp_path) as b:
        async with node("a", tmp_path) as a:
            introduce(a, b)
            await a.produce(b"one", b"two")
            await eventually(lambda: b.log.end_offset == 2)
        async with node("c", tmp_path) as c:
            c.replicator.join("b", b.addr)

            await eventually(lambda: c.log.end_offset == 2)
            assert c.values() == [b"one", b"two"]


async def test_a_source_that_restarts_is_followed_again_from_where_it_was(
    tmp_path: Path, eventually: Eventually
) -> None:
    async with node("b", tmp_path) as b:
        async with node("a", tmp_path) as a:
            port = int(a.addr.rpartition(":")[2])
            b.replicator.join("a", a.addr)
            await a.produce(b"before")
            await eventually(lambda: b.log.end_offset == 1)
        async with node("a", tmp_path, port) as a:
            await a.produce(b"after")

            await eventually(lambda: b.log.end_offset == 2)
            assert b.values() == [b"before", b"after"]


async def test_a_follower_that_restarts_continues_where_it_was(tmp_path: Path, eventually: Eventually) -> None:
    async with node("a", tmp_path) as a:
        async with node("b", tmp_path) as b:
            b.replicator.join("a", a.addr)
            await a.produce(b"before")
            await eventually(lambda: b.log.end_offset == 1)
        await a.produce(b"meanwhile")
        async with node("b", tmp_path) as b:
            b.replicator.join("a", a.addr)

            await eventually(lambda: b.log.end_offset == 2)
            assert b.values() == [b"before", b"meanwhile"]
            await eventually(lambda: b.replicator.peers()[0].records_copied > 0)
            (peer,) = b.replicator.peers()
            assert (peer.records_copied, peer.records_dropped) == (1, 0)


async def test_a_server_that_left_is_not_followed(tmp_path: Path, eventually: Eventually) -> None:
    async with node("a", tmp_path) as a, node("b", tmp_path) as b:
        b.replicator.join("a", a.addr)
        await a.produce(b"before")
        await eventually(lambda: b.log.end_offset == 1)

        b.replicator.leave("a")
        await a.produce(b"after")
        async with node("c", tmp_path) as c:
            c.replicator.join("a", a.addr)
            await eventually(lambda: c.values() == [b"before", b"after"])

        assert b.values() == [b"before"]
        assert b.replicator.peers() == ()


async def test_joining_twice_leaving_the_unknown_and_joining_after_close_do_nothing(tmp_path: Path) -> None:
    async with node("a", tmp_path) as a, node("b", tmp_path) as b:
        b.replicator.leave("nobody")
        b.replicator.join("a", a.addr)
        tasks = len(asyncio.all_tasks())
        b.replicator.join("a", a.addr)

        assert [peer.rpc_addr for peer in b.replicator.peers()] == [a.addr]
        assert len(asyncio.all_tasks()) == tasks

        await b.replicator.close()
        await b.replicator.close()
        b.replicator.join("a", a.addr)
        assert b.replicator.peers() == ()


async def test_a_server_that_cannot_be_reached_is_tried_again_and_said_why(
    tmp_path: Path, eventually: Eventually, free_port: Callable[[], int]
) -> None:
    port = free_port()
    async with node("b", tmp_path) as b:
        b.replicator.join("a", f"127.0.0.1:{port}")
        await eventually(lambda: b.replicator.peers()[0].state is PeerState.BACKING_OFF)
        assert "127.0.0.1" in b.replicator.peers()[0].error

        async with node("a", tmp_path, port) as a:
            await a.produce(b"late")
            await eventually(lambda: b.log.end_offset == 1)
            assert b.replicator.peers()[0].state is PeerState.STREAMING


async def test_a_chain_of_nodes_passes_records_on(tmp_path: Path, eventually: Eventually) -> None:
    async with AsyncExitStack() as stack:
        nodes = [await stack.enter_async_context(node(name, tmp_path)) for name in "abcde"]
        for left, right in itertools.pairwise(nodes):
            introduce(left, right)
        await nodes[0].produce(b"from the left")
        await nodes[-1].produce(b"from the right")

        await eventually(lambda: all(one.log.end_offset == 2 for one in nodes))
        assert all(set(one.values()) == {b"from the left", b"from the right"} for one in nodes)


async def test_a_large_backlog_is_copied_across_segments(tmp_path: Path, eventually: Eventually) -> None:
    async with node("a", tmp_path) as a, node("b", tmp_path) as b:
        for number in range(200):
            await a.produce(*(b"%06d" % (number * 100 + index) for index in range(100)))
        b.replicator.join("a", a.addr)

        await eventually(lambda: b.log.end_offset == 20_000, timeout=20)
        # The disk thread publishes what it wrote before the loop hears of it.
        await eventually(lambda: all(row.next_sequence == row.peer_next_sequence for row in copied(b, a)))
        assert b.values() == a.values()
        assert b.log.segment_count > 1
        (peer,) = b.replicator.peers()
        rows = {row.origin: row for row in peer.origins}
        assert rows.keys() == {a.log.origin, b.log.origin}
        level, lacking = rows[a.log.origin], rows[b.log.origin]
        assert (level.lag_records, level.lag_trend, level.catch_up_ms, level.source) == (0, 0.0, 0, True)
        assert (lacking.peer_lag_records, lacking.source) == (1, False)  # a does not follow b


async def test_a_server_that_moved_is_followed_where_it_is_now(
    tmp_path: Path, eventually: Eventually, free_port: Callable[[], int]
) -> None:
    async with node("a", tmp_path) as a, node("b", tmp_path) as b:
        b.replicator.join("a", f"127.0.0.1:{free_port()}")
        b.replicator.join("a", a.addr)
        await a.produce(b"here")

        await eventually(lambda: b.log.end_offset == 1)
        assert [peer.rpc_addr for peer in b.replicator.peers()] == [a.addr]


async def test_the_origin_itself_is_the_source_while_it_is_there(tmp_path: Path, eventually: Eventually) -> None:
    async with node("b", tmp_path) as b, node("c", tmp_path) as c:
        async with node("a", tmp_path) as a:
            introduce(a, b, c)
            await a.produce(b"x")
            await eventually(lambda: c.replicator.sources().get(a.log.origin) == "a")
            await eventually(lambda: c.replicator.sources().get(b.log.origin) == "b")
            await eventually(lambda: c.log.end_offset == 1)
            c.replicator.leave("a")
            await a.produce(b"y")
            await eventually(lambda: c.replicator.sources().get(a.log.origin) == "b", what="the third as the source")
        await eventually(lambda: c.log.end_offset == 2)
        assert c.log.origin not in c.replicator.sources()


async def test_a_directory_that_lost_its_log_gets_its_old_records_back_under_their_old_origin(
    tmp_path: Path, eventually: Eventually
) -> None:
    async with node("b", tmp_path) as b:
        async with node("a", tmp_path / "first") as a:
            introduce(a, b)
            await a.produce(b"before")
            await eventually(lambda: b.log.end_offset == 1)
        async with node("a", tmp_path / "second") as a:
            b.replicator.join("a", a.addr)
            a.replicator.join("b", b.addr)
            await a.produce(b"after")

            await eventually(lambda: a.log.end_offset == 2 and b.log.end_offset == 2)
            assert sorted(a.values()) == sorted(b.values()) == [b"after", b"before"]


async def test_idle_streams_exchange_nothing_and_cost_nothing(tmp_path: Path, eventually: Eventually) -> None:
    async with node("a", tmp_path) as a, node("b", tmp_path) as b, node("c", tmp_path) as c:
        introduce(a, b, c)
        await a.produce(b"x")
        await eventually(lambda: all(one.log.end_offset == 1 for one in (a, b, c)))
        await asyncio.sleep(0.5)  # positions that were held back go out

        before = time.process_time()
        await asyncio.sleep(1.0)
        assert time.process_time() - before < 0.1


async def test_a_producer_that_waits_for_copies_learns_when_they_are_durable(
    tmp_path: Path, eventually: Eventually
) -> None:
    async with node("a", tmp_path) as a, node("b", tmp_path) as b, node("c", tmp_path) as c:
        introduce(a, b, c)
        await eventually(lambda: all(peer.state is PeerState.STREAMING for peer in b.replicator.peers()))
        appended = await a.produce(b"x")

        await a.followers.wait_replicated(a.log.origin, appended.next_sequence, copies=2, within=5.0)

        assert b.values() == c.values() == [b"x"]
        with pytest.raises(DeadlineError, match="2 of 3"):
            await a.followers.wait_replicated(a.log.origin, appended.next_sequence, copies=3, within=0.05)


@pytest.mark.parametrize("hurried", [False, True])
async def test_small_records_keep_each_other_company_unless_somebody_waits_for_copies(
    tmp_path: Path, hurried: bool, monkeypatch: pytest.MonkeyPatch, eventually: Eventually
) -> None:
    monkeypatch.setattr(replication_service, "COALESCE_SECONDS", 3600.0)
    async with node("a", tmp_path) as a, open_channel(a.addr, None) as channel:
        hello = Hello("b", OriginId(b"b" * 16), b"instance")
        stream = ReplicationStream(channel, hello)
        stream.want(a.log.origin, FIRST_SEQUENCE, 0)
        arrived = 0

        async def read() -> None:
            nonlocal arrived
            async for received in stream:
                arrived += len(list(scan.batches(received.batches)))

        reading = asyncio.create_task(read())
        while not arrived:  # the batch that names the node: the first goes at once
            await asyncio.sleep(0.01)
        if hurried:
            waiting = asyncio.create_task(a.followers.wait_replicated(a.log.origin, SequenceNumber(9), 1, within=5))
            await asyncio.sleep(0)

        await a.produce(b"waits for others")

        if hurried:
            await eventually(lambda: arrived == 2)
        else:
            await stands_still(lambda: arrived, while_=lambda: a.produce(b"meanwhile"))
            assert arrived == 1
        if hurried:
            waiting.cancel()
        stream.close()
        reading.cancel()
        await asyncio.gather(reading, return_exceptions=True)


async def test_records_reach_a_server_whose_source_hangs_through_another(
    tmp_path: Path, eventually: Eventually
) -> None:
    """``a`` keeps its stream to ``c`` open and sends nothing; ``c`` must get its records from ``b``."""
    async with node("a", tmp_path) as a, node("b", tmp_path) as b, node("c", tmp_path) as c:
        b.replicator.join("a", a.addr)
        gate = await TcpGate.open(a.addr)
        c.replicator.join("a", gate.addr)
        c.replicator.join("b", b.addr)
        await eventually(lambda: all(peer.state is PeerState.STREAMING for peer in c.replicator.peers()))
        gate.closed = True
        await a.produce(b"x")

        await eventually(lambda: c.log.end_offset == 1, timeout=10, what="the record, through b")
        assert c.replicator.sources()[a.log.origin] == "b"
        await c.replicator.close()
        await gate.close()


async def test_a_peer_behind_a_black_hole_is_noticed_and_followed_again_when_it_is_back(
    tmp_path: Path, eventually: Eventually
) -> None:
    """Nothing is closed and nothing is refused: bytes just do not arrive any more."""
    async with node("a", tmp_path) as a, node("b", tmp_path) as b:
        gate = await TcpGate.open(a.addr)
        b.replicator.join("a", gate.addr)
        await eventually(lambda: b.replicator.peers()[0].state is PeerState.STREAMING)
        gate.closed = True

        await eventually(
            lambda: b.replicator.peers()[0].state is not PeerState.STREAMING, timeout=15, what="noticing the black hole"
        )
        gate.closed = False
        await a.produce(b"after")
        await eventually(lambda: b.log.end_offset == 1, timeout=10, what="the record after it")
        await b.replicator.close()
        await gate.close()


async def test_a_server_that_is_reached_and_says_nothing_is_noticed(
    tmp_path: Path, eventually: Eventually, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(replicator_module, "HELLO_TIMEOUT", 0.3)
    async with hostile_source() as addr, node("b", tmp_path) as b:
        b.replicator.join("mute", addr)

        await eventually(lambda: "sent nothing" in b.replicator.peers()[0].error)
        await b.replicator.close()


async def test_a_follower_that_does_not_read_costs_its_source_a_bounded_amount_of_memory(
    tmp_path: Path, eventually: Eventually
) -> None:
    """The source reads on when the last message is on its way: gRPC's flow control stops it after a few megabytes."""
    async with node("a", tmp_path) as a:
        for _ in range(48):
            await a.produce(*[bytes(1024)] * 1024)
        read_bytes = 0
        read = a.writer.read

        async def counted(cursor: LogPosition, max_bytes: int) -> LogRead:
            nonlocal read_bytes
            found = await read(cursor, max_bytes)
            read_bytes += len(found.data)
            return found

        a.writer.read = counted  # type: ignore[method-assign] - counts, and lets through
        fixed_windows = [("grpc.http2.bdp_probe", 0)]  # else they grow with the delays that a busy machine has
        async with grpc.aio.insecure_channel(a.addr, options=fixed_windows) as channel:
            call = replication_pb2_grpc.ReplicationStub(channel).Replicate()
            hello = hello_message(Hello("slow", OriginId(EVIL), bytes(16)))
            await call.write(pb.ReplicateRequest(hello=hello, want=[pb.Want(origin=a.log.origin, next_sequence=1)]))
            await call.read()
            await eventually(lambda: read_bytes > 0)
            await stands_still(lambda: read_bytes, while_=lambda: a.produce(b"meanwhile"))

            assert read_bytes < 16 * 1024 * 1024 < a.log.stored_bytes
            appended = await a.produce(b"producers do not wait for it")
            assert appended.end_offset == a.log.end_offset
            call.cancel()


async def stands_still(value: Callable[[], int], *, while_: Callable[[], Awaitable[object]]) -> None:
    """Wait until ``value`` does not change while something else is done twenty times."""
    for _ in range(100):
        before = value()
        for _ in range(20):
            await while_()
        if value() == before:
            return
    raise AssertionError("it never ends")


async def test_what_is_damaged_at_the_origin_comes_from_a_third(tmp_path: Path, eventually: Eventually) -> None:
    async with node("a", tmp_path) as a, node("b", tmp_path) as b:
        b.replicator.join("a", a.addr)
        await produce_segments(a)
        await eventually(lambda: b.log.end_offset == a.log.end_offset)
        damage(a, b"000500")

        async with node("c", tmp_path) as c:
            c.replicator.join("a", a.addr)
            c.replicator.join("b", b.addr)

            await eventually(lambda: c.log.end_offset == b.log.end_offset, what="all records")
            assert c.values() == b.values()
            assert "replication-gap" not in c.events


async def test_what_nobody_can_give_becomes_a_gap_that_is_reported_and_is_one_for_others_too(
    tmp_path: Path, eventually: Eventually
) -> None:
    patience = Patience(aside_timeout=0.2, gap_timeout=0.5)
    async with node("a", tmp_path) as a, node("b", tmp_path, patience=patience) as b:
        await produce_segments(a)
        expected = a.values()
        damage(a, b"000500")
        lost = {b"%06d" % number for number in range(500, 510)}  # its batch

        b.replicator.join("a", a.addr)
        await eventually(lambda: len(b.values()) == len(expected) - 10, what="what is left")

        assert b.values() == [value for value in expected if value not in lost]
        assert b.events.count("replication-gap") == 1
        (gap,) = b.log.gaps()
        assert gap.end - gap.start == 10
        assert b.log.end_offset == a.log.end_offset, "its offsets are reserved"
        assert b.log.origins()[a.log.origin].chain_crc == a.log.origins()[a.log.origin].chain_crc
        async with node("c", tmp_path, patience=patience) as c:
            c.replicator.join("b", b.addr)
            await eventually(lambda: c.values() == b.values(), what="the same on the next node")


async def produce_segments(one: Node) -> None:
    for number in range(0, 4000, 10):
        await one.produce(*(b"%06d" % (number + index) for index in range(10)))
    assert one.log.segment_count > 1


def damage(one: Node, value: bytes) -> None:
    """Flip a bit of a stored record."""
    store = next(path for path in sorted(one.log.data_dir.glob("*.log")) if value in path.read_bytes())
    data = bytearray(store.read_bytes())
    data[data.index(value)] ^= 1
    store.write_bytes(data)


@asynccontextmanager
async def hostile_source(*responses: pb.ReplicateResponse) -> AsyncGenerator[str]:
    """A server that answers every ``Replicate`` with these messages and then hangs."""

    class Servicer(replication_pb2_grpc.ReplicationServicer):
        async def Replicate(self, request_iterator, context):  # noqa: N802 - gRPC's name
            for response in responses:
                yield response
            await asyncio.sleep(3600)

    server = grpc.aio.server()
    replication_pb2_grpc.add_ReplicationServicer_to_server(Servicer(), server)
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    try:
        yield f"127.0.0.1:{port}"
    finally:
        await server.stop(0)


EVIL = b"e" * 16
HELLO = pb.ReplicateResponse(hello=pb.Hello(node_name="evil", origin=EVIL, protocol_version=1))


@pytest.mark.parametrize(
    ("responses", "error"),
    [
        pytest.param([pb.ReplicateResponse()], "hello", id="no hello"),
        pytest.param([HELLO, HELLO], "hello", id="two hellos"),
        pytest.param(
            [pb.ReplicateResponse(hello=pb.Hello(origin=EVIL, protocol_version=9))], "protocol 9", id="version"
        ),
        pytest.param([pb.ReplicateResponse(hello=pb.Hello(origin=b"e", protocol_version=1))], "16 bytes", id="origin"),
        pytest.param([HELLO, pb.ReplicateResponse(batches=b"\0" * 500)], "checksum", id="no batch"),
        pytest.param([HELLO, pb.ReplicateResponse(batches=b"x")], "128 bytes", id="a torn batch"),
        pytest.param([HELLO, pb.ReplicateResponse(positions=[pb.OriginPosition()])], "16 bytes", id="position"),
        pytest.param(
            [HELLO, pb.ReplicateResponse(positions=[pb.OriginPosition(origin=EVIL)] * 4097)], "4,096", id="a flood"
        ),
    ],
)
async def test_what_no_source_would_say_ends_the_stream_and_is_shown(
    tmp_path: Path, eventually: Eventually, responses: list[pb.ReplicateResponse], error: str
) -> None:
    async with hostile_source(*responses) as addr, node("b", tmp_path) as b:
        b.replicator.join("evil", addr)

        await eventually(lambda: error in b.replicator.peers()[0].error, what=f"an error with {error}")
        (evil,) = b.replicator.peers()
        assert (evil.failing, error in evil.failure) == (True, True)
        assert b.log.end_offset == 0
        await b.replicator.close()


async def test_a_source_cannot_put_records_into_the_own_origin(tmp_path: Path, eventually: Eventually) -> None:
    async with node("b", tmp_path) as b:
        forged = forge(b.log.origin, sequence=2)
        position = pb.OriginPosition(origin=b.log.origin, next_sequence=3, floor_sequence=1)
        async with hostile_source(HELLO, pb.ReplicateResponse(positions=[position], batches=forged)) as addr:
            b.replicator.join("evil", addr)

            await eventually(lambda: "own-origin-claimed" in b.events)
            await eventually(lambda: b.replicator.peers()[0].records_dropped == 1)
            assert b.log.end_offset == 0
            await b.replicator.close()


async def test_a_forged_continuation_is_a_fork_and_goes_no_further(tmp_path: Path, eventually: Eventually) -> None:
    forged = forge(OriginId(EVIL), sequence=1)
    async with node("b", tmp_path) as b, hostile_source(HELLO, pb.ReplicateResponse(batches=forged)) as addr:
        b.replicator.join("evil", addr)

        await eventually(lambda: "replication-forked" in b.events)
        assert b.log.end_offset == 0
        assert EVIL not in b.log.origins()
        await b.replicator.close()


def forge(origin: OriginId, sequence: int) -> bytes:
    """A well-formed batch that continues no history."""
    payload = columns.from_values([b"forged"])
    data = verify(batch.encode(payload, count=1, first_timestamp_ms=1, max_timestamp_ms=1))
    stamped = stamp_local(
        data, origin=origin, base_sequence=sequence, previous_chain=1, base_offset=0, append_time_ms=1
    )
    return stamped + payload


class TcpGate:
    """Passes bytes on in both directions, until it is closed: then it swallows them in silence."""

    def __init__(self, target: str) -> None:
        self.closed = False
        self.addr = ""
        self._target = target
        self._tasks: list[asyncio.Task[None]] = []
        self._writers: list[asyncio.StreamWriter] = []

    @classmethod
    async def open(cls, target: str) -> "TcpGate":
        gate = cls(target)
        gate._server = await asyncio.start_server(gate._accept, "127.0.0.1", 0)
        gate.addr = f"127.0.0.1:{gate._server.sockets[0].getsockname()[1]}"
        return gate

    async def close(self) -> None:
        self._server.close()
        for task in self._tasks:
            task.cancel()
        for writer in self._writers:
            writer.close()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self._server.wait_closed()

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        host, _, port = self._target.rpartition(":")
        target_reader, target_writer = await asyncio.open_connection(host, int(port))
        self._writers += [writer, target_writer]
        self._tasks += [
            asyncio.create_task(self._pump(reader, target_writer)),
            asyncio.create_task(self._pump(target_reader, writer)),
        ]

    async def _pump(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while data := await reader.read(65536):
            if not self.closed:
                writer.write(data)
                await writer.drain()
