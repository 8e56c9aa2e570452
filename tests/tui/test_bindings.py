"""Every key of every action, pressed where it works: what it is to change was otherwise before."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cache
from typing import Any

import pytest

from proglog.record.record import StoredRecord
from proglog.tui.bindings import KEYMAP
from proglog.tui.screens.main import MainScreen
from proglog.tui.state import DashState, SnapshotArrived, reduce
from proglog.tui.tabs import Tab
from proglog.tui.widgets.live_table import LiveTable
from proglog.wire.model import MemberStatus
from tests.tui.conftest import NOW, Script, World
from tests.tui.walk import stored

RECORDS = 3_000
"""A record every 900 ms, the last one 45 minutes after the first."""


@dataclass(frozen=True)
class Case:
    """What an action is to do."""

    at: tuple[str, ...]
    """Keys from the panels at rest to where it works; ``*text`` is typed."""
    sees: Callable[[Any], object]
    """What of the dashboard it changes."""
    becomes: object
    """What that is afterwards."""


def screen(dash: Any) -> str:
    """Returns which screen is in front."""
    return type(dash.app.screen).__name__


def focus(dash: Any) -> str:
    """Returns what the keys go to."""
    return str(dash.app.focused.id)


def table(dash: Any) -> LiveTable:
    """Returns the table of the screen."""
    shown = dash.app.focused
    return shown if isinstance(shown, LiveTable) else dash.app.screen.query_one(LiveTable)


def cursor(dash: Any) -> int:
    """Returns which row the cursor is on."""
    return table(dash).cursor


def column(dash: Any) -> str:
    """Returns the heading of the column that the cursor is in."""
    return table(dash).columns[table(dash).column].title


def row(dash: Any) -> str:
    """Returns the key of the row under the cursor."""
    return table(dash).row.key


def top(dash: Any) -> float:
    """Returns how far the text of a box is scrolled."""
    return dash.app.screen.query_one("Page").scroll_offset.y


def said(dash: Any) -> str:
    """Returns the first word of the last message."""
    return [note.message for note in dash.app._notifications][-1].split()[0] if dash.app._notifications else ""


def copied(dash: Any) -> str:
    """Returns the start of the clipboard."""
    return dash.app.clipboard[:12]


def ended(dash: Any) -> bool:
    """Returns whether the dashboard was left."""
    return dash.app._exit


def second(dash: Any) -> int | None:
    """Returns which second is looked at; ``None``: the present."""
    return dash.app.state.frame_index


def files(pattern: str) -> Callable[[Any], bool]:
    """Returns whether there is such a file."""
    return lambda dash: bool(list(dash.where.glob(pattern)))


def tells(words: str) -> Callable[[Any], bool]:
    """Returns whether the screen has these words on it."""
    return lambda dash: words in dash.text


def picked(dash: Any) -> int:
    """Returns which action of the palette the cursor is on."""
    return dash.app.screen.query_one("#actions").cursor


def marked(dash: Any) -> int:
    """Returns which stretch of an origin is marked."""
    screen = dash.app.screen
    return screen._at(screen._stretches(dash.app.state))


TAIL = ("t",)
MIDDLE = ("t", "o", "*1500", "enter")
MEMBER = ("1", "enter")
LONG = ("f1",)
RECORD = (*MIDDLE, "enter")
SEGMENT = ("5", "G", "enter")

CASES: dict[str, Case] = {
    "app.pause": Case((), lambda dash: dash.app.state.paused, True),
    "app.back-1": Case((), second, 58),
    "app.forward-1": Case(("left_square_bracket",), second, 30),
    "app.back-30": Case((), second, 29),
    "app.forward-30": Case(("left_square_bracket", "left"), second, 58),
    "app.commands": Case((), screen, "Palette"),
    "app.save": Case((), files("proglog-node-a-*"), True),
    "app.bundle": Case((), files("*.tar.gz"), True),
    "app.alerts": Case((), screen, "Why"),
    "app.help": Case((), screen, "Reader"),
    "app.quit": Case((), ended, True),
    "app.interrupt": Case((), said, "Press"),
    "main.members": Case(("6",), focus, "members"),
    "main.throughput": Case((), focus, "throughput"),
    "main.replication": Case((), focus, "replication"),
    "main.copies": Case((), focus, "copies"),
    "main.segments": Case((), focus, "segments"),
    "main.events": Case((), focus, "events"),
    "main.next-event": Case((), said, "there"),
    "main.event-before": Case((), said, "there"),
    "main.seek": Case((), lambda dash: dash.app.screen.query_one("Input").display, True),
    "main.speed": Case((), lambda dash: dash.app.state.speed, 4),
    "main.severity": Case((), tells("6 Events · warnings"), True),
    "main.consumers": Case((), focus, "consumers"),
    "main.zoom": Case(("5",), tells("1 Members"), False),
    "main.filter": Case((), focus, "filter"),
    "main.mode": Case((), tells("by origins"), True),
    "main.watch": Case(("1", "down"), lambda dash: dash.app.state.target, "10.0.0.2:8400"),
    "main.window-more": Case(("4", "z"), tells("last 5 min"), True),
    "main.window-less": Case(("4", "z", "plus"), tells("last 2 min"), True),
    "main.verify": Case(("5",), lambda dash: len(dash.app.source.verifying), 1),
    "main.tail": Case((), screen, "RecordsScreen"),
    "main.remove": Case(("1", "G"), screen, "Confirm"),
    "main.copy": Case(("1", "down"), copied, "node-b"),
    "main.copy-json": Case(("1", "down"), copied, '{"name": "no'),
    "main.back": Case(("5", "z"), tells("1 Members"), True),
    "main.quit": Case((), ended, True),
    "confirm.cancel": Case(("1", "G", "x"), screen, "MainScreen"),
    "palette.copy": Case(("colon", "*replication"), copied, "proglog lag "),
    "palette.back": Case(("colon",), screen, "MainScreen"),
    "palette.up": Case(("colon", "down", "down"), picked, 1),
    "palette.down": Case(("colon",), picked, 1),
    "app.jump": Case((), screen, "Jump"),
    "jump.stay": Case(("comma",), screen, "MainScreen"),
    "main.tab-next": Case((), lambda dash: dash.app.tabs.index(dash.app.tab), 1),
    "main.tab-before": Case((), lambda dash: dash.app.tabs.index(dash.app.tab), 1),
    "copies.next": Case(("3", "enter"), marked, 1),
    "copies.previous": Case(("3", "enter", "n"), marked, 0),
    "copies.open": Case(("3", "enter"), screen, "RecordsScreen"),
    "record.byte-next": Case(RECORD, tells("byte 1 is 0x61"), True),
    "record.byte-before": Case((*RECORD, "l"), tells("byte 0 is 0x76"), True),
    "record.row-next": Case(RECORD, tells("byte 9 is"), True),
    "record.row-before": Case((*RECORD, "J"), tells("byte 0 is"), True),
    "screen.next": Case((), focus, "replication"),
    "screen.previous": Case(("2",), focus, "members"),
    "table.up": Case(("1", "down"), cursor, 0),
    "table.down": Case(("1",), cursor, 1),
    "table.left": Case(("1", "l"), column, "MEMBER"),
    "table.right": Case(("1",), column, "STATUS"),
    "table.half-up": Case((*MIDDLE, "pagedown"), row, "1517"),
    "table.half-down": Case(MIDDLE, row, "1517"),
    "table.page-up": Case((*MIDDLE, "pagedown", "down"), row, "1501"),
    "table.page-down": Case(MIDDLE, row, "1534"),
    "table.first": Case(("1", "down", "down"), cursor, 0),
    "table.last": Case(("1",), cursor, 2),
    "table.open": Case(("1",), screen, "Reader"),
    "table.sort": Case(("1",), tells("MEMBER▴"), True),
    "table.reverse": Case(("1",), tells("MEMBER▾"), True),
    "browser.back": Case(TAIL, screen, "MainScreen"),
    "browser.filter": Case(TAIL, lambda dash: dash.app.screen.query_one("Input").display, True),
    "records.tail": Case(MIDDLE, row, str(RECORDS - 1)),
    "records.goto": Case(TAIL, lambda dash: dash.app.screen.query_one("Input").display, True),
    "records.hex": Case(MIDDLE, tells("76 61 6c 75 65"), True),
    "records.mark": Case(MIDDLE, tells("▪"), True),
    "records.export": Case(MIDDLE, files("*.jsonl"), True),
    "records.copy": Case(MIDDLE, copied, "value 1500"),
    "records.copy-json": Case(MIDDLE, copied, '{"schema": "'),
    "records.minute-back": Case(MIDDLE, row, "1434"),
    "records.minute-forward": Case(MIDDLE, row, "1567"),
    "records.hour-back": Case(MIDDLE, row, "0"),
    "records.hour-forward": Case(MIDDLE, row, str(RECORDS - 1)),
    "records.day-back": Case(MIDDLE, row, "0"),
    "records.day-forward": Case(MIDDLE, row, str(RECORDS - 1)),
    "segment.verify": Case(SEGMENT, lambda dash: len(dash.app.source.verifying), 1),
    "reader.back": Case(MEMBER, screen, "MainScreen"),
    "reader.copy": Case(MEMBER, lambda dash: "node-a" in dash.app.clipboard, True),
    "reader.up": Case((*LONG, "down", "down"), top, 1),
    "reader.down": Case(LONG, top, 1),
    "reader.page-up": Case((*LONG, "end"), lambda dash: dash.bottom - top(dash) > 3, True),
    "reader.page-down": Case(LONG, lambda dash: top(dash) > 3, True),
    "reader.top": Case((*LONG, "down", "down"), top, 0),
    "reader.bottom": Case(LONG, lambda dash: top(dash) == dash.bottom, True),
    "record.next": Case(RECORD, tells("Record 1,501"), True),
    "record.previous": Case((*RECORD, "n"), tells("Record 1,500"), True),
    "record.copy-json": Case(RECORD, copied, '{"schema": "'),
    "why.next": Case(("a",), tells("▎ ✖ node-c failed"), True),
    "why.previous": Case(("a", "n"), tells("▎ ✖ node-a disk has 0% free"), True),
    "why.jump": Case(("a",), focus, "segments"),
}


@cache
def _log() -> list[StoredRecord]:
    """Returns records of the past: the last one is of now."""
    records = stored([b"value %d" % index for index in range(RECORDS)])
    return [replace(record, timestamp_ms=record.timestamp_ms - RECORDS * 900) for record in records]


@cache
def _after_a_minute() -> DashState:
    """Returns the state after a minute in which one member failed and a disk is full: made once, it never changes."""
    world = World()
    world.overrides["log"] = replace(world.snapshot().log, disk_free_bytes=1)
    world.status["node-c"] = MemberStatus.FAILED
    world.lag["node-b"] = 300
    state = DashState(target=Script.target, now=NOW)
    for world.second in range(1, 61):
        state = reduce(state, SnapshotArrived(world.snapshot(), NOW + world.second))
    return state


def test_every_action_has_its_case():
    assert CASES.keys() == KEYMAP.actions.keys()


@pytest.mark.parametrize(
    ("name", "key"), [(name, key) for name in CASES for key in KEYMAP.actions[name].keys], ids=lambda part: part
)
async def test_a_key_does_what_it_says(open_dash, world, tmp_path, monkeypatch, name, key):
    monkeypatch.chdir(tmp_path)
    case = CASES[name]
    async with open_dash((140, 40)) as dash:
        dash.where = tmp_path
        dash.app.allow_writes = True
        dash.app.source.log = _log()
        world.second, dash.app.state = 60, _after_a_minute()
        if name.startswith("main.tab"):
            dash.app.tabs.append(Tab("lab", Script(), _after_a_minute()))
        dash.app.mark_dirty()
        await dash.settle()
        assert isinstance(dash.app.screen, MainScreen)
        for step in case.at:
            await dash.press(*(step[1:] if step[0] == "*" else [step]))
        if case.at[:1] == LONG:
            dash.bottom = dash.app.screen.query_one("Page").max_scroll_y
        if "colon" in case.at:
            await dash.app.workers.wait_for_complete()
            await dash.settle()
        assert case.sees(dash) != case.becomes
        await dash.press(key)
        if name in {"app.save", "app.bundle"}:
            await dash.app.workers.wait_for_complete()
        for _ in range(500 if name == "records.export" else 0):
            if case.sees(dash) == case.becomes:
                break
            await asyncio.sleep(0.01)
        assert case.sees(dash) == case.becomes
