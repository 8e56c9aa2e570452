"""The grammar of RANGE."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proglog.cli.ranges import parse_range, parse_start
from proglog.client.cursor import Cursor
from proglog.client.offset_spec import OffsetSpec
from proglog.errors import ConfigError
from proglog.types import OriginId, SequenceNumber

NOW = 1_800_000_000_000
HOUR = 3_600_000
START, END = OffsetSpec.after_start(0), OffsetSpec.before_end(0)


@pytest.mark.parametrize(
    ("text", "start", "end"),
    [
        ("start", START, None),
        ("end", END, None),
        ("47", OffsetSpec.offset(47), None),
        ("+2", OffsetSpec.after_start(2), None),
        ("-3", OffsetSpec.before_end(3), None),
        ("5:10", OffsetSpec.offset(5), OffsetSpec.offset(10)),
        ("5:", OffsetSpec.offset(5), None),
        (":end", START, None),
        (":10", START, OffsetSpec.offset(10)),
        ("5:5", OffsetSpec.offset(5), OffsetSpec.offset(5)),
        ("-5:-2", OffsetSpec.before_end(5), OffsetSpec.before_end(2)),
        ("@1h", OffsetSpec.at_time(NOW - HOUR), None),
        ("@90s", OffsetSpec.at_time(NOW - 90_000), None),
        ("@2026-01-02T03:04:05Z", OffsetSpec.at_time(1_767_323_045_000), None),
        ("@1767323045", OffsetSpec.at_time(1_767_323_045_000), None),
        ("@1767323045123", OffsetSpec.at_time(1_767_323_045_123), None),
        ("@2h:@1h", OffsetSpec.at_time(NOW - 2 * HOUR), OffsetSpec.at_time(NOW - HOUR)),
        (
            "@2026-01-02T03:04:05Z:@2026-01-02T04:00:00Z",
            OffsetSpec.at_time(1_767_323_045_000),
            OffsetSpec.at_time(1_767_326_400_000),
        ),
        ("@1h:end", OffsetSpec.at_time(NOW - HOUR), None),
        ("@2026-01-02 03:04:05Z", OffsetSpec.at_time(1_767_323_045_000), None),
        ("@2026-01-02t03:04:05z", OffsetSpec.at_time(1_767_323_045_000), None),
        ("@2026-01-02 03:04", OffsetSpec.at_time(1_767_323_040_000), None),
        ("@2026-01-02 03:04:end", OffsetSpec.at_time(1_767_323_040_000), None),
        (
            "@2026-01-02:@2026-01-02T03:04:05+00:00",
            OffsetSpec.at_time(1_767_312_000_000),
            OffsetSpec.at_time(1_767_323_045_000),
        ),
        ("@07:59:58", OffsetSpec.at_time(NOW - 2_000), None),
        ("@07:59:58:end", OffsetSpec.at_time(NOW - 2_000), None),
        ("@07:58:@07:59:58", OffsetSpec.at_time(NOW - 120_000), OffsetSpec.at_time(NOW - 2_000)),
    ],
)
def test_a_range_means_what_the_help_says(text: str, start: OffsetSpec, end: OffsetSpec | None) -> None:
    assert parse_range(text, NOW) == (start, end)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "x",
        "5:x",
        "--1",
        "1.5",
        "@",
        "@soon",
        "@1y",
        "10:5",
        "-2:-5",
        "٣",
        "9" * 30,
        "5-10",
        "--folow",
        "@20260102",
        "@2026-13-01",
    ],
)
def test_what_is_no_range_is_said_with_the_value(text: str) -> None:
    with pytest.raises(ConfigError, match="RANGE"):
        parse_range(text, NOW)


@given(st.text(st.characters(), max_size=30) | st.from_regex(r"[-+@:0-9TZhms]{0,20}", fullmatch=True))
def test_nothing_but_a_config_error_comes_out(text: str) -> None:
    try:
        start, _ = parse_range(text, NOW)
    except ConfigError:
        return
    assert isinstance(start, OffsetSpec)


def test_a_cursor_is_a_place_to_start_at() -> None:
    cursor = Cursor({OriginId(b"o" * 16): SequenceNumber(7)})

    assert parse_start(f"cursor:{cursor}", NOW) == (cursor, None)
    assert parse_start("5:10", NOW) == (OffsetSpec.offset(5), OffsetSpec.offset(10))


@pytest.mark.parametrize("text", ["cursor:", "cursor:nonsense", "cursor:AQ"])
def test_what_is_no_cursor_is_refused_in_words(text: str) -> None:
    with pytest.raises(ConfigError, match="RANGE: the cursor"):
        parse_start(text, NOW)
