"""Under which origin a directory writes: kept, begun anew at run time, and never used twice."""

from contextlib import suppress
from errno import ENOSPC

import pytest

from proglog.errors import LogClosedError, LogFullError
from proglog.log import checkpoint
from proglog.log.config import FsyncPolicy, LogConfig
from proglog.log.log import Log
from proglog.log.model import Appended, ImportAppend
from proglog.record import control
from proglog.record.batch import HEADER_BYTES, verify
from proglog.record.columns_pb2 import OriginStart
from proglog.testing.files import FaultyFiles, SimulatedCrashError
from proglog.types import OriginId
from tests.unit.log.kit import DIR, append, batches_of, open_log, values_of


def starts_of(log: Log) -> dict[OriginId, OriginStart]:
    """The first batch of every origin, as it reads."""
    found = {}
    for batch in batches_of(log):
        said = control.parse(batch.payload) if batch.header.is_control else None
        if isinstance(said, OriginStart):
            assert batch.header.base_sequence == 1
            found[batch.header.origin] = said
    return found


def test_a_new_origin_names_the_old_one_and_takes_what_comes_next() -> None:
    log = open_log(files=FaultyFiles())
    before = append(log, b"old")
    origin = log.begin_origin("a peer knows more of this origin")
    after = append(log, b"new")
    assert log.origin == origin == after.origin != before.origin
    assert after.base_sequence == 2
    start = starts_of(log)[origin]
    assert (start.previous_origin, start.previous_next_sequence) == (before.origin, before.next_sequence)
    assert start.reason == "a peer knows more of this origin"
    assert values_of(log) == [b"old", b"new"]


def test_what_others_have_of_the_old_origin_can_be_imported() -> None:
    source = open_log(files=FaultyFiles())
    append(source, b"one")
    rolled_back = open_log(files=FaultyFiles())  # the same origin, but without what was written
    append(source, b"two")
    rolled_back.begin_origin("rolled back")
    copies = [ImportAppend(verify(bytes(each.data))) for each in batches_of(source)]
    assert rolled_back.origin != source.origin
    outcomes = rolled_back.append(copies[1:])
    assert all(isinstance(outcome, Appended) for outcome in outcomes)
    assert values_of(rolled_back) == [b"one", b"two"]


@pytest.mark.parametrize("power", [False, True])
@pytest.mark.parametrize("policy", list(FsyncPolicy))
def test_a_crash_at_any_moment_leaves_one_origin_whose_history_is_whole(policy: FsyncPolicy, power: bool) -> None:
    config = LogConfig(segment_bytes=4096, index_interval_bytes=512, ballast_bytes=0, fsync=policy)
    outcomes = set()
    for ahead in range(1, 20):
        files = FaultyFiles(ahead)
        log = open_log(files=files, config=config)
        append(log, b"old")
        log.sync()
        old = log.origin
        files.crash_at = files.operation + ahead
        begun = None
        with suppress(SimulatedCrashError):
            begun = log.begin_origin("because")
        files.power_loss() if power else files.kill()
        log = open_log(files=files, config=config, seed=7)
        append(log, b"after")
        starts = starts_of(log)
        assert values_of(log) == [b"old", b"after"]
        assert log.origin in starts
        if begun is not None and policy is FsyncPolicy.ALWAYS:
            assert log.origin == begun
        if log.origin != old:
            named = OriginId(starts[log.origin].previous_origin)
            assert named in starts
            assert old in (named, OriginId(starts[named].previous_origin))
        outcomes.add(log.origin == old)
        files.kill()
        assert open_log(files=files, config=config, seed=8).recovery.describe() == ""
    if policy is FsyncPolicy.ALWAYS:
        assert outcomes == {True, False}


def test_without_room_for_it_the_old_origin_continues() -> None:
    files = FaultyFiles()
    log = open_log(files=files)
    append(log, b"old")
    old = log.origin
    files.faults[files.operation + 7] = ENOSPC  # the batch, after the file
    with pytest.raises(LogFullError):
        log.begin_origin("because")
    assert log.origin == old
    files.faults = {}
    assert append(log, b"later").origin == old
    files.kill()
    reopened = open_log(files=files, seed=5)
    assert values_of(reopened) == [b"old", b"later"]
    assert starts_of(reopened)[reopened.origin].previous_origin == old


def test_a_closed_log_begins_no_origin() -> None:
    log = open_log(files=FaultyFiles())
    log.close()
    with pytest.raises(LogClosedError):
        log.begin_origin("because")


def test_damage_after_its_last_batch_ends_an_origin_for_a_sequence_may_be_in_it() -> None:
    files, other = FaultyFiles(), open_log(files=FaultyFiles(), name="b", seed=2)
    log = open_log(files=files, config=LogConfig(ballast_bytes=0))
    append(log, b"kept")
    lost = log.end_position.position
    append(log, b"lost")
    append(other, b"copied")
    log.append([ImportAppend(verify(bytes(each.data))) for each in batches_of(other)])
    old = log.origin
    files.kill()
    files.content(DIR / f"{0:020d}.log")[lost + HEADER_BYTES + 2] ^= 1
    log = open_log(files=files, config=LogConfig(ballast_bytes=0), seed=3)
    assert log.origin != old
    assert log.recovery.new_origin_reason == "its last batches may be in a damaged range"


def test_damage_before_its_last_batch_ends_no_origin() -> None:
    files = FaultyFiles()
    log = open_log(files=files, config=LogConfig(ballast_bytes=0))
    at = log.end_position.position
    append(log, b"lost")
    append(log, b"kept")
    old = log.origin
    files.kill()
    files.content(DIR / f"{0:020d}.log")[at + HEADER_BYTES + 2] ^= 1
    log = open_log(files=files, config=LogConfig(ballast_bytes=0), seed=3)
    assert log.origin == old


def test_the_policy_of_the_origin_is_on_disk_before_anything_is_appended_under_it() -> None:
    """Killed between file and first batch, started again under a policy that may lose what it acknowledged."""
    for ahead in range(1, 40):
        files = FaultyFiles(ahead)
        files.crash_at = ahead
        with suppress(SimulatedCrashError):
            open_log(files=files, config=LogConfig(ballast_bytes=0))
        files.power_loss()
        log = open_log(files=files, config=LogConfig(ballast_bytes=0, fsync=FsyncPolicy.OS), seed=1)
        first = log.origin
        append(log, b"acknowledged, and lost by the power cut")
        content = checkpoint.load(files, DIR / "origin")
        assert content is not None
        assert content["fsync"] == "os", ahead
        files.power_loss()
        log = open_log(files=files, config=LogConfig(ballast_bytes=0, fsync=FsyncPolicy.OS), seed=2)
        assert log.origin != first, ahead


def test_a_long_node_name_is_cut_at_a_character_and_survives_a_restart() -> None:
    name = "\u00e4" * 200
    source = open_log(files=FaultyFiles(), name=name)
    append(source, b"one")
    files = FaultyFiles()
    target = open_log(files=files, seed=1)
    target.append([ImportAppend(verify(bytes(each.data))) for each in batches_of(source)])
    for _ in range(3):
        kept = target.origins()[source.origin].node_name
        assert kept == "\u00e4" * 127
        assert kept.encode()  # what goes into messages is text
        target.close()
        files.kill()
        target = open_log(files=files)
