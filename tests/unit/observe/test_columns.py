"""A column makes value, words and cell from an item; a row makes its cells when somebody looks, once."""

from proglog.observe.columns import Column, Row
from proglog.observe.spans import Locale, Role, Span, line, plain

UNICODE, ASCII = Locale(), Locale(ascii_only=True)
SIZE: Column[int] = Column(title="SIZE", value=lambda item: item or None, words=lambda size: f"{size:,} B")


def test_the_words_of_a_value_are_the_cell_and_what_is_printed() -> None:
    assert SIZE.cell(1_204, UNICODE) == (Span("1,204 B", Role.TEXT),)
    assert SIZE.printed(1_204) == "1,204 B"


def test_an_unknown_value_is_a_mark_not_a_number() -> None:
    assert SIZE.cell(0, UNICODE) == (Span("·", Role.MUTED),)
    assert SIZE.cell(0, ASCII) == (Span("-", Role.MUTED),)
    assert SIZE.printed(0) == "-"


def test_a_role_may_depend_on_the_item() -> None:
    column: Column[int] = Column(
        title="LAG", value=lambda item: item, role=lambda item: Role.WARN if item > 9 else Role.GOOD
    )
    assert [column.cell(item, UNICODE) for item in (3, 30)] == [(Span("3", Role.GOOD),), (Span("30", Role.WARN),)]


def test_foreign_text_is_made_safe_on_its_way_into_a_cell() -> None:
    name: Column[str] = Column(title="NAME", value=lambda item: item)
    cell = name.cell("a\x1b[2J\u202e", ASCII)
    assert not callable(cell)
    assert plain(cell) == r"a\x1b[2J\u202e"


def test_a_row_draws_its_cells_once_and_only_when_it_is_looked_at() -> None:
    drawn: list[str] = []
    column: Column[str] = Column(
        title="NAME", value=lambda item: item, draw=lambda item, _: drawn.append(item) or line(item.upper())
    )
    row = Row(key="a", item="a", columns=(column, column), locale=UNICODE)
    assert row.sort == ("a", "a")
    assert drawn == []
    assert [row.text, row.text] == ["a a", "a a"]
    assert drawn == ["a", "a"]
