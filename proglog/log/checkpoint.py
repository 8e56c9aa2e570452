"""The small files of a data directory: replaced atomically, checked when read.

A line of JSON and its checksum: readable by an operator, and never trusted when the two disagree::

    {"fsync": "always", "node_name": "a", "origin": "6f..."}
    crc32c 9a3f01bc

===========  =========================================================================================================
origin       the directory's origin. Lost or damaged: a new origin begins, for the old one's last sequence cannot be proved
durable      how far the log was synced, and whether it was closed cleanly. A lower bound, so a stale one is true as well
retired      what retention removed, of each origin: written before the files go, or their records would be fetched
             again from a peer
lost         what is damaged or missing, with its extent, see losses.py; kept twice, the other one is ``lost.copy``
derived      state derived from the batches, see derived_state.py: a hint
===========  =========================================================================================================
"""

import json
from collections.abc import Iterable
from dataclasses import dataclass, field
from errno import EOVERFLOW
from pathlib import Path
from typing import Any

from proglog.errors import StorageError
from proglog.log import losses
from proglog.log.files import FileSystem, read_all, replace
from proglog.record.crc import crc
from proglog.types import NO_ORIGIN, LogId, Offset, OriginId, SequenceNumber

MAX_FORMER_ORIGINS = 64
"""Most former origins of a directory to remember; the latest first."""
MAX_CHECKPOINT_BYTES = 64 * 1024 * 1024


def save(files: FileSystem, path: Path, content: dict[str, Any]) -> None:
    """Replace ``path`` with ``content``, durably.

    Raises:
        OSError: It could not be written, or would exceed the limit for reading; the old file is still there.
    """
    line = json.dumps(content, sort_keys=True).encode() + b"\n"
    data = line + b"crc32c %08x\n" % crc(line)
    if len(data) > MAX_CHECKPOINT_BYTES:
        raise OSError(
            EOVERFLOW, f"it would have {len(data):,} bytes, and is read up to {MAX_CHECKPOINT_BYTES:,}", str(path)
        )
    replace(files, path, data)


def load(files: FileSystem, path: Path) -> dict[str, Any] | None:
    """Return what :func:`save` wrote; ``None`` if there is no such file.

    Raises:
        StorageError: The file is damaged.
        OSError: It could not be read.
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


@dataclass(frozen=True, slots=True, kw_only=True)
class DurableMark:
    """Everything before it had been synced."""

    base_offset: Offset = Offset(0)  # noqa: RUF009 - NewType is the identity
    """Base offset of the segment that was active."""
    store_bytes: int = 0
    """Bytes of that segment that were synced."""
    end_offset: Offset = Offset(0)  # noqa: RUF009 - NewType is the identity
    """One past the last record in them."""
    clean: bool = False
    """Whether the log was closed cleanly, and not written since."""
    origin: OriginId = NO_ORIGIN
    """Whose log it is; all zeros where an earlier version wrote the file."""
    start_offset: Offset | None = None
    """Offset of the oldest record kept; ``None`` where an earlier version wrote the file."""
    origins: tuple[tuple[OriginId, SequenceNumber], ...] = ()
    """The next sequence of each origin with batches in the segment."""

    def to_json(self) -> dict[str, Any]:
        """Return the file's content."""
        return {
            "start_offset": self.start_offset,
            "origins": [[origin.hex(), following] for origin, following in self.origins],
            "base_offset": self.base_offset,
            "store_bytes": self.store_bytes,
            "end_offset": self.end_offset,
            "closed_in_order": self.clean,  # an earlier release misses "clean", and stops before it harms anything
            "origin": self.origin.hex(),
        }

    @classmethod
    def from_json(cls, content: dict[str, Any]) -> "DurableMark":
        """Return what :meth:`to_json` wrote."""
        return cls(
            base_offset=Offset(content["base_offset"]),
            store_bytes=content["store_bytes"],
            end_offset=Offset(content["end_offset"]),
            clean=content["clean"] if "clean" in content else content["closed_in_order"],
            origin=_origin(content),
            start_offset=content.get("start_offset"),
            origins=_read_sequences(content.get("origins", ())),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class RetiredOrigin:
    """What retention removed of one origin: everything before ``next_sequence``."""

    next_sequence: SequenceNumber
    chain_crc: int
    """0: not known, where the file had to be made anew."""
    last_append_ms: int
    node_name: str


@dataclass(slots=True, kw_only=True)
class Retired:
    """What retention removed."""

    start_offset: Offset = Offset(0)  # noqa: RUF009 - NewType is the identity
    """Segments that end here or before may still have files: they are gone all the same."""
    origins: dict[OriginId, RetiredOrigin] = field(default_factory=dict)
    origin: OriginId = NO_ORIGIN
    """Whose log it is; all zeros where an earlier version wrote the file."""

    def to_json(self, origin: OriginId) -> dict[str, Any]:
        """Return the file's content, for the log that ``origin`` writes."""
        origins = {
            origin.hex(): [each.next_sequence, each.chain_crc, each.last_append_ms, each.node_name]
            for origin, each in self.origins.items()
        }
        return {"start_offset": self.start_offset, "origins": origins, "origin": origin.hex()}

    @classmethod
    def from_json(cls, content: dict[str, Any]) -> "Retired":
        """Return what :meth:`to_json` wrote."""
        origins = {
            OriginId(bytes.fromhex(origin)): RetiredOrigin(
                next_sequence=SequenceNumber(following), chain_crc=chain, last_append_ms=last, node_name=name
            )
            for origin, (following, chain, last, name) in content["origins"].items()
        }
        return cls(start_offset=Offset(content["start_offset"]), origins=origins, origin=_origin(content))


def save_losses(files: FileSystem, directory: Path, log_id: LogId, lost: Iterable[losses.Loss], number: int) -> None:
    """Save the losses in the file ``lost`` and its copy, durably; ``number`` is one higher than the last time.

    Raises:
        OSError: One could not be written; the old one is still there.
    """
    content = {"log": log_id.hex(), **losses.to_json(lost, number)}
    for name in losses.FILES:
        save(files, directory / name, content)


def known_start(mark: DurableMark, retired: Retired) -> Offset | None:
    """Return the offset of the oldest record left by retention; ``None`` if no file records it."""
    if mark.start_offset is None:
        return retired.start_offset or None
    return max(retired.start_offset, mark.start_offset)


def _origin(content: dict[str, Any]) -> OriginId:
    return OriginId(bytes.fromhex(content.get("origin", "")) or NO_ORIGIN)


def _read_sequences(content: list[list[Any]]) -> tuple[tuple[OriginId, SequenceNumber], ...]:
    return tuple((OriginId(bytes.fromhex(origin)), SequenceNumber(following)) for origin, following in content)


def read_origins(content: dict[str, Any]) -> tuple[OriginId, tuple[OriginId, ...]]:
    """Return the origin and its predecessors, as the file ``origin`` names them."""
    former = content.get("former", ())[:MAX_FORMER_ORIGINS]
    return OriginId(bytes.fromhex(content["origin"])), tuple(OriginId(bytes.fromhex(each)) for each in former)
