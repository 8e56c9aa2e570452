"""An hour of statuses in bounded memory, and back from it in the dashboard."""

import asyncio
import struct
import zlib
from dataclasses import replace
from pathlib import Path

import pytest

from proglog.agent import history
from proglog.agent.history import BLOCK, MAX_BYTES, SECONDS, HistoryRing, packed
from proglog.client import connect
from proglog.client.history import unpacked
from proglog.errors import UnavailableError
from proglog.testing.processes import AgentProcess


def _fill(ring: HistoryRing, seconds: int, status: bytes) -> None:
    for second in range(seconds):
        ring.add(second * 1000, status + struct.pack(">I", second))
        if ring.is_full:
            ring.close(packed(ring.take_open()))


def test_an_hour_is_kept_and_no_more():
    ring = HistoryRing()
    _fill(ring, SECONDS + 10 * BLOCK, b"status" * 100)
    blocks = list(ring.blocks())
    assert sum(len(unpacked_raw(block.packed)) for block in blocks) == SECONDS
    assert [block.last_ms for block in blocks] == sorted((block.last_ms for block in blocks), reverse=True)
    assert ring.size_bytes < 100_000


def test_what_cannot_be_packed_gives_way_by_size():
    ring = HistoryRing()
    noise = bytes((index * 7919) % 251 for index in range(4096))
    import random

    rng = random.Random(1)
    for second in range(600):
        ring.add(second, rng.randbytes(100_000) + noise)
        if ring.is_full:
            ring.close(packed(ring.take_open()))
    assert ring.size_bytes <= MAX_BYTES + history.MAX_OPEN_BYTES + 200_000


async def test_members_that_never_answered_are_not_kept_of_a_crowd(tmp_path: Path) -> None:
    with AgentProcess("a", tmp_path) as agent:
        async with connect(agent.rpc_addr) as client:
            alone = await client.status()
    (own,) = alone.members
    answered, stranger = (replace(own, name=name, local=False, rtt_ms=rtt) for name, rtt in (("b", 1.0), ("c", None)))
    few = replace(alone, members=(own, stranger, answered))
    crowd = replace(few, members=(*few.members, *(replace(stranger, name=f"n{number}") for number in range(2000))))

    assert history._slim(few) == few
    assert history._slim(crowd).members == (own, answered)


def unpacked_raw(block: bytes) -> list[bytes]:
    data, found = zlib.decompress(block), []
    while data:
        (size,) = struct.unpack(">I", data[:4])
        found.append(data[4 : 4 + size])
        data = data[4 + size :]
    return found


@pytest.mark.parametrize(
    "block",
    [
        b"no zlib",
        zlib.compress(b"\0\0\0\xff12"),
        zlib.compress(b"\0\0"),
        zlib.compress(struct.pack(">I", 3) + b"\xff\xff\xff"),
        zlib.compress(bytes(65 * 2**20)),
    ],
)
async def test_a_block_that_is_none_is_an_error_and_costs_little(block):
    with pytest.raises(UnavailableError, match="history"):
        async for _ in unpacked(block, "a:1"):
            pass


async def test_a_client_gets_the_seconds_before_it_came(tmp_path: Path) -> None:
    with AgentProcess("a", tmp_path) as agent:
        async with connect(agent.rpc_addr) as client:
            async with asyncio.timeout(30):
                seen: list[int] = []
                while len(seen) < 3:
                    await asyncio.sleep(0.2)
                    seen = [each.taken_at_ms async for part in client.history() for each in part]
        assert seen == sorted(set(seen))
