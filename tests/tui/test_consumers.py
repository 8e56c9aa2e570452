"""The panel of consumers: who is behind, whether it catches up, and what it has not had."""

from proglog.tui.source import Unread
from tests.tui.walk import live


async def test_the_panel_says_who_is_behind_and_when_it_will_have_caught_up(open_dash, world):
    async with open_dash((140, 40)) as dash:
        await live(dash, world)
        await dash.press("7", "z")
        rows = [line for line in dash.text.splitlines() if "records" in line or "in step" in line]
        audit, search, billing = rows[2:5]
        assert "audit" in audit
        assert "↗ 33,850 records, 3 min 23 s; growing by" in audit
        assert "2 h ago" in audit
        assert "↘ 2,000 records, 12 s; caught up in about 1 min 40 s" in search
        assert "✓ in step" in billing
        assert "3 named, the last is 33,850 records behind" in dash.text


async def test_without_consumers_the_panel_leaves_its_room_and_its_key_says_how_to_make_one(open_dash):
    async with open_dash((140, 40)) as dash:
        await dash.run(3)
        assert "Consumers" not in dash.text
        await dash.press("7")
        assert "no named consumers: proglog consume --as NAME makes one" in dash.text
        await dash.press("escape")
        assert "1 Members" in dash.text


async def test_enter_opens_what_a_consumer_has_not_had(open_dash, world):
    async with open_dash((140, 40)) as dash:
        await live(dash, world)
        asked = []
        records = dash.app.source.records

        def noted(start):
            asked.append(start)
            return records(start)

        dash.app.source.records = noted
        await dash.press("7", "down", "enter")
        assert asked == [Unread("search")]
        assert "Consumers > not had by search" in dash.text
        await dash.press("escape")
        assert "7 Consumers" in dash.text


async def test_a_name_is_foreign_text(open_dash, world):
    async with open_dash((140, 40)) as dash:
        await live(dash, world)
        evil = "[@click=app.quit]x\x1b]52;c;"
        consumers = tuple(type(each)(**{**_fields(each), "name": evil}) for each in world.snapshot().consumers[:1])
        world.overrides["consumers"] = consumers
        await dash.run(2)
        await dash.press("7", "enter")
        assert "\x1b" not in dash.text
        assert "[@click=app.quit]x␛]52;c;" in dash.text


def _fields(value):
    return {name: getattr(value, name) for name in value.__dataclass_fields__}
