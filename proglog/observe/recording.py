"""Recordings: what a dashboard saw, one frame a second, in a SQLite file that other tools may read.

::

    meta   (key TEXT PRIMARY KEY, value TEXT)                   format = 1, proglog = version, target = address
    frames (at_ms INTEGER PRIMARY KEY, live INTEGER, snapshot BLOB)
           at_ms: milliseconds since 1970 on the clock of who watched; live: 0 while the agent was out of reach
           snapshot: zlib-compressed JSON, the form of proglog.observe.json_values
    events (at_ms INTEGER, kind TEXT, subject TEXT, detail TEXT, UNIQUE (at_ms, kind, subject, detail))
           membership events of all frames, each once, so that they can be asked for without unpacking

A file is written in WAL mode and folded into one when it is closed. Reading treats it as hostile: sizes are bounded
and every value is checked.
"""

import json
import os
import re
import sqlite3
import time
import zlib
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Self

from proglog import __version__
from proglog.errors import InvalidRequestError, StorageError
from proglog.observe.frame import Frame
from proglog.observe.history import shared
from proglog.observe.json_values import snapshot_from_json, to_json_value

FORMAT = "1"
MAX_FRAMES = 6 * 3_600
"""Frames that are read at most, the newest: six hours."""
MAX_SNAPSHOT_BYTES = 16 * 2**20
"""What one snapshot may unpack to."""

_SCHEMA = """
CREATE TABLE IF NOT EXISTS meta (key TEXT PRIMARY KEY, value TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS frames (at_ms INTEGER PRIMARY KEY, live INTEGER NOT NULL, snapshot BLOB NOT NULL);
CREATE TABLE IF NOT EXISTS events (
    at_ms INTEGER NOT NULL, kind TEXT NOT NULL, subject TEXT NOT NULL, detail TEXT NOT NULL,
    UNIQUE (at_ms, kind, subject, detail)
);
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Recording:
    """What was read from a file."""

    target: str
    """Address that was watched."""
    frames: tuple[Frame, ...]
    """Oldest first."""


class Recorder:
    """Writes frames to a new file, or appends to an old one. Use as a context manager, or close it."""

    def __init__(self, path: Path, target: str) -> None:
        """Opens the file.

        Args:
            path: Created when it does not exist.
            target: Address that is watched.

        Raises:
            StorageError: The file cannot be written, or is something else.
        """
        self._path = path
        with _storage_errors(path), ExitStack() as undo:
            os.close(os.open(path, os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o600))  # readable by its owner alone
            self._database = sqlite3.connect(path, check_same_thread=False)
            undo.callback(self._database.close)
            self._database.execute("PRAGMA journal_mode = WAL")
            self._database.execute("PRAGMA synchronous = NORMAL")
            self._database.executescript(_SCHEMA)
            facts = {"format": FORMAT, "proglog": __version__, "target": target}
            self._database.executemany("INSERT OR REPLACE INTO meta VALUES (?, ?)", facts.items())
            self._database.commit()
            undo.pop_all()

    def add(self, frames: Iterable[Frame]) -> None:
        """Writes frames; one of the same millisecond is replaced.

        Raises:
            StorageError: The file cannot be written.
        """
        with _storage_errors(self._path), self._database:
            for frame in frames:
                row = (round(frame.at * 1000), int(frame.live), _packed(frame))
                self._database.execute("INSERT OR REPLACE INTO frames VALUES (?, ?, ?)", row)
                events = [(event.at_ms, event.kind, event.subject, event.detail) for event in frame.outline.events]
                self._database.executemany("INSERT OR IGNORE INTO events VALUES (?, ?, ?, ?)", events)

    def close(self) -> None:
        """Folds everything into one file."""
        with _storage_errors(self._path), closing(self._database):
            self._database.execute("PRAGMA journal_mode = DELETE")

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def save(path: Path, target: str, frames: Iterable[Frame]) -> None:
    """Writes a recording of ``frames`` to ``path``; errors as those of :class:`Recorder`."""
    with Recorder(path, target) as recorder:
        recorder.add(frames)


def file_name(node: str, at: float) -> str:
    """Return a file name for what was seen of a node until ``at`` (seconds since 1970); safe whatever its name is."""
    plain_name = re.sub(r"[^A-Za-z0-9._-]", "_", node)[:40].strip(".") or "agent"
    return f"proglog-{plain_name}-{time.strftime('%Y%m%d-%H%M%S', time.localtime(at))}.sqlite"


def load(path: Path) -> Recording:
    """Reads a recording, its newest six hours at most.

    Raises:
        StorageError: The file cannot be read, or is no recording.
        InvalidRequestError: A frame in it is not a snapshot of this version.
    """
    with _storage_errors(path):
        database = sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True)
        try:
            facts = dict(database.execute("SELECT key, value FROM meta LIMIT 100"))
            if facts.get("format") != FORMAT:
                raise StorageError(f"{path} has format {facts.get('format')!r:.20}; this version reads {FORMAT!r}")
            query = "SELECT at_ms, live, snapshot FROM frames ORDER BY at_ms DESC LIMIT ?"
            rows = database.execute(query, (MAX_FRAMES,)).fetchall()
        finally:
            database.close()
    return Recording(target=str(facts.get("target", "")), frames=_frames(reversed(rows)))


def _frames(rows: Iterable[tuple[object, object, object]]) -> tuple[Frame, ...]:
    frames: list[Frame] = []
    for at_ms, live, packed in rows:
        if not isinstance(at_ms, int) or not isinstance(packed, bytes):
            raise InvalidRequestError(f"frame at {at_ms!r:.30} is not an integer with bytes")
        before = frames[-1].snapshot if frames else None
        snapshot = shared(snapshot_from_json(_unpacked(packed, at_ms)), before)
        frames.append(Frame.of(snapshot, at=at_ms / 1000, live=bool(live)))
    return tuple(frames)


def _packed(frame: Frame) -> bytes:
    return zlib.compress(json.dumps(to_json_value(frame.snapshot), separators=(",", ":")).encode("ascii"))


def _unpacked(packed: bytes, at_ms: int) -> object:
    try:
        unpacker = zlib.decompressobj()
        text = unpacker.decompress(packed, MAX_SNAPSHOT_BYTES)
        if not unpacker.eof:
            raise InvalidRequestError(f"frame at {at_ms} is cut off, or over {MAX_SNAPSHOT_BYTES:,} bytes")
        return json.loads(text)
    except (zlib.error, ValueError, RecursionError) as error:
        raise InvalidRequestError(f"frame at {at_ms} cannot be unpacked: {error}") from error


@contextmanager
def _storage_errors(path: Path) -> Iterator[None]:
    try:
        yield
    except sqlite3.Error as error:
        raise StorageError(f"recording {path}: {error}") from error
    except OSError as error:
        raise StorageError(f"recording {path}: {error.strerror or error}") from error
