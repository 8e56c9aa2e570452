"""Checks a data directory without changing it: every batch, every index, every small file.

It finds everything that opening the log would, and also checks columns, the chain of each origin and the order of append
times. Findings are for operators: each says what is wrong, which records it concerns, and what to do.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from operator import itemgetter
from pathlib import Path
from typing import Any

from proglog.errors import MalformedBatchError, NotFoundError, StorageError, UnknownFormatError
from proglog.log import checkpoint, derived_state, losses
from proglog.log.checkpoint import DurableMark, Retired, known_start
from proglog.log.files import FileSystem, OsFiles, error_words, read_all
from proglog.log.identity import TIED, is_tied, look_up
from proglog.log.losses import Loss
from proglog.log.recovery import readable
from proglog.log.scan import ScannedStore, scan_store
from proglog.log.segment import MAX_INDEX_BYTES, Extent
from proglog.log.store import base_offsets, index_name, store_name
from proglog.record import columns
from proglog.record.batch import VerifiedBatch, chain_agrees, chain_start
from proglog.record.crc import crc
from proglog.record.place import Places
from proglog.types import FilePosition, LogId, Offset, OriginId, SequenceNumber, counted, half_open

_NO_END = Offset((1 << 63) - 1)
DAMAGE, REPAIRED, NOTE = "damage", "repaired", "note"
Visit = Callable[[VerifiedBatch, Sequence[Loss]], None]
"""Takes a whole batch, valid during the call only, and the directory's recorded losses."""


@dataclass(frozen=True, slots=True, kw_only=True)
class VerifyFinding:
    """One finding of a verification."""

    severity: str
    """``damage``: records are lost here; ``repaired``: the next start puts it right; ``note``: nothing to do."""
    file: str
    """Name in the data directory."""
    what: str
    """What is wrong, in words."""
    advice: str
    """What to do about it, in words."""
    start_offset: Offset | None = None
    """First record concerned; ``None`` if none is."""
    end_offset: Offset | None = None
    """One past the last one."""


@dataclass(frozen=True, slots=True, kw_only=True)
class VerifyProgress:
    """The progress of a verification."""

    bytes_done: int
    bytes_total: int
    file: str
    """The file being read."""


@dataclass(slots=True, kw_only=True)
class VerifyReport:
    """The totals and findings of a verification."""

    segment_count: int = 0
    batch_count: int = 0
    record_count: int = 0
    stored_bytes: int = 0
    start_offset: Offset = Offset(0)  # noqa: RUF009 - NewType is the identity
    end_offset: Offset = Offset(0)  # noqa: RUF009 - NewType is the identity
    findings: list[VerifyFinding] = field(default_factory=list)

    @property
    def ok(self) -> bool:
        """Whether no record is damaged."""
        return all(finding.severity != DAMAGE for finding in self.findings)


def verify_directory(
    directory: Path,
    *,
    files: FileSystem | None = None,
    on_progress: Callable[[VerifyProgress], None] | None = None,
    visit: Visit | None = None,
) -> VerifyReport:
    """Read the data directory of a stopped agent from end to end.

    Args:
        directory: The data directory.
        files: The disk that holds it; the operating system's if left out.
        on_progress: Called before each segment, and once at the end.
        visit: Called with each whole batch, in order.

    Raises:
        NotFoundError: There is no data directory.
        StorageError: It cannot be read, or an agent has it open.
    """
    return _Verification(directory, files or OsFiles(), on_progress or (lambda _: None), visit).run()


class _Verification:
    def __init__(
        self, directory: Path, files: FileSystem, on_progress: Callable[[VerifyProgress], None], visit: Visit | None
    ) -> None:
        self._directory = directory
        self._files = files
        self._on_progress = on_progress
        self._visit = visit
        self._report = VerifyReport()
        self._sequences: dict[OriginId, tuple[SequenceNumber, int]] = {}
        self._last_append_ms = 0
        self._file = ""
        self._log_id = LogId(b"")
        self._listed: list[Loss] = []
        self._retired_known = True

    def run(self) -> VerifyReport:
        try:
            names = self._names()
            if self._files.is_locked(self._directory / "LOCK"):
                raise StorageError(f"an agent has {self._directory} open: stop it first")
            bases = base_offsets(names)
            log_id = look_up(self._files, self._directory)
            if log_id is None and not bases:
                raise NotFoundError(
                    f"{self._directory} is no data directory: it holds no segment (*.log) and no file that names a log"
                )
            if log_id is None:
                raise StorageError(
                    f"{self._directory} was written by an earlier release: start an agent on it once, which carries it over"
                )
            self._log_id = log_id or LogId(b"")
            self._verify(bases)
        except OSError as exc:
            raise StorageError(f"data directory {self._directory}: {error_words(exc)}") from exc
        return self._report

    def _names(self) -> list[str]:
        try:
            return self._files.names(self._directory)
        except FileNotFoundError as exc:
            raise NotFoundError(f"there is no data directory {self._directory}") from exc

    def _verify(self, bases: list[Offset]) -> None:
        report = self._report
        mark, retired = self._check_small_files(has_stores=bool(bases))
        self._sequences = {origin: (each.next_sequence, each.chain_crc) for origin, each in retired.origins.items()}
        start = known_start(mark, retired)
        self._retired_known = start == retired.start_offset
        if start is not None and bases and start < bases[0]:
            what = f"offsets {half_open(start, bases[0])} are missing: their segments are not there"
            self._find(DAMAGE, store_name(start), what, _REFILL, start, bases[0])
        extents = self._extents(bases)
        sizes = [extent.size for extent in extents]
        done = 0
        ends: list[Offset] = []
        for number, (base_offset, size) in enumerate(zip(bases, sizes, strict=True)):
            self._on_progress(VerifyProgress(bytes_done=done, bytes_total=sum(sizes), file=store_name(base_offset)))
            last = number == len(bases) - 1
            durable = extents[number]
            if last:
                durable = Extent(
                    FilePosition(mark.store_bytes if mark.base_offset == base_offset else 0), mark.end_offset
                )
            ends.append(self._check_segment(base_offset, size, durable))
            for gap in (loss.gap for loss in self._listed if loss.segment == base_offset and loss.gap):
                self._sequences[gap.origin] = (gap.end, gap.chain_after)
            done += size
        self._on_progress(VerifyProgress(bytes_done=done, bytes_total=sum(sizes), file=""))
        for end, (base_offset, following) in zip(ends, pairwise(bases), strict=False):
            if not self._is_void(end, following):
                self._check_gap(base_offset, end, following)
        report.segment_count, report.stored_bytes = len(bases), done
        report.start_offset, report.end_offset = (bases[0], ends[-1]) if bases else (Offset(0), Offset(0))
        if not bases and not mark.end_offset:
            self._find(DAMAGE, store_name(Offset(0)), "there is no segment, and no word on what there was", _REFILL)
        if report.end_offset < mark.end_offset:
            self._check_gap(bases[-1] if bases else Offset(0), report.end_offset, mark.end_offset)

    def _extents(self, bases: list[Offset]) -> list[Extent]:
        """Return how much of each store to read, and the offset after it."""
        ends = [*bases[1:], _NO_END][: len(bases)]
        return [
            readable(self._behind(base_offset, end), self._size(base_offset), end)
            for base_offset, end in zip(bases, ends, strict=True)
        ]

    def _behind(self, base_offset: Offset, following: Offset) -> list[Loss]:
        held = (loss for loss in self._listed if loss.segment == base_offset and loss.is_behind)
        return [loss for loss in held if loss.end_offset == following]

    def _is_void(self, start: Offset, end: Offset) -> bool:
        """Return whether nothing is missing between the end of a segment and the next one."""
        for loss in self._listed:
            if loss.is_behind and (loss.start_offset, loss.end_offset) == (start, end):
                return loss.void or losses.came_back(loss, lambda origin: self._sequences.get(origin, (0, 0))[0])
        return False

    def _check_small_files(self, *, has_stores: bool) -> tuple[DurableMark, Retired]:
        held, parsed = {}, dict[str, Any]()
        for name in (*TIED, "derived"):
            try:
                version = derived_state.VERSION if name == "derived" else checkpoint.VERSION
                content = checkpoint.load(self._files, self._directory / name, version)
                held[name] = content if content is None or is_tied(content, self._log_id) else None
                if held[name] is not content:
                    self._find(REPAIRED, name, "it is of another log", "nothing: a start makes it anew")
                elif content is not None and name in _PARSERS:
                    parsed[name] = checkpoint.parsed(self._directory / name, _PARSERS[name], content)
            except UnknownFormatError:
                if name != "derived":
                    raise
                held[name] = None
                self._find(REPAIRED, name, "a later version of proglog wrote it", _MADE_ANEW[name])
            except StorageError as exc:
                held[name] = None
                what = str(exc).partition(" is damaged: ")[2]
                self._find(REPAIRED, name, what, _MADE_ANEW[name])
        if held["origin"] is None and has_stores:
            self._find(NOTE, "origin", "the node's identity is not there", "nothing: a start begins a new origin")
        listed = (parsed[name] for name in losses.FILES if name in parsed)
        self._listed = max(listed, key=itemgetter(0), default=(0, []))[1]
        return parsed.get("durable", DurableMark()), parsed.get("retired", Retired())

    def _check_segment(self, base_offset: Offset, size: int, durable: tuple[int, Offset]) -> Offset:
        self._file = store_name(base_offset)
        file = self._files.open(self._directory / self._file)
        try:
            # Any interval does: what the index file holds is compared as to what it says, not how densely.
            places = Places(self._log_id, base_offset)
            scanned = scan_store(
                file, places, base_offset, 1 << 30, length=size, durable=durable, visit=self._check_batch
            )
        finally:
            file.close()
        for loss in scanned.losses:
            self._find(DAMAGE, self._file, loss.describe(), _REFILL, loss.start_offset, loss.end_offset)
        if scanned.size < size:
            torn = f"{size - scanned.size:,} bytes of an unfinished write from byte {scanned.size} on"
            self._find(REPAIRED, self._file, torn, "nothing: never acknowledged, and cut at the next start")
        self._check_index(base_offset, scanned)
        self._report.batch_count += scanned.index.batch_count
        self._report.record_count += scanned.index.record_count
        return scanned.index.end_offset

    def _check_batch(self, batch: VerifiedBatch) -> None:
        header = batch.header
        if not header.is_control:
            try:
                columns.check(batch.payload, header.record_count)
            except MalformedBatchError as exc:
                self._find(DAMAGE, self._file, str(exc), _REPORT, header.base_offset, header.end_offset)
        expected, chain = self._sequences.get(header.origin, (SequenceNumber(1), chain_start(header.origin)))
        where = f"origin {header.origin.hex()[:8]} at sequence {header.base_sequence}"
        if header.origin not in self._sequences and not self._retired_known:
            pass  # retention may have removed what was before
        elif header.base_sequence != expected:
            self._find(DAMAGE, self._file, f"{where}: sequence {expected} was expected", _REFILL)
        elif chain and not header.is_gap and not chain_agrees(batch, chain):  # 0: retention's record was made anew
            self._find(DAMAGE, self._file, f"{where}: its chain checksum does not continue the one before", _REPORT)
        self._sequences[header.origin] = (header.next_sequence, header.chain_crc)
        if header.append_time_ms < self._last_append_ms:
            self._find(NOTE, self._file, f"{where}: appended before the batch in front of it", "nothing")
        self._last_append_ms = max(self._last_append_ms, header.append_time_ms)
        if self._visit is not None:
            self._visit(batch, self._listed)

    def _check_index(self, base_offset: Offset, scanned: ScannedStore) -> None:
        name = index_name(base_offset)
        rebuilt = "nothing: it is a hint, and made anew from the store"
        try:
            data = read_all(self._files, self._directory / name, MAX_INDEX_BYTES)
            key = crc(self._log_id)
            index = type(scanned.index).decode(data, base_offset, 1, scanned.index.store_bytes, key)
            index.attach(data[index.entries_at :])
        except FileNotFoundError:
            return  # as an unclean end leaves it
        except MalformedBatchError as exc:
            self._find(REPAIRED, name, str(exc), rebuilt)
        else:
            if (index.summary, index.origins) != (scanned.index.summary, scanned.index.origins):
                self._find(REPAIRED, name, "it does not say what the store says", rebuilt)

    def _check_gap(self, base_offset: Offset, end: Offset, following: Offset) -> None:
        if end != following:
            what = f"offsets {half_open(end, following)} are missing: the store ends before them"
            self._find(DAMAGE, store_name(base_offset), what, _REFILL, end, following)

    def _size(self, base_offset: Offset) -> int:
        file = self._files.open(self._directory / store_name(base_offset))
        try:
            return file.size()
        finally:
            file.close()

    def _find(
        self,
        severity: str,
        file: str,
        what: str,
        advice: str,
        start_offset: Offset | None = None,
        end_offset: Offset | None = None,
    ) -> None:
        finding = VerifyFinding(
            severity=severity, file=file, what=what, advice=advice, start_offset=start_offset, end_offset=end_offset
        )
        self._report.findings.append(finding)


_PARSERS: dict[str, Callable[[dict[str, Any]], Any]] = {
    "durable": DurableMark.from_json,
    "retired": Retired.from_json,
    **dict.fromkeys(losses.FILES, losses.numbered),
    "origin": checkpoint.read_origins,
}
_MADE_ANEW = {
    "identity": "nothing: the other files name the log, and a start makes it anew",
    "origin": "nothing: a start begins a new origin",
    "durable": "nothing: a start makes it anew from the log",
    "retired": "nothing: a start makes it anew from where the log begins; nothing is lost by it",
    "lost": "nothing: its copy says the same",
    "lost.copy": "nothing: 'lost' says the same",
    "derived": "nothing: a start makes it anew from the log",
}
_REFILL = "everything else is served; a running agent fetches these records from nodes that have them"
_REPORT = "this was written so, not damaged on the disk: please report it with the store file"


def diagnose(report: VerifyReport) -> Iterator[str]:
    """Yield the report in words, a line each: what is there, what is wrong, what to do."""
    held = f"{counted(report.record_count, 'record')} in {counted(report.batch_count, 'batch')}"
    yield f"{counted(report.segment_count, 'segment')}, {counted(report.stored_bytes, 'byte')}: {held}"
    yield f"offsets {half_open(report.start_offset, report.end_offset)}"
    if not report.findings:
        yield "every batch, index and mark is whole"
    for finding in report.findings:
        yield f"{finding.severity}: {finding.file}: {finding.what}"
        if finding.advice != "nothing":
            yield f"  to do: {finding.advice}"
