"""JSON laid out anew keeps every character that means something."""

import json
import random
import string

import pytest

from proglog.observe import json_text
from proglog.observe.safe_text import cells
from proglog.observe.spans import Role, Span, fold, plain, wrap

ODD = '{"a":1.10,"b":1E400,"a":2,"c":0.1000000000000000055511151231257827,"d":"\\u0041\\/","e":[],"f":{}}'


def test_numbers_repetitions_and_escapes_stay_as_they_were_written() -> None:
    assert json_text.indented(ODD) == [
        "{",
        '  "a": 1.10,',
        '  "b": 1E400,',
        '  "a": 2,',
        '  "c": 0.1000000000000000055511151231257827,',
        '  "d": "\\u0041\\/",',
        '  "e": [],',
        '  "f": {}',
        "}",
    ]
    assert json_text.compact(' [ 1 , "a b" , { } ] ') == '[1,"a b",{}]'


@pytest.mark.parametrize("seed", range(50))
def test_only_blanks_between_parts_come_and_go(seed: int) -> None:
    dice = random.Random(seed)
    value = _value(dice, 4)
    text = json.dumps([value], indent=dice.choice([None, 1, 4]), ensure_ascii=dice.random() < 0.5)
    assert json_text.is_json(text)
    again = "\n".join(json_text.indented(text))
    assert json.loads(again) == [value]
    assert json_text.compact(again) == json_text.compact(text)


def test_what_is_no_json_or_nests_too_deeply_is_left_alone() -> None:
    assert not json_text.is_json("[1,")
    assert not json_text.is_json('"text"')
    assert not json_text.is_json("[" * 100_000 + "]" * 100_000)


def _value(dice: random.Random, depth: int) -> object:
    kind = dice.randrange(5 if depth else 3)
    if kind == 0:
        return "".join(dice.choice(string.printable + '\\"é漢') for _ in range(dice.randrange(9)))
    if kind in (1, 2):
        return dice.choice([None, True, 1, -2.5, 10**30])
    if kind == 3:
        return [_value(dice, depth - 1) for _ in range(dice.randrange(4))]
    return {f"k{number}": _value(dice, depth - 1) for number in range(dice.randrange(4))}


@pytest.mark.parametrize("text", ["x" * 400, "漢" * 300, "a b  c " * 40, "漢a" * 99, ""])
@pytest.mark.parametrize("width", [7, 40, 136])
def test_a_fold_shows_every_character(text: str, width: int) -> None:
    lines = fold([Span("label: ", Role.MUTED), Span(text)], width)
    assert "".join(map(plain, lines)) == "label: " + text
    assert all(cells(plain(each)) <= width for each in lines)


@pytest.mark.parametrize("width", [9, 40])
def test_a_word_that_is_longer_than_a_line_is_wrapped_whole(width: int) -> None:
    lines = wrap([Span("one "), Span("y" * 100), Span(" two")], width)
    assert "".join(plain(each) for each in lines).replace(" ", "") == "one" + "y" * 100 + "two"
    assert all(cells(plain(each)) <= width for each in lines)
