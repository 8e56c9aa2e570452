"""The main screen: what it shows at each size, and that it stays when the agent goes."""

from dataclasses import replace

import pytest

from proglog.observe.spans import Locale
from proglog.tui.panels.replication.columns import PEER_COLUMNS
from proglog.tui.panels.replication.table import peer_rows
from proglog.tui.state import DashState, SnapshotArrived, reduce
from proglog.tui.widgets.live_table import LiveTable
from proglog.wire.model import MemberStatus
from tests.tui.conftest import NOW, drawn


async def test_three_panels_show_the_live_cluster(open_dash):
    async with open_dash((140, 40)) as dash:
        await dash.run(30)
        assert "node-a 127.0.0.1:8400" in dash.text
        assert "● live" in dash.text
        for words in (
            "1 Members",
            "3 Copies",
            "2 Replication",
            "5 Segments",
            "node-b",
            "● streaming",
            "✓ in step",
            "✓ ok",
        ):
            assert words in dash.text


@pytest.mark.parametrize(("width", "words"), [(140, "→ 1,204 records, 308 kB, 3.6 s"), (53, "→ 1,204 records, 3.6 s ")])
def test_a_lag_is_reported_in_as_many_words_as_fit(world, width, words):
    world.lag["node-b"] = 1_204
    state = reduce(DashState(target="a", now=NOW), SnapshotArrived(world.snapshot(), NOW))
    shown = drawn(PEER_COLUMNS, peer_rows(state, Locale()), width)
    assert words in shown[1]
    assert "✓ in step" in shown[2]


async def test_an_agent_that_is_gone_leaves_its_last_word_on_the_screen(open_dash):
    async with open_dash((100, 24)) as dash:
        await dash.run(5)
        await dash.lose(34, attempt=7)
        assert "◐ reconnecting in 2.0 s (attempt 7), data 34 s old" in dash.text
        assert "node-b" in dash.text
        assert dash.app.screen.has_class("-stale")


async def test_an_agent_that_hangs_is_reported_with_the_age_of_its_word(open_dash):
    async with open_dash((100, 24)) as dash:
        await dash.run(5)
        await dash.wait(5)
        assert "◐ silent, data 5.0 s old" in dash.text
        assert "✖ node-a says nothing any more" in dash.text
        assert dash.app.screen.has_class("-stale")
        await dash.run(1)
        assert "● live" in dash.text


async def test_an_agent_that_is_back_is_live_at_once(open_dash):
    async with open_dash((100, 24)) as dash:
        await dash.run(5)
        await dash.lose(34)
        await dash.run(1)
        assert "● live" in dash.text
        assert not dash.app.screen.has_class("-stale")


async def test_a_failed_member_is_the_first_thing_that_is_said(open_dash, world):
    async with open_dash((100, 24)) as dash:
        world.status["node-c"] = MemberStatus.FAILED
        await dash.run()
        assert "1 needs attention   ✖ node-c failed" in dash.text
        assert "✖ failed" in dash.text


def _colour_of(dash, text: str):
    """The colour in which a text is painted below the header."""
    for strip in dash.app.screen._compositor.render_strips()[2:]:
        for segment in strip:
            if text in segment.text:
                return segment.style.color.get_truecolor()
    raise AssertionError(f"{text!r} is not on the screen")


async def test_what_is_old_is_dimmed(open_dash):
    async with open_dash((100, 24)) as dash:
        await dash.run(5)
        bright = _colour_of(dash, "node-b")
        await dash.lose(3)
        dim = _colour_of(dash, "node-b")
        assert sum(dim) < sum(bright)


async def test_only_lines_that_changed_are_painted(open_dash, world, monkeypatch):
    async with open_dash((140, 40)) as dash:
        await dash.run(5)
        painted = []
        render = LiveTable.render_line
        monkeypatch.setattr(LiveTable, "render_line", lambda self, y: painted.append((self.id, y)) or render(self, y))
        frozen = world.snapshot()
        world.overrides = {
            "members": (frozen.members[0], replace(frozen.members[1], rtt_ms=9.9), frozen.members[2]),
            "log": frozen.log, "segments": frozen.segments, "taken_at_ms": frozen.taken_at_ms,
        }  # fmt: skip
        dash.app.dispatch(SnapshotArrived(world.snapshot(), dash.now))
        await dash.settle()
        assert set(painted) == {("members", 2)}


async def test_a_theme_is_taken_at_once_and_everywhere(open_dash):
    async with open_dash((140, 40)) as dash:
        await dash.run(5)
        dark = _colour_of(dash, "node-b")
        dash.app.theme = "proglog-light"
        await dash.settle()
        assert sum(_colour_of(dash, "node-b")) < sum(dark)


async def test_plus_and_minus_change_the_time_that_the_plots_cover(open_dash, world):
    async with open_dash((140, 40)) as dash:
        world.lag["node-b"] = 900
        await dash.run(5)
        await dash.press("2", "z")
        assert "behind node-b 900 records" in dash.text
        assert "behind node-b, in time 2.7 s" in dash.text
        for keys, start in ((["plus"], "-5 min"), (["plus", "plus"], "-30 min"), (["minus"] * 5, "-1 min")):
            await dash.press(*keys)
            assert start in dash.text
        await dash.press("4")
        assert "last 1 min, + and - change it" in dash.text
        await dash.press("z")
        assert "behind node-b" not in dash.text
