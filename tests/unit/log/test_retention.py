"""Which segments age removes, whatever clocks said."""

import pytest

from proglog.log import retention
from proglog.log.config import LogConfig
from proglog.testing.files import FaultyFiles
from tests.unit.log.kit import Clock, append, open_log

NOW = 1_700_000_000_000
DAY = 86_400_000
AGED = LogConfig(segment_bytes=4096, retention_age=5.0, ballast_bytes=0)


@pytest.mark.parametrize(
    ("days", "gone"),
    [
        ([-9, -8, -1, 0], 2),
        ([-9, -8, -8, -8], 3),  # never the last
        ([-1, -9, -9, 0], 0),  # a slow clock's: appended after one that is a day old
        ([-9, 365, -8, 0], 3),  # a fast clock's: no younger than the next
        ([-9, 365, -1, 0], 1),
        ([365, 365, 365, 365], 0),  # nothing is known
        ([-9, 365, 365, 365], 1),
        ([365, -9, 0], 2),
    ],
)
def test_a_time_that_cannot_be_decides_nothing(days: list[int], gone: int) -> None:
    times = [NOW + day * DAY for day in days]
    assert retention.too_old(times, NOW, 7 * 86_400) == gone


@pytest.mark.parametrize(("times", "gone"), [([0, NOW - DAY, NOW], 0), ([0, NOW - 8 * DAY, NOW], 2), ([0, 0, 0], 0)])
def test_a_time_that_is_not_known_decides_nothing(times: list[int], gone: int) -> None:
    assert retention.too_old(times, NOW, 7 * 86_400) == gone


def test_one_life_with_a_fast_clock_does_not_switch_retention_off() -> None:
    files, clock = FaultyFiles(), Clock()
    clock.wall_ms += 86_400_000
    log = open_log(files=files, config=AGED, clock=clock)
    append(log, b"from the future")
    log.close()
    clock.wall_ms -= 86_400_000
    log = open_log(files=files, config=AGED, clock=clock)
    for _ in range(10):
        append(log, bytes(3000))
        clock.advance(1)
    log.retain()
    (problem,) = [each for each in log.problems() if each.key == "clock"]
    assert "ahead of this machine's clock" in problem.detail
    for _ in range(20):
        clock.advance(1)
        log.retain()
    assert log.segment_count == 1
    assert log.problems() == ()


def test_a_life_with_a_slow_clock_removes_nothing_when_the_clock_is_right_again() -> None:
    files, clock = FaultyFiles(), Clock()
    config = LogConfig(segment_bytes=4096, retention_age=100.0, ballast_bytes=0)
    log = open_log(files=files, config=config, clock=clock)
    append(log, bytes(3000))
    right, clock.wall_ms = clock.wall_ms, 1000
    for _ in range(5):
        append(log, bytes(3000))
    clock.wall_ms = right
    append(log, bytes(3000))
    for _ in range(15):
        clock.advance(5)
        log.retain()
    assert log.start_offset == 0
