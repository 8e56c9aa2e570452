"""The mouse: rows, headings, panels, the keys in the footer."""

from textual.events import MouseScrollDown
from textual.widgets._footer import FooterKey

from proglog.tui.screens.main import MainScreen
from proglog.tui.screens.reader import Reader


async def test_a_click_on_a_panel_goes_there(open_dash):
    async with open_dash((140, 40)) as dash:
        await dash.run()
        for name in ("replication", "throughput", "events", "segments", "members"):
            await dash.pilot.click(f"#{name}", offset=(4, 1))
            await dash.settle()
            assert dash.app.focused.id == name


async def test_a_click_on_a_heading_sorts_by_it_and_another_one_turns_it_round(open_dash):
    async with open_dash((140, 40)) as dash:
        await dash.run()
        await dash.pilot.click("#replication", offset=(4, 0))
        await dash.settle()
        assert "PEER▴" in dash.text
        await dash.pilot.click("#replication", offset=(4, 0))
        await dash.settle()
        assert "PEER▾" in dash.text
        assert [row.key for row in dash.app.screen.table("replication")._arranged] == ["node-c", "node-b"]


async def test_a_double_click_on_a_row_opens_it(open_dash):
    async with open_dash((140, 40)) as dash:
        await dash.run()
        await dash.pilot.click("#members", offset=(6, 2), times=2)
        await dash.settle()
        assert isinstance(dash.app.screen, Reader)
        assert "node-b" in dash.text


async def test_a_key_in_the_frame_of_a_panel_can_be_clicked(open_dash):
    async with open_dash((140, 40)) as dash:
        await dash.run()
        frames = dash.text.splitlines()
        row = next(number for number, text in enumerate(frames) if "6 Events" in text)
        assert "! severity" in frames[row]
        await dash.pilot.click(offset=(frames[row].index("severity"), row))
        await dash.settle()
        assert "· warnings" in dash.text
        assert dash.app.focused.id == "events"
        row = next(number for number, text in enumerate(frames) if "1 Members" in text)
        await dash.pilot.click(offset=(frames[row].index("more"), row))
        await dash.settle()
        assert isinstance(dash.app.screen, Reader)


async def _click_in_the_footer(dash, words):
    (key,) = (key for key in dash.app.screen.query(FooterKey) if key.description == words)
    await dash.pilot.click(key)
    await dash.settle()


async def test_every_key_in_the_footer_can_be_clicked(open_dash):
    async with open_dash((140, 40)) as dash:
        await dash.run()
        keys = {key.description for key in dash.app.screen.query(FooterKey)}
        assert {"Open", "Sort", "Zoom", "Filter", "Tail", "Quit", "Pause", "Help"} <= keys
        await _click_in_the_footer(dash, "Help")
        assert isinstance(dash.app.screen, Reader)
        await dash.press("escape")
        assert isinstance(dash.app.screen, MainScreen)
        await _click_in_the_footer(dash, "Sort")
        assert "MEMBER▴" in dash.text
        await _click_in_the_footer(dash, "Zoom")
        assert "4 Throughput" not in dash.text


async def test_the_wheel_moves_the_cursor(open_dash):
    async with open_dash((140, 40)) as dash:
        await dash.run()
        table = dash.app.screen.table("members")
        await dash.pilot._post_mouse_events([MouseScrollDown], widget=table, offset=(5, 1))
        await dash.settle()
        assert table.cursor == 1
