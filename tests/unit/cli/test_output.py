"""Rows on stdout, in every format, whatever is in them."""

import json
from dataclasses import dataclass, replace

import pytest

from proglog.cli import output
from proglog.cli.exit_codes import MEANINGS, ExitCode, exit_code_of
from proglog.cli.output import Format, Table
from proglog.cli.shapes import Shape
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


@dataclass(frozen=True)
class File:
    """What programs get."""

    name: str
    size: int
    found_at_ms: int = 0
    took_ms: int = -1
    error: str = ""
    more: tuple[str, ...] = ()


TABLE: Table[tuple[str, int]] = Table(
    columns=(
        Column(title="NAME", value=lambda item: item[0], limit=40),
        Column(title="SIZE", value=lambda item: item[1], right=True, rank=1),
    ),
    shape=Shape("files", File, restless=frozenset({"took_ms"})),
    data=lambda item: File(*item),
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
    document = json.loads(capsys.readouterr().out)
    assert (document["schema"], [each["name"] for each in document["items"]]) == ("proglog/files/1", ["a", HOSTILE])

    output.items(ITEMS, TABLE, Format.JSONL)
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [(line["schema"], line["size"]) for line in lines] == [("proglog/files/1", 1), ("proglog/files/1", 22)]


def test_a_list_of_nothing_is_a_document_and_no_line(capsys: pytest.CaptureFixture[str]) -> None:
    output.items([], TABLE, Format.JSON)
    assert json.loads(capsys.readouterr().out) == {"schema": "proglog/files/1", "items": []}

    output.items([], TABLE, Format.JSONL)
    assert capsys.readouterr().out == ""


def test_plain_columns_are_bare_values_in_the_order_of_the_keys(capsys: pytest.CaptureFixture[str]) -> None:
    output.items([("a\tb\\", 1_234_567)], TABLE, Format.PLAIN)

    assert capsys.readouterr().out == "a\\tb\\\\\t1234567\t\t\t\t[]\n"


def test_one_thing_in_plain_columns_is_a_line_per_key(capsys: pytest.CaptureFixture[str]) -> None:
    output.one(File("a", 5, 1_790_000_000_123, error="no disk"), TABLE.shape, Format.PLAIN)

    out = capsys.readouterr().out
    assert out == "name\ta\nsize\t5\nfound_at\t2026-09-21T14:13:20.123Z\ntook_ms\t\nerror\tno disk\nmore\t[]\n"


def test_a_list_that_is_watched_is_a_line_per_change(capsys: pytest.CaptureFixture[str]) -> None:
    files = replace(TABLE, data=lambda item: File(item[0], item[1], took_ms=item[1]))
    changes = output.Changes(files, Format.JSONL)
    for listed in ([("a", 1), ("b", 1)], [("a", 1), ("b", 1)], [("a", 2), ("c", 1)]):
        changes.show(listed, 1_790_000_000_000)

    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [(line["change"], line["name"]) for line in lines] == [
        ("listed", "a"), ("listed", "b"), ("changed", "a"), ("added", "c"), ("removed", "b"),
    ]  # fmt: skip
    assert {line["seen_at"] for line in lines} == {"2026-09-21T14:13:20.000Z"}


def test_what_changes_by_itself_is_no_news(capsys: pytest.CaptureFixture[str]) -> None:
    changes = output.Changes(replace(TABLE, data=lambda item: File("a", 1, took_ms=item[1])), Format.JSONL)
    for moment in range(3):
        changes.show([("a", moment)], 1_790_000_000_000 + moment)

    assert len(capsys.readouterr().out.splitlines()) == 1


def test_a_document_is_not_watched() -> None:
    with pytest.raises(ConfigError, match="use -o jsonl"):
        output.Changes(TABLE, Format.JSON)


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
