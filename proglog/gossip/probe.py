"""The failure detector's round: one node a tick is asked, first directly, then through others and over TCP.

::

    tick ---- ping ----> target          0                 ack: alive, health - 1
      |
      +-- no ack after probe_timeout:    0.5 s             indirect pings through others, ping over TCP
      |                                                    ack: alive; only TCP: alive, but UDP is broken
      +-- still none after               1 s * (health+1)  suspect; health + missing nacks

A nack from a helper says: I am here, the target did not answer *me*. Missing nacks mean that this node is the sick one.

Source: SWIM, section 3.1; Lifeguard, section 4.1; memberlist ``state.go`` (``probeNode``).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from proglog.gossip.member import Node, State
from proglog.gossip.wire import Type, encode

if TYPE_CHECKING:
    from proglog.gossip.framing import StreamMessage
    from proglog.gossip.swim import Swim

_MIN_TCP_TIMEOUT = 0.1


@dataclass(slots=True, eq=False)
class _Round:
    sequence: int
    node: Node
    started: float
    ends: float
    asked_others: bool = False
    tcp_answered: bool = False
    nacks_expected: int = 0
    nacks: int = 0


class Prober:
    """Probes the nodes of a :class:`Swim` along a shuffled ring, one at a time."""

    def __init__(self, swim: Swim) -> None:
        """Probe nobody until the first :meth:`tick`."""
        self._swim = swim
        self._ring: list[str] = []
        self._next = 0
        self._round: _Round | None = None

    def add(self, name: str) -> None:
        """Probe ``name`` from now on, from a random place of the ring."""
        self._ring.insert(self._swim.random.randint(0, len(self._ring)), name)

    def tick(self) -> None:
        """Begin a round, unless one is under way: a sick node's takes longer than a tick."""
        swim = self._swim
        node = None if self._round is not None or swim.leaving else self._choose()
        if node is None:
            return
        budget = swim.awareness.scale(swim.config.probe_interval)
        round_ = self._round = _Round(swim.next_sequence(), node, swim.now, swim.now + budget)
        ping = swim.ping_message(round_.sequence, node.name)
        if node.state is State.SUSPECT:
            # The suspect hears of it together with the ping, and can refute at once.
            swim.send([ping, swim.accusation(node)], node)
        else:
            swim.send_with_gossip([ping], node.address)
        swim.after(swim.config.probe_timeout, lambda: self._ask_others(round_))
        swim.after(budget, lambda: self._conclude(round_))

    def take_ack(self, sequence: int, payload: bytes) -> None:
        """Take an ack as the answer to the round under way, if it is one."""
        round_ = self._round
        if round_ is None or round_.sequence != sequence:
            return
        self._round = None
        if not round_.asked_others:
            self._swim.awareness.apply(-1)
            self._swim.measured(round_.node, self._swim.now - round_.started, payload)

    def take_nack(self, sequence: int) -> None:
        """Count a helper that is there."""
        if self._round is not None and self._round.sequence == sequence:
            self._round.nacks += 1

    def _choose(self) -> Node | None:
        for _ in range(len(self._ring) + 1):
            if self._next >= len(self._ring):
                self._wrap()
            node = self._swim.nodes[self._ring[self._next]]
            self._next += 1
            if node.name != self._swim.name and not node.gone:
                return node
        return None

    def _wrap(self) -> None:
        """Forget those long gone, and go round in another order."""
        swim = self._swim
        for name in [name for name in self._ring if name != swim.name and swim.is_long_gone(swim.nodes[name])]:
            del swim.nodes[name]
            self._ring.remove(name)
        swim.random.shuffle(self._ring)
        self._next = 0

    def _ask_others(self, round_: _Round) -> None:
        if self._round is not round_:
            return
        swim, node = self._swim, round_.node
        round_.asked_others = True
        helpers = swim.pick(swim.config.indirect_checks, lambda other: other.state is State.ALIVE and other is not node)
        for helper in helpers:
            nack = helper.speaks(4)
            round_.nacks_expected += nack
            request = {"SeqNo": round_.sequence, "Target": node.ip, "Port": node.port, "Node": node.name, "Nack": nack}
            swim.send_with_gossip([encode(Type.INDIRECT_PING, request | swim.source())], helper.address)
        if node.speaks(3):
            self._ping_over_tcp(round_)

    def _ping_over_tcp(self, round_: _Round) -> None:
        swim, node = self._swim, round_.node

        def replied(message: StreamMessage | None, _error: str) -> None:
            if message is not None and message.kind == Type.ACK:
                round_.tcp_answered = message.fields.uint("SeqNo") == round_.sequence

        ping = swim.ping_message(round_.sequence, node.name)
        swim.open(node.address, ping, max(_MIN_TCP_TIMEOUT, round_.ends - swim.now), replied)

    def _conclude(self, round_: _Round) -> None:
        if self._round is not round_:
            return
        self._round = None
        swim, node = self._swim, round_.node
        if round_.tcp_answered:
            swim.ignored(f"{node.name!r} answers over TCP but not over UDP", node.address)
            return
        swim.awareness.apply(round_.nacks_expected - round_.nacks if round_.nacks_expected else 1)
        swim.accuse(node.name, node.incarnation, swim.name)
