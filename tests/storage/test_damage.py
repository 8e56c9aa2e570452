"""Stores that rot: bits, bytes and sectors change. Every fault is found, none is served, no other record is lost with it."""

from collections.abc import Callable
from random import Random

import pytest

from kit.checker import check
from proglog.log.config import LogConfig
from proglog.record import scan
from proglog.testing.files import SECTOR_BYTES, FaultyFiles
from tests.storage.kit import LONG, Image, Witness, open_log, reading_of
from tests.unit.log.kit import batch_of, local

CONFIG = LogConfig(segment_bytes=4096, index_interval_bytes=512, ballast_bytes=0)

MISDIRECTED_COST = 6
"""Records beside those that were touched: a batch that landed further ahead can hide whole ones before its own place."""

Span = tuple[int, int]
Fault = Callable[[Random, bytearray], list[Span]]


def one_bit(random: Random, content: bytearray) -> list[Span]:
    at = random.randrange(len(content))
    content[at] ^= 1 << random.randrange(8)
    return [(at, at + 1)]


def one_byte(random: Random, content: bytearray) -> list[Span]:
    at = random.randrange(len(content))
    content[at] ^= random.randint(1, 255)
    return [(at, at + 1)]


def swapped_sectors(random: Random, content: bytearray) -> list[Span]:
    """Two writes that reached each other's place."""
    one, other = (number * SECTOR_BYTES for number in random.sample(range(len(content) // SECTOR_BYTES), 2))
    here, there = slice(one, one + SECTOR_BYTES), slice(other, other + SECTOR_BYTES)
    content[here], content[there] = content[there], content[here]
    return [(one, one + SECTOR_BYTES), (other, other + SECTOR_BYTES)]


def zeroed_sector(random: Random, content: bytearray) -> list[Span]:
    at = random.randrange(len(content) // SECTOR_BYTES) * SECTOR_BYTES
    content[at : at + SECTOR_BYTES] = bytes(SECTOR_BYTES)
    return [(at, at + SECTOR_BYTES)]


def rotten(image: Image, fault: Fault, random: Random) -> set[int]:
    """Damage one store; return the offsets of the batches that were touched."""
    image.restore()
    store = random.choice([path for path in image.stores if len(image.content(path)) >= 2 * SECTOR_BYTES])
    content = image.files.content(store)
    spans = fault(random, content)
    touched: set[int] = set()
    for position, header in scan.headers(image.content(store)):
        if any(start < position + header.batch_bytes and position < end for start, end in spans):
            touched |= set(range(header.base_offset, header.end_offset))
    return touched


@pytest.mark.parametrize("orderly", [True, False], ids=["closed in order", "killed"])
@pytest.mark.parametrize(
    ("fault", "count", "cost"),
    [
        pytest.param(one_bit, 10_000, 0, id="a bit"),
        pytest.param(one_byte, 1_000, 0, id="a byte"),
        pytest.param(swapped_sectors, 100, MISDIRECTED_COST, id="swapped sectors"),
        pytest.param(zeroed_sector, 100, 0, id="a zeroed sector"),
    ],
)
def test_damage_is_found_never_served_never_cut_and_costs_no_other_record(
    fault: Fault, count: int, cost: int, orderly: bool
) -> None:
    files, witness = FaultyFiles(), Witness()
    log, random = open_log(files=files, config=CONFIG), Random(count)
    for number in range(60):
        assert witness.append(log, [b"%d " % number + random.randbytes(random.randint(1, 250))])
        if number % 7 == 0:  # several records a batch, which no witness asks for
            log.append([local(*(b"%d.%d" % (number, n) for n in range(3)))])
    log.close() if orderly else log.retain()  # both say how far the log is durable
    image = Image(files)
    whole = {path: len(image.content(path)) for path in image.stores}
    before = {each.offset: each.payload for each in reading_of(open_log(files=files, config=CONFIG)).seen}
    for number in range(count if LONG else max(25, count // 25)):
        touched = rotten(image, fault, random)
        log = open_log(files=files, config=CONFIG, seed=5)
        reading = reading_of(log)
        found = {each.offset: each.payload for each in reading.seen}
        assert log.damaged(), (number, "not found")
        assert all(before[offset] == payload for offset, payload in found.items()), (number, "wrong bytes")
        assert len(set(before) - set(found) - touched) <= cost, (number, "lost more than was damaged")
        kinds = {flaw.kind for flaw in check(witness.attempts, [reading])}
        assert kinds <= {"phantom"}, number  # those that no witness asked for
        assert all(len(files.content(path)) >= size for path, size in whole.items()), (number, "cut")
        log.close()


def test_whole_batches_that_reached_each_others_place_are_not_served() -> None:
    """A batch that fills its sector is whole wherever it lands: only its offset says that it is not its place."""
    files, witness, random = FaultyFiles(), Witness(), Random(3)
    log = open_log(files=files, config=CONFIG)
    filling = next(size for size in range(SECTOR_BYTES) if len(batch_of(bytes(size)).data) == SECTOR_BYTES)
    for _ in range(40):
        witness.append(log, [random.randbytes(filling)])
    log.close()
    image = Image(files)
    for store in image.stores[1:-1]:
        image.restore()
        swapped_sectors(random, files.content(store))
        log = open_log(files=files, config=CONFIG, seed=5)
        assert witness.flaws(log) == []
        assert log.damaged()
        log.close()
