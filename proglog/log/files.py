"""The file-system seam: the few operations that the log needs, and the operating system's.

Everything the log does to a disk goes through here, so that a test's file system can lose, tear, refuse or crash at
any of them. Paths are absolute. All errors are ``OSError``.
"""

import fcntl
import os
from collections.abc import Sequence
from errno import EIO
from pathlib import Path
from typing import Protocol

Buffer = bytes | bytearray | memoryview

IOV_MAX = 1024
"""Most buffers of one ``pwritev``; Linux's limit."""


class File(Protocol):
    """An open file, read and written by position."""

    def pread(self, size: int, position: int) -> bytes:
        """Return up to ``size`` bytes from ``position``; fewer at the end of the file."""
        ...

    def pwritev(self, parts: Sequence[Buffer], position: int) -> int:
        """Write ``parts`` one after the other; return how many bytes were written, which may be fewer."""
        ...

    def sync(self) -> None:
        """Return when the data written is on disk, and enough metadata to read it back (fdatasync)."""
        ...

    def truncate(self, size: int) -> None:
        """Cut or extend the file to ``size`` bytes."""
        ...

    def size(self) -> int:
        """Return the length in bytes."""
        ...

    def close(self) -> None:
        """Let go of the file. Idempotent."""
        ...


class Lock(Protocol):
    """A lock on a path that this process holds."""

    def release(self) -> None:
        """Let go of it. Idempotent."""
        ...


class FileSystem(Protocol):
    """A disk."""

    def make_dir(self, path: Path) -> None:
        """Create ``path`` and its parents where missing."""
        ...

    def names(self, path: Path) -> list[str]:
        """Return the names in a directory, sorted."""
        ...

    def open(self, path: Path, *, write: bool = False, create: bool = False) -> File:
        """Open a file; ``create`` makes it when missing."""
        ...

    def rename(self, source: Path, target: Path) -> None:
        """Put ``source`` in the place of ``target``, atomically."""
        ...

    def unlink(self, path: Path) -> None:
        """Remove a file."""
        ...

    def sync_dir(self, path: Path) -> None:
        """Return when creations, renames and removals in ``path`` are on disk."""
        ...

    def lock(self, path: Path) -> Lock:
        """Take an exclusive lock; ``BlockingIOError`` if another process holds it."""
        ...

    def is_locked(self, path: Path) -> bool:
        """Return whether somebody holds the lock, without taking it; ``False`` if there is no such file."""
        ...

    def usage(self, path: Path) -> tuple[int, int]:
        """Return (free, total) bytes of the disk that holds ``path``; free for this user."""
        ...


class OsFile:
    """A file of the operating system. See :class:`File`."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor

    def pread(self, size: int, position: int) -> bytes:
        return os.pread(self._descriptor, size, position)

    def pwritev(self, parts: Sequence[Buffer], position: int) -> int:
        return os.pwritev(self._descriptor, parts[:IOV_MAX], position)

    def sync(self) -> None:
        os.fdatasync(self._descriptor)

    def truncate(self, size: int) -> None:
        os.ftruncate(self._descriptor, size)

    def size(self) -> int:
        return os.fstat(self._descriptor).st_size

    def close(self) -> None:
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1

    def __del__(self) -> None:
        # A store that a reader still holds outlives its segment; the last holder lets go of the descriptor.
        self.close()


class OsLock:
    """``flock`` on a file that holds the owner's process id. The kernel lets go of it when the process ends."""

    def __init__(self, path: Path) -> None:
        self._descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
        try:
            fcntl.flock(self._descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            os.close(self._descriptor)
            raise
        os.ftruncate(self._descriptor, 0)
        os.pwrite(self._descriptor, b"%d\n" % os.getpid(), 0)

    def release(self) -> None:
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1


class OsFiles:
    """The operating system's file system. See :class:`FileSystem`."""

    def make_dir(self, path: Path) -> None:
        path.mkdir(parents=True, exist_ok=True)

    def names(self, path: Path) -> list[str]:
        return sorted(entry.name for entry in path.iterdir())

    def open(self, path: Path, *, write: bool = False, create: bool = False) -> File:
        flags = (os.O_RDWR if write else os.O_RDONLY) | (os.O_CREAT if create else 0) | os.O_CLOEXEC
        return OsFile(os.open(path, flags, 0o644))

    def rename(self, source: Path, target: Path) -> None:
        source.replace(target)

    def unlink(self, path: Path) -> None:
        path.unlink()

    def sync_dir(self, path: Path) -> None:
        descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)

    def lock(self, path: Path) -> Lock:
        return OsLock(path)

    def is_locked(self, path: Path) -> bool:
        try:
            descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        except FileNotFoundError:
            return False
        try:
            fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
        finally:
            os.close(descriptor)
        return False

    def usage(self, path: Path) -> tuple[int, int]:
        stat = os.statvfs(path)
        return stat.f_bavail * stat.f_frsize, stat.f_blocks * stat.f_frsize


def read_all(files: FileSystem, path: Path, limit: int, position: int = 0) -> bytes:
    """Return a file from ``position`` on, at most ``limit`` bytes of it.

    Raises:
        OSError: It cannot be read; ``FileNotFoundError`` if it is not there.
    """
    file = files.open(path)
    try:
        return file.pread(max(0, min(limit, file.size() - position)), position)
    finally:
        file.close()


def write_all(file: File, parts: Sequence[Buffer], position: int) -> int:
    """Write all of ``parts``, however many calls that takes; return the position after them.

    Raises:
        OSError: A call failed; how much was written is unknown.
    """
    views = [memoryview(part) for part in parts]
    first = 0
    while first < len(views):
        written = file.pwritev(views[first : first + IOV_MAX], position)
        if not written and any(views[first : first + IOV_MAX]):
            raise OSError(EIO, "the disk took nothing of a write and gave no reason")
        position += written
        while first < len(views) and written >= len(views[first]):
            written -= len(views[first])
            first += 1
        if written:
            views[first] = views[first][written:]
    return position


def replace(files: FileSystem, path: Path, data: bytes) -> None:
    """Put ``data`` in the place of ``path`` so that a crash leaves the old file or the new one, never a mixture.

    Raises:
        OSError: It could not be written; the old file is still there.
    """
    draft = path.with_name(path.name + ".tmp")
    file = files.open(draft, write=True, create=True)
    try:
        file.truncate(0)
        write_all(file, [data], 0)
        file.sync()
    finally:
        file.close()
    files.rename(draft, path)
    files.sync_dir(path.parent)
