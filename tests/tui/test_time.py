"""What was before the dashboard was opened, and moving in it: the agent's own hour, marks, events, times."""

from dataclasses import replace

from proglog.observe.history import CAPACITY, LEAST_CAPACITY, capacity
from proglog.observe.spans import Locale, plain
from proglog.tui.state import DashState, Loaded, Paused, Recalled, SnapshotArrived, Sped, Tick, reduce
from proglog.tui.views import scrubber
from tests.tui.conftest import NOW, World
from tests.tui.walk import live


def _past(world: World, seconds: int) -> tuple:
    """The agent's snapshots of the seconds before the world's first."""
    shown = world.snapshot()
    return tuple(
        replace(shown, taken_at_ms=shown.taken_at_ms - 1000 * back, segments=()) for back in range(seconds, 0, -1)
    )


def test_what_the_agent_remembers_comes_before_what_was_seen(world):
    state = reduce(DashState(target="a", now=NOW), SnapshotArrived(world.snapshot(), NOW))
    past = _past(world, 120)
    state = reduce(state, Recalled(past[60:]))
    state = reduce(state, Recalled(past[:60]))
    assert len(state.frames) == 121
    assert [round(frame.at - NOW) for frame in state.frames] == list(range(-120, 1))
    assert state.frame_index is None


def test_a_pause_stays_on_its_moment_while_the_past_arrives(world):
    state = reduce(DashState(target="a", now=NOW), SnapshotArrived(world.snapshot(), NOW))
    state = reduce(state, Paused())
    at = state.shown_at
    state = reduce(state, Recalled(_past(world, 60)))
    assert state.shown_at == at


def test_no_more_than_an_hour_is_kept_and_nobody_elses(world):
    state = reduce(DashState(target="a", now=NOW), SnapshotArrived(world.snapshot(), NOW))
    other = tuple(replace(each, node=replace(each.node, name="node-x")) for each in _past(world, 5))
    assert len(reduce(state, Recalled(other)).frames) == 1
    assert len(reduce(state, Recalled(_past(world, 4_000))).frames) == CAPACITY
    assert len(reduce(state, Recalled((*_past(world, 5), world.snapshot()))).frames) == 6


def test_a_recording_plays_at_the_speed_that_is_chosen(world):
    state = reduce(DashState(target="a", now=NOW), SnapshotArrived(world.snapshot(), NOW))
    state = reduce(state, Recalled(_past(world, 60)))
    played = reduce(DashState(target="f", now=NOW), Loaded(state.frames))
    played = reduce(reduce(played, Sped()), Tick(NOW + 1))
    assert (played.speed, played.frame_index) == (4, 4)
    for _ in range(40):
        played = reduce(played, Tick(NOW + 1))
    assert played.frame_index == 60
    assert not played.playing


def test_of_a_large_cluster_fewer_seconds_are_kept_since_each_is_large(world):
    shown = world.snapshot()
    assert capacity(shown) == CAPACITY
    assert capacity(replace(shown, members=shown.members * 20)) == CAPACITY * 18 // 65
    assert capacity(replace(shown, members=shown.members * 200)) == LEAST_CAPACITY


async def test_the_line_of_time_marks_events_and_keys_go_to_them(open_dash, world):
    async with open_dash((140, 40)) as dash:
        await live(dash, world)
        await dash.press("left")
        time_line = dash.text.splitlines()[2]
        assert time_line.startswith(" 14:13:21 ├─")
        assert "◆" in time_line
        assert {"✖", "▲", "●"} <= set(time_line)
        await dash.press("p")
        assert "paused at 14:14:29" in dash.text
        await dash.press("p")
        assert "paused at 14:14:28" in dash.text
        await dash.press("n")
        assert "paused at 14:14:29" in dash.text
        await dash.press("at", *"14:14:01", "enter")
        assert "paused at 14:14:01" in dash.text
        await dash.pilot.click("#scrubber", offset=(12, 0))
        await dash.settle()
        assert "paused at 14:13:2" in dash.text
        await dash.press("at", *"nonsense", "enter")
        assert "paused at 14:13:2" in dash.text
        await dash.press("escape")
        assert "├─" not in dash.text.splitlines()[2]


def test_a_narrow_line_of_time_is_none(world):
    state = reduce(DashState(target="a", now=NOW), SnapshotArrived(world.snapshot(), NOW))
    state = reduce(state, Paused())
    assert scrubber.line_of_time(state, Locale(), 25) == ()
    shown = plain(scrubber.line_of_time(state, Locale(ascii_only=True), 60))
    assert shown.isascii()
    assert len(shown) == 60
