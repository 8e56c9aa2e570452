"""A disk in memory that can lose power, as a :class:`proglog.log.files.FileSystem`.

Every file has what was written and what was synced; every directory entry is as of now and as of the last
``sync_dir``. Losing power keeps what is durable and, at random, some of what is not: a prefix of a file's unsynced
tail, and the newer or the older set of names. ``fail_after`` loses power in the middle of an operation.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from random import Random

from proglog.log.files import Buffer, File, Lock, Usage


class PowerLossError(Exception):
    """Power loss in the middle of an operation. Not an ``OSError``: no code under test may handle it."""


@dataclass(slots=True)
class _Content:
    data: bytearray = field(default_factory=bytearray)
    durable: bytes = b""


@dataclass(slots=True)
class SimDisk:
    """One disk. Honest by default: synced data survives."""

    random: Random
    honest: bool = True
    """If false, syncing does nothing: a drive that lies about its cache."""
    fail_after: int | None = None
    """Operations until power is lost; ``None``: never."""
    _names: dict[Path, _Content] = field(default_factory=dict)
    _durable_names: dict[Path, _Content] = field(default_factory=dict)

    def lose_power(self) -> None:
        """Lose power: keep durable data, and some of the rest."""
        self.fail_after = None
        if self.random.random() < 0.5:
            self._names = dict(self._durable_names)
        for content in self._names.values():
            same = len(content.durable)
            if bytes(content.data[:same]) == content.durable:
                kept = self.random.randint(same, max(same, len(content.data)))
                content.data = content.data[:kept]
            else:
                content.data = bytearray(content.durable)
            content.durable = bytes(content.data)
        self._durable_names = dict(self._names)

    def image(self) -> dict[Path, bytes]:
        """Return the current contents of every file: a backup or a clone of the directory."""
        return {path: bytes(content.data) for path, content in self._names.items()}

    def restore(self, image: dict[Path, bytes]) -> None:
        """Replace everything with ``image``, durably."""
        self._names = {path: _Content(bytearray(data), data) for path, data in image.items()}
        self._durable_names = dict(self._names)

    def forget(self, path: Path) -> None:
        """Lose a file entirely."""
        self._names.pop(path, None)
        self._durable_names.pop(path, None)

    def flip(self, path: Path, position: int) -> None:
        """Damage one byte, on the medium itself."""
        content = self._names[path]
        content.data[position] ^= 0x55
        if position < len(content.durable):
            durable = bytearray(content.durable)
            durable[position] ^= 0x55
            content.durable = bytes(durable)

    def make_dir(self, path: Path) -> None:
        """Do nothing: directories are prefixes."""

    def names(self, path: Path) -> list[str]:
        """See :class:`proglog.log.files.FileSystem`."""
        return sorted(file.name for file in self._names if file.parent == path)

    def open(self, path: Path, *, write: bool = False, create: bool = False) -> File:
        """See :class:`proglog.log.files.FileSystem`."""
        del write
        if path not in self._names:
            if not create:
                raise FileNotFoundError(2, "No such file", str(path))
            self._operate()
            self._names[path] = _Content()
        return _SimFile(self, self._names[path])

    def rename(self, source: Path, target: Path) -> None:
        """See :class:`proglog.log.files.FileSystem`."""
        self._operate()
        self._names[target] = self._names.pop(source)

    def unlink(self, path: Path) -> None:
        """See :class:`proglog.log.files.FileSystem`."""
        if path not in self._names:
            raise FileNotFoundError(2, "No such file", str(path))
        self._operate()
        del self._names[path]

    def sync_dir(self, path: Path) -> None:
        """See :class:`proglog.log.files.FileSystem`."""
        del path
        self._operate()
        if self.honest:
            self._durable_names = dict(self._names)

    def lock(self, path: Path) -> Lock:
        """Succeed: no other process holds it."""
        del path
        return _SimLock()

    def is_locked(self, path: Path) -> bool:
        """Do nothing: there is no other process."""
        del path
        return False

    def usage(self, path: Path) -> Usage:
        """Report unlimited space."""
        del path
        return Usage(1 << 40, 1 << 41)

    def max_file_bytes(self) -> int | None:
        """No limit."""
        return None

    def max_open_files(self) -> int | None:
        """No limit."""
        return None

    def _operate(self) -> None:
        if self.fail_after is None:
            return
        self.fail_after -= 1
        if self.fail_after < 0:
            raise PowerLossError


class _SimLock:
    def is_in_place(self) -> bool:
        """Report that the directory is in place."""
        return True

    def changed_names(self) -> None:
        """Report that no name changed."""

    def try_disk(self) -> None:
        """Succeed always."""

    def release(self) -> None:
        """Do nothing: no file is held open."""


class _SimFile:
    def __init__(self, disk: SimDisk, content: _Content) -> None:
        self._disk = disk
        self._content = content

    def pread(self, size: int, position: int) -> bytes:
        return bytes(self._content.data[position : position + size])

    def pread_cached(self, size: int, position: int) -> bytes | None:
        return self.pread(size, position)

    def pwritev(self, parts: Sequence[Buffer], position: int) -> int:
        data = b"".join(parts)
        self._content.data[position : position + len(data)] = data
        self._disk._operate()
        return len(data)

    def sync(self) -> None:
        self._disk._operate()
        if self._disk.honest:
            self._content.durable = bytes(self._content.data)

    def truncate(self, size: int) -> None:
        self._disk._operate()
        data = self._content.data
        self._content.data = data[:size] + bytearray(max(0, size - len(data)))

    def size(self) -> int:
        return len(self._content.data)

    def is_at(self, path: Path) -> bool:
        return self._disk._names.get(path) is self._content

    def close(self) -> None:
        """Do nothing: there is nothing to release."""
