"""Rates are growth over elapsed time, whatever becomes of the wall clocks."""

from dataclasses import replace

from proglog.observe.frame import Frame
from proglog.observe.history import appended, rate_now, rates
from tests.unit.observe.test_health import NOW, _log, _snapshot


def _frames(*clocks_ms: int) -> list[Frame]:
    """A thousand records a second, and what the agent's wall clock says at each."""
    return [
        Frame.of(
            replace(
                _snapshot(log=_log(records_appended=1_000 * second)),
                taken_at_ms=NOW + clock_ms,
                uptime_ms=60_000 + 1_000 * second,
            ),
            at=float(second),
            live=True,
        )
        for second, clock_ms in enumerate(clocks_ms)
    ]


def test_a_clock_that_is_set_makes_no_spike_and_no_hole() -> None:
    assert rates(_frames(0, 1_000, 1_500, 2_500), appended) == [1_000.0] * 3
    assert rates(_frames(0, 1_000, -3_600_000, -3_599_000), appended) == [1_000.0] * 3
    assert rate_now(_frames(0, 1_000, 1_500, 86_400_000), appended) == 1_000.0


def test_an_agent_that_does_not_say_how_long_it_has_run_is_timed_by_its_clock() -> None:
    frames = [replace(each, outline=replace(each.outline, uptime_ms=None)) for each in _frames(0, 1_000, 2_000)]
    assert rates(frames, appended) == [1_000.0] * 2
