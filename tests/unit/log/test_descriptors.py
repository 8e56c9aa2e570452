"""A process that has used up its file descriptors."""

import subprocess
import sys
from errno import EMFILE
from pathlib import Path

import pytest

from proglog.errors import StorageError
from proglog.log.config import LogConfig
from proglog.log.files import File, OsFiles
from proglog.log.log import Log
from proglog.log.model import Appended
from proglog.record.batch import verify
from tests.unit.log.kit import batches_of, local


class NoDescriptors(OsFiles):
    """The operating system's disk, without a descriptor for any new file while ``exhausted``."""

    exhausted = False

    def open(self, path: Path, *, write: bool = False, create: bool = False) -> File:
        if self.exhausted:
            raise OSError(EMFILE, "Too many open files")
        return super().open(path, write=write, create=create)


def test_without_a_descriptor_for_the_next_segment_appends_continue_in_this_one(tmp_path: Path) -> None:
    files = NoDescriptors()
    log = Log.open(tmp_path, LogConfig(segment_bytes=4096), node_name="a", files=files)
    log.append([local(bytes(3000))])

    files.exhausted = True
    outcomes = [log.append([local(bytes(3000))])[0] for _ in range(3)]

    assert all(isinstance(outcome, Appended) for outcome in outcomes)
    assert (log.end_offset, log.segment_count, log.state) == (4, 1, "ok")
    files.exhausted = False
    log.append([local(bytes(3000))])
    assert log.segment_count == 2
    log.close()
    again = Log.open(tmp_path, LogConfig(segment_bytes=4096), node_name="a")
    assert (again.end_offset, again.recovery.describe()) == (5, "")
    again.close()


def test_the_last_descriptor_is_enough_to_roll_and_the_index_follows(tmp_path: Path) -> None:
    script = """
import os, resource, sys
from pathlib import Path
from proglog.log.config import LogConfig
from proglog.log.log import Log
from tests.unit.log.kit import append, local
log = Log.open(Path(sys.argv[1]), LogConfig(segment_bytes=4096), node_name="a")
append(log, bytes(3000))
spare = os.open("/dev/null", os.O_RDONLY)
resource.setrlimit(resource.RLIMIT_NOFILE, (spare + 1, resource.getrlimit(resource.RLIMIT_NOFILE)[1]))
os.close(spare)
for number in range(5):
    append(log, bytes(3000))
log.retain()
assert log.state == "ok", log.state_detail
assert {problem.key for problem in log.problems()} <= {"roll", "index", "derived", "mark"}, log.problems()
assert log.segment_count > 1
resource.setrlimit(resource.RLIMIT_NOFILE, (256, resource.getrlimit(resource.RLIMIT_NOFILE)[1]))
append(log, bytes(3000))
log.retain()
assert log.problems() == ()
assert "missing" not in {segment.index for segment in log.segments()}
log.close()
"""
    done = subprocess.run([sys.executable, "-c", script, tmp_path], capture_output=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr.decode()


def test_open_stores_make_way_when_there_is_no_descriptor_left(tmp_path: Path) -> None:
    script = """
import resource, sys
from pathlib import Path
from proglog.log.config import LogConfig
from proglog.log.log import Log
from tests.unit.log.kit import append, values_of
log = Log.open(Path(sys.argv[1]), LogConfig(segment_bytes=4096), node_name="a")
for number in range(100):
    append(log, b"%d " % number * 1000)
resource.setrlimit(resource.RLIMIT_NOFILE, (32, resource.getrlimit(resource.RLIMIT_NOFILE)[1]))
held = []
try:
    while True:
        held.append(open("/dev/null"))
except OSError:
    held.pop().close()
for _ in range(2):
    assert len(values_of(log)) == 100
assert log.state == "ok"
"""
    done = subprocess.run([sys.executable, "-c", script, tmp_path], capture_output=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr.decode()


def test_a_refill_without_a_descriptor_poisons_nothing_and_works_when_there_is_one(tmp_path: Path) -> None:
    files = NoDescriptors()
    log = Log.open(tmp_path, LogConfig(segment_bytes=4096), node_name="a", files=files)
    for number in range(4):
        log.append([local(b"%d" % number * 3000)])
    lost = [verify(bytes(batch.data)) for batch in batches_of(log)]
    log.close()
    store = sorted(tmp_path.glob("*.log"))[1]
    data = bytearray(store.read_bytes())
    data[1000] ^= 1
    store.write_bytes(data)
    (tmp_path / "durable").unlink()
    store.with_suffix(".index").unlink()
    log = Log.open(tmp_path, LogConfig(segment_bytes=4096), node_name="a", files=files)
    assert log.missing()
    files.exhausted = True
    with pytest.raises(StorageError, match="Too many open files"):
        log.refill(lost)
    assert log.state == "ok"
    files.exhausted = False
    assert log.refill(lost)
    assert log.damaged() == []
    log.close()
