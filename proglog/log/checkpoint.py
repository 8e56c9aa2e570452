"""The small files of a data directory: replaced atomically, checked when read.

A line of JSON and its checksum: readable by an operator, and never trusted when the two disagree::

    {"fsync": "always", "node_name": "a", "origin": "6f...", "version": 1}
    crc32c 9a3f01bc

``version`` is raised when an earlier release would misread the file; it then refuses to open the directory. ``needs`` lists
features that a reader must know, by name: with another one the file is refused likewise. A key that is not known is
ignored. What the first release wrote has no version: 1.

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
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from errno import EOVERFLOW
from pathlib import Path
from typing import Any, TypeVar

from proglog.errors import StorageError, UnknownFormatError
from proglog.log import losses
from proglog.log.files import FileSystem, read_all, replace
from proglog.record.crc import crc
from proglog.record.seal import KEY_BYTES
from proglog.types import MAX_ORDINAL, NO_ORIGIN, ORIGIN_BYTES, LogId, Offset, OriginId, SequenceNumber

MAX_FORMER_ORIGINS = 64
"""Most former origins of a directory to remember; the latest first."""
MAX_CHECKPOINT_BYTES = 64 * 1024 * 1024
VERSION = 1
"""Of every small file that does not say another."""
FEATURES: frozenset[str] = frozenset()
"""What small files may need, and this release knows."""
_MAX_NAMED = 3
"""Unknown features that an error names."""

_T = TypeVar("_T")


def save(files: FileSystem, path: Path, content: dict[str, Any]) -> None:
    """Replace ``path`` with ``content``, durably.

    Raises:
        OSError: It could not be written, or would exceed the limit for reading; the old file is still there.
    """
    line = json.dumps({"version": VERSION, **content}, sort_keys=True).encode() + b"\n"
    data = line + b"crc32c %08x\n" % crc(line)
    if len(data) > MAX_CHECKPOINT_BYTES:
        raise OSError(
            EOVERFLOW, f"it would have {len(data):,} bytes, and is read up to {MAX_CHECKPOINT_BYTES:,}", str(path)
        )
    replace(files, path, data)


def load(files: FileSystem, path: Path, version: int = VERSION) -> dict[str, Any] | None:
    """Return what :func:`save` wrote, up to a version of the file; ``None`` if there is no such file.

    Raises:
        UnknownFormatError: A later version wrote the file, or it needs a feature that is not known here.
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
    content = parsed(path, json.loads, line)
    found = content.get("version", VERSION) if isinstance(content, dict) else None
    if type(found) is not int or not isinstance(content, dict):
        raise _misshapen(path)
    needs = content.get("needs", [])
    if not isinstance(needs, list) or not all(isinstance(each, str) for each in needs):
        raise _misshapen(path)
    if found > version:
        raise UnknownFormatError(
            f"{path} has version {found}; this version of proglog knows {version}: a later one wrote it, use that"
        )
    unknown = [f"{each:.40}" for each in needs if each not in FEATURES]
    if unknown:
        raise UnknownFormatError(
            f"{path} needs {', '.join(map(repr, unknown[:_MAX_NAMED]))}, which this version of proglog does not know: a later"
            " one wrote it, use that"
        )
    return content


def parsed(path: Path, parse: Callable[[Any], _T], content: Any) -> _T:
    """Return what ``parse`` makes of a file's content.

    Raises:
        StorageError: It has another shape than any version's, though its checksum agrees.
    """
    try:
        return parse(content)
    except (KeyError, TypeError, ValueError, AttributeError, IndexError, OverflowError, RecursionError) as exc:
        raise _misshapen(path) from exc


def _misshapen(path: Path) -> StorageError:
    return StorageError(f"{path} is damaged: its checksum agrees, but it does not say what such a file says")


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
            base_offset=Offset(_number(content["base_offset"])),
            store_bytes=_number(content["store_bytes"]),
            end_offset=Offset(_number(content["end_offset"])),
            clean=(content["clean"] if "clean" in content else content["closed_in_order"]) is True,
            origin=_origin(content),
            start_offset=None if content.get("start_offset") is None else Offset(_number(content["start_offset"])),
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
            read_id(origin): RetiredOrigin(
                next_sequence=SequenceNumber(_number(following)),
                chain_crc=_number(chain),
                last_append_ms=int(last),
                node_name=str(name),
            )
            for origin, (following, chain, last, name) in content["origins"].items()
        }
        return cls(start_offset=Offset(_number(content["start_offset"])), origins=origins, origin=_origin(content))


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
    return read_id(content["origin"]) if content.get("origin") else NO_ORIGIN


def read_id(text: str) -> OriginId:
    """Return an origin that a file names.

    Raises:
        ValueError, TypeError: It names none.
    """
    data = bytes.fromhex(text)
    if len(data) != ORIGIN_BYTES:
        raise ValueError(f"an origin has {ORIGIN_BYTES} bytes, not {len(data)}")
    return OriginId(data)


def _number(value: Any) -> int:
    if type(value) is not int or not 0 <= value <= MAX_ORDINAL:
        raise ValueError(f"{value!r:.40} is no number that a log has")
    return value


def _read_sequences(content: list[list[Any]]) -> tuple[tuple[OriginId, SequenceNumber], ...]:
    return tuple((read_id(origin), SequenceNumber(_number(following))) for origin, following in content)


def read_origins(content: dict[str, Any]) -> tuple[OriginId, tuple[OriginId, ...], bytes]:
    """Return the origin, its predecessors and its key, as the file ``origin`` has them; an earlier release wrote no key.

    Raises:
        ValueError, TypeError, KeyError: It has another shape.
    """
    for key in ("reason", "fsync", "node_name"):
        if not isinstance(content.get(key, ""), str):
            raise TypeError(f"{key} is no text")
    former = content.get("former", ())[:MAX_FORMER_ORIGINS]
    secret = bytes.fromhex(content.get("key", ""))
    if secret and len(secret) != KEY_BYTES:
        raise ValueError(f"the key has {len(secret)} bytes")
    return read_id(content["origin"]), tuple(map(read_id, former)), secret
