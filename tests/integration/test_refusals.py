"""Each call on a log in each trouble, over gRPC: the reasons are those that :mod:`proglog.wire.refusals` lists.

What needs a cluster, or a stream of its own, is named in :data:`ELSEWHERE`, and tested there.
"""

import ast
from collections.abc import AsyncGenerator, Callable
from itertools import chain
from pathlib import Path

import grpc
import pytest

from proglog.agent.writer import LogWriter
from proglog.api.v1 import batches_pb2 as batches
from proglog.api.v1 import (
    batches_pb2_grpc,
    cluster_pb2,
    cluster_pb2_grpc,
    log_pb2,
    log_pb2_grpc,
    losses_pb2,
    losses_pb2_grpc,
    replication_pb2,
    replication_pb2_grpc,
)
from proglog.errors import DrainingError, StorageError, UnknownFormatError
from proglog.log.config import LogConfig
from proglog.log.log import Log
from proglog.record.batch import MAX_BATCH_BYTES
from proglog.security.authorizer import AllowAll
from proglog.server.followers import Followers
from proglog.server.replication_service import ReplicationService
from proglog.server.server import Server
from proglog.testing.files import FaultyFiles
from proglog.types import NodeName
from proglog.wire.refusals import CALLS, EVERY_CALL
from proglog.wire.status import TABLE
from tests.integration.test_contract import PRODUCER, batch_of, refusal, with_field
from tests.unit.log.kit import DIR

REASONS = {row.kind: row.reason for row in TABLE}
CODES = {row.reason: row.code.name for row in TABLE}


class Agent:
    """A server on a disk in memory."""

    def __init__(self, files: FaultyFiles, log: Log, writer: LogWriter, channel: grpc.aio.Channel) -> None:
        self.files, self.log, self.writer, self.channel = files, log, writer, channel


@pytest.fixture
async def agent() -> AsyncGenerator[Agent]:
    files = FaultyFiles()
    config = LogConfig(segment_bytes=4096, index_interval_bytes=512, retention_bytes=8192, ballast_bytes=0)
    log = Log.open(DIR, config, files=files, node_name=NodeName("a"))
    async with LogWriter(log) as writer:
        replication = ReplicationService(writer, Followers(), node_name=NodeName("a"))
        server = Server(commit_log=writer, authorizer=AllowAll(), extra_services=(replication,))
        port = await server.start("127.0.0.1:0")
        async with grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel:
            agent = Agent(files, log, writer, channel)
            for number in range(60):
                await asked(agent, "/log.v1.Log/Produce", log_pb2.ProduceRequest(record={"value": b"%d" % number * 60}))
            yield agent
        await server.stop(0)
    log.close()


STUBS: dict[str, Callable[[grpc.aio.Channel], object]] = {
    "log.v1.Log": log_pb2_grpc.LogStub,
    "proglog.v1.Batches": batches_pb2_grpc.BatchesStub,
    "proglog.v1.Positions": batches_pb2_grpc.PositionsStub,
    "proglog.v1.Replication": replication_pb2_grpc.ReplicationStub,
    "proglog.v1.Cluster": cluster_pb2_grpc.ClusterStub,
    "proglog.v1.Losses": losses_pb2_grpc.LossesStub,
}
SENDS_A_STREAM = {"/log.v1.Log/ProduceStream", "/proglog.v1.Batches/Produce", "/proglog.v1.Replication/Replicate"}


async def asked(agent: Agent, call: str, *requests: object) -> None:
    """Make one call and read all of its answers."""
    _, service, method = call.split("/")
    stub = getattr(STUBS[service](agent.channel), method)
    answers = stub(iter(requests), timeout=20) if call in SENDS_A_STREAM else stub(requests[0], timeout=20)
    if hasattr(answers, "__aiter__"):
        async for _ in answers:
            pass
    else:
        await answers


async def nothing(agent: Agent) -> None:
    pass


async def read_only(agent: Agent) -> None:
    agent.files.read_only = True


async def draining(agent: Agent) -> None:
    agent.writer.hold_producers("draining", DrainingError())


async def full(agent: Agent) -> None:
    agent.files.capacity_bytes = agent.files.used_bytes()


async def poisoned(agent: Agent) -> None:
    await agent.writer.query(lambda log: agent.files.unlink(DIR / f"{log.end_position.segment:020d}.log"))
    agent.log.check_place()


async def damaged(agent: Agent) -> None:
    content = agent.files.content(DIR / f"{agent.log.start_offset:020d}.log")
    content[300] ^= 0xFF


async def trimmed(agent: Agent) -> None:
    agent.log.retain()


async def met(agent: Agent) -> None:
    sent = [batch_of(b"%d" % each, b"x", sequence=2 * each, epoch=2, producer=PRODUCER) for each in range(24)]
    await asked(agent, PRODUCE, *[batches.ProduceBatchRequest(batch=each) for each in sent])


async def committed(agent: Agent) -> None:
    await asked(agent, COMMIT, batches.CommitPositionRequest(name="n", epoch=3))


PRODUCE, CONSUME = "/proglog.v1.Batches/Produce", "/proglog.v1.Batches/Consume"
COMMIT, LIST = "/proglog.v1.Positions/Commit", "/proglog.v1.Positions/List"
BOOKS = ("/log.v1.Log/Produce", "/log.v1.Log/ProduceStream")
BOOKS_READS = ("/log.v1.Log/Consume", "/log.v1.Log/ConsumeStream")
REPLICATE, READ_RANGE = "/proglog.v1.Replication/Replicate", "/proglog.v1.Replication/ReadRange"


def book(value: bytes = b"x") -> log_pb2.ProduceRequest:
    return log_pb2.ProduceRequest(record=log_pb2.Record(value=value))


def batch(data: bytes | None = None, **more: object) -> batches.ProduceBatchRequest:
    return batches.ProduceBatchRequest(batch=batch_of(b"x") if data is None else data, **more)  # type: ignore[arg-type]


def again(sequence: int, epoch: int = 2) -> batches.ProduceBatchRequest:
    return batch(batch_of(b"x", sequence=sequence, epoch=epoch, producer=PRODUCER))


def at(offset: int, **more: object) -> batches.ConsumeBatchesRequest:
    return batches.ConsumeBatchesRequest(start=batches.OffsetSpec(offset=offset), **more)  # type: ignore[arg-type]


CASES = [
    *((call, reason, trouble, book()) for call in BOOKS for reason, trouble in (
        ("DRAINING", draining), ("LOG_READ_ONLY", read_only), ("LOG_FULL", full), ("LOG_POISONED", poisoned))),
    *((call, "RECORD_TOO_LARGE", nothing, book(bytes(MAX_BATCH_BYTES))) for call in BOOKS),
    *((call, "OFFSET_OUT_OF_RANGE", nothing, log_pb2.ConsumeRequest(offset=999)) for call in BOOKS_READS),
    *((call, "DATA_LOSS", damaged, log_pb2.ConsumeRequest(offset=0)) for call in BOOKS_READS),
    *((PRODUCE, reason, trouble, batch()) for reason, trouble in (
        ("DRAINING", draining), ("LOG_READ_ONLY", read_only), ("LOG_FULL", full), ("LOG_POISONED", poisoned))),
    (PRODUCE, "RECORD_TOO_LARGE", nothing, batch(with_field(batch_of(b"x") + bytes(MAX_BATCH_BYTES), 24, (MAX_BATCH_BYTES + 131).to_bytes(4, "little")))),
    (PRODUCE, "MALFORMED_BATCH", nothing, batch(batch_of(b"x")[:-1] + b"?")),
    (PRODUCE, "UNKNOWN_BATCH_FORMAT", nothing, batch(with_field(batch_of(b"x"), 36, b"\x09"))),
    (PRODUCE, "PRODUCER_HOLE", met, again(99)),
    (PRODUCE, "PRODUCER_FORGOTTEN", met, again(0)),
    (PRODUCE, "PRODUCER_FENCED", met, again(48, epoch=1)),
    (PRODUCE, "PRODUCER_SEQUENCE", met, again(46)),
    (PRODUCE, "TOO_FEW_SERVERS", nothing, batch(acks=2)),
    (CONSUME, "OFFSET_OUT_OF_RANGE", nothing, at(999)),
    (CONSUME, "OTHER_LOG", nothing, at(1, expected_log=b"another log's id")),
    (CONSUME, "DATA_LOSS", damaged, at(0)),
    (CONSUME, "POSITION_GONE", trimmed, batches.ConsumeBatchesRequest(cursor=batches.Cursor())),
    *((COMMIT, reason, trouble, batches.CommitPositionRequest(name="n")) for reason, trouble in (
        ("DRAINING", draining), ("LOG_READ_ONLY", read_only), ("LOG_FULL", full), ("LOG_POISONED", poisoned))),
    (COMMIT, "POSITION_SUPERSEDED", committed, batches.CommitPositionRequest(name="n", epoch=2)),
    (REPLICATE, "INCOMPATIBLE_RELEASE", nothing, replication_pb2.ReplicateRequest(
        hello=replication_pb2.Hello(origin=b"o" * 16, protocol_version=1))),
    (READ_RANGE, "NOT_FOUND", nothing, replication_pb2.ReadRangeRequest(
        origin=b"?" * 16, start_sequence=1, end_sequence=2)),
    ("/proglog.v1.Cluster/Verify", "NOT_FOUND", nothing, cluster_pb2.VerifyRequest(base_offset=7)),
    ("/proglog.v1.Positions/Reset", "NOT_FOUND", nothing, batches.ResetPositionRequest(name="none")),
    ("/proglog.v1.Losses/Accept", "NOT_FOUND", nothing, losses_pb2.AcceptLossRequest(
        start_offset=1, end_offset=2, reason="gone")),
]  # fmt: skip

COMMANDS, ASKING = "tests/integration/test_serf_commands.py", "tests/unit/gossip/test_asking.py"
FORCE_LEAVE = "tests/e2e/test_force_leave.py::test_a_member_that_failed_is_removed_everywhere_and_one_that_lives_is_not"
ELSEWHERE = {
    (REPLICATE, "SELF_CONNECTION"): (
        "tests/integration/test_refusals.py::test_a_stream_that_leads_back_to_the_node_itself_is_refused", "SELF_CONNECTION"),
    (REPLICATE, "ORIGIN_CHANGED"): (
        "tests/integration/test_refusals.py::test_a_stream_ends_when_the_node_begins_a_new_origin", "ORIGIN_CHANGED"),
    (COMMIT, "TOO_MANY_POSITIONS"): (
        "tests/integration/test_position_owner.py::test_all_positions_together_are_bounded_and_can_be_listed",
        "TooManyPositionsError"),
    ("/proglog.v1.Cluster/Verify", "OVERLOADED"): (
        "tests/integration/test_live_verify.py::test_one_at_a_time_and_of_segments_that_there_are", "OverloadedError"),
    ("/proglog.v1.Cluster/ForceLeave", "NOT_FOUND"): (FORCE_LEAVE, "no member 'c'"),
    ("/proglog.v1.Cluster/ForceLeave", "PRECONDITION"): (FORCE_LEAVE, "is alive"),
    ("/proglog.v1.Membership/Query", "OVERLOADED"): (
        f"{ASKING}::test_the_queries_under_way_are_bounded", "OverloadedError"),
    ("/proglog.v1.Membership/SetTags", "CONFIG"): (f"{COMMANDS}::_tags", "ConfigError"),
    ("/proglog.v1.Membership/Keys", "PRECONDITION"): (
        f"{COMMANDS}::test_keys_of_plain_gossip_are_refused_with_the_flag_that_it_takes", "PreconditionError"),
    ("/proglog.v1.Membership/RoundTrip", "NOT_FOUND"): (f"{COMMANDS}::_round_trips", "NotFoundError"),
}  # fmt: skip
"""The function that sees it, and the words by which it does."""
ANY_DISK = {REASONS[kind] for kind in (StorageError, UnknownFormatError)}
"""Of every call that reads or writes the disk: tests/storage has the faults."""


@pytest.mark.parametrize(
    ("call", "reason", "trouble", "request_"), CASES, ids=[f"{call[1:]}-{reason}" for call, reason, *_ in CASES]
)
async def test_a_call_is_refused_with_the_reason_that_is_listed_for_it(
    agent: Agent, call: str, reason: str, trouble: Callable[[Agent], object], request_: object
) -> None:
    await trouble(agent)  # type: ignore[misc]

    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await asked(agent, call, request_)

    assert refusal(caught)[:2] == (CODES[reason], reason)


async def test_a_stream_that_leads_back_to_the_node_itself_is_refused(agent: Agent) -> None:
    stub = replication_pb2_grpc.ReplicationStub(agent.channel)
    hello = (await stub.Replicate(iter([hello_as(b"o" * 16)]), timeout=20).read()).hello

    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await asked(agent, REPLICATE, hello_as(hello.origin, hello.instance))

    assert refusal(caught)[:2] == (CODES["SELF_CONNECTION"], "SELF_CONNECTION")


async def test_a_stream_ends_when_the_node_begins_a_new_origin(agent: Agent) -> None:
    stream = replication_pb2_grpc.ReplicationStub(agent.channel).Replicate(timeout=20)
    await stream.write(hello_as(b"o" * 16))
    await stream.read()
    await agent.writer.begin_origin("a test")

    with pytest.raises(grpc.aio.AioRpcError) as caught:
        while await stream.read() is not grpc.aio.EOF:
            pass

    assert refusal(caught)[:2] == (CODES["ORIGIN_CHANGED"], "ORIGIN_CHANGED")


def hello_as(origin: bytes, instance: bytes = b"") -> replication_pb2.ReplicateRequest:
    hello = replication_pb2.Hello(origin=origin, instance=instance, node_name="b", protocol_version=1, batch_version=9)
    return replication_pb2.ReplicateRequest(hello=hello)


@pytest.mark.parametrize("call", [call for call in CALLS if call.split("/")[1] in STUBS and call not in SENDS_A_STREAM])
async def test_bytes_that_are_no_message_are_an_invalid_request_of_every_call(agent: Agent, call: str) -> None:
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await agent.channel.unary_unary(call)(b"\xff\xff\xff", timeout=20)

    assert refusal(caught)[:2] == ("INVALID_ARGUMENT", "INVALID_REQUEST")


def test_every_reason_of_every_call_is_exercised_and_none_is_that_is_not_listed() -> None:
    listed = {(call, REASONS[kind]) for call, kinds in CALLS.items() for kind in kinds}
    exercised = {(call, reason) for call, reason, *_ in CASES}

    assert exercised | ELSEWHERE.keys() == {each for each in listed if each[1] not in ANY_DISK}
    assert exercised.isdisjoint(ELSEWHERE)


@pytest.mark.parametrize("place", ELSEWHERE.values(), ids=[f"{call[1:]}-{reason}" for call, reason in ELSEWHERE])
def test_what_is_tested_elsewhere_is_tested_there(place: tuple[str, str]) -> None:
    path, _, name = place[0].partition("::")
    source = (Path(__file__).parents[2] / path).read_text()
    (function,) = (
        node
        for node in ast.parse(source).body
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and node.name == name
    )

    body = ast.get_source_segment(source, function)

    assert body is not None
    assert place[1] in body
    assert name.startswith("test_") or source.count(f"{name}(") > 1, f"nothing calls {name}"


def test_every_reason_is_of_some_call_or_of_no_call_at_all() -> None:
    of_calls = {REASONS[kind] for kind in chain(EVERY_CALL, *CALLS.values())}

    assert set(CODES) - of_calls == {
        "ACCESS", "DATA_DIR_LOCKED", "FORKED_ORIGIN", "OTHER", "SEQUENCE_GAP",
    }, "errors of a directory, of a replica, and the ends of the tree"  # fmt: skip
