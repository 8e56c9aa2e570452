"""Profiles: what is kept, which one applies, and what is said of a wrong file."""

import json
import stat
from pathlib import Path

import pytest

from proglog.cli import profiles
from proglog.cli.app import invoke
from proglog.cli.profiles import Profiles, choose
from proglog.errors import ConfigError, NotFoundError


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A configuration directory and a working directory of one's own."""
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    project = tmp_path / "project"
    project.mkdir()
    monkeypatch.chdir(project)
    return tmp_path / "config" / "proglog" / profiles.FILE_NAME


def test_what_is_created_is_listed_used_edited_and_removed(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert invoke(["profile", "create", "dev", "--addr", "a:1,b:2"]) == 0
    assert invoke(["profile", "create", "prod", "--addr", "c:3", "--warning", 'this is "production"']) == 0
    assert invoke(["profile", "use", "prod"]) == 0
    assert invoke(["profile", "edit", "dev", "--timeout", "2.5"]) == 0
    capsys.readouterr()

    assert invoke(["profile", "list", "-o", "json"]) == 0
    listed = json.loads(capsys.readouterr().out)["items"]
    assert [{key: value for key, value in each.items() if value is not None} for each in listed] == [
        {"name": "dev", "current": False, "addr": "a:1,b:2", "timeout_ms": 2500},
        {"name": "prod", "current": True, "addr": "c:3", "warning": 'this is "production"'},
    ]
    assert stat.S_IMODE(home.stat().st_mode) == 0o600

    assert invoke(["profile", "remove", "prod"]) == 0
    assert Profiles.load().current == ""
    assert list(Profiles.load().profiles) == ["dev"]


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (["create", "dev", "--addr", "nonsense"], 2, "expected HOST:PORT"),
        (["create", "current", "--addr", "a:1"], 2, "expected up to 64 letters"),
        (["create", "x/y"], 2, "expected up to 64 letters"),
        (["create", "dev", "--colour", "pink"], 2, "expected red, green, yellow, blue"),
        (["create", "dev", "--tls-ca-file", "ca.pem"], 2, "missing: --tls-cert-file, --tls-key-file"),
        (["show"], 2, "expected the NAME"),
        (["use", "nobody"], 6, "no profile 'nobody'; there are: none"),
    ],
)
def test_what_cannot_be_a_profile_is_refused_in_words(
    home: Path, capsys: pytest.CaptureFixture[str], arguments: list[str], code: int, words: str
) -> None:
    assert invoke(["profile", *arguments]) == code
    assert words in capsys.readouterr().err
    assert not home.exists()


def test_the_nearest_thing_that_names_a_profile_wins(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    home.parent.mkdir(parents=True)
    home.write_text('current = "dev"\n[dev]\naddr = "a:1"\n[prod]\naddr = "c:3"\n')
    assert choose().values == {"addr": "a:1"}
    Path(profiles.PROJECT_FILE).write_text('addr = "p:4"\n')
    below = Path("deep/er")
    below.mkdir(parents=True)

    assert choose(directory=below.absolute()).values == {"addr": "p:4"}
    assert choose("prod").values == {"addr": "c:3"}
    with pytest.raises(NotFoundError, match="did you mean prod"):
        choose("prd")


def test_a_flag_and_a_variable_go_before_the_profile(
    home: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    home.parent.mkdir(parents=True)
    home.write_text('current = "dev"\n[dev]\naddr = "of-the-profile"\nwarning = "careful"\n')

    assert invoke(["members"]) == 2
    assert (said := capsys.readouterr().err).startswith("warning: careful\n")
    assert "'of-the-profile'" in said
    monkeypatch.setenv("PROGLOG_ADDR", "of-the-variable")
    assert invoke(["members"]) == 2
    assert "'of-the-variable'" in capsys.readouterr().err
    assert invoke(["members", "--addr", "of-the-flag"]) == 2
    assert "'of-the-flag'" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ('[dev]\nadr = "a:1"\n', "did you mean addr"),
        ("[dev]\naddr = 7\n", "addr = 7: expected text"),
        ("[dev]\ntimeout = true\n", "timeout = True: expected a duration"),
        ("[dev]\ntimeout = 'soon'\n", "expected a duration such as"),
        ("dev = 3\n", "expected a table of flags"),
        ("current = 3\n", "expected a profile's name"),
        ("[dev\n", "is not TOML"),
        ("\x00", "is not TOML"),
    ],
)
def test_a_wrong_file_is_named_with_what_is_wrong(home: Path, text: str, words: str) -> None:
    home.parent.mkdir(parents=True)
    home.write_text(text)

    with pytest.raises(ConfigError, match=words):
        choose()
