"""Keeps the picture of how many copies there are of every record: what peers report, what this log holds, and ages.

A look takes a moment for each origin and member, so looks are as frequent as they are cheap; a large one is taken on a
thread. What members said before they died is kept by :class:`proglog.agent.replicator.Replicator`.
"""

import asyncio
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace

from proglog.addr import RPC_ADDR_TAG
from proglog.agent.replicator import Replicator
from proglog.gossip.member import Member
from proglog.observe.copies import FIRST_RECORD, Word, picture
from proglog.observe.copies_view import expected_holders
from proglog.server.commit_log import LogView
from proglog.types import OriginId
from proglog.wire.model import Copies, MemberStatus, OriginCopies

IN_FLIGHT_SECONDS = 2.0
"""Younger records are on their way, and missing nowhere."""
LOOK_INTERVAL = 0.25
"""Seconds between two looks, or more: looking takes a hundredth of the time at most."""
MAX_HOLDERS = 256
_INLINE = 5_000
"""Origins times members from which on the counting is done on a thread."""


class Settling:
    """Up to which sequence the records of each origin are no longer in flight."""

    def __init__(self) -> None:
        """Know of no origin yet."""
        self._ends: dict[OriginId, int] = {}
        self._moving: dict[OriginId, list[tuple[float, int]]] = {}

    def look(self, words: Iterable[Word], now: float) -> Mapping[OriginId, int]:
        """Take in how far origins reach now; return, of those that have moved lately, how far they had come before."""
        ends: dict[OriginId, int] = {}
        for word in words:
            for origin, held in word.origins.items():
                ends[origin] = max(ends.get(origin, 0), held.next_sequence)
        for origin, end in ends.items():
            before = self._ends.get(origin, FIRST_RECORD)
            if end > before:
                self._moving.setdefault(origin, []).append((now, before))
        for origin in list(self._moving):
            kept = [each for each in self._moving[origin] if each[0] > now - IN_FLIGHT_SECONDS]
            if kept and origin in ends:
                self._moving[origin] = kept
            else:
                del self._moving[origin]
        self._ends = ends
        return {origin: looks[0][1] for origin, looks in self._moving.items()}


class CopiesWatch:
    """Looks while :meth:`run` runs; :attr:`copies` is the last picture."""

    def __init__(
        self,
        log: LogView,
        replicator: Replicator,
        members: Callable[[], Iterable[Member]],
        *,
        name: str,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        """Know nothing yet.

        Args:
            log: Of this node.
            replicator: Knows what the others say that they hold.
            members: Of the cluster, the dead included.
            name: Of this node.
            monotonic: Seconds; the clock of the members' ``since``.
        """
        self._log = log
        self._replicator = replicator
        self._members = members
        self._name = name
        self._monotonic = monotonic
        self._settling = Settling()
        self._risky: dict[OriginId, float] = {}
        self._risky_since: float | None = None
        self._copies, self._looked_at = Copies(), 0.0

    @property
    def copies(self) -> Copies:
        """The last picture, with the ages of now."""
        passed = round((self._monotonic() - self._looked_at) * 1000)
        holders = tuple(
            replace(each, word_ms=each.word_ms + passed) if each.word_ms else each for each in self._copies.holders
        )
        return replace(self._copies, holders=holders)

    async def run(self) -> None:
        """Look until cancelled."""
        while True:
            began = time.monotonic()
            words, now = self._words(), self._monotonic()
            settled = self._settling.look(words, now)
            if sum(len(word.origins) for word in words) > _INLINE:
                counted = await asyncio.to_thread(picture, words, settled)
            else:
                counted = picture(words, settled)
            self._copies, self._looked_at = self._aged(counted, now), now
            await asyncio.sleep(max(LOOK_INTERVAL, 100 * (time.monotonic() - began)))

    def _words(self) -> list[Word]:
        now = self._monotonic()
        members = [each for each in self._members() if each.tags.get(RPC_ADDR_TAG) or each.name == self._name]
        members.sort(key=lambda each: (each.status not in ("alive", "leaving"), each.name))
        words = [self._word(each, now) for each in members[:MAX_HOLDERS]]
        return sorted(words, key=lambda word: word.name)

    def _word(self, member: Member, now: float) -> Word:
        if member.name == self._name:
            return Word(name=member.name, status=MemberStatus.ALIVE, local=True, origins=self._log.origins())
        status = MemberStatus(member.status)
        told = self._replicator.word_of(member.name)
        if told is None:
            return Word(name=member.name, status=status, word_ms=None)
        origins, silent = told
        gone = status in (MemberStatus.FAILED, MemberStatus.LEFT)
        age = max(silent, now - member.since if gone else 0.0)
        return Word(name=member.name, status=status, word_ms=max(round(age * 1000), int(gone)), origins=origins)

    def _aged(self, counted: Copies, now: float) -> Copies:
        """Report since when records have had too few copies: fewer than two in a cluster of several."""
        least = min(2, expected_holders(counted))
        risky = {OriginId(each.origin) for each in counted.origins if _at_risk(each, least)}
        self._risky = {origin: self._risky.get(origin, now) for origin in risky}
        few = any(each.copies < least for each in counted.counts)
        if not (counted.lost or counted.stranded or few):
            self._risky_since = None
        elif self._risky_since is None:
            self._risky_since = now
        return replace(
            counted,
            since_ms=None if self._risky_since is None else round((now - self._risky_since) * 1000),
            origins=tuple(
                replace(each, since_ms=round((now - self._risky[OriginId(each.origin)]) * 1000))
                if each.origin in self._risky
                else each
                for each in counted.origins
            ),
        )


def _at_risk(row: OriginCopies, least: int) -> bool:
    return bool(row.lost or row.stranded) or 0 < row.least < least
