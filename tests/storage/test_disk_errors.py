"""A disk that answers EIO, once, to any one call: the log stops at once, or continues where nothing is at stake."""

from errno import EDQUOT, EIO
from random import Random

import pytest

from kit.checker import Outcome
from proglog.errors import LogPoisonedError, StorageError
from proglog.testing.files import FaultyFiles
from tests.storage.kit import DIR, ROLLING, Image, Witness, live, open_log, reading_of, reopen
from tests.unit.log.kit import append, local

GROUPS = 40


def operations_of_a_life() -> list[str]:
    files = FaultyFiles()
    live(files, Witness(), groups=GROUPS)
    return files.trace


@pytest.mark.parametrize("errno", [EIO, EDQUOT])
def test_a_failure_of_any_operation_never_makes_the_log_lie(errno: int) -> None:
    for operation in range(1, len(operations_of_a_life()) + 1):
        files, witness = FaultyFiles(operation), Witness()
        files.faults[operation] = errno
        try:
            log = live(files, witness, groups=GROUPS)
        except StorageError:
            pass  # opening was refused: there is nothing to be wrong about
        else:
            assert log.state == "closed"
        files.power_loss()
        reopen(files, witness, operation)


def test_after_an_error_of_a_write_or_sync_of_the_store_nothing_is_acknowledged_and_nothing_synced_again() -> None:
    trace = operations_of_a_life()
    of_stores = [n for n, what in enumerate(trace, 1) if what.endswith(".log") and what.startswith(("write", "sync "))]
    first = 1 + trace.index(f"write {0:020d}.log") + 2  # those before are of opening
    assert len(of_stores) > 70
    for operation in of_stores:
        if operation < first:
            continue
        files, witness = FaultyFiles(operation), Witness()
        log = open_log(files=files, config=ROLLING)
        files.faults[operation] = EIO
        random = Random(0)
        for group in range(GROUPS):  # as in `live`
            witness.append(log, [b"0.%d.%d " % (group, n) * random.randint(1, 40) for n in range(random.randint(1, 4))])
            if group % 8 == 7:
                log.retain()
        assert log.state == "poisoned", operation
        done = files.trace[operation:]
        assert not [what for what in done if what.startswith(("sync", "rename", "unlink"))], done
        outcomes = [attempt.outcome for attempt in witness.attempts]
        unanswered = outcomes.index(Outcome.UNKNOWN)
        assert Outcome.OK not in outcomes[unanswered:]
        assert len(reading_of(log).seen) > 0 or unanswered == 0  # what was durable is still served
        log.close()
        files.power_loss()
        reopen(files, witness, operation)


def test_the_first_failed_sync_poisons_the_log_until_it_is_opened_again() -> None:
    files, witness = FaultyFiles(), Witness()
    log = open_log(files=files)
    assert witness.append(log, [b"safe"])
    files.faults[files.operation + 2] = EIO  # the sync after the write
    (outcome,) = log.append([local(b"unknown")])
    assert isinstance(outcome, LogPoisonedError)
    assert log.state == "poisoned"
    syncs = files.trace.count(f"sync {0:020d}.log")
    (outcome,) = log.append([local(b"never")])
    assert isinstance(outcome, LogPoisonedError)
    assert files.trace.count(f"sync {0:020d}.log") == syncs  # a second sync would lie
    log.close()
    files.power_loss()
    log = open_log(files=files)
    assert log.state == "ok"
    values = [each.payload for each in reading_of(log).seen]
    assert values in ([b"safe"], [b"safe", b"unknown"])


def test_a_read_that_fails_is_an_error_of_that_read_only() -> None:
    files, witness = FaultyFiles(), Witness()
    log = open_log(files=files)
    for number in range(100):
        witness.append(log, [b"%d" % number * 40])
    start = files.reads
    assert witness.flaws(log, 1000) == []
    for number in range(1, files.reads - start + 1):
        files.read_faults = {files.reads + number: EIO}
        with pytest.raises(StorageError):
            witness.flaws(log, 1000)
        assert witness.flaws(log, 1000) == []
        assert log.state == "ok"
        assert log.damaged() == []
    assert append(log, b"y").base_offset == 100


@pytest.mark.parametrize("orderly", [True, False], ids=["closed in order", "killed"])
def test_a_read_that_fails_while_opening_refuses_or_is_made_up_for_and_cuts_nothing(orderly: bool) -> None:
    """A tail that cannot be read is not a torn tail."""
    files, witness = FaultyFiles(), Witness()
    log = open_log(files=files, config=ROLLING)
    for number in range(100):
        witness.append(log, [b"%d" % number * 40])
    if orderly:
        log.close()
    image = Image(files)
    start = files.reads
    open_log(files=files, config=ROLLING, seed=7)
    reads = files.reads - start
    assert reads >= 5
    for number in range(1, reads + 1):
        image.restore()
        files.read_faults = {files.reads + number: EIO}
        try:
            log = open_log(files=files, config=ROLLING, seed=7)
        except StorageError:
            assert all(bytes(files.content(path)) == image.content(path) for path in image.stores)
            files.kill()
            log = open_log(files=files, config=ROLLING, seed=7)
        assert witness.flaws(log) == [], number
        assert log.damaged() == [], number
        assert log.recovery.torn_bytes == 0


def test_short_writes_are_completed() -> None:
    for seed in range(60):
        files, witness = FaultyFiles(seed, short_writes=True), Witness()
        live(files, witness, groups=GROUPS)
        files.power_loss()
        reopen(files, witness, seed)
        assert all(attempt.outcome is Outcome.OK for attempt in witness.attempts)


def test_a_disk_that_takes_nothing_and_says_nothing_is_a_failed_write() -> None:
    files, witness = FaultyFiles(), Witness()
    log = open_log(files=files)
    assert witness.append(log, [b"safe"])
    (path,) = [path for path in files.paths() if path.suffix == ".log"]
    assert path.parent == DIR
    files.takes_nothing = True
    assert not witness.append(log, [b"not taken"])
    assert log.state == "poisoned"
    files.power_loss()
    reopen(files, witness, "takes nothing", config=log.config)
