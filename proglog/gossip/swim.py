"""SWIM with Lifeguard, on memberlist's wire: failure detection by probing, suspicion and gossip.

A pure state machine: bytes and ``now`` in; datagrams, streams to open, and calls of its delegate out. This module
assembles its parts and dispatches messages to them::

    probe.py     ping -- no ack in probe_timeout --> ask others to ping, and try TCP -- none by the end --> suspect
    beliefs.py   suspect -- not refuted before the suspicion's deadline --> dead; an accused node refutes
    outbox.py    news is sent a few times, piggybacked on pings or in gossip rounds
    sync.py      a periodic full exchange with a random member repairs what gossip missed
    nodes.py     the known nodes, and the order in which they are probed

Sources: Das et al. 2002; Dadgar et al. 2018; memberlist ``state.go``.
"""

from collections.abc import Callable
from random import Random

from proglog.gossip import messages
from proglog.gossip.allowance import Allowance
from proglog.gossip.awareness import Awareness
from proglog.gossip.beliefs import Beliefs
from proglog.gossip.config import GossipConfig
from proglog.gossip.counters import Counters
from proglog.gossip.delegate import Delegate
from proglog.gossip.errors import MalformedMessageError
from proglog.gossip.framing import StreamMessage, unpack
from proglog.gossip.keyring import Keyring
from proglog.gossip.member import Address
from proglog.gossip.member_rules import MemberRules
from proglog.gossip.messages import AliveClaim, Sender
from proglog.gossip.nodes import Nodes
from proglog.gossip.outbox import Outbox
from proglog.gossip.probe import Helper, Prober
from proglog.gossip.sync import Exchange
from proglog.gossip.timers import Timers
from proglog.gossip.wire import Fields, Type, decode

MAX_COORDINATE_BYTES = 1024
MEMBERS_COMPRESSED, STRANGERS_COMPRESSED = 512 * 1024, 64 * 1024
"""Most compressed datagram bytes decompressed a second: 0.1 s and 0.015 s of work."""


class Swim:
    """One node's view of its cluster."""

    def __init__(
        self,
        *,
        name: str,
        address: Address,
        meta: bytes,
        config: GossipConfig,
        keyring: Keyring | None,
        label: bytes,
        rules: MemberRules,
        random: Random,
        delegate: Delegate,
        now: float,
    ) -> None:
        """Make a node that has not announced itself yet; the arguments are :class:`proglog.gossip.serf.Serf`'s."""
        self.awareness = Awareness(config.awareness_max, delegate.health_changed)
        self.timers = Timers(now, config.probe_timeout)
        self.nodes = Nodes(name, config, random, self.timers, delegate.node_forgotten)
        self.outbox = Outbox(self.nodes, config, keyring, label, random, self.timers, delegate)
        self.counters = Counters()
        self.beliefs = Beliefs(
            self.nodes, self.outbox, self.awareness, rules, config, self.timers, delegate, self.counters
        )
        self.exchange = Exchange(
            self.nodes,
            self.beliefs,
            self.outbox,
            config,
            self.timers,
            delegate,
            self.counters,
            default_port=address[1],
        )
        self._sender = Sender(name, address)
        self._prober = Prober(
            self._sender,
            self.nodes,
            self.beliefs,
            self.outbox,
            self.awareness,
            config,
            self.timers,
            delegate,
            self.counters,
        )
        self._helper = Helper(self._sender, self.nodes, self.outbox, config, self.timers)
        self._members_work = Allowance("bytes of members to decompress", MEMBERS_COMPRESSED, self.timers)
        self._strangers_work = Allowance("bytes of strangers to decompress", STRANGERS_COMPRESSED, self.timers)
        self._meta = meta
        self._config = config
        self._keyring = keyring
        self._label = label
        self._rules = rules
        self._random = random
        self._delegate = delegate
        self._handlers: dict[int, Callable[[Fields, Address, int], None]] = {
            Type.PING: self._take_ping,
            Type.INDIRECT_PING: lambda fields, source, _size: self._helper.take_request(fields, source),
            Type.ACK: self._take_ack,
            Type.NACK: lambda fields, source, _size: self._prober.take_nack(fields.uint("SeqNo"), source),
            Type.ALIVE: self._take_alive,
            Type.SUSPECT: self._take_suspect,
            Type.DEAD: self._take_dead,
        }
        """Of each kind of message in a datagram: its fields, its sender's address, the datagram's bytes."""

    # Driving

    def start(self) -> None:
        """Announce this node and begin to probe and gossip."""
        self.beliefs.announce(self._sender.ip, self._sender.port, self._meta)
        interval = self._config.probe_interval
        self.timers.repeat(interval, self._prober.tick, first=self._random.uniform(0, interval))
        self.exchange.start(self._random)

    # Datagrams

    def receive_datagram(self, data: bytes, source: Address) -> None:
        """Handle a datagram; a malformed one is a diagnostic, never an error."""
        if not self._rules.allows(source[0]):
            self._delegate.malformed("a datagram from a network that is not allowed here", source)
            return
        try:
            parts = unpack(data, self._keyring, lambda size: self._spend(size, source), label=self._label)
        except MalformedMessageError as exc:
            self._delegate.malformed(str(exc), source)
            return
        pinged = False
        for part in parts:
            if part[0] <= Type.INDIRECT_PING:
                if pinged:
                    self._delegate.malformed("more than one ping in a datagram", source)
                    continue
                pinged = True
            try:
                self._take_message(part, source, len(data))
            except MalformedMessageError as exc:
                self._delegate.malformed(str(exc), source)

    def _spend(self, compressed_bytes: int, source: Address) -> None:
        is_member = self.nodes.member_at(source) is not None
        (self._members_work if is_member else self._strangers_work).spend(compressed_bytes)

    def _take_message(self, message: bytes, source: Address, size: int) -> None:
        kind, body = message[0], message[1:]
        handler = self._handlers.get(kind)
        if handler is not None:
            handler(decode(body), source, size)
        elif kind == Type.USER:
            self._delegate.user_message(body, source)
        else:
            raise MalformedMessageError(f"unknown message type {kind} in a datagram")

    def _take_ack(self, ack: Fields, _source: Address, _size: int) -> None:
        sequence = ack.uint("SeqNo")
        if not self._helper.take_ack(sequence):
            self._prober.take_ack(sequence, ack.raw("Payload", MAX_COORDINATE_BYTES))

    def _take_alive(self, claim: Fields, _source: Address, _size: int) -> None:
        self.beliefs.take_alive(AliveClaim.read(claim, name="Node", default_port=self._sender.port))

    def _take_suspect(self, claim: Fields, _source: Address, _size: int) -> None:
        self.beliefs.accuse(claim.text("Node"), claim.uint("Incarnation"), claim.text("From"))

    def _take_dead(self, claim: Fields, _source: Address, _size: int) -> None:
        self.beliefs.take_dead(claim.text("Node"), claim.uint("Incarnation"), claim.text("From"))

    def _take_ping(self, ping: Fields, source: Address, size: int) -> None:
        """Answer; a stranger gets no coordinate, and no answer longer than the ``size`` of its ping."""
        if self._is_for_another(ping):
            self._delegate.ignored(f"a ping for {ping.text('Node')!r}: this is {self._sender.name!r}", source)
            return
        address, member = messages.reply_to(ping, source, self.nodes)
        ack = messages.ack(ping.uint("SeqNo"), None if member is None else self._delegate.ack_payload())
        if member is not None:
            self.beliefs.heard_from(member)
            self.outbox.send_with_gossip([ack, *self.beliefs.refutation()], address)
        elif len(ack) <= size:
            self.outbox.send_plain(ack, address)
        else:
            raise MalformedMessageError("a stranger's ping that is shorter than its answer")

    def _is_for_another(self, ping: Fields) -> bool:
        return ping.text("Node") not in ("", self._sender.name)

    # Streams

    def answer_stream(self, message: StreamMessage) -> bytes | None:
        """Return the reply to a request that came on a stream; ``None``: there is none.

        Raises:
            MalformedMessageError: The request is malformed.
        """
        match message.kind:
            case Type.PUSH_PULL:
                return self.outbox.framed(self.exchange.answer(message))
            case Type.PING if not self._is_for_another(message.fields):
                return self.outbox.framed(messages.ack(message.fields.uint("SeqNo")))
            case Type.PING:
                return None
            case Type.USER:
                self._delegate.user_message(message.state, None)
                return None
        raise MalformedMessageError(f"unknown message type {message.kind} on a stream")
