"""The record browser: its tail, held and not, its jumps, its views, one record in full."""

import asyncio
import dataclasses
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proglog.observe.spans import Locale, Role, plain
from proglog.record.record import StoredRecord
from proglog.tui.screens.browser import KEPT
from proglog.tui.screens.main import MainScreen
from proglog.tui.screens.record import RecordReader
from proglog.tui.screens.records import RecordsScreen
from proglog.tui.views import records
from proglog.tui.widgets.live_table import LiveTable
from proglog.types import Offset, OriginId, SequenceNumber

MINUTE_MS = 60_000
START_MS = 1_790_000_000_000 - 2_999 * MINUTE_MS
"""A record a minute; the last of 3,000 now."""


def _table(dash) -> LiveTable:
    table = dash.app.focused
    assert isinstance(table, LiveTable)
    return table


def _keys(dash) -> list[str]:
    return [row.key for row in _table(dash)._arranged]


def _records(count: int) -> list[StoredRecord]:
    return [
        StoredRecord(
            value=b"value %d" % index, timestamp_ms=START_MS + index * 60_000, offset=Offset(index), origin=OriginId(bytes(16)),
            sequence=SequenceNumber(index + 1),
        )
        for index in range(count)
    ]  # fmt: skip


async def _append(dash, count: int) -> None:
    """Lets records arrive."""
    log = dash.app.source.log
    log.extend(_records(len(log) + count)[len(log) :])
    dash.app.source.grown.set()
    await dash.settle()
    await dash.settle()


async def _go_to(dash, place: str) -> None:
    """Opens the browser at a place."""
    await dash.press("t")
    await dash.press("o", *place, "enter")


@pytest.fixture
async def browser(open_dash):
    async with open_dash((100, 20)) as dash:
        dash.app.source.log = _records(3_000)
        await dash.run()
        yield dash


async def test_t_follows_the_end_of_the_log(browser):
    await browser.press("t")
    assert isinstance(browser.app.screen, RecordsScreen)
    assert _table(browser).row.key == "2999"
    assert "Records tail" in browser.text


async def test_new_records_wait_below_when_the_cursor_is_not_at_the_end(browser):
    await browser.press("t")
    await browser.press("k", "k")
    await _append(browser, 1)
    assert _table(browser).row.key == "2997"
    assert "▼ 1 new (t)" in browser.text
    await browser.press("G")
    assert _table(browser).row.key == "3000"


async def test_records_are_read_on_when_the_cursor_comes_near_the_last_one_read(browser):
    await _go_to(browser, "0")
    assert len(_keys(browser)) < 400
    await browser.press("G")
    await browser.press("G")
    assert len(_keys(browser)) > 400


async def test_what_the_browser_keeps_is_bounded(browser):
    await browser.press("t")
    await _append(browser, KEPT + 50)
    assert len(_table(browser)._arranged) == KEPT


async def test_o_goes_to_an_offset(browser):
    await _go_to(browser, "1234")
    assert _keys(browser)[0] == "1234"
    await browser.press("o", "minus", "5", "enter")
    assert _keys(browser)[0] == "2995"


async def test_a_place_that_is_none_is_refused_in_words(browser):
    await _go_to(browser, "x1")
    assert "'x1' is no place" in next(iter(browser.app._notifications)).message


async def test_v_shows_values_as_bytes(browser):
    await browser.press("t", "v")
    assert "76 61 6c 75 65 20 32 39 39 39" in browser.text


async def test_a_filter_holds_for_records_that_come_later(browser):
    await browser.press("t", "slash", *"value 2999", "enter")
    assert _keys(browser) == ["2999"]
    await browser.press("escape")
    assert len(_table(browser)._arranged) == 200
    await browser.press("escape")
    assert isinstance(browser.app.screen, MainScreen)


async def test_space_holds_the_tail_while_records_are_collected_and_lets_go(browser):
    await browser.press("t")
    await browser.press("space")
    await _append(browser, 1_204)
    assert _table(browser).row.key == "2999"
    assert "‖ held" in browser.text
    assert "▼ 1,204 new (t)" in browser.text
    assert not browser.app.state.paused
    await browser.press("space")
    assert _table(browser).row.key == "4203"
    assert "new (t)" not in browser.text


@pytest.mark.parametrize("key", ["t", "G", "j", "pagedown"])
async def test_a_held_tail_continues_by_the_keys_that_lead_down(browser, key):
    await browser.press("t")
    await browser.press("space")
    await _append(browser, 3)
    await browser.press(key)
    assert _table(browser).row.key == "3002"
    await _append(browser, 1)
    assert _table(browser).row.key == "3003"


async def test_a_click_on_the_bar_goes_to_what_is_new(browser):
    await browser.press("t")
    await browser.press("k")
    await _append(browser, 7)
    await browser.pilot.click("JumpBar")
    await browser.settle()
    assert _table(browser).row.key == "3006"


async def test_more_than_is_kept_may_come_while_the_tail_is_held(browser):
    await browser.press("t")
    await browser.press("space")
    await _append(browser, 3 * KEPT)
    assert _keys(browser)[-1] == "2999"
    assert "▼ 6,000 new (t)" in browser.text
    await browser.press("t")
    assert (_keys(browser)[0], _keys(browser)[-1]) == ("7000", "8999")


async def test_only_what_passes_the_filter_counts_as_new(browser):
    await browser.press("t")
    await browser.press("space", "slash", *"value 301", "enter")
    await _append(browser, 20)
    assert "▼ 10 new (t)" in browser.text


async def test_what_comes_at_the_end_is_reported_to_who_browses_elsewhere(browser):
    await _go_to(browser, "100")
    assert "new (t)" not in browser.text
    await browser.run(1)
    assert " new (t)" in browser.text
    await browser.press("t")
    assert _table(browser).row.key == "2999"


async def test_space_says_that_there_is_nothing_to_hold(browser):
    await _go_to(browser, "100")
    await browser.press("space")
    assert "nothing to hold" in next(iter(browser.app._notifications)).message


async def test_going_up_from_the_first_row_reads_what_is_before_it(browser):
    await _go_to(browser, "1000")
    await browser.press("k")
    assert _table(browser).row.key == "999"
    assert _keys(browser)[0] == "800"
    await browser.press("g", "g")
    assert _table(browser).row.key == "799"


async def test_going_up_stops_at_the_start_of_the_log(browser):
    await _go_to(browser, "start")
    await browser.press("k", "g")
    assert _keys(browser)[0] == "0"
    assert _table(browser).row.key == "0"


@pytest.mark.parametrize(
    ("key", "minutes"),
    [
        ("less_than_sign", -1),
        ("left", -1),
        ("greater_than_sign", 1),
        ("right", 1),
        ("left_curly_bracket", -60),
        ("left_square_bracket", -60),
        ("right_curly_bracket", 60),
        ("right_square_bracket", 60),
        ("left_parenthesis", -1_440),
        ("right_parenthesis", 1_440),
    ],
)
async def test_keys_jump_by_time_from_the_record_under_the_cursor(browser, key, minutes):
    await _go_to(browser, "1500")
    await browser.press(key)
    assert _table(browser).row.key == str(1_500 + minutes)
    assert not browser.app.state.paused


@pytest.mark.parametrize(
    ("place", "offset"),
    [("@1h", 2_940), ("@14:00", 2_986), ("@2026-09-21T13:13:20", 2_939), ("start", 0), ("+5", 5), ("1,200", 1_200)],
)
async def test_the_box_takes_the_places_of_the_command_line(browser, place, offset):
    await _go_to(browser, place)
    assert _table(browser).row.key == str(offset)


@pytest.mark.parametrize("place", ["end", "@2027-01-01"])
async def test_the_end_and_the_future_are_the_tail(browser, place):
    await _go_to(browser, "5")
    await browser.press("o", *place, "enter")
    assert _table(browser).row.key == "2999"
    assert "Records tail" in browser.text


async def test_v_shows_text_then_bytes_then_json(browser):
    browser.app.source.log = [
        StoredRecord(
            value=b'{\n "user": "ada"\n}', offset=Offset(0), origin=OriginId(bytes(16)), sequence=SequenceNumber(1)
        )
    ]
    await browser.press("t")
    assert '{␊ "user": "ada"␊}' in browser.text
    await browser.press("v")
    assert "7b 0a 20 22 75" in browser.text
    await browser.press("v")
    assert '{"user":"ada"}' in browser.text
    assert "Records tail json" in browser.text
    await browser.press("v")
    assert '{␊ "user": "ada"␊}' in browser.text


async def test_the_reader_goes_to_the_next_record_and_the_one_before(browser):
    await _go_to(browser, "100")
    await browser.press("enter")
    assert isinstance(browser.app.screen, RecordReader)
    assert "value 100" in browser.text
    await browser.press("n", "n", "p")
    assert "Record 101" in browser.text
    assert "value 101" in browser.text
    await browser.press("escape")
    assert _table(browser).row.key == "101"


async def test_the_reader_says_where_there_is_no_further_record(browser):
    await browser.press("t")
    await browser.press("enter", "n")
    assert "no record after" in next(iter(browser.app._notifications)).message
    assert "Record 2,999" in browser.text


async def test_a_record_is_read_in_peace_while_others_come(browser):
    await browser.press("t")
    await browser.press("enter")
    await _append(browser, 5)
    await browser.press("p")
    assert "Record 2,998" in browser.text


@pytest.mark.parametrize("opened", [[], ["enter"]])
async def test_y_copies_the_value_and_shift_y_the_record(browser, opened):
    await _go_to(browser, "100")
    await browser.press(*opened, "y")
    assert browser.app.clipboard == "value 100"
    await browser.press("Y")
    copied = json.loads(browser.app.clipboard)
    assert (copied["value"], copied["offset"], copied["sequence"]) == ("value 100", 100, 101)


async def test_a_record_too_large_for_the_clipboard_is_reported_with_the_command(browser):
    browser.app.source.log = [
        StoredRecord(value=bytes(70_000), offset=Offset(0), origin=OriginId(bytes(16)), sequence=SequenceNumber(1))
    ]
    await browser.press("t")
    await browser.press("Y")
    assert "proglog consume 0" in next(iter(browser.app._notifications)).message


async def test_damage_is_a_row_and_what_follows_it_is_read(browser):
    browser.app.source.damaged = (1_010, 1_030)
    await _go_to(browser, "1000")
    assert "✖ damaged [" in browser.text
    assert "value 1030" in browser.text
    assert "value 1010" not in browser.text


async def test_keys_that_come_before_the_records_do_not_lead_away_from_the_tail(browser):
    await browser.press("t", "k", "k")
    assert _keys(browser)[0] == "2800"
    await browser.press("t")
    assert _table(browser).row.key == "2999"
    assert "Records tail" in browser.text


async def test_a_batch_of_more_records_than_are_kept_is_read_from_its_start(browser):
    browser.app.source.batch = KEPT + 500
    await _go_to(browser, "0")
    assert _keys(browser)[0] == "0"
    assert _table(browser).row.key == "0"


@pytest.fixture
def stand_in(world):
    """Has another member speak from now on."""

    def speaks(name: str) -> None:
        world.overrides = {"node": dataclasses.replace(world.snapshot().node, name=name)}

    return speaks


async def test_where_another_member_answers_the_tail_is_that_of_its_log(browser, stand_in):
    await browser.press("t")
    stand_in("node-b")
    browser.app.source.log = _records(500)  # offsets are its own
    await browser.run(1)
    await browser.settle()
    assert _table(browser).row.key == "499"
    assert [note.message for note in browser.app._notifications] == [
        "these are the records of node-b, with its offsets"
    ]


async def test_where_another_member_answers_records_continue_at_the_time_of_the_one_under_the_cursor(browser, stand_in):
    await _go_to(browser, "1500")
    assert _table(browser).row.key == "1500"
    stand_in("node-b")
    browser.app.source.log = [
        dataclasses.replace(record, offset=Offset(record.offset - 1_000)) for record in _records(3_000)[1_000:]
    ]
    await browser.run(1)
    await browser.settle()
    assert _table(browser).row.key == "500"
    assert _table(browser).row.source.value == b"value 1500"


async def _written(dash, directory):
    """Returns the file that comes into a directory."""
    for _ in range(1_000):
        files = [each for each in directory.iterdir() if each.suffix == ".jsonl"]
        if files:
            await dash.settle()
            return files[0]
        await asyncio.sleep(0.01)
    raise AssertionError("nothing was written")


async def test_marked_records_are_copied_and_exported(browser, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    await _go_to(browser, "0")
    await browser.press("g", "m", "m")
    assert browser.text.count("▪") == 2
    await browser.press("Y")
    copied = [json.loads(line)["offset"] for line in browser.app.clipboard.splitlines()]
    assert copied == [0, 1]
    await browser.press("e")
    written = await _written(browser, tmp_path)
    assert written.stat().st_mode & 0o777 == 0o600
    assert [json.loads(line)["offset"] for line in written.read_text().splitlines()] == [0, 1]
    assert "▪" not in browser.text


async def test_without_marks_what_the_filter_shows_is_exported(browser, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    await _go_to(browser, "0")
    shown = len(browser.app.screen._table.shown)
    await browser.press("e")
    written = await _written(browser, tmp_path)
    assert len(written.read_text().splitlines()) == shown


@given(
    st.one_of(
        st.binary(min_size=1, max_size=200),
        st.text(min_size=1, max_size=60).map(lambda text: text.encode("utf-8", "replace")),
    ),
    st.data(),
)
def test_the_marked_byte_is_marked_in_digits_and_text(value, data):
    at = data.draw(st.integers(0, len(value) - 1))
    record = StoredRecord(value=value, offset=Offset(0), origin=OriginId(bytes(16)), sequence=SequenceNumber(1))
    drawn = records.lines(record, Locale(), 100, cursor=at)
    dump = next(number for number, each in enumerate(drawn) if plain(each).startswith("as bytes"))
    below = [span.text for each in drawn[dump:] for span in each if span.role is Role.MATCH]
    assert below[0] == f"{value[at]:02x}"
    above = "".join(span.text for each in drawn[:dump] for span in each if span.role is Role.MATCH)
    char = value[at : at + 1]
    if char.isascii() and char.isalnum():
        assert above == char.decode()


def test_in_json_that_is_laid_out_anew_the_marked_byte_is_still_the_same():
    value = b'{ "a" : [1,\n 2], "b": "x y" }'
    record = StoredRecord(value=value, offset=Offset(0), origin=OriginId(bytes(16)), sequence=SequenceNumber(1))
    for at, byte in enumerate(value):
        drawn = records.lines(record, Locale(), 100, cursor=at)
        dump = next(number for number, each in enumerate(drawn) if plain(each).startswith("as bytes"))
        above = "".join(span.text for each in drawn[:dump] for span in each if span.role is Role.MATCH)
        assert above == chr(byte).strip()
