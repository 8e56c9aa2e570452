"""The roster: intents turn nodes into members that are leaving, left or failed.

::

                 leave intent                gone
      alive -----------------> leaving -----------------> left
        |  ^                      |                         ^
        |  '----- join intent ----'                         | leave intent, or a list that says so
        |                      gone                         |
        '-------------------------------------------------> failed

An intent counts when its Lamport time is above the member's; of two with the same time the join wins, so that all nodes
decide alike. One about an unknown node waits for it. Statuses are not stored: a node's follows from its state and its
last intent. A list in a full exchange is hearsay: it only turns *failed* into *left*, since a live node speaks for
itself. Source: serf ``serf.go``.
"""

from collections.abc import Callable, Iterator, Mapping

from proglog.gossip.config import GossipConfig
from proglog.gossip.counters import FLAP_SECONDS, Counters
from proglog.gossip.events import MemberEventKind
from proglog.gossip.lamport import LamportClock
from proglog.gossip.member import Node, Status
from proglog.gossip.nodes import Nodes
from proglog.gossip.serf_messages import Intent
from proglog.gossip.timers import Timers
from proglog.gossip.wire import decode_tags

RECONNECT_TIMEOUT_TAG = "rc_tm"
"""The tag by which a member sets for how long it is remembered once it has failed: ``72h``, ``30m``. Consul's."""
_UNIT_SECONDS = {"h": 3600, "m": 60, "s": 1}
MAX_INTENTS = 4096
"""Most intents about unknown nodes."""


class Roster:
    """Applies intents, and reports changes of members."""

    def __init__(
        self,
        nodes: Nodes,
        clock: LamportClock,
        timers: Timers,
        tell: Callable[[MemberEventKind, Node], None],
        counters: Counters,
    ) -> None:
        """Start without intents.

        Args:
            nodes: The table.
            clock: Of intents: it witnesses every one.
            timers: The clock.
            tell: Called with each change to report.
            counters: Of flaps.
        """
        self._nodes = nodes
        self._clock = clock
        self._timers = timers
        self._tell = tell
        self._counters = counters
        self._intents: dict[str, tuple[Intent, float]] = {}

    def __iter__(self) -> Iterator[Node]:
        """All members, by name."""
        return iter(self._nodes.members())

    def get(self, name: str) -> Node | None:
        """Return a member by the name it goes by on the wire."""
        node = self._nodes.get(name)
        return node if node is not None and node.listed else None

    # What SWIM found

    def joined(self, node: Node) -> None:
        """Handle a node that came alive: intents about its earlier run no longer count."""
        if node.listed and not node.leaving and self._timers.outside - node.since < FLAP_SECONDS:
            self._counters.flaps += 1
        node.leaving = node.prune = False
        node.listed, node.since = True, self._timers.outside
        intent, _ = self._intents.pop(node.name, (None, 0.0))
        if intent is not None and intent.ltime > node.ltime:
            self._apply(intent, node)
        self._tell(MemberEventKind.JOIN, node)

    def gone(self, node: Node) -> None:
        """Handle a node that is dead or left."""
        if not node.listed:
            return
        node.since = self._timers.outside
        self._tell(MemberEventKind.LEAVE if node.status is Status.LEFT else MemberEventKind.FAILED, node)
        if node.prune and node.status is Status.LEFT:
            self.forget(node)

    def updated(self, node: Node) -> None:
        """Handle a node's change of tags."""
        self._tell(MemberEventKind.UPDATE, node)

    # Intents

    def is_news(self, intent: Intent) -> bool:
        """Return whether an intent about a known member would count."""
        node = self._nodes.get(intent.name)
        if node is None:
            return False
        return intent.ltime > node.ltime or (intent.ltime == node.ltime and node.leaving and not intent.leaving)

    def hear(self, intent: Intent) -> bool:
        """Apply an intent; return whether it was news.

        Raises:
            MalformedMessageError: Its time is implausible.
        """
        self._clock.witness(intent.ltime)
        node = self._nodes.get(intent.name)
        if node is None:
            return self._keep(intent)
        if not self.is_news(intent):
            return False
        before = node.status
        self._apply(intent, node)
        if node.status is not before:
            node.since = self._timers.outside
            if node.status is Status.LEFT and node.listed:
                self._tell(MemberEventKind.LEAVE, node)
        if node.prune and node.status is Status.LEFT and node.listed:
            self.forget(node)
        return True

    def hear_list(self, ltimes: Mapping[str, int], left: tuple[str, ...]) -> None:
        """Apply the times and departures of a full exchange, except this node's own."""
        for name, ltime in ltimes.items():
            node = self._nodes.get(name)
            # One below: the intent of that time is still news, and older ones are not.
            if node is None or node.ltime >= ltime - 1 or node.leaving or name == self._nodes.own_name:
                continue
            if self._clock.believes(ltime):
                node.ltime = ltime - 1
        for name in left:
            node, ltime = self.get(name), ltimes.get(name, 0)
            if (
                node is None
                or node.status is not Status.FAILED
                or ltime < node.ltime
                or not self._clock.believes(ltime)
            ):
                continue
            node.ltime, node.leaving, node.since = ltime, True, self._timers.outside
            self._tell(MemberEventKind.LEAVE, node)

    def _apply(self, intent: Intent, node: Node) -> None:
        node.ltime = intent.ltime
        if intent.leaving:
            node.leaving = True
            node.prune = node.prune or (intent.prune and node.name != self._nodes.own_name)
        elif not node.gone:
            node.leaving = node.prune = False

    def _keep(self, intent: Intent) -> bool:
        known, _ = self._intents.get(intent.name, (None, 0.0))
        if known is None and len(self._intents) >= MAX_INTENTS:
            return False
        if known is not None and (known.ltime, not known.leaving) >= (intent.ltime, not intent.leaving):
            return False
        self._intents[intent.name] = intent, self._timers.now
        return True

    # Reaping

    def reap(self, config: GossipConfig) -> None:
        """Forget members that failed or left long ago, and intents whose node never appeared."""
        for node in [node for node in self if node.gone and node.name != self._nodes.own_name]:
            if node.status is Status.LEFT:
                limit = config.tombstone_timeout
            else:
                limit = seconds_of(decode_tags(node.meta).get(RECONNECT_TIMEOUT_TAG, "")) or config.reconnect_timeout
            if self._timers.outside - node.since > limit:
                self.forget(node)
        horizon = self._timers.now - config.recent_intent_timeout
        self._intents = {name: kept for name, kept in self._intents.items() if kept[1] > horizon}

    def forget(self, node: Node) -> None:
        """Hide a member from operators."""
        self._nodes.unlist(node)
        self._tell(MemberEventKind.REAP, node)


def seconds_of(duration: str) -> int:
    """Return the seconds in a duration such as ``1h30m``; 0 if it is none."""
    seconds, number = 0, ""
    for char in duration[:32]:
        if char in "0123456789":
            number += char
        elif char in _UNIT_SECONDS and number:
            seconds, number = seconds + int(number) * _UNIT_SECONDS[char], ""
        else:
            return 0
    return 0 if number else seconds
