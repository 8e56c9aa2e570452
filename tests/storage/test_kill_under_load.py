"""``kill -9`` while four producers write: nothing acknowledged is lost, nothing is wrong, and opening is quick."""

import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path
from random import Random

import pytest

from kit.checker import Attempt, Outcome, check
from kit.patience import patience
from proglog.log.log import Log
from proglog.types import NodeName
from tests.storage.kit import LONG, reading_of
from tests.storage.nursery import CONFIG, PRODUCERS, Nursery, payload

KILLS = 1_000 if LONG else 50


@pytest.fixture
def nursery() -> Iterator[Nursery]:
    started = Nursery()
    yield started
    started.close()


def one_life(nursery: Nursery, directory: Path, life: int, seconds: float) -> list[Attempt]:
    """Let a writer write for ``seconds``, kill it, and return what its producers know."""
    pid = nursery.start(directory, life)
    first = nursery.line()  # it is writing
    time.sleep(seconds)  # the moment is the fault, not a wait for anything
    os.kill(pid, signal.SIGKILL)
    producer, number, offset = (int(part) for part in first.split())
    answers = [(producer, number, offset), *nursery.acknowledged()]
    attempts = [
        Attempt(f"{life}.{producer}", payload(life, producer, number), Outcome.OK, offset)
        for producer, number, offset in answers
    ]
    for each in range(PRODUCERS):
        following = sum(producer == each for producer, _, _ in answers)
        attempts.append(Attempt(f"{life}.{each}", payload(life, each, following), Outcome.UNKNOWN))
    return attempts


@pytest.mark.timeout(1800)
def test_a_killed_writer_loses_nothing_acknowledged(nursery: Nursery, tmp_path: Path) -> None:
    random = Random(1)
    attempts: list[Attempt] = []
    slowest, acknowledged = 0.0, 0
    for life in range(KILLS):
        lived = one_life(nursery, tmp_path, life, random.uniform(0, 0.12))
        acknowledged += sum(attempt.outcome is Outcome.OK for attempt in lived)
        attempts += lived
        started = time.monotonic()
        log = Log.open(tmp_path, CONFIG, node_name=NodeName("a"))
        slowest = max(slowest, time.monotonic() - started)
        reading = reading_of(log)
        assert check(attempts, [reading]) == [], life
        assert log.damaged() == []
        assert log.recovery.new_origin_reason == ""
        # The next offset is one past the last durable record: at most one batch of each producer was in the air.
        last = max(attempt.offset for attempt in lived)
        assert 0 <= log.end_offset - (last + 1) <= PRODUCERS
        log.close()
        attempts = [each for each in attempts if each.offset >= log.start_offset or each.outcome is Outcome.UNKNOWN]
        attempts = attempts[-20_000:]
    assert slowest <= patience(1), f"opening took {slowest:.2f} s"
    assert acknowledged > 20 * KILLS
    print(f"{KILLS} kills, {acknowledged:,} acknowledged, slowest opening {slowest * 1000:.0f} ms")
