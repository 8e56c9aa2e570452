"""Durations and sizes, as flags, environment and TOML take them."""

import pytest

from proglog.errors import ConfigError
from proglog.log.config import MAX_SEGMENT_BYTES
from proglog.log.index import ENTRY_BYTES
from proglog.log.segment import MAX_INDEX_BYTES
from proglog.quantities import duration, size
from proglog.record.batch import HEADER_BYTES


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("90s", 90),
        ("15m", 900),
        ("12h", 43_200),
        ("7d", 604_800),
        ("2w", 1_209_600),
        ("7 d", 604_800),
        ("500ms", 0.5),
        ("1.5h", 5_400),
    ],
)
def test_a_duration_has_a_unit(text: str, seconds: float) -> None:
    assert duration("--retention-age", text) == seconds


@pytest.mark.parametrize("text", ["7", "0", " 7 ", "604800"])
def test_a_bare_number_is_no_duration_and_the_error_says_what_to_write(text: str) -> None:
    with pytest.raises(
        ConfigError, match=r"--retention-age .*: a duration needs a unit: \d+s is seconds, \d+d is days"
    ):
        duration("--retention-age", text)


@pytest.mark.parametrize("text", ["", "d", "-7d", "7.d", "7y", "7D", "1e3s", "\u0667d", "7d\n7d", "9" * 16 + "s"])
def test_what_is_no_duration_is_refused(text: str) -> None:
    with pytest.raises(ConfigError, match="--retention-age"):
        duration("--retention-age", text)


@pytest.mark.parametrize(
    ("text", "expected"),
    [("65536", 65536), ("512KiB", 1 << 19), ("64MiB", 1 << 26), ("1 GiB", 1 << 30), ("2GB", 2 * 10**9), ("7B", 7)],
)
def test_a_size_is_bytes_or_has_a_unit(text: str, expected: int) -> None:
    assert size("--segment-bytes", text) == expected


@pytest.mark.parametrize("text", ["", "MiB", "-1", "1.5", "64M", "64mib", "7d", "9" * 16])
def test_what_is_no_size_is_refused(text: str) -> None:
    with pytest.raises(ConfigError, match="--segment-bytes"):
        size("--segment-bytes", text)


def test_the_index_of_the_largest_segment_can_be_read_back() -> None:
    assert MAX_SEGMENT_BYTES // HEADER_BYTES * ENTRY_BYTES < MAX_INDEX_BYTES
