"""The clock by which screens measure durations."""

import time

import pytest

from proglog import clock


def test_a_wall_clock_that_is_set_moves_no_duration(monkeypatch: pytest.MonkeyPatch) -> None:
    assert abs(clock.steady() - time.time()) < 5
    before = clock.steady()
    monkeypatch.setattr(time, "time", lambda: 0.0)
    monkeypatch.setattr(time, "time_ns", lambda: 0)
    after = clock.steady()
    assert clock.now_ms() == 0
    assert before <= after < before + 5
