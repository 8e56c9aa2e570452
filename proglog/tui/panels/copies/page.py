"""One origin's copies as a page: each stretch of its records, who has it, and what would bring it back."""

from collections import defaultdict
from collections.abc import Iterator, Sequence

from proglog.observe.copies import Claim
from proglog.observe.copies_view import CopiesRow, HeldStretch, age_words, rows
from proglog.observe.spans import Line, Locale, Role, Span, line, wrap
from proglog.observe.words import duration_words, origin_id
from proglog.tui.panels.copies.columns import MARKS, claim_words, copies_role, lacks_words, strip
from proglog.tui.state import DashState
from proglog.types import counted
from proglog.wire.model import MemberStatus

_MOST = 60
"""Stretches that are written out; the worst of more."""


def title(row: CopiesRow, locale: Locale) -> str:
    """Return what the page is called."""
    return locale.safe(f"Copies of {row.node_name or '?'} {origin_id(row.origin)}", 60).text


def lines(origin: bytes, state: DashState, locale: Locale, width: int, chosen: int = -1) -> list[Line]:
    """Return the page of an origin as it is now; the stretch at ``chosen`` is marked."""
    return [shown for shown, _ in placed(origin, state, locale, width, chosen)]


def placed(
    origin: bytes, state: DashState, locale: Locale, width: int, chosen: int = -1
) -> list[tuple[Line, HeldStretch | None]]:
    """Return the lines of the page, each with the stretch that it is about."""
    row = row_of(origin, state)
    if row is None:
        return [(line(Span("nothing is known of this origin now", Role.MUTED)), None)]
    page: list[tuple[Line, HeldStretch | None]] = [(each, None) for each in (*_members(row, locale, width), ())]
    for number, stretch in enumerate(listed(row)):
        mark = Span(locale.pick("▎ ", "> ") if number == chosen else "  ", Role.ACCENT)
        page += [((mark, *each), stretch) for each in _stretch(row, stretch, locale, width - 2)]
        page.append(((), None))
    more = len(row.stretches) - _MOST
    return [
        *page[:-1],
        *([((), None), (line(Span(f"and {more} stretches more", Role.MUTED)), None)] if more > 0 else []),
    ]


def row_of(origin: bytes, state: DashState) -> CopiesRow | None:
    """Return what is known of an origin at the moment on the screen."""
    return next((each for each in rows(state.shown) if each.origin == origin), None) if state.shown else None


def listed(row: CopiesRow) -> list[HeldStretch]:
    """Return the stretches that are written out: those that somebody lacks, the worst first, then those that all hold."""
    return sorted(row.stretches, key=lambda each: (not _is_ill(each), _badness(each)))[:_MOST]


def _is_ill(stretch: HeldStretch) -> bool:
    return bool(set(stretch.claims) - {Claim.HELD})


def _members(row: CopiesRow, locale: Locale, width: int) -> Iterator[Line]:
    lasted = row.listed.since_ms if row.listed else None
    since = "" if lasted is None else f", for {duration_words(lasted / 1000)}"
    yield line(
        Span(f"{row.least} of {row.expected} copies at least", copies_role(row)),
        Span(f"{since}; records {locale.range_words(row.start, row.end)}", Role.MUTED),
    )
    yield ()
    names = [locale.member(each.name, 20) for each in row.holders]
    longest = max((len(name.text) for name in names), default=0)
    drawn = max(min(width - longest - 40, 60), 8)
    for number, (holder, name) in enumerate(zip(row.holders, names, strict=True)):
        gone = holder.status in (MemberStatus.FAILED, MemberStatus.LEFT)
        state = f"{holder.status.value}, {age_words(holder)}" if gone or holder.word_ms != 0 else ""
        yield line(
            Span(name.text.ljust(longest) + "  ", name.role),
            *strip(row, number, locale, drawn),
            Span(f"  {lacks_words(row, number)}", Role.TEXT),
            Span(f"  {state}" if state else "", Role.WARN),
        )


def _badness(stretch: HeldStretch) -> tuple[int, int]:
    order = list(MARKS)
    return -max(order.index(claim) if claim is not Claim.TRIMMED else 0 for claim in stretch.claims), stretch.start


def _stretch(row: CopiesRow, stretch: HeldStretch, locale: Locale, width: int) -> Iterator[Line]:
    by_claim: dict[Claim, list[str]] = defaultdict(list)
    for holder, claim in zip(row.holders, stretch.claims, strict=True):
        by_claim[claim].append(locale.safe(holder.name, 24).text)
    yield line(
        Span(locale.range_words(stretch.start, stretch.end), Role.STRONG),
        Span(f"  {counted(stretch.records, 'record')}", Role.MUTED),
    )
    for claim, names in sorted(by_claim.items(), key=lambda each: list(MARKS).index(each[0])):
        mark = MARKS[claim]
        named = _named(names)
        yield line(
            Span("  " + locale.pick(mark.shape, mark.ascii_shape), mark.role),
            Span(f" {claim_words(claim)} at ", Role.MUTED)
            if claim is not Claim.LOST
            else Span(" lost: not at ", Role.BAD),
            Span(named),
        )
    if _is_ill(stretch):
        yield from wrap([Span("  " + remedy(row, stretch), Role.ACCENT)], width)
    else:
        yield line(Span(locale.pick("  ✓ ", "  = ") + "every member holds every record of it", Role.GOOD))


def _named(names: Sequence[str]) -> str:
    more = len(names) - 12
    return ", ".join(names[:12]) + (f" and {more} more" if more > 0 else "")


def remedy(row: CopiesRow, stretch: HeldStretch) -> str:
    """Return what would bring a stretch back to those that lack it. Names are foreign text, made safe by the caller."""
    having = [each for each, claim in zip(row.holders, stretch.claims, strict=True) if claim is Claim.HELD]
    alive = [each for each in having if each.status not in (MemberStatus.FAILED, MemberStatus.LEFT)]
    claims = set(stretch.claims)
    if claims <= {Claim.HELD, Claim.IN_FLIGHT}:
        return "On its way: less than two seconds old."
    if alive and Claim.DAMAGED in claims:
        return "Repaired by itself from a member that holds it; `proglog check` says if that fails."
    if alive and Claim.MISSING in claims:
        return "Copied by itself while its members reach each other; `proglog lag` says how fast."
    if alive and Claim.GAP in claims:
        return "Passed over when nobody who was asked had it: a member with an empty directory copies all of it again."
    if alive:
        return "Nothing to do: retention took it there."
    if having:
        return "Start a member that holds it again, with its directory: it comes back from there, and only from there."
    if Claim.UNKNOWN in claims:
        return "A member that was never heard may have it: start it, or let it leave."
    if Claim.LOST in claims or Claim.DAMAGED in claims:
        return "On no member. A backup, or the directory of a member that left, may have it: start an agent on it."
    return "Nothing to do: retention took it everywhere."
