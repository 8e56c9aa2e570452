"""The file-system seam: the few operations that the log needs, and the operating system's.

Everything the log does to a disk goes through here, so that a test's file system can lose, tear, refuse or crash at
any of them. Paths are absolute. All errors are ``OSError``.
"""

import fcntl
import os
import resource
import stat
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from errno import EDQUOT, EFBIG, EINVAL, EIO, EMFILE, ENFILE, ENOSPC, EROFS, ESTALE
from pathlib import Path
from typing import NamedTuple, Protocol

Buffer = bytes | bytearray | memoryview

IOV_MAX = 1024
"""Most buffers of one ``pwritev``; Linux's limit."""

_TICK_NS = 50_000_000
"""Longer than a tick of a file system's clock."""

FULL = (ENOSPC, EDQUOT, EFBIG)
"""Errors of a full disk."""
READ_ONLY = (EROFS,)
"""Errors of a read-only file system."""
REFUSED = (*FULL, *READ_ONLY)
"""Errors that leave the disk unchanged and readable."""
NO_DESCRIPTORS = (EMFILE, ENFILE)
"""Errors of a process without free file descriptors."""

DRAFT_SUFFIX = ".tmp"


class Usage(NamedTuple):
    """A disk's usage, as it reports it."""

    free_bytes: int = 0
    """Free bytes for this user."""
    total_bytes: int = 0
    """Size in bytes; 0: unknown."""
    free_inodes: int | None = None
    """Free inodes; ``None``: not counted."""
    read_only: bool = False


class File(Protocol):
    """An open file, read and written by position."""

    def pread(self, size: int, position: int) -> bytes:
        """Return up to ``size`` bytes from ``position``; fewer at the end of the file."""
        ...

    def pread_cached(self, size: int, position: int) -> bytes | None:
        """As :meth:`pread`, but only what is in memory: never waits for the disk. ``None``: use :meth:`pread`."""
        ...

    def pwritev(self, parts: Sequence[Buffer], position: int) -> int:
        """Write ``parts`` one after the other; return how many bytes were written, which may be fewer."""
        ...

    def sync(self) -> None:
        """Wait until written data is on disk, with enough metadata to read it back (fdatasync)."""
        ...

    def truncate(self, size: int) -> None:
        """Cut or extend the file to ``size`` bytes."""
        ...

    def size(self) -> int:
        """Return the length in bytes."""
        ...

    def is_at(self, path: Path) -> bool:
        """Return whether ``path`` still names this file: it was neither removed nor replaced."""
        ...

    def close(self) -> None:
        """Let go of the file. Idempotent."""
        ...


class Lock(Protocol):
    """A lock on a path that this process holds, and the directory that it is in."""

    def is_in_place(self) -> bool:
        """Return whether the paths of lock and directory still name what was locked."""
        ...

    def changed_names(self) -> Mapping[str, int] | None:
        """Return the names in the directory, each with a number that another file does not have; ``None``: no name changed."""
        ...

    def try_disk(self) -> None:
        """Make the disk do a write that changes nothing.

        Raises:
            OSError: It fails: a file system remounted read-only after an error may not show that earlier.
        """
        ...

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
        """Return whether a process holds the lock, without taking it; ``False`` if there is no such file."""
        ...

    def usage(self, path: Path) -> Usage:
        """Return the usage of the disk that holds ``path``."""
        ...

    def max_file_bytes(self) -> int | None:
        """Return the most bytes that this process may give a file; ``None``: any number."""
        ...

    def max_open_files(self) -> int | None:
        """Return how many descriptors this process may have; ``None``: any number."""
        ...


_local = threading.local()


def _scratch(size: int) -> memoryview:
    """Return ``size`` bytes of a buffer of this thread, to be copied before its next use: zeroing one for each costs more."""
    buffer = getattr(_local, "buffer", b"")
    if len(buffer) < size:
        buffer = _local.buffer = bytearray(size)
    return memoryview(buffer)[:size]


class OsFile:
    """A file of the operating system. See :class:`File`."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor

    def pread(self, size: int, position: int) -> bytes:
        return os.pread(self._descriptor, size, position)

    def pread_cached(self, size: int, position: int) -> bytes | None:
        scratch = _scratch(size)
        try:
            taken = os.preadv(self._descriptor, [scratch], position, os.RWF_NOWAIT)
        except OSError:  # not in memory, or a file system that cannot tell: pread says what is wrong, if anything is
            return None
        return bytes(scratch[:taken])

    def pwritev(self, parts: Sequence[Buffer], position: int) -> int:
        return os.pwritev(self._descriptor, parts[:IOV_MAX], position)

    def sync(self) -> None:
        os.fdatasync(self._descriptor)

    def truncate(self, size: int) -> None:
        os.ftruncate(self._descriptor, size)

    def size(self) -> int:
        return os.fstat(self._descriptor).st_size

    def is_at(self, path: Path) -> bool:
        return _names(path, self._descriptor)

    def close(self) -> None:
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1

    def __del__(self) -> None:
        # A store that a reader still holds outlives its segment; the last holder lets go of the descriptor.
        self.close()


class Unwritable:
    """A file that could not be opened for writing: reads work, and changes fail with the error of the opening."""

    def __init__(self, readable: File | None, cause: OSError) -> None:
        """Read from ``readable``; ``None``: there is no such file yet."""
        self._readable = readable
        self._cause = cause

    def pread(self, size: int, position: int) -> bytes:
        return b"" if self._readable is None else self._readable.pread(size, position)

    def pread_cached(self, size: int, position: int) -> bytes | None:
        return None if self._readable is None else self._readable.pread_cached(size, position)

    def pwritev(self, parts: Sequence[Buffer], position: int) -> int:
        del parts, position
        raise self._cause

    def sync(self) -> None:
        raise self._cause

    def truncate(self, size: int) -> None:
        del size
        raise self._cause

    def size(self) -> int:
        return 0 if self._readable is None else self._readable.size()

    def is_at(self, path: Path) -> bool:
        return self._readable is None or self._readable.is_at(path)

    def close(self) -> None:
        if self._readable is not None:
            self._readable.close()


class OsLock:
    """``flock`` on a file that holds the owner's process id. The kernel releases it when the process ends."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._listed_ns: int | None = None
        """When a name had changed last, as of the last list of names."""
        self._directory = open_directory(path.parent)
        try:
            self._descriptor = _open_lock(path)
            try:
                fcntl.flock(self._descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError:
                os.close(self._descriptor)
                raise
        except OSError:
            os.close(self._directory)
            raise
        with suppress(OSError):  # the id is for messages only, and a full or read-only disk locks all the same
            os.pwrite(self._descriptor, owner := b"%d\n" % os.getpid(), 0)
            os.ftruncate(self._descriptor, len(owner))

    @property
    def held(self) -> bool:
        """Whether it was not released yet."""
        return self._descriptor >= 0

    def is_in_place(self) -> bool:
        return _names(self._path.parent, self._directory) and _names(self._path, self._descriptor)

    def changed_names(self) -> Mapping[str, int] | None:
        changed_ns = os.fstat(self._directory).st_mtime_ns
        if changed_ns == self._listed_ns:
            return None
        with os.scandir(self._directory) as entries:
            names = {entry.name: entry.inode() for entry in entries}
        # A change in the same tick of the clock would look like none: list again next time.
        self._listed_ns = changed_ns if time.time_ns() - changed_ns > _TICK_NS else None
        return names

    def try_disk(self) -> None:
        os.fdatasync(self._descriptor)

    def sync_dir(self) -> None:
        """Make names in the lock's directory durable: needs no further descriptor."""
        os.fsync(self._directory)

    def release(self) -> None:
        if self.held:
            os.close(self._descriptor)
            os.close(self._directory)
            self._descriptor = -1


def _open_lock(path: Path) -> int:
    try:
        return os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, FILE_MODE)
    except OSError as exc:
        if exc.errno not in READ_ONLY:
            raise
        return os.open(path, os.O_RDONLY | os.O_CLOEXEC)


def open_directory(path: Path) -> int:
    """Return a descriptor of a directory."""
    return os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)


def _names(path: Path, descriptor: int) -> bool:
    """Return whether ``path`` names what the descriptor has open.

    Raises:
        OSError: That cannot be found out.
    """
    try:
        return os.path.samestat(path.stat(), os.fstat(descriptor))
    except (FileNotFoundError, NotADirectoryError):
        return False
    except OSError as exc:
        if exc.errno != ESTALE:
            raise
        return False


DIRECTORY_MODE, FILE_MODE = 0o700, 0o600
"""Of a data directory and what is in it: who may read records is a matter of access rules, not of the disk."""


class OsFiles:
    """The operating system's file system. See :class:`FileSystem`."""

    def __init__(self) -> None:
        self._locks: dict[Path, OsLock] = {}

    def make_dir(self, path: Path) -> None:
        path.mkdir(DIRECTORY_MODE, parents=True, exist_ok=True)
        status = path.stat()
        if status.st_uid == os.geteuid() and stat.S_IMODE(status.st_mode) & ~DIRECTORY_MODE & 0o777:
            path.chmod(status.st_mode & DIRECTORY_MODE)  # made by hand, or by an earlier release

    def names(self, path: Path) -> list[str]:
        return sorted(entry.name for entry in path.iterdir())

    def open(self, path: Path, *, write: bool = False, create: bool = False) -> File:
        flags = (os.O_RDWR if write else os.O_RDONLY) | (os.O_CREAT if create else 0) | os.O_CLOEXEC | os.O_NONBLOCK
        descriptor = os.open(path, flags, FILE_MODE)
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            os.close(descriptor)
            raise OSError(EINVAL, "it is not a regular file", str(path))
        return OsFile(descriptor)

    def rename(self, source: Path, target: Path) -> None:
        source.replace(target)

    def unlink(self, path: Path) -> None:
        path.unlink()

    def sync_dir(self, path: Path) -> None:
        lock = self._locks.get(path)
        if lock is not None and lock.held:
            lock.sync_dir()
            return
        descriptor = open_directory(path)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)

    def lock(self, path: Path) -> Lock:
        lock = self._locks[path.parent] = OsLock(path)
        return lock

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

    def usage(self, path: Path) -> Usage:
        found = os.statvfs(path)
        return Usage(
            free_bytes=found.f_bavail * found.f_frsize,
            total_bytes=found.f_blocks * found.f_frsize,
            free_inodes=found.f_favail if found.f_files else None,
            read_only=bool(found.f_flag & os.ST_RDONLY),
        )

    def max_file_bytes(self) -> int | None:
        return _limit(resource.RLIMIT_FSIZE)

    def max_open_files(self) -> int | None:
        return _limit(resource.RLIMIT_NOFILE)


def _limit(kind: int) -> int | None:
    limit, _ = resource.getrlimit(kind)
    return None if limit == resource.RLIM_INFINITY else limit


def error_words(cause: OSError) -> str:
    """Return an error of the operating system with the name of its file, if it has one."""
    name = Path(cause.filename).name if isinstance(cause.filename, str | Path) else ""
    words = cause.strerror or str(cause)
    return f"{name}: {words}" if name else words


@contextmanager
def suppress_refusal() -> Iterator[None]:
    """Ignore the refusals of a full or read-only disk."""
    try:
        yield
    except OSError as exc:
        if exc.errno not in REFUSED:
            raise


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
    for first in range(0, len(parts), IOV_MAX):
        some = list(parts[first : first + IOV_MAX])
        while some:
            written, size = file.pwritev(some, position), sum(map(len, some))
            if not written and size:
                raise OSError(EIO, "the disk took nothing of a write and gave no reason")
            position += written
            some = _left_over(some, written) if written < size else []
    return position


def _left_over(parts: Sequence[Buffer], written: int) -> list[Buffer]:
    """Return what a short write left over."""
    first = 0
    while written >= len(parts[first]):
        written -= len(parts[first])
        first += 1
    return [memoryview(parts[first])[written:], *parts[first + 1 :]]


def replace(files: FileSystem, path: Path, data: bytes) -> None:
    """Replace ``path`` with ``data`` so that a crash leaves the old file or the new one, never a mixture.

    Raises:
        OSError: It could not be written; the old file is still there.
    """
    draft = path.with_name(path.name + DRAFT_SUFFIX)
    file = files.open(draft, write=True, create=True)
    try:
        try:
            file.truncate(0)
            write_all(file, [data], 0)
            file.sync()
        finally:
            file.close()
        files.rename(draft, path)
    except OSError:
        with suppress(OSError):  # the next start sweeps it
            files.unlink(draft)
        raise
    files.sync_dir(path.parent)
