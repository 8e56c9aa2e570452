"""The committed completion scripts are current, and bash's does what it should."""

import subprocess
from pathlib import Path

import pytest

from proglog.cli.completion import SHELLS, script
from proglog.cli.verbs import VERBS

COMPLETIONS = Path(__file__).resolve().parents[2] / "completions"
FILES = {"bash": "proglog.bash", "zsh": "_proglog", "fish": "proglog.fish"}


@pytest.mark.parametrize("shell", SHELLS)
def test_a_committed_script_is_what_the_command_tree_generates(shell: str) -> None:
    assert (COMPLETIONS / FILES[shell]).read_text() == script(shell), "run `make completions`"


def complete(*words: str) -> list[str]:
    """What bash offers for a command line that ends in the last word."""
    line = " ".join(f"'{word}'" for word in words)
    code = (
        f"source {COMPLETIONS / 'proglog.bash'}; COMP_WORDS=({line}); COMP_CWORD={len(words) - 1}; "
        'complete() { :; }; _proglog; printf "%s\\n" "${COMPREPLY[@]}"'
    )
    result = subprocess.run(["bash", "-c", code], capture_output=True, text=True, timeout=20, cwd=COMPLETIONS)
    assert result.stderr == ""
    return result.stdout.split()


def test_bash_offers_the_verbs() -> None:
    assert set(complete("proglog", "")) == {*VERBS, "--help", "--version"}
    assert complete("proglog", "prod") == ["produce"]


def test_bash_offers_a_verbs_flags_and_their_choices() -> None:
    assert "--fsync" in complete("proglog", "serve", "--")
    assert complete("proglog", "serve", "--fsync", "a") == ["always"]
    assert complete("proglog", "members", "-o", "js") == ["json", "jsonl"]
    assert complete("proglog", "completion", "") == list(SHELLS)


def test_bash_offers_files_where_files_go() -> None:
    assert complete("proglog", "produce", "_pro") == ["_proglog"]
    assert complete("proglog", "serve", "--config", "_pro") == ["_proglog"]
