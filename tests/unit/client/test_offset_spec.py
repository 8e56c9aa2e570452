"""How people write a place."""

from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proglog.client.offset_spec import DAY_MS, OffsetSpec, parse_offset_spec
from proglog.errors import ConfigError

NOW = 1_790_000_000_000
"""2026-09-21 14:13:20 UTC."""


@pytest.mark.parametrize(
    ("text", "place"),
    [
        ("start", OffsetSpec.after_start(0)),
        ("end", OffsetSpec.before_end(0)),
        ("47", OffsetSpec.offset(47)),
        ("+2", OffsetSpec.after_start(2)),
        ("-100", OffsetSpec.before_end(100)),
        ("@1h", OffsetSpec.at_time(NOW - 3_600_000)),
        ("@14:13:20", OffsetSpec.at_time(NOW)),
        ("@14:13", OffsetSpec.at_time(NOW - 20_000)),
        ("@14:13:21", OffsetSpec.at_time(NOW + 1_000 - DAY_MS)),
        ("@2026-09-21T14:13:20Z", OffsetSpec.at_time(NOW)),
        ("@999999999999d", OffsetSpec.at_time(0)),
    ],
)
def test_a_place_means_what_the_help_says(text: str, place: OffsetSpec) -> None:
    assert parse_offset_spec(text, NOW) == place


def test_times_without_a_zone_are_those_of_the_reader() -> None:
    zone = timezone(timedelta(hours=2))
    assert parse_offset_spec("@16:13:20", NOW, zone) == OffsetSpec.at_time(NOW)
    assert parse_offset_spec("@2026-09-21T16:13:20", NOW, zone) == OffsetSpec.at_time(NOW)
    assert parse_offset_spec("@2026-09-21T14:13:20Z", NOW, zone) == OffsetSpec.at_time(NOW)


def test_the_zone_of_the_machine_is_taken_where_none_is_given() -> None:
    local = datetime.fromtimestamp(NOW / 1000, UTC).astimezone().strftime("%H:%M:%S")
    assert parse_offset_spec(f"@{local}", NOW, None) == OffsetSpec.at_time(NOW)


@pytest.mark.parametrize("text", ["", "x1", "--1", "1.5", "@", "@soon", "@24:00", "@1:2", "٣", "9" * 5_000])
def test_what_is_no_place_is_refused_in_a_short_word(text: str) -> None:
    with pytest.raises(ConfigError, match=r"is no (place|time)") as caught:
        parse_offset_spec(text, NOW)
    assert len(str(caught.value)) < 200


@given(st.text(max_size=30) | st.from_regex(r"@?[-+0-9:TZ. hmsd]{0,24}", fullmatch=True))
def test_nothing_but_a_place_or_a_config_error_comes_out(text: str) -> None:
    try:
        place = parse_offset_spec(text, NOW)
    except ConfigError:
        return
    assert place.value >= 0
