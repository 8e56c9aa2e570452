"""Handler scripts, as Serf has them: run for each event that they ask for, one after another.

::

    SCRIPT                        every event
    member-join,user=SCRIPT       these kinds; * is every one
    user:deploy=SCRIPT            user events of this name
    query:load=SCRIPT             queries of this name: what the script prints is the answer

A script is run by ``/bin/sh -c``, with Serf's variables: SERF_EVENT, SERF_SELF_NAME, SERF_SELF_ROLE, SERF_TAG_NAME for
each tag, SERF_USER_EVENT, SERF_USER_LTIME, SERF_QUERY_NAME, SERF_QUERY_LTIME. On its standard input are the members
that an event is about, a line each (name, address, role, tags, with tabs between), or the payload.

Source: serf ``cmd/serf/command/agent/event_handler.go``, ``invoke.go``.
"""

import asyncio
import os
import re
import signal
import subprocess
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from proglog.errors import ConfigError, ProglogError
from proglog.gossip.events import Event, MemberEvent, MemberEventKind, QueryReceived, UserEventReceived
from proglog.gossip.member import Member
from proglog.observe.safe_text import safe_text
from proglog.telemetry import events
from proglog.telemetry.emit import Emit

KINDS = (*(each.value for each in MemberEventKind), "user", "query", "*")
MAX_WAITING = 256
"""Events that wait for scripts; with more, the oldest are dropped and counted."""
SCRIPT_SECONDS = 60.0
MAX_ANSWER_BYTES = 8 * 1024
"""Bytes kept from the end of a script's output; an answer to a query may have 1,024."""
_UNFIT = re.compile(r"[^A-Z0-9_]")


@dataclass(frozen=True, slots=True)
class EventHandler:
    """One script, and what it asks for."""

    kind: str
    name: str
    """Of the user event or query; empty: any."""
    script: str

    def wants(self, event: Event) -> bool:
        """Return whether the script is to be run for ``event``."""
        match event:
            case MemberEvent(kind=kind):
                return self.kind in ("*", kind.value)
            case UserEventReceived(name=name):
                return self.kind == "*" or (self.kind == "user" and self.name in ("", name))
            case QueryReceived(name=name):
                return self.kind == "*" or (self.kind == "query" and self.name in ("", name))
        return False


def parse_handlers(text: str) -> tuple[EventHandler, ...]:
    """Return the handlers that ``text`` says: one for each of its kinds.

    Raises:
        ConfigError: It names a kind that there is not, or no script.
    """
    filter_, equals, script = text.partition("=")
    if not equals or not all(_is_kind(each) for each in filter_.split(",")):
        if equals and re.fullmatch(r"[a-z*:,-]+", filter_):
            raise ConfigError(
                f"--event-handler {text!r:.100}: expected [KIND[:NAME],...=]SCRIPT, and as KIND one of {', '.join(KINDS)}"
            )
        filter_, script = "*", text
    if not script.strip():
        raise ConfigError(f"--event-handler {text!r:.100}: there is no script")
    kinds = [each.partition(":") for each in filter_.split(",")]
    return tuple(EventHandler(kind, name, script) for kind, _, name in kinds)


def _is_kind(word: str) -> bool:
    kind, colon, name = word.partition(":")
    return kind in KINDS and (not colon or (kind in ("user", "query") and bool(name)))


class EventHandlers:
    """Runs the scripts: on threads, one at a time, with a bound in time and in what waits."""

    def __init__(
        self,
        handlers: tuple[EventHandler, ...],
        node_name: str,
        *,
        tags: Callable[[], Mapping[str, str]],
        respond: Callable[[int, bytes], None],
        emit: Emit,
    ) -> None:
        """Run nothing yet.

        Args:
            handlers: The scripts.
            node_name: This node's.
            tags: Returns its tags now.
            respond: Answers a query.
            emit: Reports what failed.
        """
        self._handlers = handlers
        self._node_name = node_name
        self._tags = tags
        self._respond = respond
        self._emit = emit
        self._waiting: deque[Event] = deque()
        self._dropped = 0
        self._grown = asyncio.Event()
        self._process: subprocess.Popen[bytes] | None = None
        self._closed = False

    def take(self, event: Event) -> None:
        """Run what asks for ``event``, soon."""
        if not any(each.wants(event) for each in self._handlers):
            return
        if len(self._waiting) >= MAX_WAITING:
            self._waiting.popleft()
            self._dropped += 1
        self._waiting.append(event)
        self._grown.set()

    async def run(self) -> None:
        """Run scripts until it is cancelled."""
        while True:
            while self._waiting:
                event = self._waiting.popleft()
                for handler in self._handlers:
                    if handler.wants(event):
                        await self._run_one(handler, event)
            if self._dropped:
                count, self._dropped = self._dropped, 0
                self._emit(events.EVENT_HANDLER_FAILED, "", f"{count} events were dropped: the scripts are too slow")
            self._grown.clear()
            await self._grown.wait()

    async def close(self) -> None:
        """End the script that runs."""
        self._closed = True
        self._kill()

    async def _run_one(self, handler: EventHandler, event: Event) -> None:
        environment = self._environment(event)
        payload = event.payload + b"\n" if isinstance(event, UserEventReceived | QueryReceived) else _lines(event)
        try:
            output, problem = await asyncio.to_thread(self._execute, handler.script, environment, payload)
        except OSError as exc:
            output, problem = b"", exc.strerror or str(exc)
        if problem:
            self._emit(events.EVENT_HANDLER_FAILED, handler.script[:200], problem)
        elif isinstance(event, QueryReceived) and output:
            try:
                self._respond(event.query_id, output)
            except ProglogError as exc:
                self._emit(events.EVENT_HANDLER_FAILED, handler.script[:200], str(exc))

    def _execute(self, script: str, environment: Mapping[str, str], payload: bytes) -> tuple[bytes, str]:
        """Run a script; return its output, and what was wrong."""
        if self._closed:
            return b"", ""
        process = self._process = subprocess.Popen(
            ["/bin/sh", "-c", script],
            env=environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        try:
            output, _ = process.communicate(payload, SCRIPT_SECONDS)
        except subprocess.TimeoutExpired:
            self._kill()
            process.communicate()
            return b"", f"it was ended after {SCRIPT_SECONDS:g} s"
        finally:
            self._process = None
        tail = output[-MAX_ANSWER_BYTES:]
        if process.returncode and not self._closed:
            said = safe_text(tail[-200:].decode("utf-8", "replace").strip())
            return tail, f"exit code {process.returncode}" + (f": {said}" if said else "")
        return tail, ""

    def _kill(self) -> None:
        process = self._process
        if process is not None and process.poll() is None:
            try:
                os.killpg(process.pid, signal.SIGKILL)
            except ProcessLookupError:
                return  # it has just ended

    def _environment(self, event: Event) -> dict[str, str]:
        tags = self._tags()
        own = {
            "SERF_SELF_NAME": self._node_name,
            "SERF_SELF_ROLE": tags.get("role", ""),
            **{f"SERF_TAG_{_UNFIT.sub('_', name.upper())}": value for name, value in tags.items()},
        }
        match event:
            case MemberEvent(kind=kind):
                own["SERF_EVENT"] = kind.value
            case UserEventReceived(name=name, ltime=ltime):
                own |= {"SERF_EVENT": "user", "SERF_USER_EVENT": name, "SERF_USER_LTIME": str(ltime)}
            case QueryReceived(name=name, ltime=ltime):
                own |= {"SERF_EVENT": "query", "SERF_QUERY_NAME": name, "SERF_QUERY_LTIME": str(ltime)}
        return dict(os.environ) | {name: value.replace("\0", "") for name, value in own.items()}


def _lines(event: Event) -> bytes:
    assert isinstance(event, MemberEvent), "the other kinds have a payload"
    return _line(event.member).encode("utf-8", "replace")


def _line(member: Member) -> str:
    tags = ",".join(f"{_field(name)}={_field(value)}" for name, value in member.tags.items())
    fields = (_field(member.name), member.addr, _field(member.tags.get("role", "")), tags)
    return "\t".join(fields) + "\n"


def _field(text: str) -> str:
    """Return a text that ends no line and no field."""
    return text.replace("\\", "\\\\").replace("\t", "\\t").replace("\n", "\\n")
