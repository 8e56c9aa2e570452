"""What keys do: panels, zoom, filter, sort, copy, time, save, leave."""

import json

from proglog.observe import recording
from proglog.tui.screens.main import MainScreen
from proglog.tui.screens.reader import Reader
from proglog.tui.widgets.live_table import LiveTable
from proglog.wire.model import ClusterEvent
from tests.tui.walk import live


def _table(dash) -> LiveTable:
    table = dash.app.focused
    assert isinstance(table, LiveTable)
    return table


async def test_digits_go_to_panels_and_tab_to_the_next(open_dash):
    async with open_dash((140, 40)) as dash:
        await dash.run()
        names = []
        for key in ("2", "3", "4", "5", "6", "1", "tab"):
            await dash.press(key)
            names.append(dash.app.focused.id)
        assert names == ["replication", "copies", "throughput", "segments", "events", "members", "replication"]


async def test_a_panel_without_room_takes_the_whole_screen_and_escape_gives_it_back(open_dash):
    async with open_dash((80, 24)) as dash:
        await dash.run()
        assert "6 Events" not in dash.text
        await dash.press("6")
        assert "6 Events" in dash.text
        assert "1 Members" not in dash.text
        await dash.press("escape")
        assert "1 Members" in dash.text
        assert "6 Events" not in dash.text


async def test_z_zooms_and_back(open_dash):
    async with open_dash((140, 40)) as dash:
        await dash.run()
        await dash.press("5", "z")
        assert "1 Members" not in dash.text
        await dash.press("z")
        assert "1 Members" in dash.text


async def test_a_filter_matches_while_it_is_typed_and_escape_clears_it(open_dash):
    async with open_dash((100, 30)) as dash:
        await dash.run()
        await dash.press("slash", "exclamation_mark", *"node-b")
        assert [row.key for row in dash.app.screen.table("members")._arranged] == ["node-a", "node-c"]
        await dash.press("enter")
        assert dash.app.focused.id == "members"
        assert "/!node-b" in dash.text
        await dash.press("escape")
        assert len(dash.app.screen.table("members")._arranged) == 3


async def test_s_sorts_by_the_next_column_and_shift_s_turns_it_round(open_dash):
    async with open_dash((140, 40)) as dash:
        await dash.run()
        await dash.press("S")
        assert [row.key for row in _table(dash)._arranged] == ["node-c", "node-b", "node-a"]
        assert "MEMBER▾" in dash.text


async def test_a_click_on_a_heading_sorts_and_one_on_a_row_moves_the_cursor(open_dash):
    async with open_dash((140, 40)) as dash:
        await dash.run()
        await dash.pilot.click("#members", offset=(6, 0))
        await dash.pilot.click("#members", offset=(6, 2))
        await dash.settle()
        assert "MEMBER▴" in dash.text
        assert _table(dash).row.key == "node-b"


async def test_the_cursor_stays_on_its_row_when_rows_move(open_dash, world):
    async with open_dash((140, 40)) as dash:
        await dash.run()
        await dash.press("down")
        assert _table(dash).row.key == "node-b"
        world.overrides = {"members": tuple(reversed(world.snapshot().members[1:]))}
        await dash.run()
        assert _table(dash).row.key == "node-b"


async def test_a_new_event_comes_in_at_the_top_under_the_cursor(open_dash, world):
    async with open_dash((140, 40)) as dash:
        await dash.run()
        await dash.press("6")
        world.events.append(ClusterEvent(at_ms=1, kind="member-failed", subject="node-c", detail=""))
        await dash.run()
        assert _table(dash).row.name.startswith("member-failed node-c")


async def test_y_copies_the_name_and_shift_y_the_row_as_json(open_dash):
    async with open_dash((100, 30)) as dash:
        await dash.run()
        await dash.press("down", "y")
        assert dash.app.clipboard == "node-b"
        await dash.press("Y")
        assert json.loads(dash.app.clipboard)["name"] == "node-b"


async def test_the_arrows_walk_through_time_and_space_comes_back(open_dash):
    async with open_dash((120, 30)) as dash:
        await dash.run(60)
        await dash.press("left", "left")
        assert "‖ paused at 14:14:18, 2.0 s ago, second 58 of 60" in dash.text
        await dash.press("left_square_bracket")
        assert "second 28 of 60" in dash.text
        await dash.run(1)
        assert "second 28 of 61" in dash.text
        await dash.press("space")
        assert "● live" in dash.text


async def test_escape_leaves_a_pause(open_dash):
    async with open_dash((120, 30)) as dash:
        await dash.run(5)
        await dash.press("space")
        assert "paused" in dash.text
        await dash.press("escape")
        assert "● live" in dash.text


async def test_w_saves_what_was_seen(open_dash, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    async with open_dash((100, 30)) as dash:
        await dash.run(10)
        await dash.press("w")
        await dash.app.workers.wait_for_complete()
    (path,) = tmp_path.iterdir()
    assert path.name.startswith("proglog-node-a-")
    saved = recording.load(path)
    assert saved.target == "127.0.0.1:8400"
    assert len(saved.frames) == 10


async def test_a_save_that_fails_is_reported(open_dash, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    async with open_dash((100, 30)) as dash:
        await dash.run(1)
        tmp_path.rmdir()
        monkeypatch.setattr("pathlib.Path.cwd", lambda: tmp_path)
        await dash.press("w")
        await dash.app.workers.wait_for_complete()
        assert [note.severity for note in dash.app._notifications] == ["error"]


async def test_enter_opens_a_member_and_escape_comes_back(open_dash):
    async with open_dash((100, 30)) as dash:
        await dash.run(3)
        await dash.press("down", "enter")
        assert isinstance(dash.app.screen, Reader)
        assert "replication from it" in dash.text
        await dash.press("escape")
        assert isinstance(dash.app.screen, MainScreen)


async def test_a_member_is_live_while_it_is_read(open_dash, world):
    async with open_dash((100, 60)) as dash:
        await dash.run(3)
        await dash.press("down", "enter")
        world.lag["node-b"] = 777
        await dash.run()
        assert "777 records, 199 kB" in dash.text


async def test_o_watches_from_the_member_under_the_cursor(open_dash):
    async with open_dash((120, 30)) as dash:
        await dash.run(3)
        await dash.press("down", "o")
        assert dash.app.source.target == "10.0.0.2:8400"
        assert "proglog 10.0.0.2:8400" in dash.text
        assert "no members yet" in dash.text


async def test_the_agent_itself_tells_more(open_dash):
    async with open_dash((100, 60)) as dash:
        await dash.run(3)
        await dash.press("enter")
        assert "TLS, ACL, gossip in clear" in dash.text
        assert "/var/lib/proglog" in dash.text


async def test_q_leaves_a_box_first_and_then_the_dashboard(open_dash):
    async with open_dash((100, 30)) as dash:
        await dash.run()
        await dash.press("question_mark", "q")
        assert dash.app.is_running
        assert isinstance(dash.app.screen, MainScreen)
        await dash.pilot.press("q")
        assert dash.app._exit


async def test_ctrl_q_leaves_from_everywhere(open_dash):
    async with open_dash((100, 30)) as dash:
        await dash.run()
        await dash.press("slash")
        await dash.pilot.press("ctrl+q")
        assert dash.app._exit


async def test_colon_opens_the_palette(open_dash):
    async with open_dash((100, 30)) as dash:
        await dash.run()
        await dash.press("colon")
        assert dash.app.screen.__class__.__name__ == "Palette"


async def test_events_show_what_is_severe_and_lead_to_what_they_are_about(open_dash, world):
    async with open_dash((140, 40)) as dash:
        await live(dash, world)
        await dash.press("6")
        assert "segment sealed" not in dash.text
        await dash.press("exclamation_mark")
        assert "copying failed" in dash.text
        assert "member joined" not in dash.text
        await dash.press("exclamation_mark")
        assert "copying failed" not in dash.text
        assert "range quarantined" in dash.text
        await dash.press("enter")
        assert dash.app.screen.topic == "segments"
        assert dash.app.screen.table("segments").row.source.base_offset == 0
        await dash.press("6", "exclamation_mark")
        assert "segment sealed" in dash.text
        await dash.press("exclamation_mark", "end", "enter")
        assert dash.app.screen.topic == "members"
        assert dash.app.screen.table("members").row.source.name == "node-a"
