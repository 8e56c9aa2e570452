"""What may be read of a log at one moment: an immutable value, published by the disk thread with one assignment.

Segments and their names, how far each is durable, what is damaged, what is here of each origin: whoever holds a view
sees all of it of the same moment. Readers take no lock and change nothing; what they suspect, they report
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
    """In order, the last one active."""
    bases: tuple[Offset, ...] = ()
    """Their base offsets."""
    losses: tuple[Loss, ...] = ()
    """Of all of them, in order."""
    origins: Positions = field(default_factory=Positions)
    """What is durably here of each origin."""

    @classmethod
    def of(cls, segments: Iterable[Segment], origins: Positions) -> "View":
        """Return the view of these."""
        held = tuple(segments)
        losses = tuple(loss for segment in held for loss in segment.losses)
        return cls(held, tuple(segment.base_offset for segment in held), losses, origins)

    @property
    def active(self) -> Segment:
        """The segment that takes appends."""
        return self.segments[-1]

    @property
    def start_offset(self) -> Offset:
        """Of the oldest record kept."""
        return self.bases[0]

    @property
    def end(self) -> tuple[Offset, LogPosition]:
        """One past the last durable record, and the place after the last durable batch."""
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
        """Return the losses of which something is missing, accepted ones included."""
        return tuple(loss for loss in self.losses if not loss.void)

    def next_sequence(self, origin: OriginId) -> int:
        """Return what follows the last record of an origin; 0 if there is none."""
        held = self.origins.get(origin)
        return held.next_sequence if held else 0

    # Making the next one

    def appended(self, extent: Extent, moved: Iterable[Progress]) -> "View":
        """Return the view in which the active segment goes as far as ``extent``, with the origins that moved."""
        segments = (*self.segments[:-1], self.segments[-1].with_extent(extent))
        view = View(segments, self.bases, self.losses, self.origins.moved(moved))
        return view.settled() if self.losses else view

    def with_segment(self, segment: Segment) -> "View":
        """Return the view with another state of a segment that it has."""
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

    def without_first(self, count: int) -> "View":
        """Return the view without its first segments."""
        return View.of(self.segments[count:], self.origins)

    def settled(self) -> "View":
        """Return the view in which the lost ends are void that came back."""
        for loss in self.losses:
            if loss.origins and not loss.void and came_back(loss, self.next_sequence):
                segment = self.segment_at(loss.segment)
                losses = tuple(replace(each, void=True) if each is loss else each for each in segment.losses)
                return self.with_segment(segment.with_losses(losses)).settled()
        return self
