"""Where events come from: recordings, and addresses that are taken or refused."""

import pytest

from proglog.client.offset_spec import OffsetSpec
from proglog.errors import ConfigError, NotFoundError, StorageError
from proglog.observe import recording
from proglog.observe.frame import Frame
from proglog.tui.app import DashApp
from proglog.tui.source import LiveSource, RecordedSource
from proglog.tui.state import Loaded, Tick


@pytest.fixture
def recorded(world, tmp_path):
    frames = []
    for _ in range(5):
        world.second += 1
        frames.append(Frame.of(world.snapshot(), at=1_790_000_000.0 + world.second, live=True))
    path = tmp_path / "incident.sqlite"
    recording.save(path, "10.0.0.1:8400", frames)
    return RecordedSource(path), tuple(frames)


async def test_a_recording_is_one_event(recorded):
    source, frames = recorded
    assert [event async for event in source.changes()] == [Loaded(frames)]
    assert source.target == "10.0.0.1:8400 in incident.sqlite"


async def test_a_recording_plays_a_frame_a_second_and_stops_at_its_end(recorded):
    source, _ = recorded
    app = DashApp(source, live=False)
    async with app.run_test(size=(120, 30)) as pilot:
        async for event in source.changes():
            app.dispatch(event)
        assert app.state.playing
        shown = []
        for second in range(6):
            app.dispatch(Tick(float(second)))
            shown.append(app.state.frame_index)
        assert shown == [1, 2, 3, 4, 4, 4]
        assert not app.state.playing
        await pilot.press("space")
        assert (app.state.playing, app.state.frame_index) == (True, 0)
        await pilot.press("space", "right")
        assert (app.state.playing, app.state.frame_index) == (False, 1)
        await pilot.press("escape")
        assert app.state.frame_index == 1


async def test_a_recording_knows_neither_records_nor_other_agents(recorded):
    source, _ = recorded
    with pytest.raises(NotFoundError, match="holds no records"):
        source.records(OffsetSpec.offset(3))
    with pytest.raises(NotFoundError, match="of one agent"):
        source.at("10.0.0.2:8400")


def test_a_file_that_is_no_recording_is_refused_before_the_screen_opens(tmp_path):
    with pytest.raises(StorageError, match=r"none\.sqlite"):
        RecordedSource(tmp_path / "none.sqlite")


@pytest.mark.parametrize("addr", ["10.0.0.2:8400", "node-b.example:1", "[::1]:8400", "n_1:65535"])
def test_another_agent_is_watched_at_host_and_port(addr):
    assert LiveSource("a:1").at(addr).target == addr


@pytest.mark.parametrize(
    "addr", ["", "host", "unix:/run/x", "dns:///x:1", "a b:1", "x:1/..", "ipv4:1.2.3.4:5", "x:", ":1"]
)
def test_what_gossip_says_cannot_make_grpc_open_anything_else(addr):
    with pytest.raises(ConfigError, match="expected HOST:PORT"):
        LiveSource("a:1").at(addr)
