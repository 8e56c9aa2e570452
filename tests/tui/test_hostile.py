"""Whatever an agent, a peer or a producer says: it is shown, never obeyed. Every screen, down to the terminal's bytes."""

import asyncio
import dataclasses
import re
import sys
import unicodedata
from collections import Counter
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from rich.cells import cell_len

import proglog.client
from kit.terminal import ESCAPE, Terminal
from proglog.agent.writer import LogWriter
from proglog.errors import OverloadedError
from proglog.log.config import LogConfig
from proglog.log.log import Log
from proglog.observe.spans import Line, Locale, plain, width_of
from proglog.record.record import Record, StoredRecord
from proglog.security.authorizer import AllowAll
from proglog.server.server import Server
from proglog.tui import removal
from proglog.tui.panels.copies import columns as copies_columns
from proglog.tui.panels.events import columns as event_columns
from proglog.tui.panels.events import table as events
from proglog.tui.panels.members import columns as member_columns
from proglog.tui.panels.members import page as member
from proglog.tui.panels.members import table as members
from proglog.tui.panels.replication import columns as replication_columns
from proglog.tui.panels.replication import table as replication
from proglog.tui.panels.segments import batches, verification_view
from proglog.tui.panels.segments import columns as segment_columns
from proglog.tui.panels.segments import table as segments
from proglog.tui.panels.segments.verification import SegmentId, Verification
from proglog.tui.screens import confirm
from proglog.tui.screens.confirm import Confirm
from proglog.tui.screens.main import MainScreen
from proglog.tui.state import DashState, SnapshotArrived, reduce
from proglog.tui.table import column_widths, render_cells
from proglog.tui.views import alerts, header, help_page, records
from proglog.types import NodeName, Offset, OriginId, SequenceNumber
from proglog.wire.model import ClusterSnapshot, DamagedRange, MemberStatus, Verified
from tests.tui.poison import NASTY, poison_world, poisoned
from tests.tui.walk import SCREENS, home

INVISIBLE = {"Cc", "Cf", "Cs", "Zl", "Zp"}
"""Unicode's categories of what is a command, or has no shape."""
LINE = b"\x1b[31m[@click=app.quit]\x00\xe2\x80\xae" * 40_000
"""A mebibyte without a newline."""


def assert_harmless(dash) -> None:
    """Everything that goes to the terminal is printable, as wide as the screen, and carries no link and no action."""
    width, _ = dash.app.size
    for strip in dash.app.screen._compositor.render_strips():
        assert sum(cell_len(segment.text) for segment in strip) == width
        for segment in strip:
            bad = [char for char in segment.text if unicodedata.category(char) in INVISIBLE]
            assert not bad, f"{bad!r} in {segment.text!r}"
            assert segment.style is None or segment.style.link is None
            meta = segment.style.meta if segment.style is not None else {}
            assert not any(str(key).startswith("@") and "quit" in str(value) for key, value in meta.items())


def assert_printable(lines: Sequence[Line], ascii_only: bool) -> None:
    """Nothing in lines is a command; on a terminal without Unicode all of it is ASCII."""
    for char in "".join(map(plain, lines)):
        assert unicodedata.category(char) not in INVISIBLE
        assert not ascii_only or char.isascii() or char == "…"  # what paints a line that was cut replaces that


def _record(index: int, value: bytes) -> StoredRecord:
    return StoredRecord(
        value=value, key=value, timestamp_ms=2**62, headers=(("[/]\x1b", value), ("\u202e", value)),
        offset=Offset(index), origin=OriginId(bytes(16)), sequence=SequenceNumber(index + 1),
    )  # fmt: skip


def _records() -> list[StoredRecord]:
    values = [text.encode("utf-8", "surrogatepass") for text in NASTY]
    values += [bytes(range(256)), b"[/]" * 10_000, b"\0" * 3_000, b"\xff\xfe\xc0\x80", LINE, b'{"a": "\x1b[31m"}']
    return [_record(index, value) for index, value in enumerate(values)]


@pytest.mark.parametrize(("size", "seed"), [((80, 24), 1), ((10, 3), 3)])
async def test_no_screen_obeys_a_hostile_cluster(open_dash, world, size, seed):
    async with open_dash(size) as dash:
        dash.app.source.log = _records()
        await dash.run(2)
        poison_world(world, seed)
        await dash.run(2)
        await dash.lose(1, error=NASTY[7 + seed])
        assert_harmless(dash)
        for keys in SCREENS.values():
            await dash.press(*keys)
            assert_harmless(dash)
            await home(dash)
        assert dash.app.is_running
        assert dash.app.clipboard == ""


async def test_no_record_is_obeyed(open_dash):
    async with open_dash((100, 30)) as dash:
        dash.app.source.log = _records()
        await dash.run(1)
        await dash.press("t")
        assert_harmless(dash)
        await dash.press("enter")
        for _ in dash.app.source.log:
            assert_harmless(dash)
            await dash.press("p")
        assert "Record 0 " in dash.text
        assert dash.app.clipboard == ""
        await dash.press("escape")
        await dash.press("y")
        assert not any(unicodedata.category(char) in INVISIBLE for char in dash.app.clipboard)


async def test_no_question_obeys_the_name_it_asks_about(open_dash, world):
    async with open_dash((140, 40)) as dash:
        dash.app.allow_writes = True
        await dash.run()
        member = dataclasses.replace(world.snapshot().members[-1], status=MemberStatus.FAILED)
        for name in NASTY[2::6]:
            dash.app.remove_member(dataclasses.replace(member, name=name))
            await dash.settle()
            assert isinstance(dash.app.screen, Confirm)
            assert_harmless(dash)
            await dash.press("x", "enter")
            assert "nothing was done" in dash.text
            assert_harmless(dash)
            await dash.press("escape")
        assert isinstance(dash.app.screen, MainScreen)


PROBLEMS = tuple(
    DamagedRange(start_offset=index, end_offset=2**64 - index, detail=detail) for index, detail in enumerate(NASTY)
)
FOUND = (
    Verified(bytes_done=2**63, bytes_total=1, batches=2**63, records=2**63, problems=PROBLEMS, finished=True),
    Verified(bytes_done=0, bytes_total=0, batches=0, records=0, problems=PROBLEMS[:1], finished=True),
)


async def test_nothing_that_a_verification_finds_is_obeyed(open_dash):
    async with open_dash((40, 12)) as dash:
        await dash.run(3)
        await dash.press(*SCREENS["segment"])
        for told in (*FOUND, *map(OverloadedError, NASTY[2::12])):
            await dash.press("V")
            dash.app.source.verified.put_nowait(told)
            await dash.settle()
            assert_harmless(dash)
            await dash.press("escape")
            assert_harmless(dash)
            await dash.press("enter")
        assert dash.app.clipboard == ""


TEXTS = st.lists(st.text(max_size=40) | st.sampled_from(NASTY), min_size=1, max_size=5)


def _state(snapshot: ClusterSnapshot) -> DashState:
    state = DashState(target="x:1", now=1_790_000_000.0)
    for second in range(3):
        state = reduce(state, SnapshotArrived(snapshot, 1_790_000_000.0 + second))
    return state


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(texts=TEXTS, seed=st.integers(0, 999), width=st.integers(1, 160), ascii_only=st.booleans())
def test_whatever_is_said_fits_and_is_printable(world, texts: list[str], seed: int, width: int, ascii_only: bool):
    snapshot = poisoned(world.snapshot(), seed, texts=texts)
    state, locale = _state(snapshot), Locale(ascii_only=ascii_only)
    tables = [
        (member_columns.COLUMNS, members.rows(state, locale)),
        (replication_columns.PEER_COLUMNS, replication.peer_rows(state, locale)),
        (replication_columns.ORIGIN_COLUMNS, replication.origin_rows(state, locale)),
        (copies_columns.columns(state, locale, width), copies_columns.table_rows(state, locale, width)),
        (segment_columns.COLUMNS, segments.rows(state, locale)),
        (event_columns.COLUMNS, events.rows(state, locale)),
    ]
    lines = [header.header_line(state, locale, width), header.health_line(state, locale, width)]
    assert all(width_of(line) == width for line in lines)
    for columns, rows in tables:
        widths = column_widths(columns, width)
        for row in rows:
            lines.append(render_cells(row.cells, columns, widths))
            assert width_of(lines[-1]) == sum(widths.values()) + 2 * (len(widths) - 1)
    lines += alerts.lines(state, locale, width)
    lines += [line for name in texts for line in member.lines(name, state, locale, width)]
    lines += [line for name in texts for line in _box_lines(name, state, locale, width)]
    assert_printable(lines, ascii_only)


def _box_lines(text: str, state: DashState, locale: Locale, width: int) -> list[Line]:
    """Returns what boxes and browsers say when a name, a value or an error is ``text``."""
    wanted = SegmentId(text, 0)
    return [
        *confirm.question(removal.CONSEQUENCES, text, "that is not its name", locale, max(width, 10)),
        *batches.facts(state, wanted, locale, width),
        *batches.facts(state, SegmentId(state.shown.node.name, state.shown.segments[0].base_offset), locale, None),
        *help_page.lines({}, help_page.HelpTopic(columns=member_columns.COLUMNS, value=""), state, locale, width),
        *help_page.lines({}, help_page.HelpTopic(columns=member_columns.COLUMNS, subject=text), state, locale, width),
    ]


@pytest.mark.parametrize("ascii_only", [False, True])
def test_whatever_a_verification_finds_is_printable(ascii_only: bool):
    locale, lines = Locale(ascii_only=ascii_only), []
    ended = [Verification(at=2.0**62, done=done) for done in FOUND]
    for each in [*ended, *(Verification(at=0.0, done=FOUND[0], error=error) for error in NASTY)]:
        lines += [verification_view.cell(each, locale), verification_view.summary(each, locale)]
        lines += verification_view.lines(each, locale)
    assert_printable(lines, ascii_only)


@pytest.mark.parametrize("mode", records.Mode)
@pytest.mark.parametrize("ascii_only", [False, True])
def test_no_row_of_a_record_is_more_than_text(mode: records.Mode, ascii_only: bool):
    locale, lines = Locale(ascii_only=ascii_only), []
    for width in (1, 40, 80, 140):
        widths = column_widths(records.COLUMNS, width)
        for record in _records():
            lines.append(render_cells(records.row(record, locale, mode).cells, records.COLUMNS, widths))
            assert width_of(lines[-1]) == sum(widths.values()) + 2 * (len(widths) - 1)
    assert_printable(lines, ascii_only)


@pytest.mark.parametrize("text", [*NASTY, '{"a": "\x1b[31m\\u001b]52;c;x\\u0007"}', "[" * 10_000, "x" * 200_000])
@pytest.mark.parametrize("ascii_only", [False, True])
def test_everything_about_a_record_is_printable(text: str, ascii_only: bool):
    record = _record(7, text.encode("utf-8", "surrogatepass"))
    locale = Locale(ascii_only=ascii_only)
    shown = "".join(map(plain, records.lines(record, locale, 40)))
    for char in shown + records.copied(record):
        assert unicodedata.category(char) not in INVISIBLE
    assert not ascii_only or shown.isascii()


async def test_a_click_on_hostile_markup_runs_nothing(open_dash, world):
    async with open_dash((220, 30)) as dash:
        await dash.run(1)
        member = dataclasses.replace(world.snapshot().members[0], name="[@click=app.quit]X[/]")
        world.overrides = {"members": (member,)}
        await dash.run(1)
        await dash.press("z")
        rows = dash.text.splitlines()
        y = next(index for index, text in enumerate(rows) if "app.quit" in text and index > 1)
        await dash.pilot.click(offset=(rows[y].index("X"), y))
        await dash.settle()
        assert dash.app.is_running
        assert "[@click=app.quit]X" in dash.text


async def test_what_is_copied_cannot_run_when_it_is_pasted(open_dash, world):
    async with open_dash((100, 24)) as dash:
        await dash.run(1)
        member = dataclasses.replace(world.snapshot().members[0], name="x\nrm -rf ~\n\x1b[201~")
        world.overrides = {"members": (member,)}
        await dash.run(1)
        await dash.press("y")
        assert dash.app.clipboard == "x␊rm -rf ~␊␛[201~"
        await dash.press("Y")
        assert "\n" not in dash.app.clipboard
        assert dash.app.clipboard.isascii()


class _View:
    """What an agent says, as often as it is asked."""

    version = 1

    def __init__(self, snapshot: ClusterSnapshot) -> None:
        self._snapshot = snapshot

    def snapshot(self, *, segments: bool) -> ClusterSnapshot:
        return self._snapshot if segments else dataclasses.replace(self._snapshot, segments=())

    def history(self) -> tuple[tuple[int, int, bytes], ...]:
        """Return nothing: it keeps none."""
        return ()

    def servers_alive(self) -> int:
        return 1

    async def wait_changed(self, version: int) -> int:
        await asyncio.Event().wait()
        return version


@asynccontextmanager
async def _serving(snapshot: ClusterSnapshot, values: Sequence[bytes], directory: Path) -> AsyncIterator[str]:
    """The real services on a log with these values, and an agent that says this."""
    async with LogWriter(Log.open(directory, LogConfig(), node_name=NodeName("x"))) as writer:
        server = Server(commit_log=writer, authorizer=AllowAll())
        addr = f"127.0.0.1:{await server.start('127.0.0.1:0', _View(snapshot))}"
        async with proglog.client.connect(addr) as client, client.producer() as producer:
            for value in values:
                await producer.send(Record(value=value, key=value[:1000], headers=(("h", value[:1000]),)))
        yield addr
        await server.stop(0)


POINTER = b"\x1b]22;default\x07"
"""The shape of the mouse pointer, which Textual sets."""
KEYS = (
    *("1z", "\x1b", "2z", "\x1b", "3z", "m", "m", "\x1b", "4z", "\x1b", "5z", "\x1b"),
    *("1\r", "\x1b", "a", "\x1b", "?", "\x1b", "t", "g", "\r", "\x1b", "k\r", "\x1b", "v", "\x1b"),
)
"""Through all screens of a real terminal; ``\\x1b`` is escape."""


async def _seen_by_a_terminal(snapshot: ClusterSnapshot, values: Sequence[bytes], directory: Path) -> bytes:
    """Return every byte that the dashboard writes while somebody looks at everything."""
    async with _serving(snapshot, values, directory) as addr:
        return await asyncio.to_thread(_look_at_everything, addr)


def _look_at_everything(addr: str) -> bytes:
    with Terminal([sys.executable, "-m", "proglog", "dash", "--addr", addr], columns=120, lines=30) as terminal:
        terminal.until(lambda text: "● live" in text and "Quit" in text)
        for keys in KEYS:
            before = len(terminal.output)
            terminal.send(keys)
            terminal.until(lambda _, before=before: len(terminal.output) > before)
            while terminal.read(0.08):
                pass
        assert terminal.left_by("q") == 0
        return bytes(terminal.output)


def _commands(output: bytes) -> Counter[bytes]:
    """Count the control sequences that are more than a colour, a place or the pointer, which is set as often as it moves."""
    plain_ones = re.compile(rb"\x1b\[[\d;]*m|\x1b\[\d+;\d+H|" + re.escape(POINTER))
    return Counter(each for each in ESCAPE.findall(output) if not plain_ones.fullmatch(each))


async def test_no_byte_of_what_others_say_commands_the_terminal(world, tmp_path: Path):
    texts = [text for text in NASTY if not any("\ud800" <= char <= "\udfff" for char in text)]
    world.second = 3
    harmless = await _seen_by_a_terminal(world.snapshot(), [b"hello", b"world"] * 10, tmp_path / "harmless")
    hostile = await _seen_by_a_terminal(
        poisoned(world.snapshot(), 5, texts=texts, numbers=False),
        [*(text.encode() for text in texts), bytes(range(256)), LINE],
        tmp_path / "hostile",
    )
    assert _commands(hostile) == _commands(harmless)
    titles_and_clipboards = {each for each in _commands(hostile) if each.startswith(b"\x1b]")}
    assert not titles_and_clipboards
    rest = ESCAPE.sub(b"", hostile).decode()
    assert "␛]52;c;" in rest, "it was seen"
    assert {char for char in rest if unicodedata.category(char) in INVISIBLE} <= {"\n", "\r"}
