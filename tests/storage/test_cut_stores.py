"""A store cut at any byte of its last batches, active or sealed, alone or with a peer: later records stay, the rest comes back."""

import pytest

from proglog.log.config import LogConfig
from proglog.log.log import Log
from proglog.record import scan
from proglog.testing.files import FaultyFiles
from tests.storage.kit import LONG, Image, came_back
from tests.unit.log.kit import append, open_log, stored

CONFIG = LogConfig(segment_bytes=4096, index_interval_bytes=512, ballast_bytes=0)
LAST_BATCHES = 10


def stopped(log: Log, files: FaultyFiles, how: str) -> None:
    """End a life; the durable mark is as old as a running agent leaves it at most."""
    if how == "closed in order":
        log.close()
    else:
        log.retain()
    files.kill()


@pytest.mark.parametrize("peer", [False, True], ids=["alone", "with a peer"])
@pytest.mark.parametrize("again", ["closed in order", "killed"])
@pytest.mark.parametrize("how", ["closed in order", "killed"])
@pytest.mark.parametrize("which", ["active", "sealed"])
def test_what_a_cut_took_is_known_and_what_comes_later_stays(which: str, how: str, again: str, peer: bool) -> None:
    files = FaultyFiles()
    log = open_log(files=files, config=CONFIG, seed=1)
    for number in range(100):
        append(log, b"old %d " % number * 6, b"and %d" % number)
    log.retain()
    copy = open_log(files=FaultyFiles(), config=CONFIG, name="copy", seed=5)
    came_back(copy, log)
    values = stored(log)
    stopped(log, files, how)
    image = Image(files)
    stores = image.stores
    store = stores[-1] if which == "active" else stores[len(stores) // 2]
    content = image.content(store)
    headers = list(scan.headers(content))
    ends = [position + header.batch_bytes for position, header in headers]
    first = int(store.stem)
    following = 200 if which == "active" else int(stores[stores.index(store) + 1].stem)
    sizes = range(ends[-LAST_BATCHES - 1] if len(ends) > LAST_BATCHES else 0, len(content), 1 if LONG else 83)
    for size in sizes:
        image.restore()
        del files.content(store)[size:]
        whole = max(
            (header.end_offset for (_, header), end in zip(headers, ends, strict=True) if end <= size), default=first
        )
        kept = {offset: value for offset, value in values.items() if not whole <= offset < following}
        new: dict[int, bytes] = {}
        for life in range(3):
            log = open_log(files=files, config=CONFIG, seed=10 + life)
            found = stored(log)
            assert {offset: found.get(offset) for offset in kept} == kept, (size, life)
            assert {offset: found.get(offset) for offset in new} == new, (size, life)
            if peer:
                came_back(log, copy)
                assert log.damaged() == [], (size, life)
                assert log.missing() == [], (size, life)
                assert sorted(stored(log).values()) == sorted([*values.values(), *new.values()]), (size, life)
            else:
                assert [(each.start, each.end) for each in log.damaged()] == [(whole, following)], (size, life)
            for number in range(3):
                value = b"new %d.%d" % (life, number)
                new[append(log, value).base_offset] = value
            stopped(log, files, again)
