"""A backup: a log that takes only copies, and a small file that says what it is sure to hold.

::

    TARGET/backup      whose copy it is, when the last one was complete, and how far each origin reached then
    TARGET/log/        a data directory without an origin

An origin is copied in its order, so every moment of a backup is a consistent one: each origin up to some sequence, without
a hole that its source did not have. What a complete copy reached is recorded; restoring checks that it is all there, and
takes what an interrupted copy added since. Restoring copies the batches into a new directory through the same checks, under
a draft's name until it is whole, and the agent that starts on it begins an origin of its own.
"""

import shutil
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from collections.abc import Set as AbstractSet
from contextlib import closing, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from proglog import clock
from proglog.errors import ConfigError, NotFoundError, StorageError
from proglog.log import checkpoint
from proglog.log.config import FsyncPolicy, LogConfig
from proglog.log.copying import Copier, copy_directory, reach_of
from proglog.log.files import FileSystem, OsFiles
from proglog.log.log import Log
from proglog.log.verify import DAMAGE, VerifyFinding, VerifyProgress, verify_directory
from proglog.replication.progress import Progress
from proglog.types import NodeName, Offset, OriginId, SequenceNumber, half_open

MANIFEST, LOG = "backup", "log"
DRAFT = ".restoring"
"""Ends the name of a directory that is being restored."""
_MAX_NAMED = 3
"""Damaged places that an error names."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Manifest:
    """What a backup is sure to hold: the last complete copy."""

    source: str
    """The agent or directory that was copied."""
    finished_ms: int
    """When, milliseconds since 1970; 0: no copy was ever complete."""
    missing: int = 0
    """Sequences that the source lacked."""
    origins: Mapping[OriginId, tuple[SequenceNumber, int]]
    """The next sequence of each origin, and its chain checksum there."""

    def to_json(self) -> dict[str, Any]:
        """Return the file's content."""
        origins = {origin.hex(): list(reached) for origin, reached in self.origins.items()}
        return {"source": self.source, "finished_ms": self.finished_ms, "missing": self.missing, "origins": origins}

    @classmethod
    def from_json(cls, content: dict[str, Any]) -> "Manifest":
        """Return what :meth:`to_json` wrote."""
        origins = {
            checkpoint.read_id(origin): (SequenceNumber(int(following)), int(chain))
            for origin, (following, chain) in content["origins"].items()
        }
        return cls(
            source=str(content["source"]),
            finished_ms=int(content["finished_ms"]),
            missing=int(content["missing"]),
            origins=origins,
        )

    @property
    def at(self) -> str:
        """When the copy was complete, in words."""
        return f"{datetime.fromtimestamp(self.finished_ms / 1000, UTC):%Y-%m-%d %H:%M:%S} UTC"


def read_manifest(target: Path, files: FileSystem | None = None) -> Manifest:
    """Return what the backup in ``target`` is sure to hold.

    Raises:
        NotFoundError: There is no backup.
        StorageError: It cannot be read.
    """
    path = target / MANIFEST
    try:
        content = checkpoint.load(files or OsFiles(), path)
    except OSError as exc:
        raise StorageError(f"{path}: {exc.strerror or exc}") from exc
    if content is None:
        raise NotFoundError(f"there is no backup in {target}: it has no file {MANIFEST!r}")
    return checkpoint.parsed(path, Manifest.from_json, content)


@contextmanager
def opened(target: Path, source: str, files: FileSystem | None = None) -> "Iterator[Backup]":
    """Open the backup in ``target`` for another copy, or begin one where there is nothing.

    Raises:
        ConfigError: The directory holds something else.
        DataDirLockedError: Another process copies into it.
        StorageError: It cannot be read or written.
    """
    files = files or OsFiles()
    try:
        files.make_dir(target)
        names = [name for name in files.names(target) if not name.startswith(".")]
    except OSError as exc:
        raise StorageError(f"{target}: {exc.strerror or exc}") from exc
    if MANIFEST not in names and names:
        raise ConfigError(f"{target} is no backup and not empty: it holds {names[0]!r}; choose another directory")
    before = read_manifest(target, files) if MANIFEST in names else None
    if before is None or not before.finished_ms:  # whose first copy this is: what finishes it is named after it
        before = Manifest(source=source, finished_ms=0, origins={})
        _save(files, target, before)
    with closing(_open_log(target / LOG, f"made of a backup of {source}", files)) as log:
        yield Backup(target, log, before, files)


class Backup:
    """An open backup: copy into :attr:`copier`, then call :meth:`complete`."""

    def __init__(self, target: Path, log: Log, before: Manifest, files: FileSystem) -> None:
        """Use :func:`opened`."""
        self.copier = Copier(log)
        self.before = before
        """The last complete copy."""
        self.lacking: set[tuple[Offset, Offset]] = set()
        """Once complete: the offsets reserved for what the source lacked."""
        self._target = target
        self._log = log
        self._files = files

    def check_related(self, origins: AbstractSet[OriginId], source: str) -> None:
        """Return if ``source``, which has these origins, may be copied here.

        Raises:
            ConfigError: The backup is of another cluster.
        """
        held = self._log.origins()
        if held and not any(origin in held for origin in origins):
            raise ConfigError(
                f"{self._target} is a backup of another cluster ({self.before.source}): {source} has none of its"
                f" {len(held)} origins; choose another directory"
            )

    def copy_directory(
        self, source: Path, on_progress: Callable[[VerifyProgress], None] | None = None
    ) -> tuple[Manifest, list[VerifyFinding]]:
        """Copy a stopped agent's directory, completely; return also what is damaged in it.

        Raises:
            ConfigError: The backup is of another cluster.
            ForkedOriginError: The backup holds another history of an origin.
            NotFoundError: There is no data directory.
            StorageError: It cannot be read, an agent has it open, or the backup's disk refused.
        """
        reach = reach_of(source)
        self.check_related(reach.keys(), str(source))
        report = copy_directory(source, self.copier, on_progress=on_progress)
        lacked = sum(max(0, following - self.copier.next_of(origin)) for origin, following in reach.items())
        return self.complete(str(source), lacked), [each for each in report.findings if each.severity == DAMAGE]

    def complete(self, source: str, lacked: int = 0) -> Manifest:
        """Make everything copied durable, and record that it is a complete copy.

        Args:
            source: The agent or directory.
            lacked: Sequences that it lacked at the end of origins.

        Raises:
            StorageError: The disk refused.
        """
        self.copier.flush()
        self._log.sync()
        if self._log.state != "ok":
            raise StorageError(f"{self._target / LOG}: {self._log.state_detail}")
        self.lacking = {(each.start, each.end) for each in self._log.damaged() if each.gap}
        origins = {origin: (held.next_sequence, held.chain_crc) for origin, held in self._log.origins().items()}
        done = Manifest(
            source=source,
            finished_ms=clock.now_ms(),
            missing=_missing(self._log) + lacked,
            origins=origins,
        )
        _save(self._files, self._target, done)
        return done


def read_back(
    target: Path,
    lacking: Collection[tuple[Offset, Offset]],
    on_progress: Callable[[VerifyProgress], None] | None = None,
) -> None:
    """Read a closed backup from end to end.

    Args:
        target: As of :func:`opened`.
        lacking: Offsets reserved for what the source lacked.
        on_progress: Called before each segment, and once at the end.

    Raises:
        StorageError: It is damaged, or cannot be read.
    """
    report = verify_directory(target / LOG, on_progress=on_progress)
    wrong = [_place(each) for each in report.findings if each.severity == DAMAGE and _extent(each) not in lacking]
    if wrong:
        raise StorageError(
            f"the backup in {target} is damaged: {_first(wrong)}; delete it and make another one, on another disk if this"
            " happens again"
        )


@dataclass(frozen=True, slots=True)
class Restored:
    """What was restored."""

    of: Manifest
    records: int
    bytes: int
    origins: int
    missing: int
    """Records that are not there."""


def restore(
    target: Path,
    directory: Path,
    *,
    lossy: bool = False,
    on_progress: Callable[[VerifyProgress], None] | None = None,
) -> Restored:
    """Make a data directory of the backup in ``target``.

    Args:
        target: Of :func:`opened`; it is not changed.
        directory: A new one, or empty.
        lossy: Restore what there is even if records are missing.
        on_progress: Called before each segment, and once at the end.

    Raises:
        NotFoundError: There is no backup.
        StorageError: It was never complete, is damaged or lacks records; or the disk refused. Nothing is restored.
    """
    files = OsFiles()
    manifest = read_manifest(target, files)
    if not manifest.finished_ms:
        raise StorageError(
            f"the first copy to {target} was interrupted and never completed: finish it with"
            f" `proglog backup {manifest.source} {target}`"
        )
    draft = directory.with_name(directory.name + DRAFT)
    try:
        if directory.exists() and any(directory.iterdir()):
            raise ConfigError(f"{directory} is not empty: restore to a new directory")
        shutil.rmtree(draft, ignore_errors=True)
        try:
            restored = _copy(target, draft, manifest, files, lossy=lossy, on_progress=on_progress)
        except BaseException:
            shutil.rmtree(draft, ignore_errors=True)
            raise
        draft.rename(directory)
        files.sync_dir(directory.parent)
    except OSError as exc:
        raise StorageError(f"{directory}: {exc.strerror or exc}") from exc
    return restored


def _copy(
    target: Path,
    draft: Path,
    manifest: Manifest,
    files: FileSystem,
    *,
    lossy: bool,
    on_progress: Callable[[VerifyProgress], None] | None,
) -> Restored:
    with closing(_open_log(draft, f"restored from a backup of {manifest.source}, {manifest.at}", files)) as log:
        copier = Copier(log)
        report = copy_directory(target / LOG, copier, on_progress=on_progress)
        wrong = [_place(each) for each in report.findings if each.severity == DAMAGE]
        wrong += list(_not_reached(manifest, log.origins()))
        if wrong and not lossy:
            raise StorageError(
                f"the backup in {target} lacks records: {_first(wrong)}. Nothing was restored; use another backup, or restore what"
                " there is with --lossy"
            )
        return Restored(manifest, copier.records, copier.bytes, len(log.origins()), _missing(log))


def _missing(log: Log) -> int:
    """Return how many sequences its source lacked; what retention removed does not count."""
    return sum(end - start for held in log.origins().values() for start, end in held.damaged)


def _place(finding: VerifyFinding) -> str:
    return f"{LOG}/{finding.file}: {finding.what}"


def _extent(finding: VerifyFinding) -> tuple[Offset | None, Offset | None]:
    return finding.start_offset, finding.end_offset


def _first(wrong: Sequence[str]) -> str:
    more = len(wrong) - _MAX_NAMED
    return "; ".join(wrong[:_MAX_NAMED]) + (f"; and {more} more" if more > 0 else "")


def _not_reached(manifest: Manifest, held: Mapping[OriginId, Progress]) -> Iterator[str]:
    for origin, (following, chain) in manifest.origins.items():
        progress = held.get(origin)
        reached = progress.next_sequence if progress else SequenceNumber(1)
        if reached < following:
            yield f"origin {origin.hex()[:8]}: sequences {half_open(reached, following)} are missing"
        elif progress and reached == following and chain and progress.chain_crc != chain:
            yield f"origin {origin.hex()[:8]}: its history is not the one that was copied"


def _save(files: FileSystem, target: Path, manifest: Manifest) -> None:
    try:
        checkpoint.save(files, target / MANIFEST, manifest.to_json())
    except OSError as exc:
        raise StorageError(f"{target / MANIFEST}: {exc.strerror or exc}") from exc


def _open_log(directory: Path, why: str, files: FileSystem) -> Log:
    """Open a log that takes only copies; synced when it is closed, and at each new segment."""
    config = LogConfig(fsync=FsyncPolicy.OS, ballast_bytes=0, without_origin=why)
    return Log.open(directory, config, node_name=NodeName(""), files=files)
