"""What an event is, and how it is reported: one call writes a line of telemetry, and an agent's timeline shows it too."""

from dataclasses import dataclass
from enum import Enum
from functools import partial
from typing import Any, Protocol

import structlog


class Weight(Enum):
    """How urgently an event needs attention."""

    GOOD = "good"
    NEWS = "news"
    WARN = "warn"
    BAD = "bad"


@dataclass(frozen=True, slots=True, kw_only=True)
class EventKind:
    """One kind of event: its name and how it is reported."""

    name: str
    """The name in telemetry, in snake_case; it says what happened."""

    level: str
    """``debug``, ``info``, ``warning`` or ``error``."""

    meaning: str
    """An explanation for operators, a sentence or two."""

    subject: str
    """Key of the event's subject; empty: the node itself, which every line names."""

    detail: str
    """Key of the detail text; empty: there is none."""

    keys: tuple[str, ...]
    """The other keys of the line."""

    words: str
    """The text in the dashboard; empty: the event is not part of the status."""

    weight: Weight
    """The mark in the dashboard."""

    ended_by: tuple[str, ...]
    """The kinds that end the condition which this event began, for the same subject."""

    @property
    def status_name(self) -> str:
        """The kind in the status: the name with hyphens, as Serf writes its own."""
        return self.name.replace("_", "-")


class Emit(Protocol):
    """Reports an event: :func:`log_event`, or an agent's timeline, which also shows it."""

    def __call__(
        self,
        kind: EventKind,
        subject: str = "",
        detail: str = "",
        /,
        *,
        exc_info: BaseException | None = None,
        **facts: Any,
    ) -> None:
        """Report one event.

        Args:
            kind: One of this module.
            subject: What it happened to; written under the kind's key. Empty: the node.
            detail: Text about it; written under the kind's key.
            exc_info: An exception whose traceback belongs to it.
            **facts: Values of the kind's further keys.
        """


LEVELS = {"debug": 10, "info": 20, "warning": 30, "error": 40}
"""As the standard library counts them."""


class Threshold:
    """The least level that is written; it may change at any time, also for emitters that exist."""

    level = 0


threshold = Threshold()


def emitter(**bound: Any) -> Emit:
    """Return what writes each event as one line of telemetry, with ``bound`` in it."""
    return partial(_write, structlog.get_logger().bind(**bound))


def log_event(kind: EventKind, subject: str = "", detail: str = "", /, **facts: Any) -> None:
    """Write an event as one line of telemetry; see :class:`Emit`."""
    _write(structlog.get_logger(), kind, subject, detail, **facts)


def _write(
    logger: Any,
    kind: EventKind,
    subject: str = "",
    detail: str = "",
    /,
    *,
    exc_info: BaseException | None = None,
    **facts: Any,
) -> None:
    if LEVELS[kind.level] < threshold.level:
        return
    line = {**({kind.subject: subject} if subject else {}), **({kind.detail: detail} if detail else {}), **facts}
    if exc_info is not None:
        line["exc_info"] = exc_info
    getattr(logger, kind.level)(kind.name, **line)
