"""What a client in any language may rely on: asked over gRPC with default options, without a line of the Python client."""

from collections.abc import AsyncGenerator
from pathlib import Path

import grpc
import pytest
from google.rpc.error_details_pb2 import ErrorInfo
from google.rpc.status_pb2 import Status
from grpc_reflection.v1alpha import reflection_pb2

from proglog.agent.writer import LogWriter
from proglog.api.v1 import batches_pb2, batches_pb2_grpc, log_pb2, log_pb2_grpc, replication_pb2, replication_pb2_grpc
from proglog.errors import IncompatibleReleaseError
from proglog.log.config import LogConfig
from proglog.log.log import Log
from proglog.record import batch, columns, control, scan
from proglog.record.batch import FLAG_CONTROL, HEADER_BYTES, MAX_BATCH_BYTES, NO_PRODUCER, verify
from proglog.record.crc import crc
from proglog.record.record import Record
from proglog.security.authorizer import AllowAll
from proglog.server.followers import Followers
from proglog.server.replication_service import ReplicationService
from proglog.server.server import Server
from proglog.types import NodeName, OriginId, SequenceNumber
from proglog.wire.contract import FEATURES, LOG_KEY, WINDOW_KEY
from proglog.wire.replication import hello_of

PRODUCER = bytes(range(16))


class Agent:
    def __init__(self, writer: LogWriter, channel: grpc.aio.Channel) -> None:
        self.writer, self.channel = writer, channel
        self.batches = batches_pb2_grpc.BatchesStub(channel)

    async def produce(self, *batches: bytes) -> list[batches_pb2.ProduceBatchResponse]:
        requests = [batches_pb2.ProduceBatchRequest(batch=each) for each in batches]
        return [answer async for answer in self.batches.Produce(iter(requests))]

    async def consume(self, **request: object) -> list[batches_pb2.ConsumeBatchesResponse]:
        return [each async for each in self.batches.Consume(batches_pb2.ConsumeBatchesRequest(**request))]  # type: ignore[arg-type]


@pytest.fixture
async def agent(tmp_path: Path) -> AsyncGenerator[Agent]:
    log = Log.open(tmp_path, LogConfig(), node_name=NodeName("a"))
    async with LogWriter(log) as writer:
        replication = ReplicationService(writer, Followers(), node_name=NodeName("a"))
        server = Server(commit_log=writer, authorizer=AllowAll(), extra_services=(replication,))
        port = await server.start("127.0.0.1:0")
        async with grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel:  # with the options of any client
            yield Agent(writer, channel)
        await server.stop(0)
    log.close()


def batch_of(*values: bytes, sequence: int = 0, epoch: int = 0, producer: bytes = NO_PRODUCER, at_ms: int = 5) -> bytes:
    return batch.encode(
        columns.from_values(values),
        count=len(values),
        first_timestamp_ms=at_ms,
        max_timestamp_ms=at_ms,
        producer_id=producer,
        producer_epoch=epoch,
        producer_sequence=sequence,
    )


def with_field(data: bytes, position: int, value: bytes) -> bytes:
    """The batch with other bytes in its header; its checksums agree."""
    made = bytearray(data)
    made[position : position + len(value)] = value
    made[32:36] = crc(bytes(made[36:HEADER_BYTES]), crc(bytes(made[HEADER_BYTES:]))).to_bytes(4, "little")
    made[4:8] = crc(bytes(made[8:HEADER_BYTES])).to_bytes(4, "little")
    return bytes(made)


def refusal(caught: pytest.ExceptionInfo[grpc.aio.AioRpcError]) -> tuple[str, str, dict[str, str]]:
    """Code, reason and facts, as any library finds them."""
    details = dict(caught.value.trailing_metadata() or ())["grpc-status-details-bin"]
    assert isinstance(details, bytes)
    status, info = Status.FromString(details), ErrorInfo()
    assert status.details[0].Unpack(info)
    assert (status.code, status.message) == (caught.value.code().value[0], caught.value.details())
    assert info.domain == "proglog"
    return caught.value.code().name, info.reason, dict(info.metadata)


async def test_the_largest_batch_reaches_a_client_with_default_limits(agent: Agent) -> None:
    overhead = len(batch_of(bytes(3_000_000))) - 3_000_000
    largest = batch_of(bytes(MAX_BATCH_BYTES - overhead))
    assert len(largest) == MAX_BATCH_BYTES

    await agent.produce(largest)
    answers = await agent.consume(max_bytes=2**32 - 1)
    book = log_pb2_grpc.LogStub(agent.channel)

    assert sum(len(answer.batches) for answer in answers) == MAX_BATCH_BYTES
    assert len((await book.Consume(log_pb2.ConsumeRequest(offset=0))).record.value) == MAX_BATCH_BYTES - overhead


async def test_a_batch_that_default_clients_could_not_read_is_refused(agent: Agent) -> None:
    larger = batch.encode(
        columns.from_values([b"x"]), count=1, first_timestamp_ms=0, max_timestamp_ms=0
    )  # made larger below: the encoder refuses, too
    payload = columns.from_values([bytes(MAX_BATCH_BYTES)])
    made = bytearray(larger[:HEADER_BYTES]) + payload
    made = bytearray(with_field(bytes(made), 24, len(made).to_bytes(4, "little")))

    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await agent.produce(bytes(made))

    assert refusal(caught) == (
        "INVALID_ARGUMENT", "RECORD_TOO_LARGE", {"size_bytes": str(len(made)), "limit_bytes": str(MAX_BATCH_BYTES)}
    )  # fmt: skip


async def commit_position(writer: LogWriter, name: str) -> None:
    positions = {OriginId(b"o" * 16): SequenceNumber(7)}
    await writer.append(verify(control.position_commit(name, 0, positions, now_ms=1)))


async def test_batches_without_records_reach_only_those_who_ask_for_them(agent: Agent) -> None:
    await agent.produce(batch_of(b"one"))
    await commit_position(agent.writer, "x")
    await agent.produce(batch_of(b"two"))

    plain = await agent.consume(cursor=batches_pb2.Cursor())
    asked = await agent.consume(cursor=batches_pb2.Cursor(), control_batches=True)

    flags = [
        [header.flags for _, header in scan.headers(b"".join(each.batches for each in got))] for got in (plain, asked)
    ]
    assert flags == [[0, 0], [FLAG_CONTROL, 0, FLAG_CONTROL, 0]]
    told = [(each.start_sequence, each.end_sequence) for answer in plain for each in answer.passed]
    assert told == [(1, 2), (3, 4)], "what a client misses between two batches is explained"
    assert not any(answer.passed for answer in asked)


async def test_a_follower_of_the_log_hears_how_far_its_cursor_may_go_without_records(agent: Agent) -> None:
    """Else a cursor would stay behind, and call gone what retention removes and nobody misses."""
    for number in range(5):
        await commit_position(agent.writer, f"name {number}")
    request = batches_pb2.ConsumeBatchesRequest(cursor=batches_pb2.Cursor(), follow=True)

    call = agent.batches.Consume(request, timeout=20)
    passed = [(await call.read()).passed, (await call.read()).passed]
    await commit_position(agent.writer, "later")
    passed.append((await call.read()).passed)
    call.cancel()

    ends = [[(each.origin, each.start_sequence, each.end_sequence) for each in at_once] for at_once in passed]
    assert ends == [[], [(agent.writer.origin, 1, 7)], [(agent.writer.origin, 7, 8)]]


@pytest.mark.parametrize(
    ("position", "value", "why"),
    [
        (96, (9).to_bytes(8, "little"), "max_timestamp_ms is 9; the batch's latest record has 5"),
        (80, b"\1", "the server stamps it"),
        (76, b"\1", "the server stamps it"),
        (16, b"\1", "the server stamps it"),
        (28, b"\1", "the server stamps it"),
        (8, b"\1", "the server stamps it"),
        (40, b"\1", "the server stamps it"),
        (56, b"\1", "the server stamps it"),
        (36, b"\2", "the server stamps it"),
        (84, b"\1", "zeros name none"),
        (120, b"\1", "zeros name none"),
    ],
)
async def test_what_a_producer_claims_is_checked(agent: Agent, position: int, value: bytes, why: str) -> None:
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await agent.produce(with_field(batch_of(b"x"), position, value))

    assert refusal(caught)[:2] == ("INVALID_ARGUMENT", "INVALID_REQUEST")
    assert why in (caught.value.details() or "")
    assert agent.writer.end_offset == 0


async def test_a_batch_whose_latest_record_is_not_its_last_has_the_time_of_the_latest(agent: Agent) -> None:
    records = [Record(value=b"%d" % at_ms, timestamp_ms=at_ms) for at_ms in (10, 90, 50)]
    payload = columns.from_records(records, (10, 90, 50))

    await agent.produce(batch.encode(payload, count=3, first_timestamp_ms=10, max_timestamp_ms=90))
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await agent.produce(batch.encode(payload, count=3, first_timestamp_ms=10, max_timestamp_ms=50))

    assert "latest record has 90" in (caught.value.details() or "")
    assert agent.writer.end_offset == 3


async def test_a_hole_a_forgotten_duplicate_and_an_old_epoch_have_reasons_of_their_own(agent: Agent) -> None:
    sent = [batch_of(b"%d" % number, sequence=number, epoch=2, producer=PRODUCER) for number in range(20)]
    await agent.produce(*sent)
    repeated = await agent.produce(sent[19], sent[4])
    said = []
    for refused in (batch_of(b"x", sequence=30, epoch=2, producer=PRODUCER), sent[0],
                    batch_of(b"x", sequence=20, epoch=1, producer=PRODUCER)):  # fmt: skip
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await agent.produce(refused)
        said.append(refusal(caught))

    name = PRODUCER.hex()
    assert [answer.duplicate for answer in repeated] == [True, True]
    assert said == [
        ("FAILED_PRECONDITION", "PRODUCER_HOLE", {"producer_id": name, "expected": "20", "found": "30"}),
        ("FAILED_PRECONDITION", "PRODUCER_FORGOTTEN", {"producer_id": name, "expected": "20", "found": "0"}),
        ("FAILED_PRECONDITION", "PRODUCER_FENCED", {"producer_id": name, "expected": "2", "found": "1"}),
    ]


async def test_a_number_of_nodes_is_one_or_more_and_every_server_is_a_field_of_its_own(agent: Agent) -> None:
    answers = []
    for asked in ({}, {"acks": 1}, {"every_server": True}, {"every_server": True, "acks": 7}, {"acks": 2**32 - 1}):
        request = batches_pb2.ProduceBatchRequest(batch=batch_of(b"x"), **asked)  # type: ignore[arg-type]
        answers += [answer async for answer in agent.batches.Produce(iter([request]))]
    positions = batches_pb2_grpc.PositionsStub(agent.channel)
    none = batches_pb2.ProduceBatchRequest(batch=batch_of(b"x"), acks=0)
    none_either = batches_pb2.CommitPositionRequest(name="n", acks=0)
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await anext(aiter(agent.batches.Produce(iter([none]))))
    with pytest.raises(grpc.aio.AioRpcError) as caught_too:
        await positions.Commit(none_either)

    assert [(answer.copies, answer.unconfirmed) for answer in answers] == [(1, False)] * 5
    for each in (caught, caught_too):
        assert refusal(each)[:2] == ("INVALID_ARGUMENT", "INVALID_REQUEST")
        assert "acks=0: expected 1 or more" in (each.value.details() or "")
    assert agent.writer.end_offset == 5


async def test_a_range_without_an_end_names_none_and_one_of_an_empty_log_ends_at_nought(agent: Agent) -> None:
    (empty,) = await agent.consume()
    call = agent.batches.Consume(batches_pb2.ConsumeBatchesRequest(follow=True), timeout=20)
    endless = await call.read()
    call.cancel()

    assert (empty.HasField("end_offset"), empty.end_offset) == (True, 0)
    assert not endless.HasField("end_offset")


async def test_what_is_passed_has_its_cause_as_a_number(agent: Agent) -> None:
    await commit_position(agent.writer, "x")
    await agent.produce(batch_of(b"x"))

    answers = await agent.consume(cursor=batches_pb2.Cursor())

    causes = {each.cause for answer in answers for each in answer.passed}
    assert causes == {batches_pb2.GONE_CAUSE_NO_RECORDS}


async def test_one_position_and_all_of_them_are_two_questions(agent: Agent) -> None:
    for name in ("x", "y"):
        await commit_position(agent.writer, name)
    positions = batches_pb2_grpc.PositionsStub(agent.channel)

    found = [
        [each.name for each in (await positions.List(request)).positions]
        for request in (
            batches_pb2.ListPositionsRequest(),
            batches_pb2.ListPositionsRequest(name="x"),
            batches_pb2.ListPositionsRequest(name=""),
        )
    ]

    assert found == [["x", "y"], ["x"], []]


async def test_a_produce_call_says_how_many_batches_of_a_producer_are_remembered(agent: Agent) -> None:
    call = agent.batches.Produce(iter(()))
    said = dict(await call.initial_metadata() or ())

    assert said[WINDOW_KEY] == "16"
    assert said[LOG_KEY] == agent.writer.origin


async def test_the_books_out_of_range_has_its_facts_by_name(agent: Agent) -> None:
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await log_pb2_grpc.LogStub(agent.channel).Consume(log_pb2.ConsumeRequest(offset=3))

    assert refusal(caught) == ("OUT_OF_RANGE", "OFFSET_OUT_OF_RANGE", {"offset": "3", "start": "0", "end": "0"})


async def replicate(agent: Agent, **hello: object) -> replication_pb2.ReplicateResponse:
    said = replication_pb2.Hello(node_name="b", origin=b"b" * 16, instance=b"i" * 16, **hello)  # type: ignore[arg-type]
    call = replication_pb2_grpc.ReplicationStub(agent.channel).Replicate(
        iter([replication_pb2.ReplicateRequest(hello=said)])
    )
    async for answer in call:
        assert isinstance(answer, replication_pb2.ReplicateResponse)
        return answer
    raise AssertionError("the stream ended without a word")


async def test_a_follower_that_could_not_read_the_batches_is_refused_at_the_hello(agent: Agent) -> None:
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await replicate(agent, protocol_version=1)

    assert refusal(caught)[:2] == ("FAILED_PRECONDITION", "INCOMPATIBLE_RELEASE")
    assert "node 'b' (an earlier release of proglog) reads no marked batches" in (caught.value.details() or "")
    assert "upgrade that node" in (caught.value.details() or "")


async def test_ranges_of_the_protocol_that_overlap_are_spoken_and_others_refused(agent: Agent) -> None:
    answer = await replicate(agent, protocol_version=7, lowest_protocol_version=1, batch_version=9, release="9.0")
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await replicate(agent, protocol_version=7, lowest_protocol_version=2, batch_version=9, release="9.0")

    assert (answer.hello.protocol_version, answer.hello.batch_version) == (1, 2)
    assert refusal(caught)[1] == "INCOMPATIBLE_RELEASE"
    assert "(proglog 9.0) speaks replication protocol 2 to 7" in (caught.value.details() or "")


async def test_a_follower_that_needs_what_is_not_known_is_refused_and_one_that_only_can_it_is_not(agent: Agent) -> None:
    can: dict[str, object] = {"protocol_version": 1, "batch_version": 2, "release": "9.0", "features": ["time-travel"]}
    answer = await replicate(agent, **can)
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await replicate(agent, **can, needs=["passed", "time-travel"])

    assert set(answer.hello.features) == set(FEATURES)
    assert refusal(caught)[:2] == ("FAILED_PRECONDITION", "INCOMPATIBLE_RELEASE")
    assert "(proglog 9.0) needs 'time-travel', which this node" in (caught.value.details() or "")
    assert "upgrade this node" in (caught.value.details() or "")


async def test_a_source_that_needs_what_is_not_known_is_left_alone() -> None:
    said = replication_pb2.Hello(origin=b"o" * 16, protocol_version=1, batch_version=2, needs=["time-travel"])

    with pytest.raises(IncompatibleReleaseError, match="needs 'time-travel'"):
        hello_of(said)


@pytest.mark.parametrize("version", ["v1", "v1alpha"])
async def test_reflection_answers_under_both_of_its_names(agent: Agent, version: str) -> None:
    call = agent.channel.stream_stream(
        f"/grpc.reflection.{version}.ServerReflection/ServerReflectionInfo",
        request_serializer=reflection_pb2.ServerReflectionRequest.SerializeToString,
        response_deserializer=reflection_pb2.ServerReflectionResponse.FromString,
    )
    requests = [
        reflection_pb2.ServerReflectionRequest(list_services=""),
        reflection_pb2.ServerReflectionRequest(file_containing_symbol="proglog.v1.Batches"),
    ]

    listed, file = [answer async for answer in call(iter(requests))]

    names = {each.name for each in listed.list_services_response.service}
    assert {"log.v1.Log", "proglog.v1.Batches", "grpc.reflection.v1.ServerReflection"} <= names
    assert file.file_descriptor_response.file_descriptor_proto
