"""Another member is watched when the watched agent is gone, and the agent again when it is back."""

import asyncio
import socket
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from kit.patience import patience
from proglog.errors import (
    ConfigError,
)
from proglog.testing.processes import AgentProcess
from proglog.tui import failover
from proglog.tui.failover import Candidate
from proglog.tui.source import LiveSource
from proglog.tui.state import Change, ConnectionLost, DashState, MemberReported, reduce
from proglog.wire.model import MemberStatus

DEADLINE = 60.0


def test_who_is_alive_may_stand_in_and_who_is_heard_is_tried_first(world) -> None:
    known = world.snapshot()
    home = ("10.0.0.1:8400", "node-a")
    b, c = Candidate("node-b", "10.0.0.2:8400"), Candidate("node-c", "10.0.0.3:8400")
    assert failover.candidates(known, home, set()) == (b, c)
    assert failover.candidates(known, home, {"node-c"}) == (c, b)
    world.status["node-b"] = MemberStatus.FAILED
    assert failover.candidates(world.snapshot(), home, set()) == (c,)


def test_no_more_members_are_asked_than_the_state_keeps(world) -> None:
    snapshot = world.snapshot()
    many = tuple(replace(snapshot.members[1], name=f"m{index:03}", local=False) for index in range(200))
    assert len(failover.others(replace(snapshot, members=many), ("x", "y"))) == failover.MAX_ASKED


def test_members_without_an_address_are_not_asked(world) -> None:
    snapshot = world.snapshot()
    silent = tuple(replace(member, tags={}) for member in snapshot.members)
    assert failover.others(replace(snapshot, members=silent), ()) == ()


@pytest.mark.parametrize(("count", "seconds"), [(0, 1.0), (2, 1.0), (5, 1.0), (50, 10.0), (64, 12.8)])
def test_many_members_are_asked_less_often_each(count: int, seconds: float) -> None:
    assert failover.asked_every(count) == seconds


def test_waits_grow_to_a_bound() -> None:
    assert [failover.after(attempt, (0.2, 0.5)) for attempt in (1, 2, 3, 99)] == [0.2, 0.5, 0.5, 0.5]


def _free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


@pytest.fixture
def cluster(tmp_path: Path) -> Iterator[list[AgentProcess]]:
    agents = [AgentProcess("node-a", tmp_path, rpc_addr=f"127.0.0.1:{_free_port()}")]
    try:
        agents[0].start()
        for name in ("node-b", "node-c"):
            agents.append(AgentProcess(name, tmp_path, seeds=(agents[0].gossip_addr,)))
            agents[-1].start()
        yield agents
    finally:
        for agent in agents:
            agent.kill()


class Watched:
    """The state of a dashboard without its screen, and when it last changed its speaker."""

    def __init__(self, source: LiveSource) -> None:
        self.state = DashState(target=source.target, now=time.time())
        self.seen: list[Change] = []
        self._task = asyncio.create_task(self._run(source))

    async def _run(self, source: LiveSource) -> None:
        async for event in source.changes():
            self.seen.append(event)
            self.state = reduce(self.state, event)

    async def until(self, condition: Callable[[DashState], bool], what: str) -> float:
        started = time.monotonic()
        while not condition(self.state):
            assert not self._task.done(), self._task
            assert time.monotonic() - started < DEADLINE, f"not within {DEADLINE} s: {what}"
            await asyncio.sleep(0.01)
        return time.monotonic() - started

    async def close(self) -> None:
        self._task.cancel()
        await asyncio.gather(self._task, return_exceptions=True)


async def test_a_killed_agent_is_replaced_within_five_seconds_and_watched_again_once_it_is_back(
    cluster: list[AgentProcess],
) -> None:
    home = cluster[0]
    source = LiveSource(home.rpc_addr)
    watched = Watched(source)
    try:
        await watched.until(lambda state: set(state.others) == {"node-b", "node-c"}, "each member speaks for itself")
        assert watched.state.first_hand("node-b").node.name == "node-b"
        home.kill()
        replaced = await watched.until(lambda state: bool(state.stand_in), "another member is watched")
        assert 1.5 < replaced < patience(5.0)
        assert watched.state.home == "node-a"
        assert watched.state.stand_in in {agent.rpc_addr for agent in cluster[1:]}
        assert not watched.state.stale
        await asyncio.to_thread(home.start)
        back = await watched.until(lambda state: not state.stand_in, "the agent is watched again")
        assert back < patience(2.5)
        assert watched.state.shown.node.name == "node-a"
    finally:
        await watched.close()


async def test_a_stand_in_that_goes_too_is_replaced_by_the_last_member(cluster: list[AgentProcess]) -> None:
    watched = Watched(LiveSource(cluster[0].rpc_addr))
    try:
        await watched.until(lambda state: len(state.others) == 2, "each member speaks for itself")
        cluster[0].kill()
        await watched.until(lambda state: bool(state.stand_in), "another member is watched")
        first = next(agent for agent in cluster[1:] if agent.rpc_addr == watched.state.stand_in)
        first.kill()
        left = ({agent.rpc_addr for agent in cluster[1:]} - {first.rpc_addr}).pop()
        await watched.until(lambda state: state.stand_in == left and not state.stale, "the last one is watched")
    finally:
        await watched.close()


async def test_an_agent_that_is_merely_slow_is_not_replaced(cluster: list[AgentProcess]) -> None:
    import signal

    watched = Watched(LiveSource(cluster[0].rpc_addr))
    try:
        await watched.until(lambda state: len(state.others) == 2, "each member speaks for itself")
        cluster[0].signal(signal.SIGSTOP)
        heard = len([event for event in watched.seen if isinstance(event, MemberReported)])
        until = heard + 8  # two members, a word a second each: four seconds, twice what a lost one is given
        await watched.until(
            lambda _: len([event for event in watched.seen if isinstance(event, MemberReported)]) >= until,
            "time goes by",
        )
        assert not watched.state.stand_in
        assert not any(isinstance(event, ConnectionLost) for event in watched.seen)
    finally:
        cluster[0].signal(signal.SIGCONT)
        await watched.close()


async def test_a_member_whose_name_somebody_else_answers_to_is_not_taken(cluster: list[AgentProcess], world) -> None:
    from proglog.tui.watcher import Watcher

    source = LiveSource(cluster[0].rpc_addr)
    watcher = Watcher(source.target, source._dial, time.time)
    assert not await watcher._watch_instead(Candidate("node-x", cluster[1].rpc_addr))
    assert not await watcher._watch_instead(Candidate("node-x", "unix:/run/x"))


def test_what_gossip_says_is_dialled_as_host_and_port_alone() -> None:
    with pytest.raises(ConfigError, match="expected HOST:PORT"):
        LiveSource("a:1")._dial("unix:/run/x")
