"""A process or a machine that stops before any one operation on its disk: every point is tried, none needs help."""

from collections.abc import Callable

import pytest

from proglog.testing.files import FaultyFiles, SimulatedCrashError
from tests.storage.kit import LONG, ROLLING, Witness, live, open_log, reopen

GROUPS = 80
"""About 200 batches, 10 rolls, 10 rounds of retention and marks."""


def operations_of_a_life() -> int:
    files = FaultyFiles()
    live(files, Witness(), groups=GROUPS)
    return files.operation


def crash_at(operation: int, end: Callable[[FaultyFiles], None], seed: int = 0) -> None:
    files, witness = FaultyFiles(seed), Witness()
    files.crash_at = operation
    with pytest.raises(SimulatedCrashError):
        live(files, witness, groups=GROUPS)
    end(files)
    reopen(files, witness, (operation, seed))


def test_the_life_that_is_interrupted_has_rolls_marks_and_retention_in_it() -> None:
    files, witness = FaultyFiles(), Witness()
    live(files, witness, groups=GROUPS)
    what = [each.split(" ")[0] + each[-8:] for each in files.trace]
    assert len(witness.attempts) >= 200
    assert sum(each.startswith("create 0") and each.endswith(".log") for each in files.trace) > 3
    assert {"rename", "unlink", "truncate", "sync", "write", "create", "sync_dir"} <= {
        e.split(" ")[0] for e in files.trace
    }
    assert files.trace.count("rename durable.tmp") > 3
    assert files.trace.count("rename retired.tmp") > 3, what


def test_a_kill_before_any_operation_of_a_life_loses_nothing_acknowledged() -> None:
    for operation in range(1, operations_of_a_life() + 1):
        crash_at(operation, FaultyFiles.kill)


def test_a_power_cut_before_any_operation_of_a_life_loses_nothing_acknowledged() -> None:
    for operation in range(1, operations_of_a_life() + 1):
        for seed in range(8 if LONG else 1):
            crash_at(operation, FaultyFiles.power_loss, seed=operation + 10_000 * seed)


def test_a_crash_while_recovering_is_recovered_from() -> None:
    for first in range(20, operations_of_a_life(), 5 if LONG else 61):
        for second in range(1, 14):
            files, witness = FaultyFiles(first), Witness()
            files.crash_at = first
            with pytest.raises(SimulatedCrashError):
                live(files, witness, groups=GROUPS)
            files.power_loss()
            files.crash_at = files.operation + second
            try:
                open_log(files=files, config=ROLLING, seed=5).close()
            except SimulatedCrashError:
                files.power_loss()
            else:
                files.kill()
            reopen(files, witness, (first, second))
