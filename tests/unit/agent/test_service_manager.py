"""What systemd hears of an agent."""

import asyncio
import os
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from proglog.agent.service_manager import ServiceManager
from proglog.tasks import cancel_and_wait
from proglog.testing.processes import AgentProcess


@pytest.fixture
def systemd(tmp_path: Path) -> Iterator[socket.socket]:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listening:
        listening.bind(str(tmp_path / "notify"))
        listening.settimeout(20)
        yield listening


async def test_a_loop_that_runs_is_reported_twice_in_each_interval(systemd: socket.socket) -> None:
    variables = {"NOTIFY_SOCKET": systemd.getsockname(), "WATCHDOG_USEC": "20000", "WATCHDOG_PID": str(os.getpid())}
    watching = asyncio.ensure_future(ServiceManager(variables, os.getpid()).watch())

    words = [await asyncio.to_thread(systemd.recv, 100) for _ in range(3)]
    await cancel_and_wait(watching)

    assert words == [b"WATCHDOG=1"] * 3


@pytest.mark.parametrize(
    "variables",
    [
        {},
        {"NOTIFY_SOCKET": "/nowhere/at/all"},
        {"NOTIFY_SOCKET": "/nowhere/at/all", "WATCHDOG_USEC": "soon"},
        {"NOTIFY_SOCKET": "/nowhere/at/all", "WATCHDOG_USEC": "20000", "WATCHDOG_PID": "1"},
    ],
)
async def test_where_nobody_asks_nothing_is_watched_and_nothing_fails(variables: dict[str, str]) -> None:
    manager = ServiceManager(variables, os.getpid())

    manager.say("READY=1")

    async with asyncio.timeout(5):
        await manager.watch()


def test_an_agent_says_that_it_is_ready_and_that_it_stops(
    systemd: socket.socket, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NOTIFY_SOCKET", systemd.getsockname())
    agent = AgentProcess("a", tmp_path)

    with agent:
        ready = systemd.recv(100)
        agent.stop()
        stopping = systemd.recv(100)

    assert (ready, stopping) == (b"READY=1", b"STOPPING=1")
