"""Whatever an agent, a peer or a producer says: it is shown, never obeyed."""

import dataclasses
import random
import unicodedata

import pytest

from proglog.client.model import ClusterEvent, ClusterSnapshot, MemberStatus, PeerState
from proglog.record.record import StoredRecord
from proglog.tui.spans import Look, plain
from proglog.tui.views import records
from proglog.types import Offset, OriginId, Sequence

NASTY = (
    "[/]",
    "[/x]",
    "[red]hot",
    "[@click=app.quit]click[/]",
    "[link=file:///etc/passwd]x[/link]",
    "$error [$primary]",
    "\x1b]0;title\x07",
    "\x1b]52;c;ZXZpbA==\x07",
    "\x1b[2J\x1b[H\x9b31m",
    "abc\u202etxt.exe\u2066",
    "\r\n\t\x00\x7f",
    "日本語" * 60,
    "e" + "\u0301" * 80,
    "👨\u200d👩\u200d👧 ✔\ufe0f",
    "\ud800\udfff"[0],
    "",
    "\\",
    "\\[",
)


def _poison(value, dice: random.Random, field: str = ""):
    """Returns ``value`` with a hostile string for every string in it."""
    if dataclasses.is_dataclass(value):
        names = [part.name for part in dataclasses.fields(value)]
        return dataclasses.replace(value, **{name: _poison(getattr(value, name), dice, name) for name in names})
    if isinstance(value, MemberStatus | PeerState):
        return value
    if isinstance(value, str):
        return dice.choice(NASTY)
    if isinstance(value, tuple):
        return tuple(_poison(item, dice) for item in value)
    if isinstance(value, dict):
        return {dice.choice(NASTY): dice.choice(NASTY) for _ in range(5)}
    if isinstance(value, bool | bytes):
        return value
    if isinstance(value, int):
        return dice.choice([0, 1, value, -1, 2**63 - 1, 2**64])
    return value


def _poisoned(snapshot: ClusterSnapshot, seed: int) -> ClusterSnapshot:
    dice = random.Random(seed)
    events = tuple(ClusterEvent(at_ms=0, kind=text, subject=text, detail=text) for text in NASTY)
    poisoned = _poison(dataclasses.replace(snapshot, events=events), dice)
    return dataclasses.replace(poisoned, events=events)


def assert_harmless(dash) -> None:
    """Every segment that goes to the terminal is printable, and no style carries a link or an action."""
    for strip in dash.app.screen._compositor.render_strips():
        for segment in strip:
            bad = [char for char in segment.text if unicodedata.category(char) in {"Cc", "Cf", "Cs", "Zl", "Zp"}]
            assert not bad, f"{bad!r} in {segment.text!r}"
            assert segment.style is None or segment.style.link is None
            meta = segment.style.meta if segment.style is not None else {}
            assert not any(str(key).startswith("@") and "quit" in str(value) for key, value in meta.items())


@pytest.mark.parametrize(("size", "seed"), [((140, 40), 0), ((100, 30), 1), ((40, 12), 2)])
async def test_no_screen_obeys_a_hostile_cluster(open_dash, world, size, seed):
    async with open_dash(size) as dash:
        await dash.run(2)
        world.overrides = {}
        hostile = _poisoned(world.snapshot(), seed)
        world.overrides = {part.name: getattr(hostile, part.name) for part in dataclasses.fields(hostile)}
        world.overrides["taken_at_ms"] = 1_790_000_003_000
        await dash.run(2)
        await dash.lose(1, error=NASTY[seed])
        assert_harmless(dash)
        for keys in (["1", "enter"], ["escape", "3"], ["m"], ["m"], ["4"], ["2"], ["5"], ["y"], ["Y"], ["a"]):
            await dash.press(*keys)
            assert_harmless(dash)
        await dash.press("escape", "question_mark")
        assert_harmless(dash)


def _record(index: int, value: bytes) -> StoredRecord:
    return StoredRecord(
        value=value, key=value, timestamp_ms=2**62, headers=(("[/]\x1b", value), ("\u202e", value)),
        offset=Offset(index), origin=OriginId(bytes(16)), sequence=Sequence(index + 1),
    )  # fmt: skip


async def test_no_record_is_obeyed(open_dash):
    async with open_dash((100, 30)) as dash:
        values = [text.encode("utf-8", "surrogatepass") for text in NASTY]
        values += [bytes(range(256)), b"[/]" * 10_000]
        dash.app.source.log = [_record(index, value) for index, value in enumerate(values)]
        await dash.run(1)
        await dash.press("t")
        await dash.settle()
        assert_harmless(dash)
        await dash.press("v")
        assert_harmless(dash)
        for keys in (["g"], ["k", "k", "k", "k"]):
            await dash.press(*keys)
            await dash.press("enter")
            assert_harmless(dash)
            await dash.press("y", "escape", "G")
        assert "Records" in dash.text


@pytest.mark.parametrize("text", [*NASTY, '{"a": "\x1b[31m\\u001b]52;c;x\\u0007"}', "[" * 10_000, "x" * 200_000])
@pytest.mark.parametrize("ascii_only", [False, True])
def test_everything_about_a_record_is_printable(text: str, ascii_only: bool):
    record = _record(7, text.encode("utf-8", "surrogatepass"))
    look = Look(ascii_only=ascii_only)
    shown = "".join(map(plain, records.lines(record, look, 40)))
    for char in shown + records.copied(record):
        assert unicodedata.category(char) not in {"Cc", "Cf", "Cs", "Zl", "Zp"}
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
