"""A log that has met very many origins: it is copied, acknowledged and consumed as one that has met a few."""

import cProfile
import os
import time
from collections.abc import Awaitable, Callable
from dataclasses import replace
from pathlib import Path

from kit.origins import fill, origins
from proglog.agent.peer import MAX_LISTED_ORIGINS
from proglog.server import feed
from proglog.types import OriginId, SequenceNumber
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


async def calls_for_each(source: Node, count: int) -> float:
    """Return how many function calls a record costs that is acknowledged on another node: the same on any machine."""
    await acknowledged(source, 1, 20)
    profile = cProfile.Profile()
    profile.enable()
    await acknowledged(source, 1, count)
    profile.disable()
    return sum(entry.callcount for entry in profile.getstats()) / count


async def test_a_record_costs_as_much_among_very_many_origins_as_among_two(
    tmp_path: Path, eventually: Eventually
) -> None:
    costs = []
    for origin_count in (0, MANY):
        directory = tmp_path / str(origin_count)
        async with node("a", directory) as a, node("b", directory) as b:
            fill(a.log, origin_count)
            introduce(a, b)
            await eventually(lambda: b.log.end_offset == origin_count, timeout=30 + MANY / 500)  # noqa: B023 - awaited
            costs.append(await calls_for_each(a, 150))
    assert costs[1] < 1.1 * costs[0], costs


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
        (peer,) = (each for each in b.replicator.peers() if each.name == "a")
        assert (len(peer.origins), peer.origin_count, peer.lag_records) == (
            MAX_LISTED_ORIGINS,
            MANY + 3,
            0,
        )  # each node wrote its own, too
        assert a.log.origin in {each.origin for each in peer.origins}


async def test_of_very_many_origins_those_that_lag_are_listed_and_the_rest_is_counted(tmp_path: Path) -> None:
    async with node("b", tmp_path) as b:
        fill(b.log, MANY)
        b.replicator.join("a", "127.0.0.1:9")
        peer, planner = b.replicator._peers["a"], b.replicator._planner
        planner.stream_opened("a", OriginId(bytes(16)), 0.0)
        peer.state = PeerState.STREAMING
        ahead = [
            replace(held, next_sequence=SequenceNumber(held.next_sequence + 3)) for held in b.log.origins().values()
        ]
        planner.positions_received("a", ahead, 1.0)
        planner.positions_received("a", [replace(ahead[7], next_sequence=SequenceNumber(1_000))], 2.0)

        (status,) = b.replicator.peers()

        assert len(status.origins) == MAX_LISTED_ORIGINS
        assert status.origins[0].origin == ahead[7].origin
        lags = [lag.records for lag in planner.lags_behind("a", 3.0).values()]
        assert status.lag_records == sum(lags)
        assert status.unlisted_lag_records == sum(sorted(lags)[:-MAX_LISTED_ORIGINS])


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
