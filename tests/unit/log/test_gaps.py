"""Gaps: offsets reserved for sequences that no node had, and what turns up later, restored in its place."""

from contextlib import suppress
from itertools import permutations
from pathlib import Path
from random import Random

import pytest

from proglog.errors import DataLossError, ForkedOriginError, StorageError
from proglog.log import gaps
from proglog.log.config import LogConfig
from proglog.log.log import Log
from proglog.log.model import Appended, ImportAppend, LogPosition
from proglog.log.verify import verify_directory
from proglog.record.batch import VerifiedBatch, stamp_local, verify
from proglog.replication.holes import Over
from proglog.server.vector import GoneCause, VectorPass, pass_from
from proglog.testing.files import FaultyFiles, SimulatedCrashError
from proglog.types import FilePosition, Offset, OriginId, SequenceNumber
from tests.unit.log.kit import DIR, SMALL, append, batches_of, open_log, stored

LOST, REMOVED = Over("no node has them"), Over("retention removed them", removed=True)
FIRST, NEXT = 3, 9
"""The batches of the source that begin and follow the gap."""


def source_log(seed: int = 7, batches: int = 14) -> tuple[OriginId, list[VerifiedBatch]]:
    """Return another node's batches: one to three records each, with a control batch in the gap."""
    log = open_log(files=FaultyFiles(), name="source", seed=seed)
    for number in range(batches):
        append(log, *(b"%d of %d" % (index, number) for index in range(1 + number % 3)))
    return log.origin, [verify(bytes(each.data)) for each in batches_of(log)]


def with_gap(over: Over = LOST, config: LogConfig = SMALL) -> tuple[FaultyFiles, Log, list[VerifiedBatch]]:
    """Return a log that continues the source's origin after a gap."""
    files, (_, batches) = FaultyFiles(), source_log()
    log = open_log(files=files, config=config, seed=3)
    append(log, b"mine, before")
    outcomes = log.append(
        [ImportAppend(each) for each in batches[:FIRST]]
        + [ImportAppend(batches[NEXT], over)]
        + [ImportAppend(each) for each in batches[NEXT + 1 :]]
    )
    assert all(isinstance(each, Appended) for each in outcomes)
    append(log, b"mine, after")
    return files, log, batches


def again(files: FaultyFiles, config: LogConfig = SMALL) -> Log:
    files.kill()
    return open_log(files=files, config=config, seed=9)


def sequences(log: Log, origin: OriginId) -> list[int]:
    """Return what can be read of an origin, in the log's order."""
    found: list[int] = []
    at = LogPosition(log.start_offset, FilePosition(0))
    while True:
        try:
            read = log.read(at, 300)
        except DataLossError:
            at = log.after_damage(at)
            continue
        if not read.data:
            return found
        for _, header in log.sound_batches(read.start, read.data):
            if header.origin == origin:
                found += range(header.base_sequence, header.next_sequence)
        at = read.next


def test_an_origin_continues_after_a_gap_whose_offsets_are_reserved() -> None:
    files, log, batches = with_gap()
    origin, (start, end) = (
        batches[0].header.origin,
        (batches[FIRST].header.base_sequence, batches[NEXT].header.base_sequence),
    )
    for _ in range(2):
        (lost,) = log.damaged()
        assert lost.end - lost.start == end - start
        assert "no node has them" in lost.detail
        held = log.origins()[origin]
        assert (held.next_sequence, held.damaged, held.gaps) == (batches[-1].header.next_sequence, ((start, end),), ())
        assert held.chain_crc == batches[-1].header.chain_crc
        assert log.missing() == log.gaps() == [(origin, start, end)]
        assert sequences(log, origin) == [*range(1, start), *range(end, held.next_sequence)]
        with pytest.raises(DataLossError):
            log.read(log.seek(lost.start), 1)
        log = again(files)
    log.close()
    assert [each.severity for each in verify_directory(DIR, files=files).findings] == ["damage"]


@pytest.mark.parametrize(
    "parts", [*permutations([(3, 5), (5, 7), (7, 9)]), ((3, 9),), ((6, 9), (3, 6)), ((4, 9), (3, 4))]
)
@pytest.mark.parametrize("restart", [False, True])
def test_what_turns_up_is_restored_in_its_place_in_parts_and_in_any_order(
    parts: tuple[tuple[int, int], ...], restart: bool
) -> None:
    files, log, batches = with_gap()
    origin, before = batches[0].header.origin, stored(log)
    for start, end in (*parts, *parts):  # a part in the middle waits for what is beside it, and is fetched again
        log.refill(batches[start:end])
        assert sequences(log, origin) == sorted(sequences(log, origin))
        if restart:
            log = again(files)
        assert {offset: value for offset, value in stored(log).items() if offset in before} == before
    assert log.damaged() == log.missing() == log.gaps() == []
    held = log.origins()[origin]
    assert (held.gaps, held.damaged) == ((), ())
    assert sequences(log, origin) == list(range(1, held.next_sequence))
    log = again(files)
    assert sequences(log, origin) == list(range(1, held.next_sequence))
    assert log.seek_sequence(origin, batches[5].header.base_sequence) is not None
    log.close()
    report = verify_directory(DIR, files=files)
    assert [each for each in report.findings if each.severity == "damage"] == []


@pytest.mark.parametrize("seed", range(40))
def test_a_power_loss_at_any_moment_of_a_restoration_loses_nothing_and_it_is_resumed(seed: int) -> None:
    random = Random(seed)
    files, log, batches = with_gap(REMOVED if seed % 2 else LOST)
    origin, before = batches[0].header.origin, stored(log)
    for _ in range(30):
        start = random.choice([3, 3, random.randrange(3, 9)])
        part = batches[start : random.choice([9, random.randrange(start + 1, 10)])]
        files.crash_at = files.operation + random.randrange(1, 25)
        with suppress(SimulatedCrashError):
            log.refill(part)
        files.power_loss()
        log = open_log(files=files, config=SMALL, seed=9)
        now = stored(log)
        assert {offset: now.get(offset) for offset in before} == before
        before = now
        assert sequences(log, origin) == sorted(set(sequences(log, origin)))
    for missing in log.missing():
        log.refill([each for each in batches if missing.start <= each.header.base_sequence < missing.end])
    held = log.origins()[origin]
    assert sequences(log, origin) == list(range(1, held.next_sequence))
    assert log.damaged() == log.missing() == []


def test_what_retention_left_nowhere_is_passed_and_said_and_comes_all_the_same() -> None:
    files, log, batches = with_gap(REMOVED)
    origin, (start, end) = (
        batches[0].header.origin,
        (batches[FIRST].header.base_sequence, batches[NEXT].header.base_sequence),
    )
    for _ in range(2):
        assert log.damaged() == []
        assert log.origins()[origin].gaps == ((start, end),)
        assert values_by_vector(log, {}, skip_gone=False) == [(origin, start, end, GoneCause.GAP)]
        assert values_by_vector(log, {origin: SequenceNumber(start)}, skip_gone=False) == [
            (origin, start, end, GoneCause.GAP)
        ]
        assert len(stored(log)) == len(list(stored(log).values()))
        log = again(files)
    log.refill(batches[FIRST:NEXT])
    assert log.origins()[origin].gaps == ()
    assert values_by_vector(log, {}, skip_gone=False) == []
    assert sequences(log, origin) == list(range(1, batches[-1].header.next_sequence))


def values_by_vector(
    log: Log, positions: dict[OriginId, SequenceNumber], *, skip_gone: bool
) -> list[tuple[object, ...]]:
    """Read to the end as a consumer; return what the log says is gone."""
    reader = VectorPass(log, positions, skip_gone=skip_gone)
    gone: list[tuple[object, ...]] = []
    while reader.finish() is None:
        reader.take(log.read(reader.at, 300))
        gone += map(tuple, reader.gone())
    return gone


def test_a_consumer_that_begins_behind_a_gap_has_passed_it() -> None:
    _, log, batches = with_gap()
    reader = pass_from(log, log.damaged()[0].end, skip_gone=False)
    while reader.finish() is None:
        reader.take(log.read(reader.at, 300))
    assert reader.gone() == reader.passed() == []
    assert reader.positions[batches[0].header.origin] == batches[-1].header.next_sequence


def test_another_history_is_refused_at_both_sides() -> None:
    _, log, batches = with_gap()
    (_, other) = source_log(seed=8)
    forged = [with_origin(each, batches[0].header.origin) for each in other]
    for part in (forged[3:5], forged[7:9], forged[3:9]):
        with pytest.raises(ForkedOriginError):
            log.refill(part)
    assert log.missing() == log.gaps()
    log.refill(batches[FIRST:NEXT])
    assert log.missing() == []


def with_origin(batch: VerifiedBatch, origin: OriginId, sequence: int | None = None) -> VerifiedBatch:
    """Return the batch as if that origin had written it, with another chain, there or at another sequence."""
    header = stamp_local(
        batch,
        origin=origin,
        base_sequence=SequenceNumber(sequence or batch.header.base_sequence),
        previous_chain=1,
        base_offset=Offset(0),
        append_time_ms=1,
    )
    return verify(header + bytes(batch.payload))


def test_runs_that_wait_for_proof_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    _, log, batches = with_gap()
    monkeypatch.setattr(gaps, "MAX_WAITING_BYTES", 100)
    log.refill(batches[5:7])
    assert log._gaps._waiting == {}
    assert log.gaps()


def test_a_gap_that_would_use_up_the_offsets_is_refused() -> None:
    _, log, batches = with_gap()
    end, losses = log.end_offset, log.damaged()
    huge = with_origin(batches[-1], batches[-1].header.origin, 1 << 60)
    (outcome,) = log.append([ImportAppend(huge, LOST)])
    assert isinstance(outcome, StorageError)
    assert "at most" in str(outcome)
    assert (log.end_offset, log.damaged(), log.state) == (end, losses, "ok")
    append(log, b"later")


def test_a_gap_goes_with_the_segment_before_it_and_what_is_kept_begins_after_it() -> None:
    config = LogConfig(segment_bytes=4096, retention_bytes=6000, ballast_bytes=0)
    files, log, batches = with_gap(config=config)
    origin, end = batches[0].header.origin, batches[NEXT].header.base_sequence
    while log.gaps():
        append(log, b"x" * 900)
        log.retain()
    held = log.origins()[origin]
    assert held.floor_sequence >= end
    assert (held.gaps, held.damaged, log.damaged()) == ((), (), [])
    log = again(files, config)
    assert log.origins()[origin].floor_sequence == held.floor_sequence


def test_a_gap_at_the_start_of_a_log_without_records_heals() -> None:
    files, (origin, batches) = FaultyFiles(), source_log()
    log = open_log(files=files, seed=3)
    log.append([ImportAppend(each, REMOVED if number == 0 else None) for number, each in enumerate(batches[NEXT:])])
    assert sequences(log, origin)[0] == batches[NEXT].header.base_sequence
    log = again(files)
    log.refill(batches[4:NEXT])
    log.refill(batches[:4])
    assert sequences(log, origin) == list(range(1, batches[-1].header.next_sequence))
    log = again(files)
    assert sequences(log, origin) == list(range(1, batches[-1].header.next_sequence))
    assert log.missing() == []


def test_an_operator_accepts_a_gap_and_it_heals_all_the_same() -> None:
    files, log, batches = with_gap()
    (lost,) = log.damaged()
    (accepted,) = log.accept(lost.start, lost.end, by="me", reason="no copy is left")
    assert accepted.accepted is not None
    log = again(files)
    log.refill(batches[FIRST:5])
    (left,) = log.damaged()
    assert left.accepted == accepted.accepted
    log.refill(batches[5:NEXT])
    assert log.damaged() == []


def test_without_the_file_of_losses_a_gap_is_damage_that_heals(tmp_path: Path) -> None:
    files, log, batches = with_gap()
    origin = batches[0].header.origin
    log.close()
    for name in ("lost", "lost.copy"):
        files.unlink(DIR / name)
    log = again(files)
    assert log.damaged()
    log.refill(batches[FIRST:NEXT])
    assert log.damaged() == []
    assert sequences(log, origin) == list(range(1, batches[-1].header.next_sequence))
