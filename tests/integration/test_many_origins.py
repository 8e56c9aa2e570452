"""A log that has met very many origins: it is copied, acknowledged and consumed as one that has met a few."""

import os
import time
from collections.abc import Awaitable, Callable
from pathlib import Path

from kit.origins import fill, origins
from proglog.server import feed
from proglog.wire.model import PeerState
from tests.integration.test_replication import Node, introduce, node

Eventually = Callable[..., Awaitable[None]]

MANY = 100_000 if os.environ.get("PROGLOG_LONG") else 5_000
"""More than one stream may want at a time."""


async def acknowledged(source: Node, copies: int, count: int) -> float:
    """Return the seconds that ``count`` records took, one after the other, until each was on ``copies`` more nodes."""
    started = time.perf_counter()
    for number in range(count):
        appended = await source.produce(b"%d" % number)
        await source.followers.wait_replicated(appended.origin, appended.next_sequence, copies, within=30)
    return time.perf_counter() - started


async def test_very_many_origins_are_copied_and_acknowledged(tmp_path: Path, eventually: Eventually) -> None:
    assert feed.MAX_WANTED < MANY
    async with node("a", tmp_path) as a, node("b", tmp_path) as b, node("c", tmp_path) as c:
        fill(a.log, MANY)
        introduce(a, b)
        introduce(b, c)  # what a has of the others reaches c by way of b alone

        await eventually(lambda: b.log.end_offset == c.log.end_offset == MANY, timeout=30 + MANY / 500)

        assert set(c.log.origins()) == {a.log.origin, b.log.origin, c.log.origin, *origins(MANY)}
        assert len(c.values()) == len(set(c.values())) == MANY
        assert sum(peer.records_dropped for one in (a, b, c) for peer in one.replicator.peers()) == 0
        await acknowledged(a, 1, 10)
        await acknowledged(b, 2, 10)


async def test_a_stream_that_breaks_among_very_many_origins_continues_where_it_was(
    tmp_path: Path, eventually: Eventually
) -> None:
    async with node("a", tmp_path) as a, node("b", tmp_path) as b:
        fill(a.log, MANY)
        b.replicator.join("a", a.addr)
        await eventually(lambda: b.log.end_offset > 1)

        b.replicator.leave("a")
        b.replicator.join("a", a.addr)

        await eventually(lambda: b.log.end_offset == MANY, timeout=30 + MANY / 500)
        assert b.replicator.peers()[0].state is PeerState.STREAMING
        await acknowledged(a, 1, 1)
