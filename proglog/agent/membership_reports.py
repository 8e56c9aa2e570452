"""Reports what the gossip core found: to telemetry, to the watch over this node's health, to the handler and to listeners.

What others cause is reported at a rate that they do not decide. A listener's fault does not end the membership.
"""

import asyncio
import time
from collections.abc import Callable, Sequence
from typing import Protocol

from proglog.addr import join_addr, rpc_addr_of
from proglog.agent.membership_watch import MembershipWatch
from proglog.gossip.address_book import KnownAddress
from proglog.gossip.events import (
    CallFinished,
    Event,
    HealthChanged,
    Ignored,
    KeyringChanged,
    LeaveFinished,
    MemberEvent,
    MemberEventKind,
    MemberSuspected,
    NameConflict,
    NameStanding,
    NameVoted,
    SuspicionRefuted,
)
from proglog.gossip.member import Address, Member, Status
from proglog.telemetry import events
from proglog.telemetry.emit import Emit

COMPLAINT_INTERVAL = 60.0
"""Seconds between two lines about malformed traffic: it is others that decide how much there is."""


class Handler(Protocol):
    """Receives the servers of the cluster: the replicator."""

    def join(self, name: str, addr: str) -> None:
        """A server is there."""
        ...

    def leave(self, name: str) -> None:
        """A server failed or left."""
        ...


class MembershipReports:
    """One node's."""

    def __init__(
        self,
        node_name: str,
        watch: MembershipWatch,
        handler: Handler,
        observer: Callable[[MemberEvent], None],
        on_name: Callable[[NameVoted], None],
        emit: Emit,
        known: Callable[[], Sequence[KnownAddress]],
    ) -> None:
        """Report to these; ``known`` returns the addresses that this node was given or remembers."""
        self.left, self.named, self.answered = asyncio.Event(), asyncio.Event(), asyncio.Event()
        """Set when this node has left, when its name is its own, and when a member has answered a call."""
        self.listeners: list[Callable[[Event], None]] = []
        """Called with every event."""
        self._node_name = node_name
        self._watch = watch
        self._handler = handler
        self._observer = observer
        self._on_name = on_name
        self._emit = emit
        self._known = known
        self._complained_at, self._complaints = -COMPLAINT_INTERVAL, 0
        self._serving: dict[str, str] = {}

    def publish(self, event: Event) -> None:
        """Report one event."""
        match event:
            case MemberEvent():
                self._member_changed(event)
            case CallFinished(error=error, address=address):
                self._note_call(address, error)
                if error:
                    self._report_call(event)
            case LeaveFinished():
                self.left.set()
            case NameConflict(name=name, address=address, local=local):
                self._report_conflict(name, join_addr(*address), local=local)
            case NameVoted():
                self._name_voted(event)
            case MemberSuspected(name=name, accuser=accuser):
                self._emit(events.MEMBER_SUSPECTED, name, accuser)
            case SuspicionRefuted(incarnation=incarnation):
                self._emit(events.SUSPICION_REFUTED, incarnation=incarnation)
            case HealthChanged(unwell=unwell, score=score):
                self._watch.health_changed(unwell=unwell, now=time.monotonic())
                self._emit(events.GOSSIP_UNWELL if unwell else events.GOSSIP_WELL, score=score)
            case KeyringChanged(operation=operation):
                self._emit(events.KEYRING_CHANGED, "", operation)
            case Ignored(reason=reason, source=source, malformed=True):
                self._complain(reason, source)
            case Ignored(reason=reason, source=source):
                self._emit(events.GOSSIP_IGNORED, "", reason, source=source and join_addr(*source))
            case _:
                pass  # listeners ask for it
        for listener in tuple(self.listeners):
            self._tell_listener(listener, event)

    def _tell_listener(self, listener: Callable[[Event], None], event: Event) -> None:
        try:
            listener(event)
        except Exception as exc:  # noqa: BLE001 - a listener's fault must not end the membership
            self._emit(events.MEMBER_HANDLER_FAILED, exc_info=exc)

    def _note_call(self, address: Address, error: str) -> None:
        """Remember why the last call failed, of the addresses where this node has to be heard."""
        self._watch.called(address, error)
        if not error:
            self.answered.set()
        elif self._watch.all_failed(list(self._known())):
            self.named.set()

    def _report_call(self, call: CallFinished) -> None:
        """Warn while this node is the only member, ever less often; with others, a missing one is no news."""
        warn = call.alone and call.failures & (call.failures - 1) == 0
        if warn:
            self._emit(events.JOIN_FAILED, "", call.error, addrs=[join_addr(*call.address)])
        else:
            self._emit(events.JOIN_ATTEMPT_FAILED, "", call.error, addr=join_addr(*call.address))

    def _complain(self, reason: str, source: Address | None) -> None:
        """Log what makes no sense, at a rate that others do not decide."""
        self._complaints += 1
        now = time.monotonic()
        if now - self._complained_at < COMPLAINT_INTERVAL:
            return
        self._complained_at, count, self._complaints = now, self._complaints, 0
        self._emit(
            events.GOSSIP_MALFORMED, "", reason, source=None if source is None else join_addr(*source), messages=count
        )

    def _report_conflict(self, name: str, claimed_by: str, *, local: bool) -> None:
        """Report it once: the claim repeats with every exchange."""
        if self._watch.claimed(name, claimed_by, time.monotonic()):
            self._emit(events.MEMBER_NAME_CONFLICT, name, claimed_by, local=local)

    def _name_voted(self, vote: NameVoted) -> None:
        self._watch.voted(vote, time.monotonic())
        rival, votes = join_addr(*vote.rival) if vote.rival else "", f"{vote.matching} of {vote.answers}"
        if vote.standing is NameStanding.HELD:
            self.named.set()
        match vote.standing:
            case NameStanding.CONTESTED:
                self._emit(events.NAME_CONTESTED, "", rival)
            case NameStanding.LOST:
                self._emit(events.NAME_LOST, "", rival, votes=votes)
            case NameStanding.HELD if rival:
                self._emit(events.NAME_HELD, "", votes)
        self._on_name(vote)

    def _member_changed(self, event: MemberEvent) -> None:
        member = event.member
        kind = events.EVENTS[event.kind.value.replace("-", "_")]
        self._emit(kind, member.name, status=member.status.value)
        try:
            self._observer(event)
            if member.name != self._node_name:
                self._tell_handler(event.kind, member)
        except Exception as exc:  # noqa: BLE001 - a listener's fault must not end the membership
            self._emit(events.MEMBER_HANDLER_FAILED, member.name, exc_info=exc)

    def _tell_handler(self, kind: MemberEventKind, member: Member) -> None:
        serving = self._serving.get(member.name)
        gone = kind in (MemberEventKind.LEAVE, MemberEventKind.FAILED, MemberEventKind.REAP)
        addr = "" if gone or member.status in (Status.LEFT, Status.FAILED) else rpc_addr_of(member.tags)
        if serving == addr or (not serving and not addr):
            return
        if serving:
            del self._serving[member.name]
            self._handler.leave(member.name)
        if addr:
            self._serving[member.name] = addr
            self._handler.join(member.name, addr)
