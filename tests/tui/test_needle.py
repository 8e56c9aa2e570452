"""The box of a table: texts, patterns, and parts of records; a pattern of anybody's cost is broken off."""

import time

import pytest

from proglog.observe.spans import Locale, Role, Span, plain
from proglog.record.record import StoredRecord
from proglog.tui import needle
from proglog.tui.needle import accepts, marked
from proglog.tui.views import records
from proglog.types import Offset, OriginId, SequenceNumber

ORIGIN = OriginId(b"\xc0\xff\xee" + bytes(13))


def _row(value=b"Hello World, order 4711", key=b"user-1", headers=(("trace", b"abc"),), writer="node-a"):
    stored = StoredRecord(
        value=value, key=key, timestamp_ms=0, headers=headers,
        offset=Offset(7), origin=ORIGIN, sequence=SequenceNumber(8),
    )  # fmt: skip
    return records.row(stored, Locale(), writer=writer)


@pytest.mark.parametrize(
    "wanted",
    [
        "hello", "WORLD", "!absent", "~order [0-9]{4}$", "key=USER", "key=~^user-.$", "header=abc", "header:trace=abc",
        "header=trace", "origin=node-a", "origin=c0ffee", "value=order", "hello 4711", '"World, order"', "hello !bye",
        "!origin=node-b", "!header:other=x", "", r"~\d{4}", r'value=~"order \d+$" hello', "!~^x",
    ],
)  # fmt: skip
def test_a_record_passes(wanted):
    assert accepts(_row(), wanted)


@pytest.mark.parametrize(
    "wanted",
    [
        "bye", "!hello", "~^order", "key=hello", "key=~r$", "header:span=abc", "header:trace=x", "origin=node-b",
        "value=user-1", "hello bye", '"order World"', "!key=user",
    ],
)  # fmt: skip
def test_a_record_does_not_pass(wanted):
    assert not accepts(_row(), wanted)


def test_what_is_beyond_the_preview_is_found():
    assert accepts(_row(value=b"x" * 40_000 + b"needle"), "needle")


def test_what_is_no_pattern_is_said_and_hides_nothing():
    assert accepts(_row(), "~[")
    assert "no regular expression" in needle.needle_of(_row(), "~[").problem


def test_a_pattern_that_takes_too_long_is_given_up():
    began = time.monotonic()
    bomb, wanted = _row(value=b"a" * 64 + b"!"), "~(a+)+$"
    for _ in range(50):
        accepts(bomb, wanted)
    assert time.monotonic() - began < 2.0
    assert needle.needle_of(bomb, wanted).problem == "the pattern takes too long"


def test_a_match_is_marked_where_it_is_shown():
    line = (Span("one "), Span("two three", Role.MUTED))
    shown = marked(line, "e t", of_records=False)
    assert plain(shown) == plain(line)
    assert [span.text for span in shown if span.role is Role.MATCH] == ["e ", "t"]
    patterned = marked(line, "~t..", of_records=True)
    assert [span.text for span in patterned if span.role is Role.MATCH] == ["two", "thr"]
    assert marked(line, "!two", of_records=True) == line
