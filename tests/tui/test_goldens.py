"""How every screen and every state looks, as text: read the files in goldens/ to see the dashboard without running it.

The browser of records has its own file of tests. A file holds one screen in four sizes. PROGLOG_UPDATE_GOLDENS=1 writes them again.
"""

import pytest

from tests.tui.walk import SCREENS, SIZES, STATES, home, live


async def _in_all_sizes(dash) -> str:
    parts = []
    for columns, lines in SIZES:
        if dash.app.size != (columns, lines):
            await dash.pilot.resize_terminal(columns, lines)
            await dash.settle()
        shown = dash.text
        assert len(shown.splitlines()) <= lines
        parts.append(f"{columns}x{lines} ".ljust(columns, "=") + f"\n{shown}\n")
    return "".join(parts)


@pytest.mark.parametrize("name", STATES)
async def test_a_state_looks_as_it_did(open_dash, world, golden, name):
    async with open_dash(SIZES[0]) as dash:
        await STATES[name](dash, world)
        golden(f"state-{name}", await _in_all_sizes(dash))


@pytest.mark.parametrize("name", [name for name in SCREENS if name not in {"records", "record", "segment"}])
async def test_a_screen_looks_as_it_did(open_dash, world, golden, name):
    async with open_dash(SIZES[0]) as dash:
        await live(dash, world)
        await dash.press(*SCREENS[name])
        golden(f"screen-{name}", await _in_all_sizes(dash))


@pytest.mark.parametrize(("name", "keys"), [("copies-heard", ["3", "z"]), ("members-heard", ["1", "z"])])
async def test_what_a_member_says_itself_is_distinct_from_hearsay(open_dash, world, golden, name, keys):
    async with open_dash((140, 16)) as dash:
        await live(dash, world)
        await dash.hear("node-b")
        await dash.press(*keys)
        golden(name, dash.text)


async def test_the_ascii_screen(open_dash, world, golden):
    async with open_dash((80, 24), ascii_only=True) as dash:
        await live(dash, world)
        golden("ascii-80x24", dash.text)


async def test_ascii_terminals_get_ascii_alone(open_dash, world):
    async with open_dash((80, 24), ascii_only=True) as dash:
        await STATES["hostile"](dash, world)
        for name, keys in SCREENS.items():
            await dash.press(*keys)
            assert dash.text.isascii(), name
            await home(dash)


async def test_no_size_is_too_small_for_a_screen_that_is_open(open_dash, world):
    async with open_dash(SIZES[1]) as dash:
        await live(dash, world)
        for keys in SCREENS.values():
            await dash.press(*keys)
            for columns, lines in ((1, 1), SIZES[1]):
                await dash.pilot.resize_terminal(columns, lines)
                await dash.settle()
                assert len(dash.text.splitlines()) <= lines
            await home(dash)


async def test_no_size_is_too_large(open_dash, world):
    async with open_dash(SIZES[0]) as dash:
        await live(dash, world)
        await dash.pilot.resize_terminal(300, 80)
        for keys in SCREENS.values():
            await dash.press(*keys)
            assert len(dash.text.splitlines()) <= 80
            await home(dash)


async def test_resizes_that_come_faster_than_paints_end_in_the_last_size(open_dash, world):
    async with open_dash(SIZES[0]) as dash:
        await live(dash, world)
        for step in range(20):
            await dash.pilot.resize_terminal(1 + step * 5 % 150, 1 + step * 3 % 45)
            await dash.run()
        await dash.pilot.resize_terminal(*SIZES[0])
        await dash.press("1")
        for panel in ("1 Members", "4 Throughput", "3 Copies", "2 Replication", "5 Segments", "6 Events", "● live"):
            assert panel in dash.text
        assert {len(line) for line in dash.text.splitlines()[2:-1]} == {SIZES[0][0]}


async def test_a_resize_keeps_everything_in_place(open_dash, world):
    async with open_dash((140, 40)) as dash:
        await live(dash, world)
        wide = dash.text
        for size in [(40, 12), (1, 1), (140, 40)]:
            await dash.pilot.resize_terminal(*size)
            await dash.settle()
        await dash.press("1")
        assert dash.text == wide
