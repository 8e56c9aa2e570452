"""Random calls and failing agents, by the thousand: each record has one outcome, and the logs agree with it."""

import asyncio
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from kit.client_machine import TOGETHER, in_virtual_time, over_grpc
from proglog.client.accumulator import Accumulator, Batch, Failed
from proglog.client.flushes import Flushes
from proglog.errors import ProglogError

ROOT = Path(__file__).resolve().parents[2]
LONG = bool(os.environ.get("PROGLOG_LONG"))
CHUNK = 20_000 if LONG else 500
SCHEDULES_OVER_GRPC = 500 if LONG else 40


@pytest.mark.timeout(7200 if LONG else 240)
@pytest.mark.parametrize("chunk", range(4))
def test_in_virtual_time_each_record_has_one_outcome_and_the_logs_agree(
    chunk: int, record_property: Callable[[str, object], None]
) -> None:
    problems, done = in_virtual_time(range(chunk * CHUNK, (chunk + 1) * CHUNK))

    record_property("outcomes", dict(done))
    assert problems == []
    assert min(done[each] for each in ("written", "unknown", "not written", "cancelled")) > CHUNK / 4, done


def descriptors() -> int:
    return sum(1 for _ in Path("/proc/self/fd").iterdir())


@pytest.mark.timeout(7200 if LONG else 240)
async def test_over_grpc_as_well_and_no_task_and_no_descriptor_is_left(
    record_property: Callable[[str, object], None],
) -> None:
    await over_grpc(range(1_000_000, 1_000_000 + TOGETHER))  # gRPC keeps some descriptors for good
    tasks, open_before = len(asyncio.all_tasks()), descriptors()

    problems, done = await over_grpc(range(SCHEDULES_OVER_GRPC))

    record_property("outcomes", dict(done))
    assert problems == []
    assert min(done[each] for each in ("written", "unknown", "not written")) > SCHEDULES_OVER_GRPC / 4, done
    async with asyncio.timeout(20):
        while len(asyncio.all_tasks()) > tasks or descriptors() > open_before + 5:
            await asyncio.sleep(0.1)


@pytest.mark.parametrize("arguments", [["40"], ["8", "--grpc"]], ids=["virtual", "grpc"])
def test_nothing_is_left_that_python_warns_of(arguments: list[str]) -> None:
    ended = subprocess.run(
        [sys.executable, "-X", "dev", "-W", "error", "-m", "kit.client_machine", *arguments],
        cwd=ROOT, capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip

    assert (ended.returncode, ended.stderr) == (0, ""), ended.stdout


def _knows_too_much(self: Accumulator, cause: ProglogError) -> list[Batch]:
    """Call what was sent and not answered not written."""
    return self._give_up(self._all_tried(), Failed(cause, unknown=False))


def _answers_another(self: Accumulator, outcome: Any) -> Batch:
    """Take an answer for that to the youngest batch."""
    youngest = self.in_flight.pop()
    self._settle(youngest, outcome)
    return youngest


def _takes_back_in_disorder(self: Accumulator) -> None:
    """Put what was in flight behind what waits."""
    self._sealed.extend(self.in_flight)
    self.in_flight.clear()


def _forgets_failures(self: Flushes, batch: Batch) -> None:
    """Report a failed batch to no flush that waits."""
    self._unreported.append(batch)


PLANTED: list[tuple[type, str, Any]] = [
    (Accumulator, "abandon", _knows_too_much),
    (Accumulator, "answered", _answers_another),
    (Accumulator, "_take_back", _takes_back_in_disorder),
    (Flushes, "failed", _forgets_failures),
]


@pytest.mark.parametrize(("kind", "name", "error"), PLANTED, ids=[name for _, name, _ in PLANTED])
def test_a_planted_error_is_found(kind: type, name: str, error: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kind, name, error)
    for start in range(0, 500, 20):
        problems, _ = in_virtual_time(range(start, start + 20))
        if problems:
            return
    pytest.fail("five hundred schedules did not meet it")
