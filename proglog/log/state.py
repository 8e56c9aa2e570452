"""What the parts of one open log share: its segments, its origins, its durable end, its condition.

The writer's thread changes it; readers on any thread look. A list that readers walk is replaced, never changed, and
what has to change together does so under ``mutex``. What the disk does decides the condition::

    +----+  no room: taken back, refused       +------+  +-----------+
    | ok | ----------------------------------> | full |  | read-only |   reads go on; leaves by itself when it can
    +----+ <---------------------------------- +------+  +-----------+
      |  any other failure of a write or sync     |          |
      |  the directory is no longer in its place  |          |
      +---------------------> +----------+ <------+----------+
                              | poisoned |                what is on disk is unknown: a restart finds out
                              +----------+

A directory can be opened on a disk without room or without leave to write: it begins in that condition, and what
opening had left to write is written when it can be (:mod:`proglog.log.opening`).

Source: Rebello et al. 2020 ("Can applications recover from fsync failures?") for the poison.
"""

import threading
from bisect import bisect_right
from collections.abc import Callable
from dataclasses import replace
from errno import EDQUOT, EFBIG, ENOSPC
from itertools import takewhile
from pathlib import Path

from proglog.errors import (
    DataLossError,
    LogClosedError,
    LogFullError,
    LogPoisonedError,
    LogReadOnlyError,
    OffsetOutOfRangeError,
    StorageError,
)
from proglog.log.checkpoint import LostEnd, Retired, RetiredOrigin, came_back
from proglog.log.config import LogConfig
from proglog.log.derived_state import DerivedState
from proglog.log.files import READ_ONLY, FileSystem, Usage, error_words
from proglog.log.index_cache import IndexCache
from proglog.log.model import DamagedRange, LogPosition
from proglog.log.problems import Problems
from proglog.log.recovery import RecoveryReport
from proglog.log.segment import Segment
from proglog.replication.progress import FIRST_SEQUENCE, Progress
from proglog.types import NO_ORIGIN, FilePosition, LogId, Offset, OriginId

_CUT = "the store ends before them"


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
        """Start empty and in order."""
        self.data_dir = data_dir
        self.config = config
        self.files = files
        self.now_ms = now_ms
        self.monotonic = monotonic
        self.condition = "ok"
        """``ok``, ``full``, ``read-only``, ``poisoned`` or ``closed``."""
        self.detail = ""
        """Why, in words; empty while it is ``ok``."""
        self.opened = False
        """Whether opening has written all that it must before anything is appended."""
        self.problems = Problems(monotonic)
        self.recovery = RecoveryReport()
        self.log_id = LogId(b"")
        """Of the directory, for life."""
        self.origin = NO_ORIGIN
        """Who writes here."""
        self.former_origins: tuple[OriginId, ...] = ()
        """Who wrote here before, the latest first."""
        self.origins: dict[OriginId, Progress] = {}
        """What is durably here of each origin."""
        self.retired = Retired()
        self.retired_presumed = False
        """Whether ``retired`` is not what the file says, and has to be written."""
        self._all_retired_known = True
        self.lost_ends: tuple[LostEnd, ...] = ()
        """What had been synced and is missing from ends of segments."""
        self.derived = DerivedState()
        """What follows from the batches; changed under ``mutex``."""
        self.segments: list[Segment] = []
        self.bases: list[Offset] = []
        self.end = (Offset(0), LogPosition(Offset(0), FilePosition(0)))
        """One past the last durable record, and the place after the last durable batch."""
        self.last_append_ms = 0
        self.refused_bytes = 0
        """Of the group that the full disk refused last."""
        self.file_limit: int | None = None
        """The most bytes that the file system gave a file, where it was met."""
        self.indexes = IndexCache()
        self.mutex = threading.Lock()

    @property
    def active(self) -> Segment:
        """The segment that takes appends."""
        return self.segments[-1]

    @property
    def start_offset(self) -> Offset:
        """Of the oldest record kept."""
        return self.segments[0].base_offset

    @property
    def working(self) -> bool:
        """Whether the disk may still be written to."""
        return self.condition in ("ok", "full", "read-only")

    @property
    def max_segment_bytes(self) -> int:
        """A segment is rolled before it would grow beyond this: as configured, or less where files have a limit."""
        limits = (self.config.segment_bytes, self.files.max_file_bytes(), self.file_limit)
        return min(limit for limit in limits if limit is not None)

    def collect_origins(self, *, is_complete: bool) -> None:
        """Work out what is here of each origin, from what retention recorded and from the segments.

        ``is_complete``: whether retention has removed nothing but what it recorded.
        """
        self._all_retired_known = is_complete
        self.last_append_ms = max(segment.index.last_append_ms for segment in self.segments)
        self.origins = self._count_origins()
        if not is_complete:
            self._presume_retired()

    def _presume_retired(self) -> None:
        """Take what retention removed from where the segments begin: the file that recorded it is damaged or gone.

        What comes first behind damage does not tell: the damage may have taken what was before.
        """
        if not self.start_offset:
            return
        origins, begun = dict(self.retired.origins), set(self.retired.origins)
        for segment in takewhile(lambda each: not each.holes, self.segments):
            for origin, span in segment.index.origins.items():
                if origin not in begun and span.first_sequence > FIRST_SEQUENCE:
                    origins[origin] = RetiredOrigin(
                        next_sequence=span.first_sequence, chain_crc=0, last_append_ms=0, node_name=span.node_name
                    )
                begun.add(origin)
        self.retired = Retired(start_offset=self.start_offset, origins=origins, origin=self.retired.origin)
        self.retired_presumed = True

    def recount_origins(self) -> None:
        """Count again after damaged batches came back: how far an origin goes only ever grows."""
        with self.mutex:
            for origin, counted in self._count_origins().items():
                held = self.origins[origin]
                if held.next_sequence > counted.next_sequence:
                    held = replace(held, floor_sequence=counted.floor_sequence, bytes=counted.bytes)
                self.origins[origin] = held if held.next_sequence > counted.next_sequence else counted

    def _count_origins(self) -> dict[OriginId, Progress]:
        first = FIRST_SEQUENCE if self._all_retired_known else None
        origins: dict[OriginId, Progress] = {}
        for origin, retired in self.retired.origins.items():
            origins[origin] = Progress(
                origin=origin,
                next_sequence=retired.next_sequence,
                chain_crc=retired.chain_crc,
                floor_sequence=retired.next_sequence,
                last_append_ms=retired.last_append_ms,
                bytes=0,
                node_name=retired.node_name,
            )
        for segment in self.segments:
            for origin, span in segment.index.origins.items():
                before = origins.get(origin)
                origins[origin] = Progress(
                    origin=origin,
                    next_sequence=span.next_sequence,
                    chain_crc=span.chain_crc,
                    floor_sequence=before.floor_sequence if before else first or span.first_sequence,
                    last_append_ms=span.last_append_ms,
                    bytes=span.stored_bytes + (before.bytes if before else 0),
                    node_name=span.node_name or (before.node_name if before else ""),
                )
        return origins

    def damaged(self) -> list[DamagedRange]:
        """Return the ranges that cannot be read, in order."""
        ranges = []
        segments = self.segments
        for number, segment in enumerate(segments):
            ranges += [DamagedRange(hole.start_offset, hole.end_offset, hole.detail) for hole in segment.holes]
            cut = self.cut_between(segment, segments[number + 1]) if number + 1 < len(segments) else None
            if cut is not None:
                ranges.append(DamagedRange(Offset(cut.start), Offset(cut.end), _CUT))
        return ranges

    def cut_between(self, segment: Segment, following: Segment) -> DataLossError | None:
        """Return the error for what is missing between two segments, if there is anything.

        Nothing is where all that was lost from the end of the first one came back behind it: its offsets stay unused.
        """
        start, end = segment.end_offset, following.base_offset
        if start == end or came_back(self.lost_ends, start, end, self._next_sequence):
            return None
        return DataLossError(start, end, _CUT)

    def is_known_lost(self, start: Offset, end: Offset) -> bool:
        """Return whether the range is the lost end of a segment, and what was in it is known."""
        return any((each.start_offset, each.end_offset) == (start, end) and each.origins for each in self.lost_ends)

    def _next_sequence(self, origin: OriginId) -> int:
        held = self.origins.get(origin)
        return held.next_sequence if held else 0

    def hidden_until(self) -> Offset:
        """Return before which offset batches may be damaged that producers sent and the log does not know of; 0: none."""
        around = self.derived.around
        if around:
            damaged = self.damaged()
            around = tuple(each for each in around if any(each.start < d.end and d.start < each.end for d in damaged))
            self.derived.around = around
        return max((each.end for each in around), default=Offset(0))

    def own_origins(self) -> frozenset[OriginId]:
        """Return under which origins this directory writes or wrote."""
        return frozenset((self.origin, *self.former_origins))

    def add_segment(self, segment: Segment) -> None:
        """Take in a new last segment."""
        with self.mutex:
            self.segments = [*self.segments, segment]
            self.bases = [*self.bases, segment.base_offset]

    def publish(self) -> None:
        """Let readers see everything in the active segment."""
        active = self.active
        self.end = (active.end_offset, LogPosition(active.base_offset, active.size))

    def segment_at(self, base_offset: Offset) -> Segment:
        """Return the segment of that name.

        Raises:
            OffsetOutOfRangeError: Retention removed it.
        """
        bases, segments = self.bases, self.segments
        number = bisect_right(bases, base_offset) - 1
        if number < 0 or bases[number] != base_offset:
            raise OffsetOutOfRangeError(base_offset, self.start_offset, self.end[0])
        return segments[number]

    def segment_after(self, base_offset: Offset) -> Segment | None:
        """Return the segment that follows the one of that name."""
        bases, segments = self.bases, self.segments
        number = bisect_right(bases, base_offset)
        return segments[number] if number < len(segments) else None

    def refusal(self) -> StorageError | None:
        """Return why nothing can be appended, if so. A disk that was full says so itself, at each write."""
        if self.condition == "poisoned":
            return LogPoisonedError(self.detail)
        if self.condition == "closed":
            return LogClosedError()
        if self.condition == "read-only":
            return LogReadOnlyError(self.detail)
        return LogFullError(self.detail) if self.condition == "full" and not self.opened else None

    def refuse(self, cause: OSError) -> StorageError:
        """Take in that the disk took nothing and lost nothing: return what to answer to whoever wanted to write.

        Args:
            cause: Of ``FULL`` or ``READ_ONLY``.
        """
        self.detail = self.reason(cause)
        if cause.errno in READ_ONLY:
            self.condition = "read-only"
            return LogReadOnlyError(self.detail)
        self.condition = "full"
        return LogFullError(f"{self.detail}: appends resume by themselves when there is room")

    def resume(self) -> None:
        """Take in that the disk takes writes."""
        self.condition, self.detail = "ok", ""

    def poison(self, reason: str) -> StorageError:
        """Trust the disk no more: return what to answer to whoever waits for it."""
        self.condition = "poisoned"
        self.detail = f"{reason}: nothing is acknowledged until the agent is restarted"
        return LogPoisonedError(self.detail)

    def reason(self, cause: OSError) -> str:
        """Return in words why the disk refuses: which file, and what it lacks."""
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
        """Return what the disk says of itself; nothing, if it does not."""
        try:
            return self.files.usage(self.data_dir)
        except OSError:
            return Usage()


def cut_between(segment: Segment, following: Segment) -> DataLossError | None:
    """Return the error for what is missing between two segments, if there is anything."""
    if segment.end_offset == following.base_offset:
        return None
    return DataLossError(segment.end_offset, following.base_offset, _CUT)
