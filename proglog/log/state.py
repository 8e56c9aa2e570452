"""The state shared by the parts of one open log: segments, origins, durable end, condition.

The disk thread - the one that appends - changes it; readers on any thread use ``view``, which is replaced, never
mutated. A reader that finds damage reports it, and waits until the disk thread has published it::

    reader --> Segment raises Suspect --> rechecks the segment it holds --> report() --> disk thread: still so? publish
                                                                              ^-- the reader reads the next view

State derived from batches changes under ``mutex``. The disk's answers decide the condition::

    +----+  no room: rolled back, refused      +------+  +-----------+
    | ok | ----------------------------------> | full |  | read-only |   reads continue; recovers automatically
    +----+ <---------------------------------- +------+  +-----------+
      |  any other failure of a write or sync     |          |
      |  the directory is no longer in its place  |          |
      +---------------------> +----------+ <------+----------+
                              | poisoned |                the disk's content is unknown: a restart recovers it
                              +----------+

A directory can be opened on a full or read-only disk: the log starts in that condition, and completes the writes of its
opening once the disk accepts them (:mod:`proglog.log.opening`).

Source: Rebello et al. 2020 ("Can applications recover from fsync failures?") for poisoning.
"""

import threading
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future
from contextlib import contextmanager
from dataclasses import replace
from errno import EDQUOT, EFBIG, ENOSPC
from pathlib import Path

from proglog.errors import (
    LogClosedError,
    LogFullError,
    LogPoisonedError,
    LogReadOnlyError,
    StorageError,
    UnknownFormatError,
)
from proglog.log.checkpoint import Retired
from proglog.log.config import LogConfig
from proglog.log.derived_state import DerivedState
from proglog.log.files import READ_ONLY, FileSystem, Usage, error_words
from proglog.log.index_cache import IndexCache
from proglog.log.losses import Acceptance, Loss, dated_by
from proglog.log.model import DamagedRange, LogPosition
from proglog.log.origins import count, presumed, with_holes
from proglog.log.problems import Problems
from proglog.log.recovery import RecoveryReport
from proglog.log.segment import Segment, Suspect
from proglog.log.store import store_name
from proglog.log.view import View
from proglog.replication.positions import Positions
from proglog.replication.progress import Progress
from proglog.replication.ranges import NO_RANGES, Ranges, within
from proglog.types import NO_ORIGIN, LogId, Offset, OriginId

REPORT_TIMEOUT = 10.0
"""Seconds that a reader waits for the disk thread to publish reported damage."""
Submit = Callable[[Callable[[], object]], "Future[object]"]


class LogState:
    """See the module. Built by :meth:`proglog.log.log.Log.open`, filled by recovery."""

    def __init__(
        self,
        data_dir: Path,
        config: LogConfig,
        files: FileSystem,
        now_ms: Callable[[], int],
        monotonic: Callable[[], float],
    ) -> None:
        """Start empty, in condition ``ok``."""
        self.data_dir = data_dir
        self.config = config
        self.files = files
        self.now_ms = now_ms
        self.monotonic = monotonic
        self.condition = "ok"
        """``ok``, ``full``, ``read-only``, ``poisoned`` or ``closed``."""
        self.detail = ""
        """The reason, in words; empty while it is ``ok``."""
        self.opened = False
        """Whether opening has completed all writes that must precede the first append."""
        self.problems = Problems(monotonic)
        self.recovery = RecoveryReport()
        self.log_id = LogId(b"")
        """The directory's permanent identity."""
        self.origin = NO_ORIGIN
        """The origin that this directory writes under."""
        self.former_origins: tuple[OriginId, ...] = ()
        """Who wrote here before, the latest first."""
        self.origin_key = b""
        """What seals the batches of the origin."""
        self.view = View()
        """The readers' view: replaced by the disk thread, never mutated."""
        self.losses_saved = True
        """Whether the file ``lost`` matches ``view``."""
        self.losses_number = 0
        """The number last written there."""
        self.submit: Submit | None = None
        """Runs a function on the disk thread; ``None`` while the caller's thread is the disk thread."""
        self.disk_thread = 0
        """The disk thread's identity, while there is ``submit``."""
        self.retired = Retired()
        self.retired_presumed = False
        """Whether ``retired`` differs from the file, and must be written."""
        self._all_retired_known = True
        self.derived = DerivedState()
        """State derived from the batches; changed under ``mutex``."""
        self.hidden: Mapping[OriginId, Ranges] = {}
        """What damage hides of each origin, as far as it was looked for."""
        self.last_append_ms = 0
        self.step = ""
        """What the disk thread is in the middle of, where that may take long: ``sync``, ``snapshot``; empty: something else."""
        self.refused_bytes = 0
        """Size of the last group that the full disk refused."""
        self.file_limit: int | None = None
        """The file system's limit on file size, once the log has hit it."""
        self.indexes = IndexCache()
        self.mutex = threading.Lock()

    @contextmanager
    def in_step(self, step: str) -> Iterator[None]:
        """``step`` is what the disk thread is in the middle of for as long as this lasts."""
        before, self.step = self.step, step
        try:
            yield
        finally:
            self.step = before

    @property
    def active(self) -> Segment:
        """The segment that takes appends."""
        return self.view.active

    @property
    def segments(self) -> tuple[Segment, ...]:
        """The segments in order, the last one active."""
        return self.view.segments

    @property
    def origins(self) -> Positions:
        """The log's durable progress in each origin."""
        return self.view.origins

    @property
    def end(self) -> tuple[Offset, LogPosition]:
        """One past the last durable record, and the position after the last durable batch."""
        return self.view.end

    @property
    def start_offset(self) -> Offset:
        """Offset of the oldest record kept."""
        return self.view.start_offset

    @property
    def working(self) -> bool:
        """Whether the log may still write to the disk."""
        return self.condition in ("ok", "full", "read-only")

    @property
    def max_segment_bytes(self) -> int:
        """The size at which a segment is rolled: as configured, or the file system's smaller limit."""
        most, allowed = self.config.segment_bytes, self.files.max_file_bytes()
        most = most if allowed is None else min(most, allowed)
        return most if self.file_limit is None else min(most, self.file_limit)

    def collect_origins(self, *, is_complete: bool) -> None:
        """Compute the progress in each origin from retention's records and the segments.

        ``is_complete``: whether retention recorded everything that it removed.
        """
        self._all_retired_known = is_complete
        self.last_append_ms = max(segment.index.last_append_ms for segment in self.segments)
        self.publish(replace(self.view, origins=Positions(self._count_origins().values())).settled())
        if not is_complete and self.start_offset:
            self.retired, self.retired_presumed = presumed(self.retired, self.segments), True

    def recount_origins(self) -> None:
        """Count again after damaged batches were restored: an origin's progress only ever grows."""
        moved = []
        for origin, counted in self._count_origins().items():
            held = self.origins.get(origin, counted)
            further = held if held.next_sequence > counted.next_sequence else counted
            now = replace(further, floor_sequence=counted.floor_sequence, bytes=counted.bytes)
            if now != self.origins.get(origin):
                moved.append(now)
        self.publish(replace(self.view, origins=self.view.origins.moved(moved)).settled())
        self.place_holes(list(self.view.origins))

    def hide(self, hidden: dict[OriginId, Ranges]) -> None:
        """Take in what damage hides. The disk thread."""
        changed = [*self.hidden, *hidden]
        self.hidden = hidden
        self.place_holes(changed)

    def forget_removed_gaps(self, going: Iterable[Segment]) -> None:
        """Forget the gaps that retention has passed, with the segments that went. The disk thread."""
        gaps = self.derived.gaps
        for origin, known in list(gaps.items()):
            held = self.view.origins.get(origin)
            kept = within(known, held.floor_sequence, held.next_sequence) if held is not None else NO_RANGES
            if kept:
                gaps[origin] = kept
            else:
                del gaps[origin]
        reserved = {loss.gap.origin for segment in going for loss in segment.losses if loss.gap}
        self.place_holes([*gaps, *self.hidden, *reserved])

    def place_holes(self, origins: Iterable[OriginId]) -> None:
        """Say in the progress of ``origins`` what this log reaches over and does not hold. The disk thread."""
        placed = with_holes(self.view, origins, self.derived.gaps, self.hidden)
        if placed:
            self.publish(replace(self.view, origins=self.view.origins.moved(placed)))

    def _count_origins(self) -> dict[OriginId, Progress]:
        return count(self.retired, self.segments, all_retired_known=self._all_retired_known)

    def damaged(self) -> list[DamagedRange]:
        """Return the ranges with missing records, in order."""
        return [described(loss) for loss in self.view.damaged()]

    def hidden_until(self) -> Offset:
        """Return the offset before which damage may hide producers' batches unknown to the log; 0: none."""
        around = self.derived.around
        if not around:
            return Offset(0)
        damaged = self.damaged()
        around = tuple(each for each in around if any(each.start < d.end and d.start < each.end for d in damaged))
        self.derived.around = around
        return max((each.end for each in around), default=Offset(0))

    def own_origins(self) -> frozenset[OriginId]:
        """Return this directory's current and former origins."""
        return frozenset((self.origin, *self.former_origins))

    # The view

    def open_view(self, segments: Sequence[Segment], listed: Sequence[Loss]) -> None:
        """Publish the first view: the segments that opening found, and the recorded losses."""
        now_ms = self.now_ms()
        dated = (segment.with_losses(dated_by(now_ms, segment.losses)) for segment in segments)
        self.view = View.of(dated, Positions())
        self.losses_saved = list(self.view.losses) == list(listed)

    def accept(self, start: Offset, end: Offset, acceptance: Acceptance) -> list[Loss]:
        """Accept the losses within a range of offsets that are not accepted yet; return them."""
        accepted = []
        with self.mutex:
            for loss in self.view.damaged():
                if loss.accepted is None and start <= loss.start_offset and loss.end_offset <= end:
                    segment = self.view.segment_at(loss.segment)
                    accepted.append(replace(loss, accepted=acceptance))
                    self.put(segment.with_losses([each for each in segment.losses if each != loss] + accepted[-1:]))
        return accepted

    def let_go(self) -> None:
        """Release the files: each is closed when its last reader is done."""
        for segment in self.segments[-1:]:
            self.view = self.view.with_segment(replace(segment, file=None))
            segment.stores.clear()

    def publish(self, view: View) -> None:
        """Publish ``view`` to readers; the next housekeeping saves its losses."""
        if view.losses is not self.view.losses and view.losses != self.view.losses:
            self.losses_saved = False
        self.view = view

    def put(self, segment: Segment) -> None:
        """Publish a new state of a segment to readers."""
        self.publish(self.view.with_segment(segment))

    def look_again(self, suspect: Suspect) -> None:
        """Recheck bytes that did not check out, and have damage published: readers may continue when this returns.

        Raises:
            StorageError: The second read found them whole; or the disk could not be read.
        """
        if not self.report(suspect):
            where = f"{store_name(suspect.segment.base_offset)} at byte {suspect.start}"
            raise StorageError(f"reading {where} gave damaged bytes once, and whole ones when read again: try again")

    def report(self, suspect: Suspect) -> bool:
        """Recheck suspect bytes, and have the disk thread publish any damage; return whether there was any.

        Raises:
            StorageError: The disk could not be read, or the disk thread was busy for ``REPORT_TIMEOUT``.
        """
        before = suspect.segment
        try:
            after = before.looked_at(suspect)
        except Suspect as exc:
            return self.report(exc)  # the index is unusable as well: rebuilding it scans the whole segment
        except UnknownFormatError as exc:
            self.problems.report("later-version", str(exc))
            raise
        if after is before:
            return False
        if self.submit is None or threading.get_ident() == self.disk_thread:
            self._take_in(before, after)
            return True
        try:
            self.submit(lambda: self._take_in(before, after)).result(REPORT_TIMEOUT)
        except TimeoutError:
            where = f"{store_name(before.base_offset)} at byte {suspect.start}"
            raise StorageError(f"{where} is damaged, and the disk is too busy to record that: try again") from None
        return True

    def _take_in(self, before: Segment, after: Segment) -> None:
        """Publish damage found by a reader, unless the segment has changed meanwhile: then the reader tries again."""
        with self.mutex:
            current = self.view.find(before.base_offset)
            if current is None or current.losses is not before.losses or current.index is not before.index:
                return
            losses = dated_by(self.now_ms(), after.losses)
            self.put(replace(current, index=after.index).with_losses(losses))
        if after.index is not before.index:
            after.save_index()

    def refusal(self) -> StorageError | None:
        """Return the error that blocks appends, if any. A full disk is not one: each write finds out by itself."""
        if self.condition == "poisoned":
            return LogPoisonedError(self.detail)
        if self.condition == "closed":
            return LogClosedError()
        if self.condition == "read-only":
            return LogReadOnlyError(self.detail)
        return LogFullError(self.detail) if self.condition == "full" and not self.opened else None

    def refuse(self, cause: OSError) -> StorageError:
        """Enter the condition for a refused write that lost nothing; return the error for the caller.

        Args:
            cause: One of ``FULL`` or ``READ_ONLY``.
        """
        self.detail = self.reason(cause)
        if cause.errno in READ_ONLY:
            self.condition = "read-only"
            return LogReadOnlyError(self.detail)
        self.condition = "full"
        return LogFullError(f"{self.detail}: appends resume automatically when there is room")

    def resume(self) -> None:
        """Return to ``ok``: the disk accepts writes."""
        self.condition, self.detail = "ok", ""

    def poison(self, reason: str) -> StorageError:
        """Stop trusting the disk; return the error for waiting callers."""
        self.condition = "poisoned"
        self.detail = f"{reason}: nothing is acknowledged until the agent is restarted"
        return LogPoisonedError(self.detail)

    def reason(self, cause: OSError) -> str:
        """Return why the disk refuses, in words: the file, and what is lacking."""
        usage = self.disk_usage()
        if cause.errno in READ_ONLY:
            return f"the file system of {self.data_dir} is read-only"
        if cause.errno == EDQUOT:
            return f"the disk quota for {self.data_dir} is used up"
        if cause.errno == EFBIG:
            limit = self.files.max_file_bytes()
            whose = "this process" if limit is not None else "the file system"
            return f"{whose} may not write files of more than {limit or self.active.size:,} bytes"
        if cause.errno == ENOSPC and usage.free_inodes == 0:
            return f"no inodes left for {self.data_dir} ({usage.free_bytes:,} bytes free)"
        if cause.errno == ENOSPC:
            return f"no space left for {self.data_dir} ({usage.free_bytes:,} bytes free)"
        return error_words(cause)

    def disk_usage(self) -> Usage:
        """Return the disk's usage; zeros if it reports none."""
        try:
            return self.files.usage(self.data_dir)
        except OSError:
            return Usage()


def described(loss: Loss) -> DamagedRange:
    """Return a loss in its public form."""
    is_gap = loss.gap is not None
    return DamagedRange(loss.start_offset, loss.end_offset, loss.detail, loss.found_ms, loss.accepted, is_gap)
