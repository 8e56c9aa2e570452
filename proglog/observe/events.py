"""Events as operators see them: a mark and words for each kind, and how long what began has lasted. Pure.

Kinds are those of :mod:`proglog.telemetry.events`. One that is not known here, from a later version or a hostile peer,
is shown as it came.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from enum import StrEnum

from proglog.observe.words import Mark
from proglog.telemetry.emit import Weight
from proglog.telemetry.events import EVENTS
from proglog.telemetry.log_events import SEGMENT_ROLLED
from proglog.wire.model import ClusterEvent

MAX_EVENTS = 512
"""Newest events of one snapshot that are shown: twice what an agent keeps."""

_SHAPES = {Weight.GOOD: ("●", "+"), Weight.NEWS: ("·", "."), Weight.WARN: ("▲", "!"), Weight.BAD: ("✖", "x")}
_KINDS = {kind.status_name: kind for kind in EVENTS.values() if kind.words}


@dataclass(frozen=True, slots=True, kw_only=True)
class ShownEvent:
    """An event with what its reader needs."""

    event: ClusterEvent
    mark: Mark
    """Shape and words; foreign text for an unknown kind."""
    weight: Weight
    lasted_ms: int | None = None
    """How long what began with it lasted; ``None``: nothing began."""
    still: bool = False
    """It has not ended yet."""
    count: int = 1
    """How often it happened in a row; the newest of them is shown."""


def mark_of(kind: str) -> tuple[Mark, Weight]:
    """Return mark and weight of a kind; one that is not known is news under its own name."""
    known = _KINDS.get(kind)
    weight = known.weight if known else Weight.NEWS
    shape, ascii_shape = _SHAPES[weight]
    return Mark(shape=shape, ascii_shape=ascii_shape, word=known.words if known else kind), weight


class Level(StrEnum):
    """Which events are shown."""

    ALL = "all but rolls"
    """All but sealed segments, which a busy log has many of."""
    WARNINGS = "warnings"
    FAULTS = "faults"
    EVERYTHING = "everything"

    @property
    def following(self) -> "Level":
        """The one after it, round and round."""
        levels = list(Level)
        return levels[(levels.index(self) + 1) % len(levels)]

    def takes(self, kind: str, weight: Weight) -> bool:
        """Return whether it shows an event."""
        match self:
            case Level.ALL:
                return kind != SEGMENT_ROLLED.status_name
            case Level.WARNINGS:
                return weight in (Weight.WARN, Weight.BAD)
            case Level.FAULTS:
                return weight is Weight.BAD
            case Level.EVERYTHING:
                return True


def shown_events(events: Sequence[ClusterEvent], now_ms: int, level: Level = Level.EVERYTHING) -> list[ShownEvent]:
    """Return the newest events of a level, newest first, with how long each lasted by ``now_ms``."""
    ended: dict[tuple[str, str], int] = {}
    shown = []
    for event in reversed(events[-MAX_EVENTS:]):
        mark, weight = mark_of(event.kind)
        known = _KINDS.get(event.kind)
        enders = [EVENTS[name].status_name for name in known.ended_by] if known else []
        ends = [ended[kind, event.subject] for kind in enders if (kind, event.subject) in ended]
        shown.append(
            ShownEvent(
                event=event,
                mark=mark,
                weight=weight,
                lasted_ms=max(min(ends, default=now_ms) - event.at_ms, 0) if enders else None,
                still=bool(enders) and not ends,
            )
        )
        ended[event.kind, event.subject] = event.at_ms
    return _coalesced([each for each in shown if level.takes(each.event.kind, each.weight)])


def _coalesced(shown: Sequence[ShownEvent]) -> list[ShownEvent]:
    """Return the events with equal neighbours as one: the newest of them, counted, as long as all of them lasted."""
    made: list[ShownEvent] = []
    for each in shown:
        before = made[-1] if made else None
        alike = before is not None and (before.event.kind, before.event.subject) == (
            each.event.kind,
            each.event.subject,
        )
        if before is not None and alike and each.weight is not Weight.GOOD:
            lasted = None if each.lasted_ms is None else max(each.lasted_ms, before.lasted_ms or 0)
            made[-1] = replace(before, count=before.count + 1, lasted_ms=lasted)
        else:
            made.append(each)
    return made
