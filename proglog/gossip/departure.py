"""Leaving on purpose, step by step, each with a bound.

::

    leave intent, in person and by gossip   -- said often enough, or broadcast_timeout -->
    "I am gone", in person and by gossip    -- said often enough, or broadcast_timeout -->
    answer pings for leave_propagate_delay  -->  over

Source: serf ``serf.go`` (``Leave``), memberlist ``memberlist.go`` (``Leave``).
"""

from collections.abc import Callable

from proglog.gossip.beliefs import Beliefs
from proglog.gossip.broadcasts import BroadcastQueue
from proglog.gossip.config import GossipConfig
from proglog.gossip.nodes import Nodes
from proglog.gossip.outbox import Outbox
from proglog.gossip.serf_messages import Intent
from proglog.gossip.timers import Timers


class Departure:
    """One node's, once in its life."""

    def __init__(
        self,
        nodes: Nodes,
        beliefs: Beliefs,
        outbox: Outbox,
        queue: BroadcastQueue,
        config: GossipConfig,
        timers: Timers,
        finished: Callable[[], None],
    ) -> None:
        """Don't leave yet; ``finished`` is called once the departure had time to spread."""
        self.begun = False
        """Whether this node leaves."""
        self._nodes = nodes
        self._beliefs = beliefs
        self._outbox = outbox
        self._queue = queue
        self._config = config
        self._timers = timers
        self._finished = finished

    def begin(self, intent: Intent) -> None:
        """Announce ``intent``, which this node has already applied, and then the departure."""
        self._beliefs.leaving = True
        said = self._once(self._say_gone)
        if not self._nodes.others_alive():
            said()
            return
        message = intent.encode()
        # Overtaken by the departure that follows, the intent would let it pass for a failure for a moment.
        for node in self._nodes.told_in_person():
            self._outbox.send_user(message, node.address)
        self._queue.add(message, key=intent.name, finished=said)

    def _say_gone(self) -> None:
        # Others keep probing for a while: a node that doesn't answer now counts as failed.
        delay = self._config.leave_propagate_delay if self._nodes.others_alive() else 0.0
        self._beliefs.leave(self._once(lambda: self._timers.after(delay, self._finished)))

    def _once(self, then: Callable[[], object]) -> Callable[[], None]:
        """Return what runs ``then`` once: when it is called, or after the broadcast timeout."""
        done = {"yet": False}

        def run() -> None:
            if not done["yet"]:
                done["yet"] = True
                timer.cancel()
                then()

        timer = self._timers.after(self._config.broadcast_timeout, run)
        return run
