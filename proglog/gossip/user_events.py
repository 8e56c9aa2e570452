"""User events: broadcast to every member, delivered once at each.

::

    send        -->  Lamport time, delivered here, broadcast
    receive     -->  too old, or seen: dropped          news: kept for full exchanges, delivered
    coalesced   -->  only the newest of a name, once the name is quiet for a second, after three at most

A new node doesn't get events from before it joined, unless it asks for them. One that restarts with its clocks gets
the events that it missed, if other members still keep them: those of the last 512 Lamport times.

Source: serf ``serf.go`` (``UserEvent``, ``handleUserEvent``), ``coalesce_user.go``.
"""

from collections import deque
from collections.abc import Callable

from proglog.errors import InvalidRequestError
from proglog.gossip.broadcasts import BroadcastQueue
from proglog.gossip.counters import Counters
from proglog.gossip.errors import MalformedMessageError
from proglog.gossip.events import UserEventReceived
from proglog.gossip.lamport import LamportClock
from proglog.gossip.recent import SLOTS, Recent
from proglog.gossip.serf_messages import UserEvent
from proglog.gossip.timers import Timer, Timers
from proglog.gossip.wire import printable

MAX_SENT_BYTES = 512
"""Name and payload of an event that is sent from here, and its encoding: what a stock agent allows."""
MAX_KEPT_BYTES = 256 * 1024
"""Most bytes kept for full exchanges; the oldest events are evicted."""
QUIESCENT_SECONDS, COALESCE_SECONDS = 1.0, 3.0
MAX_HELD = 1024
"""Most names with an event being coalesced; beyond this, all are delivered at once."""
_RECORD_OVERHEAD = 64


class UserEvents:
    """One node's events."""

    def __init__(
        self,
        clock: LamportClock,
        queue: BroadcastQueue,
        timers: Timers,
        tell: Callable[[UserEventReceived], None],
        counters: Counters,
        *,
        seen: int,
    ) -> None:
        """Start without events.

        Args:
            clock: Of events.
            queue: Broadcasts.
            timers: The clock of coalescing.
            tell: Called with each event, once.
            counters: Of events.
            seen: Lamport time up to which an earlier run delivered all events; 0: there was none.
        """
        self._clock = clock
        self._queue = queue
        self._timers = timers
        self._tell = tell
        self._counters = counters
        self._recent = Recent()
        self._first = seen + 1 if seen else 0
        self._kept: deque[UserEvent] = deque()
        self._kept_bytes = 0
        self._held: dict[str, list[UserEvent]] = {}
        self._held_since = 0.0
        self._flush_timer: Timer | None = None

    def __len__(self) -> int:
        """Number of events that wait to be sent."""
        return len(self._queue)

    def send(self, name: str, payload: bytes, *, coalesce: bool) -> int:
        """Deliver here and broadcast; return the event's Lamport time.

        Raises:
            InvalidRequestError: It has no name, or more than ``MAX_SENT_BYTES`` bytes.
        """
        event = UserEvent(name, payload, self._clock.time, coalesce)
        size = max(len(name.encode("utf-8", "surrogateescape")) + len(payload), len(event.encode()))
        if not name or size > MAX_SENT_BYTES:
            raise InvalidRequestError(
                f"a user event has a name, and with its payload at most {MAX_SENT_BYTES} bytes; this one has {size:,}"
                if name
                else "a user event needs a name"
            )
        self._clock.increment()
        self.receive(event)
        self._queue.add(event.encode())
        return event.ltime

    def receive(self, event: UserEvent) -> bool:
        """Handle an event; return whether it is news.

        Raises:
            MalformedMessageError: Its time is implausible.
        """
        self._clock.witness(event.ltime)
        content = event.name.encode("utf-8", "surrogateescape") + b"\0" + event.payload
        if event.ltime < self._first or not self._recent.is_news(event.ltime, self._clock.time, content):
            return False
        self._counters.user_events += 1
        self._keep(event)
        if event.coalesce:
            self._hold(event)
        else:
            self._say(event)
        return True

    def pass_on(self, event: UserEvent) -> None:
        """Forward another node's event.

        Raises:
            MalformedMessageError: It fits no packet.
        """
        data = event.encode()
        if not self._queue.add(data):
            raise MalformedMessageError(f"a user event of {len(data):,} bytes fits no packet: it is not forwarded")

    def ignore_before(self, ltime: int) -> None:
        """Ignore events from before ``ltime``."""
        self._first = max(self._first, ltime)

    def kept(self) -> tuple[UserEvent, ...]:
        """Return the events of the last 512 Lamport times, for nodes that missed some."""
        while self._kept and self._kept[0].ltime + SLOTS <= self._clock.time:
            self._drop_oldest()
        return tuple(each for each in self._kept if each.ltime + SLOTS > self._clock.time)

    def _keep(self, event: UserEvent) -> None:
        self._kept.append(event)
        self._kept_bytes += _size(event)
        while self._kept_bytes > MAX_KEPT_BYTES:
            self._drop_oldest()

    def _drop_oldest(self) -> None:
        self._kept_bytes -= _size(self._kept.popleft())

    def _hold(self, event: UserEvent) -> None:
        held = self._held.get(event.name)
        if held is None or event.ltime > held[0].ltime:
            self._held[event.name] = [event]
        elif event.ltime == held[0].ltime:
            held.append(event)
        if self._flush_timer is None:
            self._held_since = self._timers.now
        else:
            self._flush_timer.cancel()
        if len(self._held) > MAX_HELD:
            self._flush()
            return
        latest = self._held_since + COALESCE_SECONDS
        self._flush_timer = self._timers.at(min(self._timers.now + QUIESCENT_SECONDS, latest), self._flush)

    def _flush(self) -> None:
        held, self._held, self._flush_timer = self._held, {}, None
        for event in sorted((each for events in held.values() for each in events), key=lambda each: each.ltime):
            self._say(event)

    def _say(self, event: UserEvent) -> None:
        self._tell(
            UserEventReceived(
                name=printable(event.name), payload=event.payload, ltime=event.ltime, coalesce=event.coalesce
            )
        )


def _size(event: UserEvent) -> int:
    return len(event.name) + len(event.payload) + _RECORD_OVERHEAD
