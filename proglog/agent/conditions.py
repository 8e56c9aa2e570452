"""Events that last: each from its first occurrence until another event ends it."""

import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from proglog.observe.event_findings import EVENT_FINDINGS, Lasting, is_condition
from proglog.telemetry.emit import EventKind
from proglog.telemetry.events import EVENTS
from proglog.wire.model import Condition

MAX_CONDITIONS = 256
"""Subjects are what others call themselves: beyond this many, the one that was quiet for longest is forgotten."""

_ENDS: dict[str, list[EventKind]] = {}
"""Conditions that an event ends, by its name."""
for _kind in EVENTS.values():
    for _name in _kind.ended_by:
        _ENDS.setdefault(_name, []).append(_kind)


@dataclass(slots=True)
class _Standing:
    detail: str
    since: float
    last: float
    count: int


class Conditions:
    """Current conditions, by kind, subject and, where a subject may have several, origin. Times are seconds on one monotonic clock."""

    def __init__(self) -> None:
        """Start with none."""
        self._standing: dict[tuple[str, str, str], _Standing] = {}
        self.on_kept: Callable[[], None] = lambda: None
        """Called when what the next life has to know has changed."""

    def restore(self, conditions: Iterable[Condition], now: float | None = None) -> None:
        """Take in what the last life left; ``now`` is the time, by default of :func:`time.monotonic`."""
        at = time.monotonic() if now is None else now
        for each in conditions:
            since, last = at - each.since_ms / 1000, at - each.last_ms / 1000
            self._standing.setdefault(
                (each.kind, each.subject, each.origin), _Standing(each.detail, since, last, each.count)
            )

    def kept(self, now: float | None = None) -> list[Condition]:
        """Return what the next life has to know."""
        standing = self.standing(time.monotonic() if now is None else now)
        return [each for each in standing if _is_kept(each.kind.replace("-", "_"))]

    def take(self, kind: EventKind, subject: str, detail: str, now: float, origin: str = "") -> None:
        """An event of ``kind`` happened to ``subject``: it ends some conditions, and may be one.

        What ended a condition for good, as an operator's decision does, keeps it from beginning again.
        """
        for ended in _ENDS.get(kind.name, ()):
            if self._standing.pop(_key(ended, subject, origin), None) and _is_kept(ended.name):
                self.on_kept()
        if not is_condition(kind):
            return
        if any(_is_kept(end) and _key(EVENTS[end], subject, origin) in self._standing for end in kind.ended_by):
            return
        key = _key(kind, subject, origin)
        before = self._standing.pop(key, None)
        if before is None and len(self._standing) >= MAX_CONDITIONS:
            del self._standing[next(iter(self._standing))]
        since, count = (before.since, before.count) if before else (now, 0)
        self._standing[key] = _Standing(detail, since, now, count + 1)
        if _is_kept(kind.name):
            self.on_kept()

    def standing(self, now: float) -> tuple[Condition, ...]:
        """Return the current conditions, the longest quiet first."""
        return tuple(
            Condition(
                kind=kind,
                subject=subject,
                origin=origin,
                detail=each.detail,
                since_ms=int((now - each.since) * 1000),
                last_ms=int((now - each.last) * 1000),
                count=each.count,
            )
            for (kind, subject, origin), each in self._standing.items()
        )


def _key(kind: EventKind, subject: str, origin: str) -> tuple[str, str, str]:
    shown = EVENT_FINDINGS.get(kind.name)
    return kind.status_name, subject, origin if isinstance(shown, Lasting) and shown.per_origin else ""


def _is_kept(name: str) -> bool:
    shown = EVENT_FINDINGS.get(name)
    return isinstance(shown, Lasting) and shown.kept
