"""What events mean to a reader: a shape, a weight and words for each kind, and how long what began has lasted.

Kinds are those of :mod:`proglog.telemetry.names`, with hyphens; membership events have Serf's names. A kind that is not
known here, from a later version or a hostile peer, is shown as it came. Pure.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum

from proglog.observe.words import Mark
from proglog.wire.model import ClusterEvent

MAX_EVENTS = 512
"""Of one snapshot that are looked at, the newest: twice what an agent keeps."""


class Weight(Enum):
    """How much an event asks of its reader."""

    GOOD = "good"
    NEWS = "news"
    WARN = "warn"
    BAD = "bad"


_SHAPES = {Weight.GOOD: ("●", "+"), Weight.NEWS: ("·", "."), Weight.WARN: ("▲", "!"), Weight.BAD: ("✖", "x")}
_WORDS: dict[str, tuple[Weight, str]] = {
    "member-join": (Weight.GOOD, "member joined"),
    "member-leave": (Weight.WARN, "member left"),
    "member-failed": (Weight.BAD, "member failed"),
    "member-update": (Weight.NEWS, "tags changed"),
    "member-reap": (Weight.NEWS, "member forgotten"),
    "member-name-conflict": (Weight.BAD, "two with one name"),
    "log-opened": (Weight.NEWS, "log opened"),
    "log-recovered": (Weight.WARN, "log repaired"),
    "log-full": (Weight.BAD, "disk full"),
    "log-resumed": (Weight.GOOD, "appends go on"),
    "log-poisoned": (Weight.BAD, "disk write failed"),
    "log-damaged": (Weight.BAD, "range quarantined"),
    "range-refilled": (Weight.GOOD, "range refilled"),
    "range-refill-failed": (Weight.WARN, "refill failed"),
    "segment-rolled": (Weight.NEWS, "segment sealed"),
    "segments-removed": (Weight.NEWS, "segments removed"),
    "origin-started": (Weight.NEWS, "new history"),
    "own-origin-ahead": (Weight.BAD, "peers know more"),
    "origin-cloned": (Weight.BAD, "directory cloned"),
    "first-contact-missed": (Weight.WARN, "some not heard"),
    "replication-started": (Weight.NEWS, "copying began"),
    "replication-stopped": (Weight.NEWS, "copying ended"),
    "replication-error": (Weight.WARN, "copying failed"),
    "replication-resumed": (Weight.GOOD, "copying goes on"),
    "replication-source-set-aside": (Weight.WARN, "another source"),
    "replication-forked": (Weight.BAD, "history forked"),
    "replication-gap": (Weight.BAD, "gap written down"),
    "certificate-expires": (Weight.WARN, "certificate ends"),
    "certificate-reloaded": (Weight.GOOD, "new certificate"),
    "certificate-rejected": (Weight.WARN, "certificate refused"),
    "policy-reloaded": (Weight.NEWS, "rules changed"),
    "policy-rejected": (Weight.WARN, "rules refused"),
    "keyring-changed": (Weight.NEWS, "gossip keys changed"),
}
_ENDS: dict[str, tuple[str, ...]] = {
    "member-failed": ("member-join", "member-leave", "member-reap"),
    "member-leave": ("member-join", "member-reap"),
    "replication-error": ("replication-resumed", "replication-started", "replication-stopped", "replication-error"),
    "log-full": ("log-resumed", "log-opened"),
}
"""What begins with a kind of event, and with which ones of the same subject it ends."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Happening:
    """An event as its reader sees it."""

    event: ClusterEvent
    mark: Mark
    """Shape and words. Of an unknown kind foreign text."""
    weight: Weight
    lasted_ms: int | None = None
    """How long what began with it went on; ``None``: nothing did."""
    still: bool = False
    """It goes on."""


def mark_of(kind: str) -> tuple[Mark, Weight]:
    """Returns shape, words and weight of a kind; one that is not known is news under its own name."""
    weight, words = _WORDS.get(kind, (Weight.NEWS, kind))
    shape, ascii_shape = _SHAPES[weight]
    return Mark(shape=shape, ascii_shape=ascii_shape, word=words), weight


def happenings(events: Sequence[ClusterEvent], now_ms: int) -> list[Happening]:
    """Returns the newest events, newest first, with how long each went on by ``now_ms``."""
    ended: dict[tuple[str, str], int] = {}
    told = []
    for event in reversed(events[-MAX_EVENTS:]):
        mark, weight = mark_of(event.kind)
        ends = [ended[kind, event.subject] for kind in _ENDS.get(event.kind, ()) if (kind, event.subject) in ended]
        begins = event.kind in _ENDS
        told.append(
            Happening(
                event=event,
                mark=mark,
                weight=weight,
                lasted_ms=max(min(ends, default=now_ms) - event.at_ms, 0) if begins else None,
                still=begins and not ends,
            )
        )
        ended[event.kind, event.subject] = event.at_ms
    return told
