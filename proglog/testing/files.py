"""A faulty in-memory disk for tests, with a cache that a power cut loses. Seeded: a failure can be replayed.

It is stricter than POSIX allows a real disk to be:

* each unsynced write may be lost, kept, or torn at any sector of 512 bytes; the length of a file may be ahead of its
  data, and the bytes between are then zeros;
* a name is on disk when its directory was synced; until then a crash may undo the latest creations, renames and
  removals, in their order;
* any operation can be made to fail, to write less than requested, or to be the last one before the crash.

Operations that change the disk are numbered from 1; :attr:`FaultyFiles.faults` maps numbers to failures.

Source: the fault models of ALICE (OSDI '14) and LazyFS (VLDB '24).
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from errno import EFBIG, EIO, ENOSPC, EROFS
from pathlib import Path
from random import Random

from proglog.log.files import Buffer, File, Lock, Usage

SECTOR_BYTES = 512
BLOCK_BYTES = 4096


class SimulatedCrashError(BaseException):
    """The machine stopped before this operation. Error handlers must not swallow it, hence its base class."""


@dataclass(slots=True)
class _Inode:
    """A file: its content as processes see it, and as a power cut would leave it."""

    data: bytearray = field(default_factory=bytearray)
    durable: bytes = b""
    pending: list[tuple[int, bytes | None]] = field(default_factory=list)
    """Writes (position, bytes) and truncations (size, ``None``) since the last sync."""


_Undo = Callable[[], None]


class FaultyFiles:
    """See :class:`proglog.log.files.FileSystem`."""

    def __init__(self, seed: int = 0, *, capacity_bytes: int | None = None, short_writes: bool = False) -> None:
        """Start with an empty disk.

        Args:
            seed: Decides which unsynced writes survive a power cut, and how short writes are.
            capacity_bytes: Writes beyond it fail with ``ENOSPC``.
            short_writes: Every other write stops early.
        """
        self.random = Random(seed)
        self.capacity_bytes = capacity_bytes
        self.short_writes = short_writes
        self.operation = 0
        """Number of the last operation that changes the disk, from 1; failed ones count."""
        self.crash_at: int | None = None
        """Number of the operation at which the machine stops."""
        self.faults: dict[int, int] = {}
        """Operation number to the ``errno`` that it fails with, without changing anything."""
        self.takes_nothing = False
        """Writes return 0 and no error."""
        self.read_only = False
        """Every change fails with ``EROFS``."""
        self.file_limit: int | None = None
        """Writes beyond this position fail with ``EFBIG``."""
        self.unlocked = False
        """Whether the locked directory was removed or replaced."""
        self.read_errno: int | None = None
        self.cold = False
        """Whether every read has to wait for the disk: the page cache is empty."""
        """The ``errno`` that every read fails with."""
        self.reads = 0
        """Number of reads so far."""
        self.read_faults: dict[int, int] = {}
        """Read number, from 1, to the ``errno`` that it fails with."""
        self.unreadable: set[tuple[str, int]] = set()
        """Name and number of blocks of 4,096 bytes that cannot be read until they are written."""
        self.trace: list[str] = []
        """The operations so far, such as "write 00...0.log"."""
        self._inodes: dict[Path, _Inode] = {}
        self._undo: list[_Undo] = []
        self._locks: set[Path] = set()
        self._life = 0

    # The tests' side

    def power_loss(self) -> None:
        """Cut the power: keep the unsynced writes that the seed selects. Open files and locks are gone."""
        kept = self.random.randint(0, len(self._undo))
        for undo in reversed(self._undo[kept:]):
            undo()
        for inode in self._inodes.values():
            self._settle(inode)
        self._restart()

    def kill(self) -> None:
        """Kill the process: everything written is still there."""
        self._restart()

    def content(self, path: Path) -> bytearray:
        """Return a file's bytes for the test to damage: changes count as synced."""
        inode = self._inodes[path]
        inode.durable, inode.pending = bytes(inode.data), []
        return inode.data

    def paths(self) -> list[Path]:
        """Return the files, sorted."""
        return sorted(self._inodes)

    def used_bytes(self) -> int:
        """Return the bytes of all files."""
        return sum(len(inode.data) for inode in self._inodes.values())

    def _restart(self) -> None:
        self._undo.clear()
        self._locks.clear()
        self._life += 1
        self.crash_at, self.takes_nothing = None, False
        self.faults, self.read_faults = {}, {}
        for inode in self._inodes.values():
            inode.durable, inode.pending = bytes(inode.data), []

    def _settle(self, inode: _Inode) -> None:
        data = bytearray(inode.durable)
        for position, written in inode.pending:
            fate = self.random.random()
            if written is None:
                if fate < 0.5:
                    _resize(data, position)
            elif fate < 0.4:
                _put(data, position, written)
            elif fate < 0.8:
                self._tear(data, position, written)
        inode.data, inode.durable, inode.pending = data, bytes(data), []

    def _tear(self, data: bytearray, position: int, written: bytes) -> None:
        """Keep some sectors of a write; the file may be as long as if all had been kept."""
        if self.random.random() < 0.5:
            _resize(data, max(len(data), position + len(written)))
        prefix_only = self.random.random() < 0.5
        start = 0
        while start < len(written):
            end = min(len(written), (position + start) // SECTOR_BYTES * SECTOR_BYTES + SECTOR_BYTES - position)
            if self.random.random() < 0.5:
                _put(data, position + start, written[start:end])
            elif prefix_only:
                return
            start = end

    # The log's side

    def make_dir(self, path: Path) -> None:
        """Directories are always there."""

    def names(self, path: Path) -> list[str]:
        """Return the names in a directory, sorted."""
        return sorted(each.name for each in self._inodes if each.parent == path)

    def open(self, path: Path, *, write: bool = False, create: bool = False) -> File:
        """Open a file."""
        if self.read_only and write:
            raise OSError(EROFS, "Read-only file system", str(path))
        if path not in self._inodes:
            if not create:
                raise FileNotFoundError(2, "No such file or directory", str(path))
            self._step(f"create {path.name}")
            self._inodes[path] = _Inode()
            self._undo.append(lambda: self._forget(path))
        return _FaultyFile(self, path.name, self._inodes[path], self._life, writable=write)

    def rename(self, source: Path, target: Path) -> None:
        """Put ``source`` in the place of ``target``."""
        self._step(f"rename {source.name}")
        before = self._inodes.get(target)
        inode = self._inodes[target] = self._inodes.pop(source)

        def undo() -> None:
            self._inodes[source] = inode
            if before is None:
                del self._inodes[target]
            else:
                self._inodes[target] = before

        self._undo.append(undo)

    def unlink(self, path: Path) -> None:
        """Remove a file; open handles stay valid."""
        if path not in self._inodes:
            raise FileNotFoundError(2, "No such file or directory", str(path))
        self._step(f"unlink {path.name}")
        inode = self._inodes.pop(path)
        self._undo.append(lambda: self._inodes.__setitem__(path, inode))

    def sync_dir(self, path: Path) -> None:
        """Make names durable."""
        self._step(f"sync_dir {path.name}")
        self._undo.clear()

    def lock(self, path: Path) -> Lock:
        """Take the lock until the next crash."""
        if path in self._locks:
            raise BlockingIOError(11, "Resource temporarily unavailable", str(path))
        self._inodes.setdefault(path, _Inode())
        self._locks.add(path)
        return _FaultyLock(self, path)

    def is_locked(self, path: Path) -> bool:
        """Return whether the lock is held since the last crash."""
        return path in self._locks

    def usage(self, path: Path) -> Usage:
        """Return the room left of ``capacity_bytes``."""
        del path
        if self.capacity_bytes is None:
            return Usage(read_only=self.read_only)
        free = max(0, self.capacity_bytes - self.used_bytes())
        return Usage(free, self.capacity_bytes, read_only=self.read_only)

    def max_file_bytes(self) -> int | None:
        """Return ``file_limit``."""
        return self.file_limit

    def max_open_files(self) -> int | None:
        """No limit."""
        return None

    def _forget(self, path: Path) -> None:
        self._inodes.pop(path, None)

    def _step(self, what: str) -> None:
        if self.read_only:
            raise OSError(EROFS, f"Read-only file system: {what}")
        self.operation += 1
        if self.crash_at is not None and self.operation >= self.crash_at:
            raise SimulatedCrashError(what)
        self.trace.append(what)
        fault = self.faults.get(self.operation)
        if fault is not None:
            raise OSError(fault, f"injected at operation {self.operation}: {what}")


class _FaultyLock:
    def __init__(self, files: FaultyFiles, path: Path) -> None:
        self._files = files
        self._path = path

    def is_in_place(self) -> bool:
        return not self._files.unlocked

    def changed_names(self) -> Mapping[str, int] | None:
        return {path.name: id(inode) for path, inode in self._files._inodes.items() if path.parent == self._path.parent}

    def try_disk(self) -> None:
        if self._files.read_only:
            raise OSError(EROFS, "Read-only file system")

    def release(self) -> None:
        self._files._locks.discard(self._path)


class _FaultyFile:
    """See :class:`proglog.log.files.File`."""

    def __init__(self, files: FaultyFiles, name: str, inode: _Inode, life: int, *, writable: bool) -> None:
        self._files = files
        self._name = name
        self._inode = inode
        self._life = life
        self._writable = writable

    def pread(self, size: int, position: int) -> bytes:
        files = self._files
        files.reads += 1
        errno = files.read_faults.get(files.reads, files.read_errno)
        if errno is not None:
            raise OSError(errno, f"injected at read {files.reads}: {self._name}")
        if files.unreadable & self._blocks(position, min(size, len(self._inode.data) - position)):
            raise OSError(EIO, f"a block cannot be read: {self._name}")
        return bytes(self._inode.data[position : position + size])

    def pread_cached(self, size: int, position: int) -> bytes | None:
        files = self._files
        faulty = files.cold or files.read_errno is not None or files.read_faults or files.unreadable
        return None if faulty else self.pread(size, position)

    def pwritev(self, parts: Sequence[Buffer], position: int) -> int:
        data = b"".join(bytes(part) for part in parts)
        self._change("write")
        files = self._files
        if files.takes_nothing:
            return 0
        if files.short_writes and len(data) > 1 and files.random.random() < 0.5:
            data = data[: files.random.randint(1, len(data) - 1)]
        if files.file_limit is not None and position + len(data) > files.file_limit:
            data = data[: max(0, files.file_limit - position)]
            if not data:
                raise OSError(EFBIG, "File too large")
        if files.capacity_bytes is not None:
            grows_by = max(0, position + len(data) - len(self._inode.data))
            room = files.capacity_bytes - files.used_bytes()
            if grows_by > room:
                data = data[: max(0, len(data) - grows_by + room)]
                if not data:
                    raise OSError(ENOSPC, "No space left on device")
        _put(self._inode.data, position, data)
        self._inode.pending.append((position, data))
        files.unreadable -= self._blocks(position, len(data))  # a disk puts another block in its place
        return len(data)

    def _blocks(self, position: int, size: int) -> set[tuple[str, int]]:
        return {(self._name, block) for block in range(position // BLOCK_BYTES, -(-(position + size) // BLOCK_BYTES))}

    def sync(self) -> None:
        self._change("sync")
        self._inode.durable, self._inode.pending = bytes(self._inode.data), []

    def truncate(self, size: int) -> None:
        self._change("truncate")
        _resize(self._inode.data, size)
        self._inode.pending.append((size, None))

    def size(self) -> int:
        return len(self._inode.data)

    def is_at(self, path: Path) -> bool:
        return self._files._inodes.get(path) is self._inode

    def close(self) -> None:
        """Nothing is held."""

    def _change(self, what: str) -> None:
        assert self._writable, f"{self._name} was opened for reading"
        assert self._life == self._files._life, f"{self._name} was opened before the crash"
        self._files._step(f"{what} {self._name}")


def _put(data: bytearray, position: int, written: bytes) -> None:
    _resize(data, max(len(data), position + len(written)))
    data[position : position + len(written)] = written


def _resize(data: bytearray, size: int) -> None:
    if size < len(data):
        del data[size:]
    else:
        data.extend(bytes(size - len(data)))
