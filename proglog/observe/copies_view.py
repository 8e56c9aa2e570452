"""The picture of copies that a snapshot holds, read again: rows, stretches, a verdict in words. Pure.

Whatever shows copies - the verb, the dashboard, a finding - reads them here, so that none says more than another. Names
are foreign text.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from itertools import islice

from proglog.observe.copies import FIRST_RECORD, MAX_LISTED, Claim, Word, is_lost, stretches
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
    """In the order of the holders: as the member says, or LOST where no member has them, or IN_FLIGHT."""

    @property
    def records(self) -> int:
        """How many there are."""
        return self.end - self.start


_WORST = (
    Claim.LOST,
    Claim.DAMAGED,
    Claim.UNKNOWN,
    Claim.MISSING,
    Claim.GAP,
    Claim.TRIMMED,
    Claim.IN_FLIGHT,
    Claim.HELD,
)
"""In a cell that covers many records, the first of these is drawn."""


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
        """Copies of the record that has fewest; 0: some cannot be read anywhere now."""
        if self.listed is None:
            return self.expected
        gone = self.listed.lost or self.listed.stranded
        return 0 if gone else self.listed.least

    @property
    def axis(self) -> tuple[int, int]:
        """The first and last sequence to draw: leaves out the start that no member keeps and none misses."""
        quiet = {Claim.TRIMMED, Claim.GAP, Claim.MISSING}
        kept = next((each.start for each in self.stretches if not quiet.issuperset(each.claims)), self.end)
        return kept, self.end

    def strip(self, holder: int, width: int) -> tuple[Claim, ...]:
        """Return what a member has, drawn in ``width`` cells along the axis: in each cell the worst that is in it."""
        start, end = self.axis
        drawn = [Claim.HELD] * width if end > start else []
        for stretch in self.stretches:
            claim = stretch.claims[holder]
            if stretch.end <= start or not drawn or claim is Claim.HELD:
                continue
            first = (max(stretch.start, start) - start) * width // (end - start)
            last = -(-(stretch.end - start) * width // (end - start))
            for cell in range(first, min(max(last, first + 1), width)):
                if _WORST.index(claim) < _WORST.index(drawn[cell]):
                    drawn[cell] = claim
        return tuple(drawn)

    def counts(self, holder: int) -> Counter[Claim]:
        """Return how many records a member has in which state."""
        counted: Counter[Claim] = Counter()
        for stretch in self.stretches:
            counted[stretch.claims[holder]] += stretch.records
        return counted


def rows(snapshot: ClusterSnapshot) -> tuple[CopiesRow, ...]:
    """Return a row for each origin that the agent lists, the worst first, then for whole ones: 200 in all at most."""
    copies = snapshot.copies
    if not copies.holders:
        return ()
    listed = [
        CopiesRow(each.origin, each.node_name, copies.holders, stretches_of(each, copies.holders), each)
        for each in copies.origins
    ]
    known = {each.origin for each in copies.origins}
    others = (each for each in snapshot.origins if each.origin not in known and each.next_sequence > FIRST_RECORD)
    whole = [
        CopiesRow(
            each.origin,
            each.node_name,
            copies.holders,
            _all_held(each.floor_sequence, each.next_sequence, len(copies.holders)),
            None,
        )
        for each in islice(others, max(MAX_LISTED - len(listed), 0))
    ]
    return (*listed, *whole)


def where(snapshot: ClusterSnapshot, origin: bytes, sequence: int) -> tuple[tuple[CopyHolder, Claim], ...]:
    """Return what each member has of one record; nothing where the agent does not say."""
    row = next((each for each in rows(snapshot) if each.origin == origin), None)
    stretch = next((each for each in row.stretches if each.start <= sequence < each.end), None) if row else None
    return tuple(zip(row.holders, stretch.claims, strict=True)) if row is not None and stretch is not None else ()


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
            Word(name=each.name, status=each.status, word_ms=each.word_ms),
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
    if Claim.TRIMMED in claims and Claim.HELD not in claims:  # retention removed it everywhere: no member lacks it
        return tuple(Claim.TRIMMED if claim in (Claim.GAP, Claim.MISSING) else claim for claim in claims)
    return claims


def _progress(row: OriginCopies, told: OriginHolding | None) -> Progress:
    if told is None:  # as all of it that is kept anywhere
        told = OriginHolding(holder=0, floor_sequence=row.floor_sequence, next_sequence=row.end_sequence)
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
    if holder.word_ms is None:
        return "never heard"
    return "" if holder.word_ms == 0 else f"as of {duration_words(holder.word_ms / 1000)} ago"


def gone_words(names: Sequence[str], copies: Copies) -> str:
    """Return the members that hold what no living one does: ``n3, which failed 12 s ago``."""
    if len(names) > 1:
        return f"{names[0]} and {len(names) - 1} more that are gone"
    holder = next((each for each in copies.holders if each.name == names[0]), None) if names else None
    if holder is None or not holder.word_ms:
        return f"{names[0] if names else 'a member'}, which is gone"
    verb = "left" if holder.status is MemberStatus.LEFT else "failed"
    return f"{holder.name}, which {verb} {duration_words(holder.word_ms / 1000)} ago"


def held_here(snapshot: ClusterSnapshot) -> Mapping[str, int]:
    """Return how many records of each writer the agent can serve, by the writer's name."""
    local = next((number for number, each in enumerate(snapshot.copies.holders) if each.local), -1)
    told = {
        each.origin: holding for each in snapshot.copies.origins for holding in each.holdings if holding.holder == local
    }
    held: Counter[str] = Counter()
    for origin in snapshot.origins:
        kept = max(origin.next_sequence - max(origin.floor_sequence, FIRST_RECORD), 0)
        holding = told.get(origin.origin)
        holes = (*holding.gaps, *holding.damaged) if holding is not None else ()
        lacking = sum(max(end - start, 0) for start, end in zip(holes[::2], holes[1::2], strict=False))
        held[origin.node_name] += max(kept - lacking, 0)
    return held


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
