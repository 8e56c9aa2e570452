"""Idempotent produce: what is sent again is appended once, across groups, restarts, snapshots and retention."""

from errno import EIO, ENOSPC
from random import Random

import pytest

from proglog.errors import (
    LogFullError,
    LogPoisonedError,
    ProducerFencedError,
    ProducerForgottenError,
    ProducerHoleError,
    ProducerSequenceError,
    UnavailableError,
)
from proglog.log import producers as module
from proglog.log.config import LogConfig
from proglog.log.log import Log
from proglog.log.model import Appended, Duplicate, ImportAppend, LocalAppend, Outcome
from proglog.log.producers import WINDOW, Producers
from proglog.record import columns
from proglog.record.batch import HEADER_BYTES, encode, parse_header, stamp_local, verify
from proglog.testing.files import FaultyFiles
from proglog.types import Offset, OriginId, SequenceNumber
from tests.unit.log.kit import DIR, batches_of, copy, open_log, values_of

ALICE, BOB = b"a" * 16, b"b" * 16
WHOLE = LogConfig(ballast_bytes=0)


def produced(producer: bytes, sequence: int, *values: bytes, epoch: int = 1) -> LocalAppend:
    return LocalAppend(
        verify(
            encode(
                columns.from_values(list(values)),
                count=len(values),
                first_timestamp_ms=1,
                max_timestamp_ms=1,
                producer_id=producer,
                producer_epoch=epoch,
                producer_sequence=sequence,
            )
        )
    )


def produce(log: Log, producer: bytes, sequence: int, *values: bytes, epoch: int = 1) -> Outcome:
    (outcome,) = log.append([produced(producer, sequence, *values, epoch=epoch)])
    return outcome


def test_a_batch_sent_again_is_answered_as_the_first_time_and_not_appended() -> None:
    log = open_log(files=FaultyFiles())
    first = produce(log, ALICE, 0, b"a", b"b")
    assert isinstance(first, Appended)
    assert produce(log, ALICE, 0, b"a", b"b") == Duplicate(first)
    assert values_of(log) == [b"a", b"b"]


@pytest.mark.parametrize(("sequence", "count"), [(4, 1), (0, 3), (1, 1), (2, 5)])
def test_what_neither_follows_nor_repeats_is_refused(sequence: int, count: int) -> None:
    """A hole, and batches that were sent before in other sizes."""
    log = open_log(files=FaultyFiles())
    produce(log, ALICE, 0, b"a", b"b")
    produce(log, ALICE, 2, b"c")
    refused = produce(log, ALICE, sequence, *[b"x"] * count)
    assert isinstance(refused, ProducerSequenceError)
    assert type(refused) is (ProducerHoleError if sequence > 3 else ProducerSequenceError)
    assert ("continues at sequence 3" if sequence > 3 else "in a batch of another size") in str(refused)
    assert isinstance(produce(log, ALICE, 3, b"d"), Appended)


def test_a_group_knows_its_own_batches_and_refuses_what_comes_out_of_order() -> None:
    log = open_log(files=FaultyFiles())
    group = [(0, b"a"), (0, b"a"), (2, b"c"), (1, b"b"), (1, b"b"), (2, b"c")]
    outcomes = log.append([produced(ALICE, sequence, value) for sequence, value in group])
    kinds = [type(outcome) for outcome in outcomes]
    assert kinds == [Appended, Duplicate, ProducerHoleError, Appended, Duplicate, Appended]
    assert outcomes[1] == Duplicate(outcomes[0])  # type: ignore[arg-type]
    assert values_of(log) == [b"a", b"b", b"c"]


def test_producers_do_not_know_each_other_and_one_without_an_id_is_never_a_duplicate() -> None:
    log = open_log(files=FaultyFiles())
    for producer in (ALICE, BOB, bytes(16), bytes(16)):
        assert isinstance(produce(log, producer, 0, b"x"), Appended)


def test_a_higher_epoch_starts_over_and_a_lower_one_is_refused() -> None:
    log = open_log(files=FaultyFiles())
    produce(log, ALICE, 7, b"a", epoch=2)
    assert isinstance(produce(log, ALICE, 0, b"b", epoch=3), Appended)
    assert isinstance(produce(log, ALICE, 8, b"c", epoch=2), ProducerFencedError)
    assert isinstance(produce(log, ALICE, 1, b"d", epoch=3), Appended)


@pytest.mark.parametrize("errno", [EIO, ENOSPC])
def test_a_duplicate_of_what_the_disk_refused_is_refused_too(errno: int) -> None:
    files = FaultyFiles()
    log = open_log(files=files)
    files.faults[files.operation + 1] = errno
    outcomes = log.append([produced(ALICE, 0, b"a"), produced(ALICE, 0, b"a")])
    assert all(isinstance(outcome, LogFullError if errno == ENOSPC else LogPoisonedError) for outcome in outcomes)
    if errno == ENOSPC:
        assert isinstance(produce(log, ALICE, 0, b"a"), Appended)


@pytest.mark.parametrize("end", ["close", "kill", "power"])
@pytest.mark.parametrize("snapshot", ["kept", "lost", "damaged"])
def test_a_restart_forgets_no_producer(end: str, snapshot: str) -> None:
    files = FaultyFiles()
    log = open_log(files=files, config=WHOLE)
    first = [produce(log, producer, number, b"x" * 50) for number in range(WINDOW + 3) for producer in (ALICE, BOB)]
    if end == "close":
        log.close()
    files.power_loss() if end == "power" else files.kill()
    path = DIR / "derived"
    if path in files.paths() and snapshot == "lost":
        files.unlink(path)
    if path in files.paths() and snapshot == "damaged":
        files.content(path)[20] ^= 1
    log = open_log(files=files, config=WHOLE, seed=5)
    for number in range(3, WINDOW + 3):
        assert produce(log, ALICE, number, b"x" * 50) == Duplicate(first[2 * number])  # type: ignore[arg-type]
        assert produce(log, BOB, number, b"x" * 50) == Duplicate(first[2 * number + 1])  # type: ignore[arg-type]
    assert isinstance(produce(log, ALICE, 2, b"x" * 50), ProducerSequenceError)
    assert isinstance(produce(log, ALICE, WINDOW + 3, b"x"), Appended)


def test_a_new_origin_of_the_directory_keeps_its_producers() -> None:
    files = FaultyFiles()
    log = open_log(files=files)
    first = produce(log, ALICE, 0, b"a")
    log.begin_origin("because")
    assert produce(log, ALICE, 0, b"a") == Duplicate(first)  # type: ignore[arg-type]
    files.kill()
    files.paths()
    log = open_log(files=files, seed=5)
    assert produce(log, ALICE, 0, b"a") == Duplicate(first)  # type: ignore[arg-type]


def test_what_was_copied_from_another_node_says_nothing_of_its_producers_here() -> None:
    log, other = open_log(files=FaultyFiles()), open_log(files=FaultyFiles(), name="b", seed=2)
    produce(other, ALICE, 0, b"a")
    copy(other, log)
    assert isinstance(produce(log, ALICE, 0, b"a"), Appended)


def test_retention_forgets_the_producers_whose_batches_it_removed_alike_with_and_without_a_snapshot() -> None:
    files = FaultyFiles()
    config = LogConfig(segment_bytes=4096, retention_bytes=6000, ballast_bytes=0)
    log = open_log(files=files, config=config)
    produce(log, ALICE, 0, b"a")
    for number in range(60):
        produce(log, BOB, number, b"b" * 100)
    assert log.retain() > 0
    log.close()
    for lost in (False, True):
        files.kill()
        if lost:
            files.unlink(DIR / "derived")
        log = open_log(files=files, config=config, seed=5)
        assert isinstance(produce(log, BOB, 57, b"b" * 100), Duplicate)
        assert isinstance(produce(log, BOB, 10, b"b"), ProducerSequenceError)
    assert isinstance(produce(log, ALICE, 9, b"a"), Appended)  # unknown by now: any sequence will do


def header_of(producer: bytes, sequence: int, offset: int, count: int = 1):  # type: ignore[no-untyped-def]
    batch = produced(producer, sequence, *[b"v"] * count).batch
    return parse_header(
        stamp_local(
            batch,
            origin=OriginId(b"o" * 16),
            base_sequence=SequenceNumber(offset + 1),
            previous_chain=0,
            base_offset=Offset(offset),
            append_time_ms=0,
        )
    )


def test_the_least_recently_active_producer_is_forgotten_first(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MAX_PRODUCERS", 3)
    known = Producers()
    for offset, producer in enumerate([b"1", b"2", b"3", b"1", b"4"]):
        known.observe(header_of(producer * 16, 0 if offset != 3 else 1, offset))
    assert [producer for producer in (b"1", b"2", b"3", b"4") if known.get(producer * 16)] == [b"1", b"3", b"4"]


@pytest.mark.parametrize("seed", range(20))
def test_the_order_in_which_batches_are_seen_does_not_matter(seed: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MAX_PRODUCERS", 100)
    random = Random(seed)
    following = {bytes([number]) * 16: 0 for number in range(1, 6)}
    headers = []
    for offset in range(40):
        producer = random.choice(list(following))
        headers.append(header_of(producer, following[producer], offset))
        following[producer] += 1
    in_order, shuffled = Producers(), Producers()
    for header in headers:
        in_order.observe(header)
    random.shuffle(headers)
    for header in headers:
        shuffled.observe(header)
    assert shuffled.to_json() == in_order.to_json()
    assert Producers.from_json(in_order.to_json()).to_json() == in_order.to_json()


def test_what_damage_took_is_a_duplicate_again_once_it_is_back() -> None:
    files = FaultyFiles()
    log = open_log(files=files, config=WHOLE)
    first = produce(log, ALICE, 0, b"a")
    at = log.end_position.position
    produce(log, BOB, 0, b"b")
    source = open_log(files=FaultyFiles(), name="copy", seed=2)
    source.append([ImportAppend(verify(bytes(each.data))) for each in batches_of(log)])
    files.kill()
    assert isinstance(first, Appended)
    files.content(DIR / f"{0:020d}.log")[at - 3] ^= 1
    log = open_log(files=files, config=WHOLE, seed=5)
    (missing,) = log.missing()
    log.refill([verify(source.read(source.seek_sequence(missing.origin, missing.start), 1).data)])
    assert log.damaged() == []
    assert produce(log, ALICE, 0, b"a") == Duplicate(first)
    log.close()
    files.kill()
    assert produce(open_log(files=files, config=WHOLE, seed=6), ALICE, 0, b"a") == Duplicate(first)


def test_a_batch_that_damage_may_hide_is_not_appended_twice() -> None:
    files = FaultyFiles()
    log = open_log(files=files, config=WHOLE)
    for sequence in range(3):
        produce(log, ALICE, sequence, b"%d" % sequence)
    at = log.end_position.position
    last = produce(log, ALICE, 3, b"3")
    produce(log, BOB, 0, b"behind it")
    copied = open_log(files=FaultyFiles(), name="copy", seed=77)
    copy(log, copied)
    files.kill()
    files.content(DIR / f"{0:020d}.log")[at + HEADER_BYTES + 1] ^= 1

    log = open_log(files=files, config=WHOLE, seed=9)
    for sequence in (3, 4):
        assert isinstance(produce(log, ALICE, sequence, b"%d" % sequence), UnavailableError)
    assert isinstance(produce(log, b"n" * 16, 0, b"a new one"), Appended)
    assert isinstance(produce(log, BOB, 1, b"last seen behind the damage"), Appended)

    (missing,) = log.missing()
    log.refill([verify(copied.read(copied.seek_sequence(missing.origin, missing.start), 1).data)])
    assert produce(log, ALICE, 3, b"3") == Duplicate(last)  # type: ignore[arg-type]
    assert isinstance(produce(log, ALICE, 4, b"4"), Appended)
    assert sorted(values_of(log)).count(b"3") == 1


def test_any_of_the_last_sixteen_batches_is_known_and_an_older_one_refused() -> None:
    log = open_log(files=FaultyFiles())
    first = [produce(log, ALICE, number, b"%d" % number) for number in range(WINDOW + 2)]
    for number in range(2, WINDOW + 2):
        assert produce(log, ALICE, number, b"%d" % number) == Duplicate(first[number])  # type: ignore[arg-type]
    assert isinstance(produce(log, ALICE, 1, b"1"), ProducerForgottenError)
    assert len(values_of(log)) == WINDOW + 2
