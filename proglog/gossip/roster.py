"""Who is in the cluster as Serf sees it: each member's status, and the intents that decide between *left* and *failed*.

::

                 leave intent                gone
      alive -----------------> leaving -----------------> left
        |  ^                      |                         ^
        |  '----- join intent ----'                         | leave intent
        |                      gone                         |
        '-------------------------------------------------> failed

An intent counts when its Lamport time is above the member's. One about a node that is not known yet waits for it.
A pure table: times are given, changes are told. Source: serf ``serf.go``.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from proglog.gossip.config import GossipConfig
from proglog.gossip.events import MemberEventKind
from proglog.gossip.lamport import LamportClock
from proglog.gossip.member import Member, Node, Status
from proglog.gossip.wire import SerfType, decode_tags, printable

MAX_INTENTS = 4096
"""Intents about nodes that are not known yet."""


@dataclass(slots=True)
class Entry:
    """A member."""

    node: Node
    status: Status
    ltime: int
    """Lamport time of the last intent about it."""
    since: float
    """When it got its status."""

    def snapshot(self) -> Member:
        """Return the member as others are shown it."""
        node = self.node
        host, port = node.address
        return Member(
            name=printable(node.name),
            addr=host,
            port=port,
            tags={printable(name): printable(value) for name, value in decode_tags(node.meta).items()},
            status=self.status,
            incarnation=node.incarnation,
            status_ltime=self.ltime,
            rtt_ms=None if node.rtt is None else node.rtt * 1000,
            since=self.since,
        )


class Roster:
    """The members by name."""

    def __init__(self, name: str, clock: LamportClock, tell: Callable[[MemberEventKind, Entry], None]) -> None:
        """Start with nobody.

        Args:
            name: This node's.
            clock: Of intents: it witnesses every one.
            tell: Called for each change that others should hear of.
        """
        self._name = name
        self._clock = clock
        self._tell = tell
        self._entries: dict[str, Entry] = {}
        self._intents: dict[str, tuple[SerfType, int, float]] = {}

    def __iter__(self) -> Iterator[Entry]:
        """All members, by name."""
        return iter([self._entries[name] for name in sorted(self._entries)])

    def get(self, name: str) -> Entry | None:
        """Return a member by the name it goes by on the wire."""
        return self._entries.get(name)

    # What SWIM found

    def joined(self, node: Node, now: float) -> None:
        """A node is alive that was not."""
        entry = self._entries.get(node.name)
        if entry is None:
            entry = self._entries[node.name] = Entry(node, Status.ALIVE, 0, now)
        entry.node, entry.status, entry.since = node, Status.ALIVE, now
        kind, ltime, _ = self._intents.pop(node.name, (SerfType.JOIN, 0, 0.0))
        if ltime > entry.ltime:
            entry.ltime = ltime
            if kind is SerfType.LEAVE:
                entry.status = Status.LEAVING
        self._tell(MemberEventKind.JOIN, entry)

    def gone(self, node: Node, now: float) -> None:
        """A node is dead, or says that it is gone."""
        entry = self._entries.get(node.name)
        if entry is None:
            return
        entry.node, entry.since = node, now
        if entry.status is Status.LEAVING:
            entry.status = Status.LEFT
            self._tell(MemberEventKind.LEAVE, entry)
        elif entry.status is Status.ALIVE:
            entry.status = Status.FAILED
            self._tell(MemberEventKind.FAILED, entry)

    def updated(self, node: Node) -> None:
        """A node changed its tags."""
        entry = self._entries.get(node.name)
        if entry is not None:
            entry.node = node
            self._tell(MemberEventKind.UPDATE, entry)

    # What is said

    def is_news(self, name: str, ltime: int) -> bool:
        """Return whether an intent of ``ltime`` about a member that is known would count."""
        entry = self._entries.get(name)
        return entry is not None and ltime > entry.ltime

    def hear_join(self, name: str, ltime: int, now: float) -> bool:
        """Take in a join intent; return whether it was news."""
        self._clock.witness(ltime)
        entry = self._entries.get(name)
        if entry is None:
            return self._keep(SerfType.JOIN, name, ltime, now)
        if ltime <= entry.ltime:
            return False
        entry.ltime = ltime
        if entry.status is Status.LEAVING and name != self._name:
            entry.status, entry.since = Status.ALIVE, now
        return True

    def hear_leave(self, name: str, ltime: int, now: float, *, prune: bool) -> bool:
        """Take in a leave intent; return whether it was news."""
        self._clock.witness(ltime)
        entry = self._entries.get(name)
        if entry is None:
            return self._keep(SerfType.LEAVE, name, ltime, now)
        if ltime <= entry.ltime:
            return False
        entry.ltime = ltime
        if entry.status is Status.ALIVE:
            entry.status, entry.since = Status.LEAVING, now
        elif entry.status is Status.FAILED:
            entry.status, entry.since = Status.LEFT, now
            self._tell(MemberEventKind.LEAVE, entry)
        if prune and name != self._name and entry.status in (Status.LEFT, Status.FAILED):
            self._forget(entry)
        return True

    def _keep(self, kind: SerfType, name: str, ltime: int, now: float) -> bool:
        known = self._intents.get(name)
        if (known is not None and known[1] >= ltime) or len(self._intents) >= MAX_INTENTS:
            return False
        self._intents[name] = (kind, ltime, now)
        return True

    # What is forgotten

    def reap(self, config: GossipConfig, now: float) -> None:
        """Forget who failed or left long ago, and intents that nobody came for."""
        for entry in list(self._entries.values()):
            limit = {Status.FAILED: config.reconnect_timeout, Status.LEFT: config.tombstone_timeout}.get(entry.status)
            if limit is not None and now - entry.since > limit and entry.node.name != self._name:
                self._forget(entry)
        horizon = now - config.recent_intent_timeout
        self._intents = {name: intent for name, intent in self._intents.items() if intent[2] > horizon}

    def _forget(self, entry: Entry) -> None:
        del self._entries[entry.node.name]
        self._tell(MemberEventKind.REAP, entry)
