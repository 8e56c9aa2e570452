"""What every test may use: free ports, certificates made once, and waiting for a condition."""

import asyncio
import faulthandler
import functools
import inspect
import os
import signal
import socket
import sys
import time
from collections.abc import Awaitable, Callable, Generator, Mapping
from pathlib import Path
from typing import Any

import pytest
import uvloop

from proglog.security.devcerts import DevCerts, create_dev_certs

BACKSTOP = 60.0
"""Seconds past a test's own limit, which cannot end one that hangs in C or swallows what is thrown at it."""
_STDERR = pytest.StashKey[int]()


def pytest_configure(config: pytest.Config) -> None:
    """Keep the real standard error: what tests see of it is captured. Let ctrl+c mean what it does in a terminal."""
    config.stash[_STDERR] = os.dup(sys.stderr.fileno())
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:  # a shell's background job; children would inherit it
        signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_protocol(item: pytest.Item) -> Generator[None, object, object]:
    """End the whole run, with the stacks of all threads, if a test outlives its limit."""
    faulthandler.dump_traceback_later(_limit(item) + BACKSTOP, exit=True, file=item.config.stash[_STDERR])
    try:
        return (yield)
    finally:
        faulthandler.cancel_dump_traceback_later()


def pytest_itemcollected(item: pytest.Item) -> None:
    """Give coroutines their limit from inside the loop: uvloop swallows what pytest-timeout's signal throws."""
    if isinstance(item, pytest.Function) and inspect.iscoroutinefunction(item.obj):
        test, limit = item.obj, _limit(item) - 1

        @functools.wraps(test)
        async def limited(*arguments: Any, **named: Any) -> None:
            async with asyncio.timeout(limit):
                await test(*arguments, **named)

        item.obj = limited


def _limit(item: pytest.Item) -> float:
    marker = item.get_closest_marker("timeout")
    return float(marker.args[0] if marker else item.config.getoption("timeout") or item.config.getini("timeout"))


def pytest_asyncio_loop_factories(config: pytest.Config, item: pytest.Item) -> Mapping[str, Callable[[], Any]]:
    """The loop that agents run on."""
    return {"uvloop": uvloop.new_event_loop}


@pytest.fixture(scope="session")
def dev_certs(tmp_path_factory: pytest.TempPathFactory) -> DevCerts:
    """One development authority with a server, a peer, and the clients ``root`` and ``nobody``."""
    return create_dev_certs(tmp_path_factory.mktemp("certs"), clients=("root", "nobody"))


@pytest.fixture(scope="session")
def acl_files() -> tuple[Path, Path]:
    """The book's model and policy: ``root`` may produce and consume, nobody else anything."""
    folder = Path(__file__).parent / "data" / "acl"
    return folder / "model.conf", folder / "policy.csv"


@pytest.fixture
def free_port() -> Callable[[], int]:
    """Ports that were free for TCP and UDP a moment ago."""

    def find() -> int:
        with socket.socket() as tcp, socket.socket(type=socket.SOCK_DGRAM) as udp:
            tcp.bind(("127.0.0.1", 0))
            port = tcp.getsockname()[1]
            udp.bind(("127.0.0.1", port))
            return int(port)

    return find


Condition = Callable[[], Awaitable[bool] | bool]


@pytest.fixture
def eventually() -> Callable[..., Awaitable[None]]:
    """``await eventually(condition, timeout=10)``: poll until it holds, or fail saying how long that took."""

    async def wait(condition: Condition, *, timeout: float = 10.0, what: str = "the condition") -> None:
        deadline = time.monotonic() + timeout
        while True:
            held = condition()
            if isinstance(held, Awaitable):
                held = await held
            if held:
                return
            assert time.monotonic() < deadline, f"{what} did not hold within {timeout} s"
            await asyncio.sleep(0.02)

    return wait
