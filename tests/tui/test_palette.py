"""The palette: every action, its keys, and the command line that does the same, which really parses."""

import shlex
import time
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest
import typer

from proglog.cli.app import app as command_line
from proglog.cli.ranges import parse_start
from proglog.cli.render import renderer
from proglog.cli.snapshots import frame_at
from proglog.observe import recording
from proglog.record.record import StoredRecord
from proglog.security.tls import TLSFiles
from proglog.tui.app import DashApp
from proglog.tui.bindings import KEYMAP
from proglog.tui.palette import entries
from proglog.tui.source import LiveSource, RecordedSource
from proglog.tui.views.command_lines import MAKERS, Scene, equivalents
from proglog.types import Offset, OriginId, SequenceNumber
from proglog.wire.model import Member, MemberStatus

RECORD = StoredRecord(value=b"x", offset=Offset(41), origin=OriginId(bytes(16)), sequence=SequenceNumber(1))
MEMBER = Member(
    name="node-b", addr="10.0.0.2:8401", status=MemberStatus.FAILED, tags={"rpc_addr": "10.0.0.2:8400"},
    rtt_ms=1.0, status_since_ms=1, incarnation=1, local=False,
)  # fmt: skip
TLS = ("--tls-ca-file", "a b/ca.pem", "--tls-cert-file", "c.pem", "--tls-key-file", "k.pem")
SCENES = [
    Scene(addr="127.0.0.1:8400", panel=panel, row=row, needle=needle, tls=tls)
    for panel in ("members", "throughput", "replication", "segments", "events", "records")
    for row in (None, MEMBER, RECORD)
    for needle in ("", "!it's")
    for tls in ((), TLS)
] + [Scene(replay="my file.sqlite", at=at, panel="members", row=MEMBER) for at in ("", "+58")]


def _parse(line: str) -> None:
    """Has the real command line take a line apart, with everything that it checks before it asks an agent."""
    words = shlex.split(line)
    if "|" in words:
        words, search = words[: words.index("|")], words[words.index("|") + 1 :]
        assert search[0] == "grep"
    assert words[0] == "proglog"
    group = typer.main.get_command(command_line)
    verb = group.get_command(None, words[1])
    assert verb is not None, line
    context = verb.make_context(words[1], words[2:])
    if words[1] == "consume":
        assert parse_start(context.params["range_"], time.time_ns() // 1_000_000)
        assert renderer(context.params["format_"], harmless=False)
    if context.params.get("at"):
        frames = [SimpleNamespace(at=float(second)) for second in range(100)]
        assert frame_at(frames, context.params["at"])


@pytest.mark.parametrize("scene", SCENES, ids=lambda scene: f"{scene.panel}-{type(scene.row).__name__}")
def test_every_command_that_is_shown_parses(scene):
    shown = equivalents(scene)
    assert shown
    for equivalent in shown:
        _parse(equivalent.line)


def test_every_maker_makes_something_somewhere():
    made = {(each.action, each.words) for scene in SCENES for each in equivalents(scene)}
    assert made == {(action, words) for action, words, _ in MAKERS}


def test_every_maker_belongs_to_an_action_that_has_a_key():
    assert {action for action, _, _ in MAKERS if action} <= set(KEYMAP.actions)


def test_a_line_says_what_is_on_the_screen():
    lines = {each.action: each.line for each in equivalents(SCENES[0])}
    assert lines["main.members"] == "proglog members --addr 127.0.0.1:8400 --watch"
    found = {each.action: each.line for each in equivalents(replace(SCENES[3], needle="!it's", row=MEMBER, tls=TLS))}
    assert found["main.filter"].startswith("proglog members --addr 127.0.0.1:8400 --tls-ca-file 'a b/ca.pem'")
    assert found["main.filter"].endswith("""| grep -viF -- 'it'"'"'s'""")
    assert found["table.open"].startswith("proglog status --addr 10.0.0.2:8400 --tls-ca-file")
    assert found["main.remove"].endswith("-- node-b")


@pytest.mark.parametrize("name", ["evil\nname", "\x1b]52;c;aGk=\x07", "x\u202ey"])
def test_a_name_that_no_terminal_should_get_makes_no_command(name):
    lines = [each.line for each in equivalents(Scene(addr="127.0.0.1:8400", row=replace(MEMBER, name=name)))]
    assert lines
    assert all(line.isprintable() for line in lines)
    assert not any("force-leave" in line for line in lines)


def test_an_address_that_is_none_of_a_host_is_quoted():
    assert "--addr 'x;rm -rf ~'" in equivalents(Scene(addr="x;rm -rf ~"))[0].line


def test_the_flags_of_a_source_are_those_that_were_given(tmp_path):
    files = TLSFiles(cert_file=Path("c.pem"), key_file=Path("k.pem"), ca_file=Path("ca.pem"))
    assert LiveSource("a:1", files).tls_flags == (
        "--tls-ca-file", "ca.pem", "--tls-cert-file", "c.pem", "--tls-key-file", "k.pem",
    )  # fmt: skip
    recording.save(tmp_path / "r.sqlite", "a:1", ())
    assert RecordedSource(tmp_path / "r.sqlite").replay == str(tmp_path / "r.sqlite")


async def test_the_palette_offers_every_action_with_its_keys_and_its_command(open_dash):
    async with open_dash((100, 30)) as dash:
        await dash.run()
        await dash.press("slash", *"node", "enter")
        found = {entry.title: entry for entry in entries(dash.app, dash.app.screen)}
        assert found["Zoom"].words == "One panel on the whole screen, and back"
        assert found["Zoom"].keys == "z f10"
        assert found["Zoom"].line == ""
        assert found["Filter"].line == "proglog members --addr 127.0.0.1:8400 | grep -iF -- node"
        assert found["In a shell: status"].line == "proglog status --addr 127.0.0.1:8400"
        assert "Theme" in found


async def test_titles_are_distinct_on_every_panel(open_dash):
    async with open_dash((140, 40)) as dash:
        await dash.run()
        for key in "12345t":
            await dash.press(key)
            titles = [entry.title for entry in entries(dash.app, dash.app.screen)]
            assert len(titles) == len(set(titles)), titles


async def test_a_recording_is_asked_at_its_moment(open_dash, tmp_path):
    async with open_dash((100, 30)) as dash:
        await dash.run(10)
        recording.save(tmp_path / "r.sqlite", "a:1", dash.app.state.frames)
    app = DashApp(RecordedSource(tmp_path / "r.sqlite"))
    async with app.run_test(size=(100, 30)) as pilot:
        while app.state.shown is None:
            await pilot.pause()
        await pilot.press("space", "home", "left_square_bracket", "right", "right", "right")
        (line,) = (entry.line for entry in entries(app, app.screen) if entry.title == "Members")
        assert line == f"proglog members --replay {tmp_path / 'r.sqlite'} --at +3"
        _parse(line)


async def test_a_key_in_the_palette_copies_the_command_of_what_is_highlighted(open_dash):
    async with open_dash((140, 40)) as dash:
        await dash.run()
        await dash.press("colon", *"replication")
        assert "ctrl+y: copy the command line" in dash.text
        assert "proglog lag --addr 127.0.0.1:8400 --watch" in dash.text
        await dash.press("ctrl+y")
        assert dash.app.clipboard == "proglog lag --addr 127.0.0.1:8400 --watch"
        assert len(dash.app.screen_stack) == 1


async def test_words_narrow_the_palette_and_enter_or_a_click_runs_an_action(open_dash):
    async with open_dash((140, 40)) as dash:
        await dash.run()
        await dash.press("colon")
        heading = next(text for text in dash.text.splitlines() if "WHAT IT DOES" in text)
        assert (
            heading.index("KEYS")
            < heading.index("ACTION")
            < heading.index("WHAT IT DOES")
            < heading.index("IN A SHELL")
        )
        await dash.press(*"whole panel", "enter")
        assert "4 Throughput" not in dash.text, "zoomed"
        await dash.press("escape", "colon", *"no such thing")
        assert "no action has all of these words" in dash.text
        await dash.press("enter", "up", "down")
        assert len(dash.app.screen_stack) == 2
        await dash.press("escape", "colon", *"copies")
        await dash.pilot.click("#actions", offset=(6, 1))
        await dash.settle()
        assert len(dash.app.screen_stack) == 1
        assert dash.app.focused.id == "copies"


@pytest.mark.parametrize("name", ["[@click=app.quit]x[/]", "[/", "[@click=app.…"])
async def test_markup_in_a_name_is_shown_and_not_obeyed(open_dash, world, name):
    async with open_dash((140, 40)) as dash:
        world.overrides = {"members": (replace(MEMBER, name=name, local=True),)}
        await dash.run()
        await dash.press("ctrl+p")
        assert type(dash.app.screen).__name__ == "Palette"
