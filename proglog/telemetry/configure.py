"""Structured diagnostics: one event a line, on stderr and nowhere else.

::

    structlog.get_logger().info("segment_rolled", base_offset=0)  --+
                                                                    +--> one handler --> stderr
    logging.getLogger("grpc") ...   of libraries                  --+

On a terminal an event is a human-readable line, elsewhere a JSON object. Foreign text - node names, peers' errors - comes
as values, and no value can move a cursor, forge a line or reverse text: unprintable characters are escaped. Diagnostics
never block the agent: a thread writes the lines, and lines that stderr does not take are dropped, counted and reported
(:mod:`proglog.telemetry.lines`). Tracebacks omit local variables: they hold requests.
"""

import logging
import os
import sys
from collections.abc import MutableMapping
from typing import Any, Literal, TextIO

import structlog
from structlog.typing import Processor

from proglog.errors import ConfigError
from proglog.telemetry.emit import LEVELS, log_event, threshold
from proglog.telemetry.events import TELEMETRY_DROPPED
from proglog.telemetry.lines import LineWriter

Style = Literal["auto", "console", "json"]
_TRACEBACKS = structlog.processors.ExceptionRenderer(structlog.tracebacks.ExceptionDictTransformer(show_locals=False))
"""Without local variables: requests are among them."""


class TelemetryHandler(logging.Handler):
    """Passes lines to a writer thread, so that a caller never waits for the reader of stderr.

    A stream without a descriptor, which is in memory, is written directly.
    """

    def __init__(self, stream: TextIO | None) -> None:
        super().__init__()
        self._stream = stream
        self._encoding = getattr(stream, "encoding", None) or "utf-8"
        self._refused = 0
        descriptor = descriptor_of(stream)
        self._lines = None if descriptor is None else LineWriter(descriptor, on_dropped=_report_dropped)

    @property
    def dropped_lines(self) -> int:
        """Lines that could not be written."""
        return self._refused + (self._lines.dropped if self._lines else 0)

    def emit(self, record: logging.LogRecord) -> None:
        """Queue a line; one that a stream in memory refuses is counted, and what cannot be rendered is a bug."""
        try:
            line = self.format(record) + "\n"
            if self._lines is not None:
                self._lines.put(line.encode(self._encoding, "backslashreplace"))
            elif self._stream is None or self._stream.closed:  # a process may be started without a stderr
                self._refused += 1
            else:
                self._stream.write(line)
                self._stream.flush()
        except OSError:
            self._refused += 1
        except Exception:  # noqa: BLE001 - logging's way to show a bug
            self.handleError(record)

    def flush(self) -> None:
        """Wait for the thread, a second at most; the end of the process calls this."""
        if self._lines is not None:
            self._lines.drain()


def descriptor_of(stream: TextIO | None) -> int | None:
    """Return the descriptor under a stream; ``None``: there is none, or it is closed."""
    try:
        return None if stream is None else stream.fileno()
    except (OSError, ValueError, AttributeError):
        return None


def _report_dropped(lines: int) -> None:
    log_event(TELEMETRY_DROPPED, lines=lines)


def configure(level: str = "info", *, style: Style = "auto", stream: TextIO | None = None) -> TelemetryHandler:
    """Send all telemetry of this process to ``stream`` from now on.

    Call it before anything imports grpc, or each failed handshake writes a foreign line to stderr.

    Args:
        level: The minimum level: ``debug``, ``info``, ``warning`` or ``error``.
        style: ``console`` for people, ``json`` for programs, ``auto``: depending on whether the stream is a terminal.
        stream: The stream; ``None``: the current stderr.

    Returns:
        The handler, which counts the lines that it dropped.

    Raises:
        ConfigError: The level is unknown.
    """
    if level not in LEVELS:
        raise ConfigError(f"log level {level!r}: expected one of {', '.join(LEVELS)}")
    # gRPC's C++ core writes lines of its own to stderr, one for each handshake that fails; it reads this on import.
    os.environ.setdefault("GRPC_VERBOSITY", "NONE")
    target = sys.stderr if stream is None else stream
    handler = TelemetryHandler(target)
    handler.setFormatter(_formatter(console=style == "console" or (style == "auto" and _is_terminal(target))))
    root = logging.getLogger()
    for earlier in [old for old in root.handlers if isinstance(old, TelemetryHandler)]:
        root.removeHandler(earlier)
    root.addHandler(handler)
    set_level(level)
    structlog.configure(
        processors=[*_shared_processors(), structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
        wrapper_class=structlog.make_filtering_bound_logger(logging.DEBUG),  # the threshold is what may change
        logger_factory=structlog.stdlib.LoggerFactory(),
        cache_logger_on_first_use=False,  # a later call of this function reaches loggers that exist
    )
    return handler


def set_level(level: str) -> None:
    """Write events of this level and above from now on; one of ``LEVELS``."""
    threshold.level = LEVELS[level]
    logging.getLogger().setLevel(LEVELS[level])


def _shared_processors() -> list[Processor]:
    """Return the processors of proglog's and libraries' events, in order, up to rendering."""
    return [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
    ]


def _formatter(*, console: bool) -> logging.Formatter:
    render: list[Processor] = [structlog.stdlib.ProcessorFormatter.remove_processors_meta]
    if console:
        renderer = structlog.dev.ConsoleRenderer(colors="NO_COLOR" not in os.environ, pad_event_to=24)
        render += [structlog.processors.format_exc_info, harmless, renderer]
    else:
        render += [_TRACEBACKS, structlog.processors.JSONRenderer(default=str)]
    return structlog.stdlib.ProcessorFormatter(
        foreign_pre_chain=[structlog.stdlib.add_logger_name, *_shared_processors()], processors=render
    )


def harmless(_logger: object, _method: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    """Return ``event`` with all that cannot be printed escaped: controls, bidirectional overrides, line ends.

    The traceback keeps its line ends.
    """
    shown: dict[str, Any] = {}
    for key, value in event.items():
        if key == "exception":
            shown[key] = "\n".join(_escaped(line) for line in str(value).split("\n"))
        else:
            shown[_escaped(key)] = value if isinstance(value, int | float | None) else _escaped(str(value))
    return shown


def _escaped(text: str) -> str:
    if text.isprintable():
        return text
    return "".join(char if char.isprintable() else char.encode("unicode_escape").decode() for char in text)


def _is_terminal(stream: TextIO | None) -> bool:
    return stream is not None and not stream.closed and stream.isatty()
