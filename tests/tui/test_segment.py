"""From the log to a segment, to a batch, to a record, and back."""

import asyncio
import dataclasses
from dataclasses import replace

import pytest

from proglog.errors import OverloadedError
from proglog.observe.frame import Frame
from proglog.record.record import StoredRecord
from proglog.tui.panels.segments import table as segments
from proglog.tui.panels.segments import verification
from proglog.tui.screens.browser import KEPT
from proglog.tui.screens.main import MainScreen
from proglog.tui.screens.record import RecordReader
from proglog.tui.screens.records import RecordsScreen
from proglog.tui.screens.segment import SegmentScreen
from proglog.tui.widgets.live_table import LiveTable
from proglog.types import Offset, OriginId, SequenceNumber
from proglog.wire.model import DamagedRange, Verified
from tests.tui.conftest import NOW

SIZES = [(140, 40), (80, 24), (40, 12)]


def _records(count: int) -> list[StoredRecord]:
    return [
        StoredRecord(
            value=b"value %d" % index, timestamp_ms=1_790_000_000_000, offset=Offset(index), origin=OriginId(bytes(16)),
            sequence=SequenceNumber(index + 1),
        )
        for index in range(count)
    ]  # fmt: skip


def _keys(dash) -> list[str]:
    return [row.key for row in dash.app.screen.query_one(LiveTable)._arranged]


async def _open(dash) -> None:
    """Opens the oldest segment."""
    dash.app.source.log = _records(4_000)
    await dash.run(3)
    await dash.press("5")
    await dash.press("G", "enter")
    await dash.settle()


async def test_enter_on_a_segment_shows_its_facts_and_its_batches(open_dash):
    async with open_dash((120, 30)) as dash:
        await _open(dash)
        assert isinstance(dash.app.screen, SegmentScreen)
        assert "Segments > [0 … 4,000)" in dash.text
        assert "4,000 records in 401 batches" in dash.text
        assert "index ok, 160 B" in dash.text
        assert "[0 … 10)" in dash.text
        assert "1.1 kB" in dash.text


async def test_batches_are_read_as_far_as_somebody_looks(open_dash):
    async with open_dash((120, 30)) as dash:
        await _open(dash)
        assert len(_keys(dash)) < 250
        for _ in range(3):
            await dash.press("G")
        assert _keys(dash)[-1] == "3990"
        assert len(_keys(dash)) <= KEPT


async def test_the_batches_of_a_segment_that_grows_come_as_it_does_and_end_where_it_is_sealed(open_dash, world):
    async with open_dash((120, 30)) as dash:
        await dash.run(3)
        *sealed, active = world.snapshot().segments
        begins = active.base_offset
        grown = [dataclasses.replace(active, end_offset=Offset(begins + 10 * count), active=True) for count in (2, 5)]
        following = dataclasses.replace(active, base_offset=grown[1].end_offset)
        ended = dataclasses.replace(grown[1], active=False)
        world.overrides = {"segments": (*sealed, grown[0])}
        await dash.run(1)
        await dash.press("5", "g", "enter")
        await dash.settle()
        assert f"Segments > from {begins:,}" in dash.text
        assert _keys(dash) == [str(begins), str(begins + 10)]
        for segments in ((*sealed, grown[1]), (*sealed, ended, following)):
            world.overrides = {"segments": segments}
            await dash.run(1)
            await dash.settle()
            assert _keys(dash) == [str(begins + 10 * index) for index in range(5)]


async def test_one_goes_down_to_a_record_and_up_again_a_level_at_a_time(open_dash):
    async with open_dash((120, 30)) as dash:
        await _open(dash)
        await dash.press("j", "j", "enter")
        assert isinstance(dash.app.screen, RecordsScreen)
        assert "Segments > [0 … 4,000) > batch 20" in dash.text
        assert _keys(dash)[0] == "20"
        await dash.press("j", "enter")
        assert isinstance(dash.app.screen, RecordReader)
        assert "[0 … 4,000) > batch 20 > Record 21" in dash.text
        for screen in (RecordsScreen, SegmentScreen, MainScreen):
            await dash.press("escape")
            assert isinstance(dash.app.screen, screen)


async def test_a_filter_finds_batches_by_the_text_of_their_row(open_dash):
    async with open_dash((120, 30)) as dash:
        await _open(dash)
        await dash.press("slash", *"121", "enter")
        assert _keys(dash) == ["120", "1120"]
        await dash.press("escape")
        assert len(_keys(dash)) > 100


async def test_a_damaged_part_is_a_row_and_the_batches_behind_it_are_listed(open_dash):
    async with open_dash((120, 30)) as dash:
        dash.app.source.damaged = (30, 50)
        await _open(dash)
        assert "✖ damaged [30 … 50)" in dash.text
        assert _keys(dash)[:5] == ["0", "10", "20", "damaged-30", "50"]


async def test_a_segment_that_retention_removes_says_so(open_dash, world):
    async with open_dash((120, 30)) as dash:
        await _open(dash)
        world.overrides = {"segments": world.snapshot().segments[1:]}
        await dash.run(1)
        assert "not there any more" in dash.text


async def test_what_an_agent_says_of_a_segment_is_not_obeyed(open_dash, world):
    async with open_dash((120, 30)) as dash:
        await _open(dash)
        hostile = [
            dataclasses.replace(segment, max_timestamp_ms=2**62, first_timestamp_ms=-(2**62), bytes=2**64)
            for segment in world.snapshot().segments
        ]
        world.overrides = {"segments": tuple(hostile)}
        await dash.run(1)
        assert "\x1b" not in dash.text


@pytest.mark.parametrize("size", SIZES)
async def test_the_screen_of_a_segment(open_dash, golden, size):
    async with open_dash(size) as dash:
        dash.app.source.damaged = (30, 50)
        await _open(dash)
        golden(f"segment-{size[0]}x{size[1]}", dash.text)


def _verified(share: float, *problems: DamagedRange, finished: bool = False) -> Verified:
    return Verified(
        bytes_done=round(1_024_000 * share), bytes_total=1_024_000, batches=round(401 * share), records=4_000,
        problems=problems, finished=finished,
    )  # fmt: skip


DAMAGE = DamagedRange(start_offset=30, end_offset=50, detail="00000000000000000000.log at byte 3,400: wrong checksum")


async def _tell(dash, told) -> None:
    dash.app.source.verified.put_nowait(told)
    await dash.settle()
    await dash.settle()


async def test_shift_v_verifies_the_segment_under_the_cursor_and_tells_how_far_it_is(open_dash):
    async with open_dash((140, 40)) as dash:
        await dash.run(3)
        await dash.press("5")
        await dash.press("z")
        await dash.press("G", "V")
        assert dash.app.source.verifying == [0]
        await _tell(dash, _verified(0.42))
        assert "42% read" in dash.text
        assert "42% of 1.0 MB, 168 batches" in dash.text
        await _tell(dash, _verified(1, finished=True))
        assert "✓ whole" in dash.text
        assert "✓ verified 14:13:23: 401 batches" in dash.text


async def test_a_verification_continues_when_its_screen_is_left(open_dash):
    async with open_dash((120, 30)) as dash:
        await _open(dash)
        await dash.press("V")
        await _tell(dash, _verified(0.5))
        assert "50% of 1.0 MB" in dash.text
        await dash.press("escape")
        await _tell(dash, _verified(1, DAMAGE, finished=True))
        await dash.press("enter")
        assert "1 damaged, 401 batches whole" in dash.text
        assert "✖ 00000000000000000000.log at byte 3,400" in dash.text


async def test_one_verification_runs_at_a_time(open_dash):
    async with open_dash((120, 30)) as dash:
        await _open(dash)
        await dash.press("V", "V")
        assert dash.app.source.verifying == [0]
        assert "one at a time" in next(iter(dash.app._notifications)).message


async def test_why_a_verification_stopped_is_reported_and_it_may_begin_again(open_dash):
    async with open_dash((120, 30)) as dash:
        await _open(dash)
        await dash.press("V")
        await _tell(dash, OverloadedError("somebody else's verification runs [/]\x1b[2J"))
        assert "▲ verifying stopped: somebody else's verification runs [/]␛[2J" in dash.text
        await dash.press("V")
        assert dash.app.source.verifying == [0, 0]


async def test_what_is_repaired_is_verified_once_more(open_dash, world, monkeypatch, eventually):
    monkeypatch.setattr(verification, "REPAIR_SECONDS", 0.02)
    async with open_dash((120, 30)) as dash:
        await _open(dash)
        log = world.snapshot().log
        world.overrides = {"log": dataclasses.replace(log, damaged=(DAMAGE,))}
        await dash.run(1)
        await dash.press("V")
        await _tell(dash, _verified(1, DAMAGE, finished=True))
        await asyncio.sleep(0.1)
        assert dash.app.source.verifying == [0]  # it is damaged still

        elsewhere = dataclasses.replace(DAMAGE, start_offset=4_000, end_offset=4_010)
        world.overrides = {"log": dataclasses.replace(log, damaged=(elsewhere,))}
        await dash.run(1)
        await eventually(lambda: dash.app.source.verifying == [0, 0])
        await _tell(dash, _verified(1, DAMAGE, finished=True))
        await asyncio.sleep(0.1)
        assert dash.app.source.verifying == [0, 0]  # what no repair mends is no reason to go on
        assert "1 damaged" in dash.text


async def test_the_segments_of_a_stand_in_are_not_taken_for_those_of_the_agent(open_dash, world):
    async with open_dash((120, 30)) as dash:
        await _open(dash)
        await dash.press("V")
        await _tell(dash, _verified(1, finished=True))
        assert "✓ verified" in dash.text
        world.overrides = {"node": dataclasses.replace(world.snapshot().node, name="node-b")}
        await dash.run(1)
        assert "node-b is watched now; this is a segment of node-a" in dash.text
        await dash.press("V")
        assert dash.app.source.verifying == [0]
        assert "▲ verifying stopped: another node is watched now" in dash.text
        await dash.press("escape")
        assert "whole" not in dash.text
        assert "verified" not in dash.text
        assert "verifying" not in dash.text

        world.overrides = {}
        await dash.run(1)
        await dash.press("enter")
        await dash.settle()
        assert "4,000 records in 401 batches" in dash.text
        assert _keys(dash)[:2] == ["0", "10"]


async def test_there_is_nothing_to_verify_but_segments(open_dash):
    async with open_dash((120, 30)) as dash:
        await dash.run(1)
        await dash.press("V")
        assert "expected a segment" in next(iter(dash.app._notifications)).message


@pytest.mark.parametrize("size", SIZES)
async def test_a_verification_that_runs_ends_well_and_finds_damage(open_dash, golden, size):
    async with open_dash(size) as dash:
        await _open(dash)
        await dash.press("V")
        shown = []
        for told in (_verified(0.42, DAMAGE), _verified(1, finished=True)):
            await _tell(dash, told)
            shown.append(dash.text)
        await dash.press("V")
        await _tell(dash, _verified(1, *[DAMAGE] * 7, finished=True))
        golden(f"verify-{size[0]}x{size[1]}", "\n\n".join([*shown, dash.text]))


async def test_keys_that_come_before_a_screen_is_built_or_after_do_no_harm(open_dash):
    async with open_dash((40, 12)) as dash:
        dash.app.source.log = _records(300)
        await dash.run(1)
        for keys in ("t/v", "tq4", "to-", "t?yY", "tGgk"):
            for key in keys:
                dash.app.simulate_key({"/": "slash", "?": "question_mark", "-": "minus"}.get(key, key))
            await dash.settle()
            await dash.press("escape", "escape", "escape", "escape")
        assert dash.app.is_running


@pytest.mark.parametrize(
    ("seconds", "used", "words"),
    [
        (30, 5 * 10**9, ""),
        (100, 0, "not filling"),
        (100, -(10**9), "not filling"),
        (100, 10**9, "full in about 1 h 45 min"),
        (100, 1, "not filling"),
    ],
)
def test_a_disk_that_fills_is_said_to_and_when(world, seconds, used, words):
    frames = []
    for second in range(seconds + 1):
        world.second = second
        snapshot = world.snapshot()
        free = 64 * 10**9 - used * second // seconds
        frames.append(
            Frame.of(replace(snapshot, log=replace(snapshot.log, disk_free_bytes=free)), at=NOW + second, live=True)
        )
    assert segments.filling(frames) == words
    assert segments.filling([]) == ""
