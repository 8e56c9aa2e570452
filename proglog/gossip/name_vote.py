"""The vote on this node's name, held among the members when another node has the same name.

::

    unasked ---> held         most answers know the name at this address
       |          |
       v          v
    contested ----------> lost      the other node is alive, and fewer than half know the name here
       |
       +---------> held       most know it here; or the other node is silent, and no voter knows it

A joining node asks for its name before any conflict. In a contest, the other node is called as a seed is: it learns of
the conflict, and proves that it is alive. A silent one may be this node's own previous run at another address: then the
vote repeats until the members have found that one dead. A tie goes against a node that has just joined; between two
established nodes, the lower address wins.

Source: serf ``serf.go`` (``resolveNodeConflict``), whose votes are broadcast, end without checking the other node, and
are lost on a tie.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from random import Random

from proglog.gossip.answering import FLAG_NO_BROADCAST, STATUS_NUMBERS
from proglog.gossip.errors import MalformedMessageError
from proglog.gossip.events import NameStanding, NameVoted
from proglog.gossip.lamport import LamportClock
from proglog.gossip.member import Address, Status, address_of
from proglog.gossip.nodes import Nodes
from proglog.gossip.outbox import Outbox
from proglog.gossip.serf_messages import Query, QueryResponse
from proglog.gossip.timers import Timer, Timers
from proglog.gossip.wire import SerfType, decode

MAX_VOTERS = 64
ROUND_SECONDS = 1.0
"""Time limit for the answers of one round."""
PAUSE_SECONDS = 0.5
"""Seconds between two rounds."""
MAX_ROUNDS = 5
"""Rounds without a majority before a tie is broken, or a silent rival without votes is dropped."""
NEWCOMER_SECONDS = 30.0
"""Age below which a node that joined others, and is unconfirmed by them, loses a tie."""
SETTLED_SECONDS = 60.0
"""How long a rival that lost cannot reopen the contest."""
MAX_SETTLED = 64


@dataclass(slots=True)
class _Round:
    rival: Address | None
    ltime: int
    number: int
    voters: frozenset[str]
    answers: dict[str, Address | None] = field(default_factory=dict)
    """Address at which each voter knows the name; ``None`` if it does not."""

    def count(self, own: Address) -> tuple[int, int]:
        """Return how many know the name at ``own``, and how many know it at all."""
        named = [each for each in self.answers.values() if each is not None]
        return named.count(own), len(named)


class NameVote:
    """Asks, counts, and emits :class:`NameVoted` when the standing of the name changes."""

    def __init__(
        self,
        nodes: Nodes,
        outbox: Outbox,
        timers: Timers,
        random: Random,
        query_clock: LamportClock,
        *,
        joins: bool,
        call: Callable[[Address, Callable[[str], None]], None],
        tell: Callable[[NameVoted], None],
    ) -> None:
        """Start with the name unasked.

        Args:
            nodes: The voters.
            outbox: Sends.
            timers: Ends rounds.
            random: Chooses voters and numbers.
            query_clock: Times questions.
            joins: Whether this node was given others to join.
            call: Exchanges states with the node at an address; its callback gets an error, or nothing.
            tell: Called with every change.
        """
        self.standing = NameStanding.UNASKED
        self.rival: Address | None = None
        """The other node of this name, while the name is contested or lost."""
        self._nodes = nodes
        self._outbox = outbox
        self._timers = timers
        self._random = random
        self._clock = query_clock
        self._tell = tell
        self._call = call
        self._newcomer_until = timers.now + NEWCOMER_SECONDS if joins else timers.now
        self._round: _Round | None = None
        self._timer: Timer | None = None
        self._rounds = 0
        self._rival_lives = False
        self._calling = False
        self._settled: dict[Address, float] = {}
        """Rivals that lost to this node, and the time of their last claim."""

    @property
    def _address(self) -> Address:
        return self._nodes.own.address

    def ask(self) -> None:
        """Ask the members for the name, unless already done."""
        if self.standing is NameStanding.UNASKED and self._timer is None:
            self._begin_round()

    def claimed_by(self, rival: Address) -> None:
        """Handle a claim to this name by the node at ``rival``."""
        now = self._timers.now
        if rival == self._address or self.standing is NameStanding.LOST:
            return
        if self._settled.get(rival, -SETTLED_SECONDS) + SETTLED_SECONDS > now:
            return
        if self.standing is not NameStanding.CONTESTED:
            self.standing, self._rounds, self._rival_lives = NameStanding.CONTESTED, 0, False
            self.rival = rival
            self._tell(NameVoted(standing=self.standing, rival=rival))
            self._wake_in(0, self._begin_round)  # deferred: voters may follow in the same full exchange

    def answered(self, response: QueryResponse) -> None:
        """Count the answer to a question; ignore one to none of this round's.

        Raises:
            MalformedMessageError: The answer is malformed.
        """
        current = self._round
        if current is None or (response.ltime, response.number) != (current.ltime, current.number):
            return
        if response.source not in current.voters or not response.payload:
            return
        current.answers.setdefault(response.source, _address_in(response.payload))
        self._finish_if_complete(current)

    def _begin_round(self) -> None:
        voters = self._nodes.pick(MAX_VOTERS, lambda node: not node.gone)
        self._rounds += 1
        current = self._round = _Round(
            self.rival, self._clock.time, self._random.getrandbits(32), frozenset(node.name for node in voters)
        )
        self._clock.increment()
        question = self._question(current)
        for node in voters:
            self._outbox.send_user(question, node.address)
        if self.rival is not None and not self._rival_lives:
            self._call_rival(self.rival)
        self._wake_in(ROUND_SECONDS, lambda: self._finish_round(current))
        self._finish_if_complete(current)

    def _wake_in(self, seconds: float, callback: Callable[[], None]) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._timer = self._timers.after(seconds, callback)

    def _finish_if_complete(self, current: _Round | None) -> None:
        if current is not None and len(current.answers) == len(current.voters) and not self._calling:
            self._finish_round(current)

    def _question(self, current: _Round) -> bytes:
        own = self._nodes.own
        return Query(
            name="_serf_conflict",
            payload=own.name.encode("utf-8", "surrogateescape"),
            ltime=current.ltime,
            number=current.number,
            ip=own.ip,
            port=own.port,
            source=own.name,
            filters=(),
            flags=FLAG_NO_BROADCAST,
            detours=0,
            timeout=int(ROUND_SECONDS * 1e9),
        ).encode()

    def _call_rival(self, rival: Address) -> None:
        if self._calling:
            return
        self._calling = True

        def called(error: str) -> None:
            self._calling = False
            self._rival_lives = self._rival_lives or (not error and self.rival == rival)
            self._finish_if_complete(self._round)

        self._call(rival, called)

    def _finish_round(self, current: _Round) -> None:
        if self._round is not current:
            return
        self._round = None
        if self.rival is None:
            self._judge_asking(current)
        else:
            self._judge_contest(current, self.rival)

    def _judge_asking(self, current: _Round) -> None:
        matching, _ = current.count(self._address)
        elsewhere = [each for each in current.answers.values() if each not in (None, self._address)]
        if elsewhere and elsewhere[0] is not None:
            self.claimed_by(elsewhere[0])
        elif matching or not current.voters:
            self._hold(current)
        elif self._rounds < MAX_ROUNDS:
            self._wake_in(PAUSE_SECONDS, self._begin_round)
        else:
            self._hold(current)

    def _judge_contest(self, current: _Round, rival: Address) -> None:
        matching, named = current.count(self._address)
        if 2 * matching > named:
            self._hold(current)
        elif self._rival_lives and (2 * matching < named or self._gives_way(rival)):
            self.standing = NameStanding.LOST
            self._tell(NameVoted(standing=self.standing, rival=rival, matching=matching, answers=named))
        elif not self._rival_lives and not named and self._rounds >= MAX_ROUNDS:
            self._hold(current)
        else:
            self._wake_in(PAUSE_SECONDS, self._begin_round)

    def _gives_way(self, rival: Address) -> bool:
        """Return whether this node loses a tie."""
        if self._timers.now < self._newcomer_until:
            return True
        return self._rounds >= MAX_ROUNDS and rival < self._address

    def _hold(self, current: _Round) -> None:
        matching, named = current.count(self._address)
        rival, self.rival = self.rival, None
        if rival is not None:
            self._settled.pop(rival, None)
            if len(self._settled) >= MAX_SETTLED:
                del self._settled[next(iter(self._settled))]
            self._settled[rival] = self._timers.now
        if matching:
            self._newcomer_until = self._timers.now
        self.standing = NameStanding.HELD
        self._tell(NameVoted(standing=self.standing, rival=rival, matching=matching, answers=named))


def _address_in(payload: bytes) -> Address | None:
    """Return the address at which a voter knows the name alive; ``None`` if it does not.

    Raises:
        MalformedMessageError: It is no answer.
    """
    if payload[:1] != bytes((SerfType.CONFLICT_RESPONSE,)):
        raise MalformedMessageError("an answer about a name that is none")
    if payload[1:] == b"\xc0":
        return None
    fields = decode(payload[1:])
    if fields.uint("Status") not in (STATUS_NUMBERS[Status.ALIVE], STATUS_NUMBERS[Status.LEAVING]):
        return None
    return address_of(fields.raw("Addr", 16), fields.uint("Port", 16))
