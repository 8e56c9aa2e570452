"""Serf's layer above SWIM: what the failure detector reports, what Serf's messages mean, what a full exchange carries.

A departure counts as *left* after an intent, gossiped before the node goes, or after its own announcement; without
either it is *failed*. Intents and events carry Lamport times, so that stale ones are recognised. This module assembles
the layer's parts and is SWIM's delegate; :mod:`proglog.gossip.serf` has the entry points.

Source: serf ``serf.go``, ``delegate.go``; the tables of docs/concepts/gossip.md.
"""

from collections.abc import Mapping, Sequence
from random import Random

from proglog.gossip.address_book import AddressBook, KnownAddress
from proglog.gossip.answering import FLAG_NO_BROADCAST, Answering
from proglog.gossip.asking import Asking
from proglog.gossip.calls import Calls
from proglog.gossip.config import GossipConfig
from proglog.gossip.coordinates import Coordinate, Vivaldi
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
    SuspicionRefuted,
)
from proglog.gossip.keyring import Keyring
from proglog.gossip.lamport import ClockTimes, LamportClock
from proglog.gossip.member import Address, Node, Status
from proglog.gossip.member_rules import MemberRules
from proglog.gossip.name_vote import NameVote
from proglog.gossip.recent import Recent
from proglog.gossip.roster import Roster
from proglog.gossip.serf_messages import Intent, Query, QueryResponse, SerfState, UserEvent
from proglog.gossip.swim import Swim
from proglog.gossip.user_events import UserEvents
from proglog.gossip.wire import SerfType, decode, encode_tags, printable

MAX_EVENTS = 4096
"""Most undelivered events; beyond this, diagnostics are dropped first."""


_NEVER_RAN = ClockTimes()
_ALL = MemberRules()


class SerfLayer:
    """The parts of one member above SWIM, and SWIM's delegate."""

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
