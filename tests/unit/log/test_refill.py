"""Putting back what damage took: found by the jumps in sequences, filled to the byte, proved by the chains."""

from collections.abc import Iterator
from contextlib import suppress
from errno import EIO
from random import Random

import pytest

from proglog.errors import DataLossError, ForkedOriginError, LogFullError, LogPoisonedError
from proglog.log.config import LogConfig
from proglog.log.index import SegmentIndex
from proglog.log.log import Log
from proglog.log.model import ImportAppend, LogPosition, MissingRange
from proglog.log.segment import Segment
from proglog.log.verify import verify_directory
from proglog.record import scan
from proglog.record.batch import HEADER_BYTES, BatchHeader, VerifiedBatch, stamp_local, verify
from proglog.testing.files import FaultyFiles, SimulatedCrashError
from proglog.types import FilePosition, Offset, OriginId, SequenceNumber
from tests.unit.log.kit import DIR, SMALL, append, batches_of, copy, local, open_log, stored

WHOLE = LogConfig(ballast_bytes=0)
STORE = DIR / f"{0:020d}.log"
INDEX = DIR / f"{0:020d}.index"


def sample(seed: int, config: LogConfig = SMALL, *, own: int = 40) -> tuple[FaultyFiles, Log]:
    """A log of three origins, small batches of any size, and at its end a batch of each."""
    random, files = Random(seed), FaultyFiles(seed)
    log = open_log(files=files, config=config, seed=100 + seed)
    others = [open_log(files=FaultyFiles(), name=name, seed=200 + seed + at) for at, name in enumerate("bc")]
    waiting = {other: batches_of(other) for other in others}
    for number in range(own):
        for writer in (log, *others):
            values = [
                b"%s %d %d " % (writer.origin[:2].hex().encode(), number, at) for at in range(random.randint(1, 3))
            ]
            writer.append([local(*(value + random.randbytes(random.randint(0, 90)) for value in values))])
        for other in others:
            if random.random() < 0.7 or number == own - 1:
                held = log.origins().get(other.origin)
                have = held.next_sequence if held else 1
                new = [each for each in batches_of(other) if each.header.base_sequence >= have]
                log.append([ImportAppend(verify(bytes(each.data))) for each in new])
    append(log, b"the last one")
    assert waiting
    return files, log


def copy_of(log: Log) -> Log:
    """Another log with the same batches, origin by origin."""
    other = open_log(files=FaultyFiles(), name="copy", seed=999)
    for origin in log.origins():
        copy(log, other, origin)
    return other


def fetched(log: Log, missing: MissingRange) -> list[VerifiedBatch]:
    """What ``log`` has of a missing range."""
    origin, at, end = missing
    found = []
    while at < end:
        batch = verify(log.read(log.seek_sequence(origin, at), 1).data)
        found.append(batch)
        at = batch.header.next_sequence
    return found


def reads(log: Log) -> list[tuple[Offset, OriginId, SequenceNumber, bytes]]:
    """Every batch, as any reader gets it, without what is each node's own."""
    return [
        (each.header.base_offset, each.header.origin, each.header.base_sequence, bytes(each.data[32:]))
        for each in batches_of(log)
    ]


def damage(files: FaultyFiles, random: Random, spare: int, kinds: list[str]) -> None:
    """Damage some ranges of the stores, but for the last bytes of the last one."""
    stores = [path for path in files.paths() if path.suffix == ".log"]
    for _ in range(random.randint(1, 4)):
        path = random.choice(stores)
        data = files.content(path)
        length = len(data) - (spare if path == stores[-1] else 0)
        if length <= 0:
            continue
        at = random.randrange(length)
        match random.choice(kinds):
            case "flip":
                data[at] ^= 1 << random.randrange(8)
            case "flips":
                for _ in range(20):
                    data[min(length - 1, at + random.randrange(300))] ^= 1 << random.randrange(8)
            case "zeros":
                start = at // 512 * 512
                end = min(length, start + 512 * random.randint(1, 2))
                data[start:end] = bytes(end - start)
            case "noise":
                end = min(length, at + random.randint(1, 700))
                data[at:end] = random.randbytes(end - at)
            case "cut":
                if path != stores[-1]:
                    del data[at:]


@pytest.mark.parametrize("seed", range(30))
def test_flipped_bits_come_back_byte_for_byte(seed: int) -> None:
    random = Random(seed)
    files, log = sample(seed)
    before, source = reads(log), copy_of(log)
    log = damaged_and_healed(files, log, source, random, ["flip", "flips"])
    assert reads(log) == before


@pytest.mark.parametrize("seed", range(40))
def test_lost_sectors_and_cut_stores_come_back_with_each_origin_in_its_order(seed: int) -> None:
    random = Random(seed)
    files, log = sample(seed)
    before, values, source = reads(log), stored(log), copy_of(log)
    lost: set[int] = set()
    log = damaged_and_healed(files, log, source, random, ["flip", "zeros", "noise", "cut"], lost)
    after = reads(log)
    # Where nothing is left of them, in which order batches of several origins stood is not known to anybody.
    assert sorted(each[1:] for each in after) == sorted(each[1:] for each in before)
    assert [each for each in after if each[0] not in lost] == [each for each in before if each[0] not in lost]
    assert {at: value for at, value in stored(log).items() if at not in lost} == {
        at: value for at, value in values.items() if at not in lost
    }


def damaged_and_healed(
    files: FaultyFiles, log: Log, source: Log, random: Random, kinds: list[str], lost: set[int] | None = None
) -> Log:
    """Damage the stores of ``log``, let it find that, refill it from ``source``, and check all but what it reads."""
    origins = log.origins()
    if random.random() < 0.5:
        log.close()
    files.kill()
    damage(files, random, 2000, kinds)
    if random.random() < 0.5:
        for path in [path for path in files.paths() if path.suffix == ".index"]:
            files.unlink(path)
    log = open_log(files=files, seed=4)
    batches_of_all(log)  # readers come upon what opening did not look at
    if lost is not None:
        lost |= {offset for each in log.damaged() for offset in range(each.start, each.end + 1)}
    offered = [batch for missing in log.missing() for batch in fetched(source, missing)]
    assert bool(offered) == bool(log.damaged())
    random.shuffle(offered)
    for batch in offered:
        log.refill([batch])
    assert log.damaged() == []
    assert log.missing() == []
    assert log.origins() == origins
    check_indexes(log)
    log.close()
    report = verify_directory(DIR, files=files)
    assert [finding for finding in report.findings if finding.severity != "note"] == []
    files.kill()
    log = open_log(files=files, seed=5)
    assert log.recovery.clean
    assert log.recovery.describe() == ""
    return log


def batches_of_all(log: Log) -> None:
    """Have every batch of the log looked at, control batches, too."""
    for segment in log.segments():
        with suppress(DataLossError):
            cursor = LogPosition(segment.base_offset, FilePosition(0))
            while cursor.segment == segment.base_offset and (read := log.read(cursor, 1)).data:
                cursor = read.next


def check_indexes(log: Log) -> None:
    for each in batches_of(log):
        header = each.header
        if header.record_count:
            assert verify(log.read(log.seek(header.base_offset), 1).data).data[32:] == each.data[32:]
        cursor = log.seek_sequence(header.origin, header.base_sequence)
        assert verify(log.read(cursor, 1).data).header.portable_crc == header.portable_crc


def one_damaged(values: list[bytes], lost: int) -> tuple[FaultyFiles, Log, Log]:
    """A disk, the log on it with one damaged batch, and a whole copy."""
    files = FaultyFiles()
    log = open_log(files=files, config=WHOLE)
    places = [(log.end_position.position, append(log, value))[0] for value in values]
    source = copy_of(log)
    files.kill()
    files.content(STORE)[places[lost] + HEADER_BYTES + 1] ^= 1
    return files, open_log(files=files, config=WHOLE, seed=9), source


def test_a_control_batch_comes_back_though_it_has_no_offsets() -> None:
    files = FaultyFiles()
    log = open_log(files=files, config=WHOLE)
    append(log, b"a")
    append(log, b"b")
    source, before = copy_of(log), reads(log)
    files.kill()
    files.content(STORE)[HEADER_BYTES + 3] ^= 1
    log = open_log(files=files, config=WHOLE)
    assert log.missing() == [(log.origin, 1, 2)]
    (healed,) = log.refill(fetched(source, log.missing()[0]))
    assert healed.start == healed.end == 0
    assert reads(log) == before


def test_readers_see_the_hole_until_it_is_whole() -> None:
    _, log, source = one_damaged([b"a", b"b", b"c"], 1)
    assert log.refill([]) == []
    with pytest.raises(DataLossError):
        log.seek(Offset(1))
    log.refill(fetched(source, log.missing()[0]))
    assert stored(log) == {0: b"a", 1: b"b", 2: b"c"}


def test_another_history_is_refused_and_never_written() -> None:
    files, log, _ = one_damaged([b"a", b"b", b"c"], 1)
    before = bytes(files.content(STORE))
    (missing,) = log.missing()
    liar = open_log(files=FaultyFiles(), config=WHOLE)  # the same seed, so the same origin
    for value in (b"x", b"y", b"z"):
        append(liar, value)
    with pytest.raises(ForkedOriginError):
        log.refill(fetched(liar, missing))
    assert bytes(files.content(STORE)) == before
    assert log.missing() == [missing]


def test_a_history_that_parts_inside_the_range_is_refused() -> None:
    files, log, source = one_damaged([b"a", b"b", b"c"], 1)
    (missing,) = log.missing()
    liar_files = FaultyFiles()
    liar = open_log(files=liar_files, config=WHOLE)
    append(liar, b"a")
    append(liar, b"B")  # continues the chain before, does not lead to the one after
    before = bytes(files.content(STORE))
    with pytest.raises(ForkedOriginError):
        log.refill(fetched(liar, missing))
    assert bytes(files.content(STORE)) == before
    assert len(log.refill(fetched(source, missing))) == 1


def test_what_is_not_missing_is_ignored() -> None:
    files, log, source = one_damaged([b"a", b"b", b"c"], 1)
    before = bytes(files.content(STORE))
    (missing,) = log.missing()
    others = [each for each in batches_of(source) if each.header.base_sequence != missing.start]
    assert log.refill(others) == []
    assert bytes(files.content(STORE)) == before


def test_what_an_origin_ended_with_is_not_missing_but_imported_anew() -> None:
    files, other = FaultyFiles(), open_log(files=FaultyFiles(), name="b", seed=2)
    log = open_log(files=files, config=WHOLE)
    append(other, b"lost")
    copy(other, log)
    at = log.end_position.position - 135
    append(log, b"mine")
    files.kill()
    files.content(STORE)[at + HEADER_BYTES + 1] ^= 1
    log = open_log(files=files, config=WHOLE, seed=4)
    assert len(log.damaged()) == 1
    assert log.missing() == []
    copy(other, log)
    assert sorted(stored(log).values()) == [b"lost", b"mine"]
    assert log.missing() == []


def test_a_crash_at_any_operation_of_a_refill_is_harmless() -> None:
    for ahead in range(1, 12):
        for power in (False, True):
            files, log, source = one_damaged([b"a" * 700, b"b" * 1700, b"c" * 700, b"d"], 1)
            batches = fetched(source, log.missing()[0])
            files.crash_at = files.operation + ahead
            with suppress(SimulatedCrashError):
                log.refill(batches)
            files.power_loss() if power else files.kill()
            log = open_log(files=files, config=WHOLE, seed=4)
            if log.damaged():
                log.refill(fetched(source, log.missing()[0]))
            assert stored(log) == {0: b"a" * 700, 1: b"b" * 1700, 2: b"c" * 700, 3: b"d"}


@pytest.mark.parametrize("operation", [1, 2])
def test_a_failed_write_or_sync_of_a_refill_poisons_the_log(operation: int) -> None:
    files, log, source = one_damaged([b"a", b"b", b"c"], 1)
    (missing,) = log.missing()
    files.faults[files.operation + operation] = EIO
    with pytest.raises(LogPoisonedError):
        log.refill(fetched(source, missing))
    assert log.state == "poisoned"
    assert log.missing() == [missing]


def test_candidates_are_bounded_by_what_is_damaged(monkeypatch: pytest.MonkeyPatch) -> None:
    files, log = sample(3, WHOLE)
    source = copy_of(log)
    files.kill()
    files.content(STORE)[2048:3072] = bytes(1024)
    log = open_log(files=files, config=WHOLE, seed=4)
    monkeypatch.setattr("proglog.log.refill.MAX_REFILL_BYTES", 400)
    offered = [batch for missing in log.missing() for batch in fetched(source, missing)]
    assert sum(len(batch.data) for batch in offered) > 1000
    assert log.refill(offered) == []
    monkeypatch.undo()
    assert len(log.refill(offered)) == 1


def test_the_last_batches_of_an_origin_come_back_while_an_index_knows_them() -> None:
    files = FaultyFiles()
    log = open_log(files=files)
    for number in range(6):
        append(log, b"old %d" % number)
    at, old = log.end_position.position, log.origin
    append(log, b"the last of the old")
    log.begin_origin("because")
    while log.segment_count == 1:
        append(log, b"new" * 50)
    before, source = reads(log), copy_of(log)
    log.close()
    files.kill()
    del files.content(STORE)[at + 20 :]
    log = open_log(files=files, seed=4)
    batches_of_all(log)
    missing = log.missing()
    assert (old, 8, 9) in missing
    log.refill([batch for each in missing for batch in fetched(source, each)])
    assert log.damaged() == []
    assert reads(log) == before


def test_a_sealed_store_that_is_gone_comes_back() -> None:
    files, log = sample(5)
    before, source = reads(log), copy_of(log)
    log.close()
    files.kill()
    stores = [path for path in files.paths() if path.suffix == ".log"]
    files.unlink(stores[2])
    log = open_log(files=files, seed=4)
    (damaged,) = log.damaged()
    log.refill([batch for missing in log.missing() for batch in fetched(source, missing)])
    assert log.damaged() == []
    after = reads(log)
    assert sorted(each[1:] for each in after) == sorted(each[1:] for each in before)
    inside = range(damaged.start, damaged.end + 1)
    assert [each for each in after if each[0] not in inside] == [each for each in before if each[0] not in inside]


def test_a_full_disk_refuses_what_lengthens_a_store_and_a_later_refill_heals_it() -> None:
    files, log = sample(5)
    source = copy_of(log)
    log.close()
    files.kill()
    del files.content(STORE)[-900:]
    log = open_log(files=files, seed=4)
    offered = [batch for missing in log.missing() for batch in fetched(source, missing)]
    files.capacity_bytes = files.used_bytes() - len(files.content(INDEX)) + 100  # the old index goes first
    with pytest.raises(LogFullError):
        log.refill(offered)
    files.capacity_bytes = None
    assert log.state == "ok"
    assert len(log.refill(offered)) == 1
    assert log.damaged() == []


def test_several_ranges_of_one_segment_are_read_back_together() -> None:
    files, log = sample(7, WHOLE)
    before, source = reads(log), copy_of(log)
    files.kill()
    data = files.content(STORE)
    for at in (500, 3000, 9000):
        data[at] ^= 1
    log = open_log(files=files, config=WHOLE, seed=4)
    healed = log.refill([batch for missing in log.missing() for batch in fetched(source, missing)])
    assert len(healed) == 3
    assert reads(log) == before


def test_a_survey_during_an_append_finds_what_is_missing_and_no_more(monkeypatch: pytest.MonkeyPatch) -> None:
    _, log, source = one_damaged([b"a", b"b", b"c"], 1)
    walk = Segment.walk

    def slow(segment: Segment, position: FilePosition) -> Iterator[tuple[FilePosition, BatchHeader]]:
        yield from walk(segment, position)
        monkeypatch.undo()
        append(log, b"meanwhile")

    monkeypatch.setattr(Segment, "walk", slow)
    (missing,) = log.missing()
    assert (missing.start, missing.end) == (3, 4)
    assert len(log.refill(fetched(source, missing))) == 1


def test_damage_that_is_read_during_an_append_is_as_large_as_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    """A reader must not see the size of one moment and the end offset of another."""
    files = FaultyFiles()
    log = open_log(files=files, config=WHOLE)
    append(log, b"a")
    at = log.end_position
    append(log, b"the last")
    files.content(STORE)[at.position + HEADER_BYTES + 1] ^= 1
    add, found = SegmentIndex.add, list[tuple[int, int]]()

    def seen(index: SegmentIndex, header: BatchHeader, position: FilePosition, node_name: str = "") -> None:
        add(index, header, position, node_name)
        log.recheck(at, 1)
        found.extend((each.start, each.end) for each in log.damaged())

    monkeypatch.setattr(SegmentIndex, "add", seen)
    log.append([local(*(b"%d.%d" % (number, part) for part in range(100))) for number in range(10)])
    assert set(found) == {(1, 2)}
    monkeypatch.undo()
    assert set(range(2, 1002)) <= set(stored(log))


def test_an_index_is_not_believed_after_a_refill_in_another_order() -> None:
    """Two origins side by side, all of it zeroed: any order that fits is taken, and a kill leaves the old index."""
    files = FaultyFiles()
    log, other = open_log(files=files, seed=1), open_log(files=FaultyFiles(), name="b", seed=2)
    for number in range(30):
        append(log, b"a%03d" % number * 8)
        append(other, b"b%03d" % number * 8)
        copy_new(other, log)
    while log.segment_count < 3:
        append(log, b"more" * 40)
    source, values = copy_of(log), sorted(stored(log).values())
    log.close()
    files.kill()
    files.content(STORE)[600:3600] = bytes(3000)
    log = open_log(files=files, seed=4)
    batches_of_all(log)
    offered = [batch for missing in log.missing() for batch in fetched(source, missing)]
    ahead = files.operation
    log.refill(offered)
    assert log.damaged() == []
    assert files.operation > ahead
    files.unlink(INDEX)  # as a kill before it was written again would leave it
    files.kill()
    log = open_log(files=files, seed=5)
    assert log.damaged() == []
    for offset in range(log.end_offset):
        header = verify(log.read(log.seek(Offset(offset)), 1).data).header
        assert header.base_offset <= offset < header.end_offset
    assert sorted(stored(log).values()) == values


def test_the_old_index_is_gone_before_a_refill_writes() -> None:
    files, log = sample(5)
    source = copy_of(log)
    log.close()
    files.kill()
    files.content(STORE)[512:1024] = bytes(512)
    log = open_log(files=files, seed=4)
    batches_of_all(log)
    offered = [batch for missing in log.missing() for batch in fetched(source, missing)]
    files.trace.clear()
    log.refill(offered)
    unlinked = next(at for at, done in enumerate(files.trace) if done.startswith("unlink") and INDEX.name in done)
    written = next(at for at, done in enumerate(files.trace) if done.startswith("write") and STORE.name in done)
    assert unlinked < written


def copy_new(source: Log, target: Log) -> None:
    held = target.origins().get(source.origin)
    have = held.next_sequence if held else 1
    new = [each for each in batches_of(source) if each.header.base_sequence >= have]
    target.append([ImportAppend(verify(bytes(each.data))) for each in new])


def test_what_comes_back_at_the_start_is_as_young_as_what_follows_it() -> None:
    files, log = sample(5)
    source = copy_of(log)
    log.close()
    files.kill()
    files.content(STORE)[:] = bytes(len(files.content(STORE)))
    log = open_log(files=files, seed=4)
    batches_of_all(log)
    log.refill([batch for missing in log.missing() for batch in fetched(source, missing)])
    assert log.damaged() == []
    assert {each.header.append_time_ms for each in batches_of(log)} == {1_700_000_000_000}


@pytest.mark.parametrize("orderly", [True, False], ids=["closed in order", "killed"])
@pytest.mark.parametrize("block", [0, 2])
def test_a_block_that_the_disk_cannot_read_is_damage_and_is_written_anew(block: int, orderly: bool) -> None:
    files, log = sample(7, WHOLE)
    before, source = reads(log), copy_of(log)
    if orderly:
        log.close()
    files.kill()
    files.unreadable = {(STORE.name, block)}
    log = open_log(files=files, config=WHOLE, seed=4)
    while True:
        batches_of_all(log)
        if log.damaged():
            break
    (damaged,) = log.damaged()
    assert "the disk cannot read them" in damaged.detail
    assert set(range(damaged.end, log.end_offset)) <= set(stored(log))
    log.refill([batch for missing in log.missing() for batch in fetched(source, missing)])
    assert log.damaged() == []
    assert files.unreadable == set()
    assert sorted(each[1:] for each in reads(log)) == sorted(each[1:] for each in before)


def test_an_unreadable_end_keeps_no_log_from_opening_and_is_not_cut() -> None:
    files, log = sample(7, WHOLE)
    files.kill()
    size = len(files.content(STORE))
    files.unreadable = {(STORE.name, size // 4096)}
    log = open_log(files=files, config=WHOLE, seed=4)
    (damaged,) = log.damaged()
    assert append(log, b"new").base_offset == damaged.end
    assert len(files.content(STORE)) == size
    assert stored(log)[Offset(damaged.end)] == b"new"


def large_range(cut: bool) -> tuple[FaultyFiles, Log, Log, list[tuple[Offset, OriginId, SequenceNumber, bytes]]]:
    """A log that lacks much more of one origin than may be kept in memory, and a copy of it."""
    files = FaultyFiles()
    log = open_log(files=files, config=LogConfig(segment_bytes=64 * 1024, ballast_bytes=0))
    number = 0
    while log.segment_count < 3:
        append(log, b"%05d " % number * 100, b"and another")
        number += 1
    source, before = copy_of(log), reads(log)
    log.close()
    files.kill()
    content = files.content(STORE)
    if cut:
        del content[5000:]
    else:
        content[5000:60_000] = bytes(55_000)
    log = open_log(files=files, config=LogConfig(segment_bytes=64 * 1024, ballast_bytes=0), seed=4)
    batches_of_all(log)
    return files, log, source, before


@pytest.mark.parametrize("cut", [True, False], ids=["cut", "zeroed"])
@pytest.mark.parametrize("killed_at", [None, 10, 40])
def test_a_range_larger_than_what_may_be_kept_comes_back_in_parts(
    cut: bool, killed_at: int | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("proglog.log.refill.MAX_REFILL_BYTES", 4000)
    files, log, source, before = large_range(cut)
    (missing,) = log.missing()
    kept = 0
    for number, batch in enumerate(fetched(source, missing)):
        if number == killed_at:
            files.kill()
            log = open_log(files=files, config=LogConfig(segment_bytes=64 * 1024, ballast_bytes=0), seed=5)
            batches_of_all(log)
            (missing,) = log.missing()
            for again in fetched(source, missing):
                log.refill([again])
            break
        log.refill([batch])
        kept = max(kept, sum(each.bytes for each in log._refiller._candidates.values()))
    assert kept < 6000
    assert log.damaged() == []
    assert reads(log) == before
    check_indexes(log)
    log.close()
    assert [each for each in verify_directory(DIR, files=files).findings if each.severity != "note"] == []


def test_a_large_range_of_another_history_stays_damaged_until_the_right_one_comes(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("proglog.log.refill.MAX_REFILL_BYTES", 4000)
    _, log, source, before = large_range(cut=False)
    (missing,) = log.missing()
    true = fetched(source, missing)
    forked = open_log(files=FaultyFiles(), config=WHOLE, name="fork", seed=44)
    copied = [each for each in batches_of(source) if each.header.origin == missing.origin]
    forked.append(
        [ImportAppend(verify(bytes(each.data))) for each in copied if each.header.base_sequence < missing.start]
    )
    chain = forked.origins()[missing.origin].chain_crc
    with pytest.raises(ForkedOriginError):
        for batch in true:
            values = [b"other" + value for value in scan.values(batch)]
            other = local(*values).batch
            header = stamp_local(
                other,
                origin=missing.origin,
                base_sequence=batch.header.base_sequence,
                previous_chain=chain,
                base_offset=Offset(0),
                append_time_ms=0,
            )
            stamped = verify(header + bytes(other.payload))
            chain = stamped.header.chain_crc
            log.refill([stamped])
    assert log.damaged()
    for batch in true:
        log.refill([batch])
    assert log.damaged() == []
    assert reads(log) == before


def test_a_heal_reads_no_more_than_what_came_back(monkeypatch: pytest.MonkeyPatch) -> None:
    """Work in proportion to the damage, not to the segment that it is in."""
    files = FaultyFiles()
    log = open_log(files=files, config=WHOLE)
    places = [(log.end_position.position, append(log, b"%04d " % number * 20))[0] for number in range(2000)]
    source = copy_of(log)
    files.kill()
    for number in range(100, 2000, 100):
        files.content(STORE)[places[number] + HEADER_BYTES + 1] ^= 1
    log = open_log(files=files, config=WHOLE, seed=4)
    offered = [batch for missing in log.missing() for batch in fetched(source, missing)]
    assert len(offered) == 19
    walked = 0
    parse = Segment._header

    def counted(segment: Segment, data: bytes, at: int, position: int) -> BatchHeader:
        nonlocal walked
        walked += 1
        return parse(segment, data, at, position)

    monkeypatch.setattr(Segment, "_header", counted)
    scanned: list[Segment] = []
    monkeypatch.setattr(Segment, "_scan", scanned.append)
    for batch in offered:
        assert len(log.refill([batch])) == 1
        log.missing()
    assert log.damaged() == []
    assert walked < 19 * 20
    assert scanned == []


def test_what_damage_hides_is_in_the_progress_of_its_origin_until_it_is_back() -> None:
    files, log = sample(3)
    source = copy_of(log)
    log.close()
    files.kill()
    damage(files, Random(5), 2000, ["flip"])
    log = open_log(files=files, seed=9)
    stored(log)  # disks rot in silence: reading finds it
    missing = log.missing()
    assert missing
    assert not log.hides(missing)
    log.hide(missing)
    for origin, start, end in missing:
        assert (start, end) in log.origins()[origin].damaged
        assert not log.origins()[origin].holds(start)

    for lost in missing:
        log.refill(fetched(source, lost))
    assert log.may_lack
    assert log.missing() == []
    log.hide([])
    assert not any(held.damaged for held in log.origins().values())
    assert not log.may_lack
