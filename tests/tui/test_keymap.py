"""Keys of the reader's own: ids, checks, and that footer, help and palette follow."""

import os
import tomllib
from pathlib import Path

import pytest
from textual.dom import DOMNode

from proglog.cli.app import invoke
from proglog.errors import ConfigError
from proglog.observe import recording
from proglog.tui import keymap
from proglog.tui.app import DashApp
from proglog.tui.bindings import KEYMAP
from proglog.tui.palette import entries
from proglog.tui.source import RecordedSource

GUIDE = Path(__file__).parents[2] / "docs" / "guides" / "dashboard.md"


def _everything_with_keys(base: type[DOMNode] = DOMNode):
    for each in base.__subclasses__():
        if each.__module__.startswith("proglog."):
            yield each
        yield from _everything_with_keys(each)


def test_every_binding_of_every_screen_and_widget_has_an_id_in_the_catalogue():
    known = KEYMAP.actions
    bound = [(owner, binding) for owner in _everything_with_keys() for binding in keymap.own_bindings(owner)]
    assert len(bound) > 60
    for owner, binding in bound:
        assert binding.id in known, f"{owner.__name__}: {binding.key}"
        assert binding.key in known[binding.id].keys
        assert known[binding.id].description, binding.id


def test_by_itself_a_key_means_one_thing_on_a_screen_or_takes_over_one_of_the_application():
    known = KEYMAP.actions
    assert set(KEYMAP.scopes) >= {"MainScreen", "RecordsScreen", "Reader"}
    for screen, names in KEYMAP.scopes.items():
        own = [key for name in names if not name.startswith("app.") for key in known[name].keys]
        assert len(own) == len(set(own)), screen


@pytest.mark.parametrize(
    ("given", "keys"),
    [
        ({"main.zoom": "f2,z"}, {"main.zoom": "f2,z"}),
        ({"main": {"zoom": ["f2", "ctrl+e"]}}, {"main.zoom": "f2,ctrl+e"}),
        ({"main.zoom": "?", "app.help": "f1"}, {"main.zoom": "question_mark", "app.help": "f1"}),
        ({"main.zoom": ";", "app.alerts": "shift+n"}, {"main.zoom": "semicolon", "app.alerts": "N"}),
        ({"main.zoom": "*"}, {"main.zoom": "asterisk"}),
        ({"main.zoom": "a", "app.alerts": "z"}, {"main.zoom": "a", "app.alerts": "z"}),
        ({"records.tail": "u"}, {"records.tail": "u"}),
    ],
)
def test_keys_are_taken_as_people_write_them(given, keys):
    assert KEYMAP.checked(given) == (keys, [])


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"main.zom": "z"}, "'main.zom' is no action; did you mean 'main.zoom'"),
        ({"main.zoom": "ctlr+z"}, "'ctlr+z': no such key"),
        ({"main.zoom": "pagup"}, "did you mean 'pageup'"),
        ({"main.zoom": "t"}, "'t' would be both main.zoom and main.tail on MainScreen"),
        ({"records.hex": "space"}, "'space' would be both app.pause and records.hex on RecordsScreen"),
        ({"main.zoom": 3}, "main.zoom = 3: expected a key"),
        ({"main.zoom": []}, "has 0 keys; expected 1 to 8"),
        ({"main.zoom": ""}, "no such key"),
        ({"main.zoom": "\x1b"}, "no such key"),
    ],
)
def test_what_cannot_be_is_refused_with_what_is_expected(given, words):
    with pytest.raises(ConfigError, match="my file: ") as caught:
        KEYMAP.checked(given, "my file")
    assert words in str(caught.value)


def test_a_key_that_a_multiplexer_takes_is_warned_of():
    chosen, warnings = KEYMAP.checked({"main.zoom": "ctrl+b", "main.mode": "ctrl+a"})
    assert chosen == {"main.zoom": "ctrl+b", "main.mode": "ctrl+a"}
    assert [warning.split(": ")[-1] for warning in warnings] == [
        "ctrl+b is the prefix of tmux",
        "ctrl+a is the prefix of GNU screen and byobu",
    ]


async def test_a_new_key_works_the_old_one_does_not_and_footer_help_and_palette_say_so(open_dash):
    async with open_dash((140, 40)) as dash:
        dash.app.use_keys(*KEYMAP.checked({"main.zoom": "f2,ctrl+b", "app.help": "f3"}))
        await dash.run()
        assert "f2 Zoom" in dash.text
        await dash.press("z")
        assert "4 Throughput" in dash.text
        await dash.press("f2")
        assert "4 Throughput" not in dash.text
        await dash.press("f3")
        for _ in range(8):
            if "f2 ctrl+b" not in dash.text:
                await dash.press("pagedown")
        assert "f2 ctrl+b" in dash.text
        await dash.press("escape")
        zoom = next(entry for entry in entries(dash.app, dash.app.screen) if entry.title == "Zoom")
        assert zoom.keys == "f2 ctrl+b"


async def test_a_warning_is_reported_when_the_screen_is_there(tmp_path):
    recording.save(tmp_path / "empty.sqlite", "nobody", ())
    app = DashApp(RecordedSource(tmp_path / "empty.sqlite"), live=False)
    app.use_keys(*KEYMAP.checked({"main.zoom": "ctrl+b"}))
    async with app.run_test() as pilot:
        await pilot.pause()
        (note,) = app._notifications
        assert "ctrl+b is the prefix of tmux" in note.message


async def test_a_box_tells_its_own_keys(open_dash):
    async with open_dash((100, 30)) as dash:
        dash.app.use_keys(KEYMAP.checked({"reader.back": "f4"})[0])
        await dash.run()
        await dash.press("a")
        assert "f4: back, y: copy" in dash.text
        await dash.press("f4")
        assert dash.app.screen is dash.app.screen_stack[0]


def test_config_prints_a_file_that_it_can_read_and_where_each_value_comes_from(tmp_path, capsys, monkeypatch):
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    assert invoke(["config", "dash"]) == 0
    printed = capsys.readouterr().out
    own = tmp_path / "proglog" / "config.toml"
    own.parent.mkdir()
    own.write_text('node-name = "a"\n' + printed.replace('"main.zoom" = ["z", "f10"]', '"main.zoom" = ["f2"]'))
    assert set(tomllib.loads(printed)["dash"]["keys"]) == set(KEYMAP.actions)
    assert invoke(["config", "dash", "--theme", "proglog-light"]) == 0
    printed = capsys.readouterr().out
    assert f'"main.zoom" = ["f2"]  # {own}' in printed
    assert 'theme = "proglog-light"  # flag' in printed
    assert invoke(["config", "--config", str(own)]) == 0
    assert f'node-name = "a"  # {own}' in capsys.readouterr().out


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("dash = 3", "dash = 3: expected a table"),
        ("[dash]\nkeys = 3", "keys = 3: expected a table"),
        ("[dash]\nx=1", "'x' is no flag"),
    ],
)
def test_a_file_that_says_something_else_is_refused(tmp_path, capsys, text, words):
    path = tmp_path / "c.toml"
    path.write_text(text)
    assert invoke(["config", "dash", "--config", str(path)]) == 2
    assert words in capsys.readouterr().err


def _table() -> str:
    rows = [
        f"| `{bound.id}` | {' '.join(f'`{keymap.key_label(key)}`' for key in bound.keys)} | {bound.description} |"
        for bound in KEYMAP.actions.values()
    ]
    return "\n".join(["| id | keys | |", "|---|---|---|", *rows])


def test_the_guide_lists_every_id():
    before, mark, rest = GUIDE.read_text().partition("<!-- ids -->\n")
    _, end, after = rest.partition("\n<!-- end of ids -->")
    if os.environ.get("PROGLOG_UPDATE_GOLDENS"):
        GUIDE.write_text(before + mark + _table() + end + after)
    assert _table() in GUIDE.read_text()


def test_the_palette_is_where_two_habits_look_for_it():
    assert KEYMAP.actions["app.commands"].keys == ("colon", "ctrl+p")
    assert DashApp.ENABLE_COMMAND_PALETTE
