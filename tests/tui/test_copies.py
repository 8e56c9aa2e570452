"""The panel of copies: whatever the number of members, what is missing is drawn where it is missing."""

import re
from dataclasses import replace

import pytest

from proglog.client.offset_spec import OffsetSpec
from proglog.observe.copies import Word, picture
from proglog.observe.spans import Locale, plain
from proglog.replication.progress import Progress
from proglog.tui.panels.copies import columns, page
from proglog.tui.state import DashState, SnapshotArrived, reduce
from proglog.tui.table import column_widths, render_cells
from proglog.types import OriginId, SequenceNumber
from proglog.wire.model import MemberStatus

NOW = 1_790_000_000.0
ALIVE, FAILED = MemberStatus.ALIVE, MemberStatus.FAILED
ORIGIN = OriginId(b"o" * 16)


def _held(following: int = 1_002, floor: int = 1, gaps=(), damaged=()) -> Progress:
    return Progress(
        ORIGIN,
        SequenceNumber(following),
        floor_sequence=SequenceNumber(floor),
        node_name="node-00",
        gaps=gaps,
        damaged=damaged,
    )


def _state(world, *held: Progress, failed: int = 0, settled: int | None = None) -> DashState:
    words = [
        Word(
            name=f"node-{number:02}",
            status=FAILED if number >= len(held) - failed else ALIVE,
            word_ms=12_000 if number >= len(held) - failed else 0,
            origins={ORIGIN: each},
        )
        for number, each in enumerate(held)
    ]
    copies = picture(words, {} if settled is None else {ORIGIN: settled})
    origin = replace(world.snapshot().origins[0], origin=ORIGIN, node_name="node-00", next_sequence=1_002)
    snapshot = replace(world.snapshot(), copies=copies, origins=(origin,))
    return reduce(DashState(target="a", now=NOW), SnapshotArrived(snapshot, NOW))


def _drawn(state: DashState, width: int, *, ascii_only: bool = False) -> list[str]:
    locale = Locale(ascii_only=ascii_only)
    shown, rows = columns.columns(state, locale, width), columns.table_rows(state, locale, width)
    return [plain(render_cells(row.cells, shown, column_widths(shown, width))) for row in rows]


def _titles(state: DashState, width: int) -> list[str]:
    return [column.title for column in columns.columns(state, Locale(), width)][2:]


def test_what_all_hold_is_filled_from_end_to_end(world):
    (row,) = _drawn(_state(world, _held(), _held(), _held()), 100)
    assert row.split()[2:] == ["3", "of", "3", *["█" * 16, "1.0k"] * 3]


def test_what_is_missing_damaged_lost_trimmed_or_in_flight_has_its_own_shape(world):
    here = _held(1_002, floor=200, damaged=((400, 410),))
    there = _held(902, gaps=((1, 200), (400, 405)))
    (row,) = _drawn(_state(world, here, there, settled=952), 80)
    assert "✖ 0 of 2" in row
    cells = row.split()[6:]
    assert cells[0] == "████✖" + "█" * (len(cells[0]) - 5)
    assert {"∅", "░", "≈"} < set(cells[2])
    assert cells[1] == "-10"
    assert cells[3] == "-55"
    ascii_row = _drawn(_state(world, here, there, settled=952), 80, ascii_only=True)[0]
    assert ascii_row.isascii()
    assert "x 0 of 2" in ascii_row


def test_one_damaged_record_of_a_million_is_seen(world):
    state = _state(world, _held(1_000_002, damaged=((500_000, 500_001),)), _held(1_000_002))
    (row,) = _drawn(state, 100)
    assert row.count("✖") == 1
    assert "▲ 1 of 2" in row


def test_a_failed_member_keeps_its_column_with_its_age(world):
    state = _state(world, _held(), _held(), _held(502), failed=1)
    assert _titles(state, 136)[2] == "node-02 ✖ failed, as of 12 s ago"
    (row,) = _drawn(state, 136)
    assert "▲ 2 of 3" in row
    assert row.rstrip().endswith("-500")
    assert row.count("░") > 5


@pytest.mark.parametrize("nodes", [1, 2, 5, 6, 12, 13, 50])
@pytest.mark.parametrize("width", [136, 76, 36])
def test_the_count_of_copies_stays_however_narrow_it_is_and_who_lacks_is_named(world, nodes, width):
    held = [_held() for _ in range(nodes - 1)] + [_held(900 if nodes > 1 else 1_002)]
    state = _state(world, *held)
    (row,) = _drawn(state, width)
    assert f"{max(nodes - 1, 1)} of {nodes}" in row
    if nodes > 12 and width > 40:
        assert _titles(state, width) == ["LACKING AT"]
        assert f"node-{nodes - 1:02} -102" in row


def test_the_page_of_an_origin_says_who_has_what_and_what_brings_it_back(world):
    state = _state(world, _held(), _held(), _held(1_302), failed=1)
    text = "\n".join(plain(each) for each in page.lines(ORIGIN, state, Locale(), 100))
    assert "[1,002 … 1,302)  300 records" in text
    assert "█ held at node-02" in text
    assert "░ missing at node-00, node-01" in text
    assert "Start a member that holds it again, with its directory" in text


async def test_enter_opens_the_page_and_the_frame_says_the_verdict(open_dash):
    async with open_dash((140, 40)) as dash:
        await dash.run(5)
        assert "3 Copies · every record on 3 of 3" in dash.text
        await dash.press("3", "enter")
        assert "every member holds every record of it" in dash.text


def test_a_record_says_which_members_hold_it(world):
    from proglog.record.record import StoredRecord
    from proglog.tui.views import records
    from proglog.types import Offset

    state = _state(world, _held(), _held(502, damaged=((40, 60),)), _held(302), failed=1)
    record = StoredRecord(
        value=b"x" * 400,
        key=None,
        timestamp_ms=0,
        headers=(),
        offset=Offset(1),
        origin=ORIGIN,
        sequence=SequenceNumber(50),
    )
    text = "\n".join(plain(each) for each in records.lines(record, Locale(), 100, state.shown))
    assert "held by    ✓ node-00  ✖ node-01 damaged  ✓ node-02 (failed)" in text
    assert text.count("x") >= 400
    assert "origin     node-00 6f6f" in text


async def test_enter_on_a_stretch_shows_its_records(open_dash, world):
    async with open_dash((140, 40)) as dash:
        await dash.run(3)
        world.lag["node-b"] = 900
        await dash.run(3)
        await dash.press("3", "g", "enter")
        assert "░ missing at node-a" in dash.text
        assert "every member holds every record of it" in dash.text
        await dash.press("n", "n")
        marked = re.search(r"▎ \[([\d,]+) … ([\d,]+)\)  [\d,]+ records", dash.text)
        assert marked is not None
        asked = []
        original = type(dash.app.source).records
        dash.app.source.records = lambda start: (
            asked.append(start) or original(dash.app.source, OffsetSpec.before_end(1))
        )
        await dash.press("enter")
        origin = next(each.origin for each in world.snapshot().origins if each.node_name == "node-b")
        assert (asked[0].origin, asked[0].start) == (origin, 2)
        assert asked[0].end == int(marked[2].replace(",", ""))
        assert "Copies of node-b" in dash.text
