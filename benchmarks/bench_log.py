"""The log alone, against what the same disk does for the same bytes in the same run.

Appends with a sync each against a bare ``pwrite`` and ``fdatasync``; reads against ``cat FILES >/dev/null``; then what
an index costs in memory, and how long opening takes after an orderly end and after a kill. Always in turns with
the yardstick, for a disk has moods: appends one by one, all else three times.
"""

import json
import os
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from statistics import median

from proglog.log.config import FsyncPolicy, LogConfig
from proglog.log.files import OsFiles
from proglog.log.log import Log
from proglog.log.model import LocalAppend, LogPosition
from proglog.log.scan import scan_store
from proglog.log.store import store_name
from proglog.record import columns
from proglog.record.batch import encode, verify
from proglog.record.place import Places
from proglog.types import FilePosition, LogId, NodeName, Offset

KIB, MIB = 1024, 1024 * 1024
RUNS = 3


def run(*, full: bool) -> Iterator[str]:
    """Yield a line per measurement."""
    size = 512 * MIB if full else 4 * MIB
    with tempfile.TemporaryDirectory(prefix="proglog-bench-", dir=os.environ.get("PROGLOG_BENCH_DIR")) as scratch:
        directory = Path(scratch)
        yield from _appends(directory, size // 4)
        yield from _small_batches(directory / "small", 200_000 if full else 2_000)
        yield from _reads(directory / "reads", size)
        yield from _opening(directory / "opening", 8 * size)


def _appends(directory: Path, size: int) -> Iterator[str]:
    batch = _batch(64 * KIB)
    data = bytes(batch.batch.data)
    log, bare = _open(directory / "append"), os.open(directory / "bare", os.O_RDWR | os.O_CREAT)
    ours, theirs = [], []
    for at in range(0, size, len(data)):
        ours.append(_seconds(lambda: log.append([batch])))
        theirs.append(_seconds(partial(_write_and_sync, bare, data, at)))
    log.close()
    os.close(bare)
    yield (
        f"append, 64 KiB and a sync each, medians: {median(ours) * 1e6:.0f} us, bare {median(theirs) * 1e6:.0f} us:"
        f" ratio {_ratio(theirs, ours)}; all in all {_rate(size, sum(ours))}, bare {_rate(size, sum(theirs))}"
    )
    group = [_batch(128 * KIB)] * 16
    log = _open(directory / "groups")
    seconds = _seconds(lambda: [log.append(group) for _ in range(max(1, size // (2 * MIB)))])
    yield f"append, groups of 16 x 128 KiB: {_rate(log.stored_bytes, seconds)}"
    log.close()


def _small_batches(directory: Path, count: int) -> Iterator[str]:
    log = _open(directory)
    group = [_batch(128)] * 1000
    seconds = _seconds(lambda: [log.append(group) for _ in range(count // 1000)])
    yield f"append, one record a batch, groups of 1,000: {count / seconds:,.0f} batches/s"
    log.close()


def _reads(directory: Path, size: int) -> Iterator[str]:
    _fill(directory, size)
    log = _open(directory)
    stores = sorted(directory.glob("*.log"))

    def read_all() -> None:
        cursor = LogPosition(log.start_offset, FilePosition(0))
        while (read := log.read(cursor, 256 * KIB)).data:
            cursor = read.next

    first, again, cat = [], [], []
    for _ in range(RUNS):
        log.close()
        log = _open(directory)
        first.append(_seconds(read_all))
        again.append(_seconds(read_all))
        cat.append(_seconds(lambda: _cat(stores)))
    yield (
        f"read, 256 KiB, warm: {_rate(size, median(again))}, cat {_rate(size, median(cat))}: ratio {_ratio(cat, again)};"
        f" the first time, checking every byte: {_rate(size, median(first))}, ratio {_ratio(cat, first)}"
    )
    cold, cold_cat = [], []
    for _ in range(RUNS):
        _drop(stores)
        cold_cat.append(_seconds(lambda: _cat(stores)))
        log.close()
        log = _open(directory)
        _drop(stores)
        cold.append(_seconds(read_all))
    yield (
        f"read, 256 KiB, cold: {_rate(size, median(cold))}, cat {_rate(size, median(cold_cat))}:"
        f" ratio {_ratio(cold_cat, cold)}"
    )
    offsets = range(0, log.end_offset, max(1, log.end_offset // 2000))
    seconds = _seconds(lambda: [log.seek(Offset(offset)) for offset in offsets])
    index_bytes = sum(info.index_bytes for info in log.segments())
    yield f"seek: {seconds / len(offsets) * 1e6:.0f} us; index in memory {index_bytes / size * 1024:.1f} KiB a MiB"
    log.close()


def _opening(directory: Path, size: int) -> Iterator[str]:
    log = _fill(
        directory, size - 2 * MIB
    )  # so that the last segment is nearly full: that is what a kill leaves to scan
    total = log.stored_bytes
    descriptors = len(list(Path("/proc/self/fd").iterdir()))
    clean, killed = [], []
    for _ in range(RUNS):
        clean.append(_seconds(lambda: _open(directory).close()))
        (directory / "durable").unlink()
        killed.append(_seconds(lambda: _open(directory).close()))
    (directory / "durable").unlink()
    log = _open(directory)
    scanned = log.recovery.scanned_bytes
    log.close()
    yield f"open {total // MIB} MiB after an orderly end: {median(clean) * 1000:.0f} ms; {descriptors} files open"
    yield f"open {total // MIB} MiB after a kill: {median(killed) * 1000:.0f} ms, {scanned // MIB} MiB scanned"
    store = directory / store_name(0)
    file, length = OsFiles().open(store), store.stat().st_size
    places = Places(
        LogId(bytes.fromhex(json.loads((directory / "identity").read_text().split("\n")[0])["log"])), Offset(0)
    )
    scan = median(
        _seconds(lambda: scan_store(file, places, Offset(0), 4096, length=length, durable=(length, Offset(0))))
        for _ in range(RUNS)
    )
    yield f"scan of a store, warm: {_rate(length, scan)}"


def _open(directory: Path) -> Log:
    return Log.open(directory, LogConfig(), node_name=NodeName("bench"))


def _fill(directory: Path, size: int) -> Log:
    log = Log.open(directory, LogConfig(fsync=FsyncPolicy.OS), node_name=NodeName("bench"))
    group = [_batch(64 * KIB)] * 16
    while log.stored_bytes < size:
        log.append(group)
    log.close()
    return log


def _batch(size: int) -> LocalAppend:
    values = [os.urandom(min(size, 1000))] * max(1, size // 1000)
    return LocalAppend(
        verify(encode(columns.from_values(values), count=len(values), first_timestamp_ms=1, max_timestamp_ms=1))
    )


def _write_and_sync(descriptor: int, data: bytes, at: int) -> None:
    os.pwrite(descriptor, data, at)
    os.fdatasync(descriptor)


def _cat(paths: list[Path]) -> None:
    subprocess.run(["cat", *paths], stdout=subprocess.DEVNULL, check=True)


def _drop(paths: list[Path]) -> None:
    """Have the kernel forget the pages of ``paths``."""
    for path in paths:
        descriptor = os.open(path, os.O_RDONLY)
        os.fsync(descriptor)
        os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_DONTNEED)
        os.close(descriptor)


def _seconds(work: Callable[[], object]) -> float:
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def _ratio(yardstick: list[float], ours: list[float]) -> str:
    return f"{median(yardstick) / median(ours):.2f}"


def _rate(size: int, seconds: float) -> str:
    return f"{size / seconds / 1e6:,.0f} MB/s"
