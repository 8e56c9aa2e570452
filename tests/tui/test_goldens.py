"""How the screens look, as text: read the files in goldens/ to see the dashboard without running it."""

import pytest

from proglog.client.model import MemberStatus
from proglog.record.record import StoredRecord
from proglog.types import Offset, OriginId, Sequence

SIZES = [(140, 40), (80, 24), (40, 12), (20, 5)]


async def _story(dash, world) -> None:
    """A minute and a half of traffic, then node-b's records arrive late and are being caught up."""
    await dash.run(90)
    for step in range(10):
        world.lag["node-b"] = 4_000 - 300 * step
        await dash.run()


@pytest.mark.parametrize("size", SIZES)
async def test_the_main_screen(open_dash, world, golden, size):
    async with open_dash(size) as dash:
        await _story(dash, world)
        golden(f"main-{size[0]}x{size[1]}", dash.text)


async def test_the_picture_of_the_guide_can_be_drawn(open_dash, world, picture):
    async with open_dash((140, 36)) as dash:
        await _story(dash, world)
        await dash.press("3")
        drawn = dash.app.export_screenshot(title="proglog dash")
        assert drawn.startswith("<svg")
        assert "streaming" in drawn
        picture("dashboard", drawn)


@pytest.mark.parametrize("size", [(140, 40), (80, 24), (40, 12)])
async def test_a_member_failed_and_the_agent_is_gone(open_dash, world, golden, size):
    async with open_dash(size) as dash:
        await _story(dash, world)
        world.status["node-c"] = MemberStatus.FAILED
        await dash.run()
        await dash.lose(5)
        golden(f"lost-{size[0]}x{size[1]}", dash.text)


@pytest.mark.parametrize("size", [(140, 40), (80, 24), (40, 12)])
async def test_another_member_stands_in_for_the_agent(open_dash, world, golden, size):
    async with open_dash(size) as dash:
        await _story(dash, world)
        await dash.lose(2)
        await dash.stand_in("node-b")
        golden(f"stand-in-{size[0]}x{size[1]}", dash.text)


@pytest.mark.parametrize(("name", "keys"), [("matrix-heard", ["m", "m", "z"]), ("members-heard", ["1", "z"])])
async def test_what_a_member_says_itself_is_told_apart_from_hearsay(open_dash, world, golden, name, keys):
    async with open_dash((140, 16)) as dash:
        await _story(dash, world)
        await dash.hear("node-b")
        await dash.press(*keys)
        golden(name, dash.text)


@pytest.mark.parametrize(
    ("name", "keys"),
    [
        ("member", ["down", "enter"]),
        ("matrix", ["m", "m", "z"]),
        ("origins", ["m", "z"]),
        ("throughput", ["2", "z"]),
        ("paused", ["left", "left", "left"]),
        ("help", ["3", "question_mark"]),
        ("filtered", ["slash", "minus", "b", "enter"]),
    ],
)
async def test_what_keys_show(open_dash, world, golden, name, keys):
    async with open_dash((100, 30)) as dash:
        await _story(dash, world)
        await dash.press(*keys)
        golden(name, dash.text)


async def test_alerts_say_what_to_do(open_dash, world, golden):
    async with open_dash((80, 24)) as dash:
        world.status["node-c"] = MemberStatus.FAILED
        world.lag["node-b"] = 20_000
        await dash.run(5)
        await dash.press("a")
        golden("alerts", dash.text)


async def test_before_the_first_word(open_dash, golden):
    async with open_dash((80, 24)) as dash:
        await dash.lose(2, attempt=3, error="cannot reach 127.0.0.1:8400: connection refused")
        golden("waiting", dash.text)


async def test_records_and_one_of_them(open_dash, golden):
    async with open_dash((80, 24)) as dash:
        values = [b"hello", b'{"user": "ada", "n": [1, 2]}', b"\x00\x01\xfe\xff", "grüße 日本".encode(), b"[red]x[/]"]
        dash.app.source.log = [
            StoredRecord(
                value=value, key=b"k%d" % index, timestamp_ms=1_790_000_000_000 + index * 900,
                headers=(("trace", b"1"),),
                offset=Offset(index), origin=OriginId(b"\xc0\xff\xee" + bytes(13)), sequence=Sequence(index + 1),
            )
            for index, value in enumerate(values * 3)
        ]  # fmt: skip
        await dash.run(1)
        await dash.press("t")
        golden("records", dash.text)
        await dash.press("g", "j", "enter")
        golden("record", dash.text)


async def test_ascii_terminals_get_ascii_alone(open_dash, world):
    async with open_dash((80, 24), ascii_only=True) as dash:
        world.status["node-c"] = MemberStatus.FAILED
        await _story(dash, world)
        for keys in (
            ["2"],
            ["3", "m"],
            ["5", "escape"],
            ["1", "down", "enter"],
            ["escape", "a"],
            ["escape", "question_mark"],
        ):
            await dash.press(*keys)
            assert dash.text.isascii(), keys
        await dash.press("escape", "y", "t")
        assert dash.text.isascii()


async def test_the_ascii_screen(open_dash, world, golden):
    async with open_dash((80, 24), ascii_only=True) as dash:
        await _story(dash, world)
        golden("ascii-80x24", dash.text)


@pytest.mark.parametrize("size", [(1, 1), (2, 2), (3, 30), (200, 1), (300, 80)])
async def test_no_size_is_too_small_or_too_large(open_dash, world, size):
    async with open_dash(size) as dash:
        await _story(dash, world)
        await dash.press("z", "3", "z", "question_mark", "escape")
        assert len(dash.text.splitlines()) <= size[1]


async def test_a_resize_keeps_everything_in_place(open_dash, world):
    async with open_dash((140, 40)) as dash:
        await _story(dash, world)
        wide = dash.text
        for size in [(40, 12), (1, 1), (140, 40)]:
            await dash.pilot.resize_terminal(*size)
            await dash.settle()
        await dash.press("1")
        assert dash.text == wide
