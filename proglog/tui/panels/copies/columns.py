"""Who holds what of each origin: a row for each origin, a column for each member, each cell a drawing along the origin.

::

    n1       3 of 3   ██████████ 20k    ██████████ 20k    ██████████ 20k
    n2     ▲ 2 of 3   █████████≈ 20k    █████████≈ 20k    ███████░░░ -6.1k

What shares a cell with something worse is not drawn: damage of one record is seen in a log of ten million.
"""

from dataclasses import dataclass

from proglog.observe.columns import Cell, Column, Help, Row
from proglog.observe.copies import Claim
from proglog.observe.copies_view import CopiesRow, age_words, lack_words, rows
from proglog.observe.spans import Line, Locale, Role, Span, line
from proglog.observe.words import short_count
from proglog.tui.panels.replication.lag_cells import origin_name
from proglog.tui.state import DashState
from proglog.wire.model import CopyHolder, MemberStatus

LEAST_STRIP, MOST_STRIP = 8, 60
_ORIGIN_WIDTH, _COPIES_WIDTH, _GAP, _COUNT = 16, 10, 2, 6


@dataclass(frozen=True, slots=True)
class ClaimMark:
    """How a claim is drawn."""

    shape: str
    ascii_shape: str
    role: Role


MARKS: dict[Claim, ClaimMark] = {
    Claim.HELD: ClaimMark("█", "#", Role.GOOD),
    Claim.IN_FLIGHT: ClaimMark("≈", "~", Role.ACCENT),
    Claim.MISSING: ClaimMark("░", "-", Role.WARN),
    Claim.DAMAGED: ClaimMark("✖", "x", Role.BAD),
    Claim.LOST: ClaimMark("∅", "!", Role.BAD),
    Claim.GAP: ClaimMark("▁", "_", Role.WARN),
    Claim.TRIMMED: ClaimMark("▒", ".", Role.MUTED),
    Claim.UNKNOWN: ClaimMark("?", "?", Role.WARN),
}
_WORDS = {
    Claim.HELD: "held",
    Claim.IN_FLIGHT: "in flight",
    Claim.MISSING: "missing",
    Claim.DAMAGED: "damaged",
    Claim.LOST: "lost for good",
    Claim.GAP: "could not be had",
    Claim.TRIMMED: "trimmed by retention",
    Claim.UNKNOWN: "not known",
}
_ORIGIN = Help(
    means="The writer of the records: a node's name and the id of its directory.",
    judge="Two ids for one name: that node lost its directory and began a new one.",
    act="enter shows each stretch of it: who holds it, and what would bring it back.",
)
_COPIES = Help(
    means="On how many members the record is that has fewest copies, of those that should have all. What is less than two seconds old is on its way and does not count.",
    judge="All is well when it is all of them. 1: one disk's loss loses records. 0: some cannot be read now.",
    act="See which member's column has holes; enter says what fills them.",
)
_HOLDER = Help(
    means="What this member holds along the origin, the oldest at the left: █ held, ≈ in flight, ░ missing, ✖ damaged, ∅ lost for good, ▒ trimmed. The number is how many it holds, or how many it lacks.",
    judge="Filled from end to end is well. A member that failed or left keeps its column, as of its last word.",
    act="Holes fill by themselves while members reach each other; enter says which do not.",
)
_LACKING = Help(
    means="The members that lack records of this origin, and how many.",
    judge="nobody is well; the same name in every row is a member that is ill, or new.",
)


def table_rows(state: DashState, locale: Locale, width: int) -> list[Row[CopiesRow]]:
    """Return a row for each origin, the worst first."""
    if state.shown is None:
        return []
    shown = columns(state, locale, width)
    return [
        Row(key=each.origin.hex(), item=each, columns=shown, locale=locale, name=each.origin.hex(), source=each)
        for each in rows(state.shown)
    ]


def first_columns(origin_width: int) -> tuple[Column[CopiesRow], ...]:
    """Return the columns before those of the members."""
    return (
        Column(
            title="ORIGIN",
            value=lambda row: row.node_name,
            draw=lambda row, locale: origin_name(row.node_name, row.origin, locale),
            width=origin_width,
            flex=1,
            limit=24,
            help=_ORIGIN,
        ),
        Column(
            title="COPIES", value=lambda row: row.least, draw=_copies, width=_COPIES_WIDTH, right=True, help=_COPIES
        ),
    )


def columns(state: DashState, locale: Locale, width: int) -> tuple[Column[CopiesRow], ...]:
    """Return the columns for ``width`` cells: a drawing for each member, or, of too many, who lacks what."""
    holders = state.shown.copies.holders if state.shown else ()
    first = first_columns(_ORIGIN_WIDTH if width >= 60 else 8)
    room = width - (_ORIGIN_WIDTH if width >= 60 else 8) - _COPIES_WIDTH - 2 * _GAP
    each = room // max(len(holders), 1) - _GAP
    if holders and each >= (LEAST_STRIP if width >= 60 else 5):
        return (*first, *(_member(number, holder, each, locale) for number, holder in enumerate(holders)))
    lacking: Column[CopiesRow] = Column(
        title="LACKING AT", value=lambda row: -row.least, draw=_lacking, width=10, flex=6, limit=200, help=_LACKING
    )
    return (*first, lacking)


def _member(number: int, holder: CopyHolder, width: int, locale: Locale) -> Column[CopiesRow]:
    return Column(
        title=holder_title(holder, locale, width),
        value=lambda row: _lacks(row, number),
        draw=lambda row, locale: _cell(row, number, locale),
        width=min(width, MOST_STRIP),
        flex=1,
        limit=MOST_STRIP,
        heading=Role.MUTED if gone(holder) else locale.accents.get(holder.name, Role.MUTED),
        help=_HOLDER,
    )


def gone(holder: CopyHolder) -> bool:
    """Return whether a member's word is its last."""
    return holder.status in (MemberStatus.FAILED, MemberStatus.LEFT)


def holder_title(holder: CopyHolder, locale: Locale, width: int) -> str:
    """Return a member's name, and of one that is gone its state and the age of its last word, as far as that fits."""
    name = locale.safe(holder.name, 30).text
    if gone(holder):
        shape = locale.pick("✖", "x") if holder.status is MemberStatus.FAILED else locale.pick("○", "-")
        full = f"{name} {shape} {holder.status.value}, {age_words(holder)}"
        brief = f"{name} {shape} {age_words(holder).removeprefix('as of ').removesuffix(' ago')}"
        return next((each for each in (full, brief) if len(each) <= width), f"{shape} {name}")
    full = f"{name} {age_words(holder)}".rstrip()
    return full if len(full) <= width else name


def _copies(row: CopiesRow, locale: Locale) -> Line:
    role = copies_role(row)
    shape = {Role.BAD: locale.pick("✖ ", "x "), Role.WARN: locale.pick("▲ ", "! ")}.get(role, "")
    return line(Span(f"{shape}{row.least} of {row.expected}", role))


def copies_role(row: CopiesRow) -> Role:
    """Return what the number of copies of an origin means."""
    if row.least >= row.expected:
        return Role.GOOD
    return Role.BAD if row.least == 0 else Role.WARN


def _lacks(row: CopiesRow, number: int) -> int:
    counts = row.counts(number)
    return counts.total() - counts[Claim.HELD] - counts[Claim.IN_FLIGHT] - counts[Claim.TRIMMED]


def _cell(row: CopiesRow, number: int, locale: Locale) -> Cell:
    return lambda width: _drawn(row, number, locale, width)


def _drawn(row: CopiesRow, number: int, locale: Locale, width: int) -> Line:
    counts, lacks = row.counts(number), _lacks(row, number)
    if lacks:
        worst = Role.BAD if counts[Claim.LOST] or counts[Claim.DAMAGED] else Role.WARN
        count = Span(f"-{short_count(lacks)}", worst)
    else:
        count = Span(short_count(counts[Claim.HELD]), Role.MUTED)
    room = width - _COUNT
    if room < 4:
        return strip(row, number, locale, width)
    return (*strip(row, number, locale, room), Span(" "), count)


def strip(row: CopiesRow, number: int, locale: Locale, width: int) -> Line:
    """Return what a member holds of an origin as a drawing of ``width`` cells."""
    old = gone(row.holders[number])
    spans: list[Span] = []
    for claim in row.strip(number, width):
        mark = MARKS[claim]
        role = Role.MUTED if old and claim is Claim.HELD else mark.role
        shape = locale.pick(mark.shape, mark.ascii_shape)
        if spans and spans[-1].role == role:
            spans[-1] = Span(spans[-1].text + shape, role)
        else:
            spans.append(Span(shape, role))
    return tuple(spans)


def _lacking(row: CopiesRow, locale: Locale) -> Line:
    lacking = sorted(
        ((-_lacks(row, number), holder, number) for number, holder in enumerate(row.holders) if _lacks(row, number)),
        key=lambda each: (each[0], each[1].name),
    )
    if not lacking:
        return line(Span("nobody", Role.GOOD))
    parts: list[Span] = []
    for lacks, holder, _ in lacking[:8]:
        parts += [
            Span(", " if parts else ""),
            locale.member(holder.name, 24),
            Span(f" -{short_count(-lacks)}", Role.WARN),
        ]
    more = len(lacking) - 8
    return line(*parts, Span(f" and {more} more" if more > 0 else "", Role.MUTED))


def legend(found: set[Claim], locale: Locale, width: int) -> Line:
    """Return what the drawings mean, of the claims that are in them."""
    spans: list[Span] = []
    for claim in (each for each in MARKS if each in found):
        mark = MARKS[claim]
        spans += [Span(locale.pick(mark.shape, mark.ascii_shape), mark.role), Span(f" {_WORDS[claim]}   ", Role.MUTED)]
    return tuple(spans) if sum(len(span.text) for span in spans) <= width else ()


def claims_of(row: CopiesRow) -> set[Claim]:
    """Return every claim that a drawing of the row may show."""
    start, _ = row.axis
    return {claim for each in row.stretches if each.end > start for claim in each.claims}


def claim_words(claim: Claim) -> str:
    """Return a claim in words."""
    return _WORDS[claim]


def lacks_words(row: CopiesRow, number: int) -> str:
    """Return what a member lacks of an origin, in words."""
    return lack_words(row.counts(number))
