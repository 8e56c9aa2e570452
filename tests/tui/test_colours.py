"""No state is a colour alone: with colours stripped each has a shape and a word; and themes differ."""

from itertools import combinations

import pytest
from textual.color import Color

from proglog.observe.spans import Locale, Role, plain
from proglog.observe.words import member_mark, peer_mark
from proglog.tui.panels.members import table as members
from proglog.tui.panels.replication import table as replication
from proglog.tui.panels.segments import columns
from proglog.tui.state import DashState, Phase, SnapshotArrived, reduce
from proglog.tui.themes import THEMES
from proglog.tui.views import header
from proglog.wire.model import MemberStatus, PeerState


def _theme(name: str):
    return next(theme for theme in THEMES if theme.name == name)


def _luminance(colour: str) -> float:
    def linear(value: float) -> float:
        return value / 12.92 if value <= 0.03928 else ((value + 0.055) / 1.055) ** 2.4

    red, green, blue = (linear(part) for part in Color.parse(colour).normalized)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def _contrast(one: str, other: str) -> float:
    lighter, darker = sorted((_luminance(one), _luminance(other)), reverse=True)
    return (lighter + 0.05) / (darker + 0.05)


STATES = [
    *(pytest.param([member_mark(each) for each in MemberStatus], id="members"),),
    *(pytest.param([peer_mark(each) for each in PeerState], id="streams"),),
]


@pytest.mark.parametrize("marks", STATES)
def test_every_state_has_a_word_and_a_shape_of_its_own(marks):
    words = [mark.word for mark in marks]
    assert len(words) == len(set(words))
    assert all(mark.shape and mark.ascii_shape.isascii() for mark in marks)


@pytest.mark.parametrize("ascii_only", [False, True])
def test_without_colours_the_rows_of_different_states_still_differ(world, ascii_only):
    locale = Locale(ascii_only=ascii_only)
    told = {}
    for status in MemberStatus:
        world.status["node-b"] = status
        state = reduce(DashState(target="a", now=0.0), SnapshotArrived(world.snapshot(), 1.0))
        row = next(row for row in members.rows(state, locale) if row.key == "node-b")
        told[status] = plain(row.cells[1])
    assert len(set(told.values())) == len(MemberStatus)
    assert len({text.split()[0] for text in told.values()}) == len(MemberStatus), "shapes"


@pytest.mark.parametrize("ascii_only", [False, True])
def test_without_colours_a_lag_an_alert_and_a_lost_agent_are_still_told(world, ascii_only):
    locale = Locale(ascii_only=ascii_only)
    first = reduce(DashState(target="a", now=0.0), SnapshotArrived(world.snapshot(), 1.0))
    world.lag["node-b"] = 20_000
    world.status["node-c"] = MemberStatus.FAILED
    second = reduce(DashState(target="a", now=0.0), SnapshotArrived(world.snapshot(), 1.0))

    def row(state: DashState) -> str:
        cells = next(
            row for row in replication.peer_rows(state, locale) if row.name == "node-b" or row.key == "node-b"
        ).cells
        return " ".join(plain(cell(40) if callable(cell) else cell) for cell in cells)

    def said(state: DashState) -> str:
        return plain(header.health_line(state, locale, 100))

    assert "in step" in row(first)
    assert "20,000 records" in row(second)
    assert said(first) != said(second)
    assert "failed" in said(second)
    connections = {
        phase: plain(header.connection_line(DashState(target="a", now=0.0, phase=phase), locale))
        for phase in (Phase.CONNECTING, Phase.LIVE, Phase.RECONNECTING)
    }
    assert len(set(connections.values())) == 3


def test_the_states_of_an_index_differ_without_colours(world):
    shapes = {columns._INDEX_SHAPES[state] for state in columns._INDEX_ROLES}
    assert len(shapes) == len(columns._INDEX_ROLES)


def test_the_theme_for_colour_blind_readers_has_no_red_against_green():
    theme = _theme("proglog-blue-orange")
    good, bad = Color.parse(theme.success), Color.parse(theme.error)
    assert good.b > good.r, "healthy is blue"
    assert bad.r > bad.b, "trouble is orange"
    assert abs(_luminance(theme.success) - _luminance(theme.error)) < 0.5
    for one, other in combinations((theme.success, theme.warning), 2):
        assert Color.parse(one).b - Color.parse(other).b > 100


def test_the_theme_of_high_contrast_has_seven_to_one_everywhere():
    theme = _theme("proglog-contrast")
    for role in ("foreground", "primary", "accent", "success", "warning", "error"):
        assert _contrast(getattr(theme, role), theme.background) >= 7, role


@pytest.mark.parametrize("theme", THEMES, ids=lambda theme: theme.name)
def test_every_theme_can_be_read(theme):
    for role in ("foreground", "accent", "success", "warning", "error"):
        assert _contrast(getattr(theme, role), theme.background) >= 4.5, role
    assert len(Role) > 5


async def test_without_any_colour_the_screen_says_the_same(open_dash, world, monkeypatch):
    async with open_dash((140, 40), of_its_own=True) as dash:
        world.status["node-c"] = MemberStatus.FAILED
        await dash.run(3)
        coloured = dash.text
    world.second = 0
    monkeypatch.setenv("NO_COLOR", "1")
    async with open_dash((140, 40), of_its_own=True) as dash:
        assert dash.app.no_color
        await dash.run(3)
        assert dash.text == coloured


@pytest.mark.parametrize("theme", THEMES, ids=lambda theme: theme.name)
async def test_every_role_can_be_read_on_the_screen_and_on_the_row_under_the_cursor(open_dash, theme):
    least = 7.0 if theme.name == "proglog-contrast" else 4.5
    async with open_dash((100, 30)) as dash:
        dash.app.theme = theme.name
        await dash.settle()
        table = dash.app.screen.focused
        backgrounds = {
            "screen": Color.parse(theme.background),
            "cursor": Color.from_rich_color(table.get_component_rich_style("role--cursor").bgcolor),
        }
        for role in Role:
            ink = table.role_style(role).color
            for name, ground in backgrounds.items():
                measured = _contrast(Color.from_rich_color(ink).hex, ground.hex)
                assert measured >= least, f"{role} on the {name}: {measured:.1f}"
