"""What clients of Serf's RPC port follow: events of the cluster, and this agent's log lines.

Source: serf ``cmd/serf/command/agent/ipc_event_stream.go``, ``ipc_log_stream.go``.
"""

import time
from collections import deque
from collections.abc import Callable, Mapping
from typing import Any

from proglog.agent.event_handlers import EventHandler, parse_handlers
from proglog.agent.serf_rpc_commands import member_record
from proglog.errors import ConfigError, InvalidRequestError
from proglog.gossip.events import Event, MemberEvent, QueryReceived, UserEventReceived
from proglog.observe.safe_text import safe_text
from proglog.telemetry.emit import EventKind

MAX_LINES = 512
"""Log lines that a new follower gets of those before."""
LEVELS = {"TRACE": 0, "DEBUG": 1, "INFO": 2, "WARN": 3, "ERR": 4, "ERROR": 4}
_NAMES = {"debug": "DEBUG", "info": "INFO", "warning": "WARN", "error": "ERR"}

Send = Callable[[Mapping[str, Any]], None]


class Streams:
    """Hands events and log lines to those who follow."""

    def __init__(self) -> None:
        """Start without followers."""
        self._events: dict[int, tuple[tuple[EventHandler, ...], Send]] = {}
        self._logs: dict[int, tuple[int, Send]] = {}
        self._lines: deque[tuple[int, str]] = deque(maxlen=MAX_LINES)
        self._count = 0

    def events(self, kinds: str, send: Send) -> Callable[[], None]:
        """Send each event of ``kinds``, such as ``*`` or ``member-join,user:deploy``; return what ends it.

        Raises:
            InvalidRequestError: There is no such kind.
        """
        try:
            wanted = parse_handlers(f"{kinds or '*'}=follow")
        except ConfigError as exc:
            raise InvalidRequestError(f"stream type {kinds!r:.100}: there is no such kind of event") from exc
        self._count += 1
        number = self._count
        self._events[number] = wanted, send

        def end() -> None:
            self._events.pop(number, None)

        return end

    def log(self, level: str, send: Send) -> Callable[[], None]:
        """Send the latest log lines from ``level`` on, then each as it is written; return what ends it.

        Raises:
            InvalidRequestError: There is no such level.
        """
        least = LEVELS.get(level.upper())
        if least is None:
            raise InvalidRequestError(f"log level {level!r:.50}: expected {', '.join(LEVELS)}")
        for rank, line in tuple(self._lines):
            if rank >= least:
                send({"Log": line})
        self._count += 1
        number = self._count
        self._logs[number] = least, send

        def end() -> None:
            self._logs.pop(number, None)

        return end

    def take(self, event: Event) -> None:
        """Hand on an event of the core."""
        record = _record(event)
        if record is None:
            return
        for wanted, send in tuple(self._events.values()):
            if any(each.wants(event) for each in wanted):
                send(record)

    def take_line(self, kind: EventKind, subject: str, detail: str, facts: Mapping[str, Any]) -> None:
        """Hand on a line of telemetry, as a stock agent would write it."""
        name = _NAMES[kind.level]
        about = " ".join(
            safe_text(str(each)) for each in (subject, detail, *(f"{k}={v}" for k, v in facts.items())) if each
        )
        line = f"{time.strftime('%Y/%m/%d %H:%M:%S')} [{name}] proglog: {kind.name}" + (f": {about}" if about else "")
        self._lines.append((LEVELS[name], line))
        for least, send in tuple(self._logs.values()):
            if LEVELS[name] >= least:
                send({"Log": line})


def _record(event: Event) -> dict[str, Any] | None:
    match event:
        case MemberEvent(kind=kind, member=member):
            return {"Event": kind.value, "Members": [member_record(member)]}
        case UserEventReceived(name=name, payload=payload, ltime=ltime, coalesce=coalesce):
            return {"Event": "user", "LTime": ltime, "Name": name, "Payload": payload, "Coalesce": coalesce}
        case QueryReceived(query_id=number, name=name, payload=payload, ltime=ltime):
            return {"Event": "query", "ID": number, "LTime": ltime, "Name": name, "Payload": payload}
    return None
