"""The small files of a data directory: replaced atomically, checked when read.

A line of JSON and its checksum: readable by an operator, and never trusted when the two disagree::

    {"created_ms": 1700000000000, "node_name": "a", "origin": "6f..."}
    crc32c 9a3f01bc
"""

import json
from pathlib import Path
from typing import Any

from proglog.errors import StorageError
from proglog.log.files import FileSystem, read_all, replace
from proglog.record.crc import crc

MAX_CHECKPOINT_BYTES = 16 * 1024 * 1024


def save(files: FileSystem, path: Path, content: dict[str, Any]) -> None:
    """Put ``content`` in the place of ``path``, durably.

    Raises:
        OSError: It could not be written; the old file is still there.
    """
    line = json.dumps(content, sort_keys=True).encode() + b"\n"
    replace(files, path, line + b"crc32c %08x\n" % crc(line))


def load(files: FileSystem, path: Path) -> dict[str, Any] | None:
    """Return what :func:`save` wrote; ``None`` if there is no such file.

    Raises:
        StorageError: The file is damaged.
    """
    try:
        data = read_all(files, path, MAX_CHECKPOINT_BYTES)
    except FileNotFoundError:
        return None
    line, newline, check = data.partition(b"\n")
    if check != b"crc32c %08x\n" % crc(line + newline):
        raise StorageError(f"{path} is damaged: its checksum does not agree with it")
    content = json.loads(line)
    assert isinstance(content, dict)  # the checksum says that save() wrote it
    return content
