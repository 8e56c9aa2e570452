"""Reading the small files that operators write: bounded, and each failure one line that says what to do."""

import stat
import time
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from proglog.errors import ConfigError


class FileVersion(NamedTuple):
    """What changes when a file is replaced or written: cheap to ask for, and equal while nothing happened."""

    inode: int
    size_bytes: int
    modified_ns: int
    changed_ns: int
    """Moves with permissions and owner too: a file that was refused for them is read again once they are right."""


NO_FILE = FileVersion(0, 0, 0, 0)
"""The version of a file that is not there, or may not be looked at."""


RETRY_SECONDS = 5.0
"""After which files that were refused are read again, though they are the same: a reason may pass by itself, as a lack of
descriptors does, or a time before which a certificate is not valid."""


class Watched:
    """Which version of some files is in use, and when others are to be read."""

    def __init__(self, version: tuple[FileVersion, ...], clock: Callable[[], float] = time.monotonic) -> None:
        """``version`` is in use; ``clock`` returns monotonic seconds."""
        self._clock = clock
        self._in_use = version
        self._refused: tuple[tuple[FileVersion, ...], str] | None = None
        self._retry_at = 0.0

    def is_due(self, version: tuple[FileVersion, ...]) -> bool:
        """Return whether the files, which are ``version`` now, are to be read."""
        if self._refused is None:
            return version != self._in_use
        return version != self._refused[0] or self._clock() >= self._retry_at

    def retry(self) -> None:
        """Have what was refused read at the next look."""
        self._retry_at = self._clock()

    def take(self, version: tuple[FileVersion, ...]) -> None:
        """``version`` was good, and is in use."""
        self._in_use, self._refused = version, None

    def refuse(self, version: tuple[FileVersion, ...], why: str) -> bool:
        """``version`` is not good; return whether that is news."""
        before, self._refused = self._refused, (version, why)
        self._retry_at = self._clock() + RETRY_SECONDS
        return before != self._refused


def file_version(path: Path) -> FileVersion:
    """Return what ``path`` is now; ``NO_FILE`` when it cannot be looked at, which reading it will explain."""
    try:
        status = path.stat()
    except OSError:
        return NO_FILE
    return FileVersion(status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns)


def read_bounded(path: Path, limit_bytes: int) -> bytes:
    """Return the whole of ``path``.

    Raises:
        ConfigError: It cannot be read, is no regular file, or has more than ``limit_bytes``.
    """
    try:
        if path.exists() and not path.is_file():
            raise ConfigError(f"{path} is not a regular file: name a file")
        with path.open("rb") as file:
            content = file.read(limit_bytes + 1)
    except OSError as exc:
        raise ConfigError(f"{path} cannot be read: {exc.strerror}; check the path and who may read it") from exc
    if len(content) > limit_bytes:
        raise ConfigError(f"{path} has more than {limit_bytes:,} bytes: that is not the file it should be")
    return content


def check_secret(path: Path) -> None:
    """Check that only its owner and group can read ``path``, and only its owner write it.

    Raises:
        ConfigError: Others can.
    """
    try:
        mode = path.stat().st_mode
    except OSError:
        return  # reading it says why
    if stat.S_ISREG(mode) and mode & (stat.S_IRWXO | stat.S_IWGRP):
        raise ConfigError(f"{path} is a secret that others can touch (mode {mode & 0o777:04o}): chmod 0600 it")
