"""The address book: where members may be, and the schedule of calls to addresses without a live member.

::

    given by the operator      called until answered, and again whenever no live member is known there
    where a member was         called from its departure on; forgotten a day after it was last alive

What is known of a name doesn't say which node listens at its address now: a seed that left gracefully may be back with
an empty disk, and parts of a cluster that were restarted while partitioned have never heard of each other. So an
address counts as alive only while a member is alive there, or right after it answered. A host name is an address here;
the driver tries all that it resolves to, in random order.

Every call has an outcome, and each address its own schedule: a bad address delays no other.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from random import Random

from proglog.gossip.config import GossipConfig
from proglog.gossip.member import Address, Node
from proglog.gossip.nodes import Nodes
from proglog.gossip.timers import Timer, Timers

FIRST_RETRY = 0.5
"""Seconds until an address that was given is called again; doubled up to the reconnect interval."""
MAX_REMEMBERED = 64
"""Addresses not given by the operator; those seen last are kept."""


@dataclass(frozen=True, slots=True, kw_only=True)
class KnownAddress:
    """An address, as it is given or remembered from one life to the next."""

    host: str
    """IP address or host name."""
    port: int
    name: str = ""
    """Name of the member that was there."""
    given: bool = False
    """Whether the operator gave it: it is never forgotten."""
    unseen: float = 0.0
    """Seconds that this node ran since a member was alive there."""


@dataclass(slots=True, eq=False)
class _Entry:
    address: Address
    name: str
    given: bool
    seen_at: float
    due: float
    failures: int = 0
    calling: bool = False
    answered: bool = False


@dataclass(frozen=True, slots=True)
class Call:
    """A call to make now."""

    address: Address
    given: bool


class AddressBook:
    """One node's addresses. A pure schedule: returns the calls that are due and records their outcomes."""

    def __init__(self, own: Address, nodes: Nodes, config: GossipConfig, random: Random, timers: Timers) -> None:
        """Start empty. ``own`` is never called."""
        self._own = own
        self._nodes = nodes
        self._config = config
        self._random = random
        self._timers = timers
        self._entries: dict[Address, _Entry] = {}
        self._timer: Timer | None = None
        self._wake: Callable[[], None] = lambda: None

    def start(self, known: Iterable[KnownAddress], wake: Callable[[], None]) -> None:
        """Schedule calls to all of ``known`` now; ``wake`` is called whenever :meth:`due` has calls."""
        self._wake = wake
        for each in known:
            self._add((each.host, each.port), each.name, given=each.given, unseen=each.unseen, delay=0.0)
        self._arm()

    # What is due

    def due(self) -> list[Call]:
        """Return the calls to make now; end each with :meth:`answered` or :meth:`failed`."""
        now, calls = self._timers.now, []
        for entry in list(self._entries.values()):
            if entry.calling or entry.due > now:
                continue
            if self._nodes.member_at(entry.address) is not None:
                entry.seen_at, entry.failures, entry.answered = now, 0, True
                if not entry.given:
                    del self._entries[entry.address]
                entry.due = now + self._config.reconnect_interval
            elif not entry.given and now - entry.seen_at > self._config.reconnect_timeout:
                del self._entries[entry.address]
            else:
                entry.calling = True
                calls.append(Call(entry.address, entry.given))
        self._arm()
        return calls

    def answered(self, address: Address) -> None:
        """Record an answer from there."""
        self._end(address, self._config.push_pull_interval, answered=True)

    def failed(self, address: Address) -> int:
        """Record a call that failed; return how many in a row."""
        entry = self._entries.get(address)
        if entry is None:
            return 1
        entry.failures += 1
        self._end(address, self._delay(entry), answered=False)
        return entry.failures

    # What became of members

    def alive(self, node: Node) -> None:
        """Record that a member is alive at its address, and no longer at an earlier one."""
        for entry in list(self._entries.values()):
            if not entry.given and (entry.name == node.name or entry.address == node.address):
                del self._entries[entry.address]

    def departed(self, node: Node) -> None:
        """Record that a member failed or left: call its address until it is back."""
        if node.address not in self._entries:
            self._add(node.address, node.name, given=False, unseen=0.0, delay=None)
            self._arm()

    def forget(self, name: str) -> bool:
        """Stop calling where ``name`` was, unless the operator gave the address; return whether there was one."""
        gone = [entry for entry in self._entries.values() if entry.name == name and not entry.given]
        for entry in gone:
            del self._entries[entry.address]
        return bool(gone)

    # What it reports

    @property
    def unanswered(self) -> list[Address]:
        """Addresses given by the operator that never answered and never had a live member."""
        return [entry.address for entry in self._entries.values() if entry.given and not entry.answered]

    def known(self) -> list[KnownAddress]:
        """Return what is worth remembering, those seen last first: at most ``MAX_REMEMBERED``."""
        alive = [
            KnownAddress(host=node.address[0], port=node.address[1], name=node.name)
            for node in self._nodes.others_alive()[:MAX_REMEMBERED]
        ]
        gone = [
            KnownAddress(
                host=entry.address[0], port=entry.address[1], name=entry.name, unseen=self._timers.now - entry.seen_at
            )
            for entry in self._entries.values()
            if not entry.given
        ]
        return sorted(alive + gone, key=lambda each: each.unseen)[:MAX_REMEMBERED]

    # Schedule

    def _add(self, address: Address, name: str, *, given: bool, unseen: float, delay: float | None) -> None:
        known = self._entries.get(address)
        if address == self._own or (known is not None and known.given):
            return
        now = self._timers.now
        entry = _Entry(address, name, given, seen_at=now - unseen, due=now)
        entry.due += self._random.uniform(0, self._delay(entry)) if delay is None else delay
        self._entries[address] = entry
        remembered = [each for each in self._entries.values() if not each.given]
        if len(remembered) > MAX_REMEMBERED:
            del self._entries[min(remembered, key=lambda each: each.seen_at).address]

    def _delay(self, entry: _Entry) -> float:
        """Return the seconds until the next call; the whole cluster shares the calls of a remembered address."""
        interval = self._config.reconnect_interval
        if entry.given:
            delay = min(FIRST_RETRY * 2 ** min(entry.failures - 1, 16), interval) if entry.failures else interval
        else:
            delay = interval * max(1, len(self._nodes.others_alive()))
        return delay * self._random.uniform(0.8, 1.2)

    def _end(self, address: Address, delay: float, *, answered: bool) -> None:
        entry = self._entries.get(address)
        if entry is not None:
            entry.calling, entry.due = False, self._timers.now + delay
            if answered:
                entry.answered, entry.failures, entry.seen_at = True, 0, self._timers.now
            self._arm()

    def _arm(self) -> None:
        waiting = [entry.due for entry in self._entries.values() if not entry.calling]
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if waiting:
            self._timer = self._timers.at(max(self._timers.now, min(waiting)), self._wake)
