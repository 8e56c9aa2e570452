"""The committed completion scripts are current, and bash's does what it should."""

import shutil
import subprocess
import time
from pathlib import Path

import pytest

from proglog.cli.app import verb
from proglog.cli.completion import ARGUMENTS, SHELLS, script
from proglog.cli.names import remember
from proglog.cli.ranges import WORDS
from proglog.cli.verbs import VERBS

COMPLETIONS = Path(__file__).resolve().parents[2] / "completions"
FILES = {"bash": "proglog.bash", "zsh": "_proglog", "fish": "proglog.fish"}


@pytest.mark.parametrize("shell", SHELLS)
def test_a_committed_script_is_what_the_command_tree_generates(shell: str) -> None:
    assert (COMPLETIONS / FILES[shell]).read_text() == script(shell), "run `make completions`"


@pytest.mark.parametrize("shell", ["zsh", "fish"])
def test_a_script_is_one_that_its_shell_parses(shell: str) -> None:
    if shutil.which(shell) is None:
        pytest.skip(f"{shell} is not installed")
    done = subprocess.run([shell, "-n", COMPLETIONS / FILES[shell]], capture_output=True, text=True, timeout=20)
    assert (done.returncode, done.stderr) == (0, "")


def test_every_argument_of_a_verb_completes_as_something() -> None:
    assert {name for name in VERBS if any(each.param_type_name == "argument" for each in verb(name).params)} == set(
        ARGUMENTS
    )


def complete(*words: str, place: Path = COMPLETIONS) -> list[str]:
    """What bash offers for a command line that ends in the last word."""
    line = " ".join("'" + word.replace("'", "'\\''") + "'" for word in words)
    code = (
        f"source {COMPLETIONS / 'proglog.bash'}; COMP_WORDS=({line}); COMP_CWORD={len(words) - 1}; "
        '_proglog; printf "%s\\n" "${COMPREPLY[@]}"'
    )
    result = subprocess.run(["bash", "-c", code], capture_output=True, text=True, timeout=20, cwd=place)
    assert result.stderr == ""
    return result.stdout.splitlines() if result.stdout != "\n" else []


def test_bash_offers_the_verbs() -> None:
    assert set(complete("proglog", "")) == {*VERBS, "--help", "--version"}
    assert complete("proglog", "prod") == ["produce"]


def test_bash_offers_a_verbs_flags_and_their_choices() -> None:
    assert "--fsync" in complete("proglog", "serve", "--")
    assert complete("proglog", "serve", "--fsync", "a") == ["always"]
    assert complete("proglog", "serve", "--fsync", "=", "a") == ["always"]
    assert complete("proglog", "members", "-o", "js") == ["json", "jsonl"]
    assert complete("proglog", "check", "-o", "n") == ["nagios"]
    assert complete("proglog", "produce", "--format", "") == ["line", "null", "jsonl", "file"]
    assert complete("proglog", "consume", "--format", "") == ["line", "null"]
    assert complete("proglog", "consume", "--limit", "") == []


def test_bash_offers_steps_and_ranges() -> None:
    assert complete("proglog", "completion", "") == list(SHELLS)
    assert complete("proglog", "positions", "s") == ["set"]
    assert complete("proglog", "profile", "e") == ["edit"]
    assert set(complete("proglog", "consume", "")) == set(WORDS)
    assert set(complete("proglog", "positions", "set", "nightly", "")) == set(WORDS)
    assert "ranges" in complete("proglog", "help", "r")
    assert complete("proglog", "join", "") == []


def test_bash_offers_files_where_files_go_with_blanks_and_quotes(tmp_path: Path) -> None:
    for name in ("two words.log", "it's.log", "plain.log"):
        (tmp_path / name).write_text("")
    (tmp_path / "a directory").mkdir()

    assert complete("proglog", "produce", "_pro") == ["_proglog"]
    assert complete("proglog", "serve", "--config", "_pro") == ["_proglog"]
    assert complete("proglog", "produce", "two", place=tmp_path) == ["two words.log"]
    assert complete("proglog", "produce", "'two w", place=tmp_path) == ["two words.log"]
    assert complete("proglog", "produce", "two\\ w", place=tmp_path) == ["two words.log"]
    assert complete("proglog", "produce", "plain.log", "it", place=tmp_path) == ["it's.log"]
    assert complete("proglog", "verify", "", place=tmp_path) == ["a directory"]


def test_bash_offers_names_that_verbs_have_seen(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    remember("members", ["node-b", "node-a", "with blank", "evil\n", ""])
    remember("positions", ["nightly", "it's"])
    remember("profiles", ["staging"])

    assert complete("proglog", "force-leave", "") == ["node-a", "node-b", "with\\ blank"]
    assert complete("proglog", "rtt", "node-a", "node") == ["node-a", "node-b"]
    assert complete("proglog", "consume", "--as", "n") == ["nightly"]
    assert complete("proglog", "positions", "delete", "it") == ["it\\'s"]
    assert complete("proglog", "consume", "unread", ":", "ni") == ["nightly"]
    assert complete("proglog", "members", "--profile", "") == ["staging"]


def test_a_tab_in_bash_starts_no_process() -> None:
    code = (
        f"source {COMPLETIONS / 'proglog.bash'}; COMP_WORDS=(proglog consume --format l); COMP_CWORD=3; "
        "for ((n = 0; n < 200; n++)); do _proglog; done"
    )
    started = time.process_time()
    subprocess.run(["bash", "-c", f"PATH=; {code}"], check=True, timeout=60)

    assert time.process_time() - started < 1
