"""A process that has used up its file descriptors."""

from errno import EMFILE
from pathlib import Path

from proglog.log.config import LogConfig
from proglog.log.files import File, OsFiles
from proglog.log.log import Log
from proglog.log.model import Appended
from tests.unit.log.kit import local


class NoDescriptors(OsFiles):
    """The operating system's disk, without a descriptor for any new file while ``exhausted``."""

    exhausted = False

    def open(self, path: Path, *, write: bool = False, create: bool = False) -> File:
        if self.exhausted:
            raise OSError(EMFILE, "Too many open files")
        return super().open(path, write=write, create=create)


def test_without_a_descriptor_for_the_next_segment_appends_go_on_in_this_one(tmp_path: Path) -> None:
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
