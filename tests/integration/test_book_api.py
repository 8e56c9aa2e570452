"""The book's service, called as the book's own clients do: raw messages by field number, plain gRPC."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import grpc
import pytest
from google.protobuf import descriptor_pb2, descriptor_pool, message_factory
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection_pb2, reflection_pb2_grpc

from proglog.agent.writer import LogWriter
from proglog.log.config import LogConfig
from proglog.log.log import Log
from proglog.security.authorizer import AllowAll
from proglog.server.server import Server

FIELD = descriptor_pb2.FieldDescriptorProto


def book_messages() -> dict[str, Any]:
    """The messages of the book's chapter 7, by their numbers, in a pool of their own."""
    file = descriptor_pb2.FileDescriptorProto(name="book.proto", package="book", syntax="proto3")

    def message(name: str, *fields: tuple[str, int, int, str]) -> None:
        made = file.message_type.add(name=name)
        for field, number, kind, type_name in fields:
            options = {"type_name": type_name} if type_name else {}
            made.field.add(name=field, number=number, type=kind, label=FIELD.LABEL_OPTIONAL, **options)

    message("Record", ("value", 1, FIELD.TYPE_BYTES, ""), ("offset", 2, FIELD.TYPE_UINT64, ""))
    message("ProduceRequest", ("record", 1, FIELD.TYPE_MESSAGE, ".book.Record"))
    message("ProduceResponse", ("offset", 1, FIELD.TYPE_UINT64, ""))
    message("ConsumeRequest", ("offset", 1, FIELD.TYPE_UINT64, ""))
    message("ConsumeResponse", ("record", 2, FIELD.TYPE_MESSAGE, ".book.Record"))
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    names = [made.name for made in file.message_type]
    return {name: message_factory.GetMessageClass(pool.FindMessageTypeByName(f"book.{name}")) for name in names}


BOOK = book_messages()


class BookClient:
    """What protoc would have made of the book's proto."""

    def __init__(self, channel: grpc.aio.Channel) -> None:
        def coders(request: str, response: str) -> dict[str, Any]:
            serialize = BOOK[request].SerializeToString
            return {"request_serializer": serialize, "response_deserializer": BOOK[response].FromString}

        produce, consume = coders("ProduceRequest", "ProduceResponse"), coders("ConsumeRequest", "ConsumeResponse")
        self.produce = channel.unary_unary("/log.v1.Log/Produce", **produce)
        self.consume = channel.unary_unary("/log.v1.Log/Consume", **consume)
        self.produce_stream = channel.stream_stream("/log.v1.Log/ProduceStream", **produce)
        self.consume_stream = channel.unary_stream("/log.v1.Log/ConsumeStream", **consume)


def record(value: bytes) -> Any:
    return BOOK["ProduceRequest"](record=BOOK["Record"](value=value))


def at(offset: int) -> Any:
    return BOOK["ConsumeRequest"](offset=offset)


@asynccontextmanager
async def served(data_dir: Path) -> AsyncGenerator[tuple[BookClient, grpc.aio.Channel]]:
    log = Log.open(data_dir, LogConfig(), node_name="a")
    async with LogWriter(log) as writer:
        server = Server(commit_log=writer, authorizer=AllowAll())
        port = await server.start("127.0.0.1:0")
        async with grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel:
            yield BookClient(channel), channel
        await server.stop(0.2)
    log.close()


async def test_the_first_record_is_at_offset_0_and_comes_back(tmp_path: Path) -> None:
    async with served(tmp_path) as (book, _):
        assert (await book.produce(record(b"hello world"))).offset == 0
        assert (await book.produce(record(b"again"))).offset == 1

        got = (await book.consume(at(0))).record

        assert (got.value, got.offset) == (b"hello world", 0)


async def test_past_the_end_is_out_of_range_with_a_sentence(tmp_path: Path) -> None:
    async with served(tmp_path) as (book, _):
        await book.produce(record(b"only"))

        for call in (book.consume(at(1)), anext(aiter(book.consume_stream(at(2))))):
            with pytest.raises(grpc.aio.AioRpcError) as caught:
                await call
            assert caught.value.code() is grpc.StatusCode.OUT_OF_RANGE
            assert "out of range: the log holds offsets [0, 1)" in (caught.value.details() or "")


async def test_a_request_without_a_record_is_an_invalid_argument_and_the_server_lives(tmp_path: Path) -> None:
    async with served(tmp_path) as (book, _):
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await book.produce(BOOK["ProduceRequest"]())
        assert caught.value.code() is grpc.StatusCode.INVALID_ARGUMENT

        assert (await book.produce(record(b""))).offset == 0  # an empty value is a record


async def test_streams_produce_and_consume_in_order(tmp_path: Path) -> None:
    values = [b"%d" % number for number in range(2500)]

    async def requests() -> AsyncIterator[Any]:
        for value in values:
            yield record(value)

    async with served(tmp_path) as (book, _):
        offsets = [response.offset async for response in book.produce_stream(requests())]
        consumed = []
        async for response in book.consume_stream(at(5)):
            consumed.append((response.record.offset, response.record.value))
            if len(consumed) == len(values) - 5:
                break

    assert offsets == list(range(2500))
    assert consumed == list(enumerate(values))[5:]


async def test_an_error_in_a_produce_stream_comes_after_the_answers_before_it(tmp_path: Path) -> None:
    async def requests() -> AsyncIterator[Any]:
        yield record(b"good")
        yield BOOK["ProduceRequest"]()

    async with served(tmp_path) as (book, _):
        answers = []
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            async for response in book.produce_stream(requests()):
                answers.append(response.offset)

    assert answers == [0]
    assert caught.value.code() is grpc.StatusCode.INVALID_ARGUMENT


async def test_a_consume_stream_waits_at_the_end_for_the_next_record(tmp_path: Path) -> None:
    async with served(tmp_path) as (book, _):
        stream = aiter(book.consume_stream(at(0)))
        waiting = asyncio.create_task(anext(stream))
        with pytest.raises(grpc.aio.AioRpcError):  # a call has been there and back: the log is empty
            await book.consume(at(0))
        assert not waiting.done()

        await book.produce(record(b"at last"))

        assert (await asyncio.wait_for(waiting, 30)).record.value == b"at last"


async def test_a_message_over_the_limit_is_resource_exhausted_and_one_below_is_a_record(tmp_path: Path) -> None:
    async with served(tmp_path) as (book, _):
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await book.produce(record(bytes(5 << 20)))
        assert caught.value.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await book.produce(record(bytes(4 << 20)))
        assert caught.value.code() is grpc.StatusCode.INVALID_ARGUMENT
        assert "the limit is 4,000,000" in (caught.value.details() or "")

        assert (await book.produce(record(bytes(3_999_000)))).offset == 0
        assert len((await book.consume(at(0))).record.value) == 3_999_000


async def test_many_clients_at_once_get_an_offset_each(tmp_path: Path) -> None:
    async with served(tmp_path) as (book, _):
        answers = await asyncio.gather(*(book.produce(record(b"%d" % number)) for number in range(200)))

        assert sorted(answer.offset for answer in answers) == list(range(200))
        for number, answer in enumerate(answers):
            assert (await book.consume(at(answer.offset))).record.value == b"%d" % number


async def test_health_says_serving_and_reflection_names_the_services(tmp_path: Path) -> None:
    async with served(tmp_path) as (_, channel):
        for service in ("", "log.v1.Log", "proglog.v1.Batches"):
            answer = await health_pb2_grpc.HealthStub(channel).Check(health_pb2.HealthCheckRequest(service=service))
            assert answer.status == health_pb2.HealthCheckResponse.SERVING
        stub = reflection_pb2_grpc.ServerReflectionStub(channel)
        call = stub.ServerReflectionInfo(iter([reflection_pb2.ServerReflectionRequest(list_services="")]))
        (response,) = [response async for response in call]

        names = {service.name for service in response.list_services_response.service}
        assert {"log.v1.Log", "proglog.v1.Batches", "proglog.v1.Cluster"} <= names


async def test_a_second_server_on_the_port_is_refused(tmp_path: Path) -> None:
    from proglog.errors import ConfigError

    log = Log.open(tmp_path / "a", LogConfig(), node_name="a")
    async with LogWriter(log) as writer:
        first, second = (Server(commit_log=writer, authorizer=AllowAll()) for _ in range(2))
        port = await first.start("127.0.0.1:0")
        with pytest.raises(ConfigError, match=f"127.0.0.1:{port}"):
            await second.start(f"127.0.0.1:{port}")
        await first.stop(0)
    log.close()
