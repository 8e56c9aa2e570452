"""Thread pools that are whole from the start, or refused."""

import threading

import pytest

from proglog.agent.threads import started_pool
from proglog.errors import ConfigError


def named(prefix: str) -> int:
    return sum(thread.name.startswith(prefix) for thread in threading.enumerate())


def test_all_threads_run_before_there_is_any_work() -> None:
    pool = started_pool(3, "started-early")
    assert named("started-early") == 3

    pool.shutdown()
    assert named("started-early") == 0


def test_a_limit_on_threads_is_met_at_the_start_and_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    start, started = threading.Thread.start, []

    def start_two(self: threading.Thread) -> None:
        if len(started) == 2:
            raise RuntimeError("can't start new thread")
        started.append(self)
        start(self)

    monkeypatch.setattr(threading.Thread, "start", start_two)
    with pytest.raises(ConfigError, match=r"can't start new thread; raise the limit on processes and threads"):
        started_pool(3, "limited")

    for thread in started:
        thread.join(5)
    assert named("limited") == 0
