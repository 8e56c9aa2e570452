"""The permanent id of a log, which ties its stores, indexes and small files together.

Every batch carries a mark derived from this id (:mod:`proglog.record.place`), so the id must not be lost: each small file
names it, and the id that fits the stores counts. A directory without an id was written by an earlier release. It gets an
id, and each of its batches a mark, in place::

    identity: id, not bound yet  -->  marks written and synced, store by store  -->  identity: id, bound
                    ^                                |
                    +---- crash: all of it again ----+      four bytes of each batch change, always to the same

What an earlier release wrote is read as that release read it: batches in a row are believed, whatever their mark; after
damage, the next whole one with a later offset.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any, NamedTuple

from proglog.errors import MalformedBatchError, StorageError, UnknownBatchFormatError, UnknownFormatError
from proglog.log import checkpoint, losses
from proglog.log.files import File, FileSystem, suppress_refusal
from proglog.log.scan import ScanWindow
from proglog.log.store import base_offsets, store_name
from proglog.record.batch import (
    CODEC_NONE,
    FLAG_CONTROL,
    FLAG_GAP,
    HEADER_BYTES,
    VERSION,
    VerifiedBatch,
    parse_header,
)
from proglog.record.place import MARK_BYTES, Places
from proglog.types import LogId, Offset

NAME = "identity"
TIED = (NAME, "durable", "origin", "retired", *losses.FILES)
"""The small files that name the log, the first to ask first."""
_BATCHES = {"version": VERSION, "codec": CODEC_NONE, "flags": FLAG_CONTROL | FLAG_GAP}
"""The highest version and codec, and all flags, of the batches that this release writes. A release that raises one of
them writes this before the first such batch: an earlier one then refuses the directory however it was closed."""
_NO_END = Offset((1 << 63) - 1)


class _Named(NamedTuple):
    """What a small file says of the log."""

    log_id: LogId
    bound: bool
    """Its batches have their marks."""
    unknown: str
    """What its batches have that is not known here, in words."""
    says_batches: bool
    """It says what this release writes."""


@dataclass(slots=True)
class Identified:
    """The id, and what it took to know it."""

    log_id: LogId
    bound_stores: int = 0
    """Stores of an earlier release whose batches were given their marks."""


def identify(files: FileSystem, directory: Path, new_log_id: Callable[[], bytes]) -> Identified:
    """Return the id of the log in ``directory``; give it one, and its batches their marks, where it has none.

    Raises:
        OSError: The disk could not be read or written.
        StorageError: The files that name the log do not fit its stores: one or the other is of another log.
    """
    bases = base_offsets(files.names(directory))
    named = _named(files, directory)
    current = named.get(NAME)
    if current and current.unknown:
        raise UnknownFormatError(
            f"data directory {directory} holds {current.unknown}, which this version of proglog does not know: a later one"
            " wrote it, use that"
        )
    if named and not (current and not current.bound):
        log_id = _fitting(files, directory, bases, [each.log_id for each in named.values()])
        if current is None or current.log_id != log_id or not current.says_batches:
            with suppress_refusal():  # the others name it
                _save(files, directory, log_id, bound=True)
        return Identified(log_id)
    log_id = current.log_id if current else LogId(new_log_id())
    if not bases:
        _save(files, directory, log_id, bound=True)
        return Identified(log_id)
    _save(files, directory, log_id, bound=False)
    for base_offset, following in pairwise([*bases, _NO_END]):
        file = files.open(directory / store_name(base_offset), write=True)
        try:
            _bind(file, Places(log_id, base_offset), following)
            file.sync()
        finally:
            file.close()
    _save(files, directory, log_id, bound=True)
    return Identified(log_id, len(bases))


def look_up(files: FileSystem, directory: Path) -> LogId | None:
    """Return the id of the log in ``directory`` without changing anything; ``None`` if an earlier release wrote it.

    Raises:
        OSError: The disk could not be read.
        StorageError: As :func:`identify`.
    """
    named = _named(files, directory)
    current = named.get(NAME)
    if not named or (current and not current.bound):
        return None
    if current and current.unknown:
        raise UnknownFormatError(f"{directory / NAME}: {current.unknown}: a later version wrote this log, use that")
    return _fitting(files, directory, base_offsets(files.names(directory)), [each.log_id for each in named.values()])


def is_tied(content: dict[str, object], log_id: LogId) -> bool:
    """Return whether a small file's content is of that log, or of a release that did not say."""
    return content.get("log") in (None, log_id.hex())


def _named(files: FileSystem, directory: Path) -> dict[str, _Named]:
    """Return what the small files say.

    Raises:
        UnknownFormatError: A later version wrote one of them.
    """
    found: dict[str, _Named] = {}
    for name in TIED:
        try:
            content = checkpoint.load(files, directory / name)
            if content is not None and "log" in content:
                found[name] = checkpoint.parsed(directory / name, _read, content)
        except UnknownFormatError:
            raise
        except StorageError:
            continue  # recovery says so
    return found


def _read(content: dict[str, Any]) -> _Named:
    log_id = LogId(checkpoint.read_id(content["log"]))
    highest = content.get("batches", {})
    unknown = [
        f"batches of {what} {highest[what]}"
        for what, known in _BATCHES.items()
        if int(highest.get(what, 0)) > known or (what == "flags" and int(highest.get(what, 0)) & ~known)
    ]
    return _Named(log_id, content.get("bound") is not False, ", ".join(unknown), highest == _BATCHES)


def _fitting(files: FileSystem, directory: Path, bases: Sequence[Offset], named: Sequence[LogId]) -> LogId:
    """Return the id that the first batch of a store fits; the first one where no store has a batch to tell by."""
    checked = False
    for base_offset in bases:
        file = files.open(directory / store_name(base_offset))
        try:
            data = file.pread(HEADER_BYTES, 0)
            parse_header(data)
        except UnknownBatchFormatError as exc:
            raise UnknownFormatError(f"{store_name(base_offset)}, byte 0: {exc}: use that") from exc
        except (OSError, MalformedBatchError):
            continue  # damaged: the next one tells
        finally:
            file.close()
        checked = True
        for log_id in named:
            if data[:MARK_BYTES] == Places(log_id, base_offset).mark(0):
                return log_id
    if checked:
        raise StorageError(
            f"data directory {directory}: its segments are not of the log that its files name (see {', '.join(TIED)}):"
            " files of two logs are mixed; nothing was changed"
        )
    return named[0]


def _save(files: FileSystem, directory: Path, log_id: LogId, *, bound: bool) -> None:
    checkpoint.save(files, directory / NAME, {"log": log_id.hex(), "bound": bound, "batches": _BATCHES})


def _bind(file: File, places: Places, end_offset: Offset) -> None:
    """Write the marks of a store's batches; what is damaged stays as it is."""
    window = ScanWindow(file, file.size())
    position, offset, in_a_row = 0, places.base_offset, True
    while position < window.length:
        batch = window.batch_at(position)
        if batch is not None and _continues(batch, position, offset, end_offset, in_a_row=in_a_row):
            if batch.data[:MARK_BYTES] != places.mark(position):
                file.pwritev([places.mark(position)], position)
            position, offset, in_a_row = position + batch.header.batch_bytes, batch.header.end_offset, True
            continue
        following = window.header_from(position + (_claimed_bytes(window, position) if in_a_row else 1))
        if following is None:
            return
        position, in_a_row = following, False


def _continues(batch: VerifiedBatch, position: int, offset: Offset, end_offset: Offset, *, in_a_row: bool) -> bool:
    header = batch.header
    if in_a_row:
        return header.base_offset == offset
    return offset <= header.base_offset and header.end_offset <= end_offset and header.group_at <= position


def _claimed_bytes(window: ScanWindow, position: int) -> int:
    """Return how far to pass over damage: payloads are any bytes, and a header that is whole says where they end."""
    data, at = window.bytes_at(position, HEADER_BYTES)
    try:
        return parse_header(data, at).batch_bytes
    except MalformedBatchError:
        return 1
