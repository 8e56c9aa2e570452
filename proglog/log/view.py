"""The readable state of a log at one moment: an immutable value, published by the disk thread with one assignment.

A view holds the segments and their names, their durable extents, the damage and the progress in each origin, all as of the
same moment. Readers take no lock and change nothing; they report suspect bytes
(:meth:`proglog.log.state.LogState.report`), and read the next view.
"""

from bisect import bisect_right
from collections.abc import Iterable
from dataclasses import dataclass, field, replace

from proglog.errors import OffsetOutOfRangeError
from proglog.log.losses import Loss, came_back
from proglog.log.model import LogPosition
from proglog.log.segment import Extent, Segment
from proglog.replication.positions import Positions
from proglog.replication.progress import Progress
from proglog.types import FilePosition, Offset, OriginId


@dataclass(frozen=True, slots=True)
class View:
    """See the module."""

    segments: tuple[Segment, ...] = ()
    """The segments in order, the last one active."""
    bases: tuple[Offset, ...] = ()
    """Their base offsets."""
    losses: tuple[Loss, ...] = ()
    """The losses of all segments, in order."""
    origins: Positions = field(default_factory=Positions)
    """The log's durable progress in each origin."""

    @classmethod
    def of(cls, segments: Iterable[Segment], origins: Positions) -> "View":
        """Return the view of ``segments`` and ``origins``."""
        held = tuple(segments)
        losses = tuple(loss for segment in held for loss in segment.losses)
        return cls(held, tuple(segment.base_offset for segment in held), losses, origins)

    @property
    def active(self) -> Segment:
        """The segment that takes appends."""
        return self.segments[-1]

    @property
    def start_offset(self) -> Offset:
        """Offset of the oldest record kept."""
        return self.bases[0]

    @property
    def end(self) -> tuple[Offset, LogPosition]:
        """One past the last durable record, and the position after the last durable batch."""
        if not self.segments:
            return Offset(0), LogPosition(Offset(0), FilePosition(0))
        active = self.segments[-1]
        return active.end_offset, LogPosition(active.base_offset, active.size)

    def find(self, base_offset: Offset) -> Segment | None:
        """Return the segment of that name, if it is there."""
        number = bisect_right(self.bases, base_offset) - 1
        return self.segments[number] if number >= 0 and self.bases[number] == base_offset else None

    def segment_at(self, base_offset: Offset) -> Segment:
        """Return the segment of that name.

        Raises:
            OffsetOutOfRangeError: Retention removed it.
        """
        segment = self.find(base_offset)
        if segment is None:
            raise OffsetOutOfRangeError(base_offset, self.start_offset, self.end[0])
        return segment

    def segment_after(self, base_offset: Offset) -> Segment | None:
        """Return the segment that follows the one of that name."""
        number = bisect_right(self.bases, base_offset)
        return self.segments[number] if number < len(self.segments) else None

    def damaged(self) -> tuple[Loss, ...]:
        """Return the losses with missing records, accepted ones included."""
        return tuple(loss for loss in self.losses if not loss.void)

    def gaps(self) -> tuple[Loss, ...]:
        """Return the losses that reserve offsets for sequences, void ones included."""
        return tuple(loss for loss in self.losses if loss.gap is not None)

    def next_sequence(self, origin: OriginId) -> int:
        """Return one past the last sequence of an origin; 0 if it has none."""
        held = self.origins.get(origin)
        return held.next_sequence if held else 0

    # Making the next one

    def appended(self, extent: Extent, moved: Iterable[Progress]) -> "View":
        """Return the view in which the active segment reaches ``extent`` and ``moved`` origins advanced."""
        segments = (*self.segments[:-1], self.segments[-1].with_extent(extent))
        view = View(segments, self.bases, self.losses, self.origins.moved(moved))
        return view.settled() if self.losses else view

    def with_segment(self, segment: Segment) -> "View":
        """Return the view with a new state of one of its segments."""
        number = bisect_right(self.bases, segment.base_offset) - 1
        before = self.segments[number]
        segments = (*self.segments[:number], segment, *self.segments[number + 1 :])
        if segment.losses is before.losses:
            return replace(self, segments=segments)
        return View.of(segments, self.origins)

    def rolled(self, sealed: Segment, active: Segment) -> "View":
        """Return the view whose last segment is sealed, and followed by another."""
        view = self.with_segment(sealed)
        return replace(view, segments=(*view.segments, active), bases=(*view.bases, active.base_offset))

    def inserted(self, before: Segment, between: Segment) -> "View":
        """Return the view with a sealed segment ``between``, after a new state of the one ``before`` it."""
        number = bisect_right(self.bases, before.base_offset) - 1
        return View.of((*self.segments[:number], before, between, *self.segments[number + 1 :]), self.origins)

    def without_first(self, count: int) -> "View":
        """Return the view without its first segments."""
        return View.of(self.segments[count:], self.origins)

    def settled(self) -> "View":
        """Return the view in which lost ends whose records came back are void."""
        for loss in self.losses:
            if loss.origins and not loss.void and came_back(loss, self.next_sequence):
                segment = self.segment_at(loss.segment)
                losses = tuple(replace(each, void=True) if each is loss else each for each in segment.losses)
                return self.with_segment(segment.with_losses(losses)).settled()
        return self
