"""The end of the last store after a crash: cut anywhere, or followed by what a disk may leave there. No phantom record."""

from random import Random

import pytest

from proglog.log.config import LogConfig
from proglog.record import scan
from proglog.record.batch import HEADER_BYTES
from proglog.testing.files import FaultyFiles
from tests.storage.kit import DIR, LONG, Image, Witness, open_log

CONFIG = LogConfig(segment_bytes=8192, index_interval_bytes=512, ballast_bytes=0)
SIZES = (1, 3, 31, 32, 127, 128, 129, 511, 512, 4096, 65_537, 1 << 20)


def killed(groups: list[list[bytes]]) -> tuple[Image, Witness]:
    """A disk on which a process wrote ``groups`` over some segments and was killed."""
    files, witness = FaultyFiles(), Witness()
    log = open_log(files=files, config=CONFIG)
    for group in groups:
        assert witness.append(log, group)
    return Image(files), witness


def values(count: int, first: int = 0) -> list[bytes]:
    random = Random(count)
    return [b"%d " % number + random.randbytes(random.randint(0, 300)) for number in range(first, first + count)]


@pytest.mark.parametrize("together", [True, False], ids=["written as one group", "synced one by one"])
def test_a_tail_cut_at_every_byte_of_the_last_three_batches_leaves_every_whole_batch(together: bool) -> None:
    last = values(3, first=100)
    image, witness = killed([*([value] for value in values(70)), *([last] if together else [[each] for each in last])])
    store = image.stores[-1]
    ends = [position + header.batch_bytes for position, header in scan.headers(image.content(store))]
    offsets = {attempt.payload: attempt.offset for attempt in witness.attempts}
    assert len(image.stores) > 1
    for size in range(ends[-4], len(image.content(store))):
        image.restore()
        del image.files.content(store)[size:]
        log = open_log(files=image.files, config=CONFIG, seed=3)
        whole = sum(end <= size for end in ends)
        cut = len(ends) - whole
        assert log.end_offset == offsets[last[-cut]]
        flaws = witness.flaws(log)
        assert {flaw.kind for flaw in flaws} == {"lost"}  # these three, and no flaw of another kind
        assert len(flaws) == cut
        assert log.damaged() == []
        assert log.recovery.torn_bytes == size - ends[whole - 1]


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("kind", ["zeros", "random", "old bytes", "an old group", "half a header", "ones"])
def test_what_a_disk_may_leave_behind_the_end_is_never_a_record(kind: str, size: int) -> None:
    image, witness = killed([[value] for value in values(60)])
    store = image.stores[-1]
    for seed in range(20 if LONG else 1):
        image.restore()
        content, random = image.files.content(store), Random(seed)
        length, old = len(content), image.content(image.stores[random.randrange(len(image.stores))])
        content += {
            "zeros": bytes(size),
            "ones": b"\xff" * size,
            "random": random.randbytes(size),
            "old bytes": (old[random.randrange(len(old)) :] + old * (size // len(old) + 1))[:size],
            "an old group": (old * (size // len(old) + 1))[-size:],
            "half a header": content[: HEADER_BYTES // 2] + bytes(size - 1),
        }[kind]
        rubbish = len(content) - length
        log = open_log(files=image.files, config=CONFIG, seed=3)
        assert witness.flaws(log) == []
        assert log.damaged() == []
        assert log.recovery.torn_bytes == rubbish
        assert len(image.files.content(store)) == length
        assert Witness().append(log, [b"next"])
        log.close()
        assert image.files.content(DIR / store.name)


def test_zeros_in_the_place_of_the_last_batches_are_no_records() -> None:
    """What a file system leaves that had made a file longer, and had not written into it yet."""
    image, witness = killed([[value] for value in values(60)])
    store = image.stores[-1]
    starts = [position for position, _ in scan.headers(image.content(store))]
    for position in starts[-3:]:
        image.restore()
        content = image.files.content(store)
        content[position:] = bytes(len(content) - position)
        log = open_log(files=image.files, config=CONFIG, seed=3)
        flaws = witness.flaws(log)
        assert {flaw.kind for flaw in flaws} == {"lost"}
        assert len(flaws) == len(starts) - starts.index(position)
        assert log.damaged() == []
