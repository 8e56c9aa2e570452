"""Who could give an origin: the peers whose streams are open, what each reaches, and who cannot serve what for now.

The order of preference: the origin's own node, then whoever reaches farthest, then by name, so that equals do not
take turns. A peer that was *set aside* for an origin is passed over until its time is up, even across a reconnect;
one that *refused* said, or showed, that it lacks what comes next, and where it could go on.
"""

from collections import OrderedDict
from collections.abc import Container, Mapping
from dataclasses import dataclass, field

from proglog.replication.progress import FIRST_SEQUENCE, Progress
from proglog.types import OriginId, SequenceNumber

NOWHERE = SequenceNumber(0)
"""Where a source could go on that hangs, or sends garbage."""


@dataclass(slots=True)
class Peer:
    """One open stream."""

    origin: OriginId
    opened_at: float = float("-inf")
    positions: dict[OriginId, Progress] = field(default_factory=dict)
    refused: dict[OriginId, SequenceNumber] = field(default_factory=dict)
    """Origins that it was tried for in vain, and where it could go on."""
    sent_at: float = float("-inf")
    """When it last sent a batch, or said that it cannot: one pass of it over its log serves all that it is asked for."""

    def reach(self, origin: OriginId) -> SequenceNumber:
        """Return one past the last sequence of ``origin`` that it has."""
        position = self.positions.get(origin)
        return position.next_sequence if position else FIRST_SEQUENCE

    def offers(self, origin: OriginId, sequence: SequenceNumber) -> bool:
        """Return whether it keeps anything of ``origin`` from ``sequence`` on."""
        position = self.positions.get(origin)
        return position is not None and max(sequence, position.floor_sequence) < position.next_sequence

    def may_continue(self, origin: OriginId, sequence: SequenceNumber) -> bool:
        """Return whether it reaches beyond ``sequence`` and has not refused to go on there."""
        return self.reach(origin) > sequence >= self.refused.get(origin, FIRST_SEQUENCE)


class Sources:
    """The peers with open streams, by name."""

    def __init__(self) -> None:
        """Start without any."""
        self.peers: dict[str, Peer] = {}
        self._away: dict[str, Peer] = {}
        """What peers said whose streams are not open any more."""
        self._aside: OrderedDict[tuple[str, OriginId], float] = OrderedDict()
        """Until when; the first whose time is up first."""

    def is_wanted(self, origin: OriginId, sequence: SequenceNumber) -> bool:
        """Return whether somebody keeps any of ``origin`` from ``sequence`` on, or writes it and is there."""
        return any(peer.origin == origin or peer.offers(origin, sequence) for peer in self.peers.values())

    def open(self, name: str, origin: OriginId, now: float) -> None:
        """The stream from ``name`` is open."""
        self._away.pop(name, None)
        self.peers[name] = Peer(origin, now)

    def close(self, name: str) -> Peer | None:
        """The stream from ``name`` is not open any more, if it was: return what was known of it, which is remembered."""
        peer = self.peers.pop(name, None)
        if peer is not None:
            self._away[name] = peer
        return peer

    def forget_all_but(self, names: Container[str]) -> None:
        """Forget what was said by those who are away and are not members any more."""
        for name in [name for name in self._away if name not in names]:
            del self._away[name]

    def may_hold(self, name: str, origin: OriginId, start: SequenceNumber, end: SequenceNumber) -> bool:
        """Return whether ``name``, which is away, may hold any of the sequences in ``[start, end)``, as far as is known."""
        peer = self._away.get(name)
        if peer is None:
            return True
        position = peer.positions.get(origin)
        return position is not None and max(start, position.floor_sequence) < min(end, position.next_sequence)

    def is_trimmed(self, origin: OriginId, end: SequenceNumber) -> bool:
        """Return whether retention has removed what is before ``end`` wherever this log can ask."""
        floors = [each.positions[origin].floor_sequence for each in self.peers.values() if origin in each.positions]
        return bool(floors) and min(floors) >= end

    def opened_last_without(self, origin: OriginId) -> float:
        """Return when the last stream was opened on which nothing was said of ``origin`` yet."""
        opened = (each.opened_at for each in self.peers.values() if origin not in each.positions)
        return max(opened, default=float("-inf"))

    def is_behind(self, origin: OriginId, sequence: SequenceNumber) -> bool:
        """Return whether somebody reaches beyond ``sequence``."""
        return any(peer.reach(origin) > sequence for peer in self.peers.values())

    def is_written_by_a_peer(self, origin: OriginId) -> bool:
        """Return whether ``origin`` is the own one of a peer whose stream is open."""
        return any(peer.origin == origin for peer in self.peers.values())

    def best(self, origin: OriginId, now: float) -> str | None:
        """Return whom to ask for ``origin``; ``None`` when nobody can be asked now."""
        candidates = [
            (peer.origin != origin, -peer.reach(origin), name)
            for name, peer in self.peers.items()
            if (origin in peer.positions or peer.origin == origin) and not self.is_aside(name, origin, now)
        ]
        return min(candidates)[2] if candidates else None

    def another_may_continue(self, origin: OriginId, sequence: SequenceNumber, source: str, now: float) -> bool:
        """Return whether somebody who can be asked, and is not ``source``, may have what follows ``sequence``."""
        return any(
            name != source and peer.may_continue(origin, sequence) and not self.is_aside(name, origin, now)
            for name, peer in self.peers.items()
        )

    def is_last_resort(self, origin: OriginId, sequence: SequenceNumber, source: str) -> bool:
        """Return whether ``source`` reaches beyond ``sequence``, and so do others, who were tried in vain.

        Then its silence counts: without it there would be no end to waiting for the one that never refuses.
        """
        beyond = [name for name, peer in self.peers.items() if peer.reach(origin) > sequence]
        return source in beyond and len(beyond) > 1

    def all_refused(self, origin: OriginId, sequence: SequenceNumber) -> bool:
        """Return whether there are some who reach beyond ``sequence``, and all of them were tried in vain."""
        beyond = [peer.refused.get(origin) for peer in self.peers.values() if peer.reach(origin) > sequence]
        return bool(beyond) and all(resume is not None and not NOWHERE < resume <= sequence for resume in beyond)

    def nearest_after_hole(self, origin: OriginId, sequence: SequenceNumber) -> tuple[SequenceNumber, str] | None:
        """Return where, and with whom, ``origin`` can go on after the hole at ``sequence``; ``None``: with nobody yet."""
        nearest = [
            (peer.reach(origin) <= peer.refused[origin], peer.refused[origin], name)  # last, who has nothing there yet
            for name, peer in self.peers.items()
            if peer.reach(origin) > sequence and peer.refused.get(origin, NOWHERE) > sequence
        ]
        return min(nearest)[1:] if nearest else None

    def refuse(self, name: str, origin: OriginId, resume: SequenceNumber) -> None:
        """Remember that ``name`` cannot continue ``origin`` here, but could from ``resume`` on, or ``NOWHERE``."""
        self.peers[name].refused[origin] = resume

    def hangs(self, name: str, origin: OriginId, sequence: SequenceNumber, *, after_hole: bool) -> None:
        """Nothing came from ``name``: where it once said that it could go on, it still can, unless it was asked for that."""
        refused = self.peers[name].refused
        if after_hole or refused.get(origin, NOWHERE) <= sequence:
            refused[origin] = NOWHERE

    def forget_refusals(self, origin: OriginId) -> None:
        """``origin`` goes on: what was refused is no longer what comes next."""
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
        """Forget whose time is up; return for which origins."""
        expired = set()
        while self._aside and next(iter(self._aside.values())) <= now:
            (_, origin), _ = self._aside.popitem(last=False)
            expired.add(origin)
        return expired

    def next_expiry(self) -> float | None:
        """Return when somebody's time is up next."""
        return next(iter(self._aside.values()), None)


def next_of(held: Mapping[OriginId, Progress], origin: OriginId) -> SequenceNumber:
    """Return the sequence that a log with ``held`` needs next of ``origin``."""
    position = held.get(origin)
    return position.next_sequence if position else FIRST_SEQUENCE
