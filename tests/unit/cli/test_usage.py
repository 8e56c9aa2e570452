"""A command line that cannot be run: one line that says what is wrong, one that says where to look, and exit code 2."""

import pytest

from proglog.cli.app import invoke

MISTAKES = {
    "query": ("missing argument 'NAME'", "query"),
    "consume -n": ("option '-n' requires an argument", ""),
    "consume -n ten": ("invalid value for '--limit' / '-n': 'ten' is not a whole number", "consume"),
    "keys": ("missing argument 'generate|list|install|use|remove'", "keys"),
    "losses nosuch": ("'nosuch' is not one of 'list', 'accept', 'export'", "losses"),
    "members one": ("unexpected extra argument", "members"),
}


@pytest.mark.parametrize("line", MISTAKES)
def test_it_is_refused_in_the_programs_own_voice(line: str, capsys: pytest.CaptureFixture[str]) -> None:
    what, verb = MISTAKES[line]

    code = invoke(line.split())

    said, hint = capsys.readouterr().err.splitlines()
    assert code == 2
    assert said.startswith("error: ")
    assert what in said
    assert hint.startswith(f"hint: `proglog {verb}".rstrip())
