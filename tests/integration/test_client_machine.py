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
from proglog.client.buffer_pool import BufferPool
from proglog.client.courier import Courier
from proglog.client.flushes import Flush, Flushes
from proglog.client.link import Link
from proglog.client.producer import Producer
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
        cwd=ROOT, capture_output=True, text=True, timeout=240, check=False, env=os.environ | {"GRPC_VERBOSITY": "NONE"},
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


def _forgets_copies(self: Accumulator) -> None:
    """Take what a full disk refused for never sent, though a copy was sent on a call before."""
    for each in self.in_flight:
        each.tries = 0
    self._take_back()


def _is_one_life(self: Accumulator) -> None:
    """Number what another log gets behind what the first one got."""


def _sends_to_any_log(self: Courier, log: bytes, link: Link) -> None:
    """Send what may be in one log to another."""
    del link
    self.log, self.trouble = log, None
    self._failover.contact(self._loop.time())


def _believes_late_answers(self: Courier, cause: ProglogError) -> None:
    """Cancel the call whose batches were given up, and forget that."""
    if self._call is not None:
        self._call.cancel()


def _forgets_failures(self: Flushes, batch: Batch) -> None:
    """Report a failed batch to no flush that waits."""
    self._unreported.append(batch)


def _forgets_the_rest(self: Flushes, flush: Flush) -> None:
    """Take a batch for reported of which a flush covered the first record."""
    later = [each for each in self._unreported if each.number >= flush.upto]
    self._unreported.clear()
    self._unreported.extend(later)


def _always_fits(self: BufferPool, size: int) -> bool:
    """Hold as much as callers like."""
    return True


def _gives_no_room(self: BufferPool) -> None:
    """Leave waiting callers where they are."""


def _lingers(self: Producer, batch: Batch) -> None:
    """Send a batch when it is full, and not before."""


def _waits_for_company(self: Producer, batch: Batch) -> None:
    """Let an awaited record linger."""


PLANTED: list[tuple[type, str, Any]] = [
    (Accumulator, "abandon", _knows_too_much),
    (Accumulator, "answered", _answers_another),
    (Accumulator, "_take_back", _takes_back_in_disorder),
    (Accumulator, "not_taken", _forgets_copies),
    (Accumulator, "begin_life", _is_one_life),
    (Courier, "_meet", _sends_to_any_log),
    (Courier, "drop", _believes_late_answers),
    (Flushes, "failed", _forgets_failures),
    (Flushes, "reported", _forgets_the_rest),
    (BufferPool, "fits", _always_fits),
    (BufferPool, "give", _gives_no_room),
    (Producer, "_set_linger", _lingers),
    (Producer, "_urge", _waits_for_company),
]


@pytest.mark.parametrize(("kind", "name", "error"), PLANTED, ids=[name for _, name, _ in PLANTED])
def test_a_planted_error_is_found(kind: type, name: str, error: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kind, name, error)
    for start in range(0, 500, 20):
        problems, _ = in_virtual_time(range(start, start + 20))
        if problems:
            return
    pytest.fail("five hundred schedules did not meet it")
