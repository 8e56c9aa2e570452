"""Read-only, unless somebody said otherwise and typed the name."""

import pytest

from proglog.errors import NotFoundError, PreconditionError
from proglog.tui.screens.confirm import Confirm
from proglog.tui.screens.main import MainScreen
from proglog.wire.model import MemberStatus


class Cluster:
    """Remembers who was removed; refuses those on its list."""

    def __init__(self) -> None:
        self.removed: list[str] = []
        self.refuses = ""

    async def remove(self, name: str) -> None:
        if name == self.refuses:
            raise PreconditionError(f"{name} is alive")
        self.removed.append(name)


@pytest.fixture
async def dash(open_dash, world, monkeypatch):
    async with open_dash((100, 30)) as dash:
        dash.cluster = Cluster()
        monkeypatch.setattr(dash.app.source, "remove", dash.cluster.remove, raising=False)
        dash.app.allow_writes = True
        world.status["node-c"] = MemberStatus.FAILED
        await dash.run()
        await dash.press("G")
        yield dash


def _said(dash) -> str:
    return " ".join(note.message for note in dash.app._notifications)


async def test_by_itself_the_dashboard_only_reads_and_says_which_flag_it_needs(dash):
    dash.app.allow_writes = False
    await dash.press("x")
    assert isinstance(dash.app.screen, MainScreen)
    assert "--allow-writes" in _said(dash)
    assert dash.cluster.removed == []


@pytest.mark.parametrize("size", [(140, 40), (80, 24), (40, 12)])
async def test_the_name_has_to_be_typed_exactly(dash, size):
    await dash.pilot.resize_terminal(*size)
    await dash.press("x")
    assert "Remove node-c from the cluster" in dash.text
    assert "Type its name, node-c" in dash.text
    await dash.press(*"node-b", "enter")
    assert "that is not its name" in " ".join(dash.text.split())
    assert dash.cluster.removed == []
    await dash.press("backspace", "c", "enter")
    await dash.app.workers.wait_for_complete()
    assert dash.cluster.removed == ["node-c"]
    assert isinstance(dash.app.screen, MainScreen)
    assert "node-c is removed" in _said(dash)


async def test_escape_leaves_everything_as_it_is(dash):
    await dash.press("x", *"node-c", "escape")
    assert isinstance(dash.app.screen, MainScreen)
    assert dash.cluster.removed == []


async def test_an_empty_name_removes_nobody(dash):
    await dash.press("x", "enter")
    assert isinstance(dash.app.screen, Confirm)
    assert dash.cluster.removed == []


async def test_a_refusal_is_reported(dash):
    dash.cluster.refuses = "node-c"
    await dash.press("x", *"node-c", "enter")
    await dash.app.workers.wait_for_complete()
    assert "node-c is alive" in _said(dash)


async def test_a_member_that_is_alive_is_not_asked_about(dash):
    await dash.press("g", "x")
    assert isinstance(dash.app.screen, MainScreen)
    assert "only a member that failed" in _said(dash)


async def test_the_past_cannot_be_changed(dash):
    await dash.press("space", "x")
    assert "this is the past" in _said(dash)
    assert isinstance(dash.app.screen, MainScreen)


async def test_in_another_panel_there_is_nothing_to_remove(dash):
    await dash.press("2", "x")
    assert "only a member can be removed" in _said(dash)


async def test_a_recording_has_no_cluster(tmp_path):
    from proglog.observe import recording
    from proglog.tui.source import RecordedSource

    recording.save(tmp_path / "r.sqlite", "a:1", ())
    with pytest.raises(NotFoundError, match="a recording has no cluster"):
        await RecordedSource(tmp_path / "r.sqlite").remove("node-c")
