"""What is answered without a verb: quickly, and the way on from every mistake."""

import subprocess
import sys
from pathlib import Path

import pytest

from proglog import __version__
from proglog.cli import front
from proglog.cli.verbs import VERBS


def test_proglog_alone_greets_and_names_the_next_step(capsys: pytest.CaptureFixture[str]) -> None:
    assert front.answer([]) == 0
    assert "proglog demo" in capsys.readouterr().out


@pytest.mark.parametrize("columns", ["40", "80", "200", "", "wide"])
def test_help_lists_every_verb_and_fits_the_terminal(monkeypatch: pytest.MonkeyPatch, columns: str) -> None:
    monkeypatch.setenv("COLUMNS", columns)
    text = front.help_text()

    assert [verb for verb in VERBS if f"\n  {verb} " not in text] == []
    assert max(map(len, text.splitlines()[1:])) < (int(columns) if columns.isdigit() else 100)


@pytest.mark.parametrize(
    ("word", "meant"),
    [("cosume", "consume"), ("member", "members"), ("stats", "status"), ("--verion", "--version"), ("chek", "check")],
)
def test_a_mistyped_verb_names_the_one_that_was_meant(
    capsys: pytest.CaptureFixture[str], word: str, meant: str
) -> None:
    assert front.answer([word, "--output", "json"]) == 2
    said = capsys.readouterr()
    assert said.out == ""
    assert f"did you mean `proglog {meant}`?" in said.err


def test_a_hostile_verb_is_named_harmlessly(capsys: pytest.CaptureFixture[str]) -> None:
    assert front.answer(["\x1b[31m" + "x" * 10_000]) == 2
    said = capsys.readouterr().err
    assert "\x1b" not in said
    assert len(said) < 300


def test_a_verb_is_left_to_itself() -> None:
    assert front.answer(["members"]) is None
    assert front.answer(["consume", "--help"]) is None


def test_the_version_says_what_it_runs_on_and_where_files_are(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path))
    lines = front.version_text().splitlines()

    assert lines[0].startswith(f"proglog {__version__}")
    assert "Python 3." in lines[1]
    assert "grpcio" in lines[1]
    assert f"data {tmp_path}/proglog" in lines


def test_what_needs_no_verb_imports_neither_typer_nor_click() -> None:
    code = (
        "import sys; from proglog.cli import front; front.answer(['--help']); front.answer(['--version'])\n"
        "sys.exit(sorted({'typer', 'click', 'rich', 'asyncio', 'ssl', 'grpc'} & set(sys.modules)) or 0)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)

    assert (done.returncode, done.stderr) == (0, "")


def test_help_into_a_full_disk_is_an_error_in_words() -> None:
    with Path("/dev/full").open("w") as full:
        done = subprocess.run(
            [sys.executable, "-m", "proglog", "--help"], stdout=full, stderr=subprocess.PIPE, text=True, timeout=60
        )

    assert done.returncode == 1
    assert done.stderr == "error: cannot write to standard output: No space left on device\n"
