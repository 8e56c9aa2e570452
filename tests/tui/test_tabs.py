"""Several clusters in tabs; letters to jump to rows; a bell for what is new."""

from dataclasses import replace

from proglog.observe.spans import Locale, plain
from proglog.tui.notify import Notify
from proglog.tui.screens.why import Why
from proglog.tui.state import DashState, SnapshotArrived
from proglog.tui.tabs import Tab, tab_at, tab_line
from proglog.wire.model import MemberStatus
from tests.tui.conftest import NOW, Script, World
from tests.tui.poison import NASTY
from tests.tui.test_hostile import assert_harmless


async def test_each_cluster_has_a_tab_that_says_how_it_is(open_dash):
    async with open_dash((140, 40)) as dash:
        await dash.run(2)
        assert "╭─ 1 Members" in dash.text.splitlines()[2], "one cluster takes no line for tabs"
        lab = World()
        dash.app.tabs.append(Tab("lab", Script(), DashState(target="10.9.0.1:8400", now=NOW)))
        dash.app.mark_dirty()
        await dash.settle()
        assert "lab ◐" in dash.text.splitlines()[0]
        lab.status["node-c"] = MemberStatus.FAILED
        lab.second = 3
        snapshot = lab.snapshot()
        named = replace(snapshot, node=replace(snapshot.node, name="lab-1"))
        dash.app.dispatch(SnapshotArrived(named, dash.now), dash.app.tabs[1])
        await dash.settle()
        first, *_ = dash.text.splitlines()
        assert "127.0.0.1:8400 ✓" in first
        assert "lab ✖ 1" in first
        assert "proglog node-a" in dash.text
        await dash.press("}")
        assert "proglog lab-1" in dash.text
        await dash.press("{")
        assert "proglog node-a" in dash.text
        await dash.pilot.click("#tabs", offset=(first.index("lab"), 0))
        await dash.settle()
        assert "proglog lab-1" in dash.text


def test_a_click_finds_the_tab_that_is_drawn_there():
    tabs = [Tab(name, Script(), DashState(target="a:1", now=NOW)) for name in ("", "lab", "x" * 50)]
    drawn = plain(tab_line(tabs, 0, Locale()))
    assert tab_at(tabs, 0, Locale(), drawn.index("lab")) == 1
    assert tab_at(tabs, 0, Locale(), drawn.index("127.0.0.1")) == 0
    assert tab_at(tabs, 0, Locale(), len(drawn) + 3) is None


async def test_a_letter_goes_to_its_row_in_any_panel(open_dash):
    async with open_dash((140, 40)) as dash:
        await dash.run(2)
        await dash.press("comma")
        peers = next(text for text in dash.text.splitlines() if "● streaming" in text)
        letter = peers.rpartition("│ ")[2][0]
        assert letter.isalpha()
        await dash.press(letter)
        assert dash.app.focused.id == "replication"
        await dash.press("comma", "0")
        assert dash.app.focused.id == "replication", "no row has that letter"
        assert len(dash.app.screen_stack) == 1


async def test_what_needs_attention_can_be_clicked(open_dash, world):
    async with open_dash((140, 40)) as dash:
        world.status["node-c"] = MemberStatus.FAILED
        await dash.run(2)
        await dash.pilot.click("#health", offset=(5, 0))
        await dash.settle()
        assert isinstance(dash.app.screen, Why)


async def test_only_what_is_new_rings_and_only_when_it_was_asked_for(open_dash, world, monkeypatch):
    async with open_dash((140, 40)) as dash:
        rung = []
        monkeypatch.setattr(dash.app, "bell", lambda: rung.append(dash.app.state.now))
        await dash.run(2)
        world.status["node-c"] = MemberStatus.FAILED
        await dash.run(2)
        assert rung == [], "off, unless asked for"
        world.status["node-c"] = MemberStatus.ALIVE
        await dash.run(2)
        monkeypatch.setattr(dash.app, "_notify", Notify.BELL)
        await dash.run(2)
        assert rung == []
        world.status["node-c"] = MemberStatus.FAILED
        await dash.run(3)
        assert len(rung) == 1, "once for each"


async def test_the_name_of_a_tab_is_no_command(open_dash):
    async with open_dash((140, 40)) as dash:
        await dash.run(1)
        dash.app.tabs.extend(Tab(text, Script(), dash.app.state) for text in NASTY[:20])
        dash.app.mark_dirty()
        await dash.settle()
        assert_harmless(dash)
