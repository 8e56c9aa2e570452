"""How many copies there are of every record: from what each member says it holds, the dead included. Pure.

A member's word is, of each origin, where it begins and ends there and what is missing between. Its ends cut the origin's
sequences into stretches, and in each stretch every member is in one state::

    sequences   2 ......... floor ........... gap ....... next ............ settled ...... end
    member n1   | trimmed   | held            | gap | held | missing        | in flight    |

    held     it can serve them                       counts as a copy while the member is alive
    trimmed  retention removed them there            neither a copy nor a loss
    damaged  damage hides them                       no copy; a repair may bring them back
    gap      no member that was asked had them       no copy
    missing  the member does not reach so far        no copy, yet
    unknown  the member has never said what it has, or more than it could list

What came less than two seconds ago is in flight: it is missing nowhere yet. A stretch that no member holds is lost, unless
retention removed it, or a member of which nothing is known may have it. A stretch that only dead members hold is
stranded: it comes back with them, and only with them. Sequence 1 opens an origin and is no record.
"""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from itertools import pairwise

from proglog.replication.progress import Progress
from proglog.replication.ranges import MAX_RANGES, covers
from proglog.types import OriginId
from proglog.wire.model import (
    Copies,
    CopyCount,
    CopyHolder,
    MemberStatus,
    OriginCopies,
    OriginHolding,
    StrandedCopies,
)

FIRST_RECORD = 2
"""The sequence of an origin's first record."""
MAX_LISTED = 200
"""Origins of which a picture says who lacks what, the worst first; the others are in its totals."""
_MAX_STRANDED = 16


class Claim(StrEnum):
    """What a member has of a stretch of an origin."""

    HELD = "held"
    MISSING = "missing"
    IN_FLIGHT = "in flight"
    TRIMMED = "trimmed"
    DAMAGED = "damaged"
    GAP = "gap"
    UNKNOWN = "unknown"
    LOST = "lost"
    """No member has it: what a member's gap or damage then is."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Word:
    """What one member says that it holds."""

    name: str
    status: MemberStatus
    local: bool = False
    word_ms: int | None = 0
    """Age of its last word, milliseconds; 0: it can be heard now, ``None``: it has never been heard."""
    origins: Mapping[OriginId, Progress] = field(default_factory=dict)

    @property
    def alive(self) -> bool:
        """Whether what it holds can be had now."""
        return self.status in (MemberStatus.ALIVE, MemberStatus.LEAVING)


@dataclass(slots=True)
class _Tally:
    """What is counted in one origin, or in all."""

    copies: Counter[int] = field(default_factory=Counter)
    in_flight: int = 0
    trimmed: int = 0
    lost: int = 0
    unknown: int = 0
    stranded: Counter[tuple[str, ...]] = field(default_factory=Counter)

    def add(self, other: "_Tally") -> None:
        self.copies.update(other.copies)
        self.stranded.update(other.stranded)
        self.in_flight += other.in_flight
        self.trimmed += other.trimmed
        self.lost += other.lost
        self.unknown += other.unknown


def picture(words: Sequence[Word], settled: Mapping[OriginId, int]) -> Copies:
    """Return how many copies there are of every record.

    Args:
        words: Of every member that holds a log, those that failed or left included.
        settled: Of each origin, up to which sequence its records are two seconds old; not in it: all of them.
    """
    total, unsafe = _Tally(), list[tuple[tuple[int, ...], OriginCopies]]()
    expected = sum(word.status is not MemberStatus.LEFT for word in words)
    somebody_is_gone, origin_count, whole_count = not all(word.alive for word in words), 0, 0
    origins = dict.fromkeys(origin for word in words for origin in word.origins)
    for origin in origins:
        end = max(word.origins[origin].next_sequence for word in words if origin in word.origins)
        if end <= FIRST_RECORD:
            continue
        origin_count += 1
        old = min(settled.get(origin, end), end)
        tally = _whole(origin, words, old, end) or _swept(origin, words, old, end)
        total.add(tally)
        whole = not (set(tally.copies) - {expected} or tally.lost or tally.stranded or tally.unknown or tally.trimmed)
        whole_count += whole
        if not whole or somebody_is_gone:
            unsafe.append((_badness(tally), _listed(origin, words, old, end, tally)))
    unsafe.sort(key=lambda each: (each[0], each[1].node_name, each[1].origin))
    return Copies(
        holders=tuple(
            CopyHolder(name=word.name, status=word.status, local=word.local, word_ms=word.word_ms) for word in words
        ),
        origins=tuple(each for _, each in unsafe[:MAX_LISTED]),
        origin_count=origin_count,
        whole_count=whole_count,
        in_flight=total.in_flight,
        counts=tuple(CopyCount(copies=copies, records=count) for copies, count in sorted(total.copies.items())),
        trimmed=total.trimmed,
        lost=total.lost,
        unknown=total.unknown,
        stranded=tuple(
            StrandedCopies(names=names, records=count) for names, count in total.stranded.most_common(_MAX_STRANDED)
        ),
    )


def _badness(tally: _Tally) -> tuple[int, ...]:
    return -tally.lost, -tally.stranded.total(), min(tally.copies, default=0), -tally.unknown, tally.trimmed


def _whole(origin: OriginId, words: Sequence[Word], old: int, end: int) -> _Tally | None:
    """Return the tally of an origin that all members hold alike; ``None``: they do not."""
    floor, alive = 0, 0
    for word in words:
        held = word.origins.get(origin)
        if held is None or held.gaps or held.damaged or held.next_sequence < old:
            return None
        if floor not in (0, held.floor_sequence):
            return None
        floor = held.floor_sequence
        alive += word.alive
    if not alive:
        return None
    start = min(max(floor, FIRST_RECORD), old)
    return _Tally(copies=Counter({alive: old - start} if old > start else {}), in_flight=end - max(old, start))


def _swept(origin: OriginId, words: Sequence[Word], old: int, end: int) -> _Tally:
    tally = _Tally()
    for start, stop, claims in stretches([(word, word.origins.get(origin)) for word in words], old, end):
        count = stop - start
        if start >= old:
            tally.in_flight += count
            continue
        holding = [word for word, claim in zip(words, claims, strict=True) if claim is Claim.HELD]
        available = sum(word.alive for word in holding)
        if available:
            if Claim.TRIMMED in claims:
                tally.trimmed += count
            else:
                tally.copies[available] += count
        elif holding and _is_retired(words, claims):
            tally.trimmed += count
        elif holding:
            tally.stranded[tuple(sorted(word.name for word in holding))] += count
        elif is_lost(claims):
            tally.lost += count
        elif Claim.UNKNOWN in claims:
            tally.unknown += count
    return tally


def _is_retired(words: Sequence[Word], claims: Sequence[Claim]) -> bool:
    """Return whether retention has removed a stretch where it was alive: what dead members still hold of it is not missed."""
    trimmed = any(word.alive and claim is Claim.TRIMMED for word, claim in zip(words, claims, strict=True))
    return trimmed and Claim.DAMAGED not in claims


def is_lost(claims: Sequence[Claim]) -> bool:
    """Return whether a stretch with these claims is gone, and not by retention."""
    if Claim.HELD in claims or Claim.UNKNOWN in claims:
        return False
    return Claim.TRIMMED not in claims or Claim.DAMAGED in claims


def stretches(
    held: Sequence[tuple[Word, Progress | None]], old: int, end: int
) -> Iterator[tuple[int, int, tuple[Claim, ...]]]:
    """Yield ``(start, end, what each member has there)`` of one origin, from its first record on.

    Args:
        held: Each member, and what it says of the origin.
        old: One past the last record that is no longer in flight.
        end: One past the last record that is known of.
    """
    bounds = {FIRST_RECORD, old, end}
    for _, each in held:
        if each is not None:
            bounds |= {each.floor_sequence, each.next_sequence}
            bounds.update(bound for ranges in (each.gaps, each.damaged) for part in ranges for bound in part)
    cuts = sorted(bound for bound in bounds if FIRST_RECORD <= bound <= end)
    for start, stop in pairwise(cuts):
        yield start, stop, tuple(_claim(word, each, start) for word, each in held)


def _claim(word: Word, held: Progress | None, sequence: int) -> Claim:
    if word.word_ms is None:
        return Claim.UNKNOWN
    if held is None or sequence >= held.next_sequence:
        return Claim.MISSING
    if sequence < held.floor_sequence:
        return Claim.TRIMMED
    if covers(held.damaged, sequence):
        return Claim.UNKNOWN if len(held.damaged) >= MAX_RANGES else Claim.DAMAGED
    if covers(held.gaps, sequence):
        return Claim.UNKNOWN if len(held.gaps) >= MAX_RANGES else Claim.GAP
    return Claim.HELD


def _listed(origin: OriginId, words: Sequence[Word], old: int, end: int, tally: _Tally) -> OriginCopies:
    names = (held.node_name for word in words if (held := word.origins.get(origin)) is not None)
    floor = min(word.origins[origin].floor_sequence for word in words if origin in word.origins)
    return OriginCopies(
        origin=origin,
        node_name=next((name for name in names if name), ""),
        end_sequence=end,
        settled_sequence=old,
        floor_sequence=floor,
        least=min(tally.copies, default=0),
        lost=tally.lost,
        stranded=tally.stranded.total(),
        trimmed=tally.trimmed,
        unknown=tally.unknown,
        holdings=tuple(
            _holding(number, word.origins.get(origin))
            for number, word in enumerate(words)
            if word.word_ms is not None and not _holds_all(word.origins.get(origin), floor, old)
        ),
    )


def _holds_all(held: Progress | None, floor: int, old: int) -> bool:
    if held is None or held.gaps or held.damaged:
        return False
    return held.floor_sequence == floor and held.next_sequence >= old


def _holding(number: int, held: Progress | None) -> OriginHolding:
    if held is None:
        return OriginHolding(holder=number, floor_sequence=1, next_sequence=1)
    return OriginHolding(
        holder=number,
        floor_sequence=held.floor_sequence,
        next_sequence=held.next_sequence,
        gaps=tuple(bound for each in held.gaps for bound in each),
        damaged=tuple(bound for each in held.damaged for bound in each),
    )
