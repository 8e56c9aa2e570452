"""Declaring events: each name once."""

from proglog.telemetry.emit import EventKind, Weight

EVENTS: dict[str, EventKind] = {}
"""Each kind by its name."""

_LEVELS = {Weight.GOOD: "info", Weight.NEWS: "info", Weight.WARN: "warning", Weight.BAD: "error"}


def declare(
    name: str,
    weight: Weight,
    meaning: str,
    *,
    level: str = "",
    words: str = "",
    subject: str = "",
    detail: str = "",
    keys: tuple[str, ...] = (),
    ended_by: tuple[str, ...] = (),
) -> EventKind:
    """Enter an event into the table; arguments as the fields of :class:`proglog.telemetry.emit.EventKind`."""
    assert name not in EVENTS, f"event {name} is declared twice"
    EVENTS[name] = EventKind(
        name=name,
        level=level or _LEVELS[weight],
        meaning=meaning,
        subject=subject,
        detail=detail,
        keys=keys,
        words=words,
        weight=weight,
        ended_by=ended_by,
    )
    return EVENTS[name]
