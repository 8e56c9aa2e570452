"""Rows on stdout, in every format, whatever is in them."""

import json

import pytest

from proglog.cli import output
from proglog.cli.exit_codes import MEANINGS, ExitCode, exit_code_of
from proglog.cli.output import Format, Table
from proglog.errors import (
    ConfigError,
    DeadlineError,
    OffsetOutOfRangeError,
    PermissionDeniedError,
    ProglogError,
    StorageError,
    UnauthenticatedError,
    UnavailableError,
)
from proglog.observe.columns import Column

HOSTILE = "[/][red]x\x1b]52;c;eA==\x07\u202eevil\r\n"
ITEMS = [("a", 1), (HOSTILE, 22)]
TABLE: Table[tuple[str, int]] = Table(
    columns=(
        Column(title="NAME", value=lambda item: item[0], limit=40),
        Column(title="SIZE", value=lambda item: item[1], right=True, rank=1),
    ),
    data=lambda item: {"name": item[0], "size": item[1]},
    empty="nothing here",
)


@pytest.mark.parametrize("format_", [Format.TABLE, Format.PLAIN])
def test_a_hostile_cell_is_shown_and_does_nothing(format_: Format, capsys: pytest.CaptureFixture[str]) -> None:
    output.items(ITEMS, TABLE, format_)

    out = capsys.readouterr().out
    assert "[/][red]x" in out
    assert not {"\x1b", "\x07", "\r", "\u202e"} & set(out)
    assert len(out.splitlines()) == (3 if format_ is Format.TABLE else 2)


def test_json_holds_what_programs_want(capsys: pytest.CaptureFixture[str]) -> None:
    output.items(ITEMS, TABLE, Format.JSON)
    assert json.loads(capsys.readouterr().out) == [{"name": "a", "size": 1}, {"name": HOSTILE, "size": 22}]

    output.items(ITEMS, TABLE, Format.JSONL)
    assert [json.loads(line)["size"] for line in capsys.readouterr().out.splitlines()] == [1, 22]


def test_a_narrow_terminal_drops_columns_not_lines(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(output, "terminal_width", lambda: 4)

    output.as_table(ITEMS[:1], TABLE)

    assert capsys.readouterr().out.splitlines() == ["NAME", "a"]


def test_no_rows_say_so(capsys: pytest.CaptureFixture[str]) -> None:
    output.items([], TABLE, Format.TABLE)

    assert capsys.readouterr().out == "nothing here\n"


def test_every_exit_code_has_a_meaning() -> None:
    assert set(MEANINGS) == set(ExitCode)


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (ConfigError("x"), 2),
        (UnavailableError("x"), 3),
        (DeadlineError("x"), 4),
        (UnauthenticatedError("x"), 5),
        (PermissionDeniedError("a", "b", "c"), 5),
        (OffsetOutOfRangeError(1, 0, 0), 6),
        (StorageError("x"), 1),
        (ProglogError("x"), 1),
    ],
)
def test_an_error_ends_with_its_code(error: ProglogError, code: int) -> None:
    assert exit_code_of(error) == code
