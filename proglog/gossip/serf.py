"""Serf above SWIM: members with tags and a status, graceful leaving, user events, queries, forgetting.

A departure counts as *left* after an intent, gossiped before the node goes, or after its own announcement; without
either it is *failed*. Intents and events carry Lamport times, so that stale ones are recognised::

    receive_datagram, answer_stream, stream_answered, handle_timer, join, leave, ...  -->  datagrams, streams, events

Every entry point takes ``now`` and first advances the clock, which detects whether this process was suspended; none
bypasses it. A pure state machine, as :mod:`proglog.gossip.swim` below it. Source: serf ``serf.go``, ``delegate.go``;
the tables of docs/concepts/gossip.md.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from random import Random

from proglog.errors import NotFoundError, PreconditionError
from proglog.gossip.address_book import AddressBook, KnownAddress
from proglog.gossip.answering import FLAG_NO_BROADCAST, Answering
from proglog.gossip.asking import Asking, GossipQuery, QueryAnswer
from proglog.gossip.calls import Calls
from proglog.gossip.config import GossipConfig
from proglog.gossip.coordinates import Coordinate, Vivaldi
from proglog.gossip.counters import Vitals
from proglog.gossip.departure import Departure
from proglog.gossip.errors import MalformedMessageError
from proglog.gossip.events import (
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
    SuspicionRefuted,
)
from proglog.gossip.framing import StreamMessage
from proglog.gossip.keyring import Keyring
from proglog.gossip.lamport import ClockTimes, LamportClock
from proglog.gossip.member import Address, Member, Node, Status
from proglog.gossip.member_rules import MemberRules
from proglog.gossip.name_vote import NameVote
from proglog.gossip.outbox import StreamToOpen
from proglog.gossip.recent import Recent
from proglog.gossip.roster import Roster
from proglog.gossip.serf_messages import Intent, Query, QueryResponse, SerfState, UserEvent
from proglog.gossip.swim import Swim
from proglog.gossip.user_events import UserEvents
from proglog.gossip.wire import SerfType, Type, decode, encode, encode_tags, printable

MAX_EVENTS = 4096
"""Most undelivered events; beyond this, diagnostics are dropped first."""


_NEVER_RAN = ClockTimes()
_ALL = MemberRules()


class Serf:
    """One member of a cluster."""

    def __init__(
        self,
        *,
        name: str,
        address: Address,
        tags: Mapping[str, str],
        config: GossipConfig,
        keyring: Keyring | None,
        random: Random,
        now: float,
        label: bytes = b"",
        rules: MemberRules = _ALL,
        known: Sequence[KnownAddress] = (),
        clocks: ClockTimes = _NEVER_RAN,
        replay: bool = False,
    ) -> None:
        """Make a member that has not announced itself yet.

        Args:
            name: Unique in the cluster.
            address: IP address and port at which others reach this node.
            tags: Its tags; names and values take at most 512 bytes.
            config: Timing.
            keyring: Keys that seal every message; ``None``: plain text.
            random: The source of all randomness; the system's in production, since nonces come from it.
            now: Monotonic seconds.
            label: The cluster's, on every packet and stream.
            rules: Who may be a member.
            known: Addresses where members may be, called from :meth:`start` on.
            clocks: Of an earlier run.
            replay: Whether to deliver user events from before this node joined.
        """
        self.name = name
        self.tags = dict(tags)
        self._config = config
        self._random = random
        self._clock, self._query_clock = LamportClock(clocks.intents), LamportClock(clocks.queries)
        self._event_clock = LamportClock(clocks.events)
        self._events: list[Event] = []
        self._recent_queries, self._first_query = Recent(), clocks.queries + 1 if clocks.queries else 0
        self._replay = replay or bool(clocks.events)
        self._swim = Swim(
            name=name,
            address=address,
            meta=encode_tags(tags),
            config=config,
            keyring=keyring,
            label=label,
            rules=rules,
            random=random,
            delegate=self,
            now=now,
        )
        self._timers = self._swim.timers
        self._roster = Roster(self._swim.nodes, self._clock, self._timers, self._tell_member, self._swim.counters)
        self._intent_queue, self._query_queue, event_queue = (self._swim.outbox.user_queue() for _ in range(3))
        self._event_queue = event_queue
        self._user_events = UserEvents(
            self._event_clock, event_queue, self._timers, self._tell, self._swim.counters, seen=clocks.events
        )
        nodes, beliefs, outbox = self._swim.nodes, self._swim.beliefs, self._swim.outbox
        self._asking = Asking(
            name,
            address,
            self._query_clock,
            nodes,
            config,
            random,
            self._timers,
            lambda query: self._take_query(query, None),
        )
        self._answering = Answering(
            name,
            self._roster,
            keyring,
            random,
            nodes,
            outbox,
            self._timers,
            lambda operation: self._tell(KeyringChanged(operation=operation)),
            self._claimed_by,
            self._tell,
            self._asking.take,
        )
        self._name_vote = NameVote(
            nodes,
            outbox,
            self._timers,
            random,
            self._query_clock,
            joins=bool(known),
            call=self._swim.exchange.join,
            tell=self._tell,
        )
        self._departure = Departure(
            nodes, beliefs, outbox, self._intent_queue, config, self._timers, lambda: self._tell(LeaveFinished())
        )
        self._vivaldi = Vivaldi(random)
        self._book = AddressBook(address, self._swim.nodes, config, random, self._timers)
        self._known = known
        self._calls = Calls(
            self._book,
            self._swim.exchange,
            nodes,
            self._departure,
            self._tell,
            self._announce_join,
            self._name_vote.ask,
        )

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

    # What SWIM reports

    def node_joined(self, node: Node) -> None:
        """Handle a node that came alive."""
        self._roster.joined(node)

    def node_left(self, node: Node) -> None:
        """Handle a node that is dead or left."""
        self._roster.gone(node)

    def node_updated(self, node: Node) -> None:
        """Handle a node's change of tags."""
        self._roster.updated(node)

    def node_forgotten(self, node: Node) -> None:
        """Handle a departed member that was evicted to make room."""
        self._tell_member(MemberEventKind.REAP, node)

    def node_suspected(self, node: Node, accuser: str) -> None:
        """Handle a node that became suspect."""
        self._tell(MemberSuspected(name=printable(node.name), accuser=printable(accuser)))

    def refuted(self, incarnation: int) -> None:
        """Handle this node's refutation."""
        self._tell(SuspicionRefuted(incarnation=incarnation))

    def health_changed(self, unwell: bool) -> None:
        """Handle that this node became unwell, or well again."""
        self._tell(HealthChanged(unwell=unwell, score=self._swim.awareness.score))

    def node_conflict(self, name: str, address: Address) -> None:
        """Handle a claim to a known name from another address."""
        if name == self.name:
            self._claimed_by(address)
        self._tell(NameConflict(name=printable(name), address=address, local=name == self.name))

    def _claimed_by(self, address: Address) -> None:
        """Handle a node at ``address`` with this node's name."""
        if not self._departure.begun:
            self._name_vote.claimed_by(address)

    def user_message(self, data: bytes, source: Address | None) -> None:
        """Handle a Serf message.

        Raises:
            MalformedMessageError: It is malformed.
        """
        if not data:
            raise MalformedMessageError("an empty user message")
        kind, body = data[0], data[1:]
        match kind:
            case SerfType.RELAY:
                self._answering.relay(body)
            case SerfType.QUERY_RESPONSE:
                response = QueryResponse.read(body)
                self._name_vote.answered(response)
                self._asking.take(response)
            case SerfType.JOIN | SerfType.LEAVE:
                intent = Intent.read(body, leaving=kind == SerfType.LEAVE)
                if self._take_intent(intent):
                    self._intent_queue.add(intent.encode(), key=intent.name)
            case SerfType.USER_EVENT:
                fields = decode(body)
                event = UserEvent.read(fields, fields.ltime("LTime"))
                if self._user_events.receive(event):
                    self._user_events.pass_on(event)
            case SerfType.QUERY:
                self._take_query(Query.read(body), source)
            case _:
                raise MalformedMessageError(f"unknown Serf message type {kind}")

    def has_broadcasts(self) -> bool:
        """Return whether anything waits to be sent."""
        return bool(self._intent_queue or self._query_queue or self._event_queue)

    def take_broadcasts(self, limit_bytes: int, overhead_bytes: int, transmit_limit: int) -> list[bytes]:
        """Return messages for one packet: intents, then queries, then events."""
        taken: list[bytes] = []
        for queue in (self._intent_queue, self._query_queue, self._event_queue):
            messages = queue.take(limit_bytes, overhead_bytes, transmit_limit)
            limit_bytes -= sum(len(message) + overhead_bytes for message in messages)
            taken += messages
        return taken

    def local_state(self) -> bytes:
        """Return Serf's part of a full exchange."""
        members = list(self._roster)
        state = SerfState(
            ltime=self._clock.time,
            event_ltime=self._event_clock.time,
            query_ltime=self._query_clock.time,
            status_ltimes={node.name: node.ltime for node in members},
            left=tuple(node.name for node in members if node.status is Status.LEFT),
            events=self._user_events.kept(),
        )
        return state.encode()

    def merge_state(self, data: bytes, *, called: bool) -> None:
        """Merge Serf's part of a full exchange; skip malformed records, keep the rest.

        Args:
            data: As it came.
            called: Whether this node called the other one, to join it.

        Raises:
            MalformedMessageError: It is no such state.
        """
        state, wrong = SerfState.read(data)
        for clock, ltime in (
            (self._clock, state.ltime),
            (self._event_clock, state.event_ltime),
            (self._query_clock, state.query_ltime),
        ):
            if ltime > 0 and clock.believes(ltime - 1):
                clock.witness(ltime - 1)
            elif ltime > 0:
                wrong.append(f"the Lamport time {ltime} is implausibly far ahead of {clock.time}")
        self._calls.known_there = self.name in state.status_ltimes
        own = self._swim.nodes.own
        said_of_own = state.status_ltimes.get(self.name, 0)
        if said_of_own > own.ltime and not self._departure.begun and self._clock.believes(said_of_own):
            # An intent about this node that it never saw: perhaps a leave.
            self._clock.witness(said_of_own)
            self._announce_join()
        self._roster.hear_list(state.status_ltimes, state.left)
        if called and not self._calls.announced and not self._replay:
            self._user_events.ignore_before(state.event_ltime)
        for event in state.events:
            if self._event_clock.believes(event.ltime):
                self._user_events.receive(event)
        for reason in dict.fromkeys(wrong):
            self.malformed(f"in a full exchange: {reason}", None)

    def ack_payload(self) -> bytes:
        """Return this node's coordinate."""
        return self._vivaldi.own.encode()

    def measured(self, node: Node, seconds: float, payload: bytes) -> None:
        """Record a direct answer after ``seconds``, with the node's coordinate.

        Raises:
            MalformedMessageError: The coordinate is malformed.
        """
        coordinate = Coordinate.read(payload)
        if coordinate is not None:
            self._vivaldi.measured(node.name, coordinate, seconds)
            node.coordinate, self._swim.nodes.own.coordinate = coordinate, self._vivaldi.own

    def ignored(self, reason: str, source: Address | None) -> None:
        """Report ignored input: a diagnostic."""
        if len(self._events) < MAX_EVENTS:
            self._events.append(Ignored(reason=reason, source=source))

    def malformed(self, reason: str, source: Address | None) -> None:
        """Report input that is malformed or not allowed: a diagnostic."""
        self._swim.counters.malformed += 1
        if len(self._events) < MAX_EVENTS:
            self._events.append(Ignored(reason=reason, source=source, malformed=True))

    # Intents

    def _announce_join(self) -> None:
        intent = Intent(self.name, self._clock.time, leaving=False)
        self._roster.hear(intent)
        self._intent_queue.add(intent.encode(), key=self.name)

    def _take_intent(self, intent: Intent) -> bool:
        if intent.name == self.name and intent.leaving and not self._departure.begun and self._roster.is_news(intent):
            self._clock.witness(intent.ltime)
            self._announce_join()  # refute: this node isn't leaving
            return False
        return self._roster.hear(intent)

    # Queries

    def _take_query(self, query: Query, source: Address | None) -> None:
        self._query_clock.witness(query.ltime)
        if query.ltime < self._first_query or not self._recent_queries.is_news(
            query.ltime, self._query_clock.time, query.number.to_bytes(4, "big")
        ):
            return
        self._swim.counters.queries += 1
        data = query.encode()
        if not query.flags & FLAG_NO_BROADCAST and not self._query_queue.add(data):
            self.ignored(f"a query of {len(data):,} bytes fits no packet: it is not forwarded", source)
        self._answering.answer(query, self.tags, source)

    # Background

    def _reap(self) -> None:
        self._timers.after(self._config.reap_interval, self._reap)
        self._roster.reap(self._config)

    def _tell_member(self, kind: MemberEventKind, node: Node) -> None:
        if node.name != self.name:
            self._calls.note(kind, node)
        if node.gone:
            self._vivaldi.forget(node.name)
        self._tell(MemberEvent(kind=kind, member=node.snapshot()))

    def _tell(self, event: Event) -> None:
        self._events.append(event)
