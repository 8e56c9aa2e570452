"""A right that is withdrawn ends a call with PERMISSION_DENIED, whatever the call is doing."""

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path

import grpc.aio
import pytest

from proglog.agent.writer import LogWriter
from proglog.api.v1 import batches_pb2, batches_pb2_grpc, log_pb2, log_pb2_grpc
from proglog.errors import PermissionDeniedError
from proglog.log.config import LogConfig
from proglog.log.log import Log
from proglog.record import batch, columns
from proglog.record.batch import verify
from proglog.server import interceptors
from proglog.server.server import Server
from proglog.types import NodeName

Eventually = Callable[..., Awaitable[None]]
BATCHES = 12
VALUE = bytes(3_900_000)


class Rights:
    """Rules of everybody, given and withdrawn by the test."""

    def __init__(self) -> None:
        self.generation = 1
        self.allowed = True
        self.refused = 0

    def change(self, *, allowed: bool) -> None:
        self.allowed, self.generation = allowed, self.generation + 1

    def authorize(self, subject: str, object_: str, action: str) -> None:
        if not self.allowed:
            self.refused += 1
            raise PermissionDeniedError(subject, action, object_)

    def reload(self) -> None:
        """Nothing is read from files."""


async def test_a_stream_that_nobody_reads_ends_with_it_and_given_back_it_works_again(
    tmp_path: Path, eventually: Eventually, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(interceptors, "RECHECK_INTERVAL", 0.05)
    rights, ended = Rights(), list[tuple[str, str]]()
    log = Log.open(tmp_path, LogConfig(), node_name=NodeName("a"))
    async with LogWriter(log) as writer:
        for _ in range(BATCHES):
            payload = columns.from_values([VALUE])
            await writer.append(verify(batch.encode(payload, count=1, first_timestamp_ms=1, max_timestamp_ms=1)))
        server = Server(
            commit_log=writer,
            authorizer=rights,
            on_call_end=lambda method, code, *_: ended.append((method.rpartition("/")[2], code)),
        )
        port = await server.start("127.0.0.1:0")
        options = [("grpc.max_receive_message_length", 64 << 20)]
        async with grpc.aio.insecure_channel(f"127.0.0.1:{port}", options=options) as channel:
            stub = batches_pb2_grpc.BatchesStub(channel)
            unread = stub.Consume(batches_pb2.ConsumeBatchesRequest(follow=True))
            await unread.read()
            rights.change(allowed=False)
            await eventually(lambda: rights.refused, what="the look at the rules")

            answers = 0
            with pytest.raises(grpc.aio.AioRpcError) as refused:
                while await unread.read() is not grpc.aio.EOF:
                    answers += 1
            assert refused.value.code() is grpc.StatusCode.PERMISSION_DENIED
            assert answers < BATCHES
            await eventually(lambda: ("Consume", "PERMISSION_DENIED") in ended)

            rights.change(allowed=True)
            again = stub.Consume(batches_pb2.ConsumeBatchesRequest())
            assert sum([bool(answer.batches) async for answer in again]) == BATCHES
        await server.stop(0.2)
    log.close()


async def test_what_is_sent_after_it_is_not_taken(
    tmp_path: Path, eventually: Eventually, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(interceptors, "RECHECK_INTERVAL", 0.05)
    rights = Rights()
    log = Log.open(tmp_path, LogConfig(), node_name=NodeName("a"))
    async with LogWriter(log) as writer:
        server = Server(commit_log=writer, authorizer=rights)
        port = await server.start("127.0.0.1:0")
        async with grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel:
            stream = log_pb2_grpc.LogStub(channel).ProduceStream()
            request = log_pb2.ProduceRequest(record=log_pb2.Record(value=b"x"))
            await stream.write(request)
            assert (await stream.read()).offset == 0
            rights.change(allowed=False)
            await eventually(lambda: rights.refused)

            with pytest.raises((grpc.aio.AioRpcError, asyncio.InvalidStateError)):
                for _ in range(1000):
                    await stream.write(request)
                    await stream.read()
            assert await stream.code() is grpc.StatusCode.PERMISSION_DENIED
            assert log.end_offset == 1
        await server.stop(0.2)
    log.close()


async def test_a_call_that_its_caller_ends_or_that_expires_is_reported_once_with_its_bytes(
    tmp_path: Path, eventually: Eventually
) -> None:
    ended = list[tuple[str, str, int]]()
    log = Log.open(tmp_path, LogConfig(), node_name=NodeName("a"))
    async with LogWriter(log) as writer:
        payload = columns.from_values([bytes(100_000)])
        await writer.append(verify(batch.encode(payload, count=1, first_timestamp_ms=1, max_timestamp_ms=1)))
        server = Server(
            commit_log=writer,
            authorizer=Rights(),
            on_call_end=lambda method, code, _, __, sent: ended.append((method.rpartition("/")[2], code, sent)),
        )
        port = await server.start("127.0.0.1:0")
        async with grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel:
            stub = batches_pb2_grpc.BatchesStub(channel)
            cancelled = stub.Consume(batches_pb2.ConsumeBatchesRequest(follow=True))
            expired = stub.Consume(batches_pb2.ConsumeBatchesRequest(follow=True), timeout=0.5)
            for call in (cancelled, expired):
                assert not (await call.read()).batches
                assert (await call.read()).batches
            cancelled.cancel()
            with pytest.raises(grpc.aio.AioRpcError):
                await expired.read()
            await eventually(lambda: len(ended) == 2, what="the end of both")
        assert {(method, code) for method, code, _ in ended} == {("Consume", "CANCELLED")}
        assert all(100_000 < sent < 101_000 for *_, sent in ended)
        await server.stop(0.2)
    log.close()
