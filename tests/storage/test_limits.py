"""The edges: many segments, few descriptors, the smallest and largest records, offsets that need many bits."""

import subprocess
import sys
import time
from pathlib import Path

import pytest

from kit.patience import patience
from proglog.errors import RecordTooLargeError
from proglog.log.checkpoint import save
from proglog.log.config import FsyncPolicy, LogConfig
from proglog.log.files import OsFiles
from proglog.log.store import MAX_OPEN_STORES
from proglog.record.batch import HEADER_BYTES, MAX_BATCH_BYTES
from tests.storage.kit import Witness, open_log
from tests.unit.log.kit import batch_of

ONE_A_SEGMENT = LogConfig(segment_bytes=4096, index_interval_bytes=512, ballast_bytes=0, fsync=FsyncPolicy.OS)


def descriptors() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))


def test_many_segments_of_one_record_each_open_quickly_and_need_few_descriptors(memory: Path) -> None:
    count, witness = 10_000, Witness()
    before = descriptors()
    log = open_log(memory, config=ONE_A_SEGMENT)
    values = [b"%d " % number + bytes(2200) for number in range(count)]
    for start in range(0, count, 100):
        assert witness.append(log, values[start : start + 100])
    assert log.segment_count == count
    assert descriptors() - before <= MAX_OPEN_STORES + 4
    log.close()
    started = time.monotonic()
    log = open_log(memory, config=ONE_A_SEGMENT)
    took = time.monotonic() - started
    print(f"{count} segments opened in {took:.2f} s")
    assert took < patience(5)
    assert log.recovery.scanned_bytes == 0
    assert witness.flaws(log) == []
    assert descriptors() - before <= MAX_OPEN_STORES + 4
    log.close()


def test_under_128_descriptors_a_log_of_many_segments_is_written_and_read(memory: Path) -> None:
    script = """
import resource, sys
from pathlib import Path
from tests.storage.kit import Witness, open_log
from tests.storage.test_limits import ONE_A_SEGMENT
resource.setrlimit(resource.RLIMIT_NOFILE, (128, 128))
witness, log = Witness(), open_log(Path(sys.argv[1]), config=ONE_A_SEGMENT)
for number in range(400):
    assert witness.append(log, [b"%d " % number + bytes(2200)])
assert log.segment_count == 400, log.segment_count
assert witness.flaws(log) == []
log.close()
log = open_log(Path(sys.argv[1]), config=ONE_A_SEGMENT, seed=2)
assert witness.flaws(log) == []
log.close()
"""
    done = subprocess.run([sys.executable, "-c", script, memory], capture_output=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr.decode()


def test_records_of_no_bytes_one_byte_and_the_most_bytes_are_kept(tmp_path: Path) -> None:
    witness, log = Witness(), open_log(tmp_path)
    overhead = len(batch_of(bytes(3_000_000)).data) - 3_000_000
    most = MAX_BATCH_BYTES - overhead
    assert overhead < HEADER_BYTES + 32
    for value in (b"", b"x", bytes(most), b"y" * (most - 1)):
        assert witness.append(log, [value])
    with pytest.raises(RecordTooLargeError) as refused:
        batch_of(bytes(most + 1))
    assert str(MAX_BATCH_BYTES) in str(refused.value).replace(",", "")
    assert witness.flaws(log) == []
    log.close()
    log = open_log(tmp_path, seed=2)
    assert witness.flaws(log) == []
    log.close()


@pytest.mark.parametrize("start", [2**31 - 3, 2**32 - 3, 2**53 - 3, 2**63 - 60])
def test_offsets_that_need_many_bits_are_counted_and_found_exactly(tmp_path: Path, start: int) -> None:
    mark = {"base_offset": start, "store_bytes": 0, "end_offset": start, "clean": False}
    save(OsFiles(), tmp_path / "durable", mark)
    (tmp_path / f"{start:020d}.log").touch()
    witness = Witness()
    config = LogConfig(segment_bytes=4096, index_interval_bytes=256, ballast_bytes=0)
    log = open_log(tmp_path, config=config)
    for number in range(40):
        assert witness.append(log, [b"%d " % number * 60])
    assert log.start_offset == start
    assert log.end_offset == start + 40
    assert log.segment_count > 1
    for life in range(2):
        assert witness.flaws(log) == []
        for attempt in witness.attempts:
            assert attempt.payload in log.read(log.seek(attempt.offset), 1).data  # type: ignore[arg-type]
        log.close()
        if life == 0:
            for index in tmp_path.glob("*.index"):
                index.unlink()
        log = open_log(tmp_path, config=config, seed=life + 2)
    log.close()
