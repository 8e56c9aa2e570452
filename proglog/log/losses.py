"""A log's losses: one list of ranges, in memory part of the :class:`~proglog.log.view.View`, on disk the file ``lost``.

::

    segment   | batch | batch | ##### | batch |            next segment
                              [in the store)  [behind it: none of that is in the file)

- **In the store**: bytes that are not whole batches in their place. Readers get ``DataLossError`` for its offsets.
- **Behind the store** (``start_position == end_position``): the segment ends before the next one begins. ``origins``, the
  next sequences at the lost end, tell when all of its records are back, further on in the log: then the range is *void*.
  Nothing is missing there, and its offsets stay unused.
- **A gap**: behind the store, too. Its offsets are reserved for sequences that no reachable node had. They fill it from
  the end: sequence ``q`` has its place ``gap.end - q`` offsets before the end of the range, so that any part can be
  restored in place at any time (:mod:`proglog.log.gaps`). A void gap is one that retention left everywhere: readers pass
  it.

A range is recorded once, with its extent, and never recomputed: a later scan of the same place keeps the recorded facts.
It leaves the list when it is intact again, or when retention removes its segment. An operator may *accept* a range that
no node can restore: it is read and healed as before, but raises no alarm.

How other modules use it (everything on the disk thread except ``view``)::

    state.view.losses                        all ranges, in order, including void ones
    state.put(segment.with_losses(...))      publish another list for a segment; saved by the next housekeeping, or by
                                             SmallFiles.save_losses at once
    appender.set_aside(count, origins, why)  close the segment and leave offsets unused after it: healed in place by a
                                             refill that lengthens the store, or void once ``origins`` reach so far
    appender.reserve(batch, over)            the same for the sequences missing before a batch: a gap
    log.accept(start, end, by=, reason=)     accept the losses in a range of offsets

There are two copies of the file, ``lost`` and ``lost.copy``, written whole, one after the other; one of them is enough.
They are numbered: of two that differ, the later one counts.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

from proglog.errors import DataLossError
from proglog.types import FilePosition, Offset, OriginId, SequenceNumber, half_open

BEHIND = "the store ends before them"
FILES = ("lost", "lost.copy")
Ends = tuple[tuple[OriginId, SequenceNumber], ...]
"""The next sequence of each origin."""
Extent = tuple[FilePosition, Offset]
"""Where a segment ends: its size, and one past its last record."""


class Acceptance(NamedTuple):
    """An operator's statement that a loss is final."""

    by: str
    at_ms: int
    """Milliseconds since 1970."""
    reason: str


class Gap(NamedTuple):
    """Sequences in ``[start, end)`` of one origin, for which a loss reserves offsets; 0 as a checksum: unknown."""

    origin: OriginId
    start: SequenceNumber
    end: SequenceNumber
    chain_before: int
    """The origin's chain checksum before them."""
    chain_after: int
    """The origin's chain checksum after them."""


@dataclass(frozen=True, slots=True)
class Loss:
    """An unreadable range of one segment, and its offsets."""

    segment: Offset
    """Base offset of the segment."""
    start_position: FilePosition
    end_position: FilePosition
    start_offset: Offset
    end_offset: Offset
    detail: str
    unreadable: bool = False
    """Whether the disk failed to read the bytes."""
    counted: bool = False
    """Whether the segment's index, older than the damage, counts its batches."""
    origins: Ends = ()
    """The next sequences after a lost end; empty if unknown."""
    void: bool = False
    """Whether nothing is missing: the offsets are unused."""
    found_ms: int = 0
    """When it was found, milliseconds since 1970; 0: not saved yet."""
    accepted: Acceptance | None = None
    gap: Gap | None = None
    """The sequences for which the offsets are reserved."""

    @property
    def is_behind(self) -> bool:
        """Whether it is past the end of the store."""
        return self.start_position == self.end_position

    def describe(self) -> str:
        """Describe the damage in words."""
        if self.start_offset == self.end_offset:
            return f"a control batch is damaged ({self.detail})"
        return f"offsets {half_open(self.start_offset, self.end_offset)} are damaged ({self.detail})"

    def error(self) -> DataLossError:
        """Return the error that its readers get."""
        return DataLossError(self.start_offset, self.end_offset, self.detail)

    def to_json(self) -> dict[str, Any]:
        """Return what :meth:`from_json` takes."""
        return {
            "segment": self.segment,
            "positions": [self.start_position, self.end_position],
            "offsets": [self.start_offset, self.end_offset],
            "detail": self.detail,
            "unreadable": self.unreadable,
            "counted": self.counted,
            "origins": [[origin.hex(), following] for origin, following in self.origins],
            "void": self.void,
            "found_ms": self.found_ms,
            "accepted": list(self.accepted) if self.accepted else None,
            "gap": [self.gap.origin.hex(), *self.gap[1:]] if self.gap else None,
        }

    @classmethod
    def from_json(cls, content: dict[str, Any]) -> "Loss":
        """Parse what :meth:`to_json` wrote."""
        (start, end), (start_offset, end_offset) = content["positions"], content["offsets"]
        return cls(
            segment=Offset(content["segment"]),
            start_position=FilePosition(start),
            end_position=FilePosition(end),
            start_offset=Offset(start_offset),
            end_offset=Offset(end_offset),
            detail=content["detail"],
            unreadable=content["unreadable"],
            counted=content["counted"],
            origins=_ends(content["origins"]),
            void=content["void"],
            found_ms=content["found_ms"],
            accepted=Acceptance(*content["accepted"]) if content["accepted"] else None,
            gap=_gap(content.get("gap")),
        )

    def before(self, base_offset: Offset, chain_after: int = 0) -> "Loss | None":
        """Return what is left of a gap before a segment within it; ``None``: no offsets.

        Args:
            base_offset: Of the segment: the place of its first sequence.
            chain_after: The origin's chain checksum before the segment.
        """
        if base_offset == self.start_offset:
            return None
        gap = self.gap
        if gap is not None:
            end = SequenceNumber(gap.end - (self.end_offset - base_offset))
            gap = gap._replace(end=end, chain_after=chain_after) if end > gap.start else None
        return replace(self, end_offset=base_offset, gap=gap, void=self.void or gap is None)

    def after(self, segment: Offset, end: Extent, following: tuple[SequenceNumber, int] | None) -> "Loss | None":
        """Return what is left of a gap after a segment within it; ``None``: no offsets.

        Args:
            segment: Base offset of the segment.
            end: Where it ends.
            following: The origin's next sequence and chain checksum after it; ``None``: it has none of the origin.
        """
        size, end_offset = end
        if end_offset == self.end_offset:
            return None
        gap = self.gap
        if gap is not None:
            start, chain = following or (SequenceNumber(gap.end - (self.end_offset - segment)), 0)
            gap = gap._replace(start=start, chain_before=chain) if start < gap.end else None
        return replace(
            self,
            segment=segment,
            start_position=size,
            end_position=size,
            start_offset=end_offset,
            gap=gap,
            void=self.void or gap is None,
        )


def behind(segment: Offset, size: int, start: Offset, end: Offset, origins: Ends = ()) -> Loss:
    """Return the loss of everything past the ``size`` bytes of a store."""
    return Loss(segment, FilePosition(size), FilePosition(size), start, end, BEHIND, origins=origins)


def to_json(losses: Iterable[Loss], number: int) -> dict[str, Any]:
    """Return the file's content; ``number`` is one higher than the last time."""
    return {"number": number, "losses": [loss.to_json() for loss in losses]}


def number_of(content: dict[str, Any]) -> int:
    """Return the number in the file's content; 0 if an earlier release wrote it.

    Raises:
        TypeError: It is no number.
    """
    number = content.get("number", 0)
    if type(number) is not int:
        raise TypeError("number")
    return number


def from_json(content: dict[str, Any]) -> list[Loss]:
    """Parse what :func:`to_json` wrote, or an earlier release, which recorded only lost ends.

    Raises:
        ValueError, TypeError, KeyError: It has another shape.
    """
    if "losses" not in content and "ends" not in content:
        raise KeyError("losses")
    ends = [
        behind(Offset(segment), size, Offset(start), Offset(end), _ends(origins))
        for segment, size, start, end, origins in content.get("ends", ())
    ]
    return ends + [Loss.from_json(each) for each in content.get("losses", ())]


def numbered(content: dict[str, Any]) -> tuple[int, list[Loss]]:
    """Return what the file says, and its number first; errors as those of :func:`from_json`."""
    return number_of(content), from_json(content)


def _gap(content: Sequence[Any] | None) -> Gap | None:
    if content is None:
        return None
    origin, *numbers = content
    start, end, chain_before, chain_after = (int(number) for number in numbers)
    return Gap(OriginId(bytes.fromhex(origin)), SequenceNumber(start), SequenceNumber(end), chain_before, chain_after)


def _ends(content: Sequence[Sequence[Any]]) -> Ends:
    return tuple((OriginId(bytes.fromhex(origin)), SequenceNumber(following)) for origin, following in content)


def dated_by(now_ms: int, losses: Iterable[Loss]) -> list[Loss]:
    """Return the losses, dated ``now_ms`` where they have no date yet."""
    return [loss if loss.found_ms else replace(loss, found_ms=now_ms) for loss in losses]


def in_order(losses: Iterable[Loss]) -> tuple[Loss, ...]:
    """Return the losses of one segment, ordered by position."""
    return tuple(sorted(losses, key=lambda loss: (loss.start_position, loss.end_position)))


def with_found(held: Sequence[Loss], found: Iterable[Loss]) -> tuple[Loss, ...]:
    """Return the losses of a segment after a recheck of its store: of two that overlap, the new extent counts.

    The other facts of the old one are kept.
    """
    losses = list(held)
    for loss in found:
        over = [each for each in losses if _overlap(each, loss)]
        losses = [each for each in losses if each not in over]
        losses.append(replace(_knowing(over, loss), counted=all(each.counted for each in over)))
    return in_order(losses)


def reconciled(held: Sequence[Loss], found: Iterable[Loss]) -> tuple[Loss, ...]:
    """Return the losses of a fully scanned segment: those ``found``, with the facts from ``held``.

    If nothing intact follows damage, its end is a guess: the extent recorded when it was found takes precedence.
    """
    losses = [each for each in held if each.is_behind]
    for loss in found:
        over = [each for each in held if _overlap(each, loss)]
        known = next((each for each in over if each.start_position == loss.start_position), loss)
        if known.end_position < loss.end_position:
            known = loss
        extended = replace(loss, end_position=known.end_position, end_offset=known.end_offset)
        losses.append(_knowing(over, extended))
    return in_order(losses)


def _overlap(one: Loss, other: Loss) -> bool:
    return one.start_position < other.end_position and other.start_position < one.end_position


def _knowing(over: Sequence[Loss], loss: Loss) -> Loss:
    """Return ``loss`` with the facts of those that it replaces; accepted only if all of them were."""
    inside = [each for each in over if each.start_offset <= loss.start_offset and loss.end_offset <= each.end_offset]
    return replace(
        loss,
        found_ms=min((each.found_ms for each in over if each.found_ms), default=0),
        accepted=inside[0].accepted if inside else None,
    )


def came_back(loss: Loss, next_sequence: Callable[[OriginId], int]) -> bool:
    """Return whether all records of a lost end are known, and are further on in the log."""
    return bool(loss.origins) and all(following <= next_sequence(origin) for origin, following in loss.origins)
