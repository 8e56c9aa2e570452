"""Named positions: a join that does not care for order, carried by control batches, kept through retention."""

from contextlib import suppress
from random import Random

import pytest

from proglog.errors import InvalidRequestError, MalformedBatchError
from proglog.log import housekeeping
from proglog.log import named_positions as module
from proglog.log.config import LogConfig
from proglog.log.log import Log
from proglog.log.model import Appended, LocalAppend, Outcome
from proglog.log.named_positions import EXPIRY_MS, CommittedPosition, NamedPositions
from proglog.log.verify import verify_directory
from proglog.record import batch, control
from proglog.record.batch import verify
from proglog.record.columns_pb2 import Control, PositionCommit
from proglog.testing.files import FaultyFiles, SimulatedCrashError
from proglog.types import Offset, OriginId, SequenceNumber
from tests.unit.log.kit import DIR, SMALL, append, batches_of, copy, open_log, values_of

A, B, C = (OriginId(letter * 16) for letter in (b"a", b"b", b"c"))
RETAINING = LogConfig(segment_bytes=4096, retention_bytes=6000, ballast_bytes=4096)


def commit(log: Log, name: str, epoch: int, at_ms: int = 5, **vector: int) -> Outcome:
    positions = {OriginId(origin.encode() * 16): SequenceNumber(following) for origin, following in vector.items()}
    (outcome,) = log.append([LocalAppend(verify(control.position_commit(name, epoch, positions, now_ms=at_ms)))])
    return outcome


def message(name: str, epoch: int, vector: dict[OriginId, int], at_ms: int = 0) -> PositionCommit:
    said = control.parse(
        verify(
            control.position_commit(
                name, epoch, {key: SequenceNumber(each) for key, each in vector.items()}, now_ms=at_ms
            )
        ).payload
    )
    assert isinstance(said, PositionCommit)
    return said


def test_a_commit_is_known_at_once_takes_no_offset_and_moves_forwards_only() -> None:
    log = open_log(files=FaultyFiles())
    outcome = commit(log, "nightly", 1, a=5, b=9)
    assert isinstance(outcome, Appended)
    assert outcome.base_offset == outcome.end_offset
    commit(log, "nightly", 1, at_ms=7, a=8, b=2, c=1)
    assert log.named_positions() == {
        "nightly": CommittedPosition(1, {A: SequenceNumber(8), B: SequenceNumber(9), C: SequenceNumber(1)}, 7)
    }
    assert values_of(log) == []


def test_a_higher_epoch_may_go_backwards_and_a_lower_one_says_nothing() -> None:
    log = open_log(files=FaultyFiles())
    commit(log, "x", 1, a=100)
    commit(log, "x", 2, a=3)
    commit(log, "x", 1, a=200)
    assert log.named_positions()["x"].vector == {A: 3}


def test_commits_travel_like_records() -> None:
    log, other = open_log(files=FaultyFiles()), open_log(files=FaultyFiles(), name="b", seed=2)
    commit(log, "x", 1, a=4)
    commit(other, "x", 1, b=6)
    copy(log, other)
    copy(other, log, other.origin)
    assert log.named_positions() == other.named_positions()
    assert log.named_positions()["x"].vector == {A: 4, B: 6}


@pytest.mark.parametrize("seed", range(30))
def test_the_join_is_commutative_associative_and_idempotent(seed: int) -> None:
    random = Random(seed)
    commits = [
        message("x", random.randint(1, 2), {random.choice([A, B, C]): random.randint(1, 9) for _ in range(3)}, number)
        for number in range(8)
    ]
    in_order, shuffled = NamedPositions(), NamedPositions()
    for each in commits:
        in_order.observe(each, Offset(0))
    random.shuffle(commits)
    for each in commits * 2:
        shuffled.observe(each, Offset(0))
    assert shuffled.values() == in_order.values()


@pytest.mark.parametrize("seed", range(30))
def test_the_commits_from_where_a_value_rests_on_make_it_alone(seed: int) -> None:
    random = Random(seed)
    seen: list[tuple[PositionCommit, Offset]] = []
    positions = NamedPositions()
    for number in range(20):
        vector = {random.choice([A, B, C]): random.randint(1, 9) for _ in range(random.randint(1, 3))}
        seen.append((message("x", 1, vector, number), Offset(number // 3 * 10)))
        positions.observe(*seen[-1])
        rests_on = next(start for start in range(1000) if positions.resting_before(Offset(start))) - 1
        alone = NamedPositions()
        for said, segment in seen:
            if segment >= rests_on:
                alone.observe(said, segment)
        assert alone.values() == positions.values()


@pytest.mark.parametrize("end", ["close", "kill"])
@pytest.mark.parametrize("lost", [False, True])
def test_a_restart_forgets_no_position(end: str, lost: bool) -> None:
    files = FaultyFiles()
    log = open_log(files=files)
    for number in range(40):
        commit(log, f"name {number % 3}", 1, at_ms=number, a=number + 1, b=50 - number)
        append(log, b"x" * 200)
    before = log.named_positions()
    if end == "close":
        log.close()
    files.kill()
    if lost:
        files.unlink(DIR / "derived")
    assert open_log(files=files, seed=5).named_positions() == before


def test_retention_commits_again_what_rests_on_the_segments_that_go() -> None:
    files = FaultyFiles()
    log = open_log(files=files, config=RETAINING)
    commit(log, "old", 3, at_ms=1, a=5)
    commit(log, "old", 3, at_ms=2, b=7)
    for number in range(60):
        append(log, b"x" * 100)
        commit(log, "busy", 1, at_ms=number, a=number + 1)
    before = log.named_positions()
    assert log.retain() > 0
    assert log.named_positions() == before
    files.kill()
    files.unlink(DIR / "derived")
    log = open_log(files=files, config=RETAINING, seed=5)
    assert log.named_positions() == before
    said = [control.parse(each.payload) for each in batches_of(log) if each.header.is_control]
    assert sum(isinstance(each, PositionCommit) and each.name == "old" for each in said) == 1


def test_a_position_of_any_number_of_origins_is_committed_in_portions_that_join() -> None:
    origins = [OriginId(number.to_bytes(16, "big")) for number in range(10_000)]
    vector = {origin: SequenceNumber(number + 1) for number, origin in enumerate(origins)}
    files = FaultyFiles()
    config = LogConfig(segment_bytes=1 << 20, retention_bytes=1 << 20, ballast_bytes=0)
    log = open_log(files=files, config=config)
    parts = control.position_commits("x", 1, vector, now_ms=1)
    assert len(parts) == 3
    log.append([LocalAppend(verify(each)) for each in parts])
    held = log.named_positions()["x"]
    assert held.vector == vector

    moved = held.to_commit(1, {**vector, origins[7]: SequenceNumber(99)})
    assert moved == {origins[7]: 99}, "a large one is not written again whole"
    assert held.to_commit(2, vector) == vector
    log.append([LocalAppend(verify(each)) for each in control.position_commits("x", 1, moved, now_ms=2)])
    before = log.named_positions()
    for _ in range(3):
        while log.retain() == 0:
            append(log, b"x" * 100_000)
        assert log.named_positions() == before
    files.kill()
    files.unlink(DIR / "derived")
    log = open_log(files=files, config=config, seed=5)
    assert log.named_positions() == before
    assert before["x"].vector[origins[7]] == 99


def test_a_log_with_nearly_too_many_origins_for_a_cursor_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(housekeeping, "MAX_VECTOR_ORIGINS", 4)
    log = open_log(files=FaultyFiles())
    commit(log, "x", 1, a=5, b=7, c=1)
    log.retain()
    assert log.problems() == ()
    log.append(
        [LocalAppend(verify(control.position_commit("x", 1, {OriginId(b"d" * 16): SequenceNumber(3)}, now_ms=1)))]
    )
    log.retain()
    (problem,) = log.problems()
    assert problem.key == "origins"
    assert "4 origins are known, and a cursor names at most 4" in problem.detail


def test_retention_on_a_full_disk_gives_up_the_ballast_for_positions() -> None:
    files = FaultyFiles()
    log = open_log(files=files, config=RETAINING)
    commit(log, "old", 3, a=5)
    for _ in range(60):
        append(log, b"x" * 100)
    before = log.named_positions()
    files.capacity_bytes = files.used_bytes()
    assert log.retain() > 0
    assert log.named_positions() == before
    files.kill()
    assert open_log(files=files, config=RETAINING, seed=5).named_positions() == before


def test_retention_that_cannot_keep_a_position_removes_nothing() -> None:
    files = FaultyFiles()
    config = LogConfig(segment_bytes=4096, retention_bytes=6000, ballast_bytes=0)
    log = open_log(files=files, config=config)
    commit(log, "old", 3, a=5)
    for _ in range(60):
        append(log, b"x" * 100)
    for path in files.paths():
        if path.suffix == ".index":
            files.unlink(path)
    files.capacity_bytes = files.used_bytes()
    assert log.retain() == 0
    assert log.start_offset == 0
    files.capacity_bytes = None
    assert log.retain() > 0


def test_retention_on_a_full_disk_without_ballast_gives_up_the_indexes_of_what_goes() -> None:
    files = FaultyFiles()
    config = LogConfig(segment_bytes=4096, retention_bytes=6000, ballast_bytes=0)
    log = open_log(files=files, config=config)
    commit(log, "old", 3, a=5)
    for _ in range(60):
        append(log, b"x" * 100)
    before = log.named_positions()
    files.capacity_bytes = files.used_bytes()
    assert log.retain() > 0
    assert log.named_positions() == before
    files.kill()
    assert open_log(files=files, config=config, seed=5).named_positions() == before


@pytest.mark.parametrize("crash_at", range(1, 14))
def test_a_crash_during_retention_forgets_no_position(crash_at: int) -> None:

    for power in (False, True):
        files = FaultyFiles(crash_at)
        log = open_log(files=files, config=RETAINING)
        commit(log, "old", 3, a=5)
        for _ in range(60):
            append(log, b"x" * 100)
        before = log.named_positions()
        files.crash_at = files.operation + crash_at
        with suppress(SimulatedCrashError):
            log.retain()
        files.power_loss() if power else files.kill()
        assert open_log(files=files, config=RETAINING, seed=5).named_positions() == before


@pytest.mark.parametrize(
    ("name", "vector"),
    [
        ("", {A: 1}),
        ("n" * 129, {A: 1}),
        ("a\nb", {A: 1}),
        ("x", {A: 0}),
        ("x", {OriginId(b"short"): 1}),
        ("x", {OriginId(number.to_bytes(16, "big")): 1 for number in range(4097)}),
    ],
)
def test_a_commit_out_of_bounds_is_not_made_and_says_nothing_when_another_made_it(
    name: str, vector: dict[OriginId, int]
) -> None:
    with pytest.raises(InvalidRequestError):
        message(name, 1, vector)
    hostile = PositionCommit(name=name, epoch=1)
    for origin, following in vector.items():
        hostile.positions.add(origin=origin, next_sequence=following)
    positions = NamedPositions()
    positions.observe(hostile, Offset(0))
    assert positions.values() == {}


def test_a_new_name_beyond_those_in_use_is_refused_and_what_others_committed_is_kept(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(module, "MAX_NAMES", 3)
    monkeypatch.setattr(module, "MAX_HELD_NAMES", 5)
    positions = NamedPositions()
    for name, at_ms in [("a", 4), ("b", 2), ("c", 3)]:
        assert positions.takes(name, 1, at_ms)
        positions.observe(message(name, 1, {A: 1}, at_ms), Offset(0))
    assert not positions.takes("d", 1, 5)
    assert positions.takes("b", 1, 5)
    for name, at_ms in [("d", 5), ("e", 6)]:  # at a node that had room
        positions.observe(message(name, 1, {A: 1}, at_ms), Offset(0))
    assert sorted(positions.values()) == ["a", "b", "c", "d", "e"]
    assert positions.forgotten == []
    positions.observe(message("f", 1, {A: 1}, 7), Offset(0))
    assert sorted(positions.values()) == ["a", "c", "d", "e", "f"]
    assert positions.forgotten == ["b"]


def test_a_name_that_was_not_committed_for_a_month_makes_room_and_that_is_a_problem(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(module, "MAX_NAMES", 3)
    log = open_log(files=FaultyFiles())
    for number in range(3):
        commit(log, f"job-{number}", 1, at_ms=number, a=5)
    log.retain()
    assert log.problems() == ()
    assert not log.takes_position("new", 1, EXPIRY_MS)
    assert log.takes_position("new", 1, EXPIRY_MS + 1)
    commit(log, "new", 1, at_ms=EXPIRY_MS + 1, a=5)
    assert sorted(log.named_positions()) == ["job-1", "job-2", "new"]
    log.retain()
    (problem,) = log.problems()
    assert problem.detail == "1 named positions were forgotten to make room, the last 'job-0'"


def test_a_joined_vector_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MAX_VECTOR_ORIGINS", 4096)
    first = {OriginId(number.to_bytes(16, "big")): SequenceNumber(1) for number in range(4096)}
    second = {OriginId((number + 5000).to_bytes(16, "big")): SequenceNumber(9) for number in range(10)}
    joined = CommittedPosition(1, first, 0).join(CommittedPosition(1, second, 0))
    assert len(joined.vector) == 4096
    assert all(joined.vector[origin] == 9 for origin in second)


def test_a_control_batch_that_is_no_control_message_is_refused_without_hindering_others() -> None:
    log = open_log(files=FaultyFiles())
    rubbish = verify(
        batch.encode(
            b"\xff\xff\xff",
            count=0,
            sequence_span=1,
            flags=batch.FLAG_CONTROL,
            first_timestamp_ms=0,
            max_timestamp_ms=0,
        )
    )
    good = LocalAppend(verify(control.position_commit("x", 1, {A: SequenceNumber(1)}, now_ms=0)))
    refused, kept = log.append([LocalAppend(rubbish), good])
    assert isinstance(refused, MalformedBatchError)
    assert isinstance(kept, Appended)


def test_a_kind_that_a_newer_version_wrote_is_kept_as_it_is() -> None:
    log, other = open_log(files=FaultyFiles()), open_log(files=FaultyFiles(), name="b", seed=2)
    newer = Control().SerializeToString() + b"\xfa\x01\x02hi"  # field 31, unknown here
    data = batch.encode(
        newer, count=0, sequence_span=1, flags=batch.FLAG_CONTROL, first_timestamp_ms=0, max_timestamp_ms=0
    )
    (outcome,) = log.append([LocalAppend(verify(data))])
    assert isinstance(outcome, Appended)
    assert all(isinstance(each, Appended) for each in copy(log, other))


def test_commits_without_records_roll_and_retention_removes_them() -> None:
    files = FaultyFiles()
    log = open_log(files=files, config=RETAINING)
    append(log, b"first")
    for number in range(400):
        assert isinstance(commit(log, f"job-{number % 3}", 1, at_ms=number, a=number + 1), Appended)
        log.retain()
    assert log.stored_bytes < RETAINING.retention_bytes + 2 * RETAINING.segment_bytes  # type: ignore[operator]
    assert log.start_offset > 5
    before, origins = log.named_positions(), log.origins()
    assert {name: each.vector[A] for name, each in before.items()} == {"job-0": 400, "job-1": 398, "job-2": 399}
    for life, end in enumerate((log.close, files.kill)):
        end()
        files.kill()
        assert verify_directory(DIR, files=files).findings == []
        log = open_log(files=files, config=RETAINING, seed=life + 1)
        assert (log.named_positions(), log.origins(), log.damaged()) == (before, origins, [])
        assert log.recovery.new_origin_reason == ""
    appended = append(log, b"second")
    assert values_of(log) == [b"second"]
    assert appended.base_offset == log.end_offset - 1


@pytest.mark.parametrize("power", [False, True])
def test_a_crash_while_a_segment_without_records_rolls_loses_nothing(power: bool) -> None:
    for ahead in range(1, 30):
        files = FaultyFiles(ahead)
        log = open_log(files=files, config=SMALL)
        append(log, b"first")
        number = 0
        while log.segment_count == 1:
            number += 1
            commit(log, "job", 1, at_ms=number, a=number)
        while log._state.active.size < 3900:  # the next one but one rolls
            number += 1
            commit(log, "job", 1, at_ms=number, a=number)
        files.crash_at = files.operation + ahead
        with suppress(SimulatedCrashError):
            for _ in range(5):
                commit(log, "job", 1, at_ms=number + 1, a=number + 1)
                number += 1
        files.power_loss() if power else files.kill()
        log = open_log(files=files, config=SMALL, seed=7)
        assert log.damaged() == [], ahead
        assert log.recovery.new_origin_reason == "", ahead
        assert log.named_positions()["job"].vector[A] in (number, number + 1), ahead
        second = append(log, b"second")
        assert values_of(log) == [b"first", b"second"], ahead
        assert log.seek(second.base_offset) is not None
        log.close()
        files.kill()
        assert verify_directory(DIR, files=files).findings == [], ahead


def test_positions_that_alone_exceed_the_limit_are_not_written_over_and_over() -> None:
    files = FaultyFiles()
    log = open_log(files=files, config=RETAINING)
    for number in range(200):
        commit(log, f"job-{number}", 1, at_ms=number, a=1)
    size = log.stored_bytes
    for _ in range(20):
        log.retain()
    assert log.stored_bytes == size
    (problem,) = log.problems()
    assert problem.detail.startswith("old segments cannot be removed: ")
    assert len(log.named_positions()) == 200
