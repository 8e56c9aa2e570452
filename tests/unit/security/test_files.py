"""Whether a file changed, and reading it within bounds."""

import os
import time
from pathlib import Path

import pytest

from proglog.errors import ConfigError
from proglog.security.files import NO_FILE, file_version, read_bounded


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "policy.csv"
    path.write_bytes(b"p, root, *, produce\n")
    return path


def let_the_clock_of_files_tick(file: Path) -> None:
    """Return once a change is given a later time than ``file`` has: older kernels count in steps of milliseconds."""
    probe = file.with_name("probe")
    deadline = time.monotonic() + 10
    while True:
        probe.write_bytes(b"")
        if probe.stat().st_ctime_ns > file.stat().st_ctime_ns:
            return
        assert time.monotonic() < deadline, "the clock of files stands still"


def test_a_file_that_nobody_touches_keeps_its_version(file: Path) -> None:
    before = file_version(file)
    read_bounded(file, 100)

    assert file_version(file) == before


def test_new_permissions_are_a_change_so_that_a_refused_file_is_read_again(file: Path) -> None:
    file.chmod(0)
    refused = file_version(file)
    let_the_clock_of_files_tick(file)

    file.chmod(0o644)

    assert file_version(file) != refused


def test_content_written_in_place_under_the_old_time_is_a_change(file: Path) -> None:
    before, status = file_version(file), file.stat()
    let_the_clock_of_files_tick(file)

    file.write_bytes(b"p, toor, *, produce\n")
    os.utime(file, ns=(status.st_atime_ns, status.st_mtime_ns))

    assert file_version(file) != before


def test_a_file_that_is_not_there_has_no_version(tmp_path: Path) -> None:
    assert file_version(tmp_path / "nowhere") == NO_FILE


@pytest.mark.parametrize("limit_bytes", [20, 100])
def test_a_file_within_the_limit_is_read_whole(file: Path, limit_bytes: int) -> None:
    assert read_bounded(file, limit_bytes) == b"p, root, *, produce\n"


def test_a_file_over_the_limit_is_refused(file: Path) -> None:
    with pytest.raises(ConfigError, match=r"policy\.csv has more than 19 bytes"):
        read_bounded(file, 19)


def test_a_pipe_is_refused_rather_than_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")

    with pytest.raises(ConfigError, match="is not a regular file"):
        read_bounded(tmp_path / "pipe", 100)
