"""Moments of a recording: which frame `--at T` means."""

import time
from collections.abc import Iterator, Sequence
from datetime import datetime
from zoneinfo import ZoneInfo

import pytest

from proglog.cli.ranges import parse_range
from proglog.cli.snapshots import frame_at
from proglog.client.offset_spec import OffsetSpec, parse_time_ms
from proglog.errors import ConfigError
from proglog.observe.frame import Frame
from proglog.wire.model import ClusterSnapshot, FsyncPolicy, LogState, LogStatus, NodeStatus

START = 1_790_000_000.0
"""2026-09-21 14:13:20 UTC."""


@pytest.fixture(autouse=True)
def _utc() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TZ", "UTC")
        time.tzset()
        yield
    time.tzset()


def _frames(seconds: int, start: float = START) -> Sequence[Frame]:
    node = NodeStatus(
        name="a", version="1", origin=bytes(16), rpc_addr="", bind_addr="", data_dir="", started_at_ms=0,
        tls=False, acl=False, gossip_encrypted=False,
    )  # fmt: skip
    log = LogStatus(
        start_offset=0, end_offset=0, bytes=0, segment_count=1, fsync=FsyncPolicy.ALWAYS, state=LogState.OK, disk_free_bytes=1,
        disk_total_bytes=1, records_appended=0, bytes_appended=0, records_served=0,
    )  # fmt: skip
    snapshot = ClusterSnapshot(
        node=node, log=log, members=(), origins=(), peers=(), segments=(), events=(), taken_at_ms=0
    )
    return [Frame.of(snapshot, at=start + second + 0.02, live=True) for second in range(seconds)]


@pytest.mark.parametrize(
    ("text", "second"),
    [
        ("+0", 0),
        ("+3", 3),
        ("+3.9", 3),
        ("-0", 9),
        ("-4", 5),
        ("@14:13:24", 3),
        ("@14:13:29", 8),
        ("2026-09-21T14:13:25.500Z", 5),
        ("2026-09-21T16:13:25.500+02:00", 5),
        ("2026-09-21T14:13:25.500", 5),
    ],
)
def test_a_moment_means_the_last_frame_up_to_it(text: str, second: int) -> None:
    frames = _frames(10)
    assert frame_at(frames, text) is frames[second]


def test_a_clock_time_is_the_last_one_before_the_end_even_across_midnight() -> None:
    midnight = START - START % 86_400
    frames = _frames(120, midnight - 60)
    assert frame_at(frames, "@23:59:30") is frames[29]
    assert frame_at(frames, "@00:00:30") is frames[89]


@pytest.mark.parametrize("text", ["+10.5", "-99", "@14:13:00", "2026-09-21T14:13:50Z", "1999-01-01"])
def test_a_moment_outside_is_refused_with_what_there_is(text: str) -> None:
    with pytest.raises(ConfigError, match=r"covers .* to "):
        frame_at(_frames(10), text)


@pytest.mark.parametrize(
    "text", ["", "5", "now", "1h", "@25:00:00", "@soon", "+-3", "+1e9", "+9999999999999999", "\uff15"]
)
def test_what_is_no_moment_is_refused_with_what_was_expected(text: str) -> None:
    with pytest.raises(ConfigError, match=r"is no time; expected \+90"):
        frame_at(_frames(10), text)


def test_a_time_means_the_same_in_a_range_and_in_a_recording(monkeypatch: pytest.MonkeyPatch) -> None:
    """What one prints, the other takes: both are in the reader's time zone."""
    monkeypatch.setenv("TZ", "America/New_York")
    time.tzset()
    try:
        frames = _frames(10)
        for text in ("@10:13:24", "@2026-09-21T10:13:24"):
            assert frame_at(frames, text) is frames[3]
            start, _ = parse_range(text, START * 1000 + 9_000)
            assert start == OffsetSpec.at_time(START * 1000 + 4_000)
    finally:
        monkeypatch.undo()
        time.tzset()


def test_a_time_of_day_that_comes_twice_is_never_in_the_future() -> None:
    zone = ZoneInfo("Europe/Berlin")
    second = round(datetime(2026, 10, 25, 2, 40, tzinfo=zone, fold=1).timestamp() * 1000)
    assert parse_time_ms("02:30", second, zone) == second - 600_000
    before = round(datetime(2026, 10, 25, 2, 10, tzinfo=zone, fold=1).timestamp() * 1000)
    assert parse_time_ms("02:30", before, zone) == before - 2_400_000, "the first of the two, 40 minutes ago"
