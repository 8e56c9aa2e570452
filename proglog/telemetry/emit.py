"""What an event is, and how it is reported: one call writes a line of telemetry, and an agent's timeline shows it too."""

from dataclasses import dataclass
from enum import Enum
from functools import partial
from typing import Any, Protocol

import structlog


class Weight(Enum):
    """How much an event asks of its reader."""

    GOOD = "good"
    NEWS = "news"
    WARN = "warn"
    BAD = "bad"


@dataclass(frozen=True, slots=True, kw_only=True)
class EventKind:
    """What one kind of event is called and how it is reported."""

    name: str
    """In telemetry: snake_case; it says what happened."""

    level: str
    """``debug``, ``info``, ``warning`` or ``error``."""

    meaning: str
    """A sentence or two for operators."""

    subject: str
    """Key of whom or what it happened to; empty: the node itself, which every line names."""

    detail: str
    """Key of the text about it; empty: there is none."""

    keys: tuple[str, ...]
    """Further keys of the line."""

    words: str
    """In the dashboard; empty: the event is not part of the status."""

    weight: Weight
    """How the dashboard marks it."""

    ended_by: tuple[str, ...]
    """What began with it ends with one of these kinds of the same subject."""

    @property
    def status_name(self) -> str:
        """Its kind in the status: the name with hyphens, as Serf writes its own."""
        return self.name.replace("_", "-")


class Emit(Protocol):
    """Reports an event: :func:`log_event`, or an agent's timeline, which shows it as well."""

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
    line = {**({kind.subject: subject} if subject else {}), **({kind.detail: detail} if detail else {}), **facts}
    if exc_info is not None:
        line["exc_info"] = exc_info
    getattr(logger, kind.level)(kind.name, **line)
