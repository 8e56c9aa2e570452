"""The parts without a terminal: spans, charts, tables, themes, history, names."""

import math
import re
import subprocess
import sys
from dataclasses import replace
from math import isnan

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.cells import cell_len
from textual.color import Color

from proglog.observe import charts
from proglog.observe.columns import Column, FixedRow
from proglog.observe.frame import Frame
from proglog.observe.history import rate_now, rates, shared, total_lag, written_by
from proglog.observe.recording import file_name
from proglog.observe.spans import Locale, Role, Span, fit_line, line, plain, spread, width_of, wrap
from proglog.observe.words import member_mark, peer_mark
from proglog.tui import plots
from proglog.tui.needle import accepts
from proglog.tui.panels.segments import table as segments
from proglog.tui.panels.segments.columns import _offsets_within
from proglog.tui.screens.main import MainScreen
from proglog.tui.table import GAP, Order, arranged, column_widths, render_cells
from proglog.tui.themes import THEMES, ascii_terminal
from proglog.wire.model import DamagedRange, MemberStatus, PeerState

TEXTS = st.text("ab 日é…", max_size=12)
LINES = st.lists(TEXTS.map(Span), max_size=5)


@given(LINES, st.integers(0, 30), st.booleans())
def test_a_fitted_line_has_exactly_its_width(spans, width, right):
    assert sum(cell_len(span.text) for span in fit_line(spans, width, right=right)) == width


@given(LINES, LINES, st.integers(0, 30))
def test_spread_keeps_the_width_and_the_right_end(left, right, width):
    spanned = spread(left, right, width)
    assert width_of(spanned) == width
    if width_of(right) < width:
        assert plain(spanned).endswith(plain(right))


@given(LINES, st.integers(4, 30))
def test_wrapping_loses_no_word(spans, width):
    wrapped = wrap(spans, width)
    words = plain(spans).split()
    fits = len(spans) == 1 and all(cell_len(word) <= width - 2 for word in words)  # longer than an indented line: cut
    assert not fits or "".join(map(plain, wrapped)).split() == words
    assert "".join("".join(map(plain, wrapped)).split()) == "".join(plain(spans).split())


@given(st.lists(st.floats(0, 1e12), max_size=300), st.integers(1, 40), st.integers(1, 6), st.booleans())
def test_charts_have_exactly_their_size(values, width, height, ascii_only):
    drawn = charts.area(values, width, height, ascii_only=ascii_only)
    assert [len(row) for row in drawn] == [width] * height
    assert len(charts.sparkline(values, width, ascii_only=ascii_only)) == width
    assert not ascii_only or "".join(drawn).isascii()


@given(
    st.lists(st.one_of(st.floats(1e-9, 1e12), st.sampled_from([0.0, math.nan])), max_size=90),
    st.integers(1, 60),
    st.integers(1, 6),
    st.integers(1, 4),
    st.booleans(),
)
def test_layers_have_exactly_their_size_and_hatch_what_is_not_known(values, width, height, parts, ascii_only):
    series = [[value / (part + 1) for value in values] for part in range(parts)]
    rows = charts.layers(values, series, width, height, top=1e12, ascii_only=ascii_only)
    assert [sum(len(text) for text, _ in row) for row in rows] == [width] * height
    assert not ascii_only or all(text.isascii() for row in rows for text, _ in row)
    owners = [[owner for text, owner in row for _ in text] for row in rows]
    padded = [math.nan] * (width - len(values)) + values[-width:]
    for column, value in enumerate(padded):
        drawn = {row[column] for row in owners}
        assert (drawn == {charts.HATCHED}) == math.isnan(value)
        assert value == 0 or math.isnan(value) or max(drawn) >= 0, "more than nothing is visible"


def test_a_column_is_divided_as_its_series_are():
    (*_,) = rows = charts.layers([8.0], [[6.0], [2.0]], 1, 4, top=8.0)
    assert [row[0][1] for row in rows] == [1, 0, 0, 0], "the first at the foot"


def test_a_spike_survives_resampling():
    values = [0.0] * 500
    values[123] = 9.0
    assert max(charts.resample(values, 20)) == 9.0


@given(st.lists(st.floats(0, 1e12), max_size=700), st.sampled_from(plots.WINDOWS), st.integers(1, 200))
def test_a_window_has_exactly_its_cells_and_keeps_every_spike(values, seconds, width):
    cells = charts.spread_out(values, seconds, width)
    assert len(cells) == width
    assert max(charts.known(cells), default=0.0) == max(values[-seconds:], default=0.0)


@given(st.floats(1e-9, 1e290))
def test_a_scale_ends_in_a_round_number_and_not_far_above(value):
    top = charts.rounded_up(value)
    assert value <= top * (1 + 1e-9)
    assert top <= max(value * 2 * (1 + 1e-9), 1.0)
    assert f"{top:.0e}"[0] in "123468"


def _series(values):
    return plots.Series(name="lag", now="now", values=values, words=str, role=Role.WARN)


@given(st.lists(st.integers(0, 10**9), max_size=80), st.integers(1, 150), st.integers(1, 30), st.booleans())
def test_plots_have_exactly_their_room(values, width, height, ascii_only):
    drawn = plots.plot(_series(values), 60, Locale(ascii_only=ascii_only), width, height)
    assert len(drawn) in (1, height)
    assert all(width_of(each) <= width for each in drawn[1:])
    assert not ascii_only or "".join(map(plain, drawn)).isascii()


def test_a_plot_tells_the_least_the_middle_and_the_most():
    drawn = [plain(each) for each in plots.plot(_series([1, 2, 90]), 60, Locale(), 80, 8)]
    assert drawn[0].split() == ["lag", "now", "min", "1", "median", "2", "max", "90"]
    assert drawn[1].startswith("  100.0│")
    assert drawn[-1].split() == ["-1", "min", "-30", "s", "now"]


def test_a_series_of_nothing_takes_one_line_and_leaves_the_room_to_the_others():
    drawn = plots.stacked([_series([0, 0]), _series([1, 5])], 60, Locale(), 60, 12)
    assert len(drawn) == 12
    assert [plain(each).startswith("lag now") for each in drawn[:3]] == [True, True, False]


def test_more_than_nothing_is_always_visible():
    assert charts.sparkline([0.0, 1e-9, 1e9], 3) == " ▁▇"
    assert charts.bar(1e-9, 4) == "╸   "
    assert charts.bar(0.5, 4) == "━━  "
    assert charts.bar(7.0, 4, ascii_only=True) == "===="


COLUMNS = (
    Column(title="NAME", value=str, width=6, flex=1, limit=10),
    Column(title="A", value=str, width=4, rank=2),
    Column(title="B", value=str, width=4, rank=1, right=True),
    Column(title="TEXT", value=str, width=5, flex=3),
)


@given(st.integers(1, 200))
def test_columns_never_take_more_than_there_is(total):
    widths = column_widths(COLUMNS, total)
    assert {0, 3} <= set(widths)
    assert all(width >= 1 for width in widths.values())
    assert sum(widths.values()) + GAP * (len(widths) - 1) <= max(total, 4)


def test_columns_of_high_rank_give_way_first_and_limits_hold():
    assert set(column_widths(COLUMNS, 25)) == {0, 1, 2, 3}
    assert set(column_widths(COLUMNS, 24)) == {0, 2, 3}
    assert set(column_widths(COLUMNS, 18)) == {0, 3}
    assert column_widths(COLUMNS, 100) == {0: 10, 1: 4, 2: 4, 3: 76}


def test_a_cell_may_depend_on_its_width():
    cells = (line("x"), line("y"), line("z"), lambda width: line("#" * width))
    assert plain(render_cells(cells, COLUMNS, column_widths(COLUMNS, 30))).endswith("z  " + "#" * 9)


def _row(key: str, number: float) -> FixedRow:
    return FixedRow(key=key, cells=(line(key), line(str(number))), sort=(key, number))


def test_rows_are_sorted_by_value_not_by_text():
    rows = [_row("a", 10), _row("b", 9), _row("C", 100)]
    assert [row.key for row in arranged(rows, "", Order(1))] == ["b", "a", "C"]
    assert [row.key for row in arranged(rows, "", Order(1, descending=True))] == ["C", "a", "b"]
    assert [row.key for row in arranged(rows, "", Order(0))] == ["a", "b", "C"]


@pytest.mark.parametrize(
    ("needle", "found"), [("", True), ("NODE", True), ("x", False), ("!x", True), ("!node", False), ("!", True)]
)
def test_filters(needle, found):
    cells = (line("node-a alive"),)
    assert accepts(FixedRow(key="", cells=cells, sort=("",)), needle) is found


@pytest.mark.parametrize(
    ("environ", "expected"),
    [
        ({"LANG": "en_US.UTF-8"}, False),
        ({"LANG": "C.utf8"}, False),
        ({"LANG": "de_DE.UTF-8@euro", "TERM": "xterm"}, False),
        ({"LANG": "C"}, True),
        ({}, True),
        ({"LANG": "en_US.ISO-8859-1"}, True),
        ({"LANG": "en_US.UTF-8", "LC_ALL": "POSIX"}, True),
        ({"LANG": "en_US.UTF-8", "LC_ALL": "", "LC_CTYPE": "C.UTF-8"}, False),
        ({"LANG": "en_US.UTF-8", "TERM": "linux"}, True),
        ({"LANG": "en_US.UTF-8", "TERM": "dumb"}, True),
        ({"LANG": "x.nonsense"}, True),
    ],
)
def test_terminals_that_need_ascii(environ, expected):
    assert ascii_terminal(environ) is expected


def _contrast(front: str, back: str) -> float:
    """WCAG 2.1 contrast ratio."""

    def luminance(text: str) -> float:
        parts = [
            part / 12.92 if part <= 0.03928 else ((part + 0.055) / 1.055) ** 2.4
            for part in Color.parse(text).normalized
        ]
        return 0.2126 * parts[0] + 0.7152 * parts[1] + 0.0722 * parts[2]

    lighter, darker = sorted((luminance(front), luminance(back)), reverse=True)
    return (lighter + 0.05) / (darker + 0.05)


@pytest.mark.parametrize("theme", THEMES, ids=lambda theme: theme.name)
def test_every_state_is_readable_in_every_theme(theme):
    for colour in (theme.foreground, theme.success, theme.warning, theme.error, theme.accent, theme.primary):
        assert _contrast(colour, theme.background) >= 4.5, colour


def test_states_are_distinct_without_colour():
    for ascii_only in (False, True):
        locale = Locale(ascii_only=ascii_only)
        assert len({locale.shape(member_mark(status)) for status in MemberStatus}) == len(MemberStatus)
        assert len({locale.shape(peer_mark(state)) for state in PeerState}) == len(PeerState)


def test_every_binding_has_an_id_so_that_it_can_be_remapped():
    bindings = [binding for binding in MainScreen.BINDINGS if hasattr(binding, "id")]
    assert len(bindings) == len(MainScreen.BINDINGS)
    assert all(binding.id for binding in bindings)
    assert len({binding.id for binding in bindings}) == len(bindings)


def test_a_moment_that_no_calendar_holds_is_still_shown():
    assert Locale().clock(1e30) == Locale().clock(float("inf")) == Locale().clock(float("nan")) == "--:--:--"


@pytest.mark.parametrize(
    ("node", "name"),
    [("node-a", "node-a"), ("../../etc/x", "_.._etc_x"), ("a\n/b", "a__b"), ("", "agent"), ("...", "agent")],
)
def test_a_file_is_named_safely_after_a_node(node, name):
    assert file_name(node, 0.0).startswith(f"proglog-{name}-")
    assert "/" not in file_name(node, 0.0)


def _frames(world, seconds: int) -> list[Frame]:
    frames = []
    for _ in range(seconds):
        world.second += 1
        frames.append(Frame.of(world.snapshot(), at=float(world.second), live=True))
    return frames


def test_rates_are_per_second_of_the_agents_clock(world):
    frames = _frames(world, 4)
    assert rates(frames, written_by("node-b")) == [60.0, 60.0, 60.0]
    assert rate_now(frames, written_by("node-c")) == 7.0


def test_a_restart_is_no_negative_rate(world):
    frames = _frames(world, 2)
    restarted = replace(frames[1].snapshot, node=replace(frames[1].snapshot.node, started_at_ms=1))
    (rate,) = rates([frames[0], Frame.of(restarted, at=frames[1].at, live=True)], written_by("node-b"))
    assert isnan(rate)


def test_an_outage_is_not_known_and_drawn_unlike_nothing(world):
    frames = _frames(world, 2)
    (rate,) = rates([frames[0], replace(frames[1], live=False)], written_by("node-b"))
    assert isnan(rate)
    assert charts.area([1.0, rate, 0.0, 1.0], 4, 2) == ["█  █", "█╌ █"]
    assert charts.area([1.0, rate, 0.0, 1.0], 4, 2, ascii_only=True) == ["@  @", "@~ @"]


def test_a_lag_counts_each_origin_once(world):
    world.lag["node-b"] = 40
    assert total_lag(_frames(world, 1)[0]) == 40.0


def test_equal_values_are_kept_once(world):
    old, new = world.snapshot(), world.snapshot()
    again = shared(new, old)
    assert again == new
    assert again.segments is old.segments
    assert again.peers is old.peers


@pytest.mark.parametrize("end", [4_000, 2_543_999, 10**12])
def test_offsets_are_exact_or_abbreviated_and_never_cut(end):
    start, widest = end - 1_234, len(f"[{end - 1_234:,} … {end:,})")
    for width in range(12, widest + 5):
        words = _offsets_within(start, end, Locale(), width)
        assert len(words) <= max(width, len("[1.0T … 1.0T)"))
        numbers = re.fullmatch(r"\[?([0-9.,]+[kMGT]?) (?:… |\+)([0-9.,]+[kMGT]?)\)?", words)
        assert numbers, words
        assert (numbers[1] == f"{start:,}") == (width >= len(f"{start:,} +1.2k")), words


@pytest.mark.parametrize("width", [4, 20, 77, 300])
@pytest.mark.parametrize("records", [1, 3_999, 4_001, 400_000])
def test_the_segment_map_fits(world, width, records):
    snapshot = replace(world.snapshot(), segments=world._segments(records, 0))
    assert width_of(segments.segment_map(snapshot, Locale(), width)) <= width


def test_the_active_segment_is_marked_in_the_map(world):
    drawn = segments.segment_map(world.snapshot(), Locale(), 60)
    assert [span.role for span in drawn if span.role is not Role.MUTED][-1] is Role.ACCENT


def test_a_damaged_segment_has_a_shape_of_its_own_in_the_map(world):
    snapshot = world.snapshot()
    lost = DamagedRange(start_offset=10, end_offset=20, detail="checksum")
    snapshot = replace(snapshot, log=replace(snapshot.log, damaged=(lost,)))
    (first, *others) = [each for each in segments.segment_map(snapshot, Locale(), 60) if each.role is not Role.MUTED]
    assert ("✖" in first.text, first.role) == (True, Role.BAD)
    assert Role.BAD not in {each.role for each in others}


def test_the_first_frame_does_not_wait_for_grpc():
    code = "import sys, proglog.tui.run; print('grpc' in sys.modules, 'google.protobuf' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60)
    assert done.stdout.split() == ["False", "False"]
