"""What every test may use: free ports, certificates made once, and waiting for a condition. And its tier, by its path."""

import asyncio
import faulthandler
import functools
import inspect
import os
import signal
import sys
import time
from collections.abc import Awaitable, Callable, Generator, Mapping, Sequence
from pathlib import Path
from typing import Any

import hypothesis
import pytest
import uvloop

from kit.patience import patience
from proglog.errors import ProglogError
from proglog.security.devcerts import DevCerts, create_dev_certs
from proglog.server.interceptors import _Call
from proglog.testing import ports
from proglog.wire.refusals import CALLS, EVERY_CALL
from proglog.wire.status import row_of

pytest_plugins = ["tests.durations", "tests.reruns"]

TESTS = Path(__file__).parent
FULL = (
    "cluster",
    "e2e",
    "simulation",
    "storage",
    "integration/test_acks.py",
    "integration/test_attacks.py",
    "integration/test_backup.py",
    "integration/test_client_machine.py",
    "integration/test_connection_age.py",
    "integration/test_cursors.py",
    "integration/test_drain.py",
    "integration/test_forks.py",
    "integration/test_graceful_stops.py",
    "integration/test_identities.py",
    "integration/test_live_verify.py",
    "integration/test_losses.py",
    "integration/test_many_origins.py",
    "integration/test_memory.py",
    "integration/test_position_owner.py",
    "integration/test_positions.py",
    "integration/test_refusals.py",
    "integration/test_replication_recovery.py",
    "integration/test_soak.py",
    "integration/test_tracing.py",
    "repo/test_benchmarks.py",
    "repo/test_python_guide.py",
    "repo/test_screenshots.py",
    "tui/test_bindings.py",
    "tui/test_browser_goldens.py",
    "tui/test_failover.py",
    "tui/test_fuzz_keys.py",
    "tui/test_goldens.py",
    "tui/test_hostile.py",
    "tui/test_records.py",
    "tui/test_segment.py",
)
"""Folders and files that ``make test`` leaves to ``make test-all``: what takes long."""
QUICK = (
    "cluster/test_network.py",
    "cluster/test_quiet.py",
    "e2e/test_check.py",
    "e2e/test_dash_tmux.py",
    "e2e/test_force_leave.py",
    "e2e/test_rejoin.py",
    "simulation/test_coordinates.py",
    "simulation/test_gossip.py",
    "storage/test_checker.py",
    "storage/test_damage.py",
    "storage/test_torn_tails.py",
)
"""Files in those folders that it does run: one of each kind."""
hypothesis.settings.register_profile(
    "any machine", deadline=None, suppress_health_check=[hypothesis.HealthCheck.too_slow]
)
hypothesis.settings.load_profile("any machine")
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
    """Mark what is not of the quick tier; limit coroutines."""
    path = item.path.relative_to(TESTS)
    if _is_in(path, FULL) and not _is_in(path, QUICK):
        item.add_marker("full")
    _limit_coroutine(item)


def _is_in(path: Path, places: Sequence[str]) -> bool:
    return any(path.is_relative_to(place) for place in places)


def _limit_coroutine(item: pytest.Item) -> None:
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


@pytest.fixture(scope="session", autouse=True)
def _no_configuration_of_this_user(tmp_path_factory: pytest.TempPathFactory) -> None:
    """Profiles and the dashboard's file would change what commands do."""
    os.environ["XDG_CONFIG_HOME"] = str(tmp_path_factory.mktemp("config"))
    os.environ["XDG_CACHE_HOME"] = str(tmp_path_factory.mktemp("cache"))


def _noted(fail: Callable[..., Awaitable[None]]) -> Callable[..., Awaitable[None]]:
    async def noting(call: Any, exc: BaseException) -> None:
        if isinstance(exc, ProglogError) and call._method in CALLS:
            kind = row_of(exc).kind
            if kind not in (*EVERY_CALL, *CALLS[call._method]):
                _UNLISTED.append(
                    f"{call._method} was refused with {kind.__name__}, which proglog.wire.refusals does not list"
                )
        await fail(call, exc)

    return noting


_UNLISTED: list[str] = []
_Call.fail = _noted(_Call.fail)  # type: ignore[method-assign]


@pytest.fixture(autouse=True)
def _every_refusal_is_listed() -> Generator[None]:
    """The contract says with which errors a call may end: that holds for every agent in this process, whatever the test."""
    yield
    unlisted, _UNLISTED[:] = _UNLISTED[:], []
    assert not unlisted


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
    """Ports of loopback that nothing else takes, in this run or beside it."""
    return ports.free_port


Condition = Callable[[], Awaitable[bool] | bool]


@pytest.fixture
def eventually() -> Callable[..., Awaitable[None]]:
    """``await eventually(condition, timeout=10)``: poll until it holds, or fail saying how long that took.

    The timeout is that of a machine at rest: see :mod:`kit.patience`.
    """

    async def wait(condition: Condition, *, timeout: float = 10.0, what: str = "the condition") -> None:
        started = time.monotonic()
        while True:
            held = condition()
            if isinstance(held, Awaitable):
                held = await held
            if held:
                return
            took = time.monotonic() - started
            assert took < patience(timeout), f"{what} did not hold within {timeout} s, nor in {took:.0f} s"
            await asyncio.sleep(0.02)

    return wait


@pytest.fixture
def eventually_sync() -> Callable[..., None]:
    """As ``eventually``, for tests without a loop."""

    def wait(condition: Callable[[], bool], *, timeout: float = 10.0, what: str = "the condition") -> None:
        started = time.monotonic()
        while not condition():
            took = time.monotonic() - started
            assert took < patience(timeout), f"{what} did not hold within {timeout} s, nor in {took:.0f} s"
            time.sleep(0.005)

    return wait
