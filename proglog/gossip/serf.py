"""Serf above SWIM: members with tags and a status, graceful leaving, user events, queries, forgetting.

What turns a departure into *left* is an intent, gossiped before the node goes; without one it is *failed*. Intents and
events carry Lamport times, so that old news is known as such::

    Serf.join, leave, set_tags, receive_datagram, answer_stream, handle_timer  -->  datagrams, streams, events

A pure state machine, as :mod:`proglog.gossip.swim` below it. Source: serf ``serf.go``, ``delegate.go``; the tables of
docs/concepts/gossip.md.
"""

from collections.abc import Mapping
from random import Random

from proglog.errors import NotFoundError, PreconditionError
from proglog.gossip.answering import FLAG_NO_BROADCAST, MAX_EVENT_BYTES, Answering
from proglog.gossip.broadcasts import BroadcastQueue
from proglog.gossip.config import GossipConfig
from proglog.gossip.errors import MalformedMessageError
from proglog.gossip.events import (
    Event,
    Ignored,
    JoinFinished,
    KeyringChanged,
    LeaveFinished,
    MemberEvent,
    MemberEventKind,
    NameConflict,
    UserEventReceived,
)
from proglog.gossip.framing import StreamMessage
from proglog.gossip.keyring import Keyring
from proglog.gossip.lamport import LamportClock
from proglog.gossip.member import Address, Member, Node, Status
from proglog.gossip.outbox import StreamToOpen
from proglog.gossip.recent import Recent
from proglog.gossip.roster import Entry, Roster
from proglog.gossip.swim import Swim
from proglog.gossip.wire import (
    Fields,
    SerfType,
    Type,
    decode,
    encode,
    encode_map,
    encode_tags,
    names_in,
    printable,
)

MAX_EVENTS = 4096
"""Undelivered events; beyond, diagnostics are dropped first."""
_COORDINATE = b"\x01" + encode_map({"Vec": [0.0] * 8, "Error": 1.5, "Adjustment": 0.0, "Height": 1e-5})


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
    ) -> None:
        """Make a member that has not announced itself yet.

        Args:
            name: Unique in the cluster.
            address: IP address and port at which others reach this node.
            tags: What it says about itself; with names and values at most 512 bytes.
            config: Timing.
            keyring: Keys that seal every message; ``None``: plain text.
            random: All chance; the system's in production, since nonces come from it.
            now: Monotonic seconds.
        """
        self.name = name
        self.tags = dict(tags)
        self._config = config
        self._random = random
        self._clock, self._event_clock, self._query_clock = LamportClock(), LamportClock(), LamportClock()
        self._roster = Roster(name, self._clock, self._tell_member)
        self._events: list[Event] = []
        self._recent_events, self._recent_queries = Recent(), Recent()
        self._calls = 0
        self._leaving = False
        self._swim = Swim(
            name=name,
            address=address,
            meta=encode_tags(tags),
            config=config,
            keyring=keyring,
            random=random,
            delegate=self,
            now=now,
        )
        self._timers = self._swim.timers
        self._answering = Answering(
            name,
            self._roster,
            keyring,
            random,
            self._swim.nodes,
            self._swim.outbox,
            lambda operation: self._tell(KeyringChanged(operation=operation)),
        )
        self._intent_queue, self._query_queue, self._event_queue = (
            BroadcastQueue(self._swim.outbox.arm_gossip) for _ in range(3)
        )

    # Driving

    def start(self, now: float) -> None:
        """Announce this node, and begin to probe and gossip."""
        self._swim.start(now)
        self._timers.after(self._config.reap_interval, self._reap)
        self._timers.after(self._random.uniform(0, self._config.reconnect_interval), self._reconnect)

    def receive_datagram(self, data: bytes, source: Address, now: float) -> None:
        """Take a datagram in; never raises."""
        self._swim.receive_datagram(data, source, now)

    def answer_stream(self, message: StreamMessage, now: float) -> bytes | None:
        """Return the reply to a request on a stream; ``None``: close it.

        Raises:
            MalformedMessageError: The request makes no sense.
        """
        return self._swim.answer_stream(message, now)

    def stream_answered(self, stream_id: int, message: StreamMessage, now: float) -> None:
        """Take in the reply on a stream of :meth:`streams_to_open`."""
        self._swim.stream_answered(stream_id, message, now)

    def stream_failed(self, stream_id: int, reason: str, now: float) -> None:
        """A stream of :meth:`streams_to_open` came to nothing."""
        self._swim.stream_failed(stream_id, reason, now)

    def handle_timer(self, now: float) -> None:
        """Run what is due, after all datagrams that had arrived were taken in."""
        self._swim.handle_timer(now)

    def next_deadline(self) -> float | None:
        """Return when :meth:`handle_timer` wants to be called."""
        return self._timers.next_deadline()

    def datagrams_to_send(self) -> list[tuple[bytes, Address]]:
        """Return what is to be sent, and forget it."""
        return self._swim.outbox.take_datagrams()

    def streams_to_open(self) -> list[StreamToOpen]:
        """Return the streams to open, and forget them."""
        return self._swim.outbox.take_streams()

    def events(self) -> list[Event]:
        """Return what happened, and forget it."""
        events, self._events = self._events, []
        return events

    def error_reply(self, reason: str) -> bytes:
        """Return what to tell a peer whose stream made no sense."""
        return self._swim.outbox.framed(encode(Type.ERROR, {"Error": reason}))

    # Acting

    def join(self, address: Address) -> int:
        """Exchange states with the node at ``address``; a :class:`JoinFinished` with the returned number says how."""
        self._calls += 1
        call_id = self._calls

        def finished(error: str) -> None:
            if not error:
                self._announce_join()
            self._tell(JoinFinished(call_id=call_id, address=address, error=error))

        self._swim.exchange.join(address, finished)
        return call_id

    def set_tags(self, tags: Mapping[str, str]) -> None:
        """Tell everybody this node's new tags.

        Raises:
            MalformedMessageError: They need more than 512 bytes.
        """
        meta = encode_tags(tags)
        self.tags = dict(tags)
        self._swim.beliefs.update_meta(meta)

    def leave(self) -> None:
        """Leave on purpose; a :class:`LeaveFinished` says when everybody had time to hear it. Idempotent."""
        if self._leaving:
            return
        self._leaving = True
        ltime = self._clock.time
        self._clock.increment()
        self._take_leave_intent(self.name, ltime, prune=False)
        self._swim.beliefs.leaving = True
        steps = {"intent": False}

        def said_intent() -> None:
            if not steps["intent"]:
                steps["intent"] = True
                timer.cancel()
                self._say_dead()

        timer = self._timers.after(self._config.broadcast_timeout, said_intent)
        if not self._swim.nodes.others_alive():
            said_intent()
            return
        message = encode(SerfType.LEAVE, {"LTime": ltime, "Node": self.name, "Prune": False})
        # Overtaken by the departure that follows, the intent would let it pass for a failure for a moment.
        for node in self._swim.nodes.told_in_person():
            self._swim.outbox.send_user(message, node.address)
        self._intent_queue.add(message, finished=said_intent)

    def force_leave(self, name: str, *, prune: bool) -> None:
        """Tell everybody that a member that failed has left for good; with ``prune``, to forget it at once.

        A member that hears it and lives says so: it stays.

        Raises:
            NotFoundError: Nobody of that name is known.
            PreconditionError: It is this node, or not gone.
        """
        entry = next((entry for entry in self._roster if printable(entry.node.name) == name), None)
        if entry is None:
            raise NotFoundError(f"there is no member {name!r}: `members` lists those that are known")
        if entry.node.name == self.name or entry.status not in (Status.FAILED, Status.LEFT):
            raise PreconditionError(
                f"{name!r} is {entry.status.value}: only a member that failed or left can be removed; stop it first"
            )
        ltime = self._clock.time
        self._clock.increment()
        self._roster.hear_leave(entry.node.name, ltime, self._timers.now, prune=prune)
        self._intent_queue.add(encode(SerfType.LEAVE, {"LTime": ltime, "Node": entry.node.name, "Prune": prune}))

    def _say_dead(self) -> None:
        alone = not self._swim.nodes.others_alive()
        done = {"told": False}

        def told() -> None:
            if not done["told"]:
                done["told"] = True
                timer.cancel()
                # Others go on probing for a while: who does not answer now counts as failed.
                delay = 0.0 if alone else self._config.leave_propagate_delay
                self._timers.after(delay, lambda: self._tell(LeaveFinished()))

        timer = self._timers.after(self._config.broadcast_timeout, told)
        self._swim.beliefs.leave(told)

    def members(self) -> list[Member]:
        """Return the members at this moment, this node included, by name."""
        return [entry.snapshot() for entry in self._roster]

    # What SWIM tells

    def node_joined(self, node: Node) -> None:
        """A node is alive that was not."""
        self._roster.joined(node, self._timers.now)

    def node_left(self, node: Node) -> None:
        """A node is dead, or says that it is gone."""
        self._roster.gone(node, self._timers.now)

    def node_updated(self, node: Node) -> None:
        """A node changed its tags."""
        self._roster.updated(node)

    def node_conflict(self, name: str, address: Address) -> None:
        """Somebody claims a known name at another address."""
        self._tell(NameConflict(name=printable(name), address=address, local=name == self.name))

    def user_message(self, data: bytes) -> None:
        """Take in a Serf message.

        Raises:
            MalformedMessageError: It makes no sense.
        """
        if not data:
            raise MalformedMessageError("an empty user message")
        kind, body = data[0], data[1:]
        if kind == SerfType.RELAY:
            self._answering.relay(body)
            return
        if kind == SerfType.QUERY_RESPONSE:
            return  # this node asks no queries
        fields = decode(body)
        match kind:
            case SerfType.JOIN:
                if self._roster.hear_join(fields.text("Node"), fields.ltime("LTime"), self._timers.now):
                    self._intent_queue.add(data)
            case SerfType.LEAVE:
                name, ltime = fields.text("Node"), fields.ltime("LTime")
                if self._take_leave_intent(name, ltime, prune=fields.flag("Prune")):
                    self._intent_queue.add(data)
            case SerfType.USER_EVENT:
                if self._take_user_event(
                    fields.ltime("LTime"), fields.text("Name", MAX_EVENT_BYTES), fields.raw("Payload", MAX_EVENT_BYTES)
                ):
                    self._event_queue.add(data)
            case SerfType.QUERY:
                self._take_query(fields, data)
            case _:
                raise MalformedMessageError(f"Serf message type {kind} is not known here")

    def has_broadcasts(self) -> bool:
        """Return whether anything waits to be sent."""
        return any((self._intent_queue, self._query_queue, self._event_queue))

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
        return encode(
            SerfType.PUSH_PULL,
            {
                "LTime": self._clock.time,
                "StatusLTimes": {entry.node.name: entry.ltime for entry in self._roster},
                "LeftMembers": [entry.node.name for entry in self._roster if entry.status is Status.LEFT],
                "EventLTime": self._event_clock.time,
                "Events": [],
                "QueryLTime": self._query_clock.time,
            },
        )

    def merge_state(self, state: bytes, *, join: bool) -> None:
        """Take in Serf's part of a full exchange.

        Raises:
            MalformedMessageError: It makes no sense.
        """
        del join
        if state[0] != SerfType.PUSH_PULL:
            raise MalformedMessageError(f"a state of Serf type {state[0]} is not known here")
        fields = decode(state[1:])
        for clock, name in (
            (self._clock, "LTime"),
            (self._event_clock, "EventLTime"),
            (self._query_clock, "QueryLTime"),
        ):
            time = fields.ltime(name)
            if time > 0:
                clock.witness(time - 1)
        left = dict.fromkeys(names_in(fields.each("LeftMembers")))
        status_ltimes = Fields(fields.map("StatusLTimes"))
        times = {name: status_ltimes.ltime(name) for name in names_in(fields.map("StatusLTimes"))}
        for name in left:
            self._take_leave_intent(name, times.get(name, 0) + 1, prune=False)
        for name, ltime in times.items():
            if name not in left:
                self._roster.hear_join(name, ltime, self._timers.now)
        for slot in fields.each("Events"):
            if isinstance(slot, dict):
                self._take_old_events(Fields(slot))

    def ack_payload(self) -> bytes:
        """Return this node's coordinate: the origin, with a large error, so that others do not rely on it."""
        return _COORDINATE

    def measured(self, node: Node, seconds: float, payload: bytes) -> None:
        """A node answered directly after ``seconds``; its coordinate is not used."""

    def ignored(self, reason: str, source: Address | None) -> None:
        """Something strange was received: a diagnostic."""
        if len(self._events) < MAX_EVENTS:
            self._events.append(Ignored(reason=reason, source=source))

    # Intents

    def _announce_join(self) -> None:
        ltime = self._clock.time
        self._roster.hear_join(self.name, ltime, self._timers.now)
        self._intent_queue.add(encode(SerfType.JOIN, {"LTime": ltime, "Node": self.name}))

    def _take_leave_intent(self, name: str, ltime: int, *, prune: bool) -> bool:
        if name == self.name and not self._leaving and self._roster.is_news(name, ltime):
            self._clock.witness(ltime)
            self._announce_join()  # somebody says that this node leaves: it does not
            return False
        return self._roster.hear_leave(name, ltime, self._timers.now, prune=prune)

    # User events

    def _take_user_event(self, ltime: int, name: str, payload: bytes) -> bool:
        self._event_clock.witness(ltime)
        content = name.encode("utf-8", "surrogateescape") + b"\0" + payload
        if not self._recent_events.is_news(ltime, self._event_clock.time, content):
            return False
        self._tell(UserEventReceived(name=printable(name), payload=payload, ltime=ltime))
        return True

    def _take_old_events(self, slot: Fields) -> None:
        for event in slot.each("Events"):
            if isinstance(event, dict):
                fields = Fields(event)
                self._take_user_event(
                    slot.ltime("LTime"), fields.text("Name", MAX_EVENT_BYTES), fields.raw("Payload", MAX_EVENT_BYTES)
                )

    # Queries

    def _take_query(self, fields: Fields, data: bytes) -> None:
        ltime, number, flags = fields.ltime("LTime"), fields.uint("ID"), fields.uint("Flags")
        self._query_clock.witness(ltime)
        if not self._recent_queries.is_news(ltime, self._query_clock.time, number.to_bytes(4, "big")):
            return
        if not flags & FLAG_NO_BROADCAST:
            self._query_queue.add(data)
        self._answering.answer(fields, self.tags)

    # Background

    def _reap(self) -> None:
        self._timers.after(self._config.reap_interval, self._reap)
        self._roster.reap(self._config, self._timers.now)

    def _reconnect(self) -> None:
        self._timers.after(self._config.reconnect_interval, self._reconnect)
        failed = [entry for entry in self._roster if entry.status is Status.FAILED]
        alive = len(self._swim.nodes.others_alive())
        if not failed or self._leaving or self._random.random() > len(failed) / max(1, alive):
            return
        node = self._random.choice(failed).node
        self._swim.exchange.join(node.address, lambda _error: None)

    def _tell_member(self, kind: MemberEventKind, entry: Entry) -> None:
        self._tell(MemberEvent(kind=kind, member=entry.snapshot()))

    def _tell(self, event: Event) -> None:
        self._events.append(event)
