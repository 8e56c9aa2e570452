"""What is noticed though nothing happens to the log."""

import asyncio
import contextlib
from pathlib import Path

import pytest

from proglog.agent import monitor
from proglog.agent.monitor import CLOCK_TOLERANCE_MS, Monitor
from proglog.agent.timeline import Timeline
from proglog.log.config import LogConfig
from proglog.log.log import Log
from proglog.observe.event_findings import BY_STATUS_NAME, Lasting, Severity
from proglog.types import NodeName


async def told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, *moments: tuple[int, float]) -> list[str]:
    """Run a monitor over wall and steady clock as they were at its looks; return what it said of the clock."""
    monkeypatch.setattr(monitor, "LOOK_INTERVAL", 0.0)
    timeline = Timeline(lambda: 0, "a")
    clocks = list(moments)
    with contextlib.closing(Log.open(tmp_path, LogConfig(ballast_bytes=4096), node_name=NodeName("a"))) as log:
        watch = Monitor(
            log,
            timeline,
            certificate_expires_at_ms=lambda: 0,
            now_ms=lambda: clocks[0][0],
            steady=lambda: clocks[0][1],
        )
        running = asyncio.ensure_future(watch.run())
        for _ in moments:
            for _ in range(3):
                await asyncio.sleep(0)
            if len(clocks) > 1:
                del clocks[0]
        running.cancel()
    return [event.detail for event in timeline.events if event.kind == "clock-jumped"]


async def test_a_wall_clock_that_is_set_is_reported_and_one_that_is_kept_right_is_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    day = 86_400_000
    assert await told(tmp_path, monkeypatch, (0, 0.0), (2000, 2.0), (4000 + CLOCK_TOLERANCE_MS, 4.0), (6100, 6.0)) == []
    assert await told(tmp_path, monkeypatch, (0, 0.0), (2000 + day, 2.0), (4000 + day, 4.0)) == ["on by 1 d"]
    assert await told(tmp_path, monkeypatch, (day, 0.0), (2000, 2.0), (4000, 4.0)) == ["back by 1 d"]
    shown = BY_STATUS_NAME["clock-jumped"]
    assert isinstance(shown, Lasting)
    assert shown.severity is Severity.WARNING
