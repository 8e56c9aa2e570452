"""The replicator as the membership's handler: what join, leave and close do, and that errors are reported.

Copying itself is tests/integration/test_replication.py.
"""

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from random import Random

import grpc.aio
import pytest

from proglog.agent import replicator as replicator_module
from proglog.agent.peer import MAX_BACKOFF, FollowedPeer
from proglog.agent.replicator import Replicator
from proglog.agent.turns import MAX_DIALLING
from proglog.agent.writer import LogWriter
from proglog.client.channel import open_channel
from proglog.log.log import Log
from proglog.replication.planner import Planner
from proglog.types import NodeName
from proglog.wire.model import PeerState

Eventually = Callable[..., Awaitable[None]]


@dataclass
class Followed:
    """A replicator without servers to follow: every address it dials is noted, and refuses."""

    replicator: Replicator
    writer: LogWriter
    dialled: list[str] = field(default_factory=list)
    events: list[tuple[str, str, str]] = field(default_factory=list)


@asynccontextmanager
async def a_replicator(data_dir: Path, port: int) -> AsyncGenerator[Followed]:
    log = Log.open(data_dir, node_name=NodeName("here"))
    dialled: list[str] = []
    events: list[tuple[str, str, str]] = []

    def dial(addr: str) -> grpc.aio.Channel:
        dialled.append(addr)
        return open_channel(f"127.0.0.1:{port}", None)

    async with LogWriter(log) as writer:
        replicator = Replicator(
            writer,
            node_name=NodeName("here"),
            channel_factory=dial,
            emit=lambda kind, subject="", detail="", **_: events.append((kind.status_name, subject, detail)),
            random=Random(1),
        )
        try:
            yield Followed(replicator, writer, dialled, events)
        finally:
            await replicator.close()
    log.close()


def followers_of(name: str) -> int:
    return sum(task.get_name() == f"replicate-{name}" for task in asyncio.all_tasks() if not task.done())


async def test_nothing_runs_and_nothing_is_dialled_before_the_first_join(
    tmp_path: Path, free_port: Callable[[], int]
) -> None:
    before = len(asyncio.all_tasks())
    async with a_replicator(tmp_path, free_port()) as followed:
        writers = sum(task.get_name().startswith("log-") for task in asyncio.all_tasks())

        assert len(asyncio.all_tasks()) == before + writers
        assert (followed.dialled, followed.replicator.peers(), followed.replicator.sources()) == ([], (), {})


async def test_a_join_dials_the_address(tmp_path: Path, free_port: Callable[[], int], eventually: Eventually) -> None:
    async with a_replicator(tmp_path, free_port()) as followed:
        followed.replicator.join("b", "b.example:8400")

        await eventually(lambda: followed.dialled[:1] == ["b.example:8400"])
        (peer,) = followed.replicator.peers()
        assert (peer.name, peer.rpc_addr) == ("b", "b.example:8400")
        assert "replication-started" not in [kind for kind, *_ in followed.events]  # it has not answered


async def test_a_second_join_at_the_same_address_does_nothing(tmp_path: Path, free_port: Callable[[], int]) -> None:
    async with a_replicator(tmp_path, free_port()) as followed:
        followed.replicator.join("b", "b.example:8400")
        followed.replicator.join("b", "b.example:8400")

        assert followers_of("b") == 1
        assert followed.events == []


async def test_a_join_at_another_address_takes_the_place_of_the_first(
    tmp_path: Path, free_port: Callable[[], int], eventually: Eventually
) -> None:
    async with a_replicator(tmp_path, free_port()) as followed:
        followed.replicator.join("b", "old.example:8400")
        followed.replicator.join("b", "new.example:8400")

        await eventually(lambda: followers_of("b") == 1)
        assert [peer.rpc_addr for peer in followed.replicator.peers()] == ["new.example:8400"]


async def test_a_leave_ends_the_following_and_a_later_join_begins_it_again(
    tmp_path: Path, free_port: Callable[[], int], eventually: Eventually
) -> None:
    async with a_replicator(tmp_path, free_port()) as followed:
        followed.replicator.join("b", "b.example:8400")
        followed.replicator.leave("b")

        await eventually(lambda: followers_of("b") == 0)
        assert followed.replicator.peers() == ()

        followed.replicator.join("b", "b.example:8400")
        await eventually(lambda: followers_of("b") == 1)


async def test_a_leave_of_somebody_who_is_not_followed_does_nothing(
    tmp_path: Path, free_port: Callable[[], int]
) -> None:
    async with a_replicator(tmp_path, free_port()) as followed:
        followed.replicator.leave("nobody")

        assert followed.events == []


async def test_after_close_nobody_is_followed_and_a_join_does_nothing(
    tmp_path: Path, free_port: Callable[[], int]
) -> None:
    async with a_replicator(tmp_path, free_port()) as followed:
        followed.replicator.join("b", "b.example:8400")
        await followed.replicator.close()
        dialled = len(followed.dialled)

        followed.replicator.join("c", "c.example:8400")
        await followed.replicator.close()
        await asyncio.sleep(0)

        assert followers_of("b") == followers_of("c") == 0
        assert len(followed.dialled) == dialled
        assert followed.replicator.peers() == ()


async def test_an_error_does_not_end_the_following_and_is_reported(
    tmp_path: Path, free_port: Callable[[], int], eventually: Eventually
) -> None:
    """The original's receive error stopped a peer for ever, without a word."""
    async with a_replicator(tmp_path, free_port()) as followed:
        followed.replicator.join("b", "b.example:8400")

        await eventually(lambda: len(followed.dialled) >= 3, what="two more attempts")
        (peer,) = followed.replicator.peers()
        assert "cannot reach b.example:8400" in peer.error
        assert ("replication-error", "b", peer.error) in followed.events


async def test_a_member_that_advertises_no_address_is_an_error_that_names_it(
    tmp_path: Path, free_port: Callable[[], int], eventually: Eventually
) -> None:
    async with a_replicator(tmp_path, free_port()) as followed:
        followed.replicator._open_channel = lambda addr: open_channel(addr, None)
        followed.replicator.join("b", "unix:/run/other.sock")
        await eventually(lambda: followed.replicator.peers()[0].state is PeerState.BACKING_OFF)

        (peer,) = followed.replicator.peers()
        assert "'unix:/run/other.sock': expected HOST:PORT" in peer.error
        assert ("replication-error", "b", peer.error) in followed.events


async def test_while_it_waits_to_try_again_it_says_for_how_long(
    tmp_path: Path, free_port: Callable[[], int], eventually: Eventually
) -> None:
    async with a_replicator(tmp_path, free_port()) as followed:
        followed.replicator.join("b", "b.example:8400")
        await eventually(lambda: followed.replicator.peers()[0].state is PeerState.BACKING_OFF)

        (peer,) = followed.replicator.peers()
        assert 0 < peer.retry_in_ms <= MAX_BACKOFF * 1200


async def test_when_its_log_closes_it_stops_without_an_error(
    tmp_path: Path, free_port: Callable[[], int], eventually: Eventually
) -> None:
    async with a_replicator(tmp_path, free_port()) as followed:
        followed.replicator.join("b", "b.example:8400")
        await followed.writer.close()
        await followed.replicator.close()

        assert followers_of("b") == 0
        assert not any("bug" in detail for *_, detail in followed.events)


async def test_a_status_read_leaves_the_planner_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async with a_replicator(tmp_path, port=1) as followed:
        followed.replicator.join("b", "127.0.0.1:1")
        monkeypatch.setattr(Planner, "advanced", lambda *_: pytest.fail("the planner was changed"))

        assert [peer.name for peer in followed.replicator.peers()] == ["b"]
        assert followed.replicator.reachable() == {}
        assert followed.replicator.sources() == {}


def test_a_stream_that_is_open_and_asked_for_nothing_has_not_shown_that_it_works() -> None:
    """After bytes that cannot be read: it will be asked again, and fail again."""
    peer = FollowedPeer("b", "b:1", opened_at=100.0, spared_until=110.0)

    assert not peer.holds(100.0 + MAX_BACKOFF + 1)
    assert not peer.holds(110.0 + MAX_BACKOFF)
    assert peer.holds(110.0 + MAX_BACKOFF + 0.1)


async def test_many_servers_that_are_never_reached_are_dialled_a_few_at_a_time(
    tmp_path: Path, free_port: Callable[[], int], eventually: Eventually, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(replicator_module, "MAX_BACKOFF", 30.0)
    async with a_replicator(tmp_path, free_port()) as followed:
        for number in range(300):
            followed.replicator.join(f"n{number}", f"n{number}.example:8400")
        await eventually(lambda: len(followed.dialled) == MAX_DIALLING)
        await eventually(lambda: [peer.failing for peer in followed.replicator.peers()].count(True) == MAX_DIALLING)
        states = [peer.state for peer in followed.replicator.peers()]

        assert (len(states), states.count(PeerState.BACKING_OFF)) == (300, MAX_DIALLING)
        assert len(followed.dialled) == MAX_DIALLING
        assert sum(peer.task is not None for peer in followed.replicator._peers.values()) == MAX_DIALLING
        followed.replicator.leave("n0")  # another one's turn, and the newest is first
        await eventually(lambda: followed.dialled[MAX_DIALLING:] == ["n299.example:8400"])


async def test_servers_that_are_never_reached_take_turns(
    tmp_path: Path, free_port: Callable[[], int], eventually: Eventually, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(replicator_module, "MAX_BACKOFF", 0.05)
    everybody = {f"n{number}.example:8400" for number in range(40)}
    async with a_replicator(tmp_path, free_port()) as followed:
        for addr in everybody:
            followed.replicator.join(addr.partition(".")[0], addr)
        await eventually(lambda: set(followed.dialled) == everybody)
        await eventually(lambda: min(map(followed.dialled.count, everybody)) >= 2, what="each again")
