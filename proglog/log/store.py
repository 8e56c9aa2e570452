"""The open stores of a log: a bounded number of files, whatever the number of segments.

An evicted file is not closed but released: its readers keep it, and the last one closes it. So neither rolling, nor
retention, nor this bound can pull a file away under a reader.

The bound is a share of the process's descriptors, and shrinks when there are none left: connections need them as well.
"""

import threading
from collections import OrderedDict
from pathlib import Path

from proglog.log.files import NO_DESCRIPTORS, File, FileSystem
from proglog.record.crc import crc
from proglog.record.place import Places
from proglog.types import MAX_ORDINAL, LogId, Offset

STORE_SUFFIX = ".log"
INDEX_SUFFIX = ".index"
MAX_OPEN_STORES = 64


def store_name(base_offset: int) -> str:
    """Return the name of a store file."""
    return f"{base_offset:020d}{STORE_SUFFIX}"


def index_name(base_offset: int) -> str:
    """Return the name of an index file."""
    return f"{base_offset:020d}{INDEX_SUFFIX}"


def is_index_name(name: str) -> bool:
    """Return whether a file of that name is an index."""
    stem = name.removesuffix(INDEX_SUFFIX)
    return stem != name and _is_base_offset(stem)


def base_offsets(names: list[str]) -> list[Offset]:
    """Return the base offsets of the stores among ``names``, ascending."""
    stems = [name.removesuffix(STORE_SUFFIX) for name in names if name.endswith(STORE_SUFFIX)]
    return sorted(Offset(int(stem)) for stem in stems if _is_base_offset(stem))


def _is_base_offset(stem: str) -> bool:
    return len(stem) == 20 and stem.isascii() and stem.isdigit() and int(stem) <= MAX_ORDINAL


class Stores:
    """Sealed stores by base offset, opened when they are read; the least recently used goes first."""

    def __init__(self, files: FileSystem, directory: Path, log_id: LogId, limit: int = MAX_OPEN_STORES) -> None:
        """Of the log of that id in ``directory``."""
        self.files = files
        self.directory = directory
        self.log_id = log_id
        self.index_key = crc(log_id)
        """What checksums of this log's index files start from: another's are no good here."""
        self._limit = limit
        self._open: OrderedDict[Offset, File] = OrderedDict()
        self._mutex = threading.Lock()

    def places(self, base_offset: Offset) -> Places:
        """Return the marks of a store."""
        return Places(self.log_id, base_offset)

    def __len__(self) -> int:
        return len(self._open)

    def get(self, base_offset: Offset) -> File:
        """Return the store, open for reading.

        Raises:
            OSError: It cannot be opened.
        """
        with self._mutex:
            file = self._open.get(base_offset)
            if file is None:
                file = self._open[base_offset] = self._open_store(base_offset)
                self._keep(self._most())
            else:
                self._open.move_to_end(base_offset)
            return file

    def _open_store(self, base_offset: Offset) -> File:
        while True:
            try:
                return self.files.open(self.directory / store_name(base_offset))
            except OSError as exc:
                if exc.errno not in NO_DESCRIPTORS or not self._open:
                    raise
                self._keep(len(self._open) // 2)

    def _most(self) -> int:
        """Return how many stores may be open now."""
        descriptors = self.files.max_open_files()
        return self._limit if descriptors is None else max(1, min(self._limit, descriptors // 4))

    def _keep(self, most: int) -> None:
        while len(self._open) > most:
            self._open.popitem(last=False)

    def forget(self, base_offset: Offset) -> None:
        """Let go of a store that retention removes."""
        with self._mutex:
            self._open.pop(base_offset, None)

    def clear(self) -> None:
        """Let go of all."""
        with self._mutex:
            self._open.clear()
