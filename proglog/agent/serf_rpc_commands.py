"""The commands of Serf's RPC port that take one answer, and queries: from a stock client's maps to values and back.

Source: serf ``cmd/serf/command/agent/ipc.go``, ``keymanager.go``.
"""

import base64
import binascii
import os
import platform
import sys
from collections import Counter
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import aclosing
from dataclasses import dataclass
from typing import Any

from proglog import __version__
from proglog.agent.membership import Membership
from proglog.agent.serf_calls import SerfCalls
from proglog.errors import InvalidRequestError, NotFoundError, PreconditionError
from proglog.gossip.asking import GossipQuery
from proglog.gossip.errors import MalformedMessageError
from proglog.gossip.member import VERSIONS, Member, Status, packed_ip
from proglog.gossip.patterns import matches
from proglog.gossip.wire import printable
from proglog.server.membership_calls import KeyReport

MAX_LISTED = 256
"""Items of one list in a request."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Sent:
    """An answer: what follows the header, if anything, and what went wrong."""

    body: object = None
    error: str = ""


class Commands:
    """Answers for one agent."""

    def __init__(self, membership: Membership, calls: SerfCalls, *, handlers: tuple[str, ...]) -> None:
        """Answer from ``membership``, act through ``calls``; ``handlers`` are the agent's, for ``serf info``."""
        self._membership = membership
        self._calls = calls
        self._handlers = handlers

    async def run(self, command: str, body: Mapping[str, Any]) -> Sent:
        """Answer one command.

        Raises:
            ProglogError: It cannot be done; of commands whose answers have bodies, the error is in what is sent.
        """
        match command:
            case "members":
                return Sent(body={"Members": [member_record(each) for each in self._membership.members()]})
            case "members-filtered":
                return self._filtered(body)
            case "event":
                coalesce = body.get("Coalesce") is True
                self._calls.send_event(text(body, "Name"), raw(body, "Payload"), coalesce=coalesce)
            case "force-leave":
                self._membership.force_leave(text(body, "Node"), prune=body.get("Prune") is True)
            case "tags":
                self._calls.set_tags(texts_map(body, "Tags"), texts(body, "DeleteTags"))
            case "respond":
                self._respond(body)
            case "join":
                return await self._join(body)
            case "stats":
                return Sent(body=self._stats())
            case "get-coordinate":
                return Sent(body=self._coordinate(text(body, "Node")))
            case _:
                return await self._keys(command.removesuffix("-keys").removesuffix("-key"), body)
        return Sent()

    async def query(self, body: Mapping[str, Any]) -> AsyncIterator[dict[str, Any] | None]:
        """Ask the members; yield nothing once it was asked, then a record of each answer.

        Raises:
            ProglogError: It cannot be asked.
        """
        timeout, detours = body.get("Timeout") or 0, body.get("RelayFactor") or 0
        if not isinstance(timeout, int) or not isinstance(detours, int):
            raise InvalidRequestError("a query's timeout and relay factor are numbers")
        query = GossipQuery(
            name=text(body, "Name"),
            payload=raw(body, "Payload"),
            nodes=tuple(texts(body, "FilterNodes")),
            tags=texts_map(body, "FilterTags"),
            ack=body.get("RequestAck") is True,
            detours=detours,
            timeout=timeout / 1e9 if timeout else None,
        )
        async with aclosing(self._calls.query(query)) as answers:
            async for answer in answers:
                kind = "ack" if answer.payload is None else "response"
                yield {"Type": kind, "From": printable(answer.source), "Payload": answer.payload or b""}
        yield None

    def _filtered(self, body: Mapping[str, Any]) -> Sent:
        filters: list[tuple[str, Callable[[Member], str]]] = [
            (expression, lambda member, tag=tag: member.tags.get(tag, ""))  # type: ignore[misc]
            for tag, expression in texts_map(body, "Tags").items()
        ]
        filters.append((text(body, "Status"), lambda member: member.status.value))
        filters.append((text(body, "Name"), lambda member: member.name))
        wanted = [(f"^(?:{expression})$", value) for expression, value in filters if expression]
        try:
            found = [
                each
                for each in self._membership.members()
                if all(matches(expression, value(each)) for expression, value in wanted)
            ]
        except MalformedMessageError as exc:
            return Sent(body={"Members": []}, error=str(exc))
        return Sent(body={"Members": [member_record(each) for each in found]})

    def _respond(self, body: Mapping[str, Any]) -> None:
        query_id = body.get("ID")
        if not isinstance(query_id, int):
            raise NotFoundError("no query of this number waits for an answer")
        self._calls.respond(query_id, raw(body, "Payload"))

    async def _join(self, body: Mapping[str, Any]) -> Sent:
        outcomes = await self._calls.join(texts(body, "Existing"))
        joined = sum(not error for error in outcomes.values())
        problems = "; ".join(f"{addr}: {error}" for addr, error in outcomes.items() if error)
        return Sent(body={"Num": joined}, error="" if joined else problems)

    def _coordinate(self, name: str) -> dict[str, Any]:
        member = next((each for each in self._membership.members() if each.name == name), None)
        if member is None or member.coordinate is None:
            return {"Coord": None, "Ok": False}
        return {"Coord": member.coordinate.fields(), "Ok": True}

    async def _keys(self, operation: str, body: Mapping[str, Any]) -> Sent:
        try:
            key = base64.b64decode(text(body, "Key"), validate=True)
        except (binascii.Error, ValueError):
            return Sent(body=keys_record(KeyReport(0, {})), error="the key is not base64")
        try:
            report = await self._calls.keys(operation, key)
        except (InvalidRequestError, PreconditionError) as exc:
            return Sent(body=keys_record(KeyReport(0, {})), error=str(exc))
        failed = sum(bool(each.error) for each in report.answers.values())
        error = f"{failed}/{report.members} nodes reported failure" if failed else ""
        if not failed and len(report.answers) < report.members:
            error = f"{len(report.answers)}/{report.members} nodes reported success"
        return Sent(body=keys_record(report), error=error)

    def _stats(self) -> dict[str, dict[str, str]]:
        status = self._membership.act(lambda serf, _now: serf.vitals())
        members = self._membership.members()
        counts = Counter(each.status for each in members)
        return {
            "agent": {"name": self._membership.config.node_name},
            "runtime": {
                "os": sys.platform,
                "arch": platform.machine(),
                "version": f"python{platform.python_version()} proglog{__version__}",
                "max_procs": str(os.cpu_count() or 1),
                "goroutines": "0",
                "cpu_count": str(os.cpu_count() or 1),
            },
            "serf": {
                "members": str(len(members)),
                "failed": str(counts[Status.FAILED]),
                "left": str(counts[Status.LEFT]),
                "health_score": str(status.health_score),
                "member_time": str(status.clocks.intents + 1),
                "event_time": str(status.clocks.events + 1),
                "query_time": str(status.clocks.queries + 1),
                "intent_queue": str(status.queues["intents"]),
                "event_queue": str(status.queues["events"]),
                "query_queue": str(status.queues["queries"]),
                "encrypted": str(self._membership.encrypted).lower(),
                "coordinate_resets": str(status.coordinate_resets),
            },
            "tags": dict(self._membership.tags()),
            "event_handlers": dict.fromkeys(self._handlers, ""),
        }


def member_record(member: Member) -> dict[str, Any]:
    """Return a member as a stock client reads it."""
    versions = (member.versions or VERSIONS).ljust(6, b"\0")
    names = ("ProtocolMin", "ProtocolMax", "ProtocolCur", "DelegateMin", "DelegateMax", "DelegateCur")
    record = {
        "Name": member.name,
        "Addr": packed_ip(member.addr),
        "Port": member.port,
        "Tags": dict(member.tags),
        "Status": member.status.value,
    }
    return record | dict(zip(names, versions, strict=True))


def keys_record(report: KeyReport) -> dict[str, Any]:
    """Return what members said about their keys as a stock client reads it."""
    held = Counter(base64.b64encode(key).decode() for each in report.answers.values() for key in each.keys)
    primary = Counter(base64.b64encode(each.primary).decode() for each in report.answers.values() if each.primary)
    return {
        "Messages": {name: each.error for name, each in report.answers.items() if each.error},
        "Keys": dict(held),
        "PrimaryKeys": dict(primary),
        "NumNodes": report.members,
        "NumErr": sum(bool(each.error) for each in report.answers.values()),
        "NumResp": len(report.answers),
    }


def text(body: Mapping[str, Any], name: str) -> str:
    """Return a string; empty when missing."""
    value = body.get(name)
    if isinstance(value, bytes):
        return value.decode("utf-8", "surrogateescape")
    return value if isinstance(value, str) else ""


def raw(body: Mapping[str, Any], name: str) -> bytes:
    """Return bytes; empty when missing."""
    value = body.get(name)
    if isinstance(value, str):
        return value.encode("utf-8", "surrogateescape")
    return value if isinstance(value, bytes) else b""


def texts(body: Mapping[str, Any], name: str) -> list[str]:
    """Return a list of strings; empty when missing.

    Raises:
        InvalidRequestError: It is longer than ``MAX_LISTED``.
    """
    values = body.get(name) or []
    if not isinstance(values, list) or len(values) > MAX_LISTED:
        raise InvalidRequestError(f"{name} is no list of at most {MAX_LISTED}")
    return [text({"": each}, "") for each in values]


def texts_map(body: Mapping[str, Any], name: str) -> dict[str, str]:
    """Return a map of strings; empty when missing.

    Raises:
        InvalidRequestError: It is longer than ``MAX_LISTED``.
    """
    values = body.get(name) or {}
    if not isinstance(values, dict) or len(values) > MAX_LISTED:
        raise InvalidRequestError(f"{name} is no map of at most {MAX_LISTED}")
    return {text({"": key}, ""): text({"": value}, "") for key, value in values.items()}


NOTHING: Mapping[str, object] = {
    "join": {"Num": 0},
    "members-filtered": {"Members": []},
    **{name: keys_record(KeyReport(0, {})) for name in ("install-key", "use-key", "remove-key", "list-keys")},
}
"""Bodies of commands that cannot be carried out: a client waits for one, whatever the header says."""
