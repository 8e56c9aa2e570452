"""One member of a cluster, with tags and a status, graceful leaving, user events, queries, forgetting: the entry points.

::

    receive_datagram, answer_stream, stream_answered, handle_timer, join, leave, ...  -->  datagrams, streams, events

Every entry point takes ``now`` and first advances the clock, which detects whether this process was suspended; none
bypasses it. A pure state machine: what the messages mean is in :mod:`proglog.gossip.serf_layer`, failure detection in
:mod:`proglog.gossip.swim`.
"""

from collections.abc import Callable, Mapping
from dataclasses import replace

from proglog.errors import NotFoundError, PreconditionError
from proglog.gossip.address_book import KnownAddress
from proglog.gossip.asking import GossipQuery, QueryAnswer
from proglog.gossip.counters import Vitals
from proglog.gossip.events import Event, NameStanding
from proglog.gossip.framing import StreamMessage
from proglog.gossip.lamport import ClockTimes
from proglog.gossip.member import Address, Member, Status
from proglog.gossip.outbox import StreamToOpen
from proglog.gossip.serf_layer import SerfLayer
from proglog.gossip.serf_messages import Intent
from proglog.gossip.wire import Type, encode, encode_tags, printable


class Serf(SerfLayer):
    """One member of a cluster."""

    # Driving

    def start(self, now: float) -> None:
        """Announce this node, and begin to probe and gossip."""
        self._timers.advance(now)
        self._swim.start()
        self._timers.after(self._config.reap_interval, self._reap)
        self._book.start(self._known, self._calls.call_due)

    def receive_datagram(self, data: bytes, source: Address, now: float) -> None:
        """Handle a datagram; never raises."""
        self._timers.advance(now)
        self._swim.receive_datagram(data, source)

    def answer_stream(self, message: StreamMessage, now: float) -> bytes | None:
        """Return the reply to a request on a stream; ``None``: close it.

        Raises:
            MalformedMessageError: The request is malformed.
        """
        self._timers.advance(now)
        return self._swim.answer_stream(message)

    def stream_answered(self, stream_id: int, message: StreamMessage, now: float) -> None:
        """Handle the reply on a stream of :meth:`streams_to_open`."""
        self._timers.advance(now)
        self._swim.outbox.stream_answered(stream_id, message)

    def stream_failed(self, stream_id: int, reason: str, now: float) -> None:
        """Handle the failure of a stream of :meth:`streams_to_open`."""
        self._timers.advance(now)
        self._swim.outbox.stream_failed(stream_id, reason)

    def handle_timer(self, now: float) -> None:
        """Run what is due; call it after feeding all datagrams that have arrived."""
        self._timers.advance(now)
        self._timers.run_due()

    def next_deadline(self) -> float | None:
        """Return the time of the next call of :meth:`handle_timer`."""
        return self._timers.next_deadline()

    def datagrams_to_send(self) -> list[tuple[bytes, Address]]:
        """Return and forget the datagrams to send."""
        return self._swim.outbox.take_datagrams()

    def streams_to_open(self) -> list[StreamToOpen]:
        """Return and forget the streams to open."""
        return self._swim.outbox.take_streams()

    def events(self) -> list[Event]:
        """Return and forget the pending events."""
        if not self._events:
            return []
        events, self._events = self._events, []
        return events

    def refuse_stream(self, reason: str, source: Address | None, now: float) -> bytes:
        """Report a stream that was malformed or not allowed; return the error message for its peer."""
        self._timers.advance(now)
        self.malformed(reason, source)
        return self._swim.outbox.framed(encode(Type.ERROR, {"Error": reason}))

    # Acting

    def join(self, address: Address, now: float) -> int:
        """Exchange states with the node at ``address``; a :class:`JoinFinished` with the returned number reports it."""
        self._timers.advance(now)
        return self._calls.join(address)

    def set_tags(self, tags: Mapping[str, str], now: float) -> None:
        """Set and broadcast this node's tags.

        Raises:
            MalformedMessageError: They need more than 512 bytes.
        """
        self._timers.advance(now)
        meta = encode_tags(tags)
        self.tags = dict(tags)
        self._swim.beliefs.update_meta(meta)

    def leave(self, now: float) -> None:
        """Leave on purpose; :class:`LeaveFinished` follows once the departure had time to spread. Idempotent."""
        self._timers.advance(now)
        if self._departure.begun:
            return
        self._departure.begun = True
        intent = Intent(self.name, self._clock.increment(), leaving=True)
        self._take_intent(intent)
        self._departure.begin(intent)

    def force_leave(self, name: str, now: float, *, prune: bool) -> None:
        """Declare that a failed or leaving member has left for good; with ``prune``, forget it once it is gone.

        A member that is in fact alive refutes, and stays.

        Raises:
            NotFoundError: No member of that name is known.
            PreconditionError: It is this node, or alive.
        """
        self._timers.advance(now)
        node = next((node for node in self._roster if printable(node.name) == name), None)
        if node is None and not self._book.forget(name):
            raise NotFoundError(f"there is no member {name!r}: `members` lists those that are known")
        if node is not None and (node.name == self.name or node.status is Status.ALIVE):
            raise PreconditionError(
                f"{name!r} is {node.status.value}: only a member that failed, left or is leaving can be removed; stop it first"
            )
        self._book.forget(name)
        wire_name = name if node is None else node.name  # one that is only remembered was written as text
        intent = Intent(wire_name, self._clock.increment(), leaving=True, prune=prune)
        self._roster.hear(intent)
        self._intent_queue.add(intent.encode(), key=intent.name)

    def send_event(self, name: str, payload: bytes, now: float, *, coalesce: bool = False) -> int:
        """Broadcast a user event, to this node as well; return its Lamport time.

        Raises:
            InvalidRequestError: It has no name, or is too long.
        """
        self._timers.advance(now)
        return self._user_events.send(name, payload, coalesce=coalesce)

    def ask(
        self, question: GossipQuery, now: float, answered: Callable[[QueryAnswer], None], finished: Callable[[], None]
    ) -> Callable[[], None]:
        """Send a query; see :meth:`proglog.gossip.asking.Asking.ask`."""
        self._timers.advance(now)
        return self._asking.ask(question, answered, finished)

    def query_timeout(self) -> float:
        """Return the default timeout of a query in a cluster of this size, in seconds."""
        return self._asking.default_timeout()

    def respond(self, query_id: int, payload: bytes, now: float) -> None:
        """Answer a query; see :meth:`proglog.gossip.answering.Answering.respond`."""
        self._timers.advance(now)
        self._answering.respond(query_id, payload)

    def members(self) -> list[Member]:
        """Return the members at this moment, this node included, by name."""
        return [node.snapshot() for node in self._roster]

    def status_of(self, name: str) -> str:
        """Return the status of the member of that name on the wire; empty: there is none."""
        node = self._roster.get(name)
        return "" if node is None else str(node.status)

    def knows(self, host: str) -> bool:
        """Return whether a member is at ``host``, or was."""
        return any(node.address[0] == host for node in self._roster)

    def vitals(self) -> Vitals:
        """Return the current state of this node's gossip."""
        return Vitals(
            health_score=self._swim.awareness.score,
            counters=replace(self._swim.counters),
            queues={
                "members": len(self._swim.outbox.broadcasts),
                "intents": len(self._intent_queue),
                "queries": len(self._query_queue),
                "events": len(self._event_queue),
            },
            coordinate_resets=self._vivaldi.resets,
            clocks=self.clocks(),
        )

    def clocks(self) -> ClockTimes:
        """Return the clocks for a later run: all events and queries up to them were delivered."""
        return ClockTimes(
            intents=self._clock.time - 1, events=self._event_clock.time - 1, queries=self._query_clock.time - 1
        )

    def known_addresses(self) -> list[KnownAddress]:
        """Return the addresses where members are or were, for a later run."""
        return self._book.known()

    def unanswered(self) -> list[Address]:
        """Return the given addresses that have never answered."""
        return self._book.unanswered

    @property
    def name_standing(self) -> NameStanding:
        """Whether this node's name is its own."""
        return self._name_vote.standing

    @property
    def rival(self) -> Address | None:
        """Return the address of the other node of this name, while the name is contested or lost."""
        return self._name_vote.rival
