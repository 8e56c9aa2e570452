"""Detects why a node may not be in its cluster, from what its membership hears and does not hear.

No member answers; another node has the name; gossip gets through in part. Each is a problem for as long as it lasts, and
a finding on every surface. A pure observer: it receives events and answers queries.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field, replace

from proglog.addr import join_addr
from proglog.agent.transport import ITSELF
from proglog.gossip.address_book import KnownAddress
from proglog.gossip.events import NameStanding, NameVoted
from proglog.gossip.member import Address, Member, Status
from proglog.gossip.outbox import REFUSED
from proglog.gossip.serf import Serf
from proglog.wire.model import MembershipProblem

ALONE_SECONDS, UNANSWERED_SECONDS = 30.0, 60.0
"""How long a node may be the only member before that is critical, and how long a seed may not answer before it is a problem."""
UDP_ROUNDS = 3
"""Probes in a row that only TCP answered from which on UDP counts as blocked: fewer happen on a busy machine."""
EXCHANGES_FAILED = 2
"""Full exchanges in a row that failed from which on that is a problem; one that was refused is one at once."""
CONFLICT_SECONDS = 60.0
"""How long a claim to a name counts: it comes again with every exchange. It ends sooner once its address is closed."""
UNWELL_SECONDS = 10.0
"""From when on a bad health score is a problem: a short stall mends itself within some probes."""
MAX_CLAIMS = 1000
MAX_CALLS = 1000
MAX_NAMED = 5
"""Most members or addresses that a problem names."""


@dataclass(slots=True, kw_only=True)
class MembershipWatch:
    """Of one node. Times are seconds on one monotonic clock."""

    node_name: str
    remembered: tuple[KnownAddress, ...]
    """Members' addresses before the restart."""
    started_at: float
    answered: bool = False
    """Whether any member has ever answered a call."""
    _call_errors: dict[Address, str] = field(default_factory=dict)
    _claims: dict[tuple[str, str], tuple[float, float]] = field(default_factory=dict)
    """First and last time that an address claimed a name."""
    _vote: NameVoted | None = None
    _voted_at: float = 0.0
    _unwell_since: float | None = None
    _found: dict[str, float] = field(default_factory=dict)
    """Since when each problem was there at each look."""

    # Events it receives

    def called(self, address: Address, error: str) -> None:
        """A call to ``address`` came to an end; an empty ``error``: it was answered."""
        self.answered = self.answered or not error
        if error and (address in self._call_errors or len(self._call_errors) < MAX_CALLS):
            self._call_errors[address] = error
        else:
            self._call_errors.pop(address, None)

    def claimed(self, name: str, claimed_by: str, now: float) -> bool:
        """A known ``name`` was claimed from another address; return whether that is news."""
        key = name, claimed_by
        if key not in self._claims and len(self._claims) >= MAX_CLAIMS:
            self._claims = {each: when for each, when in self._claims.items() if now - when[1] <= CONFLICT_SECONDS}
        if key not in self._claims and len(self._claims) >= MAX_CLAIMS:
            return False
        first, last = self._claims.get(key, (now, now))
        news = key not in self._claims or now - last > CONFLICT_SECONDS
        self._claims[key] = (now if news else first), now
        return news

    def claims(self, now: float) -> list[tuple[str, str]]:
        """Return who claims which name, of the latest, by name and address."""
        recent = [claim for claim, (_, last) in self._claims.items() if now - last <= CONFLICT_SECONDS]
        return recent[-MAX_NAMED:]

    def withdrawn(self, name: str, claimed_by: str) -> None:
        """Nobody is at that address any more."""
        self._claims.pop((name, claimed_by), None)

    def voted(self, vote: NameVoted, now: float) -> None:
        """The standing of this node's name is another."""
        self._vote, self._voted_at = vote, now

    def health_changed(self, *, unwell: bool, now: float) -> None:
        """This node misses answers, or hears them again."""
        self._unwell_since = now if unwell else None

    def all_failed(self, known: list[KnownAddress]) -> bool:
        """Return whether calls to all of ``known`` failed, and no member has ever answered."""
        return not self.answered and all((each.host, each.port) in self._call_errors for each in known)

    # What it is asked

    def problems(self, serf: Serf, now: float) -> list[MembershipProblem]:
        """Return what is wrong."""
        members = serf.members()
        found = [*self._unmet(serf, members, now), *self._contested(serf, members, now), *self._unheard(members)]
        found += self._unwell(serf, now)
        self._found = {each.key: self._found.get(each.key, now) for each in found}
        return [replace(each, since_ms=max(each.since_ms, _ms(now - self._found[each.key]))) for each in found]

    def _unmet(self, serf: Serf, members: list[Member], now: float) -> Iterator[MembershipProblem]:
        """Yield a problem for each seed or known member that has not answered."""
        age = now - self.started_at
        silent_seeds = [each for each in serf.unanswered() if not self._call_errors.get(each, "").endswith(ITSELF)]
        unanswered = [join_addr(*address) + self._why(address) for address in silent_seeds]
        remembered = [(each.host, each.port) for each in self.remembered]
        silent = [] if self.answered else [join_addr(*each) + self._why(each) for each in remembered]
        if len(members) == 1 and (unanswered or silent):
            yield MembershipProblem(
                key="alone",
                detail=f"is isolated: no answer from {', '.join(dict.fromkeys(unanswered + silent[:MAX_NAMED]))}",
                critical=age > ALONE_SECONDS,
                since_ms=_ms(age),
            )
        elif age > UNANSWERED_SECONDS:
            for address, words in zip(silent_seeds, unanswered, strict=True):
                yield MembershipProblem(
                    key=f"seed/{join_addr(*address)}",
                    detail=f"has had no answer from its seed {words} since it started",
                    critical=False,
                    since_ms=_ms(age),
                )

    def _why(self, address: Address) -> str:
        error = self._call_errors.get(address)
        return f" ({error})" if error else ""

    def _contested(self, serf: Serf, members: list[Member], now: float) -> Iterator[MembershipProblem]:
        """Yield the names that two members claim."""
        if serf.rival is not None:
            where, lost = join_addr(*serf.rival), serf.name_standing is NameStanding.LOST
            yield MembershipProblem(
                key="name",
                detail=f"has lost its name to the node at {where}, and shuts down"
                if lost
                else f"acknowledges nothing until it knows whether its name is its own: there is a node of that name at {where}",
                critical=True,
                since_ms=_ms(now - self._voted_at),
                unready=True,
            )
        living = {each.name: join_addr(each.addr, each.port) for each in members if each.status is Status.ALIVE}
        for (name, claimed_by), (since, last) in self._claims.items():
            settled = living.get(name, claimed_by) == claimed_by  # it moved there, or the one before it is gone
            if now - last > CONFLICT_SECONDS or settled:
                continue
            if name == self.node_name and serf.rival is None:
                yield MembershipProblem(
                    key=f"namesake/{claimed_by}",
                    detail=f"has a namesake at {claimed_by}, which the other members ignore{self._votes()}",
                    critical=False,
                    since_ms=_ms(now - since),
                )
            elif name != self.node_name:
                yield MembershipProblem(
                    key=f"conflict/{name}",
                    detail=f"knows two members named {name}: the other one is at {claimed_by}, and no node copies from it",
                    critical=True,
                    since_ms=_ms(now - since),
                )

    def _votes(self) -> str:
        vote = self._vote
        return f": {vote.matching} of {vote.answers} voted for this node" if vote and vote.answers else ""

    def _unwell(self, serf: Serf, now: float) -> Iterator[MembershipProblem]:
        """Yield that this node itself is slow or badly connected, from when on that is no accident."""
        if self._unwell_since is not None and now - self._unwell_since >= UNWELL_SECONDS:
            yield MembershipProblem(
                key="health",
                detail=f"misses answers of the other members (its health score is {serf.vitals().health_score} of 7)",
                critical=False,
                since_ms=_ms(now - self._unwell_since),
            )

    def _unheard(self, members: list[Member]) -> Iterator[MembershipProblem]:
        """Yield with whom gossip goes through in part: as the rest makes up for it, nothing else would show."""
        living = [each for each in members if each.status is Status.ALIVE]
        silent = [each.name for each in living if each.udp_missed >= UDP_ROUNDS]
        if silent:
            more = f" and {len(silent) - MAX_NAMED} more" if len(silent) > MAX_NAMED else ""
            yield MembershipProblem(
                key="udp",
                detail=f"hears nothing over UDP from {', '.join(silent[:MAX_NAMED])}{more}, only over TCP: is UDP blocked?",
                critical=False,
                since_ms=0,
            )
        for each in living:
            if each.exchanges_failed >= EXCHANGES_FAILED or each.exchange_error.startswith(REFUSED):
                yield MembershipProblem(
                    key=f"exchange/{each.name}",
                    detail=f"cannot exchange all that is known with {each.name}: {each.exchange_error}",
                    critical=False,
                    since_ms=0,
                )


def _ms(seconds: float) -> int:
    return max(0, int(seconds * 1000))
