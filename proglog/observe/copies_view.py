"""The picture of copies that a snapshot holds, read again: rows, stretches, a verdict in words. Pure.

Whatever shows copies - the verb, the dashboard, a finding - reads them here, so that none says more than another. Names
are foreign text.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache

from proglog.observe.copies import FIRST_RECORD, Claim, Word, is_lost, stretches
from proglog.observe.words import count_words, duration_words
from proglog.replication.progress import Progress
from proglog.replication.ranges import from_flat
from proglog.types import OriginId, SequenceNumber
from proglog.wire.model import (
    ClusterSnapshot,
    Copies,
    CopyHolder,
    MemberStatus,
    OriginCopies,
    OriginHolding,
)


@dataclass(frozen=True, slots=True)
class HeldStretch:
    """Records of one origin of which each member has all or nothing."""

    start: int
    end: int
    claims: tuple[Claim, ...]
    """In the order of the holders: as the member says, or LOST where nobody has them, or IN_FLIGHT."""

    @property
    def records(self) -> int:
        """How many there are."""
        return self.end - self.start


@dataclass(frozen=True, slots=True)
class CopiesRow:
    """An origin, and who holds what of it."""

    origin: bytes
    node_name: str
    holders: tuple[CopyHolder, ...]
    stretches: tuple[HeldStretch, ...]
    listed: OriginCopies | None
    """``None``: every member holds it whole."""

    @property
    def start(self) -> int:
        """The first record."""
        return self.stretches[0].start if self.stretches else FIRST_RECORD

    @property
    def end(self) -> int:
        """One past the last record."""
        return self.stretches[-1].end if self.stretches else FIRST_RECORD

    @property
    def expected(self) -> int:
        """How many members should have all of it."""
        return sum(each.status is not MemberStatus.LEFT for each in self.holders)

    @property
    def least(self) -> int:
        """Copies of the record that has fewest; 0: some can be had from nobody now."""
        if self.listed is None:
            return self.expected
        gone = self.listed.lost or self.listed.stranded
        return 0 if gone else self.listed.least

    def counts(self, holder: int) -> Counter[Claim]:
        """Return how many records a member has in which state."""
        counted: Counter[Claim] = Counter()
        for stretch in self.stretches:
            counted[stretch.claims[holder]] += stretch.records
        return counted


def rows(snapshot: ClusterSnapshot) -> tuple[CopiesRow, ...]:
    """Return a row for each origin that the agent lists: the worst first, then those that are whole."""
    copies = snapshot.copies
    if not copies.holders:
        return ()
    listed = [
        CopiesRow(each.origin, each.node_name, copies.holders, stretches_of(each, copies.holders), each)
        for each in copies.origins
    ]
    known = {each.origin for each in copies.origins}
    whole = [
        CopiesRow(
            each.origin,
            each.node_name,
            copies.holders,
            _all_held(each.floor_sequence, each.next_sequence, len(copies.holders)),
            None,
        )
        for each in snapshot.origins
        if each.origin not in known and each.next_sequence > FIRST_RECORD
    ]
    return (*listed, *whole)


def _all_held(floor: int, following: int, holders: int) -> tuple[HeldStretch, ...]:
    start = max(floor, FIRST_RECORD)
    kept = (HeldStretch(start, following, (Claim.HELD,) * holders),) if start < following else ()
    trimmed = (HeldStretch(FIRST_RECORD, start, (Claim.TRIMMED,) * holders),) if start > FIRST_RECORD else ()
    return trimmed + kept


@lru_cache(maxsize=1024)
def stretches_of(row: OriginCopies, holders: tuple[CopyHolder, ...]) -> tuple[HeldStretch, ...]:
    """Return the stretches of an origin that a snapshot lists; neighbours that are alike are one."""
    told = {each.holder: each for each in row.holdings}
    held = [
        (
            Word(name=each.name, status=each.status, word_ms=0 if number in told else -1),
            _progress(row, told.get(number)),
        )
        for number, each in enumerate(holders)
    ]
    made: list[HeldStretch] = []
    for start, end, said in stretches(held, row.settled_sequence, row.end_sequence):
        claims = _judged(said, in_flight=start >= row.settled_sequence)
        if made and made[-1].claims == claims:
            made[-1] = replace(made[-1], end=end)
        else:
            made.append(HeldStretch(start, end, claims))
    return tuple(made)


def _judged(claims: tuple[Claim, ...], *, in_flight: bool) -> tuple[Claim, ...]:
    if in_flight:
        return tuple(Claim.IN_FLIGHT if claim is Claim.MISSING else claim for claim in claims)
    if is_lost(claims):
        return tuple(claim if claim in (Claim.DAMAGED, Claim.TRIMMED) else Claim.LOST for claim in claims)
    return claims


def _progress(row: OriginCopies, told: OriginHolding | None) -> Progress | None:
    if told is None:
        return None
    return Progress(
        origin=OriginId(row.origin),
        next_sequence=SequenceNumber(told.next_sequence),
        floor_sequence=SequenceNumber(told.floor_sequence),
        gaps=from_flat(told.gaps),  # what comes from an agent need not be in order
        damaged=from_flat(told.damaged),
    )


def verdict(copies: Copies) -> str:
    """Return in a sentence how many copies there are: ``1,213 on none; every other record on at least 2 of 3``."""
    if not copies.holders:
        return "the agent does not say how many copies there are"
    return "; ".join(verdict_parts(copies))


def verdict_parts(copies: Copies) -> tuple[str, ...]:
    """Return the parts of that sentence, the worst first."""
    expected = expected_holders(copies)
    parts = [f"{copies.lost:,} on none"] if copies.lost else []
    parts += [f"{each.records:,} only on {gone_words(each.names, copies)}" for each in copies.stranded[:2]]
    if len(copies.stranded) > 2:
        parts.append(f"{sum(each.records for each in copies.stranded[2:]):,} only on others that are gone")
    if copies.unknown:
        parts.append(f"{copies.unknown:,} unknown: a member has never said what it holds")
    every = "every other record" if parts else "every record"
    if copies.counts:
        least = copies.counts[0].copies
        parts.append(f"{every} on {'' if len(copies.counts) == 1 else 'at least '}{least} of {expected}")
    elif not parts:
        parts.append("all records are in flight" if copies.in_flight else "no records")
    if copies.trimmed:
        parts.append(f"retention has removed {copies.trimmed:,} from some")
    return tuple(parts)


def expected_holders(copies: Copies) -> int:
    """Return how many members should have every record: all that hold a log and did not leave."""
    return sum(each.status is not MemberStatus.LEFT for each in copies.holders)


def age_words(holder: CopyHolder) -> str:
    """Return how old a member's last word is: ``as of 12 s ago``; empty while it can be heard."""
    if holder.word_ms < 0:
        return "never heard"
    return "" if holder.word_ms == 0 else f"as of {duration_words(holder.word_ms / 1000)} ago"


def gone_words(names: Sequence[str], copies: Copies) -> str:
    """Return who holds what nobody alive does: ``n3, which failed 12 s ago``."""
    if len(names) > 1:
        return f"{names[0]} and {len(names) - 1} more that are gone"
    holder = next((each for each in copies.holders if each.name == names[0]), None) if names else None
    if holder is None or holder.word_ms <= 0:
        return f"{names[0] if names else 'a member'}, which is gone"
    verb = "left" if holder.status is MemberStatus.LEFT else "failed"
    return f"{holder.name}, which {verb} {duration_words(holder.word_ms / 1000)} ago"


_LACKS = {
    Claim.MISSING: "missing",
    Claim.DAMAGED: "damaged",
    Claim.LOST: "lost",
    Claim.GAP: "not to be had",
    Claim.TRIMMED: "trimmed",
    Claim.UNKNOWN: "unknown",
}


def lack_words(counts: Mapping[Claim, int]) -> str:
    """Return what a member lacks: ``-6,100 missing``, ``-1,213 lost, -20 damaged``; ``whole``."""
    parts = [f"-{count_words(counts[claim])} {word}" for claim, word in _LACKS.items() if counts.get(claim)]
    return ", ".join(parts) or "whole"
