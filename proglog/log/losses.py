"""What a log lost: one list of ranges, in memory part of the :class:`~proglog.log.view.View`, on disk the file ``lost``.

::

    segment   | batch | batch | ##### | batch |            next segment
                              [in the store)  [behind it: nothing of that is in the file)

- **In the store**: bytes that are no whole batches in their place. Readers get ``DataLossError`` for its offsets.
- **Behind the store** (``start_position == end_position``): the segment ended earlier than the next one begins. With
  ``origins``, the origins' next sequences as they were, it is known when all of it is here again, further on in the log:
  then the range is *void*. Nothing is missing there, and its offsets stay unused.

A range is written down once, with its extent, and never worked out again: a later scan of the same place keeps what the list
knows. It leaves the list when it is whole again, or when retention removes its segment. An operator may *accept* a
range that nobody can give back: it is read, and healed, as before, but alarms nobody.

How others use it (everything on the disk thread but ``view``)::

    state.view.losses                        all ranges, in order, void ones, too
    state.put(segment.with_losses(...))      publish another list for a segment; saved by the next housekeeping, or by
                                             SmallFiles.save_losses at once
    appender.set_aside(count, origins, why)  close the segment and leave offsets unused behind it: healed in place by a
                                             refill that lengthens the store, or void once ``origins`` reach so far
    log.accept(start, end, by=, reason=)     accept what is lost in a range of offsets

The file is kept twice, ``lost`` and ``lost.copy``: each is written whole, one after the other, and one of them is enough.
They are numbered, so that of two that differ the later one counts.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

from proglog.errors import DataLossError
from proglog.types import FilePosition, Offset, OriginId, SequenceNumber

BEHIND = "the store ends before them"
FILES = ("lost", "lost.copy")
Ends = tuple[tuple[OriginId, SequenceNumber], ...]
"""The next sequence of each origin."""


class Acceptance(NamedTuple):
    """An operator's word that a loss is final."""

    by: str
    at_ms: int
    """Milliseconds since 1970."""
    reason: str


@dataclass(frozen=True, slots=True)
class Loss:
    """A range of one segment that cannot be read, and the offsets that were in it."""

    segment: Offset
    """Base offset of the segment."""
    start_position: FilePosition
    end_position: FilePosition
    start_offset: Offset
    end_offset: Offset
    detail: str
    unreadable: bool = False
    """The disk did not give the bytes."""
    counted: bool = False
    """Whether the index of the segment counts what was in it: it is older than the damage."""
    origins: Ends = ()
    """Of what was lost from the end of a segment; none where that is not known."""
    void: bool = False
    """Nothing is missing: the offsets are unused."""
    found_ms: int = 0
    """When it was found, milliseconds since 1970; 0: not yet written down."""
    accepted: Acceptance | None = None

    @property
    def is_behind(self) -> bool:
        """Whether it is behind the end of the store."""
        return self.start_position == self.end_position

    def describe(self) -> str:
        """Return what is damaged, in words."""
        if self.start_offset == self.end_offset:
            return f"a control batch is damaged ({self.detail})"
        return f"offsets {self.start_offset} to {self.end_offset - 1} are damaged ({self.detail})"

    def error(self) -> DataLossError:
        """Return what a reader of it is told."""
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
        }

    @classmethod
    def from_json(cls, content: dict[str, Any]) -> "Loss":
        """Return what was written."""
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
        )


def behind(segment: Offset, size: int, start: Offset, end: Offset, origins: Ends = ()) -> Loss:
    """Return the loss of what followed the ``size`` bytes that a store has."""
    return Loss(segment, FilePosition(size), FilePosition(size), start, end, BEHIND, origins=origins)


def to_json(losses: Iterable[Loss], number: int) -> dict[str, Any]:
    """Return the file's content; ``number`` is one higher than the last time."""
    return {"number": number, "losses": [loss.to_json() for loss in losses]}


def number_of(content: dict[str, Any]) -> int:
    """Return what :func:`to_json` was given; 0 where an earlier release wrote the file."""
    number = content.get("number", 0)
    assert isinstance(number, int)  # a checksum says that to_json() made it
    return number


def from_json(content: dict[str, Any]) -> list[Loss]:
    """Return what :func:`to_json` wrote, or an earlier release, which wrote down lost ends alone."""
    ends = [
        behind(Offset(segment), size, Offset(start), Offset(end), _ends(origins))
        for segment, size, start, end, origins in content.get("ends", ())
    ]
    return ends + [Loss.from_json(each) for each in content.get("losses", ())]


def _ends(content: Sequence[Sequence[Any]]) -> Ends:
    return tuple((OriginId(bytes.fromhex(origin)), SequenceNumber(following)) for origin, following in content)


def dated_by(now_ms: int, losses: Iterable[Loss]) -> list[Loss]:
    """Return the losses with the time at which those were found that have none yet."""
    return [loss if loss.found_ms else replace(loss, found_ms=now_ms) for loss in losses]


def in_order(losses: Iterable[Loss]) -> tuple[Loss, ...]:
    """Return the losses of one segment as they stand in it."""
    return tuple(sorted(losses, key=lambda loss: (loss.start_position, loss.end_position)))


def with_found(held: Sequence[Loss], found: Iterable[Loss]) -> tuple[Loss, ...]:
    """Return the losses of a segment after another look at its store: of two that overlap, the new extent counts.

    What was known of the old one, beyond its extent, is kept.
    """
    losses = list(held)
    for loss in found:
        over = [each for each in losses if _overlap(each, loss)]
        losses = [each for each in losses if each not in over]
        losses.append(replace(_knowing(over, loss), counted=all(each.counted for each in over)))
    return in_order(losses)


def reconciled(held: Sequence[Loss], found: Iterable[Loss]) -> tuple[Loss, ...]:
    """Return the losses of a segment that was scanned from end to end: those ``found``, as far as ``held`` knows them.

    Where damage goes on to is guessed when nothing whole follows it: what was written down when it was found is believed.
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
    """Return ``loss`` with what was known of those it takes the place of; accepted only if all of it was."""
    inside = [each for each in over if each.start_offset <= loss.start_offset and loss.end_offset <= each.end_offset]
    return replace(
        loss,
        found_ms=min((each.found_ms for each in over if each.found_ms), default=0),
        accepted=inside[0].accepted if inside else None,
    )


def came_back(loss: Loss, next_sequence: Callable[[OriginId], int]) -> bool:
    """Return whether all of a lost end is further on in the log: what it held is known, and here."""
    return bool(loss.origins) and all(following <= next_sequence(origin) for origin, following in loss.origins)
