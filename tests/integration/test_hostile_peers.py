"""Peers that answer with whatever the messages can hold: the agent ends the stream, and nothing else."""

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from random import Random
from typing import Any

import grpc.aio
import pytest

from kit.fuzz import Fuzz
from proglog.agent import peer as agent_peer
from proglog.agent import repair, replicator
from proglog.agent.repair import Repairer
from proglog.api.v1 import replication_pb2 as pb
from proglog.api.v1 import replication_pb2_grpc
from proglog.client.channel import open_channel
from proglog.log.model import ImportAppend
from proglog.record.batch import verify
from proglog.replication.holes import Over
from proglog.types import OriginId
from tests.integration.test_replication import EVIL, HELLO, Node, forge, node

Eventually = Callable[..., Awaitable[None]]
ANSWERS = 120


def fuzz_of(seed: int, origins: tuple[bytes, ...]) -> Fuzz:
    """Return a fuzz whose batches are of these origins, and often damaged."""

    def batches(random: Random) -> bytes:
        origin = OriginId(random.choice(origins))
        data = bytearray(forge(origin, random.choice([1, 2, 3, 500, 1 << 40, (1 << 62)])) * random.randrange(3))
        for _ in range(random.choice([0, 0, 1, 5])):
            if data:
                data[random.randrange(len(data))] ^= 1 << random.randrange(8)
        return bytes(data[: len(data) - random.choice([0, 0, 1, 90])])

    return Fuzz(seed, origins, batches)


@asynccontextmanager
async def fuzzing_source(fuzz: Fuzz) -> AsyncGenerator[tuple[str, Callable[[], int]]]:
    """A server that answers each call with another random script; and how many calls there were."""
    answered = 0

    class Servicer(replication_pb2_grpc.ReplicationServicer):
        async def Replicate(self, request_iterator, context):  # noqa: N802 - gRPC's name
            nonlocal answered
            answered += 1
            if fuzz.random.random() < 0.9:
                yield HELLO
            for _ in range(fuzz.random.randrange(4)):
                response = fuzz.fill(pb.ReplicateResponse())
                if fuzz.random.random() < 0.9:
                    response.ClearField("hello")
                yield response

        async def ReadRange(self, request, context):  # noqa: N802 - gRPC's name
            nonlocal answered
            answered += 1
            for _ in range(fuzz.random.randrange(4)):
                yield fuzz.fill(pb.ReadRangeResponse())

    server = grpc.aio.server()
    replication_pb2_grpc.add_ReplicationServicer_to_server(Servicer(), server)
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    try:
        yield f"127.0.0.1:{port}", lambda: answered
    finally:
        await server.stop(0)


@pytest.mark.parametrize("seed", range(2))
async def test_whatever_a_source_answers_ends_its_stream_at_most(
    tmp_path: Path, eventually: Eventually, monkeypatch: pytest.MonkeyPatch, seed: int
) -> None:
    for module in (replicator, agent_peer):
        monkeypatch.setattr(module, "MAX_BACKOFF", 0.002)
    monkeypatch.setattr(replicator, "MIN_BACKOFF", 0.001)
    async with node("b", tmp_path) as b:
        await b.produce(b"mine")
        async with fuzzing_source(fuzz_of(seed, (EVIL, b.log.origin))) as (addr, answered):
            b.replicator.join("evil", addr)
            task = b.replicator._peers["evil"].task
            assert task is not None
            await eventually(lambda: answered() >= ANSWERS or task.done(), timeout=30, what="many answers")
            assert not task.done(), task
        await b.produce(b"and it takes records")
        assert b.values()[0] == b"mine"
        assert b.log.state == "ok"


async def test_whatever_a_peer_answers_to_a_repair_ends_no_task(
    tmp_path: Path, eventually: Eventually, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(repair, "LOOK_INTERVAL", 0.001)
    monkeypatch.setattr("proglog.replication.repair.MAX_RETRY", 0.001)
    monkeypatch.setattr("proglog.replication.repair.MIN_RETRY", 0.001)
    async with node("b", tmp_path) as b:
        b.log.append([ImportAppend(verify(forge(OriginId(EVIL), 400)), Over("lost"))])
        position = pb.OriginPosition(origin=EVIL, next_sequence=900, floor_sequence=1)
        async with fuzzing_source(fuzz_of(7, (EVIL, b.log.origin))) as (addr, answered):
            repairer = Repairer(
                b.writer, _Reachable(b, addr, position), channel_factory=lambda at: open_channel(at, None)
            )
            task = asyncio.create_task(repairer.run())
            await eventually(lambda: answered() >= ANSWERS or task.done(), timeout=30, what="many answers")
            assert not task.done(), task
            task.cancel()
            await asyncio.wait([task])
        assert b.log.gaps()
        assert b.log.state == "ok"
        await b.produce(b"and it takes records")


class _Reachable:
    """Stands in for the replicator's view of who can be reached: one peer that claims to hold everything."""

    def __init__(self, one: Node, addr: str, position: pb.OriginPosition) -> None:
        from proglog.wire.replication import position_of

        self._answer = {"evil": (addr, {OriginId(EVIL): position_of(position)})}

    def reachable(self) -> dict[str, tuple[str, dict[OriginId, Any]]]:
        return self._answer
