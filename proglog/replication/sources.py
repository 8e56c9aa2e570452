"""The possible sources of an origin: peers with open streams, how far each reaches, and what each cannot serve now.

The order of preference: the origin's own node, then the most advanced peer, then by name, so that equals do not
alternate. A peer *set aside* for an origin is skipped until its time is up, even across a reconnect; one that *refused*
said, or showed, that it lacks the next sequence, and from where it could continue. A stream on which records are due and
nothing comes is reopened: its source may be the only one that has them.
"""

from collections import OrderedDict
from collections.abc import Container, Mapping
from dataclasses import dataclass, field

from proglog.replication.progress import FIRST_SEQUENCE, Progress
from proglog.replication.ranges import without
from proglog.types import OriginId, SequenceNumber

NEVER = float("inf")
NOWHERE = SequenceNumber(0)
"""Resume point of a source that hangs or sends garbage: none."""
MAX_DOUBLINGS = 6
"""Of the time after which a silent stream is reopened."""


@dataclass(slots=True)
class Peer:
    """One open stream."""

    origin: OriginId
    opened_at: float = float("-inf")
    positions: dict[OriginId, Progress] = field(default_factory=dict)
    refused: dict[OriginId, SequenceNumber] = field(default_factory=dict)
    """Origins that it could not continue, and from where it could resume."""
    sent_at: float = float("-inf")
    """When it last sent a batch or a refusal of any origin: one pass over its log serves all requested origins."""
    silent_since: float = NEVER
    """Since when it has owed records and sent nothing, across all requests; ``NEVER``: it has not hung."""
    reopened: int = 0
    """How often its stream was reopened since it last sent anything."""

    def sends(self, now: float) -> None:
        """Record that it sent a batch or a refusal."""
        self.sent_at, self.silent_since, self.reopened = now, NEVER, 0

    def reach(self, origin: OriginId) -> SequenceNumber:
        """Return one past the peer's last sequence of ``origin``."""
        position = self.positions.get(origin)
        return position.next_sequence if position else FIRST_SEQUENCE

    def offers(self, origin: OriginId, sequence: SequenceNumber) -> bool:
        """Return whether the peer keeps anything of ``origin`` from ``sequence`` on."""
        position = self.positions.get(origin)
        return position is not None and max(sequence, position.floor_sequence) < position.next_sequence

    def may_continue(self, origin: OriginId, sequence: SequenceNumber) -> bool:
        """Return whether the peer reaches beyond ``sequence`` and has not refused to continue there."""
        return self.reach(origin) > sequence >= self.refused.get(origin, FIRST_SEQUENCE)


class Sources:
    """The peers with open streams, by name."""

    def __init__(self) -> None:
        """Start without any."""
        self.peers: dict[str, Peer] = {}
        self._away: dict[str, Peer] = {}
        """The last known state of peers whose streams closed."""
        self._aside: OrderedDict[tuple[str, OriginId], float] = OrderedDict()
        """Until when, the earliest first."""

    def is_wanted(self, origin: OriginId, sequence: SequenceNumber) -> bool:
        """Return whether a connected peer writes ``origin``, or keeps any of it from ``sequence`` on."""
        return any(peer.origin == origin or peer.offers(origin, sequence) for peer in self.peers.values())

    def open(self, name: str, origin: OriginId, now: float) -> None:
        """Add ``name``: its stream opened."""
        before = self._away.pop(name, None)
        self.peers[name] = Peer(origin, now, reopened=before.reopened if before else 0)

    def close(self, name: str) -> Peer | None:
        """Remove ``name``: its stream closed. Return its last state, which is remembered; ``None`` if it was not open."""
        peer = self.peers.pop(name, None)
        if peer is not None:
            self._away[name] = peer
        return peer

    def forget_all_but(self, names: Container[str]) -> None:
        """Forget absent peers that are not in ``names``."""
        for name in [name for name in self._away if name not in names]:
            del self._away[name]

    def may_hold(self, name: str, origin: OriginId, start: SequenceNumber, end: SequenceNumber) -> bool:
        """Return whether the absent ``name`` may hold any of the sequences in ``[start, end)``; true if unknown."""
        peer = self._away.get(name)
        if peer is None:
            return True
        position = peer.positions.get(origin)
        return position is not None and bool(position.kept(start, end))

    def is_trimmed(self, origin: OriginId, start: SequenceNumber, end: SequenceNumber) -> bool:
        """Return whether retention removed ``[start, end)`` on all connected peers that have the origin."""
        held = [each.positions[origin] for each in self.peers.values() if origin in each.positions]
        return bool(held) and not any(without(max(start, each.floor_sequence), end, each.gaps) for each in held)

    def opened_last_without(self, origin: OriginId) -> float:
        """Return when the newest stream opened that has not reported on ``origin`` yet."""
        opened = (each.opened_at for each in self.peers.values() if origin not in each.positions)
        return max(opened, default=float("-inf"))

    def is_behind(self, origin: OriginId, sequence: SequenceNumber) -> bool:
        """Return whether any connected peer reaches beyond ``sequence``."""
        return any(peer.reach(origin) > sequence for peer in self.peers.values())

    def is_written_by_a_peer(self, origin: OriginId) -> bool:
        """Return whether a connected peer writes ``origin``."""
        return any(peer.origin == origin for peer in self.peers.values())

    def best(self, origin: OriginId, now: float) -> str | None:
        """Return the best source of ``origin``; ``None`` if there is none now."""
        candidates = [
            (peer.origin != origin, -peer.reach(origin), name)
            for name, peer in self.peers.items()
            if (origin in peer.positions or peer.origin == origin) and not self.is_aside(name, origin, now)
        ]
        return min(candidates)[2] if candidates else None

    def another_may_continue(self, origin: OriginId, sequence: SequenceNumber, source: str, now: float) -> bool:
        """Return whether an available peer other than ``source`` may have what follows ``sequence``."""
        return any(
            name != source and peer.may_continue(origin, sequence) and not self.is_aside(name, origin, now)
            for name, peer in self.peers.items()
        )

    def is_last_resort(self, origin: OriginId, sequence: SequenceNumber, source: str) -> bool:
        """Return whether ``source`` reaches beyond ``sequence``, and so do others, which were tried in vain.

        Then its silence counts as a stall: otherwise a source that never refuses would be waited for indefinitely.
        """
        beyond = [name for name, peer in self.peers.items() if peer.reach(origin) > sequence]
        return source in beyond and len(beyond) > 1

    def all_refused(self, origin: OriginId, sequence: SequenceNumber) -> bool:
        """Return whether some peers reach beyond ``sequence``, and all of them were tried in vain."""
        beyond = [peer.refused.get(origin) for peer in self.peers.values() if peer.reach(origin) > sequence]
        return bool(beyond) and all(resume is not None and not NOWHERE < resume <= sequence for resume in beyond)

    def nearest_after_hole(self, origin: OriginId, sequence: SequenceNumber) -> tuple[SequenceNumber, str] | None:
        """Return where ``origin`` resumes after the hole at ``sequence``, and the peer to ask; ``None``: none known."""
        nearest = [
            (peer.reach(origin) <= peer.refused[origin], peer.refused[origin], name)  # empty there so far: last
            for name, peer in self.peers.items()
            if peer.reach(origin) > sequence and peer.refused.get(origin, NOWHERE) > sequence
        ]
        return min(nearest)[1:] if nearest else None

    def refuse(self, name: str, origin: OriginId, resume: SequenceNumber) -> None:
        """Remember that ``name`` cannot continue ``origin`` here, but could from ``resume`` on, or ``NOWHERE``."""
        self.peers[name].refused[origin] = resume

    def hangs(self, name: str, origin: OriginId, sequence: SequenceNumber, since: float, *, after_hole: bool) -> None:
        """Record that ``name`` has sent nothing ``since`` then.

        Keep the resume point that it once gave, unless that is what it was asked for.
        """
        peer = self.peers[name]
        if peer.silent_since == NEVER:
            peer.silent_since = since
        if after_hole or peer.refused.get(origin, NOWHERE) <= sequence:
            peer.refused[origin] = NOWHERE

    def reopens_at(self, name: str, owed: float, timeout: float) -> float:
        """Return when to reopen the stream from ``name``, which has owed records since ``owed``.

        Each attempt without a batch doubles the timeout, or a batch that takes longer than that would never arrive.
        """
        peer = self.peers[name]
        since = owed if peer.silent_since == NEVER else peer.silent_since
        return since + timeout * float(1 << min(peer.reopened, MAX_DOUBLINGS))

    def reopens(self, name: str, now: float) -> float:
        """Record that the stream from ``name`` is about to be reopened; return for how long it was silent."""
        peer = self.peers[name]
        silent = now - max(peer.sent_at, peer.opened_at)
        peer.silent_since, peer.reopened = now, peer.reopened + 1
        return silent

    def forget_refusals(self, origin: OriginId) -> None:
        """Forget refusals of ``origin``: it continues, so they no longer concern the next sequence."""
        for peer in self.peers.values():
            peer.refused.pop(origin, None)

    def set_aside(self, name: str, origin: OriginId, until: float) -> None:
        """Do not ask ``name`` for ``origin`` before ``until``, which never goes back from one call to the next."""
        self._aside[name, origin] = until
        self._aside.move_to_end((name, origin))

    def is_aside(self, name: str, origin: OriginId, now: float) -> bool:
        """Return whether ``name`` is not to be asked for ``origin`` at ``now``."""
        return self._aside.get((name, origin), now) > now

    def expire(self, now: float) -> set[OriginId]:
        """End the expired set-asides; return their origins."""
        expired = set()
        while self._aside and next(iter(self._aside.values())) <= now:
            (_, origin), _ = self._aside.popitem(last=False)
            expired.add(origin)
        return expired

    def next_expiry(self) -> float | None:
        """Return when the next set-aside ends; ``None`` if there is none."""
        return next(iter(self._aside.values()), None)


def next_of(held: Mapping[OriginId, Progress], origin: OriginId) -> SequenceNumber:
    """Return the sequence that a log with ``held`` needs next of ``origin``."""
    position = held.get(origin)
    return position.next_sequence if position else FIRST_SEQUENCE
