"""Foreign text cannot steer a terminal."""

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.cells import cell_len

from proglog.observe.safe_text import cells, fit, safe_text

NASTY = st.text(st.characters(exclude_categories=()), max_size=60) | st.binary(max_size=60)


def test_plain_text_is_itself():
    assert safe_text("hello, Wörld 日本") == "hello, Wörld 日本"


def test_markup_is_left_as_it_is():
    assert safe_text("[/][red]x[@click=app.quit]y[/]") == "[/][red]x[@click=app.quit]y[/]"


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        ("\x1b]52;c;eA==\x07", "␛]52;c;eA==␇"),
        ("a\nb\tc\0", "a␊b␉c␀"),
        ("\x7f", "␡"),
        ("\x9b31m", r"\x9b31m"),
        ("abc\u202etxt.exe", r"abc\u202etxt.exe"),
        ("a\u200bb\ufeff", r"a\u200bb\ufeff"),
        ("\ud800", r"\ud800"),
        ("\u0301x", r"\u0301x"),
        ("two\u2028lines", r"two\u2028lines"),
    ],
)
def test_what_has_no_glyph_gets_one(value: str, shown: str):
    assert safe_text(value) == shown


def test_bytes_that_are_no_utf8_are_shown_as_escapes():
    assert safe_text(b"ok \xff\xc3\xa9\xc3") == "ok \\xffé\\xc3"


def test_an_accent_keeps_its_letter_but_a_tower_of_them_falls():
    assert safe_text("e\u0301") == "e\u0301"
    assert safe_text("e" + "\u0301" * 5) == "e" + "\u0301" * 3 + r"\u0301\u0301"


def test_variation_selectors_do_not_change_widths():
    assert safe_text("✔\ufe0f done") == "✔ done"


def test_ascii_terminals_get_ascii():
    assert safe_text("é␛\x1b日…", ascii_only=True) == r"\xe9\u241b\x1b\u65e5\u2026"


def test_long_text_is_cut_by_cells_and_says_so():
    assert safe_text("日本語テキスト", 5) == "日本…"
    assert safe_text("abcdef", 4) == "abc…"
    assert safe_text("abcdef", 4, ascii_only=True) == "abc~"
    assert safe_text("abcd", 4) == "abcd"


def test_fit_gives_exactly_the_width():
    assert [fit("ab", 4), fit("ab", 4, right=True), fit("日本語", 4)] == ["ab  ", "  ab", "日… "]
    assert [fit("abcdef", 3), fit("abcdef", 3, ascii_only=True)] == ["ab…", "ab~"]


@given(NASTY, st.none() | st.integers(1, 30), st.booleans())
def test_nothing_unprintable_ever_comes_out(value: str | bytes, max_cells: int | None, ascii_only: bool):
    shown = safe_text(value, max_cells, ascii_only=ascii_only)
    assert all(unicodedata.category(char) not in {"Cc", "Cf", "Cs", "Zl", "Zp"} for char in shown)
    assert not ascii_only or shown.isascii()
    assert cells(shown) == cell_len(shown)
    assert max_cells is None or cells(shown) <= max_cells


@given(NASTY, st.integers(1, 20))
def test_cutting_early_never_changes_what_is_shown(value: str | bytes, max_cells: int):
    whole = safe_text(value)
    cut = safe_text(value, max_cells)
    assert whole == cut if cells(whole) <= max_cells else whole.startswith(cut.removesuffix("…"))
